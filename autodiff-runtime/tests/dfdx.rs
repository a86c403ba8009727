//! dfdx's tape against reverse mode on the graph and against central differences: two independent derivations of every
//! gradient must agree. Values are compared with the reference evaluator.
#![cfg(feature = "dfdx")]

use autodiff_runtime::autodiff::gradients;
use autodiff_runtime::backend::dfdx::DfdxBackend;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::backend::{Backend, Executable};
use autodiff_runtime::graph::{Dtype, Storage};
use autodiff_runtime::optim::{Adam, Optimiser};
use autodiff_runtime::{
    Axes, AxisId, CsrView, Elem, Element, Feed, Graph, NodeId, Op, Program, RandomKind, ReduceKind, RunError,
    StepKey, Training, Variables,
};
use proptest::prelude::*;

const KEY: StepKey = StepKey { seed: 11, step: 3 };

/// A graph whose trained variables are all of its variables, with their values and its feeds.
struct Case {
    g: Graph,
    loss: NodeId,
    variables: Vec<Vec<f64>>,
    indices: Vec<Vec<u32>>,
}

impl Case {
    fn new(g: Graph, loss: NodeId, variables: &[Vec<f64>]) -> Self {
        Self { g, loss, variables: variables.to_vec(), indices: vec![] }
    }

    fn with_indices(mut self, indices: &[Vec<u32>]) -> Self {
        self.indices = indices.to_vec();
        self
    }

    fn store<E: Element>(&self) -> Variables<E> {
        let mut store = Variables::new();
        for (decl, value) in self.g.variables().iter().zip(&self.variables) {
            store.set(&decl.name, value.iter().map(|x| E::from_f64(*x)).collect());
        }
        store
    }

    fn feeds<E>(&self) -> Vec<Feed<'_, E>> {
        self.indices.iter().map(|i| Feed::Index(i)).collect()
    }

    fn names(&self) -> Vec<String> {
        self.g.variables().iter().map(|v| v.name.clone()).collect()
    }

    /// Loss and gradients by reverse mode on the graph and the reference evaluator.
    fn ours(&self) -> (f64, Vec<Vec<f64>>) {
        let mut g = self.g.clone();
        let ids: Vec<_> = self.names().iter().filter_map(|n| g.find_variable(n)).collect();
        let (nodes, loss) = splice_reads(&mut g, &ids, self.loss);
        let mut wanted = gradients(&mut g, loss, &nodes).expect("differentiable");
        wanted.push(loss);
        let g = g.verify().expect("a valid graph");
        let mut out = evaluate(&g, &wanted, &self.store(), &self.feeds(), KEY).expect("the reference runs");
        let loss = out.pop().expect("the loss")[0];
        (loss, out)
    }

    /// Loss and gradients by dfdx.
    fn dfdx<E: Element>(&self) -> (f64, Vec<Vec<f64>>)
    where
        DfdxBackend: Backend<E>,
    {
        let mut run = prepare::<E>(&self.g, self.loss, None);
        run.run(&mut self.store(), &self.feeds(), KEY).expect("dfdx runs");
        let wide = |name: &str| -> Vec<f64> {
            run.output(name).expect("an output").iter().map(|x| x.to_f64()).collect()
        };
        (wide("loss")[0], self.names().iter().map(|n| wide(&format!("grad.{n}"))).collect())
    }

    fn loss_at(&self, variables: Vec<Vec<f64>>) -> f64 {
        let moved = Case { g: self.g.clone(), loss: self.loss, variables, indices: self.indices.clone() };
        evaluate(&self.g, &[self.loss], &moved.store(), &self.feeds(), KEY).expect("the reference runs")[0][0]
    }

    /// dfdx in double precision equals reverse mode to 1e-10, and dfdx in single precision is near.
    fn agree(&self) {
        let (loss, ours) = self.ours();
        let (their_loss, theirs) = self.dfdx::<f64>();
        let (single_loss, single) = self.dfdx::<f32>();
        close("loss", &[loss], &[their_loss], 1e-10);
        near("loss in f32", &[loss], &[single_loss], 1e-5, 1.0);
        for (v, name) in self.names().iter().enumerate() {
            close(name, &ours[v], &theirs[v], 1e-10);
            near(&format!("{name} in f32"), &ours[v], &single[v], 2e-5, 1.0);
        }
    }

    /// [`Case::agree`], and difference quotients of the reference's loss to 1e-8.
    fn check(&self) {
        self.agree();
        let (loss, theirs) = self.dfdx::<f64>();
        for (v, gradient) in theirs.iter().enumerate() {
            for k in 0..gradient.len() {
                let numeric = quotient(2e-3 * self.variables[v][k].abs().max(1e-2), |d| {
                    let mut moved = self.variables.clone();
                    moved[v][k] += d;
                    self.loss_at(moved)
                });
                let what = format!("variable {v} element {k}, numeric");
                near(&what, &[numeric], &[gradient[k]], 1e-8, loss.abs());
            }
        }
    }
}

/// Each variable read once at the front, so that there is one node to differentiate in.
fn splice_reads(
    g: &mut Graph,
    ids: &[autodiff_runtime::graph::VariableId],
    loss: NodeId,
) -> (Vec<NodeId>, NodeId) {
    let mut out = g.empty_like();
    let reads: Vec<NodeId> = ids.iter().map(|v| out.read_variable(*v)).collect();
    let mut moved: Vec<NodeId> = vec![];
    for node in g.nodes() {
        let new = match &node.op {
            Op::Variable(v) => reads[ids.iter().position(|x| x == v).expect("listed")],
            op => out.push(op.map_operands(|o| moved[o.index()])),
        };
        moved.push(new);
    }
    *g = out;
    (reads, moved[loss.index()])
}

