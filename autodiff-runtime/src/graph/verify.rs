//! Verification: the evidence that the next stage takes as an argument.

use super::{Axes, Dtype, Graph, Node, NodeId, Storage};
use crate::op::{Op, RandomKind, ReduceKind};
use std::collections::BTreeSet;
use std::ops::Deref;

/// A graph of which the properties on the [module page](super) hold.
#[derive(Clone, Debug)]
pub struct Verified(Graph);

impl Deref for Verified {
    type Target = Graph;
    fn deref(&self) -> &Graph {
        &self.0
    }
}

impl Verified {
    /// Gives the graph back for further work.
    pub fn into_graph(self) -> Graph {
        self.0
    }
}

/// A property that does not hold, and where. It is a bug of whoever built the graph.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("invalid graph at {}: {what}", node.map_or("its roots".to_owned(), |n| format!("node {}", n.index())))]
pub struct VerifyError {
    /// The offending node, or none for the lists of results.
    pub node: Option<NodeId>,
    /// What is wrong.
    pub what: String,
}

impl Graph {
    /// Checks every property on the [module page](super); all violations are returned.
    pub fn verify(self) -> Result<Verified, Vec<VerifyError>> {
        let mut errors = vec![];
        for id in self.node_ids() {
            if let Err(what) = self.check_node(id) {
                errors.push(VerifyError { node: Some(id), what });
            }
        }
        self.check_roots(&mut errors);
        if errors.is_empty() { Ok(Verified(self)) } else { Err(errors) }
    }

    fn check_node(&self, id: NodeId) -> Result<(), String> {
        let node = self.node(id);
        if node.op.operands().iter().any(|o| *o >= id) {
            return Err("an operand does not come before it".into());
        }
        if let Some(a) = node.axes.iter().find(|a| a.index() >= self.axes.len() || self.size(*a) == 0) {
            return Err(format!("axis {a} is unknown or empty"));
        }
        self.check_dtypes(node)?;
        self.check_op(node)
    }

    fn check_dtypes(&self, node: &Node) -> Result<(), String> {
        let dtype = |id: &NodeId| self.node(*id).dtype;
        let expect = |id: &NodeId, d: Dtype| {
            if dtype(id) == d { Ok(()) } else { Err(format!("operand {} should be {d:?}", id.index())) }
        };
        match &node.op {
            Op::Elem(crate::op::Elem::Eq, args) if dtype(&args[0]) == Dtype::Index => {
                expect(&args[1], Dtype::Index)
            }
            Op::Elem(_, args) => args.iter().try_for_each(|a| expect(a, Dtype::Real)),
            Op::ToReal(x) => expect(x, Dtype::Index),
            Op::Reduce { input, .. } => expect(input, Dtype::Real),
            Op::Contract { a, b, .. } => expect(a, Dtype::Real).and(expect(b, Dtype::Real)),
            Op::Gather { index, .. } => expect(index, Dtype::Index),
            Op::ScatterAdd { values, index, .. } => {
                expect(values, Dtype::Real).and(expect(index, Dtype::Index))
            }
            Op::Random { params, rows, .. } => {
                rows.iter().try_for_each(|r| expect(r, Dtype::Index))?;
                params.iter().try_for_each(|p| expect(p, Dtype::Real))
            }
            _ => Ok(()),
        }
    }

