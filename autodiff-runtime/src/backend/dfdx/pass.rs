//! One walk over a graph: every live node in turn becomes dfdx tensors, then the tape is played back.

use super::draws::Site;
use super::elementwise::elementwise;
use super::feeds::{self, Fed, widen};
use super::layout;
use super::recorder::{Part, Picks, Real, Recorder, Scalar, rounded};
use super::structure::{self, Laid};
use crate::graph::{Axes, AxisId, Dtype, Graph, NodeId, VariableId};
use crate::op::{Elem, Op, RandomKind, ReduceKind};
use crate::random::SiteKey;
use crate::special;
use crate::store::{Feed, RunError, StepKey, Variables};
use dfdx::tensor::Cpu;
use dfdx::tensor_ops::Device;
use std::collections::BTreeMap;

/// The value of a node.
#[derive(Clone, Debug)]
pub(super) enum Value<E: Scalar> {
    /// Real numbers.
    Real(Real<E>),
    /// Indices.
    Index(Vec<u32>),
}

/// What a pass reads.
pub(super) struct Source<'a, E: Scalar> {
    /// The graph.
    pub(super) graph: &'a Graph,
    /// Variables before the run.
    pub(super) variables: &'a Variables<E>,
    /// Data of the run.
    pub(super) feeds: &'a [Feed<'a, E>],
    /// Its randomness.
    pub(super) key: StepKey,
}

/// A walk in progress.
pub(super) struct Pass<'a, E: Scalar> {
    source: Source<'a, E>,
    recorder: Recorder<'a, E>,
    values: Vec<Option<Value<E>>>,
    /// One tensor per variable, however often it is read: its gradient is the sum over the reads.
    leaves: BTreeMap<usize, Real<E>>,
}

