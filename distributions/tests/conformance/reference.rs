//! (f) statrs as an independent reference of the log masses and densities.

use crate::bench::{assert_close, log_prob_at};
use statrs::distribution as reference;
use statrs::distribution::{Continuous, Discrete};
use statrs::function::{beta::ln_beta, factorial::ln_binomial};

const COUNTS: [u64; 5] = [0, 1, 4, 37, 250];
const POSITIVE: [f64; 5] = [0.03, 0.4, 1.0, 7.5, 120.0];

/// The 1e-8 terms of the first set of NB shift log p by about 1e-8 (1 + x/μ + x/θ); the other sets have none.
#[test]
fn negative_binomial() {
    for mean in POSITIVE {
        for theta in POSITIVE {
            let p = theta / (theta + mean);
            let truth = reference::NegativeBinomial::new(theta, p).expect("valid");
            for count in COUNTS {
                let (x, t) = (count as f64, truth.ln_pmf(count));
                let what = format!("NB({mean}, {theta}) at {x}");
                let allowed = 3e-8 * (1.0 + x / mean + x / theta);
                assert_close(log_prob_at("NB", 0, &[mean, theta], x), t, allowed, &what);
                assert_close(log_prob_at("NB", 1, &[theta, (mean / theta).ln()], x), t, 1e-10, &what);
                assert_close(log_prob_at("NB", 2, &[theta, 1.0 - p], x), t, 1e-10, &what);
            }
        }
    }
}

#[test]
fn poisson_and_binomials() {
    for rate in POSITIVE {
        let truth = reference::Poisson::new(rate).expect("valid");
        for count in COUNTS {
            let what = format!("Poisson({rate}) at {count}");
            let ours = log_prob_at("Poisson", 0, &[rate], count as f64);
            assert_close(ours, truth.ln_pmf(count), 1e-12, &what);
        }
    }
    for total in [1, 9, 400] {
        for p in [0.001_f64, 0.3, 0.97] {
            let truth = reference::Binomial::new(p, total).expect("valid");
            for count in COUNTS.into_iter().filter(|c| *c <= total) {
                let (n, x) = (total as f64, count as f64);
                let what = format!("Binomial({n}, {p}) at {x}");
                assert_close(log_prob_at("Binomial", 0, &[n, p], x), truth.ln_pmf(count), 1e-10, &what);
                let logit = (p / (1.0 - p)).ln();
                assert_close(log_prob_at("Binomial", 1, &[n, logit], x), truth.ln_pmf(count), 1e-10, &what);
                for (a, b) in [(0.3, 2.0), (5.0, 0.7), (80.0, 90.0)] {
                    let t = ln_binomial(total, count) + ln_beta(x + a, n - x + b) - ln_beta(a, b);
                    assert_close(log_prob_at("BetaBinomial", 0, &[n, a, b], x), t, 1e-10, "BetaBinomial");
                }
            }
        }
    }
}

#[test]
fn coins() {
    for p in [0.01_f64, 0.5, 0.93] {
        let truth = reference::Bernoulli::new(p).expect("valid");
        for count in [0, 1] {
            let logit = (p / (1.0 - p)).ln();
            assert_close(
                log_prob_at("Bernoulli", 0, &[p], count as f64),
                truth.ln_pmf(count),
                1e-13,
                "probs",
            );
            assert_close(
                log_prob_at("Bernoulli", 1, &[logit], count as f64),
                truth.ln_pmf(count),
                1e-13,
                "logits",
            );
        }
    }
}

#[test]
fn densities_on_the_line() {
    for a in POSITIVE {
        for b in POSITIVE {
            let gamma = reference::Gamma::new(a, b).expect("valid");
            let beta = reference::Beta::new(a, b).expect("valid");
            let normal = reference::Normal::new(a - 1.0, b).expect("valid");
            let log_normal = reference::LogNormal::new(a - 1.0, b).expect("valid");
            let exponential = reference::Exp::new(a).expect("valid");
            for x in POSITIVE {
                let check = |family: &str, params: &[f64], x: f64, truth: f64| {
                    let what = format!("{family}{params:?} at {x}");
                    assert_close(log_prob_at(family, 0, params, x), truth, 1e-10, &what);
                };
                check("Gamma", &[a, b], x, gamma.ln_pdf(x));
                let unit = x / (1.0 + x);
                check("Beta", &[a, b], unit, beta.ln_pdf(unit));
                check("Normal", &[a - 1.0, b], x, normal.ln_pdf(x));
                check("LogNormal", &[a - 1.0, b], x, log_normal.ln_pdf(x));
                check("Exponential", &[a], x, exponential.ln_pdf(x));
            }
        }
    }
}

/// Multinomial and Dirichlet from statrs' gamma function (its own families need a linear-algebra crate);
/// Categorical from its definition.
#[test]
fn vectors() {
    use crate::bench::log_prob;
    use statrs::function::gamma::ln_gamma;
    let (p, x) = ([0.2, 0.5, 0.3], [3.0, 0.0, 8.0]);
    let n: f64 = x.iter().sum();
    let each = |k: usize| x[k] * f64::ln(p[k]) - ln_gamma(x[k] + 1.0);
    let truth = ln_gamma(n + 1.0) + (0..3).map(each).sum::<f64>();
    assert_close(log_prob("Multinomial", 0, &[&[n], &p], &x, 3)[0], truth, 1e-12, "Multinomial");
    let logits = p.map(|p| f64::ln(p) + 0.7);
    assert_close(log_prob("Multinomial", 1, &[&[n], &logits], &x, 3)[0], truth, 1e-12, "Multinomial");
    let c = [0.4, 2.0, 30.0];
    let each = |k: usize| (c[k] - 1.0) * f64::ln(p[k]) - ln_gamma(c[k]);
    let truth = ln_gamma(c.iter().sum()) + (0..3).map(each).sum::<f64>();
    assert_close(log_prob("Dirichlet", 0, &[&c], &p, 3)[0], truth, 1e-12, "Dirichlet");
    for k in 0..3 {
        let t = p[k].ln();
        assert_close(log_prob("Categorical", 0, &[&p], &[k as f64], 3)[0], t, 1e-13, "Categorical");
        assert_close(log_prob("Categorical", 1, &[&logits], &[k as f64], 3)[0], t, 1e-13, "Categorical");
    }
}
