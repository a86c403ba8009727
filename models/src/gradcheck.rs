//! Gradients against central differences, in double precision, on data drawn from the program itself.
//!
//! Both sides come from the plain evaluator: one from the graph that the compiler differentiated, the other from the
//! loss alone at two points. The same draws are used throughout, so the loss is a fixed function of the parameters. What
//! stands under `stop` keeps its value while a parameter moves, as its derivative says. Draws made by rejection (Gamma,
//! Beta, Dirichlet) have a derivative on average alone, so parameters of such laws are not compared.

use crate::anndata::{Dense, Matrix};
use crate::batch::{Buffer, Gatherer, Minibatch};
use crate::dataset::{Dataset, FieldData, Paired};
use crate::engine::{BackendKind, Engine, lower, run_error};
use crate::error::{Error, request};
use crate::init::add_missing;
use crate::model::Model;
use crate::output::NamedArray;
use crate::sim::{SimOptions, draw};
use crate::train::compute_stats;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::rewrite::{hold, of_rejected_draws};
use autodiff_runtime::{CsrView, Feed, Graph, NodeId, Op, StepKey, Variables};
use dsl::{AxisSource, Lowered, Mode, Purpose, Request, SlotKind, VariableKind};
use std::collections::{BTreeMap, BTreeSet};

/// Elements of one table that are compared.
const ELEMENTS: usize = 6;
/// Half the distances of the two points, for a parameter of size one: the next where a bend, such as that of `relu`, lies
/// between them.
const STEPS: [f64; 3] = [1e-5, 1e-6, 1e-7];
/// Largest difference of gradients that agree.
const AGREES: f64 = 1e-4;

/// The output that every player's loss adds up to.
const MINIMISED: &str = "minimised";

/// One table of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The parameter's path.
    pub name: String,
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Number of elements compared; 0 for parameters of laws that are drawn by rejection.
    pub compared: usize,
    /// Largest absolute gradient among all its elements.
    pub largest: f64,
    /// Largest difference between the two gradients, as a fraction of the larger of: that element's gradient, a
    /// thousandth of the largest gradient of the model.
    pub worst: f64,
}

impl Comparison {
    /// Whether the two agree, to one part in ten thousand.
    pub fn agrees(&self) -> bool {
        self.worst < AGREES
    }
}

/// Compares every trained table of a model at its initial values.
///
/// # Errors
/// E0716 when the program cannot be simulated or has an operation without derivative.
pub fn check_gradients(model: &Model, options: &SimOptions) -> Result<Vec<Comparison>, Error> {
    compare(model, options, |_| {})
}

/// As [`check_gradients`], with a change to the differentiated graph, which tests use to break it.
fn compare(
    model: &Model,
    options: &SimOptions,
    change: impl FnOnce(&mut Graph),
) -> Result<Vec<Comparison>, Error> {
    let engine = Engine::new(BackendKind::Cpu, Some(1))?;
    let mut options = options.clone();
    // Every axis of the data gets a size of its own unless one is given.
    if let Some(pair) = &model.compiled().train().pair {
        options.sizes.insert(pair.clone(), options.cells);
    }
    for (n, axis) in model.compiled().axes().iter().enumerate().filter(|(_, a)| a.source == AxisSource::Data)
    {
        if Some(axis.name.as_str()) != model.compiled().plate() {
            options.sizes.entry(axis.name.clone()).or_insert(3 + n);
        }
    }
    let options = &options;
    let drawn = draw(model, options, &engine)?;
    let mut data = drawn.given.data;
    for array in &drawn.arrays {
        observe(model, &mut data, array);
    }
    let mut bound = drawn.given.bound;
    data.paired = model.compiled().train().pair.clone().map(|axis| Paired {
        axis,
        n_rows: options.cells,
        fields: BTreeSet::new(),
    });
    let observed = |name: &str| data.fields.contains_key(name);
    bound.present.extend(model.compiled().slots().iter().map(|s| s.name.clone()).filter(|n| observed(n)));
    let stats = compute_stats(&engine, model, &bound, &data, options.seed)?;
    let wanted = Request { purpose: Purpose::Objective, mode: Mode::Train, n_batch: options.cells };
    let lowered = lower(model, &bound, &wanted)?;
    let mut graph = lowered
        .with_gradients()
        .map_err(|e| Error::plain(request(format!("the objective cannot be differentiated: {e}"))))?;
    change(&mut graph);
    let Some(loss) = lowered.loss else {
        return Err(Error::plain(request("the program has no objective")));
    };
    let mut batch = Minibatch::default();
    let rows: Vec<u32> = (0..options.cells as u32).collect();
    Gatherer::new(&data, &stats, &lowered).fill(&rows, 1, &mut batch);
    let mut variables = Variables::new();
    add_missing(&lowered, options.seed, &mut variables);
    let feeds = batch.buffers.iter().map(wide).collect();
    let key = StepKey { seed: options.seed, step: 1 };
    Point { model, lowered: &lowered, graph, loss, variables, feeds, key }.compare()
}

