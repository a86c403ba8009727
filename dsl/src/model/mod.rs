//! The model: what a source denotes once names, axes and supports are settled.
//!
//! What is true of a [`Model`] that the checker returns without errors:
//! - every name is resolved, every static `match` and `when` is decided, every net call is expanded (its parameters keep
//!   the path of the net's source, so two calls share them);
//! - every expression has a [`Ty`]: a *set* of axes and a support;
//! - every latent site has exactly one guide treatment with the same plates and support.
//!
//! Expressions live in one arena and share structure: a definition is one node, however often it is read.

mod dist;
mod layer;
mod print;
pub mod ty;
mod word;

pub use dist::{DistExpr, LowRank, Mixture};
pub use layer::{Activation, Attention, ConvBlock, ConvTower, Gcn, Layer, Linear, Weights};
pub use ty::{AxisNo, AxisSet, Ty};
pub use word::{Held, SiteWord};

use crate::compiled::{AxisInfo, OptionInfo, OutputInfo, Slot, TrainSettings};
use crate::primitive::Primitive;
use crate::source::Span;
use autodiff_runtime::{Elem, ReduceKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Handle of an expression.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExprId(pub u32);

/// Position of a field in [`Model::fields`].
pub type FieldNo = usize;
/// Position of a parameter in [`Model::params`].
pub type ParamNo = usize;
/// Position of a statistic in [`Model::stats`].
pub type StatNo = usize;
/// Position of a site in [`Model::sites`].
pub type SiteNo = usize;

/// A typed expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What is computed.
    pub kind: ExprKind,
    /// Axes and support of the value.
    pub ty: Ty,
    /// Its source.
    pub span: Span,
}

/// The kinds of typed expression.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A number.
    Const(f64),
    /// A data field.
    Field(FieldNo),
    /// Whether each value of a field is known; false where it is missing.
    Known(FieldNo),
    /// For each label of an axis its position on the axis that it lies within.
    Within(AxisNo),
    /// The code of a label of a category.
    Label(FieldNo, String),
    /// A value for each label of a labelled axis, in order.
    Stack(AxisNo, Vec<ExprId>),
    /// A parameter, as a value in its support.
    Param(ParamNo),
    /// A statistic of the data.
    Stat(StatNo),
    /// The value of a latent site.
    Site(SiteNo),
    /// An elementwise function.
    Elem(Elem, Vec<ExprId>),
    /// A reduction.
    Reduce {
        /// How elements combine.
        kind: Reduction,
        /// What is reduced.
        arg: ExprId,
        /// Along which axes.
        over: Vec<AxisNo>,
    },
    /// Softmax along an axis.
    Softmax(ExprId, AxisNo),
    /// `base[index]` along an axis.
    Index {
        /// Has the axis.
        base: ExprId,
        /// A category or an index of that axis.
        index: ExprId,
        /// The axis looked up.
        axis: AxisNo,
    },
    /// An operation that the host adds.
    Host(HostCall),
    /// 1 where a category has the label, 0 elsewhere, along the axis of its labels.
    OneHot(ExprId, AxisNo),
    /// A layer with parameters or randomness of its own.
    Layer(Layer),
    /// A value that changes linearly over epochs and then stays.
    Ramp {
        /// Value at epoch 0.
        from: f64,
        /// Value from epoch `epochs` on.
        to: f64,
        /// Length.
        epochs: f64,
    },
    /// The mean of a latent under the guide (or an average of draws, if it has no closed form).
    GuideMean(SiteNo),
    /// The variance of a latent under the guide.
    GuideVar(SiteNo),
    /// An average over draws of the guide: the host repeats the pass.
    Average(ExprId),
    /// The value, with gradients blocked.
    Stop(ExprId),
    /// A mean over rows with a known label; in training these rows are a minibatch of their own.
    OfLabelled(ExprId),
    /// 0, 1, 2, … along an axis.
    Place(AxisNo),
    /// The number of elements of an axis; of the minibatched plate, the rows of this minibatch.
    Size(AxisNo),
    /// The place of the largest element along an axis, as a label of it.
    ArgMax(ExprId, AxisNo),
    /// Every label of an axis, each in its own place.
    Labels(AxisNo),
    /// Whether this is a step of training.
    Training,
    /// An array of a layer, as it is stored.
    Stored(Box<StoredDecl>),
    /// The log density of a distribution at a value, element by element.
    Density(Box<DistExpr>, ExprId),
    /// A value of a `draw` statement: noise that nothing infers.
    Draw(usize),
    /// N/B of the minibatched plate: what makes a sum over the minibatch an estimate of the sum over all rows.
    RowScale,
    /// A quantity of a site, at its value in the guide.
    OfSite(SiteWord, SiteNo),
    /// An expression under interventions.
    Given {
        /// What is computed.
        body: ExprId,
        /// What is held, and at what.
        held: Vec<(Held, ExprId)>,
    },
}

