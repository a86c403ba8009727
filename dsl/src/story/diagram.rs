//! The graph of a program as a picture needs it: random values and what they depend on, grouped by plates.

use crate::compiled::AxisSource;
use crate::model::{AxisNo, DistExpr, ExprId, ExprKind, Model, Site, Ty};
use std::collections::BTreeSet;

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A latent site.
    Latent,
    /// An observed site.
    Observed,
    /// A field that is conditioned on.
    Given,
    /// A free parameter.
    Parameter,
    /// A statistic of the data.
    Statistic,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub name: String,
    pub shape: Shape,
    /// Its own axes.
    pub axes: Vec<String>,
    /// The plates that it stands in, outermost first.
    pub plates: Vec<String>,
}

/// From a node to one that is drawn given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub from: usize,
    pub to: usize,
    /// It belongs to the guide.
    pub guide: bool,
}

/// Nodes and edges; edges are sorted and stand once each.
#[derive(Clone, Debug, Default)]
pub(super) struct Diagram {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    /// Text for each plate: its name and size.
    pub labels: Vec<(String, String)>,
}

impl Diagram {
    /// Names of the plates that stand directly inside a path of plates, sorted.
    pub(super) fn plates_within(&self, path: &[String]) -> BTreeSet<&String> {
        let inside = self.nodes.iter().filter(|n| n.plates.starts_with(path));
        inside.filter_map(|n| n.plates.get(path.len())).collect()
    }

    /// The model's graph, with the guide's edges if asked for. Definitions and nets are passed through.
    pub(super) fn new(m: &Model, guide: bool) -> Diagram {
        let plates: Vec<AxisNo> = {
            let mut found: BTreeSet<AxisNo> = m.sites.iter().flat_map(|s| s.plates.iter().copied()).collect();
            found.extend(m.plate);
            found.into_iter().collect()
        };
        let mut builder = Builder { m, plates, diagram: Diagram::default() };
        for site in &m.sites {
            builder.site(site);
        }
        for site in &m.sites {
            builder.edges(site, prior_reads(site), false);
            if let Some(q) = site.guide.as_ref().filter(|_| guide) {
                builder.edges(site, reads(q), true);
            }
        }
        let mut diagram = builder.diagram;
        diagram.edges.sort_unstable();
        diagram.edges.dedup();
        diagram.labels = m.axes.iter().map(|a| (a.name.clone(), label(&a.name, &a.source))).collect();
        diagram
    }

    /// Text of a plate.
    pub(super) fn label(&self, plate: &str) -> &str {
        self.labels.iter().find(|(name, _)| name == plate).map_or("", |(_, label)| label)
    }
}

/// What a site's distribution reads, and what decides where it exists and how much it counts.
fn prior_reads(site: &Site) -> Vec<ExprId> {
    let conds = site.cond.iter().flat_map(|c| std::iter::once(c.holds).chain(c.otherwise));
    reads(&site.prior).into_iter().chain(conds).chain(site.weight).collect()
}

fn reads(d: &DistExpr) -> Vec<ExprId> {
    d.reads().collect()
}

/// `cell × N`, or with the size if it is known.
fn label(name: &str, source: &AxisSource) -> String {
    match source {
        AxisSource::Knob(n) | AxisSource::Rank(n) => format!("{name} × {n}"),
        AxisSource::Labels(labels) => format!("{name} × {}", labels.len()),
        AxisSource::Formula(f) => format!("{name} × {f}"),
        _ => format!("{name} × N"),
    }
}

struct Builder<'a> {
    m: &'a Model,
    plates: Vec<AxisNo>,
    diagram: Diagram,
}

impl Builder<'_> {
    fn node(&mut self, name: &str, shape: Shape, plates: Vec<AxisNo>, axes: Vec<AxisNo>) -> usize {
        if let Some(at) = self.diagram.nodes.iter().position(|n| n.name == name) {
            return at;
        }
        let names = |of: Vec<AxisNo>| of.into_iter().map(|a| self.m.axis_name(a).to_owned()).collect();
        let (axes, plates) = (names(axes), names(plates));
        self.diagram.nodes.push(Node { name: name.to_owned(), shape, axes, plates });
        self.diagram.nodes.len() - 1
    }

    fn site(&mut self, site: &Site) -> usize {
        let shape = if site.observed.is_some() { Shape::Observed } else { Shape::Latent };
        self.node(&site.name, shape, site.plates.clone(), site.axes.clone())
    }

    /// A value that is no site: the plates among its axes are its plates.
    fn value(&mut self, name: &str, shape: Shape, ty: &Ty) -> usize {
        let (plates, axes) = ty.axes.iter().partition(|a| self.plates.contains(a));
        self.node(name, shape, plates, axes)
    }

    fn edges(&mut self, to: &Site, roots: Vec<ExprId>, guide: bool) {
        let to = self.site(to);
        let m = self.m;
        let mut found = vec![];
        m.walk(roots, |id| found.push(id));
        found.sort_unstable();
        for id in found {
            let from = match &m.expr(id).kind {
                ExprKind::Site(s) | ExprKind::GuideMean(s) | ExprKind::GuideVar(s) => self.site(&m.sites[*s]),
                ExprKind::Field(f) => match m.sites.iter().find(|s| s.observed == Some(*f)) {
                    Some(site) => self.site(site),
                    None => self.value(&m.fields[*f].slot.name, Shape::Given, &m.fields[*f].ty),
                },
                ExprKind::Param(p) => self.value(&m.params[*p].name, Shape::Parameter, &m.params[*p].ty),
                ExprKind::Stat(s) => self.value(&m.stats[*s].name, Shape::Statistic, &m.stats[*s].ty),
                _ => continue,
            };
            // A likelihood that reads its own total is not drawn as a loop.
            if from != to {
                self.diagram.edges.push(Edge { from, to, guide });
            }
        }
    }
}
