//! Gradients of the graph against central differences in double precision, one small program per operation.

use autodiff_runtime::autodiff::gradients;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::{Axes, Elem, Feed, Graph, NodeId, ReduceKind, StepKey, Variables};

fn value(g: &Graph, out: &[NodeId], feeds: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let feeds: Vec<Feed<'_, f64>> = feeds.iter().map(|f| Feed::Dense(f)).collect();
    evaluate(g, out, &Variables::new(), &feeds, StepKey::default()).expect("the test's graph runs")
}

/// Compares the gradient of `loss` in every input with central differences.
fn check(mut g: Graph, inputs: &[NodeId], loss: NodeId, feeds: &[Vec<f64>]) {
    let grads = gradients(&mut g, loss, inputs).expect("differentiable");
    let g = g.verify().expect("a valid graph");
    let ours = value(&g, &grads, feeds);
    for (i, feed) in feeds.iter().enumerate() {
        for k in 0..feed.len() {
            let h = 1e-6 * feed[k].abs().max(1.0);
            let at = |d: f64| {
                let mut f = feeds.to_vec();
                f[i][k] += d;
                value(&g, &[loss], &f)[0][0]
            };
            let numeric = (at(h) - at(-h)) / (2.0 * h);
            let err = (numeric - ours[i][k]).abs() / numeric.abs().max(1.0);
            assert!(
                err < 1e-7,
                "input {i} element {k}: difference quotient {numeric}, gradient {}",
                ours[i][k]
            );
        }
    }
}

fn series(n: usize, from: f64, step: f64) -> Vec<f64> {
    (0..n).map(|i| from + step * ((i * 7 + 3) % n) as f64).collect()
}

#[test]
fn elementwise_with_broadcast_operands() {
    for e in Elem::ALL.into_iter().filter(|e| !matches!(e, Elem::Trigamma | Elem::LogGammaSampleGrad)) {
        let mut g = Graph::new();
        let (a, b, c) = (g.add_axis("a", 3), g.add_axis("b", 2), g.add_axis("c", 2));
        let shapes = [Axes::from([a, b]), Axes::from([b, c]), Axes::from(c)];
        let args: Vec<NodeId> = (0..e.arity()).map(|i| g.input(format!("x{i}"), shapes[i].clone())).collect();
        let y = g.push(autodiff_runtime::Op::Elem(e, args.clone()));
        // A weight over another axis makes the adjoint vary along some axes and not along others.
        let w = g.input("w", Axes::from(b));
        let wy = g.mul(w, y);
        let over = g.axes_of(wy).clone();
        let loss = g.sum(wy, over);
        let feeds = [series(6, 0.31, 0.17), series(4, 0.45, 0.21), series(2, 0.6, 0.3)];
        let mut feeds: Vec<Vec<f64>> = feeds[..e.arity()].to_vec();
        feeds.push(vec![0.7, -1.3]);
        let inputs: Vec<NodeId> = args.into_iter().chain([w]).collect();
        check(g, &inputs, loss, &feeds);
    }
}

#[test]
fn reductions() {
    for kind in [ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min, ReduceKind::LogSumExp] {
        let mut g = Graph::new();
        let (a, b) = (g.add_axis("a", 3), g.add_axis("b", 4));
        let x = g.input("x", Axes::from([a, b]));
        let r = g.reduce(kind, x, b);
        let s = g.square(r);
        let loss = g.sum(s, a);
        check(g, &[x], loss, &[series(12, 0.2, 0.13)]);
    }
}

#[test]
fn a_sum_of_a_constant_counts_its_elements() {
    let mut g = Graph::new();
    let (a, b) = (g.add_axis("a", 3), g.add_axis("b", 4));
    let x = g.input("x", Axes::from(a));
    let y = g.input("y", Axes::from(b));
    let z = g.add(x, y);
    let loss = g.sum(z, Axes::from([a, b]));
    check(g, &[x, y], loss, &[series(3, 0.2, 0.13), series(4, 1.0, 0.5)]);
}

#[test]
fn contractions_of_every_kind_of_axis() {
    let mut g = Graph::new();
    let (n, k, m, extra) =
        (g.add_axis("n", 2), g.add_axis("k", 3), g.add_axis("m", 4), g.add_axis("extra", 2));
    let a = g.input("a", Axes::from([n, k, extra]));
    let b = g.input("b", Axes::from([n, k, m]));
    // n is a batch axis, k is shared and summed, extra is summed though only the left operand has it.
    let c = g.contract(a, b, Axes::from([k, extra]));
    let s = g.unary(Elem::Tanh, c);
    let loss = g.sum(s, Axes::from([n, m]));
    check(g, &[a, b], loss, &[series(12, -0.5, 0.11), series(24, -0.4, 0.05)]);
}

#[test]
fn gather_scatter_rename_broadcast() {
    let mut g = Graph::new();
    let (cell, kind, h, h2) =
        (g.add_axis("cell", 4), g.add_axis("kind", 3), g.add_axis("h", 2), g.add_axis("h'", 2));
    let table = g.input("table", Axes::from([kind, h]));
    let scores = g.input("scores", Axes::from([cell, kind]));
    let index = g.reduce(ReduceKind::ArgMax, scores, kind);
    let rows = g.gather(table, index, kind);
    let picked = g.gather(scores, index, kind);
    let product = g.mul(rows, picked);
    let renamed = g.rename(product, h, h2);
    let square = g.square(renamed);
    let wide = g.broadcast(square, &Axes::from([cell, h, h2]));
    let loss = g.sum(wide, Axes::from([cell, h, h2]));
    check(g, &[table, scores], loss, &[series(6, 0.3, 0.2), series(12, 0.1, 0.37)]);
}

#[test]
fn stop_blocks_and_unreached_inputs_get_zeros() {
    let mut g = Graph::new();
    let a = g.add_axis("a", 2);
    let x = g.input("x", Axes::from(a));
    let unused = g.input("unused", Axes::from(a));
    let stopped = g.stop(x);
    let y = g.mul(stopped, x);
    let loss = g.sum(y, a);
    let grads = gradients(&mut g, loss, &[x, unused]).expect("differentiable");
    let out = value(&g, &grads, &[vec![2.0, 3.0], vec![1.0, 1.0]]);
    assert_eq!(out, vec![vec![2.0, 3.0], vec![0.0, 0.0]]);
}
