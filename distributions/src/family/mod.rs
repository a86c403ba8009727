//! One file per family.

mod normal;

pub use normal::Normal;
