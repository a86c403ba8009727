//! Back ends: one trait, several executors of the same graph.
//!
//! Invariant: no back end imports another.

#[cfg(feature = "cpu")]
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(feature = "dfdx")]
pub mod dfdx;
#[cfg(any(feature = "cpu", feature = "cuda"))]
mod feeds;
#[cfg(any(feature = "cpu", feature = "cuda"))]
mod non_finite;
pub mod reference;

use crate::element::Element;
use crate::program::Program;
use crate::store::{Feed, RunError, StepKey, Variables};

/// Turns programs into something that runs.
pub trait Backend<E: Element>: Send + Sync {
    /// Short name, as in `--backend`.
    fn name(&self) -> &'static str;

    /// Compiles a program. All sizes are known, so everything that can be decided is decided here.
    fn prepare(&self, program: &Program) -> Result<Box<dyn Executable<E>>, RunError>;
}

/// A prepared program.
///
/// Feeds come in the order of the graph's inputs; for a program with an optimiser the scalars of
/// [`SCHEDULE_INPUTS`](crate::optim::SCHEDULE_INPUTS) follow. Variables are found by name; optimiser moments that are
/// missing are added as zeros, any other missing variable is an error.
pub trait Executable<E: Element>: Send {
    /// Runs once: reads feeds and variables, computes outputs, then overwrites the updated variables.
    fn run(
        &mut self,
        variables: &mut Variables<E>,
        feeds: &[Feed<'_, E>],
        key: StepKey,
    ) -> Result<(), RunError>;

    /// Brings the variables up to date, if runs of this back end left newer values in memory of its own.
    fn settle(&mut self, variables: &mut Variables<E>) -> Result<(), RunError> {
        let _ = variables;
        Ok(())
    }

    /// Runs once and leaves the named outputs where the caller wants them, each with as many elements as the output has.
    /// [`Executable::output`] need not know of those outputs afterwards.
    ///
    /// # Errors
    /// As [`Executable::run`]; [`RunError::Unsupported`] for an output that there is not or another number of elements.
    fn run_into(
        &mut self,
        variables: &mut Variables<E>,
        feeds: &[Feed<'_, E>],
        key: StepKey,
        to: &mut [(&str, &mut [E])],
    ) -> Result<(), RunError> {
        self.run(variables, feeds, key)?;
        for (name, to) in to {
            match self.output(name) {
                Some(from) if from.len() == to.len() => to.copy_from_slice(from),
                found => return Err(misplaced(name, to.len(), found.map(<[E]>::len))),
            }
        }
        Ok(())
    }

    /// The output of the last run, row-major in axis order. An index output is given as real numbers.
    fn output(&self, name: &str) -> Option<&[E]>;

    /// What was planned, for people and for tests: kernels, bytes, reuse.
    fn describe(&self) -> String {
        String::new()
    }

    /// Seconds that each step of the last run took, in the order of [`Executable::describe`], with its description.
    /// Empty for a back end that does not measure.
    fn timings(&self) -> Vec<(f64, String)> {
        vec![]
    }
}

/// The error of an output that does not fit where it is wanted.
fn misplaced(name: &str, wanted: usize, found: Option<usize>) -> RunError {
    RunError::Unsupported(match found {
        Some(n) => format!("output `{name}` has {n} elements, not {wanted}"),
        None => format!("there is no output `{name}`"),
    })
}
