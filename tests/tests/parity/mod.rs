//! The numbers of the reference package: loss terms, intermediate tensors and the gradient of every parameter, at fixed
//! weights and noise, for every case of the manifests whose model the library has.
//!
//! The folder is `../shared/parity`, or the one named by `SVIC_PARITY` (a folder of the same form). Where it is absent
//! the tests say so and pass nothing off as checked.

#![allow(clippy::print_stdout, reason = "a test that checks nothing here says so")]

mod augmented;
pub(crate) mod case;
mod evaluate;
mod families;
mod implicit;
mod inputs;
mod train;

use case::{Case, Outcome};
use std::path::PathBuf;

/// The folders with manifests, if they are here.
fn folders() -> Vec<PathBuf> {
    let root = std::env::var_os("SVIC_PARITY").map_or_else(|| crate::shared().join("parity"), PathBuf::from);
    ["core", "more", "."].iter().map(|d| root.join(d)).filter(|d| case::manifest(d).is_some()).collect()
}

/// Runs `check` on every case; reports what was skipped and fails with all mismatches at once.
fn run(wanted: impl Fn(&Case) -> bool, check: impl Fn(&Case) -> Outcome) {
    let folders = folders();
    if folders.is_empty() {
        println!("skipped: no parity fixtures here (set SVIC_PARITY to a folder with core/manifest.json)");
        return;
    }
    let (mut checked, mut skipped, mut failures) = (0, 0, vec![]);
    for case in folders.iter().flat_map(|f| case::cases(f)).filter(|c| wanted(c)) {
        let checked_case = std::panic::AssertUnwindSafe(|| check(&case));
        let outcome = std::panic::catch_unwind(checked_case).unwrap_or_else(|e| {
            let said = e.downcast_ref::<String>().cloned();
            let said = said.or_else(|| e.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Outcome::Differs(vec![said.unwrap_or_else(|| "panic".to_owned())])
        });
        match outcome {
            Outcome::Agrees => checked += 1,
            Outcome::Skipped(why) => {
                println!("skipped: {}: {why}", case.name);
                skipped += 1;
            }
            Outcome::Differs(list) => {
                failures.extend(list.into_iter().map(|l| format!("{}: {l}", case.name)))
            }
        }
    }
    println!("{checked} cases agree, {skipped} skipped");
    assert!(failures.is_empty(), "{} disagreements:\n{}", failures.len(), failures.join("\n"));
    assert!(checked > 0, "no case could be checked");
}

#[test]
fn evaluation_cases_agree_on_the_cpu() {
    run(|c| !c.is_training(), |c| evaluate::check(c, evaluate::Route::Cpu32));
}

#[test]
fn evaluation_cases_agree_in_double_precision() {
    run(|c| !c.is_training(), |c| evaluate::check(c, evaluate::Route::Cpu64));
}

#[test]
fn evaluation_cases_agree_with_the_dfdx_tape() {
    run(|c| !c.is_training(), |c| evaluate::check(c, evaluate::Route::Dfdx64));
}

#[test]
fn training_cases_agree_step_by_step() {
    run(Case::is_training, train::check);
}
