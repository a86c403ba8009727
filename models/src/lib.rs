//! A compiler for probabilistic models of single-cell data: what research code embeds.
//!
//! | stage | from → to | home |
//! |---|---|---|
//! | compile | `.svi` → [`Model`] | [`model`], crate `dsl` |
//! | read | `.h5ad` → [`AnnData`](anndata::AnnData) | [`anndata`] |
//! | bind | `Model` × `AnnData` → [`BoundModel`] | [`bind`] |
//! | batch | `Dataset` → minibatches | [`batch`] |
//! | train | `BoundModel` → [`Fit`] | [`train`] |
//! | ask | `Fit` → [`NamedArray`], `.h5ad` | [`output`] |
//! | save | [`Trained`] ⇄ `.svim` | [`saved`] |
//!
//! ```no_run
//! # fn main() -> Result<(), svi::Error> {
//! let adata = svi::anndata::AnnData::open("data.h5ad".as_ref())?;
//! let binds = svi::Binds::new().with("x", "layers.counts").with("batch", "obs.donor");
//! let model = svi::compile_file("scvi.svi")?; // every diagnostic at once
//! let fit = model.bind(&adata, &binds)?.set("latent", 20)?.fit(&svi::FitOptions::default())?;
//! let z = fit.output("latent")?; // named array [cell, latent]
//! assert_eq!(z.axes, ["cell", "latent"]);
//! fit.save("run.svim")?;
//! let again = svi::load("run.svim")?;
//! # let _ = again;
//! # Ok(())
//! # }
//! ```
//!
//! Invariant: nothing outside [`cli`] prints, parses arguments or ends the process.

pub mod anndata;
pub mod batch;
pub mod bind;
pub mod catalogue;
pub mod changes;
pub mod cli;
pub mod compiler;
pub mod dataset;
pub mod engine;
pub mod error;
pub mod gradcheck;
pub mod import;
pub mod init;
pub mod library;
pub mod lsp;
pub mod memory;
pub mod model;
pub mod output;
pub mod prepare;
pub mod registry;
pub mod saved;
pub mod sim;
pub mod train;
pub mod trained;

pub use autodiff_runtime::{AxisId, Elem, Graph, NodeId};
pub use bind::Binds;
pub use compiler::Compiler;
pub use engine::BackendKind;
pub use error::Error;
pub use model::{BoundModel, Model, compile_file};
pub use output::NamedArray;
pub use saved::load;
pub use train::{Fit, FitOptions};
pub use trained::Trained;
