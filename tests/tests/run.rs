//! The main job, end to end: simulate, run, resume, apply, import; what must be reproducible is so to the bit.

use crate::command::{files, svic};
use crate::shared;
use std::path::Path;
use std::sync::atomic::Ordering;
use svi::anndata::{AnnData, FieldPath, UnsValue};
use svi::train::{Ending, Progress};
use svi::{Binds, FitOptions, saved};
use tempfile::TempDir;

fn simulated(model: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sim = ["sim", model, "-o", "sim.h5ad", "--cells", "150", "--genes", "30", "--batches", "2", "-q"];
    svic(folder.path(), &sim).expect(0, &[]);
    folder
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).expect("the file is there")
}

fn latent(path: &Path) -> Vec<f32> {
    let adata = AnnData::open(path).expect("the output opens");
    adata.table(&FieldPath::Obsm("X_scVI".into())).expect("it holds the latent").values.values
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_threads() {
    let folder = simulated("scvi");
    let run = |out: &str, more: &[&str]| {
        let mut args = vec!["run", "scvi", "sim.h5ad", "--epochs", "4", "-q", "-o", out];
        args.extend(more);
        svic(folder.path(), &args).expect(0, &[]);
        read(folder.path(), &out.replace("h5ad", "svim"))
    };
    let one = run("one.h5ad", &["--threads", "1"]);
    assert!(one == run("two.h5ad", &["--threads", "2"]));
    assert!(one == run("again.h5ad", &["--threads", "1"]));
    let watched = run("watched.h5ad", &["--history", "h.jsonl"]);
    let parameters = |bytes: &[u8]| saved::from_bytes(bytes, Path::new("x.svim")).unwrap().state.variables;
    assert!(parameters(&one) == parameters(&watched), "watching changes nothing but the history");
    assert!(one != run("other.h5ad", &["--seed", "1"]));
    assert_eq!(latent(&folder.path().join("one.h5ad")), latent(&folder.path().join("two.h5ad")));
}

#[test]
fn a_resumed_run_ends_as_an_unbroken_one() {
    for model in ["scvi", "scvi_latent_library"] {
        let folder = simulated(model);
        let run = |args: &[&str]| {
            svic(folder.path(), &[&["run"], args, &["-q"]].concat()).expect(0, &[]);
        };
        run(&[model, "sim.h5ad", "--epochs", "7", "-o", "whole.h5ad", "--history", "w.jsonl"]);
        run(&[model, "sim.h5ad", "--epochs", "3", "-o", "half.h5ad", "--history", "h.jsonl"]);
        run(&["--resume", "half.svim", "--epochs", "7", "-o", "rest.h5ad", "--history", "h.jsonl"]);
        assert!(read(folder.path(), "whole.svim") == read(folder.path(), "rest.svim"), "{model}");
        let history = String::from_utf8(read(folder.path(), "h.jsonl")).unwrap();
        assert_eq!(history.lines().count(), 7);
    }
}

#[test]
fn schedules_survive_a_resumption() {
    let folder = simulated("scvi");
    let program = "extends scvi\ntrain {\n  early_stopping = true\n  plateau = true\n  batch_size = 32\n}\n";
    std::fs::write(folder.path().join("mine.svi"), program).unwrap();
    let run = |args: &[&str]| {
        svic(folder.path(), &[&["run"], args, &["-q"]].concat()).expect(0, &[]);
    };
    run(&["mine.svi", "sim.h5ad", "--epochs", "90", "-o", "whole.h5ad"]);
    run(&["mine.svi", "sim.h5ad", "--epochs", "35", "-o", "half.h5ad"]);
    run(&["--resume", "half.svim", "mine.svi", "sim.h5ad", "--epochs", "90", "-o", "rest.h5ad"]);
    assert!(read(folder.path(), "whole.svim") == read(folder.path(), "rest.svim"));
    let trained = svi::load(folder.path().join("whole.svim")).unwrap();
    assert!(trained.state.history.iter().all(|r| r.validation.is_some()));
    std::fs::write(folder.path().join("mine.svi"), program.replace("32", "64")).unwrap();
    svic(folder.path(), &["run", "--resume", "half.svim", "mine.svi", "sim.h5ad", "-o", "x.h5ad"])
        .expect(1, &["E0708", "`train`", "half.svim"]);
}

/// Stops a run after some steps.
struct Stopper(FitOptions, usize);

impl Progress for Stopper {
    fn step(&mut self, _: usize, _: f64) {
        self.1 -= 1;
        if self.1 == 0 {
            self.0.stop.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn an_interrupted_run_keeps_its_last_epoch_and_can_be_resumed() {
    let folder = simulated("scvi");
    let adata = AnnData::open(&folder.path().join("sim.h5ad")).unwrap();
    let bound = svi::compile_file("scvi").unwrap().bind(&adata, &Binds::new()).unwrap();
    let options = FitOptions { epochs: Some(5), ..FitOptions::default() };
    let whole = bound.clone().fit(&options).unwrap();
    let (model, data) = bound.into_parts();
    let stopped = FitOptions { epochs: Some(5), ..FitOptions::default() };
    let mut stopper = Stopper(stopped.clone(), 5);
    let fit = svi::Fit::new(model, data.clone(), &stopped).unwrap().run_with(&stopped, &mut stopper).unwrap();
    assert_eq!(fit.ending(), Ending::Interrupted);
    assert_eq!(fit.trained().state.epoch, 2, "two minibatches an epoch, stopped in the third");
    let bytes = saved::to_bytes(fit.trained()).unwrap();
    let again = saved::from_bytes(&bytes, Path::new("x.svim")).unwrap();
    let fit = svi::Fit::resume(again, data, &options).unwrap().run(&options).unwrap();
    assert!(saved::to_bytes(fit.trained()).unwrap() == saved::to_bytes(whole.trained()).unwrap());
}

#[test]
fn outputs_are_written_back_and_apply_gives_them_again() {
    let folder = simulated("scvi");
    let run = ["run", "scvi", "sim.h5ad", "--epochs", "2", "-o", "out.h5ad", "--output", "expression"];
    svic(folder.path(), &run).expect(0, &["training on 135 cells", "epoch 2/2", "cells/s", "negative ELBO"]);
    let path = folder.path().join("out.h5ad");
    let adata = AnnData::open(&path).unwrap();
    assert_eq!(adata.obsm_names(), ["X_scVI", "z"]);
    assert_eq!(adata.layers(), ["scvi"]);
    let UnsValue::Map(uns) = adata.uns(&FieldPath::Uns(vec!["svic".into()])).unwrap() else {
        panic!("a map")
    };
    for key in ["version", "options", "history", "elbo_all", "source", "seed"] {
        assert!(uns.contains_key(key), "{key}");
    }
    let rows = adata.matrix(&FieldPath::Layer("scvi".into())).unwrap().row_totals();
    assert!(rows.iter().all(|total| (total - 1.0).abs() < 1e-4), "proportions");
    let apply = ["apply", "out.svim", "sim.h5ad", "-o", "again.h5ad"];
    svic(folder.path(), &apply).expect(0, &["again.h5ad"]);
    assert_eq!(latent(&path), latent(&folder.path().join("again.h5ad")));
    let given =
        ["apply", "out.svim", "sim.h5ad", "-o", "given.h5ad", "--output", "expression", "--samples", "3"];
    svic(folder.path(), &[&given[..], &["--given", "batch=batch_1"]].concat()).expect(0, &[]);
    let held = AnnData::open(&folder.path().join("given.h5ad")).unwrap();
    let layer = FieldPath::Layer("scvi".into());
    assert_ne!(held.matrix(&layer).unwrap(), adata.matrix(&layer).unwrap());
    svic(folder.path(), &["show", "out.svim"]).expect(0, &["latent = 10", "decoder.rho.linear.weight"]);
}

#[test]
fn genes_are_matched_by_name() {
    let folder = simulated("scvi");
    let run = ["run", "scvi", "sim.h5ad", "--epochs", "2", "-o", "out.h5ad", "-q"];
    svic(folder.path(), &run).expect(0, &[]);
    let adata = AnnData::open(&folder.path().join("sim.h5ad")).unwrap();
    // The genes reversed, the last one missing, one more that training did not know.
    let sources: Vec<Option<usize>> = (0..29).rev().map(Some).chain([None]).collect();
    let mut var_names: Vec<String> = (0..29).rev().map(|i| format!("gene_{i}")).collect();
    var_names.push("stranger".into());
    let data = svi::anndata::NewAnnData {
        obs_names: adata.obs_names().to_vec(),
        var_names,
        x: Some(adata.matrix(&FieldPath::X).unwrap().with_columns(&sources)),
        parts: svi::anndata::Additions {
            obs: vec![("batch".into(), adata.column(&FieldPath::Obs("batch".into())).unwrap())],
            ..Default::default()
        },
    };
    svi::anndata::write_new(&folder.path().join("new.h5ad"), &data, Default::default()).unwrap();
    svic(folder.path(), &["apply", "out.svim", "new.h5ad", "-o", "applied.h5ad"])
        .expect(0, &["warning[W0706]", "1 of 30", "gene_29"]);
    let (a, b) = (latent(&folder.path().join("out.h5ad")), latent(&folder.path().join("applied.h5ad")));
    assert_eq!(a.len(), b.len());
    let far = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1.0, "one gene of thirty missing moves the latent a little: {far}");
}

#[test]
fn history_has_a_line_for_every_epoch() {
    let folder = simulated("scvi");
    let run = ["run", "scvi", "sim.h5ad", "--epochs", "3", "-o", "out.h5ad", "--history", "h.jsonl", "-q"];
    svic(folder.path(), &run).expect(0, &[]);
    let text = String::from_utf8(read(folder.path(), "h.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line["epoch"], i + 1);
        assert!(line["seconds"].as_f64().unwrap() > 0.0 && line["cells_per_s"].as_f64().unwrap() > 0.0);
        for part in ["train", "validation"] {
            let m = &line[part];
            let (lik, kl) = (m["lik(x)"].as_f64().unwrap(), m["kl(z)"].as_f64().unwrap());
            assert!((m["elbo"].as_f64().unwrap() - (kl - lik)).abs() < 1e-6, "{m}");
        }
    }
}

#[test]
fn training_improves_the_bound_and_backends_agree() {
    let folder = simulated("scvi");
    let adata = AnnData::open(&folder.path().join("sim.h5ad")).unwrap();
    let bound = || svi::compile_file("scvi").unwrap().bind(&adata, &Binds::new()).unwrap();
    let fit = |backend, epochs| {
        let options = FitOptions { backend, epochs: Some(epochs), ..FitOptions::default() };
        bound().fit(&options).unwrap()
    };
    let cpu = fit(svi::BackendKind::Cpu, 30);
    let history = &cpu.trained().state.history;
    assert!(history[29].train.elbo < history[0].train.elbo - 5.0, "{:?}", history[29].train);
    let (a, b) = (fit(svi::BackendKind::Cpu, 1), fit(svi::BackendKind::Dfdx, 1));
    let (a, b) = (a.trained().state.history[0].train.elbo, b.trained().state.history[0].train.elbo);
    assert!((a - b).abs() < 1e-3 * a.abs(), "{a} {b}");
}

#[test]
fn every_model_of_the_library_simulates_and_runs() {
    for (name, _) in svi::library::STDLIB {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let model = svi::compile_file(name).expect("the library compiles");
        // What needs a trained model, or files of different cells, runs on real data (see `library`).
        if !model.compiled().loads().is_empty() || model.compiled().plate().is_none() {
            continue;
        }
        let several =
            model.compiled().slots().iter().any(|s| s.path.as_ref().is_some_and(|p| p.starts_with("mod.")));
        let ending = if several { "h5mu" } else { "h5ad" };
        let (data, out) = (format!("sim.{ending}"), format!("out.{ending}"));
        let sim = ["sim", name, "-o", &data, "--cells", "150", "--genes", "30", "--batches", "2", "-q"];
        svic(folder.path(), &sim).expect(0, &[]);
        svic(folder.path(), &["check", name, &data]).expect(0, &["no errors"]);
        let asked: Vec<String> = model.compiled().outputs().iter().map(|o| o.name.clone()).collect();
        let asked = asked.join(",");
        let run = ["run", name, &data, "--epochs", "1", "-o", &out, "-q"];
        let run = if asked.is_empty() { run.to_vec() } else { [&run[..], &["--output", &asked]].concat() };
        svic(folder.path(), &run).expect(0, &[]);
        let file = AnnData::open(&folder.path().join(&out)).expect("the output opens");
        for output in model.compiled().outputs() {
            let Some(path) = &output.destination else { continue };
            assert!(file.contains(&path.parse().expect("a path")), "{name}: {path}");
        }
        svic(folder.path(), &["explain", name]).expect(0, &["lik("]);
    }
}

#[test]
fn forms_and_pages_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let print = |args: &[&str], said: &[&str]| {
        svic(folder.path(), args).expect(0, said);
    };
    print(&["list"], &["scvi ", "Lopez"]);
    print(&["show", "scvi", "--source"], &["observe x ~"]);
    print(&["show", "scvi"], &["Paper: Lopez et al., 2018", "| `likelihood` | `zinb` |", "svic run scvi"]);
    print(&["explain", "E0507"], &["enumeration couples elements"]);
    print(
        &["compile", "scvi", "--emit", "graph", "--size", "gene=50", "batch=3"],
        &["axis", "= 50", "output `loss`"],
    );
    print(&["compile", "scvi", "--emit", "ast"], &["plate cell"]);
    svic(folder.path(), &["explain", "E0599"]).expect(1, &["no code `E0599`"]);
    svic(folder.path(), &["compile", "scvi", "--emit", "tokns"]).expect(1, &["objective", "graph"]);
    print(&["compile", "scvi", "--emit", "plan", "-o", "plan.txt"], &[]);
    assert_eq!(files(folder.path()), ["plan.txt"]);
}

#[test]
fn a_reference_model_is_imported_and_gives_its_latent() {
    let fixture = shared().join("parity/core/scvi_nb_gene.safetensors");
    if !fixture.is_file() {
        eprintln!("skipped: {} is absent", fixture.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let all = svi::import::read_state(&fixture).unwrap().tensors;
    let state = folder.path().join("state.safetensors");
    let params: Vec<(String, Vec<usize>, Vec<u8>)> = all
        .iter()
        .filter_map(|(name, t)| {
            let bytes = t.values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
            Some((name.strip_prefix("param.")?.to_owned(), t.shape.clone(), bytes))
        })
        .collect();
    let views = params.iter().map(|(name, shape, bytes)| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &state).unwrap();
    let x = &all["input.X"];
    let values = x.values.iter().map(|v| *v as f32).collect();
    let (n, g) = (x.shape[0], x.shape[1]);
    let codes = all["input.batch"].values.iter().map(|v| *v as i32).collect();
    let labels = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
    let batch = svi::anndata::Values::Categorical { codes, categories: labels(2), ordered: false };
    let data = svi::anndata::NewAnnData {
        obs_names: labels(n),
        var_names: labels(g),
        x: Some(svi::anndata::Matrix::Dense(svi::anndata::Dense { n_rows: n, n_cols: g, values })),
        parts: svi::anndata::Additions {
            obs: vec![("batch".into(), svi::anndata::Column::new(batch))],
            ..Default::default()
        },
    };
    svi::anndata::write_new(&folder.path().join("data.h5ad"), &data, Default::default()).unwrap();
    let latent_size = all["out.z"].shape[1];
    let hidden = all["param.z_encoder.encoder.fc_layers.Layer 0.0.bias"].shape[0];
    let (latent_set, hidden_set) = (format!("latent={latent_size}"), format!("hidden={hidden}"));
    let import = [
        "import",
        "scvi-tools",
        "state.safetensors",
        "-o",
        "in.svim",
        "--size",
        "batch=2",
        "--set",
        "likelihood=nb",
    ];
    svic(folder.path(), &[&import[..], &[&latent_set, &hidden_set]].concat()).expect(0, &["in.svim"]);
    svic(folder.path(), &["apply", "in.svim", "data.h5ad", "-o", "out.h5ad"]).expect(0, &["out.h5ad"]);
    let ours = latent(&folder.path().join("out.h5ad"));
    let theirs = &all["out.qz_m"].values;
    let far = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    assert!(ours.len() == theirs.len() && far < 1e-4, "{far}");
}

const LABELLED: &str = "dim cell, gene
dim latent = 3
data {
  x    : count[cell, gene]  from X
  kind : category?[cell]    from obs.batch  missing \"Unknown\"
}
param theta[gene] : positive
net encoder(v[gene]) { return Normal(mean = linear[latent](v), scale = exp(linear[latent](v))) }
net classifier(z[latent]) { return linear[kind](z) }
net decoder(z[latent]) { return softmax(linear[gene](z)) }
model {
  plate cell {
    observe kind ~ Categorical(probs = uniform(kind))
    z[latent] ~ Normal(0, 1)
    observe x ~ NB(mean = sum(x over gene) * decoder(z), inv_dispersion = theta)
  }
}
guide {
  plate cell {
    z    ~ encoder(log1p(x))
    kind ~ Categorical(logits = classifier(z))
  }
}
objective {
  ignore kind
  minimize 50 * mean(-logq(kind given z = mean(z)) over cell where observed(kind))
}
output { predicted = argmax(prob(kind) over kind)  to obs.predicted }
";

/// The term of the classifier in the first epochs of a run on data whose labels are all known.
fn classification(train: &str) -> Vec<f64> {
    let folder = simulated("scvi");
    let program = format!("{LABELLED}train {{ {train} }}\n");
    std::fs::write(folder.path().join("mine.svi"), program).expect("the program is written");
    let run = ["run", "mine.svi", "sim.h5ad", "--epochs", "2", "-q", "-o", "out.h5ad"];
    svic(folder.path(), &run).expect(0, &[]);
    let trained = svi::load(folder.path().join("out.svim")).expect("a trained model");
    let term = |r: &svi::train::EpochRecord| {
        r.train.terms.iter().find(|t| t.0 == "term 1").expect("the free term").1
    };
    trained.state.history.iter().map(term).collect()
}

#[test]
fn labelled_rows_come_as_minibatches_of_their_own() {
    let usual = classification("full_batch = true");
    let all = classification("full_batch = true  labelled kind = true");
    for (a, b) in usual.iter().zip(&all) {
        assert!((a - b).abs() < 1e-5 * a.abs(), "all rows, in another order: {usual:?} {all:?}");
    }
    let few = classification("full_batch = true  labelled kind = 3");
    assert!((few[0] - usual[0]).abs() > 1e-3 * usual[0].abs(), "six of the rows: {usual:?} {few:?}");
    // Of three draws the noise-free term is what it was before the first step.
    let drawn = classification("full_batch = true  samples = 3");
    assert!((drawn[0] - usual[0]).abs() < 1e-5 * usual[0].abs(), "{usual:?} {drawn:?}");
    assert!(drawn[1] != usual[1]);
}
