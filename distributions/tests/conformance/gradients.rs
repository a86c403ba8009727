//! (b) Gradients of log p in every parameter, and in the value where it is continuous, against central differences.

use crate::bench::{Bench, Data, assert_close};
use crate::rows::{ROWS, Row};
use autodiff_runtime::NodeId;
use distributions::Support;

/// Shifts one coordinate of an input at all points at once; elementwise densities see only their own.
fn shifted(data: &[Data], input: usize, coordinate: usize, stride: usize, step: f64) -> Vec<Data> {
    let mut data = data.to_vec();
    if let Data::Real(v) = &mut data[input] {
        v.iter_mut().skip(coordinate).step_by(stride).for_each(|x| *x += step * x.abs().max(0.1));
    }
    data
}

fn check(row: &Row) {
    let mut b = Bench::new(row.n_points(), row.n_event, 1);
    let d = b.dist(row.family, row.set, row.params);
    let at = b.value(&d, row.values);
    let lp = d.log_prob(&mut b.g, at);
    let mut wrt: Vec<(usize, NodeId)> = d.params.iter().copied().enumerate().collect();
    let discrete = matches!(d.family.support(), Support::Count | Support::Bool | Support::Category);
    if !discrete {
        wrt.push((d.params.len(), at.value));
    }
    let nodes: Vec<NodeId> = wrt.iter().map(|w| w.1).collect();
    let grads = b.gradients(lp, &nodes);
    let ours = b.run(&grads);
    for ((input, _), ours) in wrt.iter().zip(&ours) {
        let stride = ours.len() / row.n_points();
        for k in 0..stride {
            let h = 1e-5;
            let at = |s: f64| b.run_with(&[lp], &shifted(&b.data, *input, k, stride, s)).remove(0);
            let (up, down) = (at(h), at(-h));
            let Data::Real(x) = &b.data[*input] else { panic!("gradients of real inputs") };
            for p in 0..row.n_points() {
                let width = 2.0 * h * x[p * stride + k].abs().max(0.1);
                let numeric = (up[p] - down[p]) / width;
                let what = format!("{} input {input} point {p} coordinate {k}", row.label());
                assert_close(ours[p * stride + k], numeric, 2e-7, &what);
            }
        }
    }
}

/// 2e-7 of max(1, |slope|): what central differences of step 1e-5 give in double precision.
#[test]
fn log_densities_agree_with_difference_quotients() {
    // A point mass has no slope; a total is a count, but its formula is smooth in it, and is tested so.
    ROWS.iter().filter(|r| r.family != "Delta").for_each(check);
}
