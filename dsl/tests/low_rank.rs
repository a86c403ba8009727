//! `auto(rank = n)`: the bound is tight where the posterior has low rank and a diagonal, which mean field misses by a known
//! gap; log q is the dense density of the elements that exist; a rank that the data cannot bear is refused.

mod common;

use autodiff_runtime::autodiff::gradients;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::{Feed, NodeId, Op, StepKey, Variables};
use common::{Input, World, bound, compiled, request, same};
use dsl::diagnostic::Code;
use dsl::{Compiled, Lowered, Mode, Purpose};
use std::collections::BTreeMap;
use std::f64::consts::PI;

const ROWS: [usize; 4] = [0, 1, 2, 3];
const NOISE: f64 = 0.5;
/// Squared length of the directions that the data see.
const STRENGTH: f64 = 3.0;
/// The direction that they do not see: nothing but its prior is known of it.
const FREE: [f64; 3] = [2.0 / 3.0, 1.0 / 3.0, 2.0 / 3.0];

/// Two orthogonal directions of a vector, each observed once a row.
fn seen() -> [[f64; 3]; 2] {
    let (a, b) = ((STRENGTH / 2.0).sqrt(), (STRENGTH / 18.0).sqrt());
    [[a, 0.0, -a], [b, -4.0 * b, b]]
}

fn program(guide: &str, objective: &str) -> Compiled {
    let likelihood = |i: usize| {
        let [a, b, c] = seen()[i];
        format!(
            "observe y{i} ~ Normal(mean = sum({{ a = {a:e}, b = {b:e}, c = {c:e} }} * w over k), scale = {NOISE})\n"
        )
    };
    let text = format!(
        "dim cell\ndim k = {{ a, b, c }}\ndata {{ y0 : real[cell] from obs.a\n y1 : real[cell] from obs.b }}\n\
         model {{ w[k] ~ Normal(0, 1)\n plate cell {{ {}{} }} }}\nguide {{ w ~ {guide} }}\n\
         objective {{ {objective} }}\ntrain {{ reduce = total  samples = 32 }}",
        likelihood(0),
        likelihood(1)
    );
    compiled(&text, &[])
}

/// The posterior: variance `rest` in the directions that are seen, 1 in the one that is not.
struct Posterior {
    mean: [f64; 3],
    rest: f64,
    evidence: f64,
}

impl Posterior {
    fn new(w: &World<'_>) -> Self {
        let n = ROWS.len() as f64;
        let rest = 1.0 / (1.0 + n * STRENGTH / NOISE.powi(2));
        let (mut mean, mut evidence) = ([0.0; 3], 0.0);
        for (i, direction) in seen().into_iter().enumerate() {
            let y: Vec<f64> = ROWS.iter().map(|r| w.slot_value(&format!("y{i}"), &[*r])).collect();
            let (sum, squares) = (y.iter().sum::<f64>(), y.iter().map(|y| y * y).sum::<f64>());
            for (m, d) in mean.iter_mut().zip(direction) {
                *m += rest * d * sum / NOISE.powi(2);
            }
            // Covariance s² I + c 1 1ᵀ of the rows.
            let (s2, all) = (NOISE.powi(2), NOISE.powi(2) + n * STRENGTH);
            let along = sum * sum / n;
            let log_det = (n - 1.0) * s2.ln() + all.ln();
            evidence -= 0.5 * (n * (2.0 * PI).ln() + log_det + (squares - along) / s2 + along / all);
        }
        Self { mean, rest, evidence }
    }

    fn precision(&self, i: usize, j: usize) -> f64 {
        let free = FREE[i] * FREE[j];
        (f64::from(u8::from(i == j)) - free) / self.rest + free
    }

    /// KL of a Normal to the posterior, from its covariance.
    fn divergence(&self, mean: &[f64], s: [[f64; 3]; 3]) -> f64 {
        let mut twice = -3.0 + 2.0 * self.rest.ln() - determinant(s).ln();
        for i in 0..3 {
            for j in 0..3 {
                let gap = (mean[i] - self.mean[i]) * (mean[j] - self.mean[j]);
                twice += self.precision(i, j) * (s[i][j] + gap);
            }
        }
        0.5 * twice
    }
}

fn determinant(s: [[f64; 3]; 3]) -> f64 {
    let minor = |i: usize, j: usize| s[1][i] * s[2][j] - s[1][j] * s[2][i];
    s[0][0] * minor(1, 2) - s[0][1] * minor(0, 2) + s[0][2] * minor(0, 1)
}

