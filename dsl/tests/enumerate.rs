//! Sums over finitely many values against sums written out: random factor graphs, own axes, probabilities, gradients.

mod common;

use common::{World, bound, compile_with, compiled, noise, request, same};
use dsl::diagnostic::{Code, render_concise};
use dsl::{Compiled, Mode, Purpose};
use std::collections::BTreeMap;

const ROWS: [usize; 3] = [0, 2, 3];
const PARTS: usize = 2;
const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_7;

/// A site of a random graph: its values, whether it has one for each part, and what it is drawn from.
#[derive(Clone, Debug)]
struct Node {
    size: usize,
    part: bool,
    parents: Vec<usize>,
    /// Enumerated in the guide, given these; else summed in the model.
    guide: Option<Vec<usize>>,
}

/// A random graph of categories with one Gaussian factor for all parts and one for each.
#[derive(Clone, Debug)]
struct Random {
    nodes: Vec<Node>,
    whole: Vec<usize>,
    each: Vec<usize>,
}

impl Random {
    fn new(seed: usize) -> Self {
        let chance = |what: &str, at: usize, p: f64| noise(what, &[seed, at]) < p;
        let mut nodes: Vec<Node> = vec![];
        for i in 0..2 + (noise("n", &[seed]) * 3.0) as usize {
            let parents: Vec<usize> = (0..i).filter(|j| chance("parent", 10 * i + j, 0.6)).collect();
            let part = parents.iter().any(|p| nodes[*p].part) || chance("part", i, 0.3);
            let explicit = chance("guide", i, 0.5);
            let guide: Vec<usize> =
                (0..i).filter(|j| nodes[*j].guide.is_some() && (part || !nodes[*j].part)).collect();
            let guide = guide.into_iter().filter(|j| chance("drawn", 10 * i + j, 0.6)).collect();
            let size = 2 + usize::from(chance("size", i, 0.5));
            nodes.push(Node { size, part, parents, guide: explicit.then_some(guide) });
        }
        let whole = (0..nodes.len()).filter(|i| !nodes[*i].part && chance("whole", *i, 0.7)).collect();
        let each = (0..nodes.len()).filter(|i| chance("each", *i, 0.6)).collect();
        Self { nodes, whole, each }
    }

    fn text(&self) -> String {
        let mut params = String::new();
        // A table over the values of some sites, and the expression that looks it up.
        let mut table = |name: String, read: &[usize], own: Option<usize>, part: bool| {
            let axes = read.iter().chain(&own).map(|i| format!("s{i}"));
            let mut axes: Vec<String> = axes.collect();
            axes.sort();
            axes.dedup();
            axes.extend(part.then(|| "part".to_owned()));
            let brackets = if axes.is_empty() { String::new() } else { format!("[{}]", axes.join(", ")) };
            params.push_str(&format!("param {name}{brackets}\n"));
            let looked: String = read.iter().map(|i| format!("[c{i}]")).collect();
            format!("{name}{looked}")
        };
        let (mut model, mut guide) = (String::new(), String::new());
        for (i, n) in self.nodes.iter().enumerate() {
            let own = if n.part { "[part]" } else { "" };
            let w = table(format!("w{i}"), &n.parents, Some(i), n.part);
            model.push_str(&format!("    c{i}{own} ~ Categorical(logits = {w} over s{i})\n"));
            match &n.guide {
                Some(parents) => {
                    let g = table(format!("g{i}"), parents, Some(i), n.part);
                    guide.push_str(&format!("    c{i} ~ Categorical(logits = {g} + x over s{i})\n"));
                }
                None => guide.push_str(&format!("    c{i} ~ marginal\n")),
            }
        }
        let whole = table("mx".into(), &self.whole, None, false);
        let each = table("my".into(), &self.each, None, true);
        let dims: String =
            self.nodes.iter().enumerate().map(|(i, n)| format!("dim s{i} = {}\n", n.size)).collect();
        format!(
            "dim cell\ndim part = {PARTS}\n{dims}data {{ x : real[cell] from obs.x  y : real[cell, part] from X }}\n{params}\
             model {{\n  plate cell {{\n{model}    observe x ~ Normal(mean = {whole}, scale = 1)\n    \
             observe y ~ Normal(mean = {each}, scale = 1)\n  }}\n}}\nguide {{ plate cell {{\n{guide}  }} }}\n"
        )
    }
}

