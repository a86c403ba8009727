//! Gradients of whole programs against central differences; of two players, each against its own objective.

mod common;

use autodiff_runtime::Op;
use autodiff_runtime::autodiff::gradients;
use common::{World, bound, compiled, request, same};
use dsl::{Mode, Purpose, VariableKind};

const ROWS: [usize; 3] = [0, 2, 3];

/// Compares the gradient of what a step minimises with differences of an output: `objective(variable)`, up to the sign.
fn agrees(text: &str, objective: fn(&str) -> &'static str) {
    let model = compiled(text, &[]);
    let w = World { model: &model, bound: bound(&model, 4, true), canonical: same, epoch: 3.0, step: 1 };
    let l = model.lower(&w.bound, &request(Purpose::Objective, Mode::Train, ROWS.len())).expect("it lowers");
    let mut graph = l.graph.clone();
    let trained: Vec<&str> =
        l.variables.iter().filter(|v| v.kind == VariableKind::Trained).map(|v| v.name.as_str()).collect();
    let reads: Vec<_> = trained
        .iter()
        .map(|name| {
            let id = graph.find_variable(name).expect("declared");
            let read = |n: &autodiff_runtime::NodeId| matches!(graph.node(*n).op, Op::Variable(v) if v == id);
            graph.node_ids().filter(|n| read(n)).collect::<Vec<_>>()
        })
        .collect();
    let all: Vec<_> = reads.concat();
    let grads = gradients(&mut graph, l.loss.expect("a loss"), &all).expect("differentiable");
    let found = w.values(&l, &graph, &grads, &ROWS, &w.variables(&l));
    let mut found = found.into_iter();
    let mut moved = 0;
    for (name, reads) in trained.iter().zip(reads) {
        let mut total: Vec<f64> = vec![];
        for g in found.by_ref().take(reads.len()) {
            total = if total.is_empty() { g } else { total.iter().zip(&g).map(|(a, b)| a + b).collect() };
        }
        let goal = [l.graph.find_output(objective(name)).expect("an output")];
        let at = |i: usize, by: f64| {
            let mut variables = w.variables(&l);
            let mut values = variables.get(name).expect("set").to_vec();
            values[i] += by;
            variables.set(name, values);
            w.values(&l, &l.graph, &goal, &ROWS, &variables)[0][0]
        };
        for (i, g) in total.iter().enumerate().take(12) {
            let h = 1e-5;
            let slope = (at(i, h) - at(i, -h)) / (2.0 * h);
            assert!(
                (g - slope).abs() < 1e-6 * (1.0 + slope.abs()),
                "{name}[{i}]: {g} against {slope}\n{text}"
            );
            moved += usize::from(slope.abs() > 1e-6);
        }
    }
    assert!(moved > 0, "nothing moves\n{text}");
}

fn loss(_: &str) -> &'static str {
    "loss"
}

const ENCODER: &str = "
    net encoder(v[gene]) { return Normal(mean = linear[latent](v), scale = exp(linear[latent](v))) }
    net critic(z[latent]) { return linear[batch](tanh(linear[latent](z))) }
    guide { plate cell { z ~ encoder(log1p(x)) } }";

#[test]
fn of_values_that_hold_in_places() {
    agrees(
        "dim cell, gene, latent = 2
        dim panel within gene
        dim state = { off, on }
        data {
          x : count?[cell, gene] from X missing nan
          flag : bool[cell] from obs.flag  w : positive[cell] from obs.w
          b : category[cell] from obs.b
        }
        param level[state, b]
        param rate[gene] : positive
        param own[cell, latent]
        param slope[latent]
        net encoder(v[gene]) { return Normal(mean = linear[latent](v), scale = exp(linear[latent](v))) }
        model { plate cell weight w {
          z[latent] ~ Normal(0, 1) where flag else 0.5
          depth = exp(sum(level * { off = 1, on = sum(z * slope over latent) } over state)[b] + sum(own over latent))
          observe x[panel] ~ Poisson(rate = depth * rate[panel]) where flag
        } }
        guide { plate cell { z ~ encoder(log1p(fill(x, 0))) } }",
        loss,
    );
}

#[test]
fn of_both_players() {
    agrees(
        &format!(
            "dim cell, gene, latent = 2
            data {{ x : count[cell, gene] from X  batch : category?[cell] from obs.b missing \"?\" }}
            param rate[gene] : positive
            model {{ plate cell {{
              z[latent] ~ Normal(0, 1)
              observe x ~ Poisson(rate = rate * exp(sum(z over latent)))
            }} }}
            adversary domain {{ predict batch from z with critic strength ramp(2, 1, epochs = 4) }}
            {ENCODER}"
        ),
        |name| if name.starts_with("critic") { "adversaries" } else { "loss" },
    );
}