fn prepare<E: Element>(g: &Graph, loss: NodeId, optimiser: Option<Optimiser>) -> Box<dyn Executable<E>>
where
    DfdxBackend: Backend<E>,
{
    DfdxBackend.prepare(&program(g, loss, optimiser)).expect("dfdx prepares")
}

fn program(g: &Graph, loss: NodeId, optimiser: Option<Optimiser>) -> Program {
    let mut g = g.clone();
    g.output("loss", loss);
    let trained = g.variables().iter().filter_map(|v| g.find_variable(&v.name)).collect();
    let training = Some(Training { loss, trained, optimiser, expose_gradients: true });
    Program { graph: g.verify().expect("a valid graph"), training }
}

/// Equal up to `tolerance`, relative to the array's largest element (at least 1e-3): cancelled elements carry its rounding.
fn close(what: &str, a: &[f64], b: &[f64], tolerance: f64) {
    within(what, a, b, tolerance * a.iter().fold(1e-3_f64, |m, x| m.max(x.abs())));
}

/// Equal up to `tolerance`, relative to the largest element or `scale`, whichever is larger.
fn near(what: &str, a: &[f64], b: &[f64], tolerance: f64, scale: f64) {
    within(what, a, b, tolerance * a.iter().fold(scale.max(1.0), |m, x| m.max(x.abs())));
}

fn within(what: &str, a: &[f64], b: &[f64], error: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        let same = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= error;
        assert!(same, "{what} [{i}]: {x} and {y}");
    }
}

