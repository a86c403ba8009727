//! Every parameter of every model of the library, under every choice of every option, in both modes.

use super::made::{Made, bound, variables};
use super::{Differentiated, KEY};
use autodiff_runtime::backend::reference::evaluate;
use dsl::{Bound, Compiled, Mode, Purpose, Request, VariableKind};
use std::collections::BTreeMap;

const N_CELLS: usize = 6;

/// Each option that the file itself declares alone at each of its values, beside the defaults.
fn settings(c: &Compiled, text: &str) -> Vec<Vec<(String, String)>> {
    let mut all = vec![vec![]];
    let own = |name: &str| text.lines().any(|l| l.starts_with("option ") && l.contains(&format!(" {name} ")));
    for o in c.options().iter().filter(|o| own(&o.name)) {
        let values: Vec<String> = match o.choices[..] {
            [] if o.value.parse::<bool>().is_ok() => vec!["true".into(), "false".into()],
            [] if o.name == "layers" => vec!["2".into()],
            [] => vec![],
            ref words => words.to_vec(),
        };
        all.extend(values.into_iter().filter(|v| *v != o.value).map(|v| vec![(o.name.clone(), v)]));
    }
    all
}

/// The statistics of made-up data.
pub fn statistics(c: &Compiled, b: &Bound) -> BTreeMap<String, Vec<f64>> {
    let request = Request { purpose: Purpose::Statistics, mode: Mode::Evaluate, n_batch: b.n_rows };
    let l = crate::lowered(c, b, &request);
    let made = Made::new(c, b, &l, &BTreeMap::new(), 0.0);
    let wanted: Vec<_> = l.graph.outputs().iter().map(|o| o.1).collect();
    let values = evaluate(&l.graph, &wanted, &variables(&l), &made.feeds(), KEY).expect("statistics run");
    l.graph.outputs().iter().map(|o| o.0.clone()).zip(values).collect()
}

/// Disagreements of one configuration in one mode, and how many entries were compared.
pub fn check(c: &Compiled, mode: Mode) -> (Vec<String>, usize) {
    let b = bound(c, N_CELLS);
    let stats = statistics(c, &b);
    let l = crate::lowered(c, &b, &Request { purpose: Purpose::Objective, mode, n_batch: N_CELLS });
    // In the middle of a warm-up every weight is strictly between 0 and 1.
    let made = Made::new(c, &b, &l, &stats, 100.0);
    // What all players minimise together.
    let loss = l.loss.expect("an objective has a loss");
    let trained = l.variables.iter().filter(|v| v.kind == VariableKind::Trained);
    let trained = trained.filter_map(|v| l.graph.find_variable(&v.name)).collect();
    let variables = variables(&l);
    Differentiated { graph: &l.graph, loss, trained, feeds: &made.feeds(), variables: &variables, most: 5 }
        .disagreements()
}

/// Guides of low rank for every support, where sites exist in places and for each cell: their elimination is written out
/// in the graph.
#[test]
fn guides_of_low_rank() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../dsl/tests/cases/ok/low_rank.svi");
    let c = svi::compile_file(file).expect("it compiles");
    for mode in [Mode::Train, Mode::Evaluate] {
        let (wrong, n) = check(c.compiled(), mode);
        assert!(wrong.is_empty() && n > 100, "{mode:?}, {n} entries: {}", wrong.join("\n"));
    }
}

#[test]
fn every_parameter_of_every_library_model_under_every_choice() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib");
    let mut models: Vec<String> = std::fs::read_dir(&folder)
        .expect("the library is checked in")
        .map(|e| e.expect("a readable folder").path())
        .filter(|p| p.extension().is_some_and(|e| e == "svi"))
        .map(|p| p.file_stem().expect("a file").to_string_lossy().into_owned())
        .collect();
    models.sort();
    let small = [("latent", "2"), ("hidden", "3"), ("dropout", "0.3")];
    let mut wrong = vec![];
    let mut compared = 0;
    for model in &models {
        let known = crate::library_model(model, &[]);
        let is_set =
            |a: &dsl::AxisInfo| matches!(a.source, dsl::AxisSource::Knob(_) | dsl::AxisSource::Formula(_));
        let has = |n: &str| {
            known.options().iter().any(|o| o.name == n)
                || known.axes().iter().any(|a| a.name == n && is_set(a))
        };
        let small = small.iter().filter(|(n, _)| has(n)).map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        let small: Vec<_> = small.collect();
        let text = std::fs::read_to_string(folder.join(format!("{model}.svi"))).expect("a readable file");
        for mut sets in settings(&known, &text) {
            let what = format!("{model} {sets:?}");
            sets.extend(small.clone());
            let c = crate::library_model(model, &sets);
            // The modes differ in norms and dropout alone.
            let modes =
                if sets.len() == small.len() { &[Mode::Train, Mode::Evaluate][..] } else { &[Mode::Train] };
            for &mode in modes {
                let (found, n) = check(&c, mode);
                compared += n;
                wrong.extend(found.into_iter().map(|f| format!("{what} {mode:?}: {f}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{compared} entries of gradients compared");
    assert!(compared > 1000);
}
