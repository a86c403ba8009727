//! Local quadratic regression on one variable, as the `loess` of Cleveland and Grosse computes it: exact fits at the
//! vertices of a tree, cubic blending between them.
//!
//! W. S. Cleveland and E. Grosse, Computational methods for local regression, Statistics and Computing 1:47–62 (1991).

/// Share of the points in a neighbourhood that a cell of the tree may hold.
const CELL: f64 = 0.2;
/// How far the box around the points reaches beyond them, in parts of their range.
const MARGIN: f64 = 0.005;

/// Fitted values of `y` at each of `x`, with `span` of the points in each neighbourhood.
///
/// # Panics
/// When the two differ in length.
pub fn loess(x: &[f64], y: &[f64], span: f64) -> Vec<f64> {
    assert_eq!(x.len(), y.len(), "one response per point");
    let n = x.len();
    if n == 0 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let sorted: Vec<f64> = order.iter().map(|&at| x[at]).collect();
    let response: Vec<f64> = order.iter().map(|&at| y[at]).collect();
    let (low, high) = (sorted[0], sorted[n - 1]);
    let margin = MARGIN * (high - low).max(1e-3 * low.abs().max(high.abs()) + 1e-30);
    let mut vertices = vec![low - margin, high + margin];
    let limit = (n as f64 * span * CELL).floor() as usize;
    let edges = (vertices[0], vertices[1]);
    cut(&sorted, 0, n - 1, edges, limit, &mut vertices);
    vertices.sort_by(f64::total_cmp);
    vertices.dedup();
    let n_near = ((n as f64 * span + 1e-5).floor() as usize).clamp(1, n);
    let fits: Vec<(f64, f64)> =
        vertices.iter().map(|&at| fit(&sorted, &response, at, n_near, span.max(1.0))).collect();
    x.iter().map(|&at| blend(&vertices, &fits, at)).collect()
}

/// Cuts the points `from..=to`, between `edges`, at their middle until a cell holds at most `limit` of them.
fn cut(x: &[f64], from: usize, to: usize, edges: (f64, f64), limit: usize, vertices: &mut Vec<f64>) {
    if to - from < limit || to == from {
        return;
    }
    let middle = between_unequal(x, from, to);
    let at = x[middle];
    if at == edges.0 || at == edges.1 {
        return;
    }
    vertices.push(at);
    cut(x, from, middle, (edges.0, at), limit, vertices);
    if middle < to {
        cut(x, middle + 1, to, (at, edges.1), limit, vertices);
    }
}

/// The position next to the middle of `from..=to` after which another value follows: the middle itself, one after it,
/// one before it, and so on; the middle where there is none within reach.
fn between_unequal(x: &[f64], from: usize, to: usize) -> usize {
    let middle = (from + to) / 2;
    let mut step: isize = 0;
    loop {
        let at = middle as isize + step;
        if at >= to as isize || at < from as isize {
            return middle;
        }
        let at = at as usize;
        if x[at] != x[at + 1] {
            return at;
        }
        step = if step > 0 { -step } else { 1 - step };
    }
}

/// Value and slope at `at` of the quadratic through the `n_near` nearest points, weighted by the tricube of distance.
fn fit(x: &[f64], y: &[f64], at: f64, n_near: usize, stretch: f64) -> (f64, f64) {
    let mut distances: Vec<f64> = x.iter().map(|v| (v - at).abs()).collect();
    let (_, radius, _) = distances.select_nth_unstable_by(n_near - 1, f64::total_cmp);
    let radius = (*radius * stretch).max(1e-30);
    // Moments of the weighted points about `at`, in units of the radius.
    let (mut s, mut t) = ([0f64; 5], [0f64; 3]);
    for (&v, &response) in x.iter().zip(y) {
        let u = (v - at) / radius;
        let d = u.abs();
        if d >= 0.999 {
            continue;
        }
        let weight = if d < 0.001 { 1.0 } else { (1.0 - d * d * d).powi(3) };
        let mut power = weight;
        for k in 0..5 {
            s[k] += power;
            if k < 3 {
                t[k] += power * response;
            }
            power *= u;
        }
    }
    let matrix = [[s[0], s[1], s[2]], [s[1], s[2], s[3]], [s[2], s[3], s[4]]];
    let solution = solve(matrix, t);
    (solution[0], solution[1] / radius)
}

/// The solution of a symmetric 3 × 3 system; directions in which the points do not differ count as flat.
fn solve(mut a: [[f64; 3]; 3], mut b: [f64; 3]) -> [f64; 3] {
    let scale = a[0][0].max(f64::MIN_POSITIVE);
    for k in 0..3 {
        if a[k][k].abs() <= 1e-14 * scale {
            (a[k], b[k]) = ([0.0; 3], 0.0);
            a[k][k] = 1.0;
            continue;
        }
        for row in k + 1..3 {
            let factor = a[row][k] / a[k][k];
            for column in k..3 {
                a[row][column] -= factor * a[k][column];
            }
            b[row] -= factor * b[k];
        }
    }
    for k in (0..3).rev() {
        let known: f64 = (k + 1..3).map(|column| a[k][column] * b[column]).sum();
        b[k] = (b[k] - known) / a[k][k];
    }
    b
}

/// The cubic between the two vertices around `at` that has their values and slopes.
fn blend(vertices: &[f64], fits: &[(f64, f64)], at: f64) -> f64 {
    let right = vertices.partition_point(|v| *v < at).clamp(1, vertices.len() - 1);
    let (a, b) = (vertices[right - 1], vertices[right]);
    let ((fa, da), (fb, db)) = (fits[right - 1], fits[right]);
    let width = b - a;
    let h = (at - a) / width;
    let (one, two) = ((1.0 - h) * (1.0 - h) * (1.0 + 2.0 * h), h * h * (3.0 - 2.0 * h));
    let (three, four) = (h * (1.0 - h) * (1.0 - h), -h * h * (1.0 - h));
    one * fa + two * fb + (three * da + four * db) * width
}
