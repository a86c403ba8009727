//! Cards, as far as they can be checked without one: for every model of the library the printed text, built for the host,
//! gives the CPU's numbers, and the vendor's compiler takes it; and what is said where there is no card.

use crate::plans::{gap, made_up, models, program, run};
use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::backend::cuda::card::{Card, CardMachine};
use autodiff_runtime::backend::cuda::form::{Call, Module};
use autodiff_runtime::backend::cuda::host::Host;
use autodiff_runtime::backend::cuda::machine::Machine;
use autodiff_runtime::backend::cuda::{CudaBackend, nvrtc, print_program};
use autodiff_runtime::optim::{Adam, Optimiser};
use dsl::{Bound, Mode, Purpose, Request};
use std::sync::Arc;

/// Loss and gradients of every model, against those of the CPU in double precision.
fn disagreements(machine: impl Fn(usize) -> Arc<dyn Machine>, models: &[String]) -> Vec<String> {
    let mut wrong = vec![];
    for (i, model) in models.iter().enumerate() {
        let c = crate::library_model(model, &[]);
        let (l, feeds, start) = made_up(&c, Mode::Train);
        let truth = feeds.run_wide(&l, &start);
        let card = CudaBackend::on(machine(i), 1);
        let printed = run(&l, &feeds, &start, &card);
        let cpu = run(&l, &feeds, &start, &CpuBackend { threads: 2, level: 1 });
        for (((name, t), (_, p)), (_, c)) in truth.iter().zip(&printed).zip(&cpu) {
            let ((off, scale), (rounding, _)) = (gap(&truth, t, p), gap(&truth, t, c));
            // Where single precision itself is off by more, the CPU's is the measure.
            if off > (1e-4 * scale).max(3.0 * rounding) || off.is_nan() {
                wrong.push(format!(
                    "{model}, {name}: off by {off:.2e} of {scale:.2e}; the CPU by {rounding:.2e}"
                ));
            }
        }
        let apart = (truth[0].1[0] - printed[0].1[0]).abs() / truth[0].1[0].abs().max(1.0);
        if apart > 1e-5 || apart.is_nan() {
            wrong.push(format!("{model}: the losses {} and {}", truth[0].1[0], printed[0].1[0]));
        }
        if printed != run(&l, &feeds, &start, &card) {
            wrong.push(format!("{model}: two runs differ"));
        }
    }
    wrong
}

/// By a build for the host, the threads of every second model in the opposite order.
#[test]
fn the_printed_text_gives_the_numbers_of_the_cpu() {
    let wrong = disagreements(|i| Arc::new(Host::new(i % 2 == 0)), &models());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// On a card, where there is one.
#[test]
fn a_card_gives_the_numbers_of_the_cpu() {
    let card = match Card::open(0, None) {
        Ok(card) => Arc::new(card),
        Err(why) => return skipped(&why.to_string()),
    };
    let wrong = disagreements(|_| Arc::new(CardMachine(card.clone())), &models());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[allow(clippy::print_stdout, reason = "a test that checks nothing here says so")]
fn skipped(why: &str) {
    println!("skipped: {why}");
}

/// Forward, backward and optimiser of every model, for two generations of cards.
#[test]
fn the_vendors_compiler_takes_every_model() {
    if !nvrtc::is_present() {
        return skipped("no libnvrtc; `.ci/setup nvrtc` fetches it, SVIC_CUDA_LIBS names its folder");
    }
    let mut wrong = vec![];
    for model in models() {
        let c = crate::library_model(&model, &[]);
        let (l, ..) = made_up(&c, Mode::Train);
        let module =
            print_program(&program(&l, Some(Optimiser::Adam(Adam::default()))), 1, 4).expect("prints");
        for arch in [(8, 0), (9, 0)] {
            if let Err(e) = nvrtc::compile(&module.source, arch) {
                wrong.push(format!("{model}, {arch:?}: {e}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn scvi_step(likelihood: &str, n_batch: usize) -> Module {
    let c = crate::library_model("scvi", &[("likelihood".into(), likelihood.into())]);
    let mut b = Bound { n_rows: 20_000, ..Bound::default() };
    b.sizes.insert("gene".into(), 2000);
    b.present.insert("x".into());
    b.sparse.insert("x".into());
    let request = Request { purpose: Purpose::Objective, mode: Mode::Train, n_batch };
    let l = crate::lowered(&c, &b, &request);
    print_program(&program(&l, Some(Optimiser::Adam(Adam::default()))), 1, 4).expect("prints")
}

/// How much a step of scVI asks of a card: launches, library calls, and room beside the plan's.
#[test]
fn a_step_of_scvi_has_few_launches() {
    for (likelihood, most, products) in [("nb", 90, 12), ("zinb", 95, 15)] {
        for n_batch in [128, 4096] {
            let m = scvi_step(likelihood, n_batch);
            let launches = m.calls.iter().filter(|c| matches!(c.1, Call::Launch(_))).count();
            let gemms = m.calls.len() - launches;
            assert!(launches <= most, "{likelihood}, {n_batch} cells: {launches} launches");
            assert!(gemms <= products, "{likelihood}, {n_batch} cells: {gemms} products by the library");
            // Partial sums and waiting values together stay below ten arrays of cells × genes.
            let room = m.rooms.partial + m.rooms.reals + 2 * m.rooms.doubles;
            assert!(room < 10 * n_batch * 2000, "{likelihood}, {n_batch} cells: room for {room} numbers");
            assert!(!m.source.contains("atomicAdd"), "sums keep their order");
        }
    }
}

/// Without a card `cuda` says why in one line, `auto` says what it takes instead, and `doctor` names what is missing.
#[test]
fn where_there_is_no_card_it_is_said() {
    let found = autodiff_runtime::backend::cuda::card::survey();
    if found.problems.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let svic = |args: &[&str]| crate::command::svic(folder.path(), args);
    svic(&["sim", "scvi", "-o", "d.h5ad", "--cells", "60", "--genes", "20"]).expect(0, &[]);
    let no = svic(&["run", "scvi", "d.h5ad", "--epochs", "1", "--backend", "cuda"]);
    no.expect(1, &["error[E0716]: no card can be used: ", &found.problems[0]]);
    let auto = svic(&["run", "scvi", "d.h5ad", "--epochs", "1", "--backend", "auto"]);
    auto.expect(0, &["computing on the CPU, since no card can be used: ", &found.problems[0]]);
    svic(&["doctor"]).expect(0, &["processor: ", "HDF5: ", &found.problems[0]]);
}
