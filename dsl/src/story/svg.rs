//! The diagram as a picture.

use super::diagram::{Diagram, Node, Shape};
use super::layout::{Curve, NAME_SIZE, Place, Plate, SMALL_SIZE, layout};

/// An SVG document: observed nodes shaded, plates as rounded boxes, guide edges dashed.
pub(super) fn svg(diagram: &Diagram, title: &str) -> String {
    let places = layout(diagram);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w:.0}\" height=\"{h:.0}\" viewBox=\"0 0 {w:.0} {h:.0}\" \
         font-family=\"Helvetica, Arial, sans-serif\">\n",
        w = places.width.ceil(),
        h = places.height.ceil()
    );
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("<title>{}</title>", escape(title)));
    line(HEAD.to_owned());
    line("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>".to_owned());
    places.plates.iter().for_each(|p| line(plate(p)));
    places.curves.iter().for_each(|c| line(curve(c)));
    for (node, place) in diagram.nodes.iter().zip(&places.places) {
        line(shape(node, place));
        line(name(node, place));
    }
    out.push_str("</svg>\n");
    out
}

const HEAD: &str = "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
                    markerHeight=\"7\" orient=\"auto\"><path d=\"M0,0.5 L8,4 L0,7.5 Z\" fill=\"#222\"/></marker></defs>";

fn plate(p: &Plate) -> String {
    format!(
        "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"10\" fill=\"none\" stroke=\"#555\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{SMALL_SIZE}\" text-anchor=\"end\" fill=\"#333\">{}</text>",
        p.left,
        p.top,
        p.right - p.left,
        p.bottom - p.top,
        p.right - 9.0,
        p.bottom - 7.0,
        escape(&p.label)
    )
}

fn curve(c: &Curve) -> String {
    let [a, b, e] = c.points;
    let dashes = if c.guide { " stroke-dasharray=\"5 4\"" } else { "" };
    format!(
        "<path d=\"M{:.1},{:.1} Q{:.1},{:.1} {:.1},{:.1}\" fill=\"none\" stroke=\"#222\" stroke-width=\"1.2\"{dashes} \
         marker-end=\"url(#arrow)\"/>",
        a.x, a.y, b.x, b.y, e.x, e.y
    )
}

fn shape(node: &Node, p: &Place) -> String {
    let fill = match node.shape {
        Shape::Observed | Shape::Given => "#d9d9d9",
        _ => "white",
    };
    let stroke = match node.shape {
        Shape::Parameter => "stroke=\"none\"",
        Shape::Statistic => "stroke=\"#555\" stroke-dasharray=\"2 3\"",
        _ => "stroke=\"#222\" stroke-width=\"1.2\"",
    };
    if p.round {
        return format!(
            "<ellipse cx=\"{:.1}\" cy=\"{:.1}\" rx=\"{:.1}\" ry=\"{:.1}\" fill=\"{fill}\" {stroke}/>",
            p.at.x, p.at.y, p.rx, p.ry
        );
    }
    format!(
        "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\" fill=\"{fill}\" {stroke}/>",
        p.at.x - p.rx,
        p.at.y - p.ry,
        2.0 * p.rx,
        2.0 * p.ry
    )
}

