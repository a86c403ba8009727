//! models

pub mod anndata;
pub mod registry;
