//! The minibatch of a case in our terms: what is bound, and what is fed.

use super::case::Case;
use super::families::Family;
use dsl::{AxisSource, Bound, Compiled, CovariateShape, FeedSpec, Lowered, MissingRule, SlotKind};
use std::collections::{BTreeMap, BTreeSet};
use svi::import::Tensor;

/// The case's minibatch.
pub struct Data {
    /// Inputs of the reference by our fields' names.
    fields: BTreeMap<String, Tensor>,
    /// The fields with a value for each row.
    by_row: BTreeSet<String>,
    /// 1 where a value of a field that may be missing is known.
    known: BTreeMap<String, Tensor>,
    covariates: Option<(Option<Tensor>, Option<Tensor>)>,
    /// Row of the whole data set of each row of the minibatch, if they are not the first ones.
    rows: Option<Tensor>,
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

/// Where the reference takes a value to be known. Of labels the last code stands for a missing one.
fn where_known(
    t: &Tensor,
    rule: &MissingRule,
    has_unknown: bool,
    fields: &BTreeMap<String, Tensor>,
) -> Tensor {
    let width = t.values.len() / t.shape[0];
    let last = t.values.iter().fold(0.0_f64, |m, v| m.max(*v));
    let measured = |i: usize| match rule {
        MissingRule::Marked => true,
        MissingRule::Literal(_) => !has_unknown || t.values[i] != last,
        MissingRule::ZerosBy(category) => {
            let labels = &fields[category].values;
            let same = |r: &usize| labels[*r] == labels[i / width];
            (0..t.shape[0]).filter(same).any(|r| t.values[r * width + i % width] != 0.0)
        }
    };
    let values = (0..t.values.len()).map(|i| f64::from(measured(i))).collect();
    Tensor { shape: t.shape.clone(), values }
}

impl Data {
    /// Reads the inputs of a case.
    pub fn new(case: &Case, tensors: &BTreeMap<String, Tensor>, family: &Family, model: &Compiled) -> Self {
        let mut inputs = super::case::under(tensors, "input.");
        // Parameters of another model of the reference are constants of ours.
        let constants = tensors.iter().filter(|(n, _)| n.starts_with("param."));
        inputs.extend(constants.map(|(n, t)| (n.clone(), t.clone())));
        (family.prepare)(&mut inputs);
        let (mut fields, mut known) = (BTreeMap::new(), BTreeMap::new());
        for (theirs, ours) in family.fields {
            if model.slots().iter().any(|s| s.name == *ours)
                && let Some(t) = inputs.remove(*theirs)
            {
                fields.insert((*ours).to_owned(), t);
            }
        }
        let plate = model.plate();
        let of_rows = |s: &&dsl::Slot| plate.is_some() && s.axes.first().map(String::as_str) == plate;
        let by_row: BTreeSet<String> = model.slots().iter().filter(of_rows).map(|s| s.name.clone()).collect();
        // Without a plate everything is in every step.
        let n_cells = fields.iter().find(|f| by_row.contains(f.0)).map_or(1, |f| f.1.shape[0]);
        let n_rows = case.n_obs().unwrap_or(n_cells);
        let mut bound = Bound { n_rows, ..Bound::default() };
        for slot in model.slots() {
            let Some(t) = fields.get(&slot.name) else { continue };
            bound.present.insert(slot.name.clone());
            if slot.kind == SlotKind::Category {
                let unknown = usize::from(case.has_unknown() && slot.missing.is_some());
                bound.sizes.insert(slot.name.clone(), n_labels(t, 0, 1) - unknown);
            }
            if let Some(rule) = &slot.missing {
                known.insert(slot.name.clone(), where_known(t, rule, case.has_unknown(), &fields));
            }
            let is_data =
                |name: &str| model.axes().iter().any(|a| a.name == name && a.source == AxisSource::Data);
            // A column is a vector.
            let column = slot.axes.len() == 1 && t.shape.get(1) == Some(&1);
            let shape = if column { &t.shape[..1] } else { &t.shape[..] };
            for (axis, size) in slot.axes.iter().rev().zip(shape.iter().rev()).filter(|(a, _)| is_data(a)) {
                bound.sizes.insert(axis.clone(), *size);
            }
        }
        let rows = inputs.remove("ind_x");
        let n_table = rows.as_ref().map_or(0, |t| n_labels(t, 0, 1)).max(n_rows);
        bound.sizes.extend(model.plate().map(|p| (p.to_owned(), n_table)));
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
        Self { fields, by_row, known, covariates: some.then_some(covariates), rows, bound, n_cells }
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
        let width = |t: &Tensor| t.values.len() / t.shape[0];
        let whole = |name: &str| !self.by_row.contains(name);
        let slice = |t: &Tensor| t.values[rows.start * width(t)..rows.end * width(t)].to_vec();
        let covariates = || self.covariates.as_ref().expect("bound covariates");
        match spec {
            FeedSpec::Field(name) if whole(name) => self.fields[name].values.clone(),
            FeedSpec::Field(name) => match self.known.get(name) {
                // A stand-in inside the support: the first label, or zero.
                Some(known) => {
                    let shown = slice(&self.fields[name]).into_iter().zip(slice(known));
                    shown.map(|(x, known)| if known == 0.0 { 0.0 } else { x }).collect()
                }
                None => slice(&self.fields[name]),
            },
            FeedSpec::Known(name) => slice(&self.known[name]),
            FeedSpec::FieldAt { field, index, known, own_first } => {
                let of = if *known { &self.known[field] } else { &self.fields[field] };
                let at = |r: f64| &of.values[r as usize * width(of)..(r as usize + 1) * width(of)];
                let rows = slice(&self.fields[index]);
                let each = width(&self.fields[index]);
                if *own_first {
                    let places = |r: &[f64]| {
                        (0..width(of)).flat_map(|k| r.iter().map(move |x| (*x, k))).collect::<Vec<_>>()
                    };
                    rows.chunks(each).flat_map(places).map(|(r, k)| at(r)[k]).collect()
                } else {
                    rows.iter().flat_map(|r| at(*r).to_vec()).collect()
                }
            }
            FeedSpec::Within(axis) => self.fields[axis].values.clone(),
            FeedSpec::Label { label, .. } => vec![label.parse().expect("labels of the reference are codes")],
            FeedSpec::CovariateReals(_) => slice(covariates().1.as_ref().expect("continuous covariates")),
            FeedSpec::CovariateCategory { column, .. } => {
                let t = covariates().0.as_ref().expect("categorical covariates");
                let c: usize =
                    column.trim_start_matches("cat").parse().expect("a column is named cat<number>");
                slice(t).into_iter().skip(c).step_by(t.shape[1]).collect()
            }
            FeedSpec::Rows if self.rows.is_some() => self.rows.as_ref().map(slice).unwrap_or_default(),
            FeedSpec::Rows => rows.clone().map(|r| r as f64).collect(),
            FeedSpec::Stat(name) => stats[name].clone(),
            FeedSpec::Numbers(all) => all.iter().map(|i| f64::from(*i)).collect(),
            FeedSpec::Epoch => vec![epoch],
            FeedSpec::PairedRows | FeedSpec::OfLabelled(_) | FeedSpec::Total(_) => {
                unreachable!("no case has {spec:?}")
            }
        }
    }
}