/// A drawn array becomes the field of its name.
fn observe(model: &Model, data: &mut Dataset, array: &NamedArray) {
    let Some(slot) = model.compiled().slots().iter().find(|s| s.name == array.name) else { return };
    let plate = array.axes.first().map(String::as_str) == model.compiled().plate();
    let field = match slot.kind {
        _ if !plate => FieldData::Whole(array.values.clone()),
        SlotKind::Category | SlotKind::Index => {
            FieldData::Codes(array.values.iter().map(|v| *v as u32).collect())
        }
        _ if array.shape.len() == 1 => FieldData::Reals(array.values.clone()),
        _ => FieldData::Matrix(Matrix::Dense(Dense {
            n_rows: array.shape[0],
            n_cols: array.row_len(),
            values: array.values.clone(),
        })),
    };
    data.fields.insert(array.name.clone(), field);
}

/// A buffer in double precision.
enum Wide<'a> {
    Dense(Vec<f64>),
    Csr(&'a [usize], &'a [u32], Vec<f64>),
    Index(&'a [u32]),
    Held(Vec<u32>),
}

fn wide(buffer: &Buffer) -> Wide<'_> {
    let doubles = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect();
    match buffer {
        Buffer::Dense(values) => Wide::Dense(doubles(values)),
        Buffer::Csr { offsets, columns, values } => Wide::Csr(offsets, columns, doubles(values)),
        Buffer::Index(codes) => Wide::Index(codes),
    }
}

/// The loss as a function of the parameters, everything else fixed.
struct Point<'a> {
    model: &'a Model,
    lowered: &'a Lowered,
    graph: Graph,
    loss: NodeId,
    variables: Variables<f64>,
    feeds: Vec<Wide<'a>>,
    key: StepKey,
}

