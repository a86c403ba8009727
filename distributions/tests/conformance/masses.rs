//! (a) Every family normalises: sums over counts, trapezoid quadrature after a map to the real line for densities.

use crate::bench::{Bench, log_prob};
use crate::rows::{ROWS, Row};
use distributions::{Support, find};

/// Values with quadrature weights: Σ w p(x) should be 1.
struct Rule {
    values: Vec<f64>,
    weights: Vec<f64>,
}

/// Trapezoids of width h on the real line, mapped by x = f(t) with dx = f′(t) dt.
fn line(from: f64, to: f64, n: usize, f: impl Fn(f64) -> (f64, f64)) -> Rule {
    let h = (to - from) / (n - 1) as f64;
    let (values, weights) = (0..n).map(|i| f(from + h * i as f64)).map(|(x, dx)| (x, dx * h)).unzip();
    Rule { values, weights }
}

fn scalar_rule(row: &Row, point: usize) -> Rule {
    match find(row.family).expect("a family").support() {
        Support::Bool => Rule { values: vec![0.0, 1.0], weights: vec![1.0; 2] },
        Support::Count => {
            let total = row.family.contains("inomial") && row.family != "NB";
            let n = if total { row.param(0, point)[0] as usize } else { 3000 };
            Rule { values: (0..=n).map(|x| x as f64).collect(), weights: vec![1.0; n + 1] }
        }
        Support::Real => line(-60.0, 60.0, 6001, |t| (t, 1.0)),
        Support::Unit => line(-60.0, 36.0, 6001, |t| {
            let x = 1.0 / (1.0 + (-t).exp());
            (x, x / (1.0 + t.exp()))
        }),
        _ => line(-60.0, 12.0, 6001, |t| (t.exp(), t.exp())),
    }
}

/// Σ w p over the rule at one point of an elementwise family.
fn scalar_mass(row: &Row, point: usize) -> f64 {
    let rule = scalar_rule(row, point);
    let params: Vec<Vec<f64>> =
        (0..row.params.len()).map(|j| vec![row.param(j, point)[0]; rule.values.len()]).collect();
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let lp = log_prob(row.family, row.set, &params, &rule.values, 1);
    lp.iter().zip(&rule.weights).filter(|(_, w)| **w > 0.0).map(|(l, w)| w * l.exp()).sum()
}

/// Values of a vector family, flattened, and their weights.
fn vector_rule(row: &Row, point: usize) -> Rule {
    let mut rule = Rule { values: vec![], weights: vec![] };
    match row.family {
        "Categorical" => {
            rule = Rule { values: (0..3).map(f64::from).collect(), weights: vec![1.0; 3] };
        }
        "Multinomial" => {
            let n = row.param(0, point)[0] as usize;
            for (a, b) in (0..=n).flat_map(|a| (0..=n - a).map(move |b| (a, b))) {
                rule.values.extend([a as f64, b as f64, (n - a - b) as f64]);
                rule.weights.push(1.0);
            }
        }
        "Dirichlet" => {
            // Additive log-ratios: the Jacobian is Π x.
            let ts = line(-45.0, 45.0, 241, |t| (t, 1.0));
            for (s, t) in ts.values.iter().flat_map(|s| ts.values.iter().map(move |t| (*s, *t))) {
                let norm = s.exp() + t.exp() + 1.0;
                let x = [s.exp() / norm, t.exp() / norm, 1.0 / norm];
                rule.values.extend(x);
                rule.weights.push(x.iter().product::<f64>() * ts.weights[1].powi(2));
            }
        }
        _ => {
            let ts = line(-8.0, 8.0, 201, |t| (t, 1.0));
            for (s, t) in ts.values.iter().flat_map(|s| ts.values.iter().map(move |t| (*s, *t))) {
                rule.values.extend([s, t]);
                rule.weights.push(ts.weights[1].powi(2));
            }
        }
    }
    rule
}

fn vector_mass(row: &Row, point: usize) -> f64 {
    let rule = vector_rule(row, point);
    let n = rule.weights.len();
    let params: Vec<Vec<f64>> = (0..row.params.len()).map(|j| row.param(j, point).repeat(n)).collect();
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let mut b = Bench::new(n, row.n_event, 1);
    let d = b.dist(row.family, row.set, &params);
    let mut at = b.value(&d, &rule.values);
    if row.family == "LogisticNormal" {
        // Its density is that of the base.
        at.base = Some(at.value);
    }
    let lp = d.log_prob(&mut b.g, at);
    let lp = b.run(&[lp]).remove(0);
    lp.iter().zip(&rule.weights).map(|(l, w)| w * l.exp()).sum()
}

/// 1e-6: the 1e-8 terms of counts move their sums by about 1e-8 of the parameters, the clamp of probabilities by
/// 1.2e-7 per category, quadrature by less than 1e-7 at these points.
#[test]
fn every_family_normalises() {
    for row in ROWS.iter().filter(|r| r.family != "Delta") {
        for point in 0..row.n_points() {
            let mass = if row.n_event == 1 { scalar_mass(row, point) } else { vector_mass(row, point) };
            assert!((mass - 1.0).abs() < 1e-6, "{} point {point}: total mass {mass}", row.label());
        }
    }
}
