//! (d) Edges of supports and extreme parameters: no NaN where the formula is finite; draws stay inside; the zero of a
//! count stays structural.

use crate::bench::{Bench, assert_close, log_prob, log_prob_at, mean_and_error};
use autodiff_runtime::op::ZeroRule;
use autodiff_runtime::{Graph, NodeId, Op};
use distributions::special::{BELOW_ONE, TINY};

const NEVER: f64 = f64::NEG_INFINITY;

#[test]
fn values_at_the_edges() {
    let cases: &[(&str, usize, &[f64], f64, f64)] = &[
        ("Poisson", 0, &[0.0], 0.0, 0.0),
        ("Poisson", 0, &[0.0], 1.0, NEVER),
        ("NB", 0, &[0.0, 1.7], 0.0, 0.0),
        ("NB", 1, &[0.0, 0.4], 0.0, 0.0),
        ("NB", 1, &[0.0, 0.4], 3.0, NEVER),
        ("NB", 2, &[0.0, 0.4], 0.0, 0.0),
        ("NB", 2, &[1.7, 0.0], 0.0, -1.7 * 1.192_092_895_5e-7),
        ("ZINB", 0, &[2.5, 1.7, 800.0], 0.0, 0.0),
        ("ZINB", 0, &[2.5, 1.7, -800.0], 0.0, -1.537_575_660_2),
        ("Bernoulli", 0, &[0.0], 0.0, 0.0),
        ("Bernoulli", 0, &[0.0], 1.0, -100.0),
        ("Bernoulli", 0, &[1.0], 0.0, -100.0),
        ("Bernoulli", 0, &[1.0], 1.0, 0.0),
        ("Bernoulli", 1, &[-800.0], 1.0, -800.0),
        ("Binomial", 0, &[0.0, 0.3], 0.0, 0.0),
        ("Binomial", 1, &[5.0, -800.0], 0.0, 0.0),
        ("Binomial", 1, &[5.0, 800.0], 5.0, 0.0),
        ("BetaBinomial", 0, &[0.0, 0.7, 0.2], 0.0, 0.0),
        ("Beta", 0, &[1.0, 1.0], 0.0, 0.0),
        ("Beta", 0, &[1.0, 1.0], 1.0, 0.0),
        ("Beta", 0, &[2.0, 1.0], 0.0, NEVER),
        ("Beta", 0, &[1.0, 2.0], 1.0, NEVER),
        ("Beta", 0, &[1.0, 0.5], 1.0, f64::INFINITY),
        ("Gamma", 0, &[1.0, 2.0], 0.0, std::f64::consts::LN_2),
        ("Gamma", 0, &[2.0, 2.0], 0.0, NEVER),
        ("Gamma", 0, &[0.5, 2.0], 0.0, f64::INFINITY),
        ("Exponential", 0, &[2.0], 0.0, std::f64::consts::LN_2),
        ("Delta", 0, &[2.0], 2.0, 0.0),
        ("Delta", 0, &[2.0], 2.5, NEVER),
    ];
    for (family, set, params, x, truth) in cases {
        let ours = log_prob_at(family, *set, params, *x);
        assert_close(ours, *truth, 1e-9, &format!("{family}{params:?} at {x}"));
    }
    // Clamped: an impossible outcome costs log 1.2e-7 each.
    for (params, x) in [([6.0, 0.0], 2.0), ([6.0, 1.0], 3.0), ([6.0, 0.0], 0.0), ([6.0, 1.0], 6.0)] {
        let lp = log_prob_at("Binomial", 0, &params, x);
        assert!((-50.0..=0.0).contains(&lp), "{params:?} {x}: {lp}");
    }
    for mean in [0.0, 1.0] {
        for x in [0.0, 4.0, 10.0] {
            let lp = log_prob_at("BetaBinomial", 1, &[10.0, mean, 0.3], x);
            assert!(lp.is_finite() && lp < 1e-6, "mean {mean} at {x}: {lp}");
        }
    }
    let empty = log_prob("Multinomial", 0, &[&[0.0], &[0.5, 0.0, 0.5]], &[0.0; 3], 3)[0];
    assert_close(empty, 0.0, 1e-12, "an empty Multinomial");
}

/// At zero mean, saturated logits and impossible outcomes, gradients are finite; the known ones are right.
#[test]
fn gradients_at_the_edges() {
    let cases: &[(&str, usize, &[f64], f64)] = &[
        ("Poisson", 0, &[0.0], 0.0),
        ("NB", 0, &[0.0, 1.7], 0.0),
        ("NB", 0, &[0.0, 1.7], 2.0),
        ("NB", 0, &[1e5, 1e-6], 0.0),
        ("NB", 0, &[1e-6, 1e8], 1000.0),
        ("NB", 2, &[1.7, 1.0], 3.0),
        ("NB", 2, &[1.7, 0.0], 0.0),
        ("ZINB", 0, &[0.0, 1.7, 40.0], 0.0),
        ("ZINB", 0, &[1e4, 1e5, -40.0], 0.0),
        ("ZINB", 0, &[1e4, 1e-3, -800.0], 3000.0),
        ("ZINB", 0, &[1e4, 1e-3, 800.0], 3000.0),
        ("Bernoulli", 0, &[0.0], 1.0),
        ("Bernoulli", 0, &[0.0], 0.0),
        ("Bernoulli", 0, &[1.0], 0.0),
        ("Bernoulli", 1, &[800.0], 0.0),
        ("Binomial", 0, &[0.0, 0.0], 0.0),
        ("Binomial", 0, &[3.0, 1.0], 1.0),
        ("BetaBinomial", 1, &[10.0, 0.0, 0.3], 4.0),
        ("BetaBinomial", 0, &[0.0, 0.3, 0.3], 0.0),
    ];
    for (family, set, params, x) in cases {
        let mut b = Bench::new(1, 1, 1);
        let d = b.dist(family, *set, &params.chunks(1).collect::<Vec<_>>());
        let at = b.value(&d, &[*x]);
        let lp = d.log_prob(&mut b.g, at);
        let grads = b.gradients(lp, &d.params);
        let out = b.run(&grads);
        assert!(out.iter().all(|g| g[0].is_finite()), "{family}{params:?} at {x}: {out:?}");
        if *family == "Poisson" {
            assert_eq!(out[0][0], -1.0);
        }
    }
}