/// The difference quotient of fourth order at distance `h`.
fn quotient(h: f64, f: impl Fn(f64) -> f64) -> f64 {
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

fn series(n: usize, from: f64, step: f64) -> Vec<f64> {
    (0..n).map(|i| from + step * ((i * 7 + 3) % n) as f64).collect()
}

fn variable(g: &mut Graph, name: &str, axes: impl Into<Axes>) -> NodeId {
    let id = g.declare_variable(name, axes);
    g.read_variable(id)
}

/// Σ of y against weights that differ from element to element.
fn weighed(g: &mut Graph, y: NodeId) -> NodeId {
    let axes = g.axes_of(y).clone();
    let mut w = g.constant(0.8);
    for (k, axis) in axes.iter().enumerate() {
        let i = g.iota(axis);
        let i = g.to_real(i);
        let i = g.mul_const(i, 0.31 + 0.1 * k as f64);
        let s = g.unary(Elem::Tanh, i);
        w = g.add(w, s);
    }
    let wy = g.mul(w, y);
    g.sum(wy, axes)
}

#[test]
fn elementwise_with_broadcast_operands() {
    for e in Elem::ALL.into_iter().filter(|e| !matches!(e, Elem::Trigamma | Elem::LogGammaSampleGrad)) {
        let mut g = Graph::new();
        let (a, b, c) = (g.add_axis("a", 3), g.add_axis("b", 2), g.add_axis("c", 2));
        let shapes = [Axes::from([a, b]), Axes::from([b, c]), Axes::from(c)];
        let args: Vec<NodeId> =
            (0..e.arity()).map(|i| variable(&mut g, &format!("x{i}"), shapes[i].clone())).collect();
        let y = g.push(Op::Elem(e, args));
        let loss = weighed(&mut g, y);
        let values = [series(6, 0.31, 0.17), series(4, 0.45, 0.21), series(2, 0.6, 0.3)];
        Case::new(g, loss, &values[..e.arity()]).check();
    }
}

#[test]
fn elementwise_of_negative_and_large_operands() {
    use Elem::*;
    for e in [Neg, Recip, Exp, Expm1, Square, Abs, Sigmoid, Softplus, Relu, Tanh, Erf] {
        let mut g = Graph::new();
        let a = g.add_axis("a", 6);
        let x = variable(&mut g, "x", a);
        let y = g.unary(e, x);
        let loss = weighed(&mut g, y);
        Case::new(g, loss, &[vec![-3.0, -0.4, -0.01, 0.2, 2.5, 6.0]]).check();
    }
}

#[test]
fn the_same_operand_twice() {
    for e in Elem::ALL.into_iter().filter(|e| e.arity() == 2 && *e != Elem::LogGammaSampleGrad) {
        let mut g = Graph::new();
        let a = g.add_axis("a", 3);
        let x = variable(&mut g, "x", a);
        let y = g.binary(e, x, x);
        let loss = weighed(&mut g, y);
        Case::new(g, loss, &[series(3, 0.4, 0.3)]).agree();
    }
    let mut g = Graph::new();
    let (a, b) = (g.add_axis("a", 3), g.add_axis("b", 2));
    let x = variable(&mut g, "x", Axes::from([a, b]));
    let gram = g.contract(x, x, a);
    let chosen = g.select(x, x, x);
    let s = g.add(gram, chosen);
    let loss = weighed(&mut g, s);
    Case::new(g, loss, &[series(6, -0.4, 0.3)]).check();
}

#[test]
fn powers_with_a_constant_exponent() {
    for exponent in [-1.5, 0.0, 0.5, 1.0, 2.0, 3.0] {
        let mut g = Graph::new();
        let a = g.add_axis("a", 3);
        let x = variable(&mut g, "x", a);
        let c = g.constant(exponent);
        let y = g.binary(Elem::Pow, x, c);
        let loss = weighed(&mut g, y);
        Case::new(g, loss, &[series(3, 0.4, 0.3)]).check();
    }
}

#[test]
fn reductions_along_any_axes() {
    for kind in [ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min, ReduceKind::LogSumExp] {
        for over in [vec![0], vec![1], vec![2], vec![0, 2], vec![0, 1, 2], vec![]] {
            let mut g = Graph::new();
            let axes = [g.add_axis("a", 3), g.add_axis("b", 2), g.add_axis("c", 4)];
            let x = variable(&mut g, "x", axes);
            let r = g.reduce(kind, x, Axes::new(over.iter().map(|k| axes[*k])));
            let s = g.square(r);
            let loss = weighed(&mut g, s);
            Case::new(g, loss, &[series(24, 0.2, 0.11)]).check();
        }
    }
}

#[test]
fn ties_share_the_gradient_as_the_graph_says() {
    for kind in [ReduceKind::Max, ReduceKind::Min] {
        let mut g = Graph::new();
        let (a, b) = (g.add_axis("a", 2), g.add_axis("b", 3));
        let x = variable(&mut g, "x", Axes::from([a, b]));
        let r = g.reduce(kind, x, b);
        let loss = weighed(&mut g, r);
        Case::new(g, loss, &[vec![1.0, 2.0, 2.0, -1.0, -1.0, -1.0]]).agree();
    }
    for e in [Elem::Min, Elem::Max] {
        let mut g = Graph::new();
        let a = g.add_axis("a", 3);
        let (x, y) = (variable(&mut g, "x", a), variable(&mut g, "y", a));
        let m = g.binary(e, x, y);
        let loss = weighed(&mut g, m);
        Case::new(g, loss, &[vec![1.0, 2.0, 3.0], vec![2.0, 2.0, 1.0]]).agree();
    }
}

#[test]
fn contractions_of_every_kind_of_axis() {
    // n is a batch axis, k shared and summed, left and right are kept, the lonely ones summed though one factor has them.
    let mut g = Graph::new();
    let axes: Vec<AxisId> =
        ["k", "right", "n", "left", "lonely", "k2", "alone"].map(|name| g.add_axis(name, 2)).to_vec();
    let [k, right, n, left, lonely, k2, alone] = axes[..] else { unreachable!() };
    let a = variable(&mut g, "a", Axes::from([n, k, k2, left, lonely]));
    let b = variable(&mut g, "b", Axes::from([n, k, k2, right, alone]));
    let c = g.contract(a, b, Axes::from([k, k2, lonely, alone]));
    let s = g.unary(Elem::Tanh, c);
    let outer = g.contract(s, b, Axes::none());
    let loss = weighed(&mut g, outer);
    Case::new(g, loss, &[series(32, -0.3, 0.02), series(32, -0.2, 0.015)]).check();
}

#[test]
fn a_product_by_a_scalar_and_a_sum_without_a_partner() {
    let mut g = Graph::new();
    let (a, b) = (g.add_axis("a", 3), g.add_axis("b", 4));
    let x = variable(&mut g, "x", Axes::from([a, b]));
    let s = variable(&mut g, "s", Axes::none());
    let c = g.contract(x, s, b);
    let loss = weighed(&mut g, c);
    Case::new(g, loss, &[series(12, -0.5, 0.11), vec![0.7]]).check();
}

#[test]
fn gather_scatter_rename_broadcast() {
    let mut g = Graph::new();
    let (cell, kind, h, h2) =
        (g.add_axis("cell", 4), g.add_axis("kind", 3), g.add_axis("h", 2), g.add_axis("h'", 2));
    let table = variable(&mut g, "table", Axes::from([kind, h]));
    let scores = variable(&mut g, "scores", Axes::from([cell, kind]));
    let batch = g.index_input("batch", cell);
    let best = g.reduce(ReduceKind::ArgMax, scores, kind);
    let rows = g.gather(table, batch, kind);
    let picked = g.gather(scores, best, kind);
    let product = g.mul(rows, picked);
    let renamed = g.rename(product, h, h2);
    let square = g.square(renamed);
    let wide = g.broadcast(square, &Axes::from([cell, h, h2]));
    let product = g.mul(wide, rows);
    let totals = g.push(Op::ScatterAdd { values: product, index: batch, axis: kind, keep: Axes::none() });
    let per_cell = g.push(Op::ScatterAdd { values: rows, index: best, axis: kind, keep: Axes::from(cell) });
    // Values that lack the index's axis are added once per position of the index.
    let repeated =
        g.push(Op::ScatterAdd { values: square, index: batch, axis: kind, keep: Axes::from(cell) });
    let mut all = g.unary(Elem::Tanh, totals);
    for part in [per_cell, repeated] {
        all = g.add(all, part);
    }
    let loss = weighed(&mut g, all);
    Case::new(g, loss, &[series(6, 0.3, 0.2), series(12, 0.1, 0.37)])
        .with_indices(&[vec![2, 0, 2, 1]])
        .check();
}

#[test]
fn a_scatter_repeats_values_without_the_axis_of_the_index() {
    let mut g = Graph::new();
    let (cell, kind, h) = (g.add_axis("cell", 4), g.add_axis("kind", 3), g.add_axis("h", 2));
    let x = variable(&mut g, "x", h);
    let batch = g.index_input("batch", cell);
    let sums = g.push(Op::ScatterAdd { values: x, index: batch, axis: kind, keep: Axes::none() });
    let s = g.square(sums);
    let loss = weighed(&mut g, s);
    Case::new(g, loss, &[vec![0.4, -0.7]]).with_indices(&[vec![2, 0, 2, 1]]).check();
}

#[test]
fn index_values_travel_through_gather_rename_broadcast_and_eq() {
    let mut g = Graph::new();
    let (cell, kind, kind2) = (g.add_axis("cell", 3), g.add_axis("kind", 3), g.add_axis("kind'", 3));
    let codes = g.index_input("codes", kind);
    let which = g.index_input("which", cell);
    let looked = g.gather(codes, which, kind);
    let renamed = g.rename(codes, kind, kind2);
    let wide = g.broadcast(renamed, &Axes::from([cell, kind2]));
    let stopped = g.stop(wide);
    let hit = g.binary(Elem::Eq, looked, stopped);
    let x = variable(&mut g, "x", Axes::from(kind2));
    let y = g.mul(hit, x);
    let loss = weighed(&mut g, y);
    // Above 2^24 an f32 cannot tell neighbours apart; indices must.
    let codes = vec![16_777_216, 16_777_217, 16_777_218];
    Case::new(g, loss, &[vec![1.0, 2.0, 4.0]]).with_indices(&[codes, vec![1, 1, 0]]).check();
}

#[test]
fn stop_blocks_and_unread_variables_get_zeros() {
    let mut g = Graph::new();
    let a = g.add_axis("a", 2);
    let x = variable(&mut g, "x", a);
    g.declare_variable("unused", a);
    let stopped = g.stop(x);
    let y = g.mul(stopped, x);
    let loss = g.sum(y, a);
    let case = Case::new(g, loss, &[vec![2.0, 3.0], vec![1.0, 1.0]]);
    assert_eq!(case.dfdx::<f64>().1, [[2.0, 3.0], [0.0, 0.0]]);
}

#[test]
fn an_output_off_the_path_does_not_spoil_the_gradient() {
    let mut g = Graph::new();
    let a = g.add_axis("a", 2);
    let x = variable(&mut g, "x", a);
    let log = g.log(x);
    g.output("log", log);
    let s = g.square(x);
    let loss = g.sum(s, a);
    let (_, gradients) = Case::new(g, loss, &[vec![0.0, 3.0]]).dfdx::<f64>();
    assert_eq!(gradients, [[0.0, 6.0]]);
}

#[test]
fn zeros_and_infinities_have_the_limits_for_gradients() {
    // Products with zeros, 0 · log 0, and a group of −∞ under logsumexp.
    let mut g = Graph::new();
    let (a, b) = (g.add_axis("a", 2), g.add_axis("b", 2));
    let x = variable(&mut g, "x", Axes::from([a, b]));
    let p = g.reduce(ReduceKind::Prod, x, b);
    let loss = g.sum(p, a);
    let case = Case::new(g, loss, &[vec![0.0, 3.0, 0.0, 0.0]]);
    assert_eq!(case.dfdx::<f64>().1, [[3.0, 0.0, 0.0, 0.0]]);

    let mut g = Graph::new();
    let x = variable(&mut g, "x", Axes::none());
    let zero = g.constant(0.0);
    let loss = g.xlogy(zero, x);
    assert_eq!(Case::new(g, loss, &[vec![0.0]]).dfdx::<f64>(), (0.0, vec![vec![0.0]]));

    let mut g = Graph::new();
    let (a, b) = (g.add_axis("a", 2), g.add_axis("b", 2));
    let x = variable(&mut g, "x", Axes::from([a, b]));
    let l = g.logsumexp(x, b);
    let e = g.exp(l);
    let loss = g.sum(e, a);
    let low = f64::NEG_INFINITY;
    let (value, gradient) = Case::new(g, loss, &[vec![low, low, 0.0, low]]).dfdx::<f64>();
    assert_eq!((value, gradient), (1.0, vec![vec![0.0, 0.0, 1.0, 0.0]]));
}

#[test]
fn nan_is_not_lost_in_relu_or_extrema() {
    let mut g = Graph::new();
    let a = g.add_axis("a", 2);
    let x = variable(&mut g, "x", a);
    let relu = g.unary(Elem::Relu, x);
    let one = g.constant(1.0);
    let (least, most) = (g.binary(Elem::Min, one, x), g.binary(Elem::Max, x, one));
    let (low, high) = (g.reduce(ReduceKind::Min, x, a), g.reduce(ReduceKind::Max, x, a));
    for (name, node) in [("relu", relu), ("min", least), ("max", most), ("low", low), ("high", high)] {
        g.output(name, node);
    }
    let loss = g.sum(x, a);
    let case = Case::new(g, loss, &[vec![f64::NAN, 2.0]]);
    let mut run = prepare::<f64>(&case.g, case.loss, None);
    run.run(&mut case.store(), &[], KEY).expect("runs");
    for name in ["relu", "min", "max", "low", "high"] {
        assert!(run.output(name).expect("declared")[0].is_nan(), "{name}");
    }
}

#[test]
fn draws_equal_the_reference_and_gamma_is_differentiable() {
    let mut g = Graph::new();
    let (cell, gene) = (g.add_axis("cell", 3), g.add_axis("gene", 4));
    let rows = g.index_input("rows", cell);
    let both = Axes::from([cell, gene]);
    let shape = variable(&mut g, "shape", gene);
    let scale = variable(&mut g, "scale", cell);
    let log_gamma = g.random(RandomKind::LogGamma, &[shape], 1, both.clone(), Some(rows));
    let gamma = g.exp(log_gamma);
    let rate = g.mul(gamma, scale);
    let uniform = g.random(RandomKind::Uniform, &[], 2, gene, None);
    let normal = g.random(RandomKind::Normal, &[], 3, both.clone(), Some(rows));
    let poisson = g.random(RandomKind::Poisson, &[rate], 4, both.clone(), Some(rows));
    let half = g.unary(Elem::Sigmoid, scale);
    let total = g.constant(12.0);
    let binomial = g.random(RandomKind::Binomial, &[total, half], 5, cell, None);
    let multinomial =
        g.random(RandomKind::Multinomial(gene), &[binomial, gamma], 6, both.clone(), Some(rows));
    let mut sum = g.square(rate);
    for draw in [uniform, normal, poisson, binomial, multinomial] {
        let weighted = g.mul(draw, shape);
        sum = g.add(sum, weighted);
    }
    let loss = weighed(&mut g, sum);
    let draws = [log_gamma, uniform, normal, poisson, binomial, multinomial];
    draws.iter().enumerate().for_each(|(i, d)| g.output(format!("draw{i}"), *d));
    let case = Case::new(g, loss, &[vec![0.4, 1.2, 3.0, 7.5], vec![1.3, 0.2, 2.0]])
        .with_indices(&[vec![40, 7, 90_000]]);
    let (loss, ours) = case.ours();
    let (their_loss, theirs) = case.dfdx::<f64>();
    close("loss", &[loss], &[their_loss], 1e-12);
    ours.iter().zip(&theirs).for_each(|(a, b)| close("gradient", a, b, 1e-10));
    let mut run = prepare::<f64>(&case.g, case.loss, None);
    run.run(&mut case.store(), &case.feeds(), KEY).expect("runs");
    let wanted = evaluate(&case.g, &draws, &case.store(), &case.feeds(), KEY).expect("the reference runs");
    for (i, wanted) in wanted.iter().enumerate() {
        assert_eq!(run.output(&format!("draw{i}")).expect("declared"), wanted.as_slice(), "draw {i}");
    }
}

/// A variational auto-encoder's decoder in small: dense layers, batch norm, a batch effect, softmax, and a negative
/// binomial's logarithm on counts.
fn small_objective(csr: bool) -> (Graph, NodeId, Vec<Vec<f64>>) {
    let mut g = Graph::new();
    let (cell, gene, batch, hidden, latent) = (
        g.add_axis("cell", 5),
        g.add_axis("gene", 6),
        g.add_axis("batch", 2),
        g.add_axis("hidden", 4),
        g.add_axis("latent", 2),
    );
    let storage = if csr { Storage::Csr } else { Storage::Dense };
    let counts = g.declare_input("counts", [cell, gene], Dtype::Real, storage);
    let x = g.read_input(counts);
    let which = g.index_input("which", cell);
    let w1 = variable(&mut g, "w1", Axes::from([gene, hidden]));
    let b1 = variable(&mut g, "b1", hidden);
    let effect = variable(&mut g, "effect", Axes::from([batch, hidden]));
    let w2 = variable(&mut g, "w2", Axes::from([hidden, latent]));
    let w3 = variable(&mut g, "w3", Axes::from([gene, latent]));
    let log_theta = variable(&mut g, "log_theta", gene);
    let logged = g.log1p(x);
    let h = g.contract(logged, w1, gene);
    let h = g.add(h, b1);
    let row = g.gather(effect, which, batch);
    let h = g.add(h, row);
    let mean = g.mean(h, cell);
    let centred = g.sub(h, mean);
    let square = g.square(centred);
    let variance = g.mean(square, cell);
    let variance = g.add_const(variance, 1e-3);
    let deviation = g.sqrt(variance);
    let h = g.div(centred, deviation);
    let h = g.unary(Elem::Relu, h);
    let z = g.contract(h, w2, hidden);
    let logits = g.contract(z, w3, latent);
    let rho = g.softmax(logits, gene);
    let library = g.sum(x, gene);
    let mu = g.mul(library, rho);
    let theta = g.exp(log_theta);
    let both = g.add(theta, mu);
    let (log_theta2, log_mu, log_both) = (g.log(theta), g.log(mu), g.log(both));
    let (theta_part, mu_part) = (g.sub(log_theta2, log_both), g.sub(log_mu, log_both));
    let first = g.mul(theta, theta_part);
    let second = g.mul(x, mu_part);
    let third = g.push(Op::Elem(Elem::LgammaDelta, vec![x, theta]));
    let log_p = g.add(first, second);
    let log_p = g.add(log_p, third);
    let total = g.sum(log_p, Axes::from([cell, gene]));
    let loss = g.mul_const(total, -0.2);
    let sizes = [24, 4, 8, 8, 12, 6];
    let values = sizes.iter().enumerate().map(|(i, n)| series(*n, -0.4 + 0.05 * i as f64, 0.9 / *n as f64));
    let values = values.collect();
    (g, loss, values)
}

const COUNTS: [f64; 30] = [
    0., 3., 0., 1., 0., 7., 2., 0., 0., 0., 5., 1., 0., 0., 90., 4., 0., 1., 1., 1., 0., 0., 0., 2., 6., 0.,
    3., 0., 0., 8.,
];
const WHICH: [u32; 5] = [1, 0, 0, 1, 1];

fn objective_by_reference(g: &Graph, loss: NodeId, values: &[Vec<f64>]) -> (f64, Vec<Vec<f64>>) {
    let case = Case::new(g.clone(), loss, values);
    let mut g = case.g.clone();
    let ids: Vec<_> = case.names().iter().filter_map(|n| g.find_variable(n)).collect();
    let (nodes, loss) = splice_reads(&mut g, &ids, loss);
    let mut wanted = gradients(&mut g, loss, &nodes).expect("differentiable");
    wanted.push(loss);
    let feeds = [Feed::Dense(&COUNTS[..]), Feed::Index(&WHICH)];
    let mut out = evaluate(&g, &wanted, &case.store(), &feeds, KEY).expect("the reference runs");
    (out.pop().expect("the loss")[0], out)
}

#[test]
fn a_small_network_with_counts() {
    let (g, loss, values) = small_objective(false);
    let case = Case::new(g, loss, &values);
    let (ours_loss, ours) = objective_by_reference(&case.g, loss, &values);
    let feeds = [Feed::Dense(&COUNTS[..]), Feed::Index(&WHICH)];
    let mut run = prepare::<f64>(&case.g, loss, None);
    run.run(&mut case.store(), &feeds, KEY).expect("dfdx runs");
    close("loss", &[ours_loss], run.output("loss").expect("declared"), 1e-10);
    let single_counts = COUNTS.map(|x| x as f32);
    let single_feeds = [Feed::Dense(&single_counts[..]), Feed::Index(&WHICH)];
    let mut single = prepare::<f32>(&case.g, loss, None);
    single.run(&mut case.store(), &single_feeds, KEY).expect("dfdx runs");
    for (v, (name, ours)) in case.names().iter().zip(&ours).enumerate() {
        let name = format!("grad.{name}");
        close(&name, ours, run.output(&name).expect("exposed"), 1e-10);
        let f32s: Vec<f64> = single.output(&name).expect("exposed").iter().map(|x| f64::from(*x)).collect();
        near(&name, ours, &f32s, 1e-5, ours_loss);
        for k in 0..ours.len() {
            let numeric = quotient(1e-4, |d| {
                let mut moved = values.clone();
                moved[v][k] += d;
                let moved = Case::new(case.g.clone(), loss, &moved);
                evaluate(&case.g, &[loss], &moved.store(), &feeds, KEY).expect("the reference runs")[0][0]
            });
            near(&name, &[numeric], &[run.output(&name).expect("exposed")[k]], 1e-8, ours_loss);
        }
    }
}

fn csr() -> (Vec<usize>, Vec<u32>, Vec<f64>) {
    let (mut offsets, mut columns, mut values) = (vec![2], vec![0, 0], vec![9.0, 9.0]);
    for row in COUNTS.chunks(6) {
        for (k, x) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            columns.push(k as u32);
            values.push(*x);
        }
        offsets.push(columns.len());
    }
    (offsets, columns, values)
}

