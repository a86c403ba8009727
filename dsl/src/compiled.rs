//! What the compiler gives to the program that binds data, trains and asks for outputs.
//!
//! A [`Compiled`] model is checked and derived, but knows no sizes. With a [`Bound`] (sizes of axes, which optional
//! fields are present) it lowers to graphs: one each for a training step, an evaluation, outputs, simulation and
//! data statistics. Sizes are concrete in a graph, so a last, smaller minibatch is lowered once more.

use crate::size::SizeFormula;
use crate::source::Span;
use autodiff_runtime::{Graph, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// What kind of values a field holds (its type in the source).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// Non-negative integers.
    Count,
    /// Any real numbers.
    Real,
    /// Real numbers ≥ 0.
    Nonneg,
    /// Real numbers > 0.
    Positive,
    /// Real numbers in [0, 1].
    Unit,
    /// True or false.
    Bool,
    /// Labels.
    Category,
    /// A list of columns, each of labels or of real numbers.
    Covariates,
    /// Non-negative along an axis, summing to 1.
    Simplex,
    /// Rows of an axis, as numbers.
    Index,
}

/// How the data tell that a single value of a field is missing. Whatever the file itself marks as missing is missing too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingRule {
    /// What the file marks, NaN among it.
    Marked,
    /// This label, number or truth value, as written: `"Unknown"`, `-1`, `false`.
    Literal(String),
    /// A column of the field is missing for all rows of a label of the named category in which it sums to zero.
    ZerosBy(String),
}

/// A data field that must be bound before lowering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Name in the source (`x`, `batch`).
    pub name: String,
    /// Its type.
    pub kind: SlotKind,
    /// Names of its axes as written, but for the plate, which comes first. A graph stores a field in the order of the
    /// model's axes ([`crate::Compiled::axes`]).
    pub axes: Vec<String>,
    /// The axis that the values of an index count along, or along which a simplex sums to 1.
    pub over: Option<String>,
    /// Where it comes from unless bound otherwise: the path as written, such as `layers.counts` or `obs.batch`.
    pub path: Option<String>,
    /// For a constant of a trained model: under which name that model is loaded; `path` is then the path of one of its
    /// parameters, whose value in its support is wanted.
    pub load: Option<String>,
    /// Whether it may be absent: a category then has one label, covariates are none, others count as not present.
    pub optional: bool,
    /// Whether single values may be missing (`T?`), and the rule that tells them.
    pub missing: Option<MissingRule>,
    /// Its declaration.
    pub span: Span,
}

/// A trained model that constants come from: `load ref : stereoscope_rna`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadInfo {
    /// The name it is used under.
    pub name: String,
    /// The model that is expected.
    pub model: String,
    /// Its declaration.
    pub span: Span,
}

/// A parameter of a loaded model, or the prefix of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The name under which that model is loaded.
    pub load: String,
    /// The path there, such as `theta` or `decoder`.
    pub path: String,
}

/// Where the size of an axis comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum AxisSource {
    /// The data.
    Data,
    /// A knob: `dim latent = 10`, changed by `--set latent=20`.
    Knob(usize),
    /// The sizes of other axes, in [`Bound::size`]: `dim hidden = floor(sqrt(gene))`; a knob once it is set.
    Formula(SizeFormula),
    /// Labels written in the source.
    Labels(Vec<String>),
    /// The labels of the category field of that name.
    Category(String),
    /// The data; its labels are some of those of the axis of that name.
    Within(String),
    /// The columns of the factor of a guide `auto(rank = n)`.
    Rank(usize),
}

/// An axis of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisInfo {
    /// Name in the source.
    pub name: String,
    /// Where its size comes from.
    pub source: AxisSource,
}

/// An option with the value in force.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionInfo {
    /// Name in the source.
    pub name: String,
    /// Allowed words, for an option that is a choice.
    pub choices: Vec<String>,
    /// The value in force, as it would be written.
    pub value: String,
    /// Whether it was set from outside.
    pub changed: bool,
}