/// Values of the parameters, wide enough that every choice matters.
struct Tables<'a>(&'a BTreeMap<String, Vec<f64>>);

impl Tables<'_> {
    /// An element of a table over the sorted sites that it reads, and parts.
    fn at(
        &self,
        g: &Random,
        name: &str,
        read: &[usize],
        own: Option<(usize, usize)>,
        part: Option<usize>,
        v: &[Vec<usize>],
    ) -> f64 {
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        for &i in read {
            places.insert(i, v[i][if g.nodes[i].part { part.expect("a part") } else { 0 }]);
        }
        places.extend(own);
        // Parts are declared first, and so stored first.
        let mut flat = part.unwrap_or(0);
        for (i, at) in &places {
            flat = flat * g.nodes[*i].size + at;
        }
        // A site that nothing reads is summed to 1 whatever its table, and has none in the graph.
        self.0.get(name).map_or(0.0, |t| t[flat])
    }

    /// Log probability of a site's values under a table of logits, plus `shift` times nothing (all labels alike).
    fn log_prob(&self, g: &Random, name: &str, i: usize, read: &[usize], v: &[Vec<usize>]) -> f64 {
        let n = &g.nodes[i];
        let parts = if n.part { PARTS } else { 1 };
        (0..parts)
            .map(|p| {
                let part = n.part.then_some(p);
                let logit = |k: usize| self.at(g, name, read, Some((i, k)), part, v);
                let total: f64 = (0..n.size).map(|k| logit(k).exp()).sum();
                logit(v[i][p]) - total.ln()
            })
            .sum()
    }
}

fn log_normal(x: f64, mean: f64) -> f64 {
    -0.5 * (x - mean).powi(2) - HALF_LOG_TAU
}

/// Every assignment of values to some sites: one number, or one for each part.
fn assignments(g: &Random, which: &[usize]) -> Vec<Vec<Vec<usize>>> {
    let mut all = vec![vec![vec![]; g.nodes.len()]];
    for &i in which {
        let n = &g.nodes[i];
        for _ in 0..if n.part { PARTS } else { 1 } {
            all = all
                .into_iter()
                .flat_map(|v| {
                    (0..n.size).map(move |k| {
                        let mut v = v.clone();
                        v[i].push(k);
                        v
                    })
                })
                .collect();
        }
    }
    all
}

/// Σ_e q(e) [log Σ_m p(x, y, e, m) − log q(e)] of one row, by writing out every assignment.
fn brute_force(g: &Random, t: &Tables<'_>, row: usize) -> f64 {
    let x = 4.0 * noise("x", &[row]) - 2.0;
    let y: Vec<f64> = (0..PARTS).map(|p| 4.0 * noise("y", &[row, p]) - 2.0).collect();
    let (outer, inner): (Vec<usize>, Vec<usize>) =
        (0..g.nodes.len()).partition(|i| g.nodes[*i].guide.is_some());
    let mut bound = 0.0;
    for e in assignments(g, &outer) {
        let log_q: f64 = outer
            .iter()
            .map(|&i| t.log_prob(g, &format!("g{i}"), i, g.nodes[i].guide.as_deref().expect("explicit"), &e))
            .sum();
        let joint = |m: &Vec<Vec<usize>>| {
            let v: Vec<Vec<usize>> =
                e.iter().zip(m).map(|(a, b)| if a.is_empty() { b.clone() } else { a.clone() }).collect();
            let sites: f64 =
                (0..g.nodes.len()).map(|i| t.log_prob(g, &format!("w{i}"), i, &g.nodes[i].parents, &v)).sum();
            let whole = log_normal(x, t.at(g, "mx", &g.whole, None, None, &v));
            let each: f64 =
                (0..PARTS).map(|p| log_normal(y[p], t.at(g, "my", &g.each, None, Some(p), &v))).sum();
            sites + whole + each
        };
        let total: f64 = assignments(g, &inner).iter().map(|m| joint(m).exp()).sum();
        bound += log_q.exp() * (total.ln() - log_q);
    }
    bound
}

fn world(c: &Compiled) -> World<'_> {
    World { model: c, bound: bound(c, 4, true), canonical: same, epoch: 1.0, step: 0 }
}

