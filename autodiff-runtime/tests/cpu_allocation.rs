//! A training step takes no memory from the allocator once it has run: counted over all threads. (Where there is no
//! matrix unit, the `gemm` crate takes some for each product: the same in every step.)
#![allow(unsafe_code, reason = "an allocator that counts")]

#[path = "harness/model.rs"]
mod model;

use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::backend::{Backend, Executable};
use autodiff_runtime::{CsrView, Feed, StepKey};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_step_allocates_nothing_after_the_first() {
    for zero_inflated in [false, true] {
        let sizes = model::Sizes { cells: 128, genes: 200, hidden: 128, latent: 10, zero_inflated };
        let (program, start) = model::build(sizes);
        let backend = CpuBackend { threads: 2, ..CpuBackend::default() };
        let mut exe: Box<dyn Executable<f32>> = backend.prepare(&program).expect("the model can be prepared");
        let mut variables = model::start::<f32>(&start);
        let (offsets, columns, values) = model::counts(sizes.cells, sizes.genes);
        let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        let rows: Vec<u32> = (0..sizes.cells as u32).collect();
        let mut calls = vec![];
        for step in 1..=12_u64 {
            let schedule = [1e-3_f32, step as f32];
            let feeds = [
                Feed::Csr(CsrView { offsets: &offsets, columns: &columns, values: &values }),
                Feed::Index(&rows),
                Feed::Dense(&schedule[..1]),
                Feed::Dense(&schedule[1..]),
            ];
            let before = CALLS.load(Ordering::Relaxed);
            exe.run(&mut variables, &feeds, StepKey { seed: 1, step }).expect("a step runs");
            calls.push(CALLS.load(Ordering::Relaxed) - before);
        }
        assert!(calls[0] > 0, "the counter counts");
        assert_eq!(calls[4..], [calls[4]; 8], "calls of the allocator in each step: {calls:?}");
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        if cpu.contains("amx_bf16") && cpu.contains("amx_tile") {
            assert_eq!(calls[4], 0, "calls of the allocator in each step: {calls:?}");
        }
    }
}
