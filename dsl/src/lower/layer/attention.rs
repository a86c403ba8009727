//! Attention: scaled dot products of queries and keys, weights along the tokens, several heads.

use super::super::Lowerer;
use super::linear::start;
use crate::compiled::{DimRole, VariableKind};
use crate::model::{Attention, AxisNo, ExprId, Weights};
use crate::source::Span;
use autodiff_runtime::{Axes, AxisId, NodeId};

impl Lowerer<'_> {
    pub(super) fn attention(&mut self, a: &Attention, span: Span) -> NodeId {
        let heads = self.inner_axis(&a.path, "head", a.heads);
        let depth = self.inner_axis(&a.path, "depth", a.depth);
        self.at(span);
        let within = [heads, depth];
        let query = self.project(a, "query", a.query, a.query_features, &within);
        let key = self.project(a, "key", a.context, a.token_features, &within);
        let value = self.project(a, "value", a.context, a.token_features, &within);
        // Keys along a twin of the tokens, as queries may run along the tokens themselves.
        let tokens = self.axis(a.tokens);
        let others = self.inner_axis(&a.path, "token", self.g.size(tokens));
        let (key, value) = (self.g.rename(key, tokens, others), self.g.rename(value, tokens, others));
        let scores = self.g.contract(query, key, depth);
        let scores = self.g.mul_const(scores, 1.0 / (a.depth as f64).sqrt());
        let weights = self.g.softmax(scores, others);
        let weights = self.dropout(&format!("{}.dropout", a.path), weights, a.dropout);
        let read = self.g.contract(weights, value, others);
        let out = a.out.map(|o| self.axis(o));
        self.map(a, "out", read, &within, out.as_slice())
    }

    /// Queries, keys or values: a map of the features to heads and depth.
    fn project(
        &mut self,
        a: &Attention,
        name: &str,
        x: ExprId,
        features: Option<AxisNo>,
        within: &[AxisId],
    ) -> NodeId {
        let node = self.expr(x);
        let features = features.map(|f| self.axis(f));
        self.map(a, name, node, features.as_slice(), within)
    }

    /// A linear map from axes (none: from one number) to others.
    fn map(&mut self, a: &Attention, name: &str, x: NodeId, from: &[AxisId], to: &[AxisId]) -> NodeId {
        let size = |axes: &[AxisId]| axes.iter().map(|a| self.g.size(*a)).product::<usize>();
        let (weights, biases) = start(Weights::Default, size(from), size(to));
        let outputs: Vec<_> = to.iter().map(|a| (*a, DimRole::Out)).collect();
        let inputs = from.iter().map(|a| (*a, DimRole::In));
        let dims: Vec<_> = outputs.iter().copied().chain(inputs).collect();
        let path = format!("{}.{name}", a.path);
        let w = self.variable(&format!("{path}.weight"), &dims, weights, VariableKind::Trained);
        let y = match from {
            [] => self.g.mul(x, w),
            _ => self.g.contract(x, w, Axes::new(from.iter().copied())),
        };
        if !a.bias {
            return y;
        }
        let b = self.variable(&format!("{path}.bias"), &outputs, biases, VariableKind::Trained);
        self.g.add(y, b)
    }
}