#[test]
fn sparse_rows_give_the_same_numbers_as_dense_ones() {
    let (g, loss, values) = small_objective(true);
    let case = Case::new(g, loss, &values);
    let (offsets, columns, stored) = csr();
    let view = CsrView { offsets: &offsets, columns: &columns, values: &stored };
    let run = |first: Feed<'_, f64>| {
        let mut run = prepare::<f64>(&case.g, loss, None);
        run.run(&mut case.store(), &[first, Feed::Index(&WHICH)], KEY).expect("dfdx runs");
        let names = case.names();
        names
            .iter()
            .flat_map(|n| run.output(&format!("grad.{n}")).expect("exposed").to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(Feed::Csr(view)), run(Feed::Dense(&COUNTS)));
}

#[test]
fn adam_steps_equal_the_scalar_rule() {
    for decoupled in [false, true] {
        let (g, loss, values) = small_objective(false);
        let adam = Adam { eps: 0.01, weight_decay: 0.1, decoupled, ..Adam::default() };
        let case = Case::new(g, loss, &values);
        let mut run = prepare::<f64>(&case.g, loss, Some(Optimiser::Adam(adam)));
        let mut store = case.store();
        let mut expected = values.clone();
        let mut moments: Vec<Vec<(f64, f64)>> = values.iter().map(|v| vec![(0.0, 0.0); v.len()]).collect();
        for t in 1..=5 {
            let rate = 0.03 / t as f64;
            let (_, gradients) = objective_by_reference(&case.g, loss, &expected);
            for ((w, m), d) in expected.iter_mut().zip(&mut moments).zip(&gradients) {
                for ((w, m), d) in w.iter_mut().zip(m).zip(d) {
                    let d = if decoupled { *d } else { d + adam.weight_decay * *w };
                    m.0 = adam.beta1 * m.0 + (1.0 - adam.beta1) * d;
                    m.1 = adam.beta2 * m.1 + (1.0 - adam.beta2) * d * d;
                    let first = m.0 / (1.0 - adam.beta1.powi(t));
                    let second = m.1 / (1.0 - adam.beta2.powi(t));
                    let decay = if decoupled { rate * adam.weight_decay * *w } else { 0.0 };
                    *w -= rate * first / (second.sqrt() + adam.eps) + decay;
                }
            }
            let (lr, step) = ([rate], [f64::from(t)]);
            let feeds = [Feed::Dense(&COUNTS[..]), Feed::Index(&WHICH), Feed::Dense(&lr), Feed::Dense(&step)];
            run.run(&mut store, &feeds, KEY).expect("dfdx runs");
        }
        for ((name, expected), moments) in case.names().iter().zip(&expected).zip(&moments) {
            close(name, expected, store.get(name).expect("trained"), 1e-10);
            let first: Vec<f64> = moments.iter().map(|m| m.0).collect();
            close(name, &first, store.get(&format!("adam.m:{name}")).expect("added"), 1e-10);
        }
    }
}

