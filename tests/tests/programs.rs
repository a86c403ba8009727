//! Models of the field, end to end by the command line: data are drawn from each by `svic sim`, and `svic run` on these
//! writes every output that the model declares.

use crate::command::svic;
use std::path::{Path, PathBuf};
use svi::anndata::{AnnData, FieldPath, Values};
use tempfile::TempDir;

/// Programs whose modalities have different cells, and the files that `svic sim` makes for them.
const APART: [(&str, &str, &str); 2] = [("gimvi", "sc", "sp"), ("tangram", "sc", "sp")];

/// Programs of several modalities of the same cells.
const TOGETHER: [&str; 2] = ["totalanvi", "totalvi"];

/// Parts that do not stand alone: a fragment, one that needs a trained model (see `parts`), grammar without meaning.
const NOT_ALONE: [&str; 4] = ["every_construct", "semisupervised", "stereoscope", "velovi"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dsl/tests/programs")
}

fn copied() -> (TempDir, Vec<String>) {
    let to = tempfile::tempdir().expect("a temporary folder");
    let mut names = vec![];
    for entry in std::fs::read_dir(folder()).expect("the programs are there") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        std::fs::copy(&path, to.path().join(format!("{name}.svi"))).expect("the program is copied");
        names.push(name);
    }
    names.sort();
    (to, names)
}

/// The file that holds what a path of the program says, and the path inside it.
fn held(folder: &Path, out: &str, destination: &str) -> (AnnData, FieldPath) {
    let path: FieldPath = destination.parse().expect("a path");
    let open = |name: &str| AnnData::open(&folder.join(name)).expect("the output opens");
    match &path {
        FieldPath::Mod(name, inner) if !folder.join(out).is_file() => {
            let (stem, _) = out.split_once('.').expect("an ending");
            (open(&format!("{stem}.{name}.h5ad")), inner.as_ref().clone())
        }
        _ => (open(out), path),
    }
}

#[test]
fn every_program_of_the_field_runs_on_data_drawn_from_it() {
    let (folder, names) = copied();
    for name in names.iter().filter(|n| !NOT_ALONE.contains(&n.as_str())) {
        let program = format!("{name}.svi");
        let ending = if TOGETHER.contains(&name.as_str()) { "h5mu" } else { "h5ad" };
        let (data, out) = (format!("{name}.{ending}"), format!("{name}-out.{ending}"));
        let sizes = ["--cells", "90", "--genes", "30", "--batches", "2", "-q"];
        svic(folder.path(), &[&["sim", &program, "-o", &data][..], &sizes].concat()).expect(0, &[]);
        let files = match APART.iter().find(|a| a.0 == name) {
            Some((_, a, b)) => vec![format!("{a}={name}.{a}.h5ad"), format!("{b}={name}.{b}.h5ad")],
            None => vec![data],
        };
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let model = svi::compile_file(folder.path().join(&program)).expect("it compiles");
        // Also the large ones, which are written on request.
        let asked: Vec<String> = model.compiled().outputs().iter().map(|o| o.name.clone()).collect();
        let asked = asked.join(",");
        let run = [&["run", &program][..], &files, &["--epochs", "2", "-q", "-o", &out]].concat();
        let run = if asked.is_empty() { run } else { [&run[..], &["--output", &asked]].concat() };
        svic(folder.path(), &run).expect(0, &[]);
        for output in model.compiled().outputs() {
            let Some(destination) = &output.destination else { continue };
            let (file, path) = held(folder.path(), &out, destination);
            assert!(file.contains(&path), "{name}: `{destination}` of `{}` was written", output.name);
        }
    }
}

/// Labels are hidden in a fifth of the cells, and what they were stands beside.
#[test]
fn simulated_labels_are_missing_where_the_declaration_allows() {
    let (folder, _) = copied();
    let sim = ["sim", "scanvi.svi", "-o", "a.h5ad", "--cells", "500", "--genes", "20", "--size", "label=4"];
    svic(folder.path(), &sim).expect(0, &[]);
    let data = AnnData::open(&folder.path().join("a.h5ad")).expect("the simulation opens");
    let labels = |name: &str| match data.column(&FieldPath::Obs(name.into())).expect("a column").values {
        Values::Categorical { codes, categories, .. } => {
            codes.iter().map(|c| categories[*c as usize].clone()).collect::<Vec<_>>()
        }
        other => panic!("labels, not {other:?}"),
    };
    let (shown, hidden) = (labels("cell_type"), labels("true_cell_type"));
    let missing = shown.iter().filter(|l| *l == "Unknown").count();
    assert!((70..130).contains(&missing), "{missing} of 500");
    assert!(shown.iter().zip(&hidden).all(|(s, h)| s == "Unknown" || s == h));
    let mut all = hidden;
    all.sort();
    all.dedup();
    assert_eq!(all, ["label_0", "label_1", "label_2", "label_3"]);
    svic(folder.path(), &["sim", "scanvi.svi", "-o", "b.h5ad", "--missing", "1.5"]).expect(2, &["from 0"]);
}

