//! (g) Densities, divergences and their gradients on the reference's grid (`distributions.safetensors`, double
//! precision, `exact.*` in 40 digits). Found by `SVIC_PARITY`, else in `../shared/parity` beside the workspace; absent
//! fixtures skip these tests with a word.

use crate::bench::{Bench, assert_close, log_prob};
use autodiff_runtime::{Elem, NodeId, special};
use safetensors::{Dtype, SafeTensors};
use std::path::PathBuf;

/// The fixture file's bytes, or why there are none.
fn bytes() -> Result<Vec<u8>, String> {
    let folder = std::env::var_os("SVIC_PARITY")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/parity"), PathBuf::from);
    let path = folder.join("distributions.safetensors");
    std::fs::read(&path).map_err(|e| format!("no fixtures at {}: {e}", path.display()))
}

/// Runs a test on the fixtures, or says why not.
macro_rules! with_fixtures {
    ($name:ident) => {
        match bytes() {
            Ok(bytes) => $name(&Fixtures(SafeTensors::deserialize(&bytes).expect("a safetensors file"))),
            Err(why) => println!("skipped: {why}"),
        }
    };
}

struct Fixtures<'a>(SafeTensors<'a>);

impl Fixtures<'_> {
    fn find(&self, name: &str) -> Option<Vec<f64>> {
        let t = self.0.tensor(name).ok()?;
        let chunks = |n: usize| t.data().chunks_exact(n);
        let eight = |c: &[u8]| <[u8; 8]>::try_from(c).expect("eight bytes");
        Some(match t.dtype() {
            Dtype::F64 => chunks(8).map(|c| f64::from_le_bytes(eight(c))).collect(),
            Dtype::I64 => chunks(8).map(|c| i64::from_le_bytes(eight(c)) as f64).collect(),
            Dtype::F32 => {
                let four = |c: &[u8]| <[u8; 4]>::try_from(c).expect("four bytes");
                chunks(4).map(|c| f64::from(f32::from_le_bytes(four(c)))).collect()
            }
            other => panic!("{name} is {other:?}"),
        })
    }

    fn get(&self, name: &str) -> Vec<f64> {
        self.find(name).unwrap_or_else(|| panic!("the fixtures lack {name}"))
    }

    /// The 40-digit value where there is one.
    fn truth(&self, group: &str, what: &str) -> Vec<f64> {
        self.find(&format!("{group}.exact.{what}")).unwrap_or_else(|| self.get(&format!("{group}.{what}")))
    }
}

/// A group of the file: a density of a family.
struct Density {
    group: &'static str,
    family: &'static str,
    set: usize,
    n_event: usize,
    value: &'static str,
    params: &'static [&'static str],
}

const fn density(
    group: &'static str,
    family: &'static str,
    set: usize,
    n_event: usize,
    params: &'static [&'static str],
) -> Density {
    Density { group, family, set, n_event, value: "value", params }
}

#[rustfmt::skip]
const DENSITIES: &[Density] = &[
    density("nb", "NB", 0, 1, &["mu", "theta"]),
    density("nb_zero_mean", "NB", 0, 1, &["mu", "theta"]),
    density("nb_count_logits", "NB", 1, 1, &["total_count", "logits"]),
    density("zinb", "ZINB", 0, 1, &["mu", "theta", "zi_logits"]),
    density("poisson", "Poisson", 0, 1, &["rate"]),
    density("poisson_zero_rate", "Poisson", 0, 1, &["rate"]),
    density("betabinomial_alpha_beta", "BetaBinomial", 0, 1, &["total_count", "alpha", "beta"]),
    density("betabinomial_mu_gamma", "BetaBinomial", 1, 1, &["total_count", "mu", "gamma"]),
    density("beta", "Beta", 0, 1, &["concentration1", "concentration0"]),
    density("gamma", "Gamma", 0, 1, &["concentration", "rate"]),
    density("dirichlet", "Dirichlet", 0, 4, &["concentration"]),
    density("normal", "Normal", 0, 1, &["loc", "scale"]),
    density("lognormal", "LogNormal", 0, 1, &["loc", "scale"]),
    density("bernoulli_logits", "Bernoulli", 1, 1, &["logits"]),
    density("categorical_logits", "Categorical", 1, 5, &["logits"]),
];

