//! The compiler's entry, as this crate uses it.

pub use dsl::{Compiled, Settings, compile};
