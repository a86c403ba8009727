//! Preparing data before a model is trained on them, with the methods and the numbers of scanpy: what a file holds,
//! filters, genes that vary, files put together, moments over neighbours.

mod doublets;
mod filter;
mod join;
mod loess;
mod names;
mod neighbours;
mod survey;
#[cfg(test)]
mod tests;
mod variable;

pub use doublets::with_doublets;
pub use filter::{Limits, filter};
pub use join::{add_table, concatenate};
pub use loess::loess;
pub use names::{Role, candidates, instead_of, same_name};
pub use neighbours::{Moments, moments, principal_components};
pub use survey::{ColumnSurvey, MatrixSurvey, PartSurvey, survey};
pub use variable::{Variable, by_deviance, by_variance};

use crate::anndata::{AnnData, DataError, NewAnnData, gather};

/// Everything in `data` that is not a modality, read into memory.
///
/// # Errors
/// The first element that cannot be read.
pub fn load(data: &AnnData) -> Result<NewAnnData, DataError> {
    gather(data)
}
