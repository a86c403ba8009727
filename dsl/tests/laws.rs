//! Laws of the bound over random small models whose evidence and posterior are known: networks of Gaussians, scored
//! against linear algebra written here.
//!
//! A guide that is the posterior, drawn in whatever order, makes every draw of the Monte Carlo bound the evidence; under
//! the estimators that the rule chooses the average is. A guide that is off by known amounts lies below by its divergence.

mod common;

use common::{World, bound, compiled, noise, request, same};
use dsl::{Compiled, Mode, Purpose};
use std::f64::consts::PI;

const ROWS: [usize; 3] = [0, 1, 2];

/// l = B l + b + s ε, one after the other; x of each gene = a + c·l + t ε.
struct Network {
    links: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    scales: Vec<f64>,
    loading: Vec<f64>,
    level: f64,
    spread: f64,
    /// The order in which the guide draws.
    order: Vec<usize>,
}

/// A Gaussian whose mean is linear.
struct Conditional {
    intercept: f64,
    /// On the mean over genes.
    slope: f64,
    /// On latents drawn before.
    slopes: Vec<(usize, f64)>,
    scale: f64,
}

impl Network {
    fn random(seed: usize) -> Self {
        let n = 1 + seed % 3;
        let number = |what: &str, i: usize, j: usize| 2.0 * noise(what, &[seed, i, j]) - 1.0;
        let scale = |what: &str, i: usize| 0.4 + noise(what, &[seed, i]);
        let link = |i: usize, j: usize| if j < i { 1.5 * number("link", i, j) } else { 0.0 };
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| noise("order", &[seed, *a]).total_cmp(&noise("order", &[seed, *b])));
        Network {
            links: (0..n).map(|i| (0..n).map(|j| link(i, j)).collect()).collect(),
            intercepts: (0..n).map(|i| number("intercept", i, 0)).collect(),
            scales: (0..n).map(|i| scale("scale", i)).collect(),
            loading: (0..n).map(|i| number("loading", i, 0)).collect(),
            level: number("level", 0, 0),
            spread: scale("spread", 0),
            order,
        }
    }

    fn len(&self) -> usize {
        self.scales.len()
    }

    /// Precision and mean of the latents before the data.
    fn prior(&self) -> (Vec<Vec<f64>>, Vec<f64>) {
        let n = self.len();
        let a = |i: usize, j: usize| f64::from(u8::from(i == j)) - self.links[i][j];
        let precision = (0..n).map(|i| {
            (0..n).map(|j| (0..n).map(|k| a(k, i) * a(k, j) / self.scales[k].powi(2)).sum()).collect()
        });
        let mut mean = vec![0.0; n];
        for i in 0..n {
            mean[i] = self.intercepts[i] + (0..i).map(|j| self.links[i][j] * mean[j]).sum::<f64>();
        }
        (precision.collect(), mean)
    }

    /// Log evidence of values of the genes.
    fn evidence(&self, x: &[f64]) -> f64 {
        let (precision, mean) = self.prior();
        let covariance = inverse(&precision);
        let dot = |v: &[f64]| self.loading.iter().zip(v).map(|(c, v)| c * v).sum::<f64>();
        let variance = dot(&covariance.iter().map(|row| dot(row)).collect::<Vec<_>>());
        let centre = self.level + dot(&mean);
        let (n, t2) = (x.len() as f64, self.spread.powi(2));
        let residuals: Vec<f64> = x.iter().map(|x| x - centre).collect();
        let sum: f64 = residuals.iter().sum();
        let squares: f64 = residuals.iter().map(|r| r * r).sum();
        // Covariance t² I + v 1 1ᵀ: one direction has t² + n v, all others t².
        let along = sum * sum / n;
        let log_det = (n - 1.0) * t2.ln() + (t2 + n * variance).ln();
        -0.5 * (n * (2.0 * PI).ln() + log_det + (squares - along) / t2 + along / (t2 + n * variance))
    }

    /// Of each latent given those that the guide draws before it and the mean of n genes.
    fn conditionals(&self, n_genes: usize) -> Vec<Conditional> {
        let n = self.len();
        let (mut precision, prior_mean) = self.prior();
        let gain = n_genes as f64 / self.spread.powi(2);
        let at_prior: Vec<f64> =
            (0..n).map(|i| (0..n).map(|j| precision[i][j] * prior_mean[j]).sum()).collect();
        for i in 0..n {
            for j in 0..n {
                precision[i][j] += gain * self.loading[i] * self.loading[j];
            }
        }
        let covariance = inverse(&precision);
        let apply = |v: &[f64]| -> Vec<f64> {
            (0..n).map(|i| (0..n).map(|j| covariance[i][j] * v[j]).sum()).collect()
        };
        let constant: Vec<f64> =
            apply(&(0..n).map(|i| at_prior[i] - gain * self.loading[i] * self.level).collect::<Vec<_>>());
        let slope: Vec<f64> = apply(&self.loading.iter().map(|c| gain * c).collect::<Vec<_>>());
        let mut out = vec![];
        for (at, &i) in self.order.iter().enumerate() {
            let before = &self.order[..at];
            let block: Vec<Vec<f64>> =
                before.iter().map(|a| before.iter().map(|b| covariance[*a][*b]).collect()).collect();
            let block = inverse(&block);
            let weights: Vec<f64> =
                (0..at).map(|a| (0..at).map(|b| covariance[i][before[b]] * block[b][a]).sum()).collect();
            let less = |values: &[f64]| {
                values[i] - before.iter().zip(&weights).map(|(b, w)| w * values[*b]).sum::<f64>()
            };
            let explained: f64 = before.iter().zip(&weights).map(|(b, w)| w * covariance[i][*b]).sum();
            let slopes = before.iter().copied().zip(weights.iter().copied()).collect();
            out.push(Conditional {
                intercept: less(&constant),
                slope: less(&slope),
                slopes,
                scale: (covariance[i][i] - explained).sqrt(),
            });
        }
        out
    }

    /// The program; every latent of the guide is off by `shift` and wider by `factor`.
    fn program(&self, n_genes: usize, (shift, factor): (f64, f64), objective: &str) -> String {
        let mut text =
            String::from("dim cell, gene\ndata { x : real[cell, gene] from X }\nmodel { plate cell {\n");
        for i in 0..self.len() {
            let parents: String = (0..i).map(|j| format!(" + ({:e}) * l{j}", self.links[i][j])).collect();
            text += &format!(
                "  l{i} ~ Normal(mean = ({:e}){parents}, scale = {:e})\n",
                self.intercepts[i], self.scales[i]
            );
        }
        let loading: String = (0..self.len()).map(|i| format!(" + ({:e}) * l{i}", self.loading[i])).collect();
        text += &format!(
            "  observe x ~ Normal(mean = ({:e}){loading}, scale = {:e})\n}} }}\nguide {{ plate cell {{\n",
            self.level, self.spread
        );
        for (&i, q) in self.order.iter().zip(self.conditionals(n_genes)) {
            let Conditional { intercept, slope, slopes, scale } = q;
            let others: String = slopes.iter().map(|(j, w)| format!(" + ({w:e}) * l{j}")).collect();
            text += &format!(
                "  l{i} ~ Normal(mean = ({:e}) + ({slope:e}) * mean(x over gene){others}, scale = {:e})\n",
                intercept + shift * scale,
                factor * scale
            );
        }
        text + "} }\n" + objective
    }
}

