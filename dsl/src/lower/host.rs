//! A host's primitives: their fragments of graph, and parameters under the path of their call.

use super::Lowerer;
use crate::compiled::{DimRole, Init, VariableKind};
use crate::model::HostCall;
use crate::primitive::{Builder, apply};
use crate::source::Span;
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{AxisId, Graph, NodeId};

/// What a primitive sees of the lowering.
struct Site<'a, 'b> {
    lowerer: &'a mut Lowerer<'b>,
    path: &'a str,
}

impl Builder for Site<'_, '_> {
    fn graph(&mut self) -> &mut Graph {
        &mut self.lowerer.g
    }

    fn parameter(&mut self, name: &str, axes: &[AxisId], init: Init) -> NodeId {
        let dims: Vec<_> = axes.iter().map(|a| (*a, DimRole::Own)).collect();
        self.lowerer.variable(&format!("{}.{name}", self.path), &dims, init, VariableKind::Trained)
    }

    fn training(&self) -> bool {
        self.lowerer.training()
    }
}

impl Lowerer<'_> {
    pub(super) fn host(&mut self, call: &HostCall, span: Span) -> NodeId {
        let mut inputs: Vec<NodeId> = call.inputs.iter().map(|x| self.expr(*x)).collect();
        self.at(span);
        for x in &mut inputs {
            if self.g.node(*x).dtype == Dtype::Index {
                *x = self.g.to_real(*x);
            }
        }
        let axis = call.axis.map(|a| self.axis(a));
        apply(call.primitive.as_ref(), &mut Site { lowerer: self, path: &call.path }, &inputs, axis)
    }
}
