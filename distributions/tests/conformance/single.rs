//! How the formulas fare in single precision: every elementwise node rounded to `f32`, as a back end with correctly
//! rounded functions would. On the fixtures' grids, which hold dispersions from 1e-6 to 1e8.

use crate::bench::{Bench, Data};
use autodiff_runtime::{NodeId, Op};

/// Values of the elementwise node `wanted` with every intermediate result in single precision.
fn evaluate(b: &Bench, wanted: NodeId) -> Vec<f64> {
    let n = b.g.size(b.point);
    let round = |x: f64| f64::from(x as f32);
    let mut values: Vec<Vec<f64>> = vec![];
    for node in &b.g.nodes()[..=wanted.index()] {
        values.push(match &node.op {
            Op::Input(id) => match &b.data[id.index()] {
                Data::Real(v) => v.iter().map(|x| round(*x)).collect(),
                Data::Index(_) => panic!("elementwise densities have no indices"),
            },
            Op::Const(c) => vec![round(*c); n],
            Op::Elem(e, args) => (0..n)
                .map(|i| round(e.eval(&args.iter().map(|a| values[a.index()][i]).collect::<Vec<_>>())))
                .collect(),
            other => panic!("{other:?} is not elementwise"),
        });
    }
    values.remove(wanted.index())
}

/// Largest error of log p against double precision at the same (rounded) parameters, relative to max(1, |log p|).
pub fn error(family: &str, set: usize, params: &[Vec<f64>], values: &[f64]) -> f64 {
    let round = |v: &[f64]| v.iter().map(|x| f64::from(*x as f32)).collect::<Vec<f64>>();
    let params: Vec<Vec<f64>> = params.iter().map(|p| round(p)).collect();
    let mut b = Bench::new(values.len(), 1, 1);
    let d = b.dist(family, set, &params.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let at = b.value(&d, &round(values));
    let lp = d.log_prob(&mut b.g, at);
    let truth = b.run(&[lp]).remove(0);
    let ours = evaluate(&b, lp);
    let gap = |(o, t): (&f64, &f64)| if o == t { 0.0 } else { (o - t).abs() / t.abs().max(1.0) };
    ours.iter().zip(&truth).map(gap).fold(0.0, |m, e| if e > m || e.is_nan() { e } else { m })
}