fn covariance(scale: &[f64], factor: &[f64]) -> [[f64; 3]; 3] {
    let rank = factor.len() / 3;
    let mut s = [[0.0; 3]; 3];
    for i in 0..3 {
        s[i][i] = scale[i].exp().powi(2);
        for j in 0..3 {
            s[i][j] += (0..rank).map(|c| factor[i * rank + c] * factor[j * rank + c]).sum::<f64>();
        }
    }
    s
}

fn world(c: &Compiled, step: u64) -> World<'_> {
    World { model: c, bound: bound(c, ROWS.len(), true), canonical: same, epoch: 0.0, step }
}

fn objective(w: &World<'_>) -> Lowered {
    w.model.lower(&w.bound, &request(Purpose::Objective, Mode::Train, ROWS.len())).expect("it lowers")
}

/// At the posterior every draw of the Monte Carlo bound is the evidence.
#[test]
fn the_bound_is_the_evidence_at_a_posterior_of_low_rank() {
    for (guide, spare) in [("auto(rank = 1)", 0), ("auto(rank = 3)", 2)] {
        let c = program(guide, "estimate kl(w) by mc(1)");
        for step in 0..5 {
            let w = world(&c, step);
            let l = objective(&w);
            let p = Posterior::new(&w);
            let column = |f: f64| [vec![f * (1.0 - p.rest).sqrt()], vec![0.0; spare]].concat();
            let at = BTreeMap::from([
                ("w.mean".to_owned(), p.mean.to_vec()),
                ("w.scale".to_owned(), vec![0.5 * p.rest.ln(); 3]),
                ("w.factor".to_owned(), FREE.into_iter().flat_map(column).collect()),
            ]);
            let loss = w.run_at(&l, &ROWS, &at)["loss"][0];
            assert!((loss + p.evidence).abs() < 1e-9, "{guide}: {loss}, evidence {}", p.evidence);
        }
    }
}

/// From their first values on, by Adam with a falling step.
fn fitted(w: &World<'_>, names: &[&str]) -> BTreeMap<String, Vec<f64>> {
    let l = objective(w);
    let mut g = l.graph.clone();
    let reads = names.iter().map(|name| {
        let id = l.graph.find_variable(name).expect("a parameter");
        l.graph.node_ids().find(|n| l.graph.node(*n).op == Op::Variable(id)).expect("read once")
    });
    let reads: Vec<NodeId> = reads.collect();
    let slopes = gradients(&mut g, l.loss.expect("a loss"), &reads).expect("differentiable");
    let inputs = w.inputs(&l, &ROWS);
    let feeds: Vec<Feed<'_, f64>> = inputs.iter().map(Input::feed).collect();
    let mut at: BTreeMap<String, Vec<f64>> = w.parameters(&l);
    let mut moments: Vec<Vec<(f64, f64)>> = names.iter().map(|n| vec![(0.0, 0.0); at[*n].len()]).collect();
    const STEPS: i32 = 3000;
    for t in 1..=STEPS {
        let mut all = Variables::new();
        at.iter().for_each(|(n, v)| all.set(n, v.clone()));
        let key = StepKey { seed: 3, step: t as u64 };
        let found = evaluate(&g, &slopes, &all, &feeds, key).expect("it runs");
        for ((name, slope), moments) in names.iter().zip(&found).zip(&mut moments) {
            let value = at.get_mut(*name).expect("a parameter");
            for ((x, slope), (m, v)) in value.iter_mut().zip(slope).zip(moments) {
                *m = 0.9 * *m + 0.1 * slope;
                *v = 0.99 * *v + 0.01 * slope * slope;
                let (m, v) = (*m / (1.0 - 0.9_f64.powi(t)), *v / (1.0 - 0.99_f64.powi(t)));
                let rate = 0.05 * (1.0 - f64::from(t) / f64::from(STEPS));
                *x -= rate * m / (v.sqrt() + 1e-8);
            }
        }
    }
    at
}

#[test]
fn training_finds_the_correlations_that_mean_field_misses() {
    let (low, mean_field) = (program("auto(rank = 1)", ""), program("auto", ""));
    let w = world(&low, 0);
    let at = fitted(&w, &["w.mean", "w.scale", "w.factor"]);
    let p = Posterior::new(&w);
    let gap = p.divergence(&at["w.mean"], covariance(&at["w.scale"], &at["w.factor"]));
    assert!((0.0..2e-3).contains(&gap), "rank 1 stays {gap} below the evidence: {at:?}");

    let w = world(&mean_field, 0);
    let at = fitted(&w, &["w.mean", "w.scale"]);
    let gap = p.divergence(&at["w.mean"], covariance(&at["w.scale"], &[]));
    // The best product of Normals has the precisions of the posterior's diagonal.
    let least = 0.5 * (0..3).map(|i| p.precision(i, i).ln()).sum::<f64>() + p.rest.ln();
    assert!(least > 1.0 && (gap - least).abs() < 2e-3, "mean field: {gap}, least possible {least}");
}

