//! Graph convolution along a list of edges.

use super::super::Lowerer;
use super::linear::start;
use crate::compiled::{DimRole, VariableKind};
use crate::model::Gcn;
use crate::source::Span;
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{Axes, Elem, NodeId, Op};

impl Lowerer<'_> {
    /// Σ over edges (j → i) of w / √(dᵢ dⱼ) · (x W)ⱼ, plus b, with dᵢ the sum of the weights that arrive at i.
    pub(super) fn gcn(&mut self, c: &Gcn, span: Span) -> NodeId {
        let x = self.expr(c.arg);
        let (from, to) = (self.expr(c.from), self.expr(c.to));
        let weight = c.weight.map(|w| self.expr(w));
        self.at(span);
        let (node, edge, out) = (self.axis(c.node), self.axis(c.edge), self.axis(c.out));
        let features = c.features.map(|f| self.axis(f));
        let n_features = features.map_or(1, |f| self.g.size(f));
        let (weights, biases) = start(c.init, n_features, self.g.size(out));
        let inner = self.inner_axis(&c.path, "out", self.g.size(out));
        let dims: Vec<_> =
            features.map(|f| (f, DimRole::In)).into_iter().chain([(inner, DimRole::Out)]).collect();
        let w = self.variable(&format!("{}.weight", c.path), &dims, weights, VariableKind::Trained);
        let mapped = match features {
            Some(f) => self.g.contract(x, w, f),
            None => self.g.mul(x, w),
        };
        // Without edges (an optional field that is absent) nothing arrives.
        let is_index = |l: &Self, n: NodeId| l.g.node(n).dtype == Dtype::Index;
        let arrived = if is_index(self, from) && is_index(self, to) {
            let one = self.g.constant(1.0);
            let strength = self.g.broadcast(weight.unwrap_or(one), &Axes::from(edge));
            let strength = self.normalised(strength, from, to, node);
            let leaving = self.g.gather(mapped, from, node);
            let carried = self.g.mul(leaving, strength);
            self.g.push(Op::ScatterAdd { values: carried, index: to, axis: node, keep: Axes::none() })
        } else {
            self.g.mul_const(mapped, 0.0)
        };
        let y = self.g.rename(arrived, inner, out);
        if !c.bias {
            return y;
        }
        let b =
            self.variable(&format!("{}.bias", c.path), &[(out, DimRole::Out)], biases, VariableKind::Trained);
        self.g.add(y, b)
    }

    /// w / √(d at its end · d at its start), 0 where nothing arrives at its start.
    fn normalised(
        &mut self,
        strength: NodeId,
        from: NodeId,
        to: NodeId,
        node: autodiff_runtime::AxisId,
    ) -> NodeId {
        let degree =
            self.g.push(Op::ScatterAdd { values: strength, index: to, axis: node, keep: Axes::none() });
        let (zero, one) = (self.g.constant(0.0), self.g.constant(1.0));
        let reached = self.g.binary(Elem::Lt, zero, degree);
        let safe = self.g.select(reached, degree, one);
        let root = self.g.sqrt(safe);
        let inverse = self.g.recip(root);
        let inverse = self.g.select(reached, inverse, zero);
        let (start, end) = (self.g.gather(inverse, from, node), self.g.gather(inverse, to, node));
        let ends = self.g.mul(start, end);
        self.g.mul(strength, ends)
    }
}
