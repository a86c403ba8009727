//! Graph IR with named axes, reverse-mode differentiation on the graph, rewrites, plans and back ends.
//!
//! | stage | from → to | home |
//! |---|---|---|
//! | build | calls → [`graph::Graph`] | [`graph`], [`op`] |
//! | verify | `Graph` → [`graph::Verified`] | `graph/verify.rs` |
//! | differentiate | `Graph` → `Graph` | [`autodiff`] |
//! | rewrite | `Graph` → `Graph` | [`rewrite`] |
//! | plan | `Verified` → `Plan` | `plan` |
//! | prepare | [`program::Program`] → [`backend::Executable`] | [`backend`] |
//!
//! Invariant: nothing here knows probability. A value is an array over a *set* of named axes; operations align by
//! axis, never by position, so there is no transpose, reshape or implicit outer product to get wrong.

pub mod autodiff;
pub mod backend;
pub mod element;
pub mod graph;
pub mod op;
pub mod optim;
#[cfg(any(feature = "cpu", feature = "cuda"))]
pub mod plan;
pub mod program;
pub mod random;
pub mod rewrite;
pub mod special;
pub mod store;

pub use element::Element;
pub use graph::{Axes, AxisId, Graph, NodeId, Origin, Verified};
pub use op::{Elem, Op, RandomKind, ReduceKind};
pub use program::{Program, Training};
pub use store::{CsrView, Feed, Made, NonFinite, RunError, StepKey, Variables};
