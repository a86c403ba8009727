//! Operations that a host adds to the language: built from the runtime's own, so that every back end runs them.

use crate::compiled::Init;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Sources;
use crate::{syntax, types};
use autodiff_runtime::{Axes, AxisId, Graph, NodeId};
use distributions::Support;
use std::fmt;
use std::sync::Arc;

/// What becomes of the axes of the inputs, which are aligned by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Each element on its own: `f(x, y)` has the axes of both.
    Elementwise,
    /// One number from all elements along an axis: `f(x over gene)` loses the axis.
    Reduces,
    /// All elements along an axis from all of them: `f(x over gene)` keeps the axis.
    Along,
}

/// Where a primitive writes its nodes.
pub trait Builder {
    /// The graph.
    fn graph(&mut self) -> &mut Graph;

    /// A learned array over axes of the inputs, named `<path>.<name>`, where the path is that of the call
    /// (`decoder.h.smooth`). Only for a primitive with [`Primitive::has_parameters`].
    fn parameter(&mut self, name: &str, axes: &[AxisId], init: Init) -> NodeId;

    /// Whether the graph is for a training step; else it evaluates.
    fn training(&self) -> bool;
}

/// An operation of the language in a host's own words.
///
/// Its value is a fragment of graph, which the compiler differentiates; a primitive that knows better gives
/// [`Primitive::slopes`]. An element of the value must not depend on other rows of the minibatch.
///
/// ```
/// use dsl::primitive::{Builder, Primitive, Primitives};
/// use autodiff_runtime::{AxisId, NodeId};
/// use std::sync::Arc;
///
/// /// √(x² + 1) − 1: near x² / 2 for small x, near |x| for large.
/// struct PseudoHuber;
///
/// impl Primitive for PseudoHuber {
///     fn name(&self) -> &str {
///         "pseudo_huber"
///     }
///     fn value(&self, b: &mut dyn Builder, inputs: &[NodeId], _: Option<AxisId>) -> NodeId {
///         let g = b.graph();
///         let square = g.square(inputs[0]);
///         let more = g.add_const(square, 1.0);
///         let root = g.sqrt(more);
///         g.add_const(root, -1.0)
///     }
/// }
/// let primitives = Primitives::default().with(Arc::new(PseudoHuber)).expect("a fresh name");
/// assert!(primitives.with(Arc::new(PseudoHuber)).is_err(), "not twice");
/// ```
pub trait Primitive: Send + Sync {
    /// What it is called in a source.
    fn name(&self) -> &str;

    /// Number of inputs, which are given by position.
    fn n_inputs(&self) -> usize {
        1
    }

    /// What becomes of the inputs' axes.
    fn form(&self) -> Form {
        Form::Elementwise
    }

    /// Where an input must lie; E0401 elsewhere.
    fn accepts(&self, _input: usize) -> Support {
        Support::Real
    }

    /// Where the value lies.
    fn support(&self) -> Support {
        Support::Real
    }

    /// Whether it learns: such a primitive stands only inside a `net`, as layers do.
    fn has_parameters(&self) -> bool {
        false
    }

    /// The value, over no axes but those of the inputs (without `axis` where it [`Form::Reduces`]; fewer are repeated).
    /// `axis` is given unless it is [`Form::Elementwise`].
    fn value(&self, b: &mut dyn Builder, inputs: &[NodeId], axis: Option<AxisId>) -> NodeId;

    /// The derivative of each element of the value in each input's element at its place, over no axes but those of the
    /// inputs; `None`: what differentiating [`Primitive::value`] gives. Asked unless it runs [`Form::Along`] an axis.
    fn slopes(
        &self,
        _b: &mut dyn Builder,
        _inputs: &[NodeId],
        _axis: Option<AxisId>,
        _value: NodeId,
    ) -> Option<Vec<NodeId>> {
        None
    }
}

/// The primitives that a host has registered. A source's own nets and functions come before them.
#[derive(Clone, Default)]
pub struct Primitives(Vec<Arc<dyn Primitive>>);