fn cholesky(mut a: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for j in 0..a.len() {
        for i in j..a.len() {
            let dot: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            a[i][j] = if i == j { (a[i][j] - dot).sqrt() } else { (a[i][j] - dot) / a[j][j] };
        }
    }
    a
}

/// A site that exists in places: its density is the joint marginal of what exists, over the value and not its logarithm;
/// its divergence, over draws, that of log q and log p.
#[test]
fn log_q_is_the_dense_density_of_what_exists() {
    const TEXT: &str = "dim cell, gene, topic\ndata { x : count[cell, gene] from X\n m : bool[gene, topic] from varm.m }\n\
        model { up[gene, topic] ~ LogNormal(0.2, 1.5) where m else 0.1\n plate cell { observe x ~ Poisson(rate = sum(up over topic)) } }\n\
        guide { up ~ auto(rank = 2) }\noutput { value = sample(up)  q = logq(up)  p = logp(up)  k = kl(up) }";
    let c = compiled(TEXT, &[]);
    let names: Vec<String> = ["value", "q", "p", "k"].map(str::to_owned).to_vec();
    let purpose = Purpose::Outputs { names, given: vec![] };
    let (mut sum, mut squares, mut exact) = (0.0, 0.0, 0.0);
    const DRAWS: u64 = 4000;
    for step in 0..DRAWS {
        let w = world(&c, step);
        let l = c.lower(&w.bound, &request(purpose.clone(), Mode::Evaluate, 1)).expect("it lowers");
        let mut at = w.parameters(&l);
        at.get_mut("up.factor").expect("a parameter").iter_mut().for_each(|x| *x *= 8.0);
        at.get_mut("up.scale").expect("a parameter").iter_mut().for_each(|x| *x -= 0.6);
        let out = w.run_at(&l, &[0], &at);
        let gap = out["q"][0] - out["p"][0];
        (sum, squares, exact) = (sum + gap, squares + gap * gap, out["k"][0]);
        if step > 3 {
            continue;
        }
        let topics = w.bound.sizes["topic"];
        let present: Vec<usize> =
            (0..out["value"].len()).filter(|e| w.slot_value("m", &[e / topics, e % topics]) > 0.0).collect();
        assert!(present.len() > 3 && present.len() < out["value"].len(), "some exist, some do not");
        let of = |i: usize, j: usize| {
            let shared: f64 = (0..2).map(|c| at["up.factor"][2 * i + c] * at["up.factor"][2 * j + c]).sum();
            shared + if i == j { (2.0 * at["up.scale"][i]).exp() } else { 0.0 }
        };
        let l = cholesky(present.iter().map(|i| present.iter().map(|j| of(*i, *j)).collect()).collect());
        let (mut z, mut log_q): (Vec<f64>, f64) = (vec![], 0.0);
        for (k, e) in present.iter().enumerate() {
            let log = out["value"][*e].ln();
            let dot: f64 = (0..k).map(|j| l[k][j] * z[j]).sum();
            z.push((log - at["up.loc"][*e] - dot) / l[k][k]);
            log_q -= 0.5 * z[k] * z[k] + l[k][k].ln() + 0.5 * (2.0 * PI).ln() + log;
        }
        assert!((out["q"][0] - log_q).abs() < 1e-10, "{} {log_q}", out["q"][0]);
        for e in (0..out["value"].len()).filter(|e| !present.contains(e)) {
            assert_eq!(out["value"][e], 0.1);
        }
    }
    let n = DRAWS as f64;
    let error = ((squares / n - (sum / n).powi(2)) / n).sqrt();
    assert!((sum / n - exact).abs() < 5.0 * error, "{} ± {error}, closed form {exact}", sum / n);
}

#[test]
fn a_rank_above_the_number_of_elements_is_refused_once_the_data_tell() {
    let c = compiled(
        "dim cell, gene\ndata { x : count[cell, gene] from X }\nmodel { b[gene] ~ LogNormal(0, 1)\n\
         plate cell { observe x ~ Poisson(rate = b) } }\nguide { b ~ auto(rank = 7) }",
        &[],
    );
    let mut b = bound(&c, 4, true);
    let asked = request(Purpose::Objective, Mode::Train, 4);
    b.sizes.insert("gene".into(), 7);
    assert!(c.lower(&b, &asked).is_ok());
    b.sizes.insert("gene".into(), 6);
    let found = c.lower(&b, &asked).expect_err("too many columns");
    let said: Vec<_> = found.iter().map(|d| (d.code, d.headline.as_str(), d.span().is_some())).collect();
    assert_eq!(said, [(Code::E0401, "the rank of `b` is 7, but it has 6 elements", true)]);
}
