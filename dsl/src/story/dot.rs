//! The diagram for Graphviz.

use super::diagram::{Diagram, Node, Shape};
use std::fmt::Write as _;

/// The text of a `digraph`: plates are clusters, observed nodes shaded, guide edges dashed.
pub(super) fn dot(diagram: &Diagram) -> String {
    let mut out = String::from("digraph model {\n  rankdir=TB;\n  node [fontname=\"Helvetica\"];\n");
    cluster(diagram, &[], 1, &mut out);
    for edge in &diagram.edges {
        let style = if edge.guide { " [style=dashed, constraint=false]" } else { "" };
        let name = |n: usize| &diagram.nodes[n].name;
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  \"{}\" -> \"{}\"{style};", name(edge.from), name(edge.to));
    }
    out.push_str("}\n");
    out
}

fn cluster(diagram: &Diagram, path: &[String], level: usize, out: &mut String) {
    let pad = "  ".repeat(level);
    for node in diagram.nodes.iter().filter(|n| n.plates == path) {
        let _ = writeln!(out, "{pad}\"{}\" [{}];", node.name, style(node));
    }
    for plate in diagram.plates_within(path) {
        let deeper: Vec<String> = path.iter().chain([plate]).cloned().collect();
        let _ = writeln!(out, "{pad}subgraph \"cluster_{}\" {{", deeper.join("/"));
        let _ = writeln!(
            out,
            "{pad}  label=\"{}\"; style=rounded; labeljust=r; labelloc=b;",
            diagram.label(plate)
        );
        cluster(diagram, &deeper, level + 1, out);
        let _ = writeln!(out, "{pad}}}");
    }
}

fn style(node: &Node) -> String {
    let axes = if node.axes.is_empty() { String::new() } else { format!("\\n[{}]", node.axes.join(", ")) };
    let shape = match node.shape {
        Shape::Latent => "shape=ellipse",
        Shape::Observed => "shape=ellipse, style=filled, fillcolor=gray85",
        Shape::Given => "shape=box, style=\"filled,rounded\", fillcolor=gray85",
        Shape::Parameter => "shape=box, style=rounded",
        Shape::Statistic => "shape=box, style=\"rounded,dotted\"",
    };
    format!("label=\"{}{axes}\", {shape}", node.name)
}
