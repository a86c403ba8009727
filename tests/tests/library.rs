//! Models of the library on real data, a few epochs each: they bind what the files hold, train, and write what their users
//! ask for. Where the truth is known to be easy, it is found. Without the folder of shared data nothing is checked.

#![allow(clippy::print_stdout, reason = "a test that checks nothing here says so")]

use crate::command::svic;
use crate::shared;
use svi::anndata::{AnnData, FieldPath};

/// A file of the shared data, if it is here.
fn data(path: &str) -> Option<String> {
    let file = shared().join("data").join(path);
    if !file.exists() {
        println!("skipped: {} is not here", file.display());
        return None;
    }
    Some(file.canonicalize().expect("a path").to_string_lossy().into_owned())
}

/// Runs a model on files for two epochs, and gives the output.
fn run(model: &str, files: &[&str], more: &[&str]) -> AnnData {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let common = ["--epochs", "2", "-q", "-o", "out.h5ad"];
    let args: Vec<&str> = ["run", model].iter().chain(files).chain(more).chain(&common).copied().collect();
    svic(folder.path(), &args).expect(0, &[]);
    AnnData::open(&folder.path().join("out.h5ad")).expect("the output opens")
}

fn labels(a: &AnnData, column: &str) -> Vec<String> {
    let found = a.column(&FieldPath::Obs(column.into())).expect("a column").to_categories();
    found.codes.iter().map(|c| found.labels[*c as usize].clone()).collect()
}

#[test]
fn models_of_counts_run_on_the_files_of_their_field() {
    let runs: [(&str, &str, &[&str], &str); 9] = [
        ("scanvi", "multibatch/kang_ifnb_4samples.h5ad", &["--bind", "batch=obs.sample"], "X_scANVI"),
        ("peakvi", "atac/hemato_600x5000.h5ad", &[], "X_PeakVI"),
        ("poissonvi", "atac/hemato_600x5000.h5ad", &[], "X_PoissonVI"),
        ("totalvi", "citeseq/pbmc5k_200cells_3000g.h5ad", &[], "X_totalVI"),
        ("autozi", "multibatch/pancreas_human_mouse_2000g.h5ad", &[], "X_autoZI"),
        ("condscvi", "spatial/lymph_reference_330.h5ad", &[], "X_CondSCVI"),
        ("amortized_lda", "multibatch/pancreas_human_mouse_2000g.h5ad", &[], "X_LDA"),
        (
            "contrastivevi",
            "perturb/kang_ctrl_stim_2000_1500g.h5ad",
            &["--set", "background=ctrl"],
            "X_contrastiveVI",
        ),
        ("velovi", "velocity/pancreas_100_moments.h5ad", &[], "X_veloVI"),
    ];
    for (model, file, more, latent) in runs {
        let Some(file) = data(file) else { continue };
        let out = run(model, &[&file], more);
        let values = out.table(&FieldPath::Obsm(latent.into())).expect("the latent").values;
        assert!(values.n_rows > 0 && values.values.iter().all(|x| x.is_finite()), "{model}");
    }
}

#[test]
fn markers_assign_simulated_cells() {
    let file = data("markers/cellassign_example_SIMULATED.h5ad");
    let (Some(file), Some(table)) = (file, data("markers/cellassign_example_marker_mat.csv")) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let markers = format!("marker={table}");
    let args = ["run", "cellassign", &file, "--bind", &markers, "-q", "-o", "out.h5ad"];
    svic(folder.path(), &args).expect(0, &["190 of 200"]);
    let out = AnnData::open(&folder.path().join("out.h5ad")).expect("the output opens");
    let (found, truth) = (labels(&out, "cellassign_type"), labels(&out, "cell_type"));
    let right = found.iter().zip(&truth).filter(|(a, b)| a == b).count();
    assert!(right as f64 > 0.95 * truth.len() as f64, "{right} of {}", truth.len());
    // A rise starts anywhere from −2 to 2 and is at least log 2 after every step.
    let model = svi::saved::load(folder.path().join("out.svim")).expect("the trained model");
    let rises = model.state.variables.get("delta").expect("the rises");
    let least = std::f32::consts::LN_2;
    assert!(rises.iter().all(|d| *d >= least) && rises.iter().any(|d| *d > least + 0.1), "{rises:?}");
}