/// The bound of each row, and the values of the parameters.
fn rows(c: &Compiled) -> (Vec<f64>, BTreeMap<String, Vec<f64>>) {
    let w = world(c);
    let l = c.lower(&w.bound, &request(Purpose::Objective, Mode::Evaluate, ROWS.len())).expect("lowers");
    l.graph.clone().verify().expect("a sound graph");
    let mut values = w.parameters(&l);
    values.values_mut().flatten().for_each(|v| *v *= 12.0);
    let out = w.run_at(&l, &ROWS, &values);
    let mut sums = vec![0.0; ROWS.len()];
    for t in &l.terms {
        for (s, v) in sums.iter_mut().zip(&out[&format!("row:{}", t.name)]) {
            *s += f64::from(t.sign) * v;
        }
    }
    let loss = -sums.iter().sum::<f64>() / ROWS.len() as f64;
    assert!((out["loss"][0] - loss).abs() < 1e-10, "{} {loss}", out["loss"][0]);
    (sums, values)
}

#[test]
fn random_graphs_give_what_writing_them_out_gives() {
    let (mut compared, mut refused) = (0, 0);
    for seed in 0..120 {
        let g = Random::new(seed);
        let text = g.text();
        let (c, diagnostics, sources) = compile_with(&text, &[]);
        let Some(c) = c else {
            // Only coupled elements may be refused.
            let errors: Vec<Code> =
                diagnostics.iter().map(|d| d.code).filter(|c| c.as_str().starts_with('E')).collect();
            assert!(
                errors.iter().all(|e| *e == Code::E0507),
                "{text}\n{}",
                render_concise(&sources, &diagnostics)
            );
            refused += 1;
            continue;
        };
        let (found, values) = rows(&c);
        for (row, found) in ROWS.iter().zip(found) {
            let expected = brute_force(&g, &Tables(&values), *row);
            assert!(
                (found - expected).abs() < 1e-9 * (1.0 + expected.abs()),
                "{seed}: {found} {expected}\n{text}\n{}",
                c.explain()
            );
        }
        compared += 1;
    }
    assert!(compared >= 60, "{compared} compared, {refused} refused");
}

/// A mixture in three guises: summed in the model, with a guide that is free, and with one that is exact.
fn mixture(guide: &str) -> Compiled {
    compiled(
        &format!(
            "dim cell, gene\ndim k = 3\ndata {{ x : real[cell, gene] from X }}\n\
             param w[k]  param m[gene, k]  param g[k]\n\
             model {{ plate cell {{ c ~ Categorical(logits = w)\n observe x ~ Normal(mean = m[c], scale = 1) }} }}\n\
             guide {{ plate cell {{ c ~ {guide} }} }}\n\
             output {{ p = prob(c)  which = argmax(prob(c) over k)  centre = E(m[c])  evidence = logp(x) }}\n"
        ),
        &[],
    )
}

const EXACT: &str = "Categorical(logits = w + sum(m * x - m * m / 2 over gene))";

#[test]
fn a_sum_is_the_evidence_and_an_exact_guide_reaches_it() {
    let (evidence, values) = rows(&mixture("marginal"));
    let (exact, _) = rows(&mixture(EXACT));
    let (other, _) = rows(&mixture("Categorical(logits = g)"));
    let (w, m) = (&values["w"], &values["m"]);
    let n_gene = m.len() / 3;
    let norm: f64 = w.iter().map(|w| w.exp()).sum::<f64>().ln();
    for (i, row) in ROWS.iter().enumerate() {
        let joint = |k: usize| {
            let lik: f64 =
                (0..n_gene).map(|g| log_normal(4.0 * noise("x", &[*row, g]) - 2.0, m[g * 3 + k])).sum();
            w[k] - norm + lik
        };
        let expected = (0..3).map(|k| joint(k).exp()).sum::<f64>().ln();
        assert!((evidence[i] - expected).abs() < 1e-9, "{} {expected}", evidence[i]);
        assert!((exact[i] - expected).abs() < 1e-9, "{} {expected}", exact[i]);
        assert!(other[i] < expected - 1e-3, "{} {expected}", other[i]);
    }
}

