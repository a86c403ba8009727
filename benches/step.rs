//! Compile time, the parts of a training step, and the machine's own rates beside them.
//!
//! `cargo bench -p svic-benches --bench step`. A training step is 128 cells × 2,000 genes, hidden 128, latent 10, the model
//! of the runtime's tests; each step's own time is printed by `cargo run --release -p autodiff-runtime --example step --
//! 2 1 times`.

#[path = "../autodiff-runtime/tests/harness/model.rs"]
mod model;

use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::backend::{Backend, Executable};
use autodiff_runtime::{Axes, CsrView, Feed, Graph, Program, StepKey, Variables};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const SIZES: model::Sizes =
    model::Sizes { cells: 128, genes: 2000, hidden: 128, latent: 10, zero_inflated: false };

fn compile(c: &mut Criterion) {
    // Every model of the library, before any data are read.
    for (name, _) in svi::library::STDLIB {
        c.bench_function(&format!("compile {name}"), |b| b.iter(|| svi::compile_file(name)));
    }
    let (program, _) = model::build(SIZES);
    c.bench_function("plan a step and make its code", |b| {
        let backend = CpuBackend { threads: 1, ..CpuBackend::default() };
        b.iter(|| -> Box<dyn Executable<f32>> { backend.prepare(&program).expect("it can be prepared") });
    });
}

/// Forward alone; with the gradients, which become outputs; and the whole step.
fn parts(program: &Program) -> [(&'static str, Program); 3] {
    let forward = Program { training: None, ..program.clone() };
    let mut backward = program.clone();
    if let Some(t) = &mut backward.training {
        t.optimiser = None;
        t.expose_gradients = true;
    }
    [("forward", forward), ("forward and backward", backward), ("with optimiser", program.clone())]
}

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    group.throughput(Throughput::Elements(SIZES.cells as u64));
    let (offsets, columns, values) = model::counts(SIZES.cells, SIZES.genes);
    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    let rows: Vec<u32> = (0..SIZES.cells as u32).collect();
    for (likelihood, zero_inflated) in [("nb", false), ("zinb", true)] {
        let (program, start) = model::build(model::Sizes { zero_inflated, ..SIZES });
        for (what, program) in parts(&program) {
            for threads in [1, 2] {
                let backend = CpuBackend { threads, ..CpuBackend::default() };
                let mut exe: Box<dyn Executable<f32>> =
                    backend.prepare(&program).expect("it can be prepared");
                let mut variables = model::start::<f32>(&start);
                let schedule = [1e-3_f32, 1.0];
                let mut feeds = vec![
                    Feed::Csr(CsrView { offsets: &offsets, columns: &columns, values: &values }),
                    Feed::Index(&rows),
                ];
                if program.training.as_ref().is_some_and(|t| t.optimiser.is_some()) {
                    feeds.extend([Feed::Dense(&schedule[..1]), Feed::Dense(&schedule[1..])]);
                }
                group.bench_function(format!("{likelihood}, {what}, {threads} threads"), |b| {
                    b.iter(|| exe.run(&mut variables, &feeds, StepKey::default()).expect("a step runs"));
                });
            }
        }
    }
    group.finish();
}

/// What the machine gives: products of the step's shapes (elements are multiplications and additions), and memory.
fn rates(c: &mut Criterion) {
    let mut group = c.benchmark_group("machine");
    for (m, n, k) in [(128, 2000, 128), (128, 128, 2000), (2000, 128, 128)] {
        let mut g = Graph::new();
        let [a, b, s] = [("m", m), ("n", n), ("k", k)].map(|(name, size)| g.add_axis(name, size));
        let (x, y) = (g.input("x", Axes::from([a, s])), g.input("y", Axes::from([b, s])));
        let z = g.contract(x, y, s);
        g.output("z", z);
        let program = Program { graph: g.verify().expect("valid"), training: None };
        let (x, y) = (vec![0.5_f32; m * k], vec![0.25_f32; n * k]);
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        for threads in [1, 2] {
            let backend = CpuBackend { threads, ..CpuBackend::default() };
            let mut exe: Box<dyn Executable<f32>> = backend.prepare(&program).expect("it can be prepared");
            let mut variables = Variables::new();
            let feeds = [Feed::Dense(&x[..]), Feed::Dense(&y[..])];
            group.bench_function(format!("product {m} × {n} over {k}, {threads} threads"), |b| {
                b.iter(|| exe.run(&mut variables, &feeds, StepKey::default()).expect("a product runs"));
            });
        }
    }
    for mebibytes in [1, 64] {
        let from = vec![1_u8; mebibytes << 20];
        let mut to = vec![0_u8; mebibytes << 20];
        group.throughput(Throughput::Bytes(2 * (mebibytes << 20) as u64));
        group.bench_function(format!("copy of {mebibytes} MiB"), |b| {
            b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(1));
    targets = compile, steps, rates
}
criterion_main!(benches);