impl<'a, E: Scalar> Pass<'a, E>
where
    Cpu: Device<E>,
{
    /// Computes the `live` nodes and records those that are `taped`.
    pub(super) fn forward(
        source: Source<'a, E>,
        live: &[bool],
        taped: &[bool],
        picks: &'a mut Picks,
    ) -> Result<Self, RunError> {
        let values = vec![None; source.graph.nodes().len()];
        let mut pass = Self { source, recorder: Recorder::new(picks), values, leaves: BTreeMap::new() };
        for id in pass.source.graph.node_ids().filter(|id| live[id.index()]) {
            pass.recorder.set_recording(taped[id.index()]);
            let value = pass.node(id)?;
            pass.values[id.index()] = Some(value);
        }
        Ok(pass)
    }

    /// The elements of a computed node; indices as real numbers.
    pub(super) fn elements(&self, id: NodeId) -> Result<Vec<E>, RunError> {
        Ok(match self.value(id)? {
            Value::Real(x) => x.to_vec(),
            Value::Index(i) => i.iter().map(|i| rounded(f64::from(*i))).collect(),
        })
    }

    /// Gradients of the computed scalar `loss`, zero in a variable that it does not read.
    pub(super) fn gradients(self, loss: NodeId, wrt: &[VariableId]) -> Result<Vec<Vec<E>>, RunError> {
        let loss = self.real(loss)?;
        let read: Vec<VariableId> =
            wrt.iter().copied().filter(|v| self.leaves.contains_key(&v.index())).collect();
        let leaves: Vec<Real<E>> = read.iter().map(|v| self.leaves[&v.index()].clone()).collect();
        let g = self.source.graph;
        let found: BTreeMap<VariableId, Vec<E>> =
            read.into_iter().zip(self.recorder.backward(&loss, &leaves)?).collect();
        let zeros = |v: &VariableId| vec![E::default(); g.n_elements(&g.variables()[v.index()].axes)];
        Ok(wrt.iter().map(|v| found.get(v).cloned().unwrap_or_else(|| zeros(v))).collect())
    }

    fn value(&self, id: NodeId) -> Result<&Value<E>, RunError> {
        self.values[id.index()]
            .as_ref()
            .ok_or_else(|| RunError::Unsupported(format!("node {} was not computed", id.index())))
    }

    fn real(&self, id: NodeId) -> Result<Real<E>, RunError> {
        match self.value(id)? {
            Value::Real(x) => Ok(x.clone()),
            Value::Index(_) => Err(RunError::Unsupported(format!("node {} holds indices", id.index()))),
        }
    }

    fn index(&self, id: NodeId) -> Result<&[u32], RunError> {
        match self.value(id)? {
            Value::Index(x) => Ok(x),
            Value::Real(_) => Err(RunError::Unsupported(format!("node {} holds reals", id.index()))),
        }
    }

    fn axes(&self, id: NodeId) -> &'a Axes {
        self.source.graph.axes_of(id)
    }

    /// A real operand repeated over a superset of its axes.
    fn spread(&mut self, id: NodeId, to: &Axes) -> Result<Real<E>, RunError> {
        let (x, from) = (self.real(id)?, self.axes(id));
        self.recorder.bring(self.source.graph, &x, from.as_slice(), to.as_slice())
    }

    /// An index operand repeated over a superset of its axes.
    fn spread_index(&self, id: NodeId, to: &Axes) -> Result<Vec<u32>, RunError> {
        let index = self.index(id)?;
        let positions = layout::offsets(self.source.graph, self.axes(id).as_slice(), to.as_slice());
        Ok(positions.into_iter().map(|p| index[p]).collect())
    }

    fn node(&mut self, id: NodeId) -> Result<Value<E>, RunError> {
        let g = self.source.graph;
        let node = g.node(id);
        let real = match &node.op {
            Op::Input(input) => return self.input(input.index()),
            Op::Variable(v) => self.variable(v.index())?,
            Op::Const(c) => self.recorder.constant(vec![rounded(*c)])?,
            Op::Iota(axis) => return Ok(Value::Index((0..g.size(*axis) as u32).collect())),
            Op::Elem(e, args) => self.elem(*e, args, &node.axes)?,
            Op::ToReal(x) => {
                let values = self.index(*x)?.iter().map(|i| rounded(f64::from(*i))).collect();
                self.recorder.constant(values)?
            }
            Op::Stop(x) => match self.value(*x)?.clone() {
                Value::Real(x) => self.recorder.constant(x.to_vec())?,
                index @ Value::Index(_) => return Ok(index),
            },
            Op::Reduce { kind: ReduceKind::ArgMax, input, over } => {
                let laid = Laid { value: &self.real(*input)?, axes: self.axes(*input) };
                return structure::argmax(&mut self.recorder, g, &laid, over).map(Value::Index);
            }
            Op::Reduce { kind, input, over } => {
                let laid = Laid { value: &self.real(*input)?, axes: self.axes(*input) };
                structure::reduce(&mut self.recorder, g, *kind, &laid, over)?
            }
            Op::Contract { a, b, over } => {
                let left = Laid { value: &self.real(*a)?, axes: self.axes(*a) };
                let right = Laid { value: &self.real(*b)?, axes: self.axes(*b) };
                structure::contract(&mut self.recorder, g, &left, &right, over)?
            }
            Op::Gather { table, index, axis } => return self.gather(id, *table, *index, *axis),
            Op::ScatterAdd { values, index, axis, .. } => self.scatter(id, *values, *index, *axis)?,
            Op::Rename { input, from, to } => return self.rename(id, *input, *from, *to),
            Op::Broadcast { input, axes } => return self.relay(*input, self.axes(*input).as_slice(), axes),
            Op::Random { kind, params, stream, rows, .. } => {
                self.random(id, *kind, params, *stream, *rows)?
            }
        };
        Ok(Value::Real(real))
    }

    fn input(&mut self, i: usize) -> Result<Value<E>, RunError> {
        Ok(match feeds::feed(self.source.graph, self.source.feeds, i)? {
            Fed::Real(values) => Value::Real(self.recorder.constant(values)?),
            Fed::Index(index) => Value::Index(index),
        })
    }

    fn variable(&mut self, i: usize) -> Result<Real<E>, RunError> {
        if let Some(leaf) = self.leaves.get(&i) {
            return Ok(leaf.clone());
        }
        let leaf = self.recorder.constant(feeds::variable(self.source.graph, self.source.variables, i)?)?;
        self.leaves.insert(i, leaf.clone());
        Ok(leaf)
    }

    fn elem(&mut self, e: Elem, args: &[NodeId], axes: &Axes) -> Result<Real<E>, RunError> {
        if e == Elem::Eq && self.source.graph.node(args[0]).dtype == Dtype::Index {
            // Compared as integers: a large one is not exact in f32.
            let (a, b) = (self.spread_index(args[0], axes)?, self.spread_index(args[1], axes)?);
            let equal = a.iter().zip(&b).map(|(a, b)| rounded(f64::from(u8::from(a == b)))).collect();
            return self.recorder.constant(equal);
        }
        let exponent = match args.get(1).map(|b| &self.source.graph.node(*b).op) {
            Some(Op::Const(c)) => Some(*c),
            _ => None,
        };
        let operands = args.iter().map(|a| self.spread(*a, axes)).collect::<Result<Vec<_>, _>>()?;
        elementwise(&mut self.recorder, e, &operands, exponent)
    }

    /// A value of either kind, over `from`, brought to other axes.
    fn relay(&mut self, id: NodeId, from: &[AxisId], to: &Axes) -> Result<Value<E>, RunError> {
        let g = self.source.graph;
        match self.value(id)?.clone() {
            Value::Real(x) => self.recorder.bring(g, &x, from, to.as_slice()).map(Value::Real),
            Value::Index(x) => {
                let positions = layout::offsets(g, from, to.as_slice());
                Ok(Value::Index(positions.into_iter().map(|p| x[p]).collect()))
            }
        }
    }

    fn rename(&mut self, id: NodeId, input: NodeId, from: AxisId, to: AxisId) -> Result<Value<E>, RunError> {
        let order: Vec<AxisId> = self.axes(input).iter().map(|a| if a == from { to } else { a }).collect();
        self.relay(input, &order, self.axes(id))
    }

    fn gather(
        &mut self,
        id: NodeId,
        table: NodeId,
        index: NodeId,
        axis: AxisId,
    ) -> Result<Value<E>, RunError> {
        let g = self.source.graph;
        let (out, from) = (self.axes(id), self.axes(table).as_slice());
        feeds::check_range(g, index, self.index(index)?, g.size(axis))?;
        let mut positions = layout::offsets(g, from, out.as_slice());
        let step = layout::stride(g, from, axis);
        for (p, i) in positions.iter_mut().zip(self.spread_index(index, out)?) {
            *p += i as usize * step;
        }
        match self.value(table)?.clone() {
            Value::Real(x) => self.recorder.pick(&x, positions).map(Value::Real),
            Value::Index(x) => Ok(Value::Index(positions.into_iter().map(|p| x[p]).collect())),
        }
    }

    fn scatter(
        &mut self,
        id: NodeId,
        values: NodeId,
        index: NodeId,
        axis: AxisId,
    ) -> Result<Real<E>, RunError> {
        let g = self.source.graph;
        let (out, from) = (self.axes(id).as_slice(), self.axes(values).union(self.axes(index)));
        feeds::check_range(g, index, self.index(index)?, g.size(axis))?;
        let mut positions = layout::offsets(g, out, from.as_slice());
        let step = layout::stride(g, out, axis);
        for (p, i) in positions.iter_mut().zip(self.spread_index(index, &from)?) {
            *p += i as usize * step;
        }
        let added = self.spread(values, &from)?;
        self.recorder.scatter_add(&added, positions, layout::n_elements(g, out))
    }

    fn random(
        &mut self,
        id: NodeId,
        kind: RandomKind,
        params: &[NodeId],
        stream: u32,
        rows: Option<NodeId>,
    ) -> Result<Real<E>, RunError> {
        let axes = self.axes(id);
        let params = params.iter().map(|p| self.spread(*p, axes)).collect::<Result<Vec<_>, _>>()?;
        let rows = match rows {
            Some(r) => Some((self.axes(r).as_slice()[0], self.index(r)?.to_vec())),
            None => None,
        };
        let data: Vec<Vec<f64>> = params.iter().map(|p| widen(&p.to_vec())).collect();
        let site = Site { kind, axes, rows, key: SiteKey::new(self.source.key, stream) };
        let draws = site.draw(self.source.graph, &data);
        let values = draws.iter().map(|z| rounded(*z)).collect();
        if kind != RandomKind::LogGamma {
            return self.recorder.constant(values);
        }
        let slope = draws
            .iter()
            .zip(&data[0])
            .map(|(w, a)| rounded(special::log_gamma_sample_grad(*w, *a)))
            .collect();
        self.recorder.custom(values, vec![Part { of: &params[0], slope }])
    }
}
