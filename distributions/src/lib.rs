//! Probability families as graph fragments: one file each, found by name.
//!
//! A [`Family`] says what its parameters are called and where they live, and writes its log density, sampler, moments
//! and closed-form divergences as nodes of an `autodiff_runtime` graph. It never evaluates anything, so one definition
//! serves every back end and both precisions, and its gradients come from the graph.
//!
//! Adding a family: its file in `family/` and one line in [`FAMILIES`].
//!
//! Conventions. Elements are independent unless the family is a *vector* family (Dirichlet, Multinomial, LogisticNormal,
//! Categorical: those have an event axis, which the log density consumes). Everything else stays elementwise: summing
//! over a site's own axes is the caller's. Densities keep the 1e-8 terms that the field's reference implementation
//! has, so that numbers can be compared; each file says where.

pub mod family;
pub mod special;
pub mod support;
pub mod transform;

pub use family::LowRank;
pub use support::Support;

use autodiff_runtime::{Axes, AxisId, Graph, NodeId};

/// One parameter of a family: its name in the language and where its value must lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// As written: `mean`, `inv_dispersion`, …
    pub name: &'static str,
    /// What is accepted. `Real` for logits, though a simplex passed as logits is refused by the checker.
    pub support: Support,
    /// For a vector family: whether the parameter carries the event axis (the total of a Multinomial does not).
    pub has_event_axis: bool,
}

impl Parameter {
    /// An elementwise parameter.
    pub const fn scalar(name: &'static str, support: Support) -> Self {
        Self { name, support, has_event_axis: false }
    }

    /// A parameter along the event axis.
    pub const fn vector(name: &'static str, support: Support) -> Self {
        Self { name, support, has_event_axis: true }
    }
}

/// Randomness of one site: see [`autodiff_runtime::Op::Random`].
#[derive(Clone, Debug)]
pub struct Draw {
    /// First stream number that the sampler may use; it may use up to [`Draw::STREAMS`] from there.
    pub stream: u32,
    /// All axes of the value drawn: plates, own axes and, for a vector family, the event axis. (For a Categorical, whose
    /// value is an index, without the event axis.)
    pub axes: Axes,
    /// Row numbers along the minibatched plate, if the value has that axis.
    pub rows: Option<NodeId>,
}

impl Draw {
    /// Streams reserved for one site.
    pub const STREAMS: u32 = 8;
}

/// A value of a site. A draw of a transformed family also remembers the draw of its base, which densities use: the
/// transform may have no exact inverse (softmax), or one that rounding spoils (a Gamma of small concentration is 0, its
/// logarithm is not). The base of a positive value is its logarithm, of one in the unit interval its logit, of a simplex the
/// logarithm of its parts up to a common shift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The value itself.
    pub value: NodeId,
    /// The value before the family's transform.
    pub base: Option<NodeId>,
}

impl From<NodeId> for Sample {
    fn from(value: NodeId) -> Self {
        Self { value, base: None }
    }
}

/// A family with its parameters: a distribution as a value of the compiler.
#[derive(Clone, Debug)]
pub struct Dist {
    /// Which family.
    pub family: &'static dyn Family,
    /// Which of its [`Family::parameter_sets`].
    pub set: usize,
    /// Parameters in the order of that set.
    pub params: Vec<NodeId>,
    /// The event axis of a vector family.
    pub event: Option<AxisId>,
}

impl Dist {
    /// The event axis of a vector family. Panics for a scalar one, and where the builder forgot it.
    pub fn event_axis(&self) -> AxisId {
        self.event.expect("a distribution of a vector family is built with its event axis")
    }

    /// log density (or log mass) at a value: elementwise over the union of axes; a vector family has consumed its event
    /// axis.
    pub fn log_prob(&self, g: &mut Graph, at: Sample) -> NodeId {
        self.family.log_prob(g, self, at)
    }

    /// A draw; reparameterised (gradients flow to the parameters) if [`Family::reparameterised`].
    pub fn sample(&self, g: &mut Graph, draw: &Draw) -> Sample {
        self.family.sample(g, self, draw)
    }

    /// Mean, where it has a closed form (probabilities, for a Categorical).
    pub fn mean(&self, g: &mut Graph) -> Option<NodeId> {
        self.family.mean(g, self)
    }

    /// Variance, where it has a closed form.
    pub fn variance(&self, g: &mut Graph) -> Option<NodeId> {
        self.family.variance(g, self)
    }

    /// KL(self ‖ other), elementwise (a vector family has consumed its event axis), where a closed form is registered.
    pub fn kl(&self, g: &mut Graph, other: &Dist) -> Option<NodeId> {
        self.family.kl(g, self, other)
    }
}

/// What a family knows about itself.
pub trait Family: Sync + std::fmt::Debug {
    /// Name in the language: `Normal`, `NB`, …
    fn name(&self) -> &'static str;

    /// The complete sets of parameter names; one must be given, sets are never mixed.
    fn parameter_sets(&self) -> &'static [&'static [Parameter]];

    /// Names, in order, of the arguments that may be given by position when every argument is a literal; `None`: none.
    fn positional(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// Where values lie.
    fn support(&self) -> Support;

    /// The parameter that no value exceeds, if there is one: the number of trials of a count of successes.
    fn at_most(&self) -> Option<&'static str> {
        None
    }

    /// Whether the family consumes an event axis.
    fn is_vector(&self) -> bool {
        false
    }

    /// Whether [`Family::sample`] passes gradients to the parameters.
    fn reparameterised(&self) -> bool {
        false
    }

    /// Whether [`Family::log_prob`] is the density of the base of a draw instead of its value, because the transform has
    /// no exact inverse.
    fn density_of_base(&self) -> bool {
        false
    }

    /// Whether the family is [`transform::Bijection::onto`] its support of independent Normals, with a location and a scale
    /// in its first set of parameters and a location and a variance in its second.
    fn pushes_normal(&self) -> bool {
        false
    }

    /// Whether the values are finitely many and known (Categorical, Bernoulli): such a site can be enumerated.
    fn is_enumerable(&self) -> bool {
        false
    }

    /// Whether a closed form of KL(self ‖ other) is registered for the family of that name.
    fn has_kl_to(&self, other: &str) -> bool {
        other == "Delta" && self.name() == "Delta"
    }

    /// See [`Dist::log_prob`].
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId;

    /// See [`Dist::sample`].
    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample;

    /// See [`Dist::mean`].
    fn mean(&self, _g: &mut Graph, _d: &Dist) -> Option<NodeId> {
        None
    }

    /// See [`Dist::variance`].
    fn variance(&self, _g: &mut Graph, _d: &Dist) -> Option<NodeId> {
        None
    }

    /// See [`Dist::kl`].
    fn kl(&self, _g: &mut Graph, _q: &Dist, _p: &Dist) -> Option<NodeId> {
        None
    }
}

/// Every family, in the order of the language reference.
pub static FAMILIES: &[&dyn Family] = &[
    &family::Normal,
    &family::LogisticNormal,
    &family::LogNormal,
    &family::LogitNormal,
    &family::Nb,
    &family::Zinb,
    &family::Poisson,
    &family::Bernoulli,
    &family::Categorical,
    &family::Binomial,
    &family::BetaBinomial,
    &family::Multinomial,
    &family::Beta,
    &family::Gamma,
    &family::Dirichlet,
    &family::Exponential,
    &family::Delta,
];

/// The family of that name.
pub fn find(name: &str) -> Option<&'static dyn Family> {
    FAMILIES.iter().copied().find(|f| f.name() == name)
}
