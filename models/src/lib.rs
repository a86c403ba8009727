//! models

pub mod anndata;
