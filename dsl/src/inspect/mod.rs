//! Forms of a program for people: tokens, the table of axes, the graph with its gradients.

mod describe;
mod shapes;
mod tokens;

pub(crate) use shapes::shapes;
pub use tokens::tokens;

use crate::compiled::{Lowered, VariableKind};
use autodiff_runtime::autodiff::{NoDerivative, gradients};
use autodiff_runtime::{Graph, NodeId, Op};

/// Columns under one another, two blanks apart; the first row is the head.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

impl Lowered {
    /// The graph of the objective with one more output `grad.<variable>` for each trained variable, over its axes: the
    /// gradient of the loss, zero where the loss does not depend on it.
    ///
    /// # Errors
    /// The operation that has no derivative. A graph without a loss has no gradients and is given as it is.
    pub fn with_gradients(&self) -> Result<Graph, NoDerivative> {
        let mut graph = self.graph.clone();
        let Some(loss) = self.loss else { return Ok(graph) };
        let trained = self.variables.iter().filter(|v| v.kind == VariableKind::Trained);
        let read: Vec<(String, Vec<NodeId>)> = trained
            .filter_map(|v| {
                let id = graph.find_variable(&v.name)?;
                let reads = graph.node_ids().filter(|n| graph.node(*n).op == Op::Variable(id)).collect();
                Some((format!("grad.{}", v.name), reads))
            })
            .collect();
        let wrt: Vec<NodeId> = read.iter().flat_map(|(_, nodes)| nodes.clone()).collect();
        let mut adjoints = gradients(&mut graph, loss, &wrt)?.into_iter();
        for (name, nodes) in read {
            // A variable that is read in several places has the sum of their adjoints.
            let parts: Vec<NodeId> = adjoints.by_ref().take(nodes.len()).collect();
            if let Some(sum) = parts.into_iter().reduce(|a, b| graph.add(a, b)) {
                graph.output(name, sum);
            }
        }
        Ok(graph)
    }
}