#[test]
fn spots_are_put_together_from_a_trained_reference() {
    let reference = data("spatial/lymph_reference_330.h5ad");
    let (Some(reference), Some(spots)) = (reference, data("spatial/lymph_visium_1000.h5ad")) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = ["run", "stereoscope_rna", &reference, "--epochs", "2", "-q", "-o", "ref.h5ad"];
    svic(folder.path(), &first).expect(0, &[]);
    let second =
        ["run", "stereoscope_spatial", &spots, "--load", "ref=ref.svim", "--epochs", "2", "-o", "out.h5ad"];
    svic(folder.path(), &second).expect(0, &[]);
    let out = AnnData::open(&folder.path().join("out.h5ad")).expect("the output opens");
    let shares = out.table(&FieldPath::Obsm("stereoscope".into())).expect("proportions").values;
    assert_eq!((shares.n_rows, shares.n_cols), (1000, 11));
    for row in shares.values.chunks(11) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }
    let cells = format!("sc={reference}");
    let tissue = format!("sp={spots}");
    svic(folder.path(), &["run", "tangram", &cells, &tissue, "--epochs", "2", "-o", "map.h5mu"])
        .expect(0, &[]);
}

#[test]
fn types_and_states_of_spots_come_from_cells() {
    let reference = data("spatial/lymph_reference_330.h5ad");
    let (Some(reference), Some(spots)) = (reference, data("spatial/lymph_visium_1000.h5ad")) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let small = ["--set", "hidden=16"];
    let first =
        ["run", "condscvi", &reference, "--epochs", "5", "-q", "-o", "ref.h5ad", "--set", "prior_of_z=mog"];
    svic(folder.path(), &[&first[..], &small[1..]].concat()).expect(0, &[]);
    let second = ["run", "destvi", &spots, "--load", "ref=ref.svim", "--epochs", "2", "-o", "out.h5ad"];
    // A net is taken as it was trained.
    svic(folder.path(), &second).expect(1, &["E0308", "--set hidden=16", "ref.decoder.mlp.0.linear.weight"]);
    let second = [&second[..], &small].concat();
    svic(folder.path(), &second).expect(0, &[]);
    let out = AnnData::open(&folder.path().join("out.h5ad")).expect("the output opens");
    let table = |name: &str| out.table(&FieldPath::Obsm(name.into())).expect("a table").values;
    let (shares, states) = (table("destvi"), table("destvi_states"));
    assert_eq!((shares.n_rows, shares.n_cols), (1000, 11));
    assert_eq!((states.n_rows, states.n_cols), (1000, 11 * 5));
    assert!(states.values.iter().all(|x| x.is_finite()));
    for row in shares.values.chunks(11) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }
    // What came from the single-cell half is as it was; the rest has moved.
    let model = |name: &str| svi::saved::load(folder.path().join(name)).expect("a model");
    let (cells, spots) = (model("ref.svim"), model("out.svim"));
    let values = |t: &svi::Trained, name: &str| t.state.variables.get(name).expect("a parameter").to_vec();
    let weight = "decoder.mlp.1.linear.weight";
    assert_eq!(values(&cells, weight), values(&spots, weight));
    let by_gene = |t: &svi::Trained, name: &str| -> std::collections::BTreeMap<String, f32> {
        t.vocabularies.axes["gene"].iter().cloned().zip(values(t, name)).collect()
    };
    let (before, after) = (by_gene(&cells, "logits.linear.bias"), by_gene(&spots, "logits.linear.bias"));
    assert!(!after.is_empty() && after.iter().all(|(gene, v)| before[gene] == *v));
    let (before, after) = (by_gene(&cells, "theta"), by_gene(&spots, "theta"));
    let far = |(gene, v): (&String, &f32)| (before[gene] - v).abs();
    let moved: Vec<f32> = after.iter().map(far).collect();
    assert!(moved.iter().all(|d| *d < 1.0) && moved.iter().any(|d| *d > 1e-4), "theta starts where it ended");
}

#[test]
fn made_doublets_are_told_from_cells() {
    let Some(file) = data("doublets/cell_hashing_4lines_2000.h5ad") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let go = |args: &[&str]| {
        svic(folder.path(), args).expect(0, &[]);
    };
    go(&["run", "scvi", &file, "--epochs", "5", "-q", "-o", "cells.h5ad"]);
    go(&["prep", &file, "--doublets", "1", "-o", "made.h5ad"]);
    go(&["apply", "cells.svim", "made.h5ad", "-o", "seen.h5ad"]);
    go(&["run", "solo", "seen.h5ad", "--epochs", "20", "-q", "-o", "out.h5ad"]);
    let out = AnnData::open(&folder.path().join("out.h5ad")).expect("the output opens");
    let (found, truth) = (labels(&out, "solo"), labels(&out, "doublet"));
    let right = found.iter().zip(&truth).filter(|(a, b)| a == b).count();
    assert!(right as f64 > 0.7 * truth.len() as f64, "{right} of {}", truth.len());
}
