//! Low rank plus diagonal against dense linear algebra written here: density, slopes, divergence, draws.

use crate::bench::{Bench, N_BLOCKS, assert_close, mean_and_error};
use autodiff_runtime::{Axes, NodeId};
use distributions::{Dist, LowRank, Sample, find};
use std::f64::consts::PI;

const FAMILIES: [&str; 4] = ["Normal", "LogNormal", "LogitNormal", "LogisticNormal"];
const POINTS: usize = 3;
/// Elements: along the event axis and another one.
const EVENT: usize = 3;
const OTHER: usize = 2;
const N: usize = EVENT * OTHER;

/// A number in (−1, 1) that depends on its place alone.
fn number(seed: usize, i: usize) -> f64 {
    let x = (seed as f64 + 1.0) * 12.9898 + (i as f64 + 1.0) * 78.233;
    2.0 * (x.sin() * 43_758.545_3).rem_euclid(1.0) - 1.0
}

/// Numbers of one case, by point and element.
struct Case {
    k: usize,
    mean: Vec<f64>,
    scale: Vec<f64>,
    factor: Vec<f64>,
    u: Vec<f64>,
    exists: Option<Vec<f64>>,
}

/// What of a case is moved.
const PARTS: usize = 4;

impl Case {
    /// `strength` is the size of the factor against scales around 0.5.
    fn new(seed: usize, k: usize, strength: f64, masked: bool) -> Self {
        let fill = |what: usize, n: usize| (0..n).map(|i| number(10 * seed + what, i)).collect::<Vec<_>>();
        Self {
            k,
            mean: fill(0, POINTS * N),
            scale: fill(1, POINTS * N).iter().map(|x| (x - 0.7).exp()).collect(),
            factor: fill(2, POINTS * N * k).iter().map(|x| strength * x).collect(),
            u: fill(3, POINTS * N).iter().map(|x| 1.5 * x).collect(),
            exists: masked
                .then(|| fill(4, POINTS * OTHER).iter().map(|x| f64::from(u8::from(*x > -0.3))).collect()),
        }
    }

    fn part_mut(&mut self, part: usize) -> &mut Vec<f64> {
        [&mut self.mean, &mut self.scale, &mut self.factor, &mut self.u]
            .into_iter()
            .nth(part)
            .expect("a part")
    }

    /// The elements of a point that exist.
    fn present(&self, point: usize) -> Vec<usize> {
        let exists = |e: &usize| self.exists.as_ref().is_none_or(|x| x[point * OTHER + e % OTHER] != 0.0);
        (0..N).filter(exists).collect()
    }

    fn covariance(&self, point: usize) -> Vec<Vec<f64>> {
        let at = |e: usize| point * N + e;
        let w = |e: usize, c: usize| self.factor[at(e) * self.k + c];
        let of = |i: usize, j: usize| {
            let shared: f64 = (0..self.k).map(|c| w(i, c) * w(j, c)).sum();
            shared + if i == j { self.scale[at(i)].powi(2) } else { 0.0 }
        };
        let present = self.present(point);
        present.iter().map(|i| present.iter().map(|j| of(*i, *j)).collect()).collect()
    }

    /// log density of f(u), by a Cholesky factor of the covariance of what exists.
    fn dense(&self, family: &str, point: usize) -> f64 {
        let present = self.present(point);
        let l = cholesky(self.covariance(point));
        let gap: Vec<f64> =
            present.iter().map(|e| self.u[point * N + e] - self.mean[point * N + e]).collect();
        let z = forward(&l, &gap);
        let normal: f64 =
            (0..z.len()).map(|i| -0.5 * z[i] * z[i] - l[i][i].ln() - 0.5 * (2.0 * PI).ln()).sum();
        let u = present.iter().map(|e| self.u[point * N + e]);
        normal
            - match family {
                "LogNormal" => u.sum::<f64>(),
                "LogitNormal" => u.map(|u| -(1.0 + u.exp()).ln() - (1.0 + (-u).exp()).ln()).sum(),
                _ => 0.0,
            }
    }