/// An array of a layer.
#[derive(Clone, Debug)]
pub struct StoredDecl {
    /// Its path.
    pub path: String,
    /// Its axes, each with its part.
    pub dims: Vec<(AxisNo, crate::compiled::DimRole)>,
    /// What becomes of it in training.
    pub kind: crate::compiled::VariableKind,
}

/// A call of a host's primitive.
#[derive(Clone)]
pub struct HostCall {
    /// The operation.
    pub primitive: Arc<dyn Primitive>,
    /// Prefix of its parameters.
    pub path: String,
    /// What it takes.
    pub inputs: Vec<ExprId>,
    /// The axis that it runs along.
    pub axis: Option<AxisNo>,
}

impl std::fmt::Debug for HostCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({:?})", self.primitive.name(), self.inputs)
    }
}

/// How a reduction of the language combines elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reduction {
    /// One of the runtime's own.
    Plain(ReduceKind),
    /// Arithmetic mean.
    Mean,
    /// Variance, dividing by n.
    Var,
}

/// A data field.
#[derive(Clone, Debug)]
pub struct FieldDecl {
    /// What must be bound.
    pub slot: Slot,
    /// Axes and support.
    pub ty: Ty,
}

/// A free parameter.
#[derive(Clone, Debug)]
pub struct ParamDecl {
    /// Its name and path.
    pub name: String,
    /// Axes and support.
    pub ty: Ty,
    /// Where it starts, unconstrained.
    pub init: crate::compiled::Init,
    /// The parameter of a loaded model whose value it starts at instead.
    pub from: Option<crate::compiled::Origin>,
    /// Not trained.
    pub frozen: bool,
    /// Its declaration.
    pub span: Span,
}

/// A statistic of the data, computed once over all bound rows.
#[derive(Clone, Debug)]
pub struct StatDecl {
    /// Its name.
    pub name: String,
    /// Its value; reduced over the plate, within each label of `within` if given.
    pub value: ExprId,
    /// A category field whose labels index the statistic.
    pub within: Option<FieldNo>,
    /// Axes and support.
    pub ty: Ty,
}

/// Where a site exists, and what stands for its value elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Cond {
    /// A truth value; the terms of the site are zero where it is false.
    pub holds: ExprId,
    /// The value where it is false; none for a likelihood.
    pub otherwise: Option<ExprId>,
}

/// A site of the model with its treatment in the guide.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// Plates around it, outermost first.
    pub plates: Vec<AxisNo>,
    /// Its own axes.
    pub axes: Vec<AxisNo>,
    /// Its distribution in the model.
    pub prior: DistExpr,
    /// The field, for an observed site.
    pub observed: Option<FieldNo>,
    /// What of the field is observed, if not all of it: an indexed field, or whether it is above zero.
    pub part: Option<ExprId>,
    /// The distribution in the guide, for a latent one. A site with both a field and a guide is partly observed: known
    /// where the field is, drawn elsewhere.
    pub guide: Option<DistExpr>,
    /// How the guide treats it, for a latent one.
    pub treat: Option<Treat>,
    /// The objective takes an observed site as unobserved.
    pub ignored: bool,
    /// Where it exists: `where` in the model.
    pub cond: Option<Cond>,
    /// Where the guide draws it: `where` in the guide.
    pub guide_cond: Option<Cond>,
    /// What multiplies its terms: the weights of its plates.
    pub weight: Option<ExprId>,
    /// The statement in the model.
    pub span: Span,
    /// The statement in the guide.
    pub guide_span: Option<Span>,
}

/// How the guide treats a latent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Treat {
    /// Drawn from [`Site::guide`], or summed over its values if they are finitely many.
    Explicit,
    /// The parameter of that number, at its most probable value.
    Point(ParamNo),
    /// Summed over its values inside the model.
    Marginal,
    /// Drawn from its prior.
    Prior,
    /// Drawn from [`Site::guide`], with a score-function gradient.
    Score,
    /// A continuous relaxation of [`Site::guide`], with its temperature.
    Relaxed(ExprId),
}