#[test]
fn updates_read_the_values_before_the_step() {
    let mut g = Graph::new();
    let a = g.declare_variable("a", Axes::none());
    let b = g.declare_variable("b", Axes::none());
    let (old_a, old_b) = (g.read_variable(a), g.read_variable(b));
    g.assign(a, old_b);
    g.assign(b, old_a);
    g.output("a", old_a);
    let graph = g.verify().expect("valid");
    let mut run: Box<dyn Executable<f64>> =
        DfdxBackend.prepare(&Program { graph, training: None }).expect("dfdx prepares");
    let mut store = Variables::new();
    store.set("a", vec![1.0]);
    store.set("b", vec![2.0]);
    run.run(&mut store, &[], KEY).expect("dfdx runs");
    assert_eq!((store.get("a"), store.get("b")), (Some(&[2.0][..]), Some(&[1.0][..])));
    assert_eq!(run.output("a"), Some(&[1.0][..]));
    assert!(run.describe().contains("f64"));
}

#[test]
fn bad_feeds_and_variables_are_errors() {
    let (g, loss, values) = small_objective(true);
    let case = Case::new(g, loss, &values);
    let mut run = prepare::<f64>(&case.g, loss, None);
    let mut attempt =
        |feeds: &[Feed<'_, f64>]| run.run(&mut case.store(), feeds, KEY).expect_err("bad feeds");
    let dense = Feed::Dense(&COUNTS[..]);
    assert!(matches!(attempt(&[]), RunError::Feed { name, .. } if name == "counts"));
    assert!(matches!(attempt(&[Feed::Dense(&COUNTS[..7]), Feed::Index(&WHICH)]), RunError::Feed { .. }));
    assert!(matches!(attempt(&[dense]), RunError::Feed { name, .. } if name == "which"));
    assert!(matches!(attempt(&[dense, dense]), RunError::Feed { name, .. } if name == "which"));
    let out_of_range = attempt(&[dense, Feed::Index(&[0, 1, 2, 0, 0])]);
    assert_eq!(out_of_range, RunError::Index { name: "which".into(), index: 2, size: 2 });
    let (offsets, mut columns, stored) = csr();
    let mut sparse = |offsets: &[usize], columns: &[u32], values: &[f64]| {
        attempt(&[Feed::Csr(CsrView { offsets, columns, values }), Feed::Index(&WHICH)])
    };
    assert!(matches!(sparse(&offsets[1..], &columns, &stored), RunError::Feed { .. }));
    assert!(matches!(sparse(&offsets, &columns, &stored[1..]), RunError::Feed { .. }));
    let mut far = offsets.clone();
    *far.last_mut().expect("not empty") += 1;
    assert!(matches!(sparse(&far, &columns, &stored), RunError::Feed { .. }));
    far.swap(1, 2);
    assert!(matches!(sparse(&far, &columns, &stored), RunError::Feed { .. }));
    columns[4] = 6;
    assert!(matches!(sparse(&offsets, &columns, &stored), RunError::Feed { .. }));
    let mut short: Variables<f64> = case.store();
    short.set("w2", vec![0.0; 3]);
    let feeds = [dense, Feed::Index(&WHICH)];
    let error =
        prepare::<f64>(&case.g, loss, None).run(&mut short, &feeds, KEY).expect_err("a short variable");
    assert_eq!(error, RunError::Variable { name: "w2".into(), expected: 8, found: 3 });
}

#[test]
fn missing_schedule_and_missing_derivatives_are_errors() {
    let mut g = Graph::new();
    let x = variable(&mut g, "x", Axes::none());
    let loss = g.square(x);
    let case = Case::new(g, loss, &[vec![1.0]]);
    let mut run = prepare::<f64>(&case.g, loss, Some(Optimiser::Adam(Adam::default())));
    let mut store = case.store();
    let error = run.run(&mut store, &[], KEY).expect_err("no learning rate");
    assert!(matches!(error, RunError::Feed { name, .. } if name == "optimiser.lr"));
    assert_eq!(store.get("x"), Some(&[1.0][..]));

    let mut g = Graph::new();
    let x = variable(&mut g, "x", Axes::none());
    let loss = g.unary(Elem::Trigamma, x);
    let prepared = Backend::<f64>::prepare(&DfdxBackend, &program(&g, loss, None));
    assert!(matches!(prepared.err(), Some(RunError::Unsupported(_))));
}

/// One random step of a graph: which operation, on which earlier nodes, over which axes.
type Choice = (u8, u16, u16, u8);

/// What random graphs are made of: three axes with a twin each, and for each axis an index along its neighbour.
struct Ground {
    axes: [AxisId; 3],
    twins: [AxisId; 3],
    indices: [NodeId; 3],
}

/// A graph from random choices. Operands are kept in the domain of each operation.
fn random_graph(sizes: [usize; 3], choices: &[Choice]) -> (Graph, NodeId) {
    let mut g = Graph::new();
    let axes = [0, 1, 2].map(|k| g.add_axis(format!("a{k}"), sizes[k]));
    let twins = [0, 1, 2].map(|k| g.add_axis(format!("a{k}'"), sizes[k]));
    let indices = [0, 1, 2].map(|k| g.index_input(format!("i{k}"), axes[(k + 1) % 3]));
    let ground = Ground { axes, twins, indices };
    let subset = |bits: u8| Axes::new((0..3).filter(|k| bits >> k & 1 == 1).map(|k| axes[k]));
    let mut pool: Vec<NodeId> = [3, 6, 5, 0]
        .iter()
        .enumerate()
        .map(|(i, b)| variable(&mut g, &format!("v{i}"), subset(*b)))
        .collect();
    for &(op, first, second, bits) in choices {
        let pick = |k: u16| pool[k as usize % pool.len()];
        let (x, y) = (pick(first), pick(second));
        let new = if op % 3 == 0 {
            rearrange(&mut g, &ground, op / 3, x, subset(bits), bits)
        } else {
            grow(&mut g, op / 3, x, y, subset(bits), bits)
        };
        pool.push(new);
    }
    // Everything contributes, so that nothing is left out of the gradient.
    let mut loss = g.constant(0.0);
    for (i, node) in pool.into_iter().enumerate() {
        // A plain sum has the same adjoint along every axis, and so one without axes.
        let term = if i % 2 == 0 {
            weighed(&mut g, node)
        } else {
            let axes = g.axes_of(node).clone();
            g.sum(node, axes)
        };
        loss = g.add(loss, term);
    }
    (g, loss)
}

/// Values below the size of each axis, along its neighbour.
fn random_indices(sizes: [usize; 3], seed: u64) -> [Vec<u32>; 3] {
    [0, 1, 2].map(|k| {
        let value = |i: usize| ((seed as usize + 3 * i + k) * 7 / 2 % sizes[k]) as u32;
        (0..sizes[(k + 1) % 3]).map(value).collect()
    })
}

/// Lookup, scatter, renaming, repetition or a stop; the operand itself where it has not the axes for that.
fn rearrange(g: &mut Graph, ground: &Ground, op: u8, x: NodeId, over: Axes, bits: u8) -> NodeId {
    let k = bits as usize / 8 % 3;
    let (axis, twin, index) = (ground.axes[k], ground.twins[k], ground.indices[k]);
    let axes = g.axes_of(x).clone();
    match op % 5 {
        0 if axes.contains(axis) => g.gather(x, index, axis),
        1 if !axes.contains(axis) => {
            let keep = if bits >= 128 { g.axes_of(index).clone() } else { Axes::none() };
            g.push(Op::ScatterAdd { values: x, index, axis, keep })
        }
        2 if axes.contains(axis) && !axes.contains(twin) => g.rename(x, axis, twin),
        2 if axes.contains(twin) && !axes.contains(axis) => g.rename(x, twin, axis),
        3 => g.stop(x),
        _ => {
            let union = axes.union(&over);
            g.broadcast(x, &union)
        }
    }
}

fn grow(g: &mut Graph, op: u8, x: NodeId, y: NodeId, over: Axes, bits: u8) -> NodeId {
    use Elem::*;
    let smooth = [Neg, Exp, Expm1, Square, Abs, Sigmoid, Softplus, Relu, Tanh, Erf];
    let positive = [Recip, Log, Log1p, Sqrt, Lgamma, Digamma];
    let pairs = [Add, Sub, Mul, Min, Max];
    let positive_pairs = [Div, Pow, XLogY, LgammaDelta, DigammaDelta];
    let kinds = [ReduceKind::Sum, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min, ReduceKind::LogSumExp];
    let choose = |n: usize| bits as usize / 8 % n;
    // Values stay of order one: every operand passes through tanh first, or through a shifted sigmoid.
    let bounded = |g: &mut Graph, x| g.unary(Tanh, x);
    let shifted = |g: &mut Graph, x| {
        let s = g.unary(Sigmoid, x);
        g.add_const(s, 0.3)
    };
    match op % 8 {
        0 => {
            let x = bounded(g, x);
            g.unary(smooth[choose(smooth.len())], x)
        }
        1 => {
            let x = shifted(g, x);
            g.unary(positive[choose(positive.len())], x)
        }
        2 => g.binary(pairs[choose(pairs.len())], x, y),
        3 => {
            let (x, y) = (shifted(g, x), shifted(g, y));
            g.binary(positive_pairs[choose(positive_pairs.len())], x, y)
        }
        4 => {
            let kind = kinds[choose(kinds.len())];
            // The graph's derivative of a product divides by its factors: keep them from zero.
            let x = bounded(g, x);
            let over = over.intersect(g.axes_of(x));
            g.reduce(kind, x, over)
        }
        5 | 6 => {
            let (x, y) = (bounded(g, x), bounded(g, y));
            let over = over.intersect(&g.axes_of(x).union(g.axes_of(y)));
            g.contract(x, y, over)
        }
        _ => {
            let zero = g.constant(0.0);
            let c = g.binary(Lt, zero, x);
            g.select(c, y, x)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The strongest certificate for both sides: dfdx's tape and reverse mode on the graph, on programs nobody wrote.
    #[test]
    fn random_graphs_have_one_gradient(
        sizes in [1usize..4, 1..4, 1..4],
        choices in prop::collection::vec(any::<Choice>(), 1..14),
        seed in 0u64..1000,
    ) {
        let (g, loss) = random_graph(sizes, &choices);
        let values: Vec<Vec<f64>> = g
            .variables()
            .iter()
            .enumerate()
            .map(|(v, d)| {
                let n = g.n_elements(&d.axes);
                (0..n).map(|i| ((seed as f64 + 1.7) * (v * 31 + i + 1) as f64).sin() * 1.5).collect()
            })
            .collect();
        let case = Case::new(g, loss, &values).with_indices(&random_indices(sizes, seed));
        let (ours_loss, ours) = case.ours();
        let (their_loss, theirs) = case.dfdx::<f64>();
        close("loss", &[ours_loss], &[their_loss], 1e-10);
        for (name, (a, b)) in case.names().iter().zip(ours.iter().zip(&theirs)) {
            close(name, a, b, 1e-10);
        }
    }
}
