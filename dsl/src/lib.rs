//! The `.svi` language: text to model to objective to graph.

pub mod diagnostic;
pub mod source;
pub mod syntax;
