//! (i) Relations between families that hold for all parameters, on random ones.

use crate::bench::{assert_close, log_prob, log_prob_at};
use proptest::prelude::*;

/// A positive number over four decades.
fn positive() -> impl Strategy<Value = f64> {
    (-2.0..2.0f64).prop_map(|t| 10f64.powf(t))
}

fn vector(family: &str, set: usize, params: &[&[f64]], value: &[f64]) -> f64 {
    log_prob(family, set, params, value, 2)[0]
}

proptest! {
    /// LogNormal(x) = Normal(log x) / x.
    #[test]
    fn log_normal_is_a_normal(loc in -3.0..3.0f64, scale in positive(), x in positive()) {
        let one = log_prob_at("LogNormal", 0, &[loc, scale], x);
        let two = log_prob_at("Normal", 0, &[loc, scale], x.ln()) - x.ln();
        assert_close(one, two, 1e-12, "LogNormal");
        assert_close(log_prob_at("LogNormal", 1, &[loc, scale * scale], x), one, 1e-11, "by variance");
        assert_close(log_prob_at("Normal", 1, &[loc, scale * scale], x), log_prob_at("Normal", 0, &[loc, scale], x), 1e-11, "Normal");
    }

    /// LogitNormal(x) = Normal(log x − log(1 − x)) / (x (1 − x)).
    #[test]
    fn logit_normal_is_a_normal(loc in -3.0..3.0f64, scale in positive(), x in 0.001..0.999f64) {
        let one = log_prob_at("LogitNormal", 0, &[loc, scale], x);
        let logit = (x / (1.0 - x)).ln();
        let two = log_prob_at("Normal", 0, &[loc, scale], logit) - (x * (1.0 - x)).ln();
        assert_close(one, two, 1e-10, "LogitNormal");
    }

    /// NB → Poisson as θ → ∞: the gap is about (x² + μ²)/θ, and 1e-8 x/μ for the 1e-8 terms.
    #[test]
    fn nb_tends_to_poisson(mean in 0.1..20.0f64, x in 0u32..40) {
        let x = f64::from(x);
        let nb = log_prob_at("NB", 0, &[mean, 1e8], x);
        let allowed = 1e-8 * (x * x + mean * mean + x / mean + 20.0) + 1e-12;
        prop_assert!((nb - log_prob_at("Poisson", 0, &[mean], x)).abs() < allowed);
    }

    /// The sets of NB agree within the 1e-8 terms.
    #[test]
    fn nb_sets_agree(mean in positive(), theta in positive(), x in 0u32..60) {
        let x = f64::from(x);
        let by_mean = log_prob_at("NB", 0, &[mean, theta], x);
        let by_logits = log_prob_at("NB", 1, &[theta, (mean / theta).ln()], x);
        let by_probs = log_prob_at("NB", 2, &[theta, mean / (mean + theta)], x);
        assert_close(by_probs, by_logits, 1e-10, "probs and logits");
        assert_close(by_mean, by_logits, 2e-8 * (1.0 + x / mean + x / theta), "mean and logits");
    }

    /// ZINB with zero_logits → −∞ is NB; and for any ψ the probability of 0 is π + (1−π) NB(0).
    #[test]
    fn zinb_holds_nb(mean in positive(), theta in positive(), psi in -6.0..6.0f64, x in 0u32..60) {
        let x = f64::from(x);
        let nb = log_prob_at("NB", 0, &[mean, theta], x);
        assert_close(log_prob_at("ZINB", 0, &[mean, theta, -60.0], x), nb, 1e-12, "no inflation");
        let pi = 1.0 / (1.0 + (-psi).exp());
        let mixed = (pi * f64::from(u8::from(x == 0.0)) + (1.0 - pi) * nb.exp()).ln();
        if mixed > -600.0 {
            assert_close(log_prob_at("ZINB", 0, &[mean, theta, psi], x), mixed, 1e-11, "inflated");
        }
        let (logits, probs) = ((mean / theta).ln(), mean / (mean + theta));
        let by_logits = log_prob_at("ZINB", 1, &[theta, logits, psi], x);
        assert_close(log_prob_at("ZINB", 2, &[theta, probs, psi], x), by_logits, 1e-10, "ZINB sets");
    }

    /// Two categories: Multinomial is Binomial, Categorical is Bernoulli; one trial: Binomial is Bernoulli.
    #[test]
    fn two_categories(logit in -8.0..8.0f64, n in 0u32..50, share in 0.0..1.0f64) {
        let p = 1.0 / (1.0 + (-logit).exp());
        let n = f64::from(n);
        let x = (share * n).round();
        let binomial = log_prob_at("Binomial", 1, &[n, logit], x);
        assert_close(log_prob_at("Binomial", 0, &[n, p], x), binomial, 1e-11, "Binomial sets");
        let by_probs = vector("Multinomial", 0, &[&[n], &[p, 1.0 - p]], &[x, n - x]);
        assert_close(by_probs, binomial, 1e-11, "Multinomial, probs");
        let by_logits = vector("Multinomial", 1, &[&[n], &[logit + 3.0, 3.0]], &[x, n - x]);
        assert_close(by_logits, binomial, 1e-11, "Multinomial, logits");
        let coin = log_prob_at("Bernoulli", 1, &[logit], 1.0);
        assert_close(log_prob_at("Bernoulli", 0, &[p], 1.0), coin, 1e-12, "Bernoulli sets");
        assert_close(log_prob_at("Binomial", 1, &[1.0, logit], 1.0), coin, 1e-12, "one trial");
        assert_close(vector("Categorical", 1, &[&[0.5, logit + 0.5]], &[1.0]), coin, 1e-12, "Categorical, logits");
        assert_close(vector("Categorical", 0, &[&[1.0 - p, p]], &[1.0]), coin, 1e-12, "Categorical, probs");
    }

    /// A Dirichlet of two parts is a Beta, and Beta(a, b) at x is Beta(b, a) at 1 − x.
    #[test]
    fn dirichlet_of_two_is_beta(a in positive(), b in positive(), x in 0.001..0.999f64) {
        let beta = log_prob_at("Beta", 0, &[a, b], x);
        assert_close(vector("Dirichlet", 0, &[&[a, b]], &[x, 1.0 - x]), beta, 1e-11, "Dirichlet");
        assert_close(log_prob_at("Beta", 0, &[b, a], 1.0 - x), beta, 1e-11, "mirrored");
    }

    /// BetaBinomial → Binomial as the shapes grow; its two sets agree.
    #[test]
    fn beta_binomial_tends_to_binomial(p in 0.05..0.95f64, gamma in 0.01..0.9f64, n in 0u32..50, share in 0.0..1.0f64) {
        let n = f64::from(n);
        let x = (share * n).round();
        let limit = log_prob_at("BetaBinomial", 0, &[n, 1e8 * p, 1e8 * (1.0 - p)], x);
        let allowed = 1e-6 * (1.0 + n * n / 100.0);
        assert_close(limit, log_prob_at("Binomial", 0, &[n, p], x), allowed, "limit");
        let (a, b) = (p * (1.0 - gamma) / gamma, (1.0 - p) * (1.0 - gamma) / gamma);
        let by_shapes = log_prob_at("BetaBinomial", 0, &[n, a, b], x);
        assert_close(log_prob_at("BetaBinomial", 1, &[n, p, gamma], x), by_shapes, 1e-11, "sets");
    }

    /// Exponential(r) is Gamma(1, r); a Gamma scales: Gamma(a, r) at x is r Gamma(a, 1) at r x.
    #[test]
    fn gammas(a in positive(), rate in positive(), x in positive()) {
        assert_close(log_prob_at("Exponential", 0, &[rate], x), log_prob_at("Gamma", 0, &[1.0, rate], x), 1e-12, "Exponential");
        let unit = log_prob_at("Gamma", 0, &[a, 1.0], rate * x) + rate.ln();
        assert_close(log_prob_at("Gamma", 0, &[a, rate], x), unit, 1e-11, "scale");
    }

    /// Independent Poissons are a Poisson total with a Multinomial split.
    #[test]
    fn poissons_split(rate in positive(), p in 0.01..0.99f64, x in 0u32..80, y in 0u32..80) {
        let (x, y) = (f64::from(x), f64::from(y));
        let apart = log_prob_at("Poisson", 0, &[rate * p], x) + log_prob_at("Poisson", 0, &[rate * (1.0 - p)], y);
        let split = vector("Multinomial", 0, &[&[x + y], &[p, 1.0 - p]], &[x, y]);
        assert_close(log_prob_at("Poisson", 0, &[rate], x + y) + split, apart, 1e-11, "split");
    }

    /// Successive masses of NB: P(x+1)/P(x) = (x+θ)/(x+1) · μ/(θ+μ).
    #[test]
    fn nb_recurrence(theta in positive(), logit in -5.0..5.0f64, x in 0u32..200) {
        let x = f64::from(x);
        let step = log_prob_at("NB", 1, &[theta, logit], x + 1.0) - log_prob_at("NB", 1, &[theta, logit], x);
        let truth = ((x + theta) / (x + 1.0)).ln() - (-logit).exp().ln_1p();
        prop_assert!((step - truth).abs() < 1e-10, "{step} {truth}");
    }
}