/// The name, and the axes under it.
fn name(node: &Node, p: &Place) -> String {
    let text = |y: f64, size: f64, what: &str, style: &str| {
        let what = escape(what);
        format!(
            "<text x=\"{:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"middle\"{style}>{what}</text>",
            p.at.x
        )
    };
    let italic = " font-style=\"italic\"";
    if node.axes.is_empty() {
        return text(p.at.y + 5.0, NAME_SIZE, &node.name, italic);
    }
    let axes = format!("[{}]", node.axes.join(", "));
    text(p.at.y, NAME_SIZE, &node.name, italic)
        + "\n"
        + &text(p.at.y + 13.0, SMALL_SIZE, &axes, " fill=\"#333\"")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::diagram::Edge;
    use crate::story::layout::{Layout, along};

    /// Diagrams of every kind: nested and neighbouring plates, long edges, guide edges, long names.
    fn made_up(n: usize) -> Diagram {
        let mut d = Diagram::default();
        let plates: [&[&str]; 5] =
            [&[], &["cell"], &["cell", "gene"], &["spot"], &["a_plate_with_a_long_name"]];
        let shapes = [Shape::Latent, Shape::Observed, Shape::Given, Shape::Parameter, Shape::Statistic];
        for i in 0..4 + n % 9 {
            let k = i * 7 + n;
            let axes = ["latent", "protein"].iter().take(k % 3).map(|s| (*s).to_owned()).collect();
            let path = plates[(k / 2) % plates.len()].iter().map(|s| (*s).to_owned()).collect();
            let name = format!("{}{i}", ["z", "theta_of_a_gene", "mu"][k % 3]);
            d.nodes.push(Node { name, shape: shapes[k % 5], axes, plates: path });
            for j in 0..i {
                if (j * 5 + k * 3).is_multiple_of(4) {
                    let guide = (j + k).is_multiple_of(5);
                    let (from, to) = if guide { (i, j) } else { (j, i) };
                    d.edges.push(Edge { from, to, guide });
                }
            }
        }
        d.labels = ["cell", "gene", "spot", "a_plate_with_a_long_name"]
            .map(|p| (p.to_owned(), format!("{p} × N")))
            .to_vec();
        d
    }

    fn apart(a: (f64, f64, f64, f64), b: (f64, f64, f64, f64)) -> bool {
        a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1
    }

    #[test]
    fn nothing_overlaps() {
        for n in 0..200 {
            let d = made_up(n);
            let l = layout(&d);
            let node = |p: &Place| (p.at.x - p.rx, p.at.y - p.ry, p.at.x + p.rx, p.at.y + p.ry);
            let label = |p: &Plate| {
                let width = super::super::layout::text_width(&p.label, SMALL_SIZE);
                (p.right - 9.0 - width, p.bottom - 7.0 - SMALL_SIZE, p.right - 9.0, p.bottom - 5.0)
            };
            let mut boxes: Vec<_> = l.places.iter().map(node).collect();
            boxes.extend(l.plates.iter().map(label));
            for (i, a) in boxes.iter().enumerate() {
                assert!(a.0 >= 0.0 && a.1 >= 0.0 && a.2 <= l.width && a.3 <= l.height, "{n}");
                assert!(boxes[..i].iter().all(|b| apart(*a, *b)), "{n}: {a:?}");
            }
            holds_its_nodes(&d, &l, n);
        }
    }

    /// A plate's box holds the nodes of its plate and no others.
    fn holds_its_nodes(d: &Diagram, l: &Layout, n: usize) {
        for plate in &l.plates {
            let name = plate.label.trim_end_matches(" × N");
            for (node, p) in d.nodes.iter().zip(&l.places) {
                let inside = p.at.x > plate.left
                    && p.at.x < plate.right
                    && p.at.y > plate.top
                    && p.at.y < plate.bottom;
                assert_eq!(inside, node.plates.iter().any(|x| x == name), "{n}: {} in {name}", node.name);
                let whole = p.at.x - p.rx >= plate.left && p.at.x + p.rx <= plate.right;
                assert!(!inside || whole, "{n}: {}", node.name);
            }
        }
    }

    /// Edges of the model end at their nodes and hardly ever cross another: what cannot be avoided is rare.
    #[test]
    fn edges_avoid_nodes() {
        let (mut crossings, mut edges) = (0, 0);
        for n in 0..200 {
            let d = made_up(n);
            let l = layout(&d);
            for (edge, c) in d.edges.iter().zip(&l.curves) {
                edges += 1;
                let hit = (0..=30).map(|i| along(c, f64::from(i) / 30.0)).any(|p| {
                    l.places.iter().enumerate().any(|(i, q)| {
                        let own = i == edge.from || i == edge.to;
                        let (u, v) = ((p.x - q.at.x).abs() / q.rx, (p.y - q.at.y).abs() / q.ry);
                        !own && if q.round { u.hypot(v) < 1.0 } else { u.max(v) < 1.0 }
                    })
                });
                crossings += usize::from(hit);
            }
        }
        assert!(crossings * 100 < edges, "{crossings} of {edges}");
    }
}
