//! NVIDIA cards: kernels printed from the plan, matrix products by the vendor's library, all state on the card.
//!
//! | piece | home |
//! |---|---|
//! | plan → text of kernels, and calls | [`mod@print`], [`form`] |
//! | calls on a machine: memory, feeds, variables, results | `executor.rs` |
//! | what a machine must do | [`machine`] |
//! | a card: driver, modules, recorded work | [`card`]; products `gemm.rs`; compiler [`nvrtc`]; [`cache`] |
//! | a host in its place, for tests | `host.rs` (feature `cuda-host`) |

pub mod cache;
pub mod card;
pub mod form;
mod gemm;
pub mod libraries;
pub mod nvrtc;
pub mod print;

mod executor;
#[cfg(feature = "cuda-host")]
pub mod host;
pub mod machine;
mod memory;

use crate::backend::{Backend, Executable};
use crate::element::Element;
use crate::plan::{Plan, plan, step_graph};
use crate::program::Program;
use crate::rewrite::{Options, rewrite};
use crate::store::RunError;
use executor::Prepared;
use machine::Machine;
use memory::{Mirror, Plain};
use std::sync::{Arc, Mutex};

/// A back end on one machine. Variables stay in its memory from run to run, whichever of its programs runs; the store on
/// the host is brought up to date by [`Executable::settle`].
#[derive(Clone)]
pub struct CudaBackend {
    machine: Arc<dyn Machine>,
    mirror: Arc<Mutex<Mirror>>,
    /// Level of optimisation: 0 takes the graph as written, each operation a kernel.
    level: u8,
}

impl CudaBackend {
    /// A back end on a machine.
    pub fn on(machine: Arc<dyn Machine>, level: u8) -> Self {
        Self { machine, mirror: Arc::default(), level }
    }

    fn prepare_on<E: Element + Plain>(&self, program: &Program) -> Result<Box<dyn Executable<E>>, RunError> {
        let step = step_graph(program)?;
        let plan = plan_at(&step, self.level);
        Ok(Box::new(Prepared::<E>::new(step, plan, self.machine.clone(), self.mirror.clone())?))
    }
}

fn plan_at(step: &crate::plan::StepGraph, level: u8) -> Plan {
    let rewritten = rewrite(&step.graph, Options { level });
    plan(&rewritten, step.loss.as_deref(), level > 0)
}

/// The printed module of a program, for numbers of 4 or 8 bytes, without any machine.
///
/// # Errors
/// [`RunError::Unsupported`] when the program cannot be differentiated.
pub fn print_program(program: &Program, level: u8, real_bytes: usize) -> Result<form::Module, RunError> {
    let step = step_graph(program)?;
    Ok(print::print(&plan_at(&step, level), real_bytes))
}

impl Backend<f32> for CudaBackend {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn prepare(&self, program: &Program) -> Result<Box<dyn Executable<f32>>, RunError> {
        self.prepare_on(program)
    }
}

impl Backend<f64> for CudaBackend {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn prepare(&self, program: &Program) -> Result<Box<dyn Executable<f64>>, RunError> {
        self.prepare_on(program)
    }
}