fn output(c: &Compiled, name: &str) -> Vec<f64> {
    let w = world(c);
    let names = vec![name.to_owned()];
    let asked = request(Purpose::Outputs { names, given: vec![] }, Mode::Evaluate, ROWS.len());
    let l = c.lower(&w.bound, &asked).expect("lowers");
    let mut values = w.parameters(&l);
    values.values_mut().flatten().for_each(|v| *v *= 12.0);
    w.run_at(&l, &ROWS, &values)[name].clone()
}

#[test]
fn probabilities_are_those_of_the_posterior() {
    let (summed, exact) = (mixture("marginal"), mixture(EXACT));
    let (p, q) = (output(&summed, "p"), output(&exact, "p"));
    for (i, (a, b)) in p.iter().zip(&q).enumerate() {
        assert!((a - b).abs() < 1e-9, "{i}: {p:?} {q:?}");
    }
    for (i, row) in p.chunks(3).enumerate() {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let best = (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).expect("three");
        assert_eq!(output(&summed, "which")[i], best as f64);
    }
    // An expectation over labels, by hand.
    let w = world(&summed);
    let l = summed.lower(&w.bound, &request(Purpose::Objective, Mode::Evaluate, 3)).expect("lowers");
    let m: Vec<f64> = w.parameters(&l)["m"].iter().map(|v| 12.0 * v).collect();
    let centre = output(&summed, "centre");
    let n_gene = m.len() / 3;
    for row in 0..3 {
        for g in 0..n_gene {
            let expected: f64 = (0..3).map(|k| p[row * 3 + k] * m[g * 3 + k]).sum();
            assert!((centre[row * n_gene + g] - expected).abs() < 1e-9);
        }
    }
    let (evidence, _) = rows(&summed);
    for (a, b) in output(&summed, "evidence").iter().zip(&evidence) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
}