impl Point<'_> {
    fn compare(mut self) -> Result<Vec<Comparison>, Error> {
        let trained = self.lowered.variables.iter().filter(|v| v.kind == VariableKind::Trained);
        let names: Vec<String> = trained.map(|v| v.name.clone()).collect();
        let nodes: Vec<NodeId> =
            names.iter().filter_map(|n| self.graph.find_output(&format!("grad.{n}"))).collect();
        let gradients = self.evaluate(&nodes)?;
        let by_rejection = of_rejected_draws(&self.graph);
        self.hold_stopped()?;
        let loss = self.evaluate(&[self.loss])?[0][0];
        if !loss.is_finite() {
            let text = format!("the loss is {loss} at the initial values, on data drawn from the program");
            let help =
                "try another --seed; a density may be infinite there, such as the logarithm of an empty cell";
            return Err(Error::plain(request(text).help(help)));
        }
        let largest = |g: &[f64]| g.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let scale = gradients.iter().map(|g| largest(g)).fold(0.0, f64::max);
        let mut rows = vec![];
        for (name, gradient) in names.iter().zip(&gradients) {
            let mut worst = 0.0f64;
            let places = if by_rejection.contains(name) { vec![] } else { places(gradient) };
            for &i in &places {
                let size = gradient[i].abs().max(1e-3 * scale).max(f64::MIN_POSITIVE);
                let mut found = f64::INFINITY;
                for step in STEPS {
                    let difference = (gradient[i] - self.central(name, i, step)?).abs();
                    // A value that is not a number agrees with nothing.
                    found = if difference.is_nan() { found } else { found.min(difference / size) };
                    if found < AGREES {
                        break;
                    }
                }
                worst = worst.max(found);
            }
            let spec = self.lowered.variables.iter().find(|v| v.name == *name);
            let shape = spec.map(|v| v.dims.iter().map(|d| d.size).collect()).unwrap_or_default();
            let (name, compared) = (name.clone(), places.len());
            rows.push(Comparison { name, shape, compared, largest: largest(gradient), worst });
        }
        Ok(rows)
    }

    /// Gives what stands under `stop` its value now, whatever the parameters are later.
    fn hold_stopped(&mut self) -> Result<(), Error> {
        let is_stop = |id: &NodeId| matches!(self.graph.node(*id).op, Op::Stop(_));
        let stopped: Vec<NodeId> = self.graph.node_ids().filter(is_stop).collect();
        let values = self.evaluate(&stopped)?;
        self.graph.output(MINIMISED, self.loss);
        let held = hold(&self.graph, &stopped);
        for (id, values) in stopped.iter().zip(values) {
            self.feeds.push(match self.graph.node(*id).dtype {
                Dtype::Index => Wide::Held(values.into_iter().map(|v| v as u32).collect()),
                Dtype::Real => Wide::Dense(values),
            });
        }
        let loss = held.find_output(MINIMISED);
        self.loss = loss.ok_or_else(|| Error::plain(request("the program has no objective")))?;
        self.graph = held;
        Ok(())
    }

    /// The derivative of the loss along one element, by central differences.
    fn central(&mut self, name: &str, i: usize, step: f64) -> Result<f64, Error> {
        let values = self.variables.get(name).unwrap_or_default().to_vec();
        let h = step * (1.0 + values[i].abs());
        let mut at = |x: f64| {
            let mut moved = values.clone();
            moved[i] = x;
            self.variables.set(name, moved);
            Ok::<f64, Error>(self.evaluate(&[self.loss])?[0][0])
        };
        let slope = (at(values[i] + h)? - at(values[i] - h)?) / (2.0 * h);
        self.variables.set(name, values);
        Ok(slope)
    }

    fn evaluate(&self, wanted: &[NodeId]) -> Result<Vec<Vec<f64>>, Error> {
        let feeds: Vec<Feed<'_, f64>> = self
            .feeds
            .iter()
            .map(|f| match f {
                Wide::Dense(values) => Feed::Dense(values),
                Wide::Csr(offsets, columns, values) => Feed::Csr(CsrView { offsets, columns, values }),
                Wide::Index(codes) => Feed::Index(codes),
                Wide::Held(codes) => Feed::Index(codes),
            })
            .collect();
        evaluate(&self.graph, wanted, &self.variables, &feeds, self.key)
            .map_err(|e| run_error(self.model, self.lowered, &e))
    }
}

/// The elements to compare: the one with the largest gradient, and others spread over the table.
fn places(gradient: &[f64]) -> Vec<usize> {
    let n = gradient.len();
    let largest = (0..n).max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs()));
    let mut places: Vec<usize> =
        (0..ELEMENTS.min(n)).map(|k| k * n / ELEMENTS.min(n)).chain(largest).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// Numbers of cells, genes and labels that are quick and tell every axis apart.
pub fn small_simulation(seed: u64, sizes: BTreeMap<String, usize>) -> SimOptions {
    let library = (4.0, 0.3);
    SimOptions {
        cells: 7,
        genes: 5,
        batches: 2,
        library,
        everything: true,
        seed,
        sizes,
        ..SimOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::embedded;

    fn model(name: &str) -> Model {
        Model::from_found(&embedded(name).expect("of the library"), &[]).expect("it compiles")
    }

    #[test]
    fn the_library_agrees() {
        for name in ["scvi", "scvi_latent_library", "linear_scvi"] {
            let rows = check_gradients(&model(name), &small_simulation(3, BTreeMap::new())).expect("it runs");
            assert!(rows.len() > 8 && rows.iter().all(|r| r.compared > 0), "{rows:?}");
            assert!(rows.iter().all(Comparison::agrees), "{rows:?}");
            assert!(rows.iter().filter(|r| r.largest > 0.0).count() > 8, "{rows:?}");
        }
    }

    #[test]
    fn a_wrong_gradient_is_found() {
        let model = model("scvi");
        let options = small_simulation(0, BTreeMap::new());
        let rows = compare(&model, &options, |graph| {
            let outputs: Vec<_> = graph.outputs().to_vec();
            let two = graph.constant(1.01);
            let wrong = outputs
                .into_iter()
                .map(|(name, id)| {
                    let id = if name == "grad.theta" { graph.mul(two, id) } else { id };
                    (name, id)
                })
                .collect();
            let updates = graph.updates().to_vec();
            graph.set_roots(wrong, updates);
        });
        let rows = rows.expect("it runs");
        let differ: Vec<&str> = rows.iter().filter(|r| !r.agrees()).map(|r| r.name.as_str()).collect();
        assert_eq!(differ, ["theta"]);
    }
}
