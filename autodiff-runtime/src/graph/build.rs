//! The builder: every call adds one node and infers its axes. It is total; a misuse is found by `verify`.

use super::{
    Axes, Axis, AxisId, Dtype, Graph, InputDecl, InputId, Node, NodeId, Origin, Storage, VariableDecl,
    VariableId,
};
use crate::op::{Elem, Op, RandomKind, ReduceKind};

impl Graph {
    /// Adds an axis. Order matters: see [`AxisId`].
    pub fn add_axis(&mut self, name: impl Into<String>, size: usize) -> AxisId {
        self.axes.push(Axis { name: name.into(), size });
        AxisId(self.axes.len() as u32 - 1)
    }

    /// From now on new nodes carry this origin.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// The origin that new nodes carry.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Declares an input and gives its handle.
    pub fn declare_input(
        &mut self,
        name: impl Into<String>,
        axes: impl Into<Axes>,
        dtype: Dtype,
        storage: Storage,
    ) -> InputId {
        self.inputs.push(InputDecl { name: name.into(), axes: axes.into(), dtype, storage });
        InputId(self.inputs.len() as u32 - 1)
    }

    /// Declares a dense real input and gives its value.
    pub fn input(&mut self, name: impl Into<String>, axes: impl Into<Axes>) -> NodeId {
        let id = self.declare_input(name, axes, Dtype::Real, Storage::Dense);
        self.read_input(id)
    }

    /// Declares an index input and gives its value.
    pub fn index_input(&mut self, name: impl Into<String>, axes: impl Into<Axes>) -> NodeId {
        let id = self.declare_input(name, axes, Dtype::Index, Storage::Dense);
        self.read_input(id)
    }

    /// The value of a declared input.
    pub fn read_input(&mut self, id: InputId) -> NodeId {
        self.push(Op::Input(id))
    }

    /// Declares a variable and gives its handle.
    pub fn declare_variable(&mut self, name: impl Into<String>, axes: impl Into<Axes>) -> VariableId {
        self.variables.push(VariableDecl { name: name.into(), axes: axes.into() });
        VariableId(self.variables.len() as u32 - 1)
    }

    /// The value of a variable before the run.
    pub fn read_variable(&mut self, id: VariableId) -> NodeId {
        self.push(Op::Variable(id))
    }

    /// Declares that after the run the variable holds `value`.
    pub fn assign(&mut self, variable: VariableId, value: NodeId) {
        self.updates.push((variable, value));
    }

    /// Declares a named result.
    pub fn output(&mut self, name: impl Into<String>, value: NodeId) {
        self.outputs.push((name.into(), value));
    }

    /// Replaces the lists of results and updates (a rewrite that renumbers nodes does this).
    pub fn set_roots(&mut self, outputs: Vec<(String, NodeId)>, updates: Vec<(VariableId, NodeId)>) {
        self.outputs = outputs;
        self.updates = updates;
    }

    /// A graph with the same axes, inputs and variables and no nodes: where a rewrite copies to.
    pub fn empty_like(&self) -> Graph {
        Graph { nodes: vec![], outputs: vec![], updates: vec![], ..self.clone() }
    }

    /// Adds a node for any operation; the named methods below read better.
    pub fn push(&mut self, op: Op) -> NodeId {
        let (axes, dtype) = self.infer(&op);
        self.nodes.push(Node { op, axes, dtype, origin: self.origin });
        NodeId(self.nodes.len() as u32 - 1)
    }

    fn infer(&self, op: &Op) -> (Axes, Dtype) {
        let of = |id: &NodeId| self.axes_of(*id).clone();
        let real = |axes| (axes, Dtype::Real);
        match op {
            Op::Input(id) => (self.inputs[id.index()].axes.clone(), self.inputs[id.index()].dtype),
            Op::Variable(id) => real(self.variables[id.index()].axes.clone()),
            Op::Const(_) => real(Axes::none()),
            Op::Iota(axis) => (Axes::from(*axis), Dtype::Index),
            Op::Elem(_, args) => real(args.iter().fold(Axes::none(), |u, a| u.union(self.axes_of(*a)))),
            Op::ToReal(x) => real(of(x)),
            Op::Stop(x) => (of(x), self.node(*x).dtype),
            Op::Reduce { kind: ReduceKind::ArgMax, input, over } => (of(input).minus(over), Dtype::Index),
            Op::Reduce { input, over, .. } => real(of(input).minus(over)),
            Op::Contract { a, b, over } => real(of(a).union(&of(b)).minus(over)),
            Op::Gather { table, index, axis } => {
                (of(table).without(*axis).union(&of(index)), self.node(*table).dtype)
            }
            Op::ScatterAdd { values, index, axis, keep } => {
                real(of(values).minus(&of(index).minus(keep)).with(*axis))
            }
            Op::Rename { input, from, to } => (of(input).without(*from).with(*to), self.node(*input).dtype),
            Op::Broadcast { input, axes } => (axes.clone(), self.node(*input).dtype),
            Op::Random { axes, .. } => real(axes.clone()),
        }
    }

    /// A scalar constant.
    pub fn constant(&mut self, value: f64) -> NodeId {
        self.push(Op::Const(value))
    }

    /// Positions along an axis, as an index.
    pub fn iota(&mut self, axis: AxisId) -> NodeId {
        self.push(Op::Iota(axis))
    }

    /// An elementwise function of one operand.
    pub fn unary(&mut self, elem: Elem, x: NodeId) -> NodeId {
        self.push(Op::Elem(elem, vec![x]))
    }