/// The gradient of the loss in every variable against central differences.
fn check_gradients(name: &str, text: &str) {
    let c = compiled(text, &[]);
    let w = world(&c);
    let mut l = c.lower(&w.bound, &request(Purpose::Objective, Mode::Evaluate, ROWS.len())).expect("lowers");
    let mut values = w.parameters(&l);
    values.values_mut().flatten().for_each(|v| *v *= 5.0);
    let trained: Vec<String> =
        l.variables.iter().filter(|v| v.kind == dsl::VariableKind::Trained).map(|v| v.name.clone()).collect();
    let loss = l.loss.expect("a loss");
    let read = |g: &autodiff_runtime::Graph, n: &str| {
        let op = autodiff_runtime::Op::Variable(g.find_variable(n).expect("a variable"));
        g.node_ids().find(|i| g.node(*i).op == op).expect("read once")
    };
    let nodes: Vec<_> = trained.iter().map(|n| read(&l.graph, n)).collect();
    let gradients = autodiff_runtime::autodiff::gradients(&mut l.graph, loss, &nodes).expect("a derivative");
    for (n, g) in trained.iter().zip(gradients) {
        l.graph.output(format!("grad:{n}"), g);
    }
    let out = w.run_at(&l, &ROWS, &values);
    let mut moved = 0.0_f64;
    for n in &trained {
        for i in 0..values[n].len() {
            let h = 1e-5;
            let at = |delta: f64| {
                let mut v = values.clone();
                v.get_mut(n).expect("known")[i] += delta;
                w.run_at(&l, &ROWS, &v)["loss"][0]
            };
            let (up, down) = (at(h), at(-h));
            let (found, expected) = (out[&format!("grad:{n}")][i], (up - down) / (2.0 * h));
            assert!(
                (found - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                "{name} {n}[{i}]: {found} {expected}"
            );
            moved = moved.max(expected.abs());
        }
    }
    assert!(moved > 1e-3, "{name}: nothing moves");
}

#[test]
fn gradients_agree_with_differences() {
    let head = "dim cell, gene\ndim k = 3\ndata { x : real[cell, gene] from X  y : count[cell, gene] from layers.y }\n";
    let programs = [
        (
            "summed",
            "param w[k]  param m[gene, k]\nmodel { plate cell { c ~ Categorical(logits = w)\n observe x ~ Normal(mean = m[c], scale = 1) } }\nguide { plate cell { c ~ marginal } }",
        ),
        (
            "each",
            "param w[gene]  param m[gene]\nmodel { plate cell { c[gene] ~ Bernoulli(logits = w)\n observe x ~ Normal(mean = select(c, m, 2 * m), scale = 1) } }\nguide { plate cell { c ~ marginal } }",
        ),
        (
            "guide",
            "param w[k]  param m[gene, k]  param a[k]  param b[k]\nmodel { plate cell { c ~ Categorical(logits = w)\n u ~ Normal(mean = a[c], scale = 1)\n observe x ~ Normal(mean = m[c] * u, scale = 1) } }\nguide { plate cell { c ~ Categorical(logits = b * mean(x over gene))\n u ~ Normal(mean = b[c] * mean(x over gene), scale = exp(a[c])) } }",
        ),
        (
            "mixture",
            "param w[k]  param m[gene, k]  param s[k] : positive\nmodel { plate cell { observe x ~ Mixture(Normal(mean = m, scale = s), logits = w over k) } }",
        ),
        (
            "point",
            "param m[gene]\nmodel { eta[gene] ~ Normal(0, 1)\n r[gene] ~ Gamma(concentration = 2, rate = 1)\n p[gene] ~ Beta(a = 2, b = 3)\n t[gene] ~ Dirichlet(concentration = 2)\n plate cell { observe y ~ NB(mean = exp(m + eta) * r * (1 + p) * t, inv_dispersion = r) } }\nguide { eta ~ point  r ~ point  p ~ point  t ~ point }",
        ),
        (
            "auto",
            "param m[gene]\nmodel { eta[gene] ~ Normal(0, 1)\n r[gene] ~ Gamma(concentration = 2, rate = 1)\n p[gene] ~ Beta(a = 2, b = 3)\n t[gene] ~ Dirichlet(concentration = 2)\n plate cell { observe y ~ NB(mean = exp(m + eta) * r * (1 + p) * t, inv_dispersion = r) } }\nguide { eta ~ auto  r ~ auto  p ~ auto  t ~ auto }",
        ),
        (
            "family",
            "param m[gene]\nmodel { r[gene] ~ Exponential(rate = 1)\n plate cell { observe y ~ Poisson(rate = exp(m) * (r + 0.1)) } }\nguide { r ~ auto }",
        ),
        (
            "prior",
            "param m[gene]\nmodel { plate cell { h ~ Normal(mean = mean(m over gene), scale = 1)\n observe x ~ Normal(mean = m * h, scale = 1) } }\nguide { plate cell { h ~ prior } }",
        ),
        (
            "relaxed",
            "param w[k]  param m[gene, k]\nmodel { plate cell { c ~ Categorical(logits = w)\n b ~ Bernoulli(logits = mean(m over gene, k))\n observe x ~ Normal(mean = m[c] + select(b, 1, mean(w over k)), scale = 1) } }\nguide { plate cell { c ~ relaxed(Categorical(logits = w * mean(x over gene)), temperature = 0.7)\n b ~ relaxed(Bernoulli(logits = sum(w over k) * mean(x over gene)), temperature = 1) } }",
        ),
        (
            "free",
            "param m[gene]\nobjective { t = mean(x * m over cell)\n maximize sum(cosine(x, m over gene) over cell) - sum(t * t over gene)\n minimize 0.1 * sum(m * m over gene) }",
        ),
        (
            "weights",
            "param m[gene]  param s : positive\nmodel { eta ~ Normal(0, 1)\n plate cell { observe x ~ Normal(mean = m + eta, scale = 1) } }\nguide { eta ~ point }\nobjective { weight lik(x) by s * s  weight prior(eta) by 2 }",
        ),
        (
            "draws",
            "param m[gene]\nmodel { plate cell { z ~ Normal(mean = mean(m over gene), scale = 1)\n observe x ~ Normal(mean = m * z, scale = 1) } }\nguide { plate cell { z ~ Normal(mean = mean(x * m over gene), scale = 0.5) } }\nobjective { estimate kl(z) by mc(4)  estimate lik(x) by mc(3) }",
        ),
    ];
    for (name, text) in programs {
        check_gradients(name, &format!("{head}{text}\n"));
    }
}

#[test]
fn too_many_labels_are_refused_once_the_data_are_known() {
    let text = "dim cell, gene, k\ndata { x : real[cell, gene] from X }\nparam m[k]\n\
        model { plate cell { a ~ Categorical(probs = uniform(k))\n b ~ Categorical(probs = uniform(k))\n\
        observe x ~ Normal(mean = m[a] + m[b], scale = 1) } }\nguide { plate cell { a ~ marginal  b ~ marginal } }\n";
    let c = compiled(text, &[]);
    let mut b = bound(&c, 4, true);
    let asked = request(Purpose::Objective, Mode::Evaluate, 2);
    b.sizes.insert("k".into(), 64);
    assert!(c.lower(&b, &asked).is_ok());
    b.sizes.insert("k".into(), 65);
    let found = c.lower(&b, &asked).expect_err("65 · 65 combinations");
    assert_eq!(found.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::E0506]);
}