/// Training settings: the defaults, overridden by the source's `train` block. Units: epochs and cells.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSettings {
    /// Passes over the training cells; `None`: max(1, min(round(400 · 20000 / N), 400)).
    pub epochs: Option<usize>,
    /// Cells of a minibatch.
    pub batch_size: usize,
    /// Learning rate.
    pub lr: f64,
    /// Adam's ε.
    pub eps: f64,
    /// Strength of the weight decay.
    pub weight_decay: f64,
    /// Whether weight decay acts on the weights instead of the gradient (AdamW).
    pub decoupled_decay: bool,
    /// Largest norm of all gradients together; longer ones are scaled down to it.
    pub clip: Option<f64>,
    /// Rows whose label is known, that come as minibatches of their own.
    pub labelled: Option<Labelled>,
    /// Draws of every latent over which the objective is averaged.
    pub samples: usize,
    /// A category of whose labels every minibatch holds equal shares; the rarer ones come up again.
    pub stratify: Option<String>,
    /// A second plate whose minibatches, of the same size, go along with those of the first; without it the second plate
    /// goes whole into every step. An epoch is a pass of the longer one; the shorter comes up again.
    pub pair: Option<String>,
    /// Fraction of the cells that train; `None`: 0.9, with a last minibatch of one or two cells moved to validation.
    pub train_size: Option<f64>,
    /// Whether training stops when the validation ELBO no longer improves (patience 45 epochs).
    pub early_stopping: bool,
    /// Whether the learning rate falls by 0.6 when the validation ELBO has not improved for 30 epochs.
    pub plateau: bool,
    /// Whether a step uses all cells.
    pub full_batch: bool,
    /// Whether the objective is a total over the N training cells instead of a mean per cell.
    pub reduce_total: bool,
    /// Parameter paths (or prefixes of them) that are not trained.
    pub freeze: Vec<String>,
    /// Bounds that parameters are put back into after every step.
    pub bounds: Vec<PathBound>,
}

/// A bound of a parameter, or of all below a path: what a step has moved beyond it is set to it.
#[derive(Clone, Debug, PartialEq)]
pub struct PathBound {
    /// The path.
    pub path: String,
    /// Whether it is the least value, or the largest.
    pub least: bool,
    /// The bound as values are stored: before the map to a support.
    pub stored: f64,
}

impl PathBound {
    /// Whether it is one of a parameter of that name.
    pub fn holds_for(&self, name: &str) -> bool {
        name.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// A stream of rows whose label is known: means over the rows `where observed(field)` see minibatches of it, as large as
/// those of all rows beside which they go; an epoch is a pass of all rows, and the stream comes up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// The category field.
    pub field: String,
    /// At most this many rows of each label, drawn anew for every epoch; none: all of them.
    pub per_label: Option<usize>,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            epochs: None,
            batch_size: 128,
            lr: 1e-3,
            eps: 0.01,
            weight_decay: 1e-6,
            decoupled_decay: false,
            clip: None,
            labelled: None,
            samples: 1,
            stratify: None,
            pair: None,
            train_size: None,
            early_stopping: false,
            plateau: false,
            full_batch: false,
            reduce_total: false,
            freeze: vec![],
            bounds: vec![],
        }
    }
}

/// A declared output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputInfo {
    /// Name in the source.
    pub name: String,
    /// Where it is written: `obsm.X_scVI`, `layers.scvi`, `obs.label`; none: only when asked for.
    pub destination: Option<String>,
    /// Its declaration.
    pub span: Span,
}

/// A term of the objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermInfo {
    /// `lik(x)`, `kl(z)`, `prior(eta)`, or `term 1` for a free term.
    pub name: String,
    /// Whether it is a sum over the minibatched plate (else it is global).
    pub per_row: bool,
    /// +1 for a term of the bound that is maximised (likelihood, prior), −1 for a KL or a minimised term.
    pub sign: i8,
    /// Whether it is a `minimize` or `maximize` statement, which stands beside the bound and is scaled as written.
    pub free: bool,
}

