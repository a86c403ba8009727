//! (e) Closed-form divergences against sampling; zero at equality; never negative.

use crate::bench::{Bench, N_BLOCKS, assert_close, mean_and_error};
use crate::rows::{ROWS, Row};
use autodiff_runtime::NodeId;
use distributions::{Dist, FAMILIES, Sample, find};
use proptest::prelude::*;

/// A row's distribution with its points in reverse order: another distribution of the family.
fn reversed(b: &mut Bench, row: &Row) -> Dist {
    let params: Vec<Vec<f64>> = (0..row.params.len())
        .map(|j| (0..row.n_points()).rev().flat_map(|p| row.param(j, p).to_vec()).collect())
        .collect();
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    b.dist(row.family, row.set, &params)
}

fn has_self_kl(row: &Row) -> bool {
    find(row.family).is_some_and(|f| f.has_kl_to(row.family)) && row.family != "Delta"
}

/// E_q[log q − log p] over 20 × 500 draws within five standard errors, for every family with a divergence to itself.
#[test]
fn closed_forms_agree_with_sampling() {
    for row in ROWS.iter().filter(|r| has_self_kl(r)) {
        let mut b = Bench::new(row.n_points(), row.n_event, 500);
        let q = b.dist(row.family, row.set, row.params);
        let p = reversed(&mut b, row);
        let kl = q.kl(&mut b.g, &p).expect("registered");
        let draw = b.draws(&q);
        let at = q.sample(&mut b.g, &draw);
        let (lq, lp) = (q.log_prob(&mut b.g, at), p.log_prob(&mut b.g, at));
        let gap = b.g.sub(lq, lp);
        let axis = b.draw;
        let gap = b.g.mean(gap, axis);
        let out = b.run(&[kl, gap]);
        for (i, exact) in out[0].iter().enumerate() {
            let blocks: Vec<f64> = (0..N_BLOCKS).map(|k| out[1][k * row.n_points() + i]).collect();
            let (mean, error) = mean_and_error(&blocks);
            let ok = (mean - exact).abs() <= 5.0 * error + 1e-9;
            assert!(ok, "{} point {i}: closed form {exact}, sampled {mean} ± {error}", row.label());
        }
    }
}

#[test]
fn zero_at_equality() {
    for row in ROWS.iter().filter(|r| has_self_kl(r)) {
        let mut b = Bench::new(row.n_points(), row.n_event, 1);
        let (q, p) = (b.dist(row.family, row.set, row.params), b.dist(row.family, row.set, row.params));
        let kl = q.kl(&mut b.g, &p).expect("registered");
        let grads = b.gradients(kl, &q.params.iter().chain(&p.params).copied().collect::<Vec<NodeId>>());
        assert!(b.run(&[kl])[0].iter().all(|x| x.abs() < 1e-15), "{}", row.label());
        // A minimum: the slope vanishes on both sides. Probabilities are free here, off their simplex.
        if !(row.family == "Categorical" && row.set == 0) {
            let flat = b.run(&grads).iter().flatten().all(|x| x.abs() < 1e-12);
            assert!(flat, "{}: the gradient does not vanish", row.label());
        }
    }
}

/// Sets of one family may be mixed: the same pair in either parametrisation has the same divergence.
#[test]
fn parameter_sets_may_be_mixed() {
    for (family, n_event, other, same) in [
        ("Normal", 1, vec![vec![0.3], vec![0.5]], vec![vec![0.3], vec![0.25]]),
        ("LogNormal", 1, vec![vec![0.3], vec![0.5]], vec![vec![0.3], vec![0.25]]),
        ("LogitNormal", 1, vec![vec![0.3], vec![0.5]], vec![vec![0.3], vec![0.25]]),
        ("LogisticNormal", 2, vec![vec![0.3, 0.1], vec![0.5, 2.0]], vec![vec![0.3, 0.1], vec![0.25, 4.0]]),
        ("Bernoulli", 1, vec![vec![0.25]], vec![vec![-(3.0_f64.ln())]]),
        ("Categorical", 2, vec![vec![0.25, 0.75]], vec![vec![0.5, 0.5 + 3.0_f64.ln()]]),
    ] {
        let mut b = Bench::new(1, n_event, 1);
        let refs = |v: &[Vec<f64>]| v.to_vec();
        let build = |b: &mut Bench, set: usize, v: Vec<Vec<f64>>| {
            let v: Vec<&[f64]> = v.iter().map(Vec::as_slice).collect();
            b.dist(family, set, &v)
        };
        let (zero, one) = (build(&mut b, 0, refs(&other)), build(&mut b, 1, refs(&same)));
        let there = zero.kl(&mut b.g, &one).expect("registered");
        let back = one.kl(&mut b.g, &zero).expect("registered");
        let out = b.run(&[there, back]);
        assert!(out.iter().all(|x| x[0].abs() < 1e-14), "{family}: {out:?}");
    }
}