impl Primitives {
    /// One more.
    ///
    /// # Errors
    /// E0103 for a name that no source can call, E0202 for one that means something already, E0716 for one that uses axes
    /// it must not.
    pub fn with(mut self, primitive: Arc<dyn Primitive>) -> Result<Self, Box<Diagnostic>> {
        let name = primitive.name();
        let mut sources = Sources::new();
        let file = sources.add("primitive", format!("fn {name}(x) = x"));
        let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !is_name || !syntax::parse(file, sources.text(file)).1.is_empty() {
            let what = format!("`{name}` cannot be the name of a primitive");
            return Err(Box::new(
                Diagnostic::new(Code::E0103, what).help("a name that is no word of the language"),
            ));
        }
        if types::is_builtin(name) || self.find(name).is_some() {
            return Err(Box::new(Diagnostic::new(
                Code::E0202,
                format!("a primitive `{name}` exists already"),
            )));
        }
        try_out(primitive.as_ref())?;
        self.0.push(primitive);
        Ok(self)
    }

    /// The one of that name.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn Primitive>> {
        self.0.iter().find(|p| p.name() == name)
    }

    /// Their names, in order of registration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|p| p.name())
    }
}

impl fmt::Debug for Primitives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Equal if they have the same names.
impl PartialEq for Primitives {
    fn eq(&self, other: &Self) -> bool {
        self.names().eq(other.names())
    }
}

impl Eq for Primitives {}

/// The value of a primitive, with its own slopes where it has them, over exactly the axes that its form gives.
///
/// Slopes d enter as v + Σ d · (x − x), in which v, d and the second x pass no gradient: the value is v, its derivative d.
pub(crate) fn apply(
    p: &dyn Primitive,
    b: &mut dyn Builder,
    inputs: &[NodeId],
    axis: Option<AxisId>,
) -> NodeId {
    let mut value = p.value(b, inputs, axis);
    let all = inputs.iter().fold(Axes::none(), |u, x| u.union(b.graph().axes_of(*x)));
    let axes = match (p.form(), axis) {
        (Form::Reduces, Some(a)) => all.without(a),
        _ => all,
    };
    if p.form() != Form::Along
        && let Some(slopes) = p.slopes(b, inputs, axis, value)
    {
        let g = b.graph();
        value = g.stop(value);
        for (x, slope) in inputs.iter().zip(slopes) {
            let (held, slope) = (g.stop(*x), g.stop(slope));
            let change = g.sub(*x, held);
            let mut part = g.mul(slope, change);
            if let Some(a) = axis.filter(|a| g.axes_of(part).contains(*a)) {
                part = g.sum(part, a);
            }
            value = g.add(value, part);
        }
    }
    b.graph().broadcast(value, &axes)
}

/// A builder on a graph of its own.
struct Trial(Graph);

impl Builder for Trial {
    fn graph(&mut self) -> &mut Graph {
        &mut self.0
    }

    fn parameter(&mut self, name: &str, axes: &[AxisId], _init: Init) -> NodeId {
        let id = match self.0.find_variable(name) {
            Some(id) => id,
            None => self.0.declare_variable(name, Axes::new(axes.iter().copied())),
        };
        self.0.read_variable(id)
    }

    fn training(&self) -> bool {
        true
    }
}

/// Builds it once and looks at what came out.
fn try_out(p: &dyn Primitive) -> Result<(), Box<Diagnostic>> {
    let mut trial = Trial(Graph::new());
    let row = trial.0.add_axis("row", 3);
    let axis = trial.0.add_axis("axis", 4);
    let inputs: Vec<NodeId> =
        (0..p.n_inputs()).map(|i| trial.0.input(format!("x{i}"), Axes::from([row, axis]))).collect();
    let axis = (p.form() != Form::Elementwise).then_some(axis);
    let value = apply(p, &mut trial, &inputs, axis);
    trial.0.output("value", value);
    let bad = |what: String| {
        let what = format!("the primitive `{}` cannot be used: {what}", p.name());
        Err(Box::new(Diagnostic::new(Code::E0716, what)))
    };
    match trial.0.verify() {
        Ok(_) => Ok(()),
        Err(errors) => bad(errors.first().map(ToString::to_string).unwrap_or_default()),
    }
}