    /// An elementwise function of two operands.
    pub fn binary(&mut self, elem: Elem, a: NodeId, b: NodeId) -> NodeId {
        self.push(Op::Elem(elem, vec![a, b]))
    }

    /// `yes` where `cond` is non-zero, else `no`.
    pub fn select(&mut self, cond: NodeId, yes: NodeId, no: NodeId) -> NodeId {
        self.push(Op::Elem(Elem::Select, vec![cond, yes, no]))
    }

    /// x + c.
    pub fn add_const(&mut self, x: NodeId, c: f64) -> NodeId {
        let c = self.constant(c);
        self.add(x, c)
    }

    /// x · c.
    pub fn mul_const(&mut self, x: NodeId, c: f64) -> NodeId {
        let c = self.constant(c);
        self.mul(x, c)
    }

    /// An index as a real number.
    pub fn to_real(&mut self, x: NodeId) -> NodeId {
        self.push(Op::ToReal(x))
    }

    /// Reduction along some axes.
    pub fn reduce(&mut self, kind: ReduceKind, input: NodeId, over: impl Into<Axes>) -> NodeId {
        self.push(Op::Reduce { kind, input, over: over.into() })
    }

    /// Sum along some axes.
    pub fn sum(&mut self, input: NodeId, over: impl Into<Axes>) -> NodeId {
        self.reduce(ReduceKind::Sum, input, over)
    }

    /// Mean along some axes.
    pub fn mean(&mut self, input: NodeId, over: impl Into<Axes>) -> NodeId {
        let over = over.into();
        let n = self.n_elements(&over) as f64;
        let s = self.sum(input, over);
        self.mul_const(s, 1.0 / n)
    }

    /// log Σ exp along some axes.
    pub fn logsumexp(&mut self, input: NodeId, over: impl Into<Axes>) -> NodeId {
        self.reduce(ReduceKind::LogSumExp, input, over)
    }

    /// x − log Σ exp x along some axes.
    pub fn log_softmax(&mut self, x: NodeId, over: impl Into<Axes>) -> NodeId {
        let l = self.logsumexp(x, over);
        self.sub(x, l)
    }

    /// exp(x) / Σ exp(x) along some axes, without overflow.
    pub fn softmax(&mut self, x: NodeId, over: impl Into<Axes>) -> NodeId {
        let l = self.log_softmax(x, over);
        self.exp(l)
    }

    /// Σ over `over` of a·b.
    pub fn contract(&mut self, a: NodeId, b: NodeId, over: impl Into<Axes>) -> NodeId {
        self.push(Op::Contract { a, b, over: over.into() })
    }

    /// `table` at `index` along `axis`.
    pub fn gather(&mut self, table: NodeId, index: NodeId, axis: AxisId) -> NodeId {
        self.push(Op::Gather { table, index, axis })
    }

    /// The same values under another axis of equal size.
    pub fn rename(&mut self, input: NodeId, from: AxisId, to: AxisId) -> NodeId {
        self.push(Op::Rename { input, from, to })
    }

    /// The operand repeated along the axes that it lacks of `axes` (a superset of its own).
    pub fn broadcast(&mut self, input: NodeId, axes: &Axes) -> NodeId {
        if self.axes_of(input) == axes {
            input
        } else {
            self.push(Op::Broadcast { input, axes: axes.clone() })
        }
    }

    /// A draw without row numbers or with them: see [`Op::Random`].
    pub fn random(
        &mut self,
        kind: RandomKind,
        params: &[NodeId],
        stream: u32,
        axes: impl Into<Axes>,
        rows: Option<NodeId>,
    ) -> NodeId {
        self.push(Op::Random { kind, params: params.to_vec(), stream, axes: axes.into(), rows })
    }

    /// The value, as a constant to the gradient.
    pub fn stop(&mut self, x: NodeId) -> NodeId {
        self.push(Op::Stop(x))
    }
}

macro_rules! shorthands {
    ($($(#[$doc:meta])* $name:ident ( $($arg:ident),+ ) = $elem:ident;)*) => {
        impl Graph {
            $($(#[$doc])*
            pub fn $name(&mut self, $($arg: NodeId),+) -> NodeId {
                self.push(Op::Elem(Elem::$elem, vec![$($arg),+]))
            })*
        }
    };
}

shorthands! {
    /// −x.
    neg(x) = Neg;
    /// 1/x.
    recip(x) = Recip;
    /// eˣ.
    exp(x) = Exp;
    /// Natural logarithm.
    log(x) = Log;
    /// log(1 + x).
    log1p(x) = Log1p;
    /// √x.
    sqrt(x) = Sqrt;
    /// x².
    square(x) = Square;
    /// 1/(1 + e⁻ˣ).
    sigmoid(x) = Sigmoid;
    /// log(1 + eˣ).
    softplus(x) = Softplus;
    /// log Γ(x).
    lgamma(x) = Lgamma;
    /// ψ(x).
    digamma(x) = Digamma;
    /// a + b.
    add(a, b) = Add;
    /// a − b.
    sub(a, b) = Sub;
    /// a · b.
    mul(a, b) = Mul;
    /// a / b.
    div(a, b) = Div;
    /// a · log b, 0 where a is 0.
    xlogy(a, b) = XLogY;
    /// log Γ(a + x) − log Γ(a).
    lgamma_delta(x, a) = LgammaDelta;
}
