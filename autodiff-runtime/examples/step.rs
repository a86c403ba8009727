//! Time of one training step of a variational autoencoder of counts.
//!
//! `cargo run --release -p autodiff-runtime --example step -- [threads] [level] [zinb] [plan] [times]`
#![allow(clippy::print_stdout, reason = "an example reports to its user")]

#[path = "../tests/harness/model.rs"]
mod model;

use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::backend::{Backend, Executable};
use autodiff_runtime::{CsrView, Feed, StepKey};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let has = |word: &str| args.iter().any(|a| a == word);
    let sizes = model::Sizes { cells: 128, genes: 2000, hidden: 128, latent: 10, zero_inflated: has("zinb") };
    let (program, start) = model::build(sizes);
    let backend = CpuBackend { threads: number(0, 2), level: number(1, 1) as u8 };
    let mut exe: Box<dyn Executable<f32>> = backend.prepare(&program).expect("the model can be prepared");
    if has("plan") {
        println!("{}", exe.describe());
    }
    let mut variables = model::start::<f32>(&start);
    let (offsets, columns, values) = model::counts(sizes.cells, sizes.genes);
    let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
    let rows: Vec<u32> = (0..sizes.cells as u32).collect();
    let mut times = vec![];
    let mut parts: Vec<Vec<f64>> = vec![];
    for step in 1..=600_u64 {
        let schedule = [1e-3_f32, step as f32];
        let feeds = [
            Feed::Csr(CsrView { offsets: &offsets, columns: &columns, values: &values }),
            Feed::Index(&rows),
            Feed::Dense(&schedule[..1]),
            Feed::Dense(&schedule[1..]),
        ];
        let begin = Instant::now();
        exe.run(&mut variables, &feeds, StepKey { seed: 1, step }).expect("a step runs");
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        parts.push(exe.timings().iter().map(|t| t.0 * 1e6).collect());
        if [1, 5, 600].contains(&step) {
            println!("step {step}: loss {:?}", exe.output("loss"));
        }
    }
    if has("times") {
        let mut all = 0.0;
        for (i, (_, what)) in exe.timings().into_iter().enumerate() {
            let mut one: Vec<f64> = parts[100..].iter().map(|p| p[i]).collect();
            one.sort_by(f64::total_cmp);
            let (low, mid) = (one[one.len() / 10], one[one.len() / 2]);
            all += low;
            println!("{low:8.1} {mid:8.1} µs  {i}: {what}");
        }
        println!("{all:8.1} µs in all (10 % quantiles, then medians)");
    }
    let mut late = times.split_off(100);
    late.sort_by(f64::total_cmp);
    let at = |q: f64| late[(q * (late.len() - 1) as f64) as usize];
    println!(
        "ms per step: best {:.3}, 10 % {:.3}, median {:.3}, 90 % {:.3}",
        at(0.0),
        at(0.1),
        at(0.5),
        at(0.9)
    );
}
