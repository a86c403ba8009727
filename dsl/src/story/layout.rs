//! Where the nodes of a diagram stand, and where its edges run.
//!
//! Rows are layers: a node stands below everything that it depends on. Columns belong to plates: the nodes outside all
//! plates stand left, each plate has a stretch of its own to their right, and so on inside. As the stretches do not
//! overlap, neither do the boxes around them. An edge that would cross a node or a label is bent until it does not.

use super::diagram::{Diagram, Edge, Shape};

const ROW: f64 = 92.0;
const GAP: f64 = 26.0;
const PAD: f64 = 18.0;
const STRIP: f64 = 20.0;
const HALF_HEIGHT: f64 = 24.0;
/// Width of a character as a fraction of its size: generous, so that text never spills.
pub(super) const CHARACTER: f64 = 0.62;
pub(super) const NAME_SIZE: f64 = 14.0;
pub(super) const SMALL_SIZE: f64 = 10.0;

/// A point; y grows downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
}

/// A placed node: its centre and half its width and height.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub at: Point,
    pub rx: f64,
    pub ry: f64,
    /// An ellipse, or a rectangle.
    pub round: bool,
}

/// A box with its text at the lower right.
#[derive(Clone, Debug)]
pub(super) struct Plate {
    pub label: String,
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

/// A curve from boundary to boundary: start, control point, end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve {
    pub points: [Point; 3],
    pub guide: bool,
}

/// A diagram with places.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub places: Vec<Place>,
    pub plates: Vec<Plate>,
    pub curves: Vec<Curve>,
    pub width: f64,
    pub height: f64,
}

/// Width of a text.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * CHARACTER
}

/// Lays a diagram out.
pub(super) fn layout(d: &Diagram) -> Layout {
    let rows = rows(d);
    let places = d.nodes.iter().zip(&rows).map(|(node, row)| {
        let name = text_width(&node.name, NAME_SIZE) / 2.0;
        let axes = text_width(&format!("[{}]", node.axes.join(", ")), SMALL_SIZE) / 2.0;
        let round = matches!(node.shape, Shape::Latent | Shape::Observed);
        // Beside its centre an ellipse is narrower than in it.
        let wide = match (round, node.axes.is_empty()) {
            (_, true) => name,
            (true, false) => (name / 0.9).max(axes / 0.72),
            (false, false) => name.max(axes),
        };
        let rx = (wide + 10.0).max(HALF_HEIGHT);
        let ry = if round { HALF_HEIGHT } else { HALF_HEIGHT - 4.0 };
        Place { at: Point { x: 0.0, y: *row as f64 * ROW }, rx, ry, round }
    });
    let mut out = Layout { places: places.collect(), ..Layout::default() };
    let mut builder = Columns { d, rows: &rows, out: &mut out };
    builder.block(&[], 0.0);
    settle(&mut out);
    let mut curves = vec![];
    for edge in &d.edges {
        curves.push(curve(&out, *edge));
    }
    // A bent edge may lie outside everything else.
    out.curves = curves;
    settle(&mut out);
    out
}

