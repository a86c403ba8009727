//! The graph as a dfdx computation, differentiated by its tape: the independent oracle.
//!
//! | file | what it holds |
//! |---|---|
//! | `layout.rs` | where an element lies when axes are ordered differently |
//! | `feeds.rs` | feeds and variables, checked |
//! | `recorder.rs` | flat dfdx tensors and the one tape: dfdx's operations, and custom ones for what it lacks |
//! | `elementwise.rs` | each elementwise operation as dfdx calls |
//! | `structure.rs` | reductions, contractions, lookups, renamings |
//! | `draws.rs` | random nodes |
//! | `pass.rs` | one walk over a graph, forward and backward |
//! | `prepared.rs` | programs: outputs, updates, optimiser steps |
//!
//! Every value is a contiguous dfdx tensor of rank 1 and run-time length, row-major in the order of its axes; an
//! operation that needs a matrix reshapes it for the call.
//!
//! Invariant: nothing here calls [`crate::autodiff`], the table of derivatives or another back end, so an agreement of
//! gradients is evidence for both sides. Only the scalar definitions of [`crate::Elem::eval`] and [`crate::special`]
//! are shared, because dfdx has no such functions.

mod draws;
mod elementwise;
mod feeds;
mod layout;
mod pass;
mod prepared;
mod recorder;
mod structure;

use super::{Backend, Executable};
use crate::program::Program;
use crate::store::RunError;
use prepared::Prepared;

/// Runs programs on dfdx tensors and differentiates them by dfdx's own tape, in `f32` or `f64`, on the processor. Slow:
/// each operation is a pass over whole arrays, and sparse inputs are made dense.
#[derive(Clone, Copy, Debug, Default)]
pub struct DfdxBackend;

const NAME: &str = "dfdx";

impl Backend<f32> for DfdxBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, program: &Program) -> Result<Box<dyn Executable<f32>>, RunError> {
        Ok(Box::new(Prepared::<f32>::new(program)?))
    }
}

impl Backend<f64> for DfdxBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn prepare(&self, program: &Program) -> Result<Box<dyn Executable<f64>>, RunError> {
        Ok(Box::new(Prepared::<f64>::new(program)?))
    }
}