/// By Gauss and Jordan; small and well conditioned here.
fn inverse(a: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = a.len();
    let mut m: Vec<Vec<f64>> = (0..n)
        .map(|i| a[i].iter().copied().chain((0..n).map(|j| f64::from(u8::from(i == j)))).collect())
        .collect();
    for i in 0..n {
        let pivot = (i..n).max_by(|a, b| m[*a][i].abs().total_cmp(&m[*b][i].abs())).expect("a row");
        m.swap(i, pivot);
        let d = m[i][i];
        m[i].iter_mut().for_each(|v| *v /= d);
        for k in (0..n).filter(|k| *k != i) {
            let f = m[k][i];
            let row = m[i].clone();
            m[k].iter_mut().zip(&row).for_each(|(v, r)| *v -= f * r);
        }
    }
    m.into_iter().map(|row| row[n..].to_vec()).collect()
}

fn forced(n: &Network) -> String {
    let all: String = (0..n.len()).map(|i| format!("  estimate kl(l{i}) by mc(1)\n")).collect();
    format!("objective {{\n{all}}}\n")
}

/// The bound of each row at several steps: draws by rows.
fn bounds(c: &Compiled, steps: std::ops::Range<u64>) -> Vec<Vec<f64>> {
    let b = bound(c, ROWS.len(), true);
    let l =
        c.lower(&b, &request(Purpose::Objective, Mode::Evaluate, ROWS.len())).expect("the objective lowers");
    let world = |step| World { model: c, bound: b.clone(), canonical: same, epoch: 0.0, step };
    let one = |step| {
        let out = world(step).run(&l, &ROWS);
        let mut rows = vec![0.0; ROWS.len()];
        for (name, values) in out.iter().filter(|(name, _)| name.starts_with("row:")) {
            let sign = if name.starts_with("row:kl") { -1.0 } else { 1.0 };
            rows.iter_mut().zip(values).for_each(|(r, v)| *r += sign * v);
        }
        rows
    };
    steps.map(one).collect()
}

fn n_genes(c: &Compiled) -> usize {
    bound(c, ROWS.len(), true).sizes["gene"]
}

fn genes(n: usize, row: usize) -> Vec<f64> {
    (0..n).map(|g| 4.0 * noise("x", &[row, g]) - 2.0).collect()
}

/// Number of genes that the made-up world gives to such programs.
fn width() -> usize {
    n_genes(&compiled(&Network::random(0).program(1, (0.0, 1.0), ""), &[]))
}

