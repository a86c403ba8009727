//! The closed set of operations. Elementwise ones are rows of one table ([`Elem`]); the others are listed here.

mod derivative;
mod elementwise;

pub(crate) use derivative::derivative_missing;
pub use derivative::elementwise_derivative;
pub use elementwise::{Elem, ZeroRule};

use crate::graph::{Axes, AxisId, InputId, NodeId, VariableId};

/// How a reduction combines elements.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ReduceKind {
    /// Σ.
    Sum,
    /// Π.
    Prod,
    /// Largest element.
    Max,
    /// Smallest element.
    Min,
    /// log Σ exp, computed without overflow.
    LogSumExp,
    /// Position of the first largest element along the one axis reduced; the result is an index.
    ArgMax,
}

/// What a random node draws. Parameters are operands, aligned by axis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RandomKind {
    /// Uniform on the open interval (0, 1). No operands.
    Uniform,
    /// Standard normal. No operands.
    Normal,
    /// Logarithm of a Gamma with rate 1: small concentrations neither underflow nor lose their gradient. Operand:
    /// concentration. Differentiable in it, by implicit reparameterisation ([`Elem::LogGammaSampleGrad`]).
    LogGamma,
    /// Poisson. Operand: rate, at most 1e8 (larger rates are clamped).
    Poisson,
    /// Binomial. Operands: total, probability.
    Binomial,
    /// Multinomial counts along the axis. Operands: total (without the axis), probabilities (with it; normalised here).
    Multinomial(AxisId),
}

/// An operation on earlier nodes. Shapes are sets of axes; "∪" unites them.
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// Data of this run.
    Input(InputId),
    /// The value a variable has before this run.
    Variable(VariableId),
    /// One number.
    Const(f64),
    /// 0, 1, 2, … along an axis, as an index.
    Iota(AxisId),
    /// Elementwise function; axes = ∪ of the operands' axes.
    Elem(Elem, Vec<NodeId>),
    /// An index as a real number.
    ToReal(NodeId),
    /// Reduction; axes = operand's axes − `over`.
    Reduce {
        /// How elements combine.
        kind: ReduceKind,
        /// What is reduced.
        input: NodeId,
        /// Along which axes; all present in the operand.
        over: Axes,
    },
    /// Σ over `over` of a·b: any product of matrices, batched or not. Axes = (a ∪ b) − `over`. An axis of `over` may be
    /// absent from one operand, not from both.
    Contract {
        /// Left factor.
        a: NodeId,
        /// Right factor.
        b: NodeId,
        /// Summed axes.
        over: Axes,
    },
    /// `table` at `index` along `axis`; axes = (table − axis) ∪ index. An axis shared by the rest of the table and the
    /// index is aligned (a row-wise lookup).
    Gather {
        /// Has `axis`.
        table: NodeId,
        /// An index smaller than the size of `axis`.
        index: NodeId,
        /// Looked up and replaced.
        axis: AxisId,
    },
    /// Adjoint of [`Op::Gather`]: adds `values` into zeros at `index` along the new `axis`; axes =
    /// (values − index's axes that are not in `keep`) ∪ axis.
    ScatterAdd {
        /// Added.
        values: NodeId,
        /// Where along `axis`.
        index: NodeId,
        /// The new axis.
        axis: AxisId,
        /// Axes of the index that the result keeps (those the table had).
        keep: Axes,
    },
    /// The same values under another axis of the same size; `to` is absent from the operand.
    Rename {
        /// Operand.
        input: NodeId,
        /// Present in the operand.
        from: AxisId,
        /// Takes its place.
        to: AxisId,
    },
    /// The operand repeated along the axes it lacks; axes = the given superset.
    Broadcast {
        /// Operand.
        input: NodeId,
        /// All axes of the result.
        axes: Axes,
    },
    /// A draw. Each element is a function of (seed, step, `stream`, row, position on the node's axes other than the
    /// row's axis), so neither the order of work nor the batch layout can change it.
    Random {
        /// Which distribution.
        kind: RandomKind,
        /// Its parameters.
        params: Vec<NodeId>,
        /// Number of the site: distinct for independent draws.
        stream: u32,
        /// All axes of the result.
        axes: Axes,
        /// Global row numbers along one axis of `axes` (an index over that axis alone); None: no axis is a minibatch.
        rows: Option<NodeId>,
    },
    /// The operand, through which no gradient flows.
    Stop(NodeId),
}

impl Op {
    /// The nodes this operation reads, in a fixed order.
    pub fn operands(&self) -> Vec<NodeId> {
        match self {
            Op::Input(_) | Op::Variable(_) | Op::Const(_) | Op::Iota(_) => vec![],
            Op::Elem(_, args) => args.clone(),
            Op::ToReal(x) | Op::Stop(x) => vec![*x],
            Op::Reduce { input, .. } | Op::Rename { input, .. } | Op::Broadcast { input, .. } => vec![*input],
            Op::Contract { a, b, .. } => vec![*a, *b],
            Op::Gather { table, index, .. } => vec![*table, *index],
            Op::ScatterAdd { values, index, .. } => vec![*values, *index],
            Op::Random { params, rows, .. } => params.iter().copied().chain(*rows).collect(),
        }
    }

    /// The same operation on other operands, given in the order of [`Op::operands`].
    pub fn map_operands(&self, mut f: impl FnMut(NodeId) -> NodeId) -> Op {
        let mut op = self.clone();
        match &mut op {
            Op::Input(_) | Op::Variable(_) | Op::Const(_) | Op::Iota(_) => {}
            Op::Elem(_, args) => args.iter_mut().for_each(|a| *a = f(*a)),
            Op::ToReal(x) | Op::Stop(x) => *x = f(*x),
            Op::Reduce { input, .. } | Op::Rename { input, .. } | Op::Broadcast { input, .. } => {
                *input = f(*input)
            }
            Op::Contract { a, b, .. } => {
                *a = f(*a);
                *b = f(*b);
            }
            Op::Gather { table, index, .. } => {
                *table = f(*table);
                *index = f(*index);
            }
            Op::ScatterAdd { values, index, .. } => {
                *values = f(*values);
                *index = f(*index);
            }
            Op::Random { params, rows, .. } => {
                params.iter_mut().for_each(|p| *p = f(*p));
                if let Some(r) = rows {
                    *r = f(*r);
                }
            }
        }
        op
    }
}