/// Shape of a bound `covariates` field.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CovariateShape {
    /// Categorical columns: name and number of labels, in order.
    pub categorical: Vec<(String, usize)>,
    /// Names of the continuous columns, in order.
    pub continuous: Vec<String>,
}

/// What is known of the data once fields are bound.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Bound {
    /// Size of every axis whose source is the data or a category; for the minibatched plate the number of rows of the
    /// whole data set, which tables with a row for each have. A category axis that is absent here has one label.
    pub sizes: BTreeMap<String, usize>,
    /// Number of training rows N of the minibatched plate (for scales).
    pub n_rows: usize,
    /// The fields that are present (all that are not optional, and the optional ones that were bound).
    pub present: BTreeSet<String>,
    /// Shapes of the covariates fields.
    pub covariates: BTreeMap<String, CovariateShape>,
    /// Fields with two axes that are fed as compressed sparse rows.
    pub sparse: BTreeSet<String>,
}

/// What a lowered graph is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// The objective: `loss`, and every term.
    Objective,
    /// Named outputs (or expressions in the language, such as `mean(z)` or `d.rho`), with interventions.
    Outputs {
        /// Declared names or expressions; each becomes the graph output of the same text.
        names: Vec<String>,
        /// `given`: a field or site and the value it is held at: a label, or a number.
        given: Vec<(String, String)>,
    },
    /// A draw of every observed field and latent from the model itself.
    Simulation,
    /// The `stat` declarations, over all rows at once.
    Statistics,
}

/// Whether layers behave as in training (batch statistics, dropout) or as afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm uses the minibatch and updates its running values; dropout is on.
    Train,
    /// Batch norm uses its running values; no dropout.
    Evaluate,
}

/// A request to lower.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What for.
    pub purpose: Purpose,
    /// How layers behave.
    pub mode: Mode,
    /// Rows of this minibatch (size of the plate axis in the graph).
    pub n_batch: usize,
}

/// What to feed to an input of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedSpec {
    /// The minibatch's rows of a field (or all of it, if it lacks the plate): values, codes of a category, or CSR rows
    /// if the graph's input is declared so.
    Field(String),
    /// 1 where the value of a field is known and 0 where it is missing: the rows of the minibatch, on the field's axes.
    /// Only for fields whose slot says that values may be missing. What [`FeedSpec::Field`] gives in place of a missing
    /// value is a stand-in inside the field's support (a code is 0), so that a density is finite there; it never counts.
    Known(String),
    /// A field at the rows of the data set that an index field names, for each row of the minibatch: the minibatch's axis
    /// first, then the index's other axes and the field's own, row-major.
    FieldAt {
        /// The field.
        field: String,
        /// The index.
        index: String,
        /// Whether it is known there (as [`FeedSpec::Known`]) instead of its value.
        known: bool,
        /// The field's own axes stand before those of the index.
        own_first: bool,
    },
    /// For each label of an axis its position among the labels of the axis that it lies within.
    Within(String),
    /// The code of a label of a category field as a scalar; NaN if it has no such label.
    Label {
        /// The field.
        field: String,
        /// The label.
        label: String,
    },
    /// Codes of one categorical column of a covariates field.
    CovariateCategory {
        /// The field.
        field: String,
        /// The column.
        column: String,
    },
    /// The continuous columns of a covariates field, row-major `[row, column]`.
    CovariateReals(String),
    /// Global row numbers of the minibatch, for the random numbers.
    Rows,
    /// The same of a paired plate.
    PairedRows,
    /// What the other feed gives, for the rows of the minibatch of labelled rows ([`Labelled`]).
    OfLabelled(Box<FeedSpec>),
    /// The value of a `stat`, computed beforehand by [`Purpose::Statistics`] (its graph output has the same name).
    Stat(String),
    /// The number of the current epoch, counted from 0, as a scalar.
    Epoch,
    /// Indices that never change.
    Numbers(Vec<u32>),
    /// In a simulation: a given total (over the named field's last axis) that stands for the statistic of a field that
    /// is being drawn, one per row.
    Total(String),
}

