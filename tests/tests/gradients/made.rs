//! Data and parameters made up for any compiled model: a small shape for every axis, values inside every support.

use autodiff_runtime::Feed;
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{StepKey, Variables, random};
use dsl::{AxisSource, Bound, Compiled, CovariateShape, FeedSpec, Lowered, SlotKind};
use std::collections::BTreeMap;

/// A number in (0, 1) that depends on its name and place alone.
pub fn uniform(name: &str, place: usize) -> f64 {
    let stream = name.bytes().fold(17_u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    let key = StepKey { seed: 99, step: 0 };
    random::SiteKey::new(key, stream).element(0, place as u64).uniform()
}

/// Everything optional is present; categories have two or three labels.
pub fn bound(c: &Compiled, n_rows: usize) -> Bound {
    let mut b = Bound { n_rows, ..Bound::default() };
    for (i, axis) in c.axes().iter().enumerate().filter(|(_, a)| Some(a.name.as_str()) != c.plate()) {
        match &axis.source {
            AxisSource::Data => drop(b.sizes.insert(axis.name.clone(), 4 + i % 2)),
            AxisSource::Within(_) => drop(b.sizes.insert(axis.name.clone(), 3)),
            AxisSource::Category(_) => drop(b.sizes.insert(axis.name.clone(), 2 + i % 2)),
            AxisSource::Knob(_) | AxisSource::Formula(_) | AxisSource::Labels(_) | AxisSource::Rank(_) => {}
        }
    }
    for slot in c.slots() {
        b.present.insert(slot.name.clone());
        if slot.kind == SlotKind::Covariates {
            let shape =
                CovariateShape { categorical: vec![("donor".into(), 3)], continuous: vec!["age".into()] };
            b.covariates.insert(slot.name.clone(), shape);
        }
    }
    b
}

/// Owned feeds of a lowered graph.
pub struct Made {
    held: Vec<(Dtype, Vec<f64>, Vec<u32>)>,
}

impl Made {
    /// Made-up data for every feed; statistics as given.
    pub fn new(
        c: &Compiled,
        bound: &Bound,
        lowered: &Lowered,
        stats: &BTreeMap<String, Vec<f64>>,
        epoch: f64,
    ) -> Self {
        let feed = |(spec, input): (&FeedSpec, &autodiff_runtime::graph::InputDecl)| {
            let n: usize = input.axes.iter().map(|a| lowered.graph.size(a)).product();
            let reals = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<f64>>();
            let codes = |name: &str, labels: usize| {
                (0..n).map(|i| (uniform(name, i) * labels as f64) as u32).collect::<Vec<u32>>()
            };
            let (real, index) = match spec {
                FeedSpec::Field(f) | FeedSpec::FieldAt { field: f, known: false, .. } => {
                    (reals(&|i| field(c, f, i)), codes(f, labels(c, bound, f)))
                }
                FeedSpec::Known(f) | FeedSpec::FieldAt { field: f, .. } => {
                    (reals(&|i| f64::from(u8::from(uniform(&format!("known {f}"), i) < 0.7))), vec![])
                }
                FeedSpec::Within(_) => (vec![], (0..n as u32).collect()),
                FeedSpec::Label { .. } => (vec![0.0], vec![]),
                FeedSpec::CovariateReals(f) => (reals(&|i| uniform(f, i) - 0.5), vec![]),
                FeedSpec::CovariateCategory { column, .. } => (vec![], codes(column, 3)),
                FeedSpec::OfLabelled(_) => unreachable!("no program of these has it"),
                FeedSpec::Rows | FeedSpec::PairedRows => (vec![], (0..n as u32).collect()),
                FeedSpec::Stat(s) => (stats[s].clone(), vec![]),
                FeedSpec::Numbers(all) => (vec![], all.clone()),
                FeedSpec::Epoch => (vec![epoch], vec![]),
                FeedSpec::Total(f) => (reals(&|i| 20.0 + 10.0 * uniform(f, i)), vec![]),
            };
            (input.dtype, real, index)
        };
        Self { held: lowered.feeds.iter().zip(lowered.graph.inputs()).map(feed).collect() }
    }

    /// Lends the feeds.
    pub fn feeds(&self) -> Vec<Feed<'_, f64>> {
        let mut all = vec![];
        for (dtype, reals, codes) in &self.held {
            all.push(match dtype {
                Dtype::Index => Feed::Index(codes),
                _ => Feed::Dense(reals),
            });
        }
        all
    }
}

/// How many labels a category has, or how many things an index counts.
fn labels(c: &Compiled, bound: &Bound, name: &str) -> usize {
    let over = c.slots().iter().find(|s| s.name == name).and_then(|s| s.over.clone());
    let axis = over.unwrap_or_else(|| name.to_owned());
    let rows = (Some(axis.as_str()) == c.plate()).then_some(bound.n_rows);
    bound.sizes.get(&axis).copied().or(rows).unwrap_or(1)
}

fn counts_before(c: &Compiled, name: &str) -> f64 {
    c.slots().iter().take_while(|s| s.name != name).filter(|s| s.kind == SlotKind::Count).count() as f64
}

fn field(c: &Compiled, name: &str, i: usize) -> f64 {
    let u = uniform(name, i);
    match c.slots().iter().find(|s| s.name == name).map(|s| s.kind) {
        // Each field of counts lies above the one before, so that a total declared after its part is at least the part.
        Some(SlotKind::Count) => (u * u * 9.0).floor() + 9.0 * counts_before(c, name),
        Some(SlotKind::Bool) => f64::from(u8::from(u > 0.5)),
        Some(SlotKind::Positive | SlotKind::Nonneg) => 0.5 + 2.0 * u,
        Some(SlotKind::Unit) => u,
        // What it sums to is of no account here.
        Some(SlotKind::Simplex) => 0.05 + u,
        _ => 4.0 * u - 2.0,
    }
}

/// A value for every variable: near zero, running variances near one.
pub fn variables(lowered: &Lowered) -> Variables<f64> {
    let mut all = Variables::new();
    for v in &lowered.variables {
        let n: usize = v.dims.iter().map(|d| d.size).product();
        let centre = if v.name.ends_with("running_var") || v.name.ends_with("scale") { 1.0 } else { 0.0 };
        all.set(&v.name, (0..n).map(|i| centre + 0.8 * (uniform(&v.name, i) - 0.5)).collect());
    }
    all
}