/// `has_kl_to` says exactly where `kl` gives a node, for every pair of families.
#[test]
fn registry_is_consistent() {
    let build = |b: &mut Bench, f: &'static dyn distributions::Family| {
        let params = f.parameter_sets()[0]
            .iter()
            .map(|p| if p.has_event_axis { b.vector(&[0.5, 0.5]) } else { b.scalar(&[0.5]) })
            .collect();
        Dist { family: f, set: 0, params, event: f.is_vector().then_some(b.event) }
    };
    for q in FAMILIES {
        for p in FAMILIES.iter().filter(|p| p.name() != "Categorical" || q.name() != "Delta") {
            let mut b = Bench::new(1, 2, 1);
            let (dq, dp) = (build(&mut b, *q), build(&mut b, *p));
            let has = dq.kl(&mut b.g, &dp).is_some();
            assert_eq!(has, q.has_kl_to(p.name()), "{} to {}", q.name(), p.name());
            let expected = q.name() == "Delta"
                || (q.name() == p.name()
                    && !matches!(q.name(), "NB" | "ZINB" | "Binomial" | "BetaBinomial" | "Multinomial"));
            assert_eq!(has, expected, "{} to {}", q.name(), p.name());
        }
    }
}

/// From a point mass: −log p at the point, for every row.
#[test]
fn delta_to_anything() {
    let delta = find("Delta").expect("a family");
    for row in ROWS {
        let mut b = Bench::new(row.n_points(), row.n_event, 1);
        let p = b.dist(row.family, row.set, row.params);
        let at: Sample = b.value(&p, row.values);
        let q = Dist { family: delta, set: 0, params: vec![at.value], event: None };
        let kl = q.kl(&mut b.g, &p).expect("registered");
        let lp = p.log_prob(&mut b.g, at);
        let out = b.run(&[kl, lp]);
        out[0].iter().zip(&out[1]).for_each(|(k, l)| assert_close(*k, -l, 0.0, row.family));
    }
}

fn kl_value(family: &str, set: usize, n_event: usize, q: &[Vec<f64>], p: &[Vec<f64>]) -> f64 {
    let mut b = Bench::new(1, n_event, 1);
    let refs = |v: &[Vec<f64>]| v.to_vec();
    let (qv, pv) = (refs(q), refs(p));
    let q = b.dist(family, set, &qv.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let p = b.dist(family, set, &pv.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let kl = q.kl(&mut b.g, &p).expect("registered");
    b.run(&[kl])[0][0]
}

proptest! {
    /// Positive parameters over five decades, real ones over [−30, 30]; −1e-12 of the parameters' size allows rounding.
    #[test]
    fn never_negative(x in prop::collection::vec(-2.5..2.5f64, 8), logits in prop::collection::vec(-30.0..30.0f64, 6)) {
        let pos: Vec<f64> = x.iter().map(|t| 10f64.powf(*t)).collect();
        let one = |v: f64| vec![v];
        let cases = [
            ("Normal", 0, 1, vec![one(logits[0]), one(pos[0])], vec![one(logits[1]), one(pos[1])]),
            ("LogNormal", 1, 1, vec![one(logits[0]), one(pos[0])], vec![one(logits[1]), one(pos[1])]),
            ("LogitNormal", 0, 1, vec![one(logits[0]), one(pos[0])], vec![one(logits[1]), one(pos[1])]),
            ("LogisticNormal", 0, 2, vec![logits[..2].to_vec(), pos[..2].to_vec()], vec![logits[2..4].to_vec(), pos[2..4].to_vec()]),
            ("Gamma", 0, 1, vec![one(pos[0]), one(pos[1])], vec![one(pos[2]), one(pos[3])]),
            ("Beta", 0, 1, vec![one(pos[0]), one(pos[1])], vec![one(pos[2]), one(pos[3])]),
            ("Dirichlet", 0, 4, vec![pos[..4].to_vec()], vec![pos[4..].to_vec()]),
            ("Exponential", 0, 1, vec![one(pos[0])], vec![one(pos[1])]),
            ("Poisson", 0, 1, vec![one(pos[0])], vec![one(pos[1])]),
            ("Bernoulli", 1, 1, vec![one(logits[0])], vec![one(logits[1])]),
            ("Categorical", 1, 3, vec![logits[..3].to_vec()], vec![logits[3..].to_vec()]),
        ];
        for (family, set, n_event, q, p) in cases {
            let kl = kl_value(family, set, n_event, &q, &p);
            let size = q.iter().chain(&p).flatten().fold(1.0f64, |m, v| m.max(v.abs()));
            prop_assert!(kl >= -1e-12 * size && kl.is_finite(), "{family}: {kl} for {q:?}, {p:?}");
        }
    }
}