/// Groups of the divergences: family, set, size of the event axis, arguments of q then of p.
#[rustfmt::skip]
const DIVERGENCES: &[(&str, &str, usize, usize, &[&str])] = &[
    ("kl.normal_normal", "Normal", 0, 1, &["loc_q", "scale_q", "loc_p", "scale_p"]),
    ("kl.lognormal_lognormal", "LogNormal", 0, 1, &["loc_q", "scale_q", "loc_p", "scale_p"]),
    ("kl.gamma_gamma", "Gamma", 0, 1, &["conc_q", "rate_q", "conc_p", "rate_p"]),
    ("kl.beta_beta", "Beta", 0, 1, &["a_q", "b_q", "a_p", "b_p"]),
    ("kl.dirichlet_dirichlet", "Dirichlet", 0, 4, &["conc_q", "conc_p"]),
    ("kl.bernoulli_bernoulli_logits", "Bernoulli", 1, 1, &["logits_q", "logits_p"]),
    ("kl.categorical_categorical_logits", "Categorical", 1, 5, &["logits_q", "logits_p"]),
    ("kl.poisson_poisson", "Poisson", 0, 1, &["rate_q", "rate_p"]),
    ("kl.exponential_exponential", "Exponential", 0, 1, &["rate_q", "rate_p"]),
];

/// Groups with a test of their own below, and groups of densities that no single family gives.
const SEPARATE: &[&str] =
    &["nb_true", "binomial_probs", "bernoulli_floored_bce", "bag_of_words", "nbmixture", "implicit.gamma"];
const ELSEWHERE: &[&str] = &[
    "log1pnormal",
    "zi_lognormal",
    "zi_gamma",
    "nb_log_space",
    "gaussian_nll",
    "mog",
    "vamp_per_dimension",
    "implicit.dirichlet",
];

/// Errors are relative to max(1, |truth|).
const TOLERANCE: f64 = 1e-9;

fn compare(ours: &[f64], truth: &[f64], what: &str) {
    assert_eq!(ours.len(), truth.len(), "{what}");
    for (i, (o, t)) in ours.iter().zip(truth).enumerate().filter(|(_, (_, t))| t.is_finite()) {
        assert_close(*o, *t, TOLERANCE, &format!("{what} row {i}"));
    }
}