/// What kind of term of the bound.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TermKind {
    /// Likelihood of an observed site.
    Lik,
    /// Log prior density at a point estimate.
    Prior,
    /// Divergence of the guide from the prior.
    Kl,
}

impl TermKind {
    /// The word before the parenthesis.
    pub fn word(self) -> &'static str {
        match self {
            TermKind::Lik => "lik",
            TermKind::Prior => "prior",
            TermKind::Kl => "kl",
        }
    }
}

/// A `draw` statement.
#[derive(Clone, Debug)]
pub struct DrawDecl {
    /// Its name.
    pub name: String,
    /// All axes of its value.
    pub axes: AxisSet,
    /// What it is drawn from.
    pub dist: DistExpr,
    /// The statement.
    pub span: Span,
}

/// A `minimize` or `maximize` statement.
#[derive(Clone, Debug)]
pub struct FreeDecl {
    /// Whether it is maximised.
    pub maximised: bool,
    /// A single number.
    pub value: ExprId,
    /// As written.
    pub text: String,
    /// The statement.
    pub span: Span,
}

/// How an `estimate` statement wants a term.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// By its closed form.
    Analytic,
    /// By that many draws.
    Draws(usize),
}

/// An `estimate` statement.
#[derive(Clone, Debug)]
pub struct EstimateDecl {
    /// Which kind of term.
    pub kind: TermKind,
    /// Of which site.
    pub site: SiteNo,
    /// How.
    pub by: Wish,
    /// The statement.
    pub span: Span,
}

/// A `weight … by` statement.
#[derive(Clone, Debug)]
pub struct WeightDecl {
    /// Which kind of term.
    pub kind: TermKind,
    /// Of which site.
    pub site: SiteNo,
    /// The weight: a scalar.
    pub by: ExprId,
    /// The statement.
    pub span: Span,
}

/// What an adversary tells from what it sees.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The label of a category.
    Label(ExprId),
    /// Which of the pooled values it is.
    Place(usize),
}

/// One value that an adversary sees.
#[derive(Clone, Copy, Debug)]
pub struct Contest {
    /// The value.
    pub seen: ExprId,
    /// The scores of its labels by the net; gradients are the model's.
    pub fool: ExprId,
    /// The same of the value with gradients blocked; gradients are the net's.
    pub tell: ExprId,
    /// The truth.
    pub target: Target,
    /// The axis of the labels.
    pub axis: AxisNo,
}

/// A net that tells labels, and a model that hides them.
#[derive(Clone, Debug)]
pub struct AdversaryDecl {
    /// Its name.
    pub name: String,
    /// The net, trained on its own objective.
    pub net: String,
    /// What it sees.
    pub contests: Vec<Contest>,
    /// Weight of both objectives, a scalar schedule; 1 if none.
    pub strength: Option<ExprId>,
    /// Its declaration.
    pub span: Span,
}

/// A declared output.
#[derive(Clone, Debug)]
pub struct OutputDecl {
    /// Name, destination and span.
    pub info: OutputInfo,
    /// Its value.
    pub value: ExprId,
}

/// A checked model. See the module page for what holds.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Axes; an [`AxisNo`] is a position here. Plates first, then axes of the data, of categories, then knobs.
    pub axes: Vec<AxisInfo>,
    /// The plate that is minibatched, if the model has one.
    pub plate: Option<AxisNo>,
    /// Options with the values in force.
    pub options: Vec<OptionInfo>,
    /// Fields that the model reads.
    pub fields: Vec<FieldDecl>,
    /// Parameters that the model reads, other than those of layers.
    pub params: Vec<ParamDecl>,
    /// Nets whose parameters are those of a loaded model, and the net there.
    pub loaded_nets: BTreeMap<String, crate::compiled::Origin>,
    /// Statistics that the model reads.
    pub stats: Vec<StatDecl>,
    /// Sites in source order.
    pub sites: Vec<Site>,
    /// Weights of terms.
    pub weights: Vec<WeightDecl>,
    /// Adversaries in source order.
    pub adversaries: Vec<AdversaryDecl>,
    /// How terms are to be estimated.
    pub estimates: Vec<EstimateDecl>,
    /// Free terms of the objective.
    pub free: Vec<FreeDecl>,
    /// Noise that nothing infers.
    pub draws: Vec<DrawDecl>,
    /// Outputs in source order.
    pub outputs: Vec<OutputDecl>,
    /// Named definitions of the model block, for print-outs and for outputs asked for by name.
    pub definitions: BTreeMap<String, ExprId>,
    /// Training settings.
    pub train: TrainSettings,
    /// All expressions.
    pub exprs: Vec<Expr>,
    /// First lines of comment of the source: its title.
    pub title: String,
}