/// What part an axis plays in a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DimRole {
    /// Input side of a linear map.
    In,
    /// Output side of a linear map.
    Out,
    /// Neither: the element's own axis.
    Own,
}

/// One axis of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableDim {
    /// Name of the axis.
    pub axis: String,
    /// Its size.
    pub size: usize,
    /// Its part.
    pub role: DimRole,
}

/// How a variable starts. Values are unconstrained (before the support's map).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// The same value everywhere.
    Constant(f64),
    /// Uniform between two numbers.
    Uniform {
        /// The lower.
        low: f64,
        /// The upper.
        high: f64,
    },
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        sd: f64,
    },
}

impl Init {
    /// Uniform on (−bound, bound).
    pub fn within(bound: f64) -> Self {
        Init::Uniform { low: -bound, high: bound }
    }
}

/// What becomes of a variable in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableKind {
    /// Changed by the optimiser.
    Trained,
    /// A parameter that is held fixed.
    Frozen,
    /// A running statistic, changed by the graph's own updates.
    Running,
}

/// A variable of a lowered graph.
#[derive(Clone, Debug, PartialEq)]
pub struct VariableSpec {
    /// Source path, such as `encoder.h.mlp.0.linear.weight`: its name in the graph and on disk.
    pub name: String,
    /// Its axes in storage order (row-major).
    pub dims: Vec<VariableDim>,
    /// How it starts.
    pub init: Init,
    /// The parameter of a loaded model whose values it starts at instead, as they are stored there; what is of the same
    /// axes has the same labels.
    pub from: Option<Origin>,
    /// What becomes of it.
    pub kind: VariableKind,
}

/// A graph for one purpose, with what the host needs to run it.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The graph, verified by the caller. Outputs by purpose:
    /// - [`Purpose::Objective`]: `loss` (the scalar that a step minimises: weights, scales and free terms applied);
    ///   `term:<name>` for each of [`Lowered::terms`], unweighted: summed over the minibatch for a per-row term, as is
    ///   for a global one; `row:<name>` the per-row values `[plate]` of a per-row term.
    /// - [`Purpose::Outputs`]: one per name.
    /// - [`Purpose::Simulation`]: one per observed field and per latent site, by name.
    /// - [`Purpose::Statistics`]: one per `stat`.
    pub graph: Graph,
    /// What to feed, parallel to the graph's inputs.
    pub feeds: Vec<FeedSpec>,
    /// The variables that the graph reads or assigns, parallel to its variables.
    pub variables: Vec<VariableSpec>,
    /// The scalar to minimise, for [`Purpose::Objective`].
    pub loss: Option<NodeId>,
    /// The terms, for [`Purpose::Objective`].
    pub terms: Vec<TermInfo>,
    /// For each graph output: names of its axes in storage order, the plate's name for the minibatch axis.
    pub output_axes: BTreeMap<String, Vec<String>>,
    /// Outputs that are labels, as numbers from 0: the axis whose labels they are.
    pub output_labels: BTreeMap<String, String>,
    /// Outputs that contain a draw, so that averaging several passes (with different step numbers) means something.
    pub random_outputs: BTreeSet<String>,
    /// Site of each random stream, for tests that feed the noise.
    pub streams: BTreeMap<u32, String>,
    /// Source span of each origin number in the graph.
    pub origins: Vec<Span>,
}

/// Where `extends` looks for other files.
pub trait Library {
    /// Name and text of the file that a path such as `scvi` means, if there is one.
    fn find(&self, path: &str) -> Option<(String, String)>;
}