/// The row of each node: below all that it depends on, and what depends on nothing right above its first reader.
fn rows(d: &Diagram) -> Vec<usize> {
    let n = d.nodes.len();
    let mut rows = vec![0usize; n];
    let model: Vec<&Edge> = d.edges.iter().filter(|e| !e.guide).collect();
    // The model's graph has no circles, so this ends; the bound is for safety.
    for _ in 0..n {
        let mut changed = false;
        for e in &model {
            if rows[e.to] < rows[e.from] + 1 {
                rows[e.to] = rows[e.from] + 1;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    for node in 0..n {
        let source = model.iter().all(|e| e.to != node);
        let first = model.iter().filter(|e| e.from == node).map(|e| rows[e.to]).min();
        if let Some(first) = first.filter(|_| source) {
            rows[node] = first.saturating_sub(1);
        }
    }
    rows
}

struct Columns<'a> {
    d: &'a Diagram,
    rows: &'a [usize],
    out: &'a mut Layout,
}

/// What a stretch of columns takes up.
struct Extent {
    right: f64,
    top: f64,
    bottom: f64,
}

impl Columns<'_> {
    /// Places the nodes of one path of plates and of those inside, from `left` on.
    fn block(&mut self, path: &[String], left: f64) -> Extent {
        let own: Vec<usize> = (0..self.d.nodes.len()).filter(|n| self.d.nodes[*n].plates == path).collect();
        let mut extent = self.own(&own, left);
        for plate in self.d.plates_within(path) {
            let deeper: Vec<String> = path.iter().chain([plate]).cloned().collect();
            let start = if extent.right > left { extent.right + GAP } else { left };
            let inside = self.block(&deeper, start + PAD);
            let label = self.d.label(plate).to_owned();
            let right = (inside.right + PAD).max(start + text_width(&label, SMALL_SIZE) + 2.0 * PAD);
            let (top, bottom) = (inside.top - PAD, inside.bottom + PAD / 2.0 + STRIP);
            self.out.plates.push(Plate { label, left: start, top, right, bottom });
            extent.right = right;
            extent.top = extent.top.min(top);
            extent.bottom = extent.bottom.max(bottom);
        }
        extent
    }

    /// Places nodes in rows: each row is ordered by where its neighbours above stand, and centred.
    fn own(&mut self, own: &[usize], left: f64) -> Extent {
        let width = |row: &[usize], places: &[Place]| {
            row.iter().map(|n| 2.0 * places[*n].rx).sum::<f64>() + GAP * row.len().saturating_sub(1) as f64
        };
        let last = own.iter().map(|n| self.rows[*n]).max().unwrap_or(0);
        let mut rows: Vec<Vec<usize>> = vec![vec![]; last + 1];
        own.iter().for_each(|n| rows[self.rows[*n]].push(*n));
        let widest = rows.iter().map(|r| width(r, &self.out.places)).fold(0.0, f64::max);
        let mut extent = Extent { right: left, top: f64::INFINITY, bottom: f64::NEG_INFINITY };
        for row in &mut rows {
            row.sort_by(|a, b| self.pull(*a).total_cmp(&self.pull(*b)).then(a.cmp(b)));
            let mut x = left + (widest - width(row, &self.out.places)) / 2.0;
            for n in row.iter() {
                let place = &mut self.out.places[*n];
                place.at.x = x + place.rx;
                x += 2.0 * place.rx + GAP;
                extent.top = extent.top.min(place.at.y - place.ry);
                extent.bottom = extent.bottom.max(place.at.y + place.ry);
            }
        }
        if !own.is_empty() {
            extent.right = left + widest;
        }
        extent
    }

    /// The mean place of what a node depends on, as far as it is placed.
    fn pull(&self, node: usize) -> f64 {
        let parents = self.d.edges.iter().filter(|e| e.to == node && !e.guide);
        let at: Vec<f64> = parents.map(|e| self.out.places[e.from].at.x).filter(|x| *x > 0.0).collect();
        at.iter().sum::<f64>() / at.len().max(1) as f64
    }
}

/// Moves everything so that the picture begins a margin from the corner, and measures it.
fn settle(out: &mut Layout) {
    let nodes = out.places.iter().map(|p| (p.at.x - p.rx, p.at.y - p.ry, p.at.x + p.rx, p.at.y + p.ry));
    let boxes = out.plates.iter().map(|p| (p.left, p.top, p.right, p.bottom));
    let bends = out.curves.iter().flat_map(|c| (0..=20).map(|i| along(c, f64::from(i) / 20.0)));
    let all: Vec<_> = nodes.chain(boxes).chain(bends.map(|p| (p.x, p.y, p.x, p.y))).collect();
    let low = |of: fn(&(f64, f64, f64, f64)) -> f64| all.iter().map(of).fold(f64::INFINITY, f64::min);
    let high = |of: fn(&(f64, f64, f64, f64)) -> f64| all.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
    if all.is_empty() {
        return;
    }
    let (dx, dy) = (PAD - low(|b| b.0), PAD - low(|b| b.1));
    (out.width, out.height) = (high(|b| b.2) + dx + PAD, high(|b| b.3) + dy + PAD);
    let shift = |p: &mut Point| {
        p.x += dx;
        p.y += dy;
    };
    out.places.iter_mut().for_each(|p| shift(&mut p.at));
    out.curves.iter_mut().flat_map(|c| &mut c.points).for_each(shift);
    for plate in &mut out.plates {
        plate.left += dx;
        plate.right += dx;
        plate.top += dy;
        plate.bottom += dy;
    }
}

/// The point of a curve at a fraction of it.
pub(super) fn along(curve: &Curve, t: f64) -> Point {
    let [a, b, c] = curve.points;
    let mix = |a: f64, b: f64, c: f64| (1.0 - t) * (1.0 - t) * a + 2.0 * t * (1.0 - t) * b + t * t * c;
    Point { x: mix(a.x, b.x, c.x), y: mix(a.y, b.y, c.y) }
}

/// The least bent curve that crosses neither a node nor the text of a plate; guide edges bend to begin with.
fn curve(out: &Layout, edge: Edge) -> Curve {
    let (from, to) = (&out.places[edge.from], &out.places[edge.to]);
    let bends = (0..18).flat_map(|i| [f64::from(i) * 18.0, -f64::from(i) * 18.0]);
    let bends = bends.skip(if edge.guide { 4 } else { 1 });
    let mut tried =
        bends.flat_map(|bend| [0.5, 0.25, 0.75, 0.1, 0.9].map(|part| bent(from, to, bend, part, edge.guide)));
    tried.find(|c| is_free(out, edge, c)).unwrap_or_else(|| bent(from, to, 0.0, 0.5, edge.guide))
}

/// A curve whose control point stands beside a part of the way.
fn bent(from: &Place, to: &Place, bend: f64, part: f64, guide: bool) -> Curve {
    let (dx, dy) = (to.at.x - from.at.x, to.at.y - from.at.y);
    let length = dx.hypot(dy).max(1.0);
    let middle = Point {
        x: from.at.x + part * dx - dy / length * 2.0 * bend,
        y: from.at.y + part * dy + dx / length * 2.0 * bend,
    };
    Curve { points: [boundary(from, middle, 0.0), middle, boundary(to, middle, 2.0)], guide }
}

/// Where the line from a node's centre towards a point leaves the node, some way outside.
fn boundary(place: &Place, towards: Point, outside: f64) -> Point {
    let (dx, dy) = (towards.x - place.at.x, towards.y - place.at.y);
    let (u, v) = (dx / place.rx, dy / place.ry);
    let reach = if place.round { u.hypot(v) } else { u.abs().max(v.abs()) }.max(1e-9);
    let length = dx.hypot(dy).max(1e-9);
    let t = 1.0 / reach + outside / length;
    Point { x: place.at.x + dx * t, y: place.at.y + dy * t }
}

fn is_free(out: &Layout, edge: Edge, curve: &Curve) -> bool {
    (0..=48).map(|i| along(curve, f64::from(i) / 48.0)).all(|p| {
        let others = out.places.iter().enumerate().filter(|(n, _)| *n != edge.from && *n != edge.to);
        let hits = |q: &Place| {
            let (u, v) = ((p.x - q.at.x).abs() / (q.rx + 4.0), (p.y - q.at.y).abs() / (q.ry + 4.0));
            if q.round { u.hypot(v) < 1.0 } else { u.max(v) < 1.0 }
        };
        let ends = |q: &Place| ((p.x - q.at.x) / q.rx).hypot((p.y - q.at.y) / q.ry) < 0.9;
        let mut own = [edge.from, edge.to].into_iter().map(|n| &out.places[n]);
        let text = |q: &Plate| {
            p.x > q.right - text_width(&q.label, SMALL_SIZE) - PAD
                && p.x < q.right
                && p.y > q.bottom - STRIP
                && p.y < q.bottom
        };
        !others.map(|o| o.1).any(hits) && !own.any(ends) && !out.plates.iter().any(text)
    })
}