    fn build(&self, b: &mut Bench, family: &str) -> Built {
        let other = b.g.add_axis("other", OTHER);
        let rank = b.g.add_axis("rank", self.k);
        let own = Axes::from([b.point, b.event, other]);
        let mean = b.input(own.clone(), self.mean.clone());
        let scale = b.input(own.clone(), self.scale.clone());
        let factor = b.input(own.with(rank), self.factor.clone());
        let u = b.input(own, self.u.clone());
        let exists = self.exists.clone().map(|x| b.input(Axes::from([b.point, other]), x));
        let family = find(family).expect("a family");
        assert!(family.pushes_normal());
        let event = family.is_vector().then_some(b.event);
        let diagonal = Dist { family, set: 0, params: vec![mean, scale], event };
        let law = LowRank { diagonal, factor, rank, elements: Axes::from([b.event, other]) };
        Built { law, u, exists }
    }
}

struct Built {
    law: LowRank,
    u: NodeId,
    exists: Option<NodeId>,
}

impl Built {
    fn log_prob(&self, b: &mut Bench, with_base: bool) -> NodeId {
        let map = |b: &mut Bench| {
            let dist = &self.law.diagonal;
            let map = distributions::transform::Bijection::onto(dist.family.support(), dist.event);
            map.expect("a map").forward(&mut b.g, self.u)
        };
        let value = map(b);
        let at = Sample { value, base: with_base.then_some(self.u) };
        self.law.log_prob(&mut b.g, at, self.exists)
    }
}

fn cholesky(mut a: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let n = a.len();
    for j in 0..n {
        for i in j..n {
            let dot: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            a[i][j] = if i == j { (a[i][j] - dot).sqrt() } else { (a[i][j] - dot) / a[j][j] };
        }
        a[j][j + 1..].fill(0.0);
    }
    a
}

fn forward(l: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let mut x: Vec<f64> = vec![];
    for i in 0..b.len() {
        let dot: f64 = (0..i).map(|k| l[i][k] * x[k]).sum();
        x.push((b[i] - dot) / l[i][i]);
    }
    x
}

/// Ranks below, at and above the number of elements; factors small and large against the scales.
fn cases() -> impl Iterator<Item = Case> {
    let sizes = [(1, 1.0), (2, 0.01), (2, 50.0), (4, 1.0), (7, 1.0)];
    sizes.into_iter().enumerate().flat_map(|(i, (k, s))| [false, true].map(|m| Case::new(i, k, s, m)))
}

#[test]
fn the_density_is_that_of_the_dense_normal() {
    for case in cases() {
        for family in FAMILIES {
            let mut b = Bench::new(POINTS, EVENT, 1);
            let built = case.build(&mut b, family);
            let lp = built.log_prob(&mut b, true);
            let mut wanted = vec![lp];
            if family != "LogisticNormal" {
                wanted.push(built.log_prob(&mut b, false));
            }
            for out in b.run(&wanted) {
                for (point, ours) in out.iter().enumerate() {
                    let what = format!("{family} of rank {} at point {point}", case.k);
                    assert_close(*ours, case.dense(family, point), 1e-10, &what);
                }
            }
        }
    }
}

/// Slopes in mean, scale, factor and value: differences of the dense density.
#[test]
fn slopes_are_those_of_the_dense_normal() {
    for mut case in cases().filter(|c| c.k < 7) {
        let mut b = Bench::new(POINTS, EVENT, 1);
        let built = case.build(&mut b, "LogNormal");
        let lp = built.log_prob(&mut b, true);
        let d = &built.law.diagonal;
        let wrt = [d.params[0], d.params[1], built.law.factor, built.u];
        let slopes = b.gradients(lp, &wrt);
        let ours = b.run(&slopes);
        for part in 0..PARTS {
            for i in 0..ours[part].len() {
                let h = 1e-3 * case.part_mut(part)[i].abs().max(0.1);
                let mut at = |by: f64| {
                    case.part_mut(part)[i] += by;
                    let sum: f64 = (0..POINTS).map(|p| case.dense("LogNormal", p)).sum();
                    case.part_mut(part)[i] -= by;
                    sum
                };
                let numeric = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
                assert_close(ours[part][i], numeric, 1e-6, &format!("part {part} element {i}"));
            }
        }
    }
}

