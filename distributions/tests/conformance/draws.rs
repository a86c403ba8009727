//! (c) Moments of 20 000 draws (20 blocks of 1000) against mean and variance, and gradients through draws.

use crate::bench::{Bench, N_BLOCKS, mean_and_error};
use crate::rows::{ROWS, Row};
use autodiff_runtime::{Axes, AxisId, NodeId};
use distributions::{Dist, find};

const N_DRAWS: usize = 1000;

/// The bench of a row and its distribution, with parameters repeated along the blocks so that gradients come by block.
fn setup(row: &Row) -> (Bench, Dist) {
    let mut b = Bench::new(row.n_points(), row.n_event, N_DRAWS);
    let family = find(row.family).expect("a family");
    let params: Vec<NodeId> = (0..row.params.len())
        .map(|j| {
            let axes = Axes::from([b.block, b.point]);
            let vector = family.parameter_sets()[row.set][j].has_event_axis;
            let axes = if vector { axes.with(b.event) } else { axes };
            b.input(axes, row.params[j].repeat(N_BLOCKS))
        })
        .collect();
    let event = family.is_vector().then_some(b.event);
    (b, Dist { family, set: row.set, params, event })
}

/// The draw as numbers; a label as its indicator along the event axis.
fn numbers(b: &mut Bench, d: &Dist, value: NodeId) -> NodeId {
    if d.family.name() != "Categorical" {
        return value;
    }
    let labels = b.g.iota(b.event);
    b.g.binary(autodiff_runtime::Elem::Eq, labels, value)
}

/// Column-wise: results of all blocks for each element.
fn by_element(values: &[f64]) -> Vec<Vec<f64>> {
    let n = values.len() / N_BLOCKS;
    (0..n).map(|i| (0..N_BLOCKS).map(|k| values[k * n + i]).collect()).collect()
}

fn within_five_errors(blocks: &[f64], truth: f64, what: &str) {
    let (mean, error) = mean_and_error(blocks);
    let gap = (mean - truth).abs();
    assert!(gap <= 5.0 * error + 1e-9 * truth.abs().max(1.0), "{what}: {mean} ± {error}, expected {truth}");
}

/// Five standard errors, as estimated from the 20 blocks, for mean and for the squared distance from the true mean.
#[test]
fn draws_have_the_moments() {
    for row in ROWS {
        let (mut b, d) = setup(row);
        let Some(mean) = d.mean(&mut b.g) else { continue };
        let draw = b.draws(&d);
        let sample = d.sample(&mut b.g, &draw).value;
        let x = numbers(&mut b, &d, sample);
        let draw_axis: AxisId = b.draw;
        let average = b.g.mean(x, draw_axis);
        let gap = b.g.sub(x, mean);
        let square = b.g.square(gap);
        let spread = b.g.mean(square, draw_axis);
        let mut wanted = vec![average, b.g.broadcast(mean, &b.g.axes_of(average).clone())];
        if let Some(v) = d.variance(&mut b.g) {
            wanted.extend([spread, b.g.broadcast(v, &b.g.axes_of(spread).clone())]);
        }
        let out = b.run(&wanted);
        for (pair, what) in out.chunks(2).zip(["mean", "variance"]) {
            for (i, blocks) in by_element(&pair[0]).iter().enumerate() {
                within_five_errors(blocks, pair[1][i], &format!("{} {what} of element {i}", row.label()));
            }
        }
    }
}

/// d E[x]/dθ and d E[x²]/dθ through draws against the derivatives of mean and of variance + mean².
#[test]
fn gradients_flow_through_draws() {
    for row in ROWS {
        let (mut b, d) = setup(row);
        if !d.family.reparameterised() || d.family.mean(&mut b.g, &d).is_none() {
            continue;
        }
        let draw = b.draws(&d);
        let x = d.sample(&mut b.g, &draw).value;
        let mean = d.mean(&mut b.g).expect("checked above");
        let var = d.variance(&mut b.g).expect("a family with a mean has a variance");
        let mean_square = b.g.square(mean);
        let second = b.g.add(var, mean_square);
        let square = b.g.square(x);
        // Weights that differ by part, as the parts of a simplex sum to a constant.
        let weight = b.input(b.event, (0..row.n_event).map(|k| 1.0 + k as f64).collect());
        for (drawn, exact, what) in [(x, mean, "x"), (square, second, "x²")] {
            let (drawn, exact) = if d.family.is_vector() {
                (b.g.mul(drawn, weight), b.g.mul(exact, weight))
            } else {
                (drawn, exact)
            };
            let axis = b.draw;
            let average = b.g.mean(drawn, axis);
            let ours = b.gradients(average, &d.params);
            let truth = b.gradients(exact, &d.params);
            for (j, (ours, truth)) in b.run(&ours).iter().zip(b.run(&truth)).enumerate() {
                for (i, blocks) in by_element(ours).iter().enumerate() {
                    let what = format!("{} d E[{what}] / d parameter {j}, element {i}", row.label());
                    within_five_errors(blocks, truth[i], &what);
                }
            }
        }
    }
}

/// The logistic normal has no closed moments: of two parts, E[log x₁ − log x₂] = m₁ − m₂ with variance v₁ + v₂.
#[test]
fn logistic_normal_log_ratio() {
    for row in ROWS.iter().filter(|r| r.family == "LogisticNormal") {
        let (mut b, d) = setup(row);
        let draw = b.draws(&d);
        let sample = d.sample(&mut b.g, &draw);
        let log = b.g.log(sample.value);
        let sign = b.input(b.event, vec![1.0, -1.0]);
        let signed = b.g.mul(log, sign);
        let event = b.event;
        let ratio = b.g.sum(signed, event);
        let axis = b.draw;
        let average = b.g.mean(ratio, axis);
        let grads = b.gradients(average, &d.params[..1]);
        let out = b.run(&[average, grads[0]]);
        for (p, blocks) in by_element(&out[0]).iter().enumerate() {
            let m = row.param(0, p);
            within_five_errors(blocks, m[0] - m[1], &row.label());
        }
        for (i, blocks) in by_element(&out[1]).iter().enumerate() {
            within_five_errors(blocks, if i % 2 == 0 { 1.0 } else { -1.0 }, "its gradient");
        }
    }
}

/// Two streams, or two steps, give different draws; the same give the same.
#[test]
fn draws_depend_on_stream_and_step_only() {
    for row in ROWS.iter().filter(|r| r.family != "Delta") {
        let (mut b, d) = setup(row);
        let draw = b.draws(&d);
        let (one, same) = (d.sample(&mut b.g, &draw).value, d.sample(&mut b.g, &draw).value);
        let later = distributions::Draw { stream: draw.stream + distributions::Draw::STREAMS, ..draw };
        let other = d.sample(&mut b.g, &later).value;
        let out = b.run(&[one, same, other]);
        assert_eq!(out[0], out[1], "{}", row.label());
        assert_ne!(out[0], out[2], "{}", row.label());
        let streams = b.g.nodes().iter().filter_map(|n| match n.op {
            autodiff_runtime::Op::Random { stream, .. } => Some(stream),
            _ => None,
        });
        assert!(streams.into_iter().all(|s| (8..24).contains(&s)), "{}: beyond its streams", row.label());
        b.key.step += 1;
        assert_ne!(b.run(&[one])[0], out[0], "{}", row.label());
    }
}