/// The mean of a quantity over draws, and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (var / n).sqrt())
}

/// The gradient of the training loss in `g`, draw by draw.
fn slopes(guide: &str, draws: u64) -> Vec<f64> {
    let c = compiled(
        &format!(
            "dim cell, gene\ndata {{ x : real[cell, gene] from X }}\nparam w  param m[gene]  param g\n\
             model {{ plate cell {{ c ~ Bernoulli(logits = w)\n observe x ~ Normal(mean = select(c, m, 1), scale = 1) }} }}\n\
             guide {{ plate cell {{ c ~ {guide} }} }}\nobjective {{ weight lik(x) by 0.5 }}\n"
        ),
        &[],
    );
    let mut w = world(&c);
    let mut l = c.lower(&w.bound, &request(Purpose::Objective, Mode::Train, ROWS.len())).expect("lowers");
    let op = autodiff_runtime::Op::Variable(l.graph.find_variable("g").expect("a variable"));
    let g = l.graph.node_ids().find(|i| l.graph.node(*i).op == op).expect("read once");
    let loss = l.loss.expect("a loss");
    let slope = autodiff_runtime::autodiff::gradients(&mut l.graph, loss, &[g]).expect("a derivative")[0];
    l.graph.output("slope", slope);
    let mut values = w.parameters(&l);
    values.values_mut().flatten().for_each(|v| *v *= 8.0);
    (0..draws)
        .map(|step| {
            w.step = step;
            w.run_at(&l, &ROWS, &values)["slope"][0]
        })
        .collect()
}

#[test]
fn the_score_function_has_the_gradient_of_the_sum() {
    let guide = "Bernoulli(logits = g * mean(x over gene))";
    let exact = slopes(guide, 1)[0];
    let (mean, error) = mean_and_error(&slopes(&format!("score({guide})"), 4000));
    assert!((mean - exact).abs() < 4.0 * error, "{mean} ± {error}, exactly {exact}");
    assert!(exact.abs() > 8.0 * error, "nothing is tested: {exact} ± {error}");
}

/// E_q[p/q] = 1 for any guide: what holds only if both densities are over the same space.
#[test]
fn guides_of_their_own_have_the_measure_of_the_prior() {
    for prior in
        ["Dirichlet(concentration = 2 over k)", "Beta(a = 2, b = 3)", "Gamma(concentration = 2, rate = 1)"]
    {
        let c = compiled(
            &format!(
                "dim cell\ndim k = 3\ndata {{ x : real[cell] from obs.x }}\n\
                 model {{ t[k] ~ {prior}\n plate cell {{ observe x ~ Normal(mean = sum(t * t over k), scale = 1) }} }}\n\
                 guide {{ t ~ auto }}\n"
            ),
            &[],
        );
        let mut w = world(&c);
        let l = c.lower(&w.bound, &request(Purpose::Objective, Mode::Evaluate, ROWS.len())).expect("lowers");
        let mut values = w.parameters(&l);
        // A guide that covers the prior: of a simplex also log Σ exp u, which the prior has standard normal.
        for (name, v) in &mut values {
            let simplex = prior.starts_with("Dirichlet");
            match name.rsplit('.').next() {
                Some("scale") => v.fill(if simplex { 0.3 } else { 0.2 }),
                Some("mean") if simplex => v.fill(-1.5),
                _ => {}
            }
        }
        let ratios: Vec<f64> = (0..6000)
            .map(|step| {
                w.step = step;
                (-w.run_at(&l, &ROWS, &values)["term:kl(t)"][0]).exp()
            })
            .collect();
        let (mean, error) = mean_and_error(&ratios);
        assert!((mean - 1.0).abs() < 4.0 * error && error < 0.05, "{prior}: {mean} ± {error}");
    }
}