impl Model {
    /// One expression.
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }

    /// The expressions that an expression reads directly.
    pub fn operands(&self, id: ExprId) -> Vec<ExprId> {
        match &self.expr(id).kind {
            ExprKind::Elem(_, args) => args.clone(),
            ExprKind::Reduce { arg, .. }
            | ExprKind::Softmax(arg, _)
            | ExprKind::ArgMax(arg, _)
            | ExprKind::Average(arg)
            | ExprKind::OneHot(arg, _)
            | ExprKind::OfLabelled(arg)
            | ExprKind::Stop(arg) => {
                vec![*arg]
            }
            ExprKind::Draw(no) => self.draws[*no].dist.reads().collect(),
            ExprKind::Density(dist, at) => dist.reads().chain([*at]).collect(),
            ExprKind::Given { body, held } => {
                std::iter::once(*body).chain(held.iter().map(|h| h.1)).collect()
            }
            ExprKind::Index { base, index, .. } => vec![*base, *index],
            ExprKind::Stack(_, parts) => parts.clone(),
            ExprKind::Layer(layer) => layer.operands(),
            ExprKind::Host(call) => call.inputs.clone(),
            _ => vec![],
        }
    }

    /// Calls `f` on every expression reachable from `roots`, once each.
    pub fn walk(&self, roots: impl IntoIterator<Item = ExprId>, mut f: impl FnMut(ExprId)) {
        let mut seen = vec![false; self.exprs.len()];
        let mut stack: Vec<ExprId> = roots.into_iter().collect();
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut seen[id.0 as usize], true) {
                continue;
            }
            f(id);
            stack.extend(self.operands(id));
        }
    }

    /// Latent sites whose value the expressions read.
    pub fn sites_read(&self, roots: impl IntoIterator<Item = ExprId>) -> Vec<SiteNo> {
        let mut sites = vec![];
        self.walk(roots, |id| {
            if let ExprKind::Site(s) = self.expr(id).kind {
                sites.push(s);
            }
        });
        sites.sort_unstable();
        sites.dedup();
        sites
    }

    /// Every root that keeps an expression alive: sites, guides, weights, statistics; not outputs.
    pub fn roots(&self) -> Vec<ExprId> {
        let dists = self.sites.iter().flat_map(|s| std::iter::once(&s.prior).chain(&s.guide));
        let mut roots: Vec<ExprId> = dists.flat_map(DistExpr::reads).collect();
        roots.extend(self.weights.iter().map(|w| w.by));
        roots.extend(self.free.iter().map(|f| f.value));
        roots.extend(self.sites.iter().filter_map(|s| match s.treat {
            Some(Treat::Relaxed(t)) => Some(t),
            _ => None,
        }));
        for s in &self.sites {
            let conds = s.cond.iter().chain(&s.guide_cond);
            roots.extend(conds.flat_map(|c| std::iter::once(c.holds).chain(c.otherwise)));
            roots.extend(s.weight.iter().chain(&s.part));
        }
        for a in &self.adversaries {
            roots.extend(a.strength);
            for c in &a.contests {
                roots.extend([c.seen, c.fool, c.tell]);
                if let Target::Label(label) = c.target {
                    roots.push(label);
                }
            }
        }
        roots
    }

    /// Whether the site's value is not, or not everywhere, data.
    pub fn is_latent(&self, site: SiteNo) -> bool {
        let s = &self.sites[site];
        s.observed.is_none() || s.guide.is_some()
    }

    /// The site of that name.
    pub fn find_site(&self, name: &str) -> Option<SiteNo> {
        self.sites.iter().position(|s| s.name == name)
    }

    /// The axis of that name.
    pub fn find_axis(&self, name: &str) -> Option<AxisNo> {
        self.axes.iter().position(|a| a.name == name).map(|i| AxisNo(i as u32))
    }

    /// Name of an axis.
    pub fn axis_name(&self, a: AxisNo) -> &str {
        &self.axes[a.0 as usize].name
    }
}