#[test]
fn the_posterior_makes_every_draw_the_evidence() {
    let n = width();
    for seed in 0..40 {
        let network = Network::random(seed);
        let text = network.program(n, (0.0, 1.0), &forced(&network));
        for draw in bounds(&compiled(&text, &[]), 0..4) {
            for (row, found) in ROWS.iter().zip(draw) {
                let expected = network.evidence(&genes(n, *row));
                assert!(
                    (found - expected).abs() < 1e-8 * (1.0 + expected.abs()),
                    "{text}\n{found} {expected}"
                );
            }
        }
    }
}

#[test]
fn the_rule_for_closed_forms_keeps_the_average() {
    let n = width();
    let mut mixed = 0;
    for seed in 0..18 {
        let network = Network::random(seed);
        for off in [(0.0, 1.0), (0.6, 0.7)] {
            let c = compiled(&network.program(n, off, ""), &[]);
            let told = c.explain();
            mixed += usize::from(told.contains("analytic") && told.contains("Monte Carlo"));
            let (shift, factor): (f64, f64) = off;
            let gap = 0.5 * (factor * factor + shift * shift - 1.0) - factor.ln();
            let draws = bounds(&c, 0..600);
            for (at, row) in ROWS.iter().enumerate() {
                let mean = draws.iter().map(|d| d[at]).sum::<f64>() / draws.len() as f64;
                let square = draws.iter().map(|d| (d[at] - mean).powi(2)).sum::<f64>();
                let error = (square / draws.len() as f64 / (draws.len() - 1) as f64).sqrt();
                let evidence = network.evidence(&genes(n, *row));
                let expected = evidence - network.len() as f64 * gap;
                assert!(
                    (mean - expected).abs() < 5.0 * error + 1e-9 * expected.abs(),
                    "{told}\nnetwork {seed}, row {row}: {mean} ± {error}, not {expected}"
                );
                assert!(gap == 0.0 || mean < evidence, "the bound lies below the evidence");
            }
        }
    }
    assert!(mixed > 5, "some networks have terms of both kinds: {mixed}");
}

#[test]
fn random_networks_average_over_minibatches() {
    let n = width();
    for seed in 0..12 {
        let network = Network::random(seed);
        let c = compiled(&network.program(n, (0.3, 1.2), ""), &[]);
        let w = World { model: &c, bound: bound(&c, 6, true), canonical: same, epoch: 0.0, step: 3 };
        let loss = |rows: &[usize]| w.objective(Mode::Evaluate, rows)["loss"][0];
        let whole = loss(&[0, 1, 2, 3, 4, 5]);
        for size in [1, 2, 3] {
            let parts: Vec<f64> = [4, 1, 5, 0, 2, 3].chunks(size).map(loss).collect();
            let mean = parts.iter().sum::<f64>() / parts.len() as f64;
            assert!((mean - whole).abs() < 1e-10 * whole.abs(), "network {seed}: {mean} {whole}");
        }
    }
}

/// Guide and prior of one family: the closed form against the average of draws, through the whole compiler.
#[test]
fn closed_forms_are_the_average_of_draws() {
    let pairs = [
        ("Normal(mean = 0.3, scale = 0.8)", "Normal(mean = -0.4, scale = 1.3)"),
        ("LogNormal(loc = 0.2, scale = 0.5)", "LogNormal(loc = -0.1, scale = 0.9)"),
        ("LogitNormal(loc = 0.2, scale = 0.5)", "LogitNormal(loc = -0.3, scale = 0.8)"),
        ("Exponential(rate = 1.4)", "Exponential(rate = 0.7)"),
        ("Gamma(concentration = 2.5, rate = 1.5)", "Gamma(concentration = 1.2, rate = 0.6)"),
        ("Beta(a = 2.0, b = 3.5)", "Beta(a = 0.8, b = 1.1)"),
    ];
    for (q, p) in pairs {
        let text = |objective: &str| {
            format!(
                "dim cell, gene\ndata {{ x : real[cell, gene] from X }}\n\
                 model {{ plate cell {{ z ~ {p}\n observe x ~ Normal(mean = z, scale = 2) }} }}\n\
                 guide {{ plate cell {{ z ~ {q} }} }}\n{objective}"
            )
        };
        let of = |text: &str, steps: u64| {
            let c = compiled(text, &[]);
            let b = bound(&c, ROWS.len(), true);
            let l = c.lower(&b, &request(Purpose::Objective, Mode::Evaluate, ROWS.len())).expect("it lowers");
            let at = |step| World { model: &c, bound: b.clone(), canonical: same, epoch: 0.0, step };
            (0..steps).flat_map(|s| at(s).run(&l, &ROWS)["row:kl(z)"].clone()).collect::<Vec<f64>>()
        };
        let exact = of(&text(""), 1)[0];
        let draws = of(&text("objective { estimate kl(z) by mc(20) }"), 400);
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let square = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>();
        let error = square.sqrt() / draws.len() as f64;
        assert!(error > 0.0 && (mean - exact).abs() < 5.0 * error, "{q}: {mean} ± {error}, not {exact}");
    }
}
