//! (j) Pathwise draws of Gamma, Beta and Dirichlet at concentrations from 1e-3 to 1e4: their distribution functions, and
//! the gradients of expectations that have a closed form.

use crate::bench::{Bench, N_BLOCKS, mean_and_error};
use autodiff_runtime::{NodeId, special};
use distributions::{Dist, Sample};
use statrs::function::beta::{beta_reg, ln_beta};

const CONCENTRATIONS: [f64; 8] = [1e-3, 0.02, 0.3, 1.0, 4.0, 60.0, 1e3, 1e4];

/// The base of a draw, for which small concentrations have no limit.
fn base(sample: Sample) -> NodeId {
    sample.base.expect("these families remember the logarithm or logit of a draw")
}

/// √n times the largest gap between the empirical and the true distribution function; above 2.2 with probability 1e-4.
fn kolmogorov(mut x: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    x.sort_by(f64::total_cmp);
    let n = x.len() as f64;
    let gap = |(i, v): (usize, &f64)| {
        let f = cdf(*v);
        (f - i as f64 / n).max((i + 1) as f64 / n - f)
    };
    x.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt()
}

/// Distribution function of log x, x ~ Beta(a, b): below e⁻²⁰⁰ it is xᵃ/(a B(a, b)) to all digits.
fn log_beta_cdf(a: f64, b: f64, log: f64) -> f64 {
    match log < -200.0 {
        true => (a * log - a.ln() - ln_beta(a, b)).exp().min(1.0),
        false => beta_reg(a, b, log.exp().min(1.0)),
    }
}

/// Distribution function of the logit of x ~ Beta(a, b), from the nearer end, where it has its digits.
fn logit_beta_cdf(a: f64, b: f64, logit: f64) -> f64 {
    match logit < 0.0 {
        true => log_beta_cdf(a, b, -special::softplus(-logit)),
        false => 1.0 - log_beta_cdf(b, a, -special::softplus(logit)),
    }
}

/// All pairs of shapes, as two parameters.
fn pairs() -> (Vec<f64>, Vec<f64>) {
    let of = |f: fn(f64, f64) -> f64| {
        CONCENTRATIONS.iter().flat_map(|a| CONCENTRATIONS.iter().map(move |b| f(*a, *b))).collect()
    };
    (of(|a, _| a), of(|_, b| b))
}

#[test]
fn beta_draws_have_their_distribution_function() {
    let (a, b) = pairs();
    let mut bench = Bench::new(a.len(), 1, 100);
    let d = bench.dist("Beta", 0, &[&a, &b]);
    let draw = bench.draws(&d);
    let logit = base(d.sample(&mut bench.g, &draw));
    let out = bench.run(&[logit]).remove(0);
    for i in 0..a.len() {
        let logits: Vec<f64> = out.iter().skip(i).step_by(a.len()).copied().collect();
        let statistic = kolmogorov(logits, |l| logit_beta_cdf(a[i], b[i], l));
        assert!(statistic < 2.4, "Beta({}, {}): {statistic}", a[i], b[i]);
    }
}

/// Part k of Dirichlet(c) is Beta(cₖ, Σc − cₖ).
#[test]
fn dirichlet_parts_have_their_distribution_function() {
    let c = [1e-3, 0.05, 2e-3, 0.4, 7.0, 1.0, 1e3, 30.0, 1e4, 0.2, 0.2, 0.01];
    let mut bench = Bench::new(4, 3, 200);
    let d = bench.dist("Dirichlet", 0, &[&c]);
    let draw = bench.draws(&d);
    let logs = base(d.sample(&mut bench.g, &draw));
    let out = bench.run(&[logs]).remove(0);
    for (i, own) in c.iter().enumerate() {
        let rest = c[i / 3 * 3..i / 3 * 3 + 3].iter().sum::<f64>() - own;
        // Against the sum of the others, as 1 − x has lost its digits where x is near 1.
        let logit = |row: &[f64]| {
            let others = (0..3).filter(|k| *k != i % 3).map(|k| row[i / 3 * 3 + k]);
            let (low, high) = others.fold((0.0, f64::NEG_INFINITY), |(_, b), x| (b.min(x), b.max(x)));
            row[i] - high - (low - high).exp().ln_1p()
        };
        let statistic =
            kolmogorov(out.chunks(c.len()).map(logit).collect(), |l| logit_beta_cdf(*own, rest, l));
        assert!(statistic < 2.4, "part {i} of Dirichlet: {statistic}");
    }
}

/// Five standard errors from 20 blocks of 500 draws. `average` has one number per block and element; `wanted[j]` are the
/// derivatives of its expectation in parameter j.
fn check(b: &mut Bench, d: &Dist, of: NodeId, wanted: &[Vec<f64>], what: &str) {
    let axis = b.draw;
    let average = b.g.mean(of, axis);
    let grads = b.gradients(average, &d.params);
    let out = b.run(&grads);
    for (j, (ours, wanted)) in out.iter().zip(wanted).enumerate() {
        for (i, truth) in wanted.iter().enumerate() {
            let blocks: Vec<f64> = (0..N_BLOCKS).map(|k| ours[k * wanted.len() + i]).collect();
            let (mean, error) = mean_and_error(&blocks);
            let fine = (mean - truth).abs() <= 5.0 * error + 1e-9 * truth.abs();
            assert!(fine, "{what} in parameter {j}, element {i}: {mean} ± {error}, expected {truth}");
        }
    }
}

