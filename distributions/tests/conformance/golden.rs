//! (h) Golden values of the reference, double precision (`spec/models-core.md` §7), to the ten decimals given.

use crate::bench::{Bench, log_prob_at};

fn check(family: &str, set: usize, params: &[f64], points: &[(f64, f64)]) {
    for &(x, truth) in points {
        let ours = log_prob_at(family, set, params, x);
        assert!((ours - truth).abs() < 6e-11, "{family}{params:?} at {x}: {ours}, expected {truth}");
    }
}

#[test]
fn log_densities() {
    let nb = [(0.0, -1.5375756602), (1.0, -1.5257412010), (3.0, -2.0535036611), (50.0, -24.6312357144)];
    check("NB", 0, &[2.5, 1.7], &nb);
    // The table's value at 0, −0.6349326372, is this one rounded to single precision.
    let zinb = [(0.0, -0.6349326232), (1.0, -2.0387564534), (3.0, -2.5665189135), (50.0, -25.1442509668)];
    check("ZINB", 0, &[2.5, 1.7, -0.4], &zinb);
    check("NB", 0, &[0.0, 1.7], &[(0.0, 0.0), (2.0, -37.0718851583)]);
    let beta_binomial = [(0.0, -1.7934839459), (3.0, -2.0020905274), (10.0, -5.0983758294)];
    check("BetaBinomial", 1, &[10.0, 0.3, 0.2], &beta_binomial);
    check("Bernoulli", 0, &[0.0], &[(1.0, -100.0)]);
    check("Bernoulli", 0, &[1.0], &[(0.0, -100.0)]);
    check("Bernoulli", 0, &[0.2], &[(1.0, -1.6094379124)]);
}

/// Log of σ(λ) NB₁ + (1 − σ(λ)) NB₂.
#[test]
fn mixture_of_two() {
    let golden = [(0.0, -1.9512072867), (1.0, -1.8865661618), (3.0, -2.2527258562), (50.0, -9.7866300266)];
    for (x, truth) in golden {
        let (one, two) = (log_prob_at("NB", 0, &[2.5, 1.7], x), log_prob_at("NB", 0, &[9.0, 1.7], x));
        let weight = 1.0 / (1.0 + (-0.3_f64).exp());
        let ours = (weight * one.exp() + (1.0 - weight) * two.exp()).ln();
        assert!((ours - truth).abs() < 6e-11, "at {x}: {ours}, expected {truth}");
    }
}

#[test]
fn divergences() {
    for (family, q, p, truth) in
        [("Beta", [0.7, 0.2], [0.5, 0.5], 0.6933896199), ("Normal", [0.3, 0.6], [0.0, 1.0], 0.2358256238)]
    {
        let mut b = Bench::new(1, 1, 1);
        let q = b.dist(family, 0, &[&q[..1], &q[1..]]);
        let p = b.dist(family, 0, &[&p[..1], &p[1..]]);
        let kl = q.kl(&mut b.g, &p).expect("a closed form");
        let ours = b.run(&[kl])[0][0];
        assert!((ours - truth).abs() < 6e-11, "{family}: {ours}, expected {truth}");
    }
}
