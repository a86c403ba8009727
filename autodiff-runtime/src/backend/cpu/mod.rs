//! Fused tiles over SIMD lanes, matrix products, sparse rows.

mod draws;
mod jit;
mod lanes;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod matrix;
mod memory;
mod pool;
mod products;
mod run;
#[cfg(target_arch = "x86_64")]
mod slim;
mod stretch;
mod tiles;
mod walk;

pub use memory::zeros;

use crate::backend::{Backend, Executable};
use crate::plan::{plan, step_graph};
use crate::program::Program;
use crate::rewrite::{Options, rewrite};
use crate::store::RunError;
use run::Prepared;

/// The default back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuBackend {
    /// Number of threads that work on a step; results do not depend on it.
    pub threads: usize,
    /// Level of optimisation: 0 takes the graph as written, each operation a step.
    pub level: u8,
}

impl Default for CpuBackend {
    /// All optimisations, one thread for each processor.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, level: 1 }
    }
}

/// The vector instructions that kernels use here, in words.
pub fn instructions() -> &'static str {
    match lanes::Isa::detect() {
        lanes::Isa::V4 => "AVX-512",
        lanes::Isa::V3 => "AVX2",
        lanes::Isa::Base => "those that every processor of its kind has",
    }
}

impl CpuBackend {
    fn prepare_lanes<E: lanes::Lanes>(&self, program: &Program) -> Result<Box<dyn Executable<E>>, RunError> {
        let step = step_graph(program)?;
        let rewritten = rewrite(&step.graph, Options { level: self.level });
        let plan = plan(&rewritten, step.loss.as_deref(), self.level > 0);
        Ok(Box::new(Prepared::new(step, plan, self.threads, self.level > 0)))
    }
}

impl Backend<f32> for CpuBackend {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn prepare(&self, program: &Program) -> Result<Box<dyn Executable<f32>>, RunError> {
        self.prepare_lanes(program)
    }
}

impl Backend<f64> for CpuBackend {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn prepare(&self, program: &Program) -> Result<Box<dyn Executable<f64>>, RunError> {
        self.prepare_lanes(program)
    }
}
