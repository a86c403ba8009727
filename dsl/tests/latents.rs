//! Models of the field that need sums, point estimates, mixtures and free terms: they compile, explain themselves as
//! their golden says, lower to sound graphs for every purpose, and run.

mod common;

use common::{World, bound, request, root, same};
use dsl::diagnostic::render;
use dsl::source::Sources;
use dsl::{AxisSource, Bound, Compiled, Library, Mode, Purpose, Settings, compile};

/// Files beside the program first, then the checked-in library.
struct Beside;

impl Library for Beside {
    fn find(&self, path: &str) -> Option<(String, String)> {
        let folders = ["tests/programs", "../stdlib"];
        let files = folders.map(|f| root().join(f).join(format!("{path}.svi")));
        let text = files.iter().find_map(|f| std::fs::read_to_string(f).ok())?;
        Some((format!("{path}.svi"), text))
    }
}

fn program(name: &str, sets: &[(&str, &str)]) -> Compiled {
    let path = root().join("tests/programs").join(format!("{name}.svi"));
    let mut sources = Sources::new();
    let text = std::fs::read_to_string(path).expect("a readable file");
    let file = sources.add(format!("{name}.svi"), text);
    let sets = sets.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let (compiled, diagnostics) =
        compile(&mut sources, file, &Settings { sets, ..Settings::default() }, &Beside);
    compiled.unwrap_or_else(|| panic!("{name}\n{}", render(&sources, &diagnostics, false)))
}

const PROGRAMS: [&str; 11] = [
    "autozi",
    "cellassign",
    "contrastive",
    "decipher",
    "factors",
    "resolvi",
    "scanvi",
    "scvi_library",
    "sysvi",
    "totalanvi",
    "totalvi",
];

/// Bindings to try: everything present, only what must be, and every category with one label.
fn bindings(c: &Compiled, n_rows: usize) -> [Bound; 3] {
    let mut one = bound(c, n_rows, true);
    for axis in c.axes().iter().filter(|a| matches!(a.source, AxisSource::Category(_))) {
        one.sizes.insert(axis.name.clone(), 1);
    }
    [bound(c, n_rows, true), bound(c, n_rows, false), one]
}

fn golden(name: &str, text: &str) {
    let path = root().join("tests/cases/explain").join(name);
    if std::env::var_os("SVIC_BLESS").is_some() {
        std::fs::write(&path, text).expect("a writable folder");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name}; SVIC_BLESS=1 accepts the new text");
}

#[test]
fn models_explain_themselves() {
    for name in PROGRAMS {
        // The library may have a program of the same name.
        golden(&format!("program_{name}.txt"), &program(name, &[]).explain());
    }
    golden("scanvi_labels.txt", &program("scanvi", &[("condition_on_labels", "true")]).explain());
}

#[test]
fn models_lower_and_run() {
    let small = [("latent", "2"), ("hidden", "3")];
    for name in PROGRAMS {
        let c = if name == "cellassign" { program(name, &[]) } else { program(name, &small) };
        let outputs =
            Purpose::Outputs { names: c.outputs().iter().map(|o| o.name.clone()).collect(), given: vec![] };
        for bound in bindings(&c, 5) {
            let w = World { model: &c, bound, canonical: same, epoch: 7.0, step: 1 };
            for mode in [Mode::Train, Mode::Evaluate] {
                for purpose in [Purpose::Objective, outputs.clone(), Purpose::Simulation, Purpose::Statistics]
                {
                    let l = c.lower(&w.bound, &request(purpose.clone(), mode, 3)).expect("lowers");
                    if let Err(e) = l.graph.clone().verify() {
                        panic!("{name} {purpose:?} {mode:?}: {e:?}");
                    }
                    if purpose == Purpose::Statistics {
                        continue;
                    }
                    for (output, values) in w.run(&l, &[0, 2, 4]) {
                        let finite = values.iter().all(|v| v.is_finite());
                        assert!(finite, "{name} {purpose:?} {mode:?} {output}: {values:?}");
                    }
                }
            }
        }
    }
}

/// The rows of a term, in evaluation, for both programs at the same step.
fn rows(c: &Compiled, term: &str) -> Vec<f64> {
    let w = World { model: c, bound: bound(c, 5, true), canonical: same, epoch: 7.0, step: 1 };
    w.objective(Mode::Evaluate, &[0, 2, 4])[&format!("row:{term}")].clone()
}

/// Where a label is known the bound is at that label: −log p(label) is log K, whatever the classifier says.
#[test]
fn known_labels_are_known() {
    let small = [("latent", "2"), ("hidden", "3"), ("condition_on_labels", "true")];
    let (ignoring, knowing) = (program("scanvi", &small[..2]), program("scanvi", &small));
    let (a, b) = (rows(&ignoring, "kl(label)"), rows(&knowing, "kl(label)"));
    let k = bound(&knowing, 5, true).sizes["label"] as f64;
    let mut known = 0;
    for (i, row) in [0, 2, 4].into_iter().enumerate() {
        let w =
            World { model: &knowing, bound: bound(&knowing, 5, true), canonical: same, epoch: 7.0, step: 1 };
        if w.is_known("label", &[row]) == 1.0 {
            assert!((b[i] - k.ln()).abs() < 1e-12, "{b:?}");
            known += 1;
        } else {
            assert!((a[i] - b[i]).abs() < 1e-12, "{a:?} {b:?}");
        }
        assert!(a[i] < k.ln() - 1e-6, "{a:?}");
    }
    assert!(known > 0 && known < 3, "the made-up data has both");
    assert_ne!(rows(&ignoring, "kl(u)"), rows(&knowing, "kl(u)"));
}
