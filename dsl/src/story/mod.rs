//! A program for a paper: its generative story and bound as LaTeX, its graph as a picture.

mod diagram;
mod dot;
mod latex;
mod layout;
mod svg;
mod tex;

use crate::model::Model;
use diagram::Diagram;

pub(crate) use latex::latex;

/// The graph for Graphviz.
pub(crate) fn dot(m: &Model, guide: bool) -> String {
    dot::dot(&Diagram::new(m, guide))
}

/// The graph as an SVG document.
pub(crate) fn svg(m: &Model, guide: bool) -> String {
    svg::svg(&Diagram::new(m, guide), m.title.lines().next().unwrap_or("model"))
}