fn densities(f: &Fixtures<'_>) {
    for d in DENSITIES {
        let params: Vec<Vec<f64>> = d.params.iter().map(|p| f.get(&format!("{}.{p}", d.group))).collect();
        let value = f.get(&format!("{}.{}", d.group, d.value));
        let truth = f.truth(d.group, "log_prob");
        let mut b = Bench::new(truth.len(), d.n_event, 1);
        let dist = b.dist(d.family, d.set, &params.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let at = b.value(&dist, &value);
        let lp = dist.log_prob(&mut b.g, at);
        let named: Vec<(&str, NodeId)> =
            d.params.iter().copied().zip(dist.params.iter().copied()).chain([(d.value, at.value)]).collect();
        let stored: Vec<(&str, NodeId)> =
            named.into_iter().filter(|(n, _)| f.find(&format!("{}.grad.{n}", d.group)).is_some()).collect();
        let grads = b.gradients(lp, &stored.iter().map(|s| s.1).collect::<Vec<_>>());
        let out = b.run(&[vec![lp], grads].concat());
        compare(&out[0], &truth, d.group);
        for ((name, _), ours) in stored.iter().zip(&out[1..]) {
            assert!(ours.iter().all(|x| x.is_finite()), "{}: a gradient in {name} is not finite", d.group);
            compare(ours, &f.truth(d.group, &format!("grad.{name}")), &format!("{} grad {name}", d.group));
        }
    }
}

#[test]
fn densities_and_their_gradients() {
    with_fixtures!(densities);
}

fn divergences(f: &Fixtures<'_>) {
    for (group, family, set, n_event, names) in DIVERGENCES {
        let params: Vec<Vec<f64>> = names.iter().map(|p| f.get(&format!("{group}.{p}"))).collect();
        let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
        let truth = f.truth(group, "kl");
        let mut b = Bench::new(truth.len(), *n_event, 1);
        let (of_q, of_p) = params.split_at(params.len() / 2);
        let (q, p) = (b.dist(family, *set, of_q), b.dist(family, *set, of_p));
        let kl = q.kl(&mut b.g, &p).expect("a closed form");
        let wrt: Vec<NodeId> = q.params.iter().chain(&p.params).copied().collect();
        let grads = b.gradients(kl, &wrt);
        let out = b.run(&[vec![kl], grads].concat());
        compare(&out[0], &truth, group);
        for (name, ours) in names.iter().zip(&out[1..]) {
            compare(ours, &f.truth(group, &format!("grad.{name}")), &format!("{group} grad {name}"));
        }
    }
}

#[test]
fn divergences_and_their_gradients() {
    with_fixtures!(divergences);
}

/// The pmf without the 1e-8 terms: the sets without them to 1e-9, the first set to what those terms make (1e-7 here).
fn true_nb(f: &Fixtures<'_>) {
    let [x, mu, theta] = ["value", "mu", "theta"].map(|n| f.get(&format!("nb_true.{n}")));
    let truth = f.get("nb_true.log_prob");
    let logits: Vec<f64> = mu.iter().zip(&theta).map(|(m, t)| (m / t).ln()).collect();
    let probs: Vec<f64> = mu.iter().zip(&theta).map(|(m, t)| m / (m + t)).collect();
    let by_mean = log_prob("NB", 0, &[&mu, &theta], &x, 1);
    compare(&log_prob("NB", 1, &[&theta, &logits], &x, 1), &truth, "nb_true, logits");
    compare(&log_prob("NB", 2, &[&theta, &probs], &x, 1), &truth, "nb_true, probs");
    by_mean.iter().zip(&truth).for_each(|(o, t)| assert_close(*o, *t, 2e-7, "nb_true, mean"));
}

#[test]
fn negative_binomial_without_epsilon() {
    with_fixtures!(true_nb);
}

/// The reference clamps at the working precision's epsilon, we at single precision's: where the probability is inside,
/// the two agree; outside, ours is the formula at the clamped probability.
fn binomial(f: &Fixtures<'_>) {
    let [x, n, p] = ["value", "total_count", "probs"].map(|s| f.get(&format!("binomial_probs.{s}")));
    let eps = distributions::special::PROB_EPS;
    let ours = log_prob("Binomial", 0, &[&n, &p], &x, 1);
    let truth = f.get("binomial_probs.log_prob");
    for i in 0..x.len() {
        let clamped = p[i].clamp(eps, 1.0 - eps);
        let expected = if clamped == p[i] {
            truth[i]
        } else {
            let choose = special::lgamma(n[i] + 1.0)
                - special::lgamma(x[i] + 1.0)
                - special::lgamma(n[i] - x[i] + 1.0);
            choose + x[i] * clamped.ln() + (n[i] - x[i]) * (-clamped).ln_1p()
        };
        assert_close(ours[i], expected, TOLERANCE, &format!("binomial_probs row {i}"));
    }
    let mut b = Bench::new(x.len(), 1, 1);
    let d = b.dist("Binomial", 0, &[&n, &p]);
    let at = b.value(&d, &x);
    let lp = d.log_prob(&mut b.g, at);
    let grad = b.gradients(lp, &[d.params[1]]);
    let (ours, truth) = (b.run(&grad).remove(0), f.get("binomial_probs.grad.probs"));
    for i in (0..x.len()).filter(|i| p[*i] > eps && p[*i] < 1.0 - eps) {
        assert_close(ours[i], truth[i], TOLERANCE, &format!("binomial_probs grad row {i}"));
    }
}

#[test]
fn binomial_with_clamped_probabilities() {
    with_fixtures!(binomial);
}

/// Gradients are compared where p (1 − p) exceeds 1e-12, below which the reference's are not derivatives.
fn floored(f: &Fixtures<'_>) {
    let group = "bernoulli_floored_bce";
    let [x, p] = ["value", "probs"].map(|s| f.get(&format!("{group}.{s}")));
    let mut b = Bench::new(x.len(), 1, 1);
    let d = b.dist("Bernoulli", 0, &[&p]);
    let at = b.value(&d, &x);
    let lp = d.log_prob(&mut b.g, at);
    let grad = b.gradients(lp, &[d.params[0]]);
    let out = b.run(&[lp, grad[0]]);
    compare(&out[0], &f.get(&format!("{group}.log_prob")), group);
    let truth = f.get(&format!("{group}.grad.probs"));
    for i in 0..x.len() {
        assert!(out[1][i].is_finite(), "row {i}: gradient {}", out[1][i]);
        if p[i] * (1.0 - p[i]) > 1.1e-12 {
            assert_close(out[1][i], truth[i], TOLERANCE, &format!("{group} grad row {i}"));
        }
    }
}

#[test]
fn bernoulli_with_a_floor() {
    with_fixtures!(floored);
}

/// Bag of words: a Multinomial without its coefficient. Against single precision, whose clamp is ours, to 1e-5; in
/// double precision where no clamp acts. The reference renormalises, which takes Σ x off each slope.
fn words(f: &Fixtures<'_>) {
    let [x, p] = ["value", "probs"].map(|s| f.get(&format!("bag_of_words.{s}")));
    let n_rows = x.len() / 8;
    let total: Vec<f64> = x.chunks(8).map(|c| c.iter().sum()).collect();
    let mut b = Bench::new(n_rows, 8, 1);
    let d = b.dist("Multinomial", 0, &[&total, &p]);
    let at = b.value(&d, &x);
    let lp = d.log_prob(&mut b.g, at);
    let grad = b.gradients(lp, &[d.params[1]]);
    let out = b.run(&[lp, grad[0]]);
    let single = f.get("bag_of_words.log_prob_f32");
    let (double, slopes) = (f.get("bag_of_words.log_prob"), f.get("bag_of_words.grad.probs"));
    for i in 0..n_rows {
        let (counts, probs) = (&x[8 * i..8 * i + 8], &p[8 * i..8 * i + 8]);
        let log_factorial = |v: f64| special::lgamma(v + 1.0);
        let bag = out[0][i] - log_factorial(total[i]) + counts.iter().map(|c| log_factorial(*c)).sum::<f64>();
        assert_close(bag, single[i], 1e-5, &format!("bag_of_words row {i}, single precision"));
        if probs.iter().all(|q| *q > distributions::special::PROB_EPS) {
            assert_close(bag, double[i], TOLERANCE, &format!("bag_of_words row {i}"));
            for k in 8 * i..8 * i + 8 {
                assert_close(out[1][k] - total[i], slopes[k], TOLERANCE, &format!("bag_of_words slope {k}"));
            }
        }
    }
}

#[test]
fn bag_of_words() {
    with_fixtures!(words);
}

/// Two NBs weighted by σ(λ): log Σ of the two, composed in graph.
fn mixture(f: &Fixtures<'_>) {
    let names = ["mu1", "mu2", "theta1", "mixture_logits"];
    let [mu1, mu2, theta, logits] = names.map(|s| f.get(&format!("nbmixture.{s}")));
    let mut b = Bench::new(mu1.len(), 2, 1);
    let (one, two) = (b.dist("NB", 0, &[&mu1, &theta]), b.dist("NB", 0, &[&mu2, &theta]));
    let two = distributions::Dist { params: vec![two.params[0], one.params[1]], ..two };
    let lambda = b.scalar(&logits);
    let at = b.scalar(&f.get("nbmixture.value"));
    let (lp1, lp2) = (one.log_prob(&mut b.g, at.into()), two.log_prob(&mut b.g, at.into()));
    let (no, yes) = (b.g.softplus(lambda), distributions::special::softplus_neg(&mut b.g, lambda));
    let (lp1, lp2) = (b.g.sub(lp1, yes), b.g.sub(lp2, no));
    let gap = b.g.sub(lp1, lp2);
    let more = b.g.softplus(gap);
    let lp = b.g.add(lp2, more);
    let grads = b.gradients(lp, &[one.params[0], two.params[0], one.params[1], lambda]);
    let out = b.run(&[vec![lp], grads].concat());
    compare(&out[0], &f.truth("nbmixture", "log_prob"), "nbmixture");
    for (name, ours) in names.iter().zip(&out[1..]) {
        compare(ours, &f.truth("nbmixture", &format!("grad.{name}")), name);
    }
}

#[test]
fn mixture_of_two() {
    with_fixtures!(mixture);
}

/// d sample / d concentration = z · d log z / d concentration: within 1e-9 relative of the exact values (which span 1e-126
/// to 81), and within 2e-3 of the reference's approximation.
fn implicit(f: &Fixtures<'_>) {
    let [z, a] = ["sample", "alpha"].map(|s| f.get(&format!("implicit.gamma.{s}")));
    let mut b = Bench::new(z.len(), 1, 1);
    let (zs, as_) = (b.scalar(&z), b.scalar(&a));
    let log = b.g.log(zs);
    let slope = b.g.binary(Elem::LogGammaSampleGrad, log, as_);
    let slope = b.g.mul(slope, zs);
    let ours = b.run(&[slope]).remove(0);
    let (exact, torch) = (f.get("implicit.gamma.exact.grad"), f.get("implicit.gamma.grad"));
    for i in 0..z.len() {
        let err = (ours[i] / exact[i] - 1.0).abs();
        assert!(err < 1e-9, "z = {}, a = {}: {} for {}, error {err:e}", z[i], a[i], ours[i], exact[i]);
        assert!((ours[i] / torch[i] - 1.0).abs() < 3e-3);
    }
}

#[test]
fn implicit_gradient_of_gamma() {
    with_fixtures!(implicit);
}

/// Errors of log p in single precision, relative to max(1, |log p|), on the whole grid: what remains is terms of size
/// x log θ that cancel (NB at θ = 1e8 and x = 1e5; Poisson at x = 2e4). The reference's own NB is off by up to 25 here, its
/// ZINB by 0.1.
fn single(f: &Fixtures<'_>) {
    for d in DENSITIES.iter().filter(|d| d.n_event == 1) {
        let allowed = match d.group {
            "nb" => 3e-2,
            "poisson" => 1e-3,
            "zinb" | "betabinomial_alpha_beta" | "betabinomial_mu_gamma" | "nb_count_logits" => 3e-4,
            _ => 1e-5,
        };
        let params: Vec<Vec<f64>> = d.params.iter().map(|p| f.get(&format!("{}.{p}", d.group))).collect();
        let values = f.get(&format!("{}.{}", d.group, d.value));
        let error = crate::single::error(d.family, d.set, &params, &values);
        assert!(error < allowed, "{}: error {error:e} in single precision", d.group);
        let is_small = |i: &usize| values[*i] <= 50.0;
        let small: Vec<usize> = (0..values.len()).filter(is_small).collect();
        let pick = |v: &[f64]| small.iter().map(|i| v[*i]).collect::<Vec<f64>>();
        let params: Vec<Vec<f64>> = params.iter().map(|p| pick(p)).collect();
        let error = crate::single::error(d.family, d.set, &params, &pick(&values));
        // A beta-binomial's totals stay large at small counts.
        let allowed = if d.family == "BetaBinomial" { allowed } else { 1e-5 };
        assert!(error < allowed, "{}: error {error:e} in single precision at counts up to 50", d.group);
    }
}

#[test]
fn single_precision() {
    with_fixtures!(single);
}

/// A group that nobody names would be ignored in silence.
fn groups(f: &Fixtures<'_>) {
    let known: Vec<&str> = DENSITIES
        .iter()
        .map(|d| d.group)
        .chain(DIVERGENCES.iter().map(|d| d.0))
        .chain(SEPARATE.iter().chain(ELSEWHERE).copied())
        .collect();
    for name in f.0.names() {
        let found = known.iter().any(|g| name.strip_prefix(g).is_some_and(|rest| rest.starts_with('.')));
        assert!(found, "nobody reads the fixture {name}");
    }
}

#[test]
fn every_group_is_read() {
    with_fixtures!(groups);
}