#[test]
fn a_label_that_no_cell_has_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sim = ["sim", "contrastivevi", "-o", "a.h5ad", "--cells", "60", "--genes", "20", "-q"];
    svic(folder.path(), &sim).expect(0, &[]);
    let check = |label: &str| {
        let set = format!("background={label}");
        svic(folder.path(), &["check", "contrastivevi", "a.h5ad", "--set", &set])
    };
    check("group_7").expect(0, &["W0711", "`group` is compared with `group_7`", "group_0, group_1, group_2"]);
    let said = check("group_1");
    assert!(!said.text.contains("is compared with"), "{}", said.text);
}

/// Every program that compiles alone: both players of an adversary, what stands under `stop`, pairs of plates.
#[test]
fn gradients_of_every_program_agree_with_differences() {
    let (folder, names) = copied();
    // Draws of an empty cell make its bound infinite (the library's version has a floor there).
    let alone = |n: &&String| !NOT_ALONE.contains(&n.as_str()) && n.as_str() != "scvi_library";
    for name in names.iter().filter(alone) {
        let sets = ["--set", "hidden=6", "latent=3"];
        let program = format!("{name}.svi");
        let small = !["tangram", "cellassign", "stereoscope_rna"].contains(&name.as_str());
        let args = [&["check", "--grad", &program][..], if small { &sets } else { &[] }].concat();
        svic(folder.path(), &args).expect(0, &["all gradients agree"]);
    }
}

const RATES: &str = "
# Counts of each gene around a level of its own, changed by the batch.
dim cell, gene
data {
  x     : count[cell, gene]  from X
  batch : category[cell]     from obs.batch
}
param level[gene]         : real init normal(1, 1)
param effect[gene, batch] : real init normal(0, 0.5)
param theta[gene]         : positive init normal(1, 0.5)
model {
  plate cell { observe x ~ NB(mean = exp(level + effect[batch]), inv_dispersion = theta) }
}
output {
  rate   = exp(level + effect)  to varm.rate
  spread = log(theta)           to var.spread
}
train {
  epochs = 150
  lr = 0.05
}
";

/// What the data were drawn with is found again, as closely as 2,000 cells tell it.
#[test]
fn parameters_are_recovered_from_data_drawn_with_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("rates.svi"), RATES).expect("the program is written");
    let sim = ["sim", "rates.svi", "-o", "sim.h5ad", "--cells", "2000", "--genes", "40", "-q"];
    svic(folder.path(), &sim).expect(0, &[]);
    let run = ["run", "rates.svi", "sim.h5ad", "-o", "out.h5ad", "-q", "--set", "train_size=1"];
    svic(folder.path(), &run).expect(0, &[]);
    let truth = |name: &str| crate::parts::truth(&folder.path().join("sim.h5ad"), name);
    let (level, effect, theta) = (truth("level"), truth("effect"), truth("theta"));
    let out = AnnData::open(&folder.path().join("out.h5ad")).expect("the output opens");
    let rate = out.table(&FieldPath::Varm("rate".into())).expect("a table by gene").values;
    let Values::Real(spread) = out.column(&FieldPath::Var("spread".into())).expect("a column").values else {
        panic!("numbers by gene")
    };
    assert_eq!((rate.n_rows, rate.n_cols, spread.len()), (40, 3, 40));
    // Standard errors by hand: a rate m is the mean of 667 counts of variance m + m²/θ; 5 of them, and what the optimiser
    // leaves.
    for gene in 0..40 {
        for batch in 0..3 {
            let mean = (level[gene] + effect[gene * 3 + batch]).exp();
            let error = ((mean + mean * mean / theta[gene].exp()) / 667.0).sqrt();
            let found = f64::from(rate.values[gene * 3 + batch]);
            assert!(
                (found - mean).abs() < 5.0 * error + 0.03 * mean,
                "gene {gene}: {found}, not {mean} ± {error}"
            );
        }
    }
    let gaps: Vec<f64> = spread.iter().zip(&theta).map(|(a, b)| (a - b).abs()).collect();
    let mean = gaps.iter().sum::<f64>() / 40.0;
    assert!(mean < 0.15, "log inverse dispersions: mean gap {mean}");
}
