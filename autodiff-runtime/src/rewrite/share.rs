//! Common subexpressions: two nodes with the same operation on the same operands are one. Draws too, since a draw is a
//! function of its stream, parameters, axes and rows.

use super::copier::Copier;
use crate::graph::{Graph, NodeId};
use std::collections::BTreeMap;

/// The graph with equal nodes merged.
pub(super) fn share(g: &Graph) -> Graph {
    // The printed operation is the key: it names every operand and constant exactly.
    let mut seen: BTreeMap<String, NodeId> = BTreeMap::new();
    Copier::new(g).run(|c, id| {
        let op = c.moved(id);
        *seen.entry(format!("{op:?}")).or_insert_with(|| c.new.push(op))
    })
}
