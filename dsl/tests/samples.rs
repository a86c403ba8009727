//! `train { samples = n }`: the objective, its gradient and the running statistics are the means over n programs with one
//! draw each, whose noise is the n parts of the noise of one program.

mod common;

use autodiff_runtime::autodiff::gradients;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::{Axes, AxisId, Feed, Graph, NodeId, Op, RandomKind, StepKey};
use common::{Input, World, bound, compiled, request, same, texts};
use dsl::{Lowered, Mode, Purpose, VariableKind};
use std::collections::BTreeMap;

const N: usize = 3;
const ROWS: [usize; 4] = [0, 3, 4, 5];
const KEY: StepKey = StepKey { seed: 7, step: 3 };

/// What is compared, by name: outputs, gradients of the trained variables, new values of the running ones.
type Values = BTreeMap<String, Vec<f64>>;

fn lowered(text: &str, samples: usize, mode: Mode) -> Lowered {
    let c = compiled(text, &[("samples", &samples.to_string())]);
    c.lower(&bound(&c, 6, true), &request(Purpose::Objective, mode, ROWS.len())).expect("it lowers")
}

fn draws(g: &Graph) -> Vec<(NodeId, u32, Axes)> {
    let random = |id: NodeId| match &g.node(id).op {
        Op::Random { stream, .. } => Some((id, *stream, g.axes_of(id).clone())),
        _ => None,
    };
    g.node_ids().filter_map(random).collect()
}

/// The part of a value at one place of an axis that it may lack.
fn part(g: &Graph, axes: &Axes, axis: AxisId, at: usize, values: &[f64]) -> Vec<f64> {
    if !axes.contains(axis) {
        return values.to_vec();
    }
    let after: usize = axes.iter().filter(|a| *a > axis).map(|a| g.size(a)).product();
    values.chunks(after).skip(at).step_by(g.size(axis)).flatten().copied().collect()
}

/// The graph with its draws as further inputs, in their order.
fn fed(g: &Graph) -> (Graph, Vec<NodeId>) {
    let mut out = g.empty_like();
    let mut map: Vec<NodeId> = vec![];
    for id in g.node_ids() {
        let new = match &g.node(id).op {
            Op::Random { axes, .. } => {
                let all = g.axes_of(id).union(axes);
                out.input(format!("noise {}", id.index()), all)
            }
            op => out.push(op.map_operands(|o| map[o.index()])),
        };
        map.push(new);
    }
    let outputs = g.outputs().iter().map(|(n, id)| (n.clone(), map[id.index()])).collect();
    let updates = g.updates().iter().map(|(v, id)| (*v, map[id.index()])).collect();
    out.set_roots(outputs, updates);
    (out, map)
}

/// Everything compared, of a graph with or without its own noise.
fn values(w: &World<'_>, l: &Lowered, g: &Graph, loss: NodeId, noise: &[Vec<f64>], slopes: bool) -> Values {
    let mut g = g.clone();
    let mut names: Vec<String> = g.outputs().iter().map(|o| o.0.clone()).collect();
    let mut wanted: Vec<NodeId> = g.outputs().iter().map(|o| o.1).collect();
    for (v, id) in g.updates() {
        names.push(format!("new {}", g.variables()[v.index()].name));
        wanted.push(*id);
    }
    for v in l.variables.iter().filter(|v| slopes && v.kind == VariableKind::Trained) {
        let op = Op::Variable(g.find_variable(&v.name).expect("declared"));
        let read = g.node_ids().find(|i| g.node(*i).op == op).expect("read once");
        names.push(format!("slope {}", v.name));
        wanted.push(gradients(&mut g, loss, &[read]).expect("a derivative")[0]);
    }
    let inputs = w.inputs(l, &ROWS);
    let mut feeds: Vec<Feed<'_, f64>> = inputs.iter().map(Input::feed).collect();
    feeds.extend(noise.iter().map(|n| Feed::Dense(n)));
    let found = evaluate(&g, &wanted, &w.variables(l), &feeds, KEY).expect("the graph runs");
    names.into_iter().zip(found).collect()
}

fn check(name: &str, text: &str, mode: Mode) {
    let c = compiled(text, &[]);
    let w = World { model: &c, bound: bound(&c, 6, true), canonical: same, epoch: 5.0, step: 3 };
    let (many, one) = (lowered(text, N, mode), lowered(text, 1, mode));
    // Draws that follow their parameters only in distribution lose their gradient as inputs.
    let follows = |n: &Op| matches!(n, Op::Random { kind: RandomKind::LogGamma, .. });
    let slopes = !one.graph.nodes().iter().any(|n| follows(&n.op));
    let of_many = draws(&many.graph);
    let repeats = |a: &AxisId| many.graph.axis(*a).name == "draw" && many.graph.size(*a) == N;
    let axis = of_many.iter().flat_map(|d| d.2.iter()).find(repeats).expect("an axis of draws");
    let found = values(&w, &many, &many.graph, many.loss.expect("a loss"), &[], slopes);

    let wanted: Vec<NodeId> = of_many.iter().map(|d| d.0).collect();
    let inputs = w.inputs(&many, &ROWS);
    let feeds: Vec<Feed<'_, f64>> = inputs.iter().map(Input::feed).collect();
    let noise = evaluate(&many.graph, &wanted, &w.variables(&many), &feeds, KEY).expect("the graph runs");
    let (graph, map) = fed(&one.graph);
    let loss = map[one.loss.expect("a loss").index()];
    let mut means = Values::new();
    for k in 0..N {
        let mut taken: Vec<bool> = vec![false; of_many.len()];
        let noise: Vec<Vec<f64>> = draws(&one.graph)
            .iter()
            .map(|(_, stream, _)| {
                let at =
                    (0..taken.len()).find(|i| !taken[*i] && of_many[*i].1 == *stream).expect("drawn too");
                taken[at] = true;
                part(&many.graph, &of_many[at].2, axis, k, &noise[at])
            })
            .collect();
        for (name, v) in values(&w, &one, &graph, loss, &noise, slopes) {
            let sum = means.entry(name).or_insert_with(|| vec![0.0; v.len()]);
            sum.iter_mut().zip(v).for_each(|(s, x)| *s += x / N as f64);
        }
    }
    assert!(found.keys().eq(means.keys()), "{name}");
    for (what, ours) in &found {
        let scale = ours.iter().fold(1e-3_f64, |m, x| m.max(x.abs()));
        for (a, b) in ours.iter().zip(&means[what]) {
            assert!((a - b).abs() <= 1e-11 * scale, "{name}, {mode:?}: {what}: {a}, one at a time {b}");
        }
    }
}

#[test]
fn the_objective_is_the_mean_over_draws() {
    for (name, text) in texts("tests/cases/ok") {
        let drawn = lowered(&text, 1, Mode::Evaluate);
        if draws(&drawn.graph).is_empty() {
            continue;
        }
        for mode in [Mode::Train, Mode::Evaluate] {
            check(&name, &text, mode);
        }
    }
}
