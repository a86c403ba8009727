//! Models trained by other programs: their tensors under their names become our variables.
//!
//! | form | home |
//! |---|---|
//! | tensors by name, from `.safetensors` or a saved `model.pt` | `tensor`, `torch`, `pickle`, `zip` |
//! | which name is which (a table per family, `*.map`) | `names` |
//! | element by element, there and back | `convert` |
//!
//! Invariant: a pickle is parsed, never executed.

mod convert;
mod model;
mod names;
mod pickle;
mod tensor;
mod torch;
mod zip;

pub use convert::{Converter, Imported};
pub use model::imported_model;
pub use names::NameMap;
pub use tensor::{State, Tensor, read_state};
