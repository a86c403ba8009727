//! The minibatch of a case in our terms: what is bound, and what is fed.

use super::families::Family;
use dsl::{AxisSource, Bound, Compiled, CovariateShape, FeedSpec, Lowered, SlotKind};
use std::collections::BTreeMap;
use svi::import::Tensor;

/// The case's minibatch.
pub struct Data {
    /// Inputs of the reference by our fields' names.
    fields: BTreeMap<String, Tensor>,
    covariates: Option<(Option<Tensor>, Option<Tensor>)>,
    /// What is bound.
    pub bound: Bound,
    /// Number of cells.
    pub n_cells: usize,
}

/// One fed array.
pub enum Fed {
    /// Real numbers.
    Real(Vec<f64>),
    /// Codes or row numbers.
    Index(Vec<u32>),
}

/// Codes run from 0; the largest that occurs is the last label.
fn n_labels(t: &Tensor, column: usize, width: usize) -> usize {
    t.values.iter().skip(column).step_by(width).fold(0.0_f64, |m, v| m.max(*v)) as usize + 1
}

impl Data {
    /// Reads the inputs of a case.
    pub fn new(tensors: &BTreeMap<String, Tensor>, family: &Family, model: &Compiled) -> Self {
        let mut inputs = super::case::under(tensors, "input.");
        let mut fields = BTreeMap::new();
        for (theirs, ours) in family.fields {
            if model.slots().iter().any(|s| s.name == *ours)
                && let Some(t) = inputs.remove(*theirs)
            {
                fields.insert((*ours).to_owned(), t);
            }
        }
        let n_cells = fields.values().map(|t| t.shape[0]).next().expect("a case has inputs");
        let mut bound = Bound { n_rows: n_cells, ..Bound::default() };
        for slot in model.slots() {
            let Some(t) = fields.get(&slot.name) else { continue };
            bound.present.insert(slot.name.clone());
            if slot.kind == SlotKind::Category {
                bound.sizes.insert(slot.name.clone(), n_labels(t, 0, 1));
            }
            let is_data =
                |name: &str| model.axes().iter().any(|a| a.name == name && a.source == AxisSource::Data);
            for (axis, size) in slot.axes.iter().rev().zip(t.shape.iter().rev()).filter(|(a, _)| is_data(a)) {
                bound.sizes.insert(axis.clone(), *size);
            }
        }
        let covariates = (inputs.remove("cat_covs"), inputs.remove("cont_covs"));
        let (categories, reals) = &covariates;
        let mut shape = CovariateShape::default();
        if let Some(t) = categories {
            let width = t.shape[1];
            shape.categorical = (0..width).map(|c| (format!("cat{c}"), n_labels(t, c, width))).collect();
        }
        if let Some(t) = reals {
            shape.continuous = (0..t.shape[1]).map(|c| format!("cont{c}")).collect();
        }
        let some = shape != CovariateShape::default();
        if some {
            bound.present.insert("covs".into());
            bound.covariates.insert("covs".into(), shape);
        }
        Self { fields, covariates: some.then_some(covariates), bound, n_cells }
    }

    /// The feeds of a lowered graph for rows `from..to`, at an epoch; statistics by name.
    pub fn feeds(
        &self,
        lowered: &Lowered,
        rows: std::ops::Range<usize>,
        epoch: f64,
        stats: &BTreeMap<String, Vec<f64>>,
    ) -> Vec<Fed> {
        let inputs = lowered.graph.inputs();
        let one = |(spec, input): (&FeedSpec, &autodiff_runtime::graph::InputDecl)| {
            let values = self.values(spec, &rows, epoch, stats);
            match input.dtype {
                autodiff_runtime::graph::Dtype::Index => {
                    Fed::Index(values.into_iter().map(|x| x as u32).collect())
                }
                _ => Fed::Real(values),
            }
        };
        lowered.feeds.iter().zip(inputs).map(one).collect()
    }

    fn values(
        &self,
        spec: &FeedSpec,
        rows: &std::ops::Range<usize>,
        epoch: f64,
        stats: &BTreeMap<String, Vec<f64>>,
    ) -> Vec<f64> {
        let slice = |t: &Tensor| {
            let width = t.values.len() / t.shape[0];
            t.values[rows.start * width..rows.end * width].to_vec()
        };
        let covariates = || self.covariates.as_ref().expect("bound covariates");
        match spec {
            FeedSpec::Field(name) => slice(&self.fields[name]),
            FeedSpec::CovariateReals(_) => slice(covariates().1.as_ref().expect("continuous covariates")),
            FeedSpec::CovariateCategory { column, .. } => {
                let t = covariates().0.as_ref().expect("categorical covariates");
                let c: usize =
                    column.trim_start_matches("cat").parse().expect("a column is named cat<number>");
                slice(t).into_iter().skip(c).step_by(t.shape[1]).collect()
            }
            FeedSpec::Rows => rows.clone().map(|r| r as f64).collect(),
            FeedSpec::Stat(name) => stats[name].clone(),
            FeedSpec::Numbers(all) => all.iter().map(|i| f64::from(*i)).collect(),
            FeedSpec::Epoch => vec![epoch],
            FeedSpec::PairedRows
            | FeedSpec::Known(_)
            | FeedSpec::FieldAt { .. }
            | FeedSpec::Within(_)
            | FeedSpec::Label { .. }
            | FeedSpec::Total(_) => unreachable!("no case has {spec:?}"),
        }
    }
}
