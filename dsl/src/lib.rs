//! The `.svi` language: text → model → objective → graph.
//!
//! | stage | from → to | home |
//! |---|---|---|
//! | parse | text → `Ast` | [`syntax`] |
//! | resolve, check | `Ast` → `Model` | `resolve`, `types`, `model` |
//! | derive | `Model` → `Objective` | `derive`, `objective` |
//! | lower | `Objective` + [`Bound`] → graph | `lower` |
//!
//! Invariant: pure. No files, no devices, no printing: text is handed in, diagnostics and graphs are handed out.

pub mod analysis;
mod compile;
mod compiled;
mod derive;
pub mod diagnostic;
pub mod format;
pub mod inspect;
mod lower;
mod model;
mod objective;
pub mod primitive;
mod resolve;
mod size;
pub mod source;
mod story;
pub mod syntax;
mod types;

pub use compile::{Compiled, Settings, compile};
pub use compiled::*;
pub use size::SizeFormula;
pub use types::layer::KINDS as LAYERS;
pub use types::train::KEYS as TRAIN_KEYS;
