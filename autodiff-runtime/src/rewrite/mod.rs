//! The ordered list of passes, `Graph → Graph`, one file each. In debug builds the graph is verified after each.

mod copier;

pub(crate) use copier::Copier;
#[cfg(feature = "cpu")]
pub(crate) use copier::live_nodes;

use crate::graph::Graph;

/// How much to rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// 0: nothing. 1: every pass. The numbers agree to rounding.
    pub level: u8,
}

/// Applies the passes.
pub fn rewrite(g: &Graph, options: Options) -> Graph {
    let _ = options;
    Copier::new(g).run(|c, id| {
        let op = c.moved(id);
        c.new.push(op)
    })
}
