//! Where a value that is not finite comes from, for a run that failed.

use crate::backend::reference::evaluate;
use crate::element::Element;
use crate::graph::NodeId;
use crate::plan::StepGraph;
use crate::store::{CsrView, Feed, RunError, StepKey, Variables};

/// Names the first node, in evaluation order, with a value that is not finite: by the reference evaluator, from the
/// variables as they were (a failed run leaves them alone).
pub(crate) fn first<E: Element>(
    step: &StepGraph,
    variables: &Variables<E>,
    feeds: &[Feed<'_, E>],
    key: StepKey,
    loss: f64,
) -> RunError {
    let g = &step.graph;
    let widen = |x: &[E]| x.iter().map(|v| v.to_f64()).collect::<Vec<f64>>();
    let mut wide = Variables::new();
    variables.iter().for_each(|(n, v)| wide.set(n, widen(v)));
    let real: Vec<Vec<f64>> = feeds
        .iter()
        .map(|f| match f {
            Feed::Dense(x) => widen(x),
            Feed::Csr(m) => widen(m.values),
            Feed::Index(_) => vec![],
        })
        .collect();
    let feeds: Vec<Feed<'_, f64>> = feeds
        .iter()
        .zip(&real)
        .map(|(f, v)| match f {
            Feed::Dense(_) => Feed::Dense(v),
            Feed::Csr(m) => Feed::Csr(CsrView { offsets: m.offsets, columns: m.columns, values: v }),
            Feed::Index(i) => Feed::Index(i),
        })
        .collect();
    let loss_node = step.loss.as_deref().and_then(|name| g.find_output(name));
    let wanted: Vec<NodeId> = loss_node.map_or(vec![], |l| needed(step, l));
    let values = evaluate(g, &wanted, &wide, &feeds, key).unwrap_or_default();
    // Rounding to the element type can overflow where double precision does not.
    let found = wanted.iter().zip(&values).find_map(|(id, v)| {
        let at = v.iter().position(|x| !E::from_f64(*x).to_f64().is_finite())?;
        Some((*id, at, v[at]))
    });
    match found {
        Some((id, at, value)) => {
            let node = g.node(id);
            let what = format!(
                "{value} at element {at} of %{} over {}: {:?}",
                id.index(),
                g.show_axes(&node.axes),
                node.op
            );
            RunError::NonFinite { what, origin: node.origin }
        }
        None => RunError::NonFinite {
            what: format!("the loss is {loss}, though every value is finite in double precision"),
            origin: loss_node.map_or_else(Default::default, |l| g.node(l).origin),
        },
    }
}

/// The nodes that the loss depends on, in evaluation order.
fn needed(step: &StepGraph, loss: NodeId) -> Vec<NodeId> {
    let g = &step.graph;
    let mut live = vec![false; g.nodes().len()];
    live[loss.index()] = true;
    for id in g.node_ids().rev() {
        if live[id.index()] {
            g.node(id).op.operands().iter().for_each(|o| live[o.index()] = true);
        }
    }
    g.node_ids().filter(|id| live[id.index()]).collect()
}