    fn check_op(&self, node: &Node) -> Result<(), String> {
        let has = |id: &NodeId, axes: &Axes| axes.is_subset(self.axes_of(*id));
        let ensure = |ok: bool, what: &str| if ok { Ok(()) } else { Err(what.to_owned()) };
        match &node.op {
            Op::Input(id) => {
                let d = &self.inputs[id.index()];
                let csr_ok = d.storage == Storage::Dense || (d.axes.len() == 2 && d.dtype == Dtype::Real);
                ensure(csr_ok, "a CSR input is real and has two axes")
            }
            Op::Elem(e, args) => ensure(args.len() == e.arity(), "wrong number of operands"),
            Op::Reduce { kind, input, over } => {
                ensure(has(input, over), "reduces an axis its operand lacks")?;
                ensure(*kind != ReduceKind::ArgMax || over.len() == 1, "argmax takes one axis")
            }
            Op::Contract { a, b, over } => {
                let both = self.axes_of(*a).union(self.axes_of(*b));
                ensure(over.is_subset(&both), "contracts an axis that both operands lack")
            }
            Op::Gather { table, axis, index } => {
                ensure(has(table, &Axes::from(*axis)), "looks up an axis its table lacks")?;
                ensure(!self.axes_of(*index).contains(*axis), "the index has the axis looked up")
            }
            Op::ScatterAdd { values, axis, index, keep } => {
                ensure(!self.axes_of(*values).contains(*axis), "the values have the new axis")?;
                ensure(
                    has(index, keep) && !has(index, &Axes::from(*axis)),
                    "keeps an axis the index lacks, or indexes by it",
                )
            }
            Op::Rename { input, from, to } => {
                ensure(has(input, &Axes::from(*from)), "renames an axis its operand lacks")?;
                ensure(!self.axes_of(*input).contains(*to), "renames to an axis its operand has")?;
                ensure(self.size(*from) == self.size(*to), "renames between axes of different sizes")
            }
            Op::Broadcast { input, axes } => {
                ensure(self.axes_of(*input).is_subset(axes), "broadcasts away an axis")
            }
            Op::Random { kind, params, axes, rows, .. } => self.check_random(*kind, params, axes, *rows),
            _ => Ok(()),
        }
    }

    fn check_random(
        &self,
        kind: RandomKind,
        params: &[NodeId],
        axes: &Axes,
        rows: Option<NodeId>,
    ) -> Result<(), String> {
        let wanted = match kind {
            RandomKind::Uniform | RandomKind::Normal => 0,
            RandomKind::LogGamma | RandomKind::Poisson => 1,
            RandomKind::Binomial | RandomKind::Multinomial(_) => 2,
        };
        if params.len() != wanted {
            return Err(format!("{kind:?} takes {wanted} parameters"));
        }
        if params.iter().any(|p| !self.axes_of(*p).is_subset(axes)) {
            return Err("a parameter has an axis that the draw lacks".into());
        }
        if let RandomKind::Multinomial(a) = kind {
            let row_axis = rows.is_some_and(|r| self.axes_of(r).contains(a));
            if !axes.contains(a) || row_axis || self.axes_of(params[0]).contains(a) {
                return Err("a multinomial runs along an own axis of the draw, which its total lacks".into());
            }
        }
        match rows {
            Some(r) if self.axes_of(r).len() != 1 || !self.axes_of(r).is_subset(axes) => {
                Err("row numbers run along exactly one axis of the draw".into())
            }
            _ => Ok(()),
        }
    }

    fn check_roots(&self, errors: &mut Vec<VerifyError>) {
        let mut report = |what: String| errors.push(VerifyError { node: None, what });
        let declared = self.variables.iter().map(|v| &v.name);
        for (kind, list) in [
            ("variable", declared.collect::<Vec<_>>()),
            ("input", self.inputs.iter().map(|i| &i.name).collect()),
        ] {
            let mut seen = BTreeSet::new();
            for name in list.into_iter().filter(|n| !seen.insert(*n)) {
                report(format!("two {kind}s are named `{name}`"));
            }
        }
        let mut names = BTreeSet::new();
        for (name, id) in &self.outputs {
            if !names.insert(name) {
                report(format!("two outputs are named `{name}`"));
            }
            if id.index() >= self.nodes.len() {
                report(format!("output `{name}` names no node"));
            }
        }
        let mut assigned = BTreeSet::new();
        for (variable, id) in &self.updates {
            let Some(decl) = self.variables.get(variable.index()) else {
                report("an update names no variable".into());
                continue;
            };
            if !assigned.insert(*variable) {
                report(format!("`{}` is assigned twice", decl.name));
            }
            if self.nodes.get(id.index()).is_none_or(|n| n.axes != decl.axes) {
                report(format!("`{}` is assigned a value of other axes", decl.name));
            }
        }
    }
}
