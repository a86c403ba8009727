//! From a graph to what is executed: kernels in order, each with the buffers that it reads and writes.

mod step;

pub use step::{StepGraph, step_graph};
