//! Which values are zero wherever a CSR input is zero, and so need their non-zeros only.
//!
//! A value follows the pattern of an input if it has the input's axes and its operation gives zero there: by the zero
//! rule of its row in the table, or because it is zero at zeros when its other operands are constants.

use crate::graph::{Graph, InputId, NodeId, Storage};
use crate::op::{Elem, Op, ZeroRule};

/// The pattern that each node follows.
pub(super) struct Sparsity(Vec<Option<InputId>>);

impl Sparsity {
    /// Propagates from the CSR inputs.
    pub fn of(g: &Graph) -> Self {
        let mut s = Self(vec![None; g.nodes().len()]);
        for id in g.node_ids() {
            s.0[id.index()] = match &g.node(id).op {
                Op::Input(i) if g.inputs()[i.index()].storage == Storage::Csr => Some(*i),
                Op::Elem(f, args) => s.elementwise(g, id, *f, args),
                _ => None,
            };
        }
        s
    }

    /// The CSR input whose zeros are zeros of this node.
    pub fn pattern(&self, id: NodeId) -> Option<InputId> {
        self.0[id.index()]
    }

    fn elementwise(&self, g: &Graph, id: NodeId, f: Elem, args: &[NodeId]) -> Option<InputId> {
        let candidates = args.iter().filter_map(|a| self.pattern(*a));
        candidates
            .into_iter()
            .find(|p| g.inputs()[p.index()].axes == *g.axes_of(id) && self.is_zero(g, f, args, *p))
    }

    fn is_zero(&self, g: &Graph, f: Elem, args: &[NodeId], p: InputId) -> bool {
        let constant = |a: NodeId| match g.node(a).op {
            Op::Const(c) => Some(c),
            _ => (self.pattern(a) == Some(p)).then_some(0.0),
        };
        let zero = |a: &NodeId| constant(*a) == Some(0.0);
        let by_rule = match f.zero_rule() {
            ZeroRule::Never => false,
            ZeroRule::First => zero(&args[0]),
            ZeroRule::Any => args.iter().any(zero),
            ZeroRule::All => args.iter().all(zero),
            ZeroRule::Branches => args[1..].iter().all(zero) || (zero(&args[0]) && zero(&args[2])),
        };
        by_rule || {
            let values: Option<Vec<f64>> = args.iter().map(|a| constant(*a)).collect();
            values.is_some_and(|v| f.eval(&v) == 0.0)
        }
    }
}
