//! Where the time of a training step goes, for any model of the library on any data.
//!
//! `cargo run --release -p svic-benches --example profile -- MODEL FILE [THREADS] [NAME=VALUE …]`: the steps of the plan
//! with the 10 % quantile and the median of their times over minibatches of one epoch, repeated; how long it takes from
//! the file as read to the first step's end; and how long each output takes for all cells, written to memory.
#![allow(clippy::print_stdout, reason = "an example reports to its user")]

use autodiff_runtime::{Feed, StepKey};
use dsl::{Mode, Purpose, Request};
use std::time::Instant;
use svi::batch::{Gatherer, Minibatch, cut, epoch_order};
use svi::engine::Engine;
use svi::train::{Fit, FitOptions};

/// Steps that are timed, and steps before them.
const STEPS: usize = 600;
const WARM: usize = 100;
/// How often each output is asked for.
const OUTPUTS: usize = 5;

fn quantile(mut of: Vec<f64>, q: f64) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get((q * (of.len() - 1) as f64) as usize).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<(), svi::Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, file, rest @ ..] = &args[..] else {
        println!("profile MODEL FILE [THREADS] [NAME=VALUE …]");
        return Ok(());
    };
    let threads = rest.first().and_then(|a| a.parse().ok()).unwrap_or(2);
    let begin = Instant::now();
    let mut model = svi::compile_file(name)?;
    for (name, value) in rest.iter().filter_map(|a| a.split_once('=')) {
        model = model.set(name, value)?;
    }
    let compiled = begin.elapsed();
    let adata = svi::anndata::AnnData::open(file.as_ref())?;
    let (model, data) = model.bind(&adata, &svi::Binds::new())?.into_parts();
    let ready = Instant::now();
    let options = FitOptions { epochs: Some(0), threads: Some(threads), ..FitOptions::default() };
    let fit = Fit::new(model, data, &options)?.run(&options)?;
    let trained = fit.trained();
    let n_batch = trained.settings.batch_size.min(trained.bound.n_rows);
    let request = Request { purpose: Purpose::Objective, mode: Mode::Train, n_batch };
    let engine = Engine::new(options.backend, options.threads)?;
    let mut step = engine.prepare(&trained.model, &trained.bound, &request, Some(&trained.settings))?;
    let mut variables = trained.state.variables.clone();
    let rows: Vec<u32> = (0..trained.bound.n_rows as u32).collect();
    let order = epoch_order(&rows, 0, 0);
    let ranges = cut(order.len(), n_batch);
    let gatherer = Gatherer::new(&fit.data().data, &trained.stats, &step.lowered);
    let mut batch = Minibatch::default();
    let (mut whole, mut gather) = (vec![], vec![]);
    let mut first = None;
    let mut parts: Vec<Vec<f64>> = vec![];
    let full: Vec<_> = ranges.into_iter().filter(|r| r.len() == n_batch).collect();
    for i in 0..WARM + STEPS {
        let begin = Instant::now();
        gatherer.fill_at(&order, full[i % full.len()].clone(), 0, &mut batch);
        gather.push(begin.elapsed().as_secs_f64() * 1e6);
        let (lr, number) = ([trained.state.lr as f32], [(i + 1) as f32]);
        let mut feeds = batch.feeds();
        feeds.extend([Feed::Dense(&lr), Feed::Dense(&number)]);
        let begin = Instant::now();
        let ran = step.exe.run(&mut variables, &feeds, StepKey { seed: 0, step: i as u64 });
        if let Err(error) = ran {
            println!("step {i}: {error}");
            return Ok(());
        }
        first.get_or_insert_with(|| ready.elapsed() + compiled);
        whole.push(begin.elapsed().as_secs_f64() * 1e6);
        parts.push(step.exe.timings().iter().map(|t| t.0 * 1e6).collect());
    }
    let mut all = 0.0;
    for (i, (_, what)) in step.exe.timings().into_iter().enumerate() {
        let one: Vec<f64> = parts[WARM..].iter().map(|p| p[i]).collect();
        let low = quantile(one.clone(), 0.1);
        all += low;
        println!("{low:8.1} {:8.1} µs  {i}: {what}", quantile(one, 0.5));
    }
    let loss = step.exe.output("loss").and_then(|v| v.first()).copied();
    println!("{all:8.1} µs: sum of the 10 % quantiles; loss after {} steps {loss:?}", WARM + STEPS);
    let before = whole.iter().zip(&parts).map(|(all, parts)| all - parts.iter().sum::<f64>()).collect();
    let rows =
        [("step", &whole), ("of it before and after the plan", &before), ("gathering a minibatch", &gather)];
    for (what, times) in rows {
        let late = || times.iter().skip(WARM).copied().collect();
        let [low, mid, high] = [0.1, 0.5, 0.9].map(|q| quantile(late(), q));
        println!("{what}: 10 % {low:.1}, median {mid:.1}, 90 % {high:.1} µs");
    }
    if let Some(first) = first {
        println!(
            "compiling, and from bound data to the end of the first step: {:.1} ms",
            first.as_secs_f64() * 1e3
        );
    }
    for info in fit.trained().model.compiled().outputs() {
        output_steps(&fit, &engine, &info.name)?;
        let mut times = vec![];
        let mut n = 0;
        for _ in 0..OUTPUTS {
            let begin = Instant::now();
            n = fit.output(&info.name)?.values.len();
            times.push(begin.elapsed().as_secs_f64());
        }
        let [low, mid] = [0.0, 0.5].map(|q| quantile(times.clone(), q));
        println!("output `{}`, {n} numbers: median {mid:.3} s, best {low:.3} s", info.name);
    }
    Ok(())
}

/// The steps of an output's plan for some cells, each with the 10 % quantile of its time.
fn output_steps(fit: &Fit, engine: &Engine, name: &str) -> Result<(), svi::Error> {
    let trained = fit.trained();
    let n_batch = 256.min(trained.bound.n_rows);
    let purpose = Purpose::Outputs { names: vec![name.to_owned()], given: vec![] };
    let request = Request { purpose, mode: Mode::Evaluate, n_batch };
    let mut of = engine.prepare(&trained.model, &trained.bound, &request, None)?;
    let order: Vec<u32> = (0..n_batch as u32).collect();
    let gatherer = Gatherer::new(&fit.data().data, &trained.stats, &of.lowered);
    let mut batch = Minibatch::default();
    gatherer.fill_at(&order, 0..n_batch, 0, &mut batch);
    let mut variables = trained.state.variables.clone();
    let (mut parts, mut whole) = (vec![], vec![]);
    for _ in 0..WARM {
        let begin = Instant::now();
        if let Err(error) = of.exe.run(&mut variables, &batch.feeds(), StepKey::default()) {
            println!("output `{name}`: {error}");
            return Ok(());
        }
        whole.push(begin.elapsed().as_secs_f64() * 1e6);
        parts.push(of.exe.timings());
    }
    for i in 0..parts.first().map_or(0, Vec::len) {
        let times = parts.iter().map(|p: &Vec<(f64, String)>| p[i].0 * 1e6).collect();
        println!("{:8.1} µs  {i}: {}", quantile(times, 0.1), parts[0][i].1);
    }
    println!("{:8.1} µs: {n_batch} rows of `{name}`", quantile(whole, 0.1));
    Ok(())
}
