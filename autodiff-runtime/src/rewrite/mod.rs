//! The ordered list of passes, `Graph → Graph`, one file each. In debug builds the graph is verified after each.

mod copier;
mod factors;
mod hold;
mod repeats;
mod share;
mod simplify;
mod softmax;

pub(crate) use copier::Copier;
#[cfg(any(feature = "cpu", feature = "cuda"))]
pub(crate) use copier::live_nodes;
pub use hold::{hold, of_rejected_draws};

use crate::graph::Graph;

/// How much to rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// 0: nothing. 1: every pass. The numbers agree to rounding.
    pub level: u8,
}

/// Applies the passes.
pub fn rewrite(g: &Graph, options: Options) -> Graph {
    if options.level == 0 {
        return Copier::new(g).run(|c, id| {
            let op = c.moved(id);
            c.new.push(op)
        });
    }
    let mut out = g.clone();
    let passes = [
        simplify::simplify,
        repeats::repeats,
        share::share,
        softmax::softmax,
        factors::factors,
        share::share,
    ];
    for pass in passes {
        out = pass(&out);
        debug_assert!(out.clone().verify().is_ok(), "a pass leaves a valid graph");
    }
    out
}