/// Structural zeros of every node, given that `zero` is one.
fn structural_zeros(g: &Graph, zero: NodeId) -> Vec<bool> {
    let mut known = vec![false; g.nodes().len()];
    for id in g.node_ids() {
        known[id.index()] = id == zero
            || match &g.node(id).op {
                Op::Const(c) => *c == 0.0,
                Op::Elem(e, args) => {
                    let z = |a: &NodeId| known[a.index()];
                    match e.zero_rule() {
                        ZeroRule::Never => false,
                        ZeroRule::First => z(&args[0]),
                        ZeroRule::Any => args.iter().any(z),
                        ZeroRule::All => args.iter().all(z),
                        ZeroRule::Branches => args[1..].iter().all(z),
                    }
                }
                Op::Broadcast { input, .. } => known[input.index()],
                _ => false,
            };
    }
    known
}

fn depends_on(g: &Graph, node: NodeId, on: NodeId) -> bool {
    node == on || g.node(node).op.operands().iter().any(|o| depends_on(g, *o, on))
}

/// The log mass of counts is a sum of a dense addend that ignores the count and of a structural zero at a count of 0;
/// so is its gradient's part that reaches the parameters through the sparse addend.
#[test]
fn counts_split_into_dense_and_sparse() {
    let families = ["NB", "ZINB", "Poisson", "Bernoulli", "Binomial", "BetaBinomial"];
    for row in crate::rows::ROWS.iter().filter(|r| families.contains(&r.family)) {
        let mut b = Bench::new(row.n_points(), 1, 1);
        let d = b.dist(row.family, row.set, row.params);
        let at = b.value(&d, row.values);
        let lp = d.log_prob(&mut b.g, at);
        let Op::Elem(autodiff_runtime::Elem::Add, parts) = b.g.node(lp).op.clone() else {
            panic!("{}: not a sum", row.label())
        };
        let zeros = structural_zeros(&b.g, at.value);
        assert!(!zeros[parts[0].index()] && zeros[parts[1].index()], "{}", row.label());
        assert!(!depends_on(&b.g, parts[0], at.value), "{}: the dense part reads the count", row.label());
    }
}

/// Tiny shapes, where all Gammas vanish: draws are finite, inside the support, and have the mean.
#[test]
fn draws_of_tiny_shapes() {
    let mut b = Bench::new(2, 3, 1000);
    let beta = b.dist("Beta", 0, &[&[1e-4, 3e-5], &[2e-4, 1e-5]]);
    let dirichlet = b.dist("Dirichlet", 0, &[&[1e-4, 2e-4, 1e-4, 0.01, 0.02, 0.07]]);
    for (d, truth) in [(beta, vec![1.0 / 3.0, 0.75]), (dirichlet, vec![0.25, 0.5, 0.25, 0.1, 0.2, 0.7])] {
        let draw = b.draws(&d);
        let x = d.sample(&mut b.g, &draw).value;
        let axis = b.draw;
        let average = b.g.mean(x, axis);
        let grads = b.gradients(average, &d.params);
        let out = b.run(&[vec![x, average], grads].concat());
        assert!(out[0].iter().all(|v| (TINY..=BELOW_ONE).contains(v)));
        assert!(out[2..].iter().flatten().all(|v| v.is_finite()));
        for (i, t) in truth.iter().enumerate() {
            let blocks: Vec<f64> = out[1].iter().skip(i).step_by(truth.len()).copied().collect();
            let (mean, error) = mean_and_error(&blocks);
            assert!((mean - t).abs() < 5.0 * error, "{}: {mean} ± {error}, expected {t}", d.family.name());
        }
    }
}

/// Zero means give zeros; enormous means are limited to a rate of 1e8.
#[test]
fn draws_of_extreme_counts() {
    let mut b = Bench::new(3, 1, 50);
    let nb = b.dist("NB", 0, &[&[0.0, 1e12, 50.0], &[0.5, 0.5, 1e8]]);
    let poisson = b.dist("Poisson", 0, &[&[0.0, 1e12, 50.0]]);
    let probs = b.dist("NB", 2, &[&[0.5, 0.5, 2.0], &[0.0, 1.0, 0.5]]);
    for d in [nb, poisson, probs] {
        let draw = b.draws(&d);
        let x = d.sample(&mut b.g, &draw).value;
        let out = b.run(&[x]).remove(0);
        for x in out.chunks(3) {
            assert!(x.iter().all(|v| v.fract() == 0.0 && *v >= 0.0 && *v <= 1.001e8), "{x:?}");
            assert!(x[0] < 2.0, "{x:?}");
        }
    }
}