/// ½ (tr(Σp⁻¹ Σq) + |m_q − m_p|² / Σp − n + log |Σp| − log |Σq|), with the dense Σq.
#[test]
fn the_divergence_is_that_of_dense_normals() {
    for case in cases() {
        for family in FAMILIES {
            let mut b = Bench::new(POINTS, EVENT, 1);
            let built = case.build(&mut b, family);
            let (m, s) = (b.g.constant(0.3), b.g.constant(1.7));
            let p = Dist { params: vec![m, s], ..built.law.diagonal.clone() };
            let kl = built.law.kl(&mut b.g, &p, built.exists).expect("a closed form");
            let normal = Dist { family: find("Gamma").expect("a family"), ..p.clone() };
            assert!(built.law.kl(&mut b.g, &normal, None).is_none());
            for (point, ours) in b.run(&[kl])[0].iter().enumerate() {
                let (present, covariance) = (case.present(point), case.covariance(point));
                let l = cholesky(covariance.clone());
                let exact: f64 = (0..present.len())
                    .map(|i| {
                        let gap = case.mean[point * N + present[i]] - 0.3;
                        let ratio = (covariance[i][i] + gap * gap) / (1.7 * 1.7);
                        0.5 * (ratio - 1.0) + 1.7_f64.ln() - l[i][i].ln()
                    })
                    .sum();
                assert_close(*ours, exact, 1e-10, &format!("{family} of rank {}", case.k));
            }
        }
    }
}

/// Draws have the covariance, the elements alone the marginal's moments, and E[log q − log p] is the divergence.
#[test]
fn draws_follow_the_density() {
    let case = Case::new(3, 2, 0.6, false);
    for family in FAMILIES {
        let mut b = Bench::new(POINTS, EVENT, 1000);
        let built = case.build(&mut b, family);
        let d = &built.law.diagonal;
        let mut draw = b.draws(d);
        draw.axes = draw.axes.union(&built.law.elements);
        let at = built.law.sample(&mut b.g, &draw);
        let (m, s) = (b.g.constant(0.3), b.g.constant(1.7));
        let p = Dist { params: vec![m, s], ..d.clone() };
        let base = at.base.unwrap_or(at.value);
        let log_q = built.law.log_prob(&mut b.g, at, None);
        let log_p = p.log_prob(&mut b.g, at);
        let rest = built.law.elements.intersect(b.g.axes_of(log_p));
        let log_p = b.g.sum(log_p, rest);
        let gap = b.g.sub(log_q, log_p);
        let kl = built.law.kl(&mut b.g, &p, None).expect("a closed form");
        let (axis, event) = (b.draw, b.event);
        // Products of each element with the one after it along the event axis.
        let away = b.g.sub(base, d.params[0]);
        let next = b.g.add_axis("next", EVENT);
        let other = b.g.rename(away, event, next);
        let products = b.g.mul(away, other);
        let marginal = built.law.marginal(&mut b.g);
        let mut averages = vec![gap, products];
        let mut truths = vec![kl];
        if let (Some(mean), Some(var)) = (marginal.mean(&mut b.g), marginal.variance(&mut b.g)) {
            let off = b.g.sub(at.value, mean);
            averages.extend([at.value, b.g.square(off)]);
            truths.extend([mean, var]);
        }
        let averages: Vec<NodeId> = averages.into_iter().map(|x| b.g.mean(x, axis)).collect();
        let out = b.run(&[averages, truths].concat());
        let n = if out.len() == 7 { 4 } else { 2 };
        let covariance: Vec<f64> = (0..POINTS)
            .flat_map(|p| {
                let c = case.covariance(p);
                let at = move |e: usize, o: usize| e * OTHER + o;
                (0..EVENT).flat_map(move |i| {
                    let c = c.clone();
                    (0..OTHER).flat_map(move |o| {
                        let c = c.clone();
                        (0..EVENT).map(move |j| c[at(i, o)][at(j, o)])
                    })
                })
            })
            .collect();
        let exact = [&[out[n].clone(), covariance][..], &out[n + 1..]].concat();
        for (k, exact) in exact.iter().enumerate() {
            for (i, exact) in exact.iter().enumerate() {
                let blocks: Vec<f64> =
                    (0..N_BLOCKS).map(|t| out[k][t * out[k].len() / N_BLOCKS + i]).collect();
                let (mean, error) = mean_and_error(&blocks);
                let fine = (mean - exact).abs() <= 5.0 * error;
                assert!(fine, "{family}, average {k}, element {i}: {mean} ± {error}, expected {exact}");
            }
        }
    }
}