/// Parameters repeated along the blocks, so that gradients come by block.
fn blocked(b: &mut Bench, family: &str, params: &[&[f64]]) -> Dist {
    let mut d = b.dist(family, 0, params);
    for (p, values) in d.params.iter_mut().zip(params) {
        let axes = b.g.axes_of(*p).with(b.block);
        *p = b.input(axes, values.repeat(N_BLOCKS));
    }
    d
}

/// E[log x] = ψ(a) − log r, so its slopes are ψ′(a) and −1/r; E[x] = a/r.
#[test]
fn gradients_of_gamma_expectations() {
    let rates: Vec<f64> = CONCENTRATIONS.iter().map(|a| 0.5 + a.sqrt()).collect();
    let mut b = Bench::new(CONCENTRATIONS.len(), 1, 500);
    let d = blocked(&mut b, "Gamma", &[&CONCENTRATIONS, &rates]);
    let draw = b.draws(&d);
    let x = d.sample(&mut b.g, &draw);
    let slopes = CONCENTRATIONS.iter().map(|a| special::trigamma(*a)).collect();
    check(&mut b, &d, base(x), &[slopes, rates.iter().map(|r| -1.0 / r).collect()], "E[log x]");
    let slopes = rates.iter().map(|r| 1.0 / r).collect();
    let in_rate = CONCENTRATIONS.iter().zip(&rates).map(|(a, r)| -a / (r * r)).collect();
    check(&mut b, &d, x.value, &[slopes, in_rate], "E[x]");
}

/// E[log x] = ψ(a) − ψ(a+b) and E[log(1−x)] = ψ(b) − ψ(a+b).
#[test]
fn gradients_of_beta_expectations() {
    let (a, c) = pairs();
    let mut b = Bench::new(a.len(), 1, 500);
    let d = blocked(&mut b, "Beta", &[&a, &c]);
    let draw = b.draws(&d);
    let logit = base(d.sample(&mut b.g, &draw));
    let minus_log = distributions::special::softplus_neg(&mut b.g, logit);
    let (own, both): (Vec<f64>, Vec<f64>) =
        a.iter().zip(&c).map(|(a, c)| (special::trigamma(*a), special::trigamma(a + c))).unzip();
    let in_a = own.iter().zip(&both).map(|(o, s)| s - o).collect();
    check(&mut b, &d, minus_log, &[in_a, both], "E[−log x]");
}

/// E[log x₀] = ψ(c₀) − ψ(Σ c): slopes ψ′(c₀) [k = 0] − ψ′(Σ c).
#[test]
fn gradients_of_dirichlet_expectations() {
    let c = [1e-3, 0.05, 2e-3, 0.4, 7.0, 1.0, 1e3, 30.0, 1e4, 0.2, 0.2, 0.01];
    let mut b = Bench::new(4, 3, 500);
    let d = blocked(&mut b, "Dirichlet", &[&c]);
    let draw = b.draws(&d);
    let logs = base(d.sample(&mut b.g, &draw));
    let first = b.input(b.event, vec![1.0, 0.0, 0.0]);
    let picked = b.g.mul(logs, first);
    let slopes = (0..12)
        .map(|i| {
            let total = special::trigamma(c[i / 3 * 3..i / 3 * 3 + 3].iter().sum());
            if i % 3 == 0 { special::trigamma(c[i]) - total } else { -total }
        })
        .collect();
    check(&mut b, &d, picked, &[slopes], "E[log x₀]");
}

/// Densities at a draw by its base equal those by its value, where the value is inside its limits.
#[test]
fn densities_by_base_and_by_value_agree() {
    for (family, n_event, params) in [
        ("Gamma", 1, vec![vec![0.8, 3.0, 50.0], vec![2.0, 0.3, 9.0]]),
        ("Beta", 1, vec![vec![0.8, 3.0, 50.0], vec![2.0, 0.7, 9.0]]),
        ("Dirichlet", 3, vec![vec![0.8, 3.0, 50.0, 2.0, 0.9, 9.0, 1.0, 1.0, 4.0]]),
    ] {
        let mut b = Bench::new(3, n_event, 10);
        let d = b.dist(family, 0, &params.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let draw = b.draws(&d);
        let x = d.sample(&mut b.g, &draw);
        let (by_base, by_value) = (d.log_prob(&mut b.g, x), d.log_prob(&mut b.g, x.value.into()));
        let out = b.run(&[by_base, by_value]);
        for (one, two) in out[0].iter().zip(&out[1]) {
            crate::bench::assert_close(*one, *two, 1e-9, family);
        }
    }
}
