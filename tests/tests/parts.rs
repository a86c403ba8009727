//! Programs of several parts and sources: two stages, modalities, labelled tables, what is there only in some data.

use crate::command::svic;
use std::path::{Path, PathBuf};
use svi::anndata::{
    AnnData, Column, Dense, FieldPath, Matrix, NewAnnData, UnsValue, Values, WriteOptions, write_new,
};
use tempfile::TempDir;

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dsl/tests/programs")
}

fn folder_with(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in names {
        let file = format!("{name}.svi");
        let text = std::fs::read_to_string(programs().join(&file)).expect("the program is there");
        let text = text.replace(
            "guide { eta ~ point }",
            "param at[gene]\nguide { eta ~ Normal(mean = at, scale = 0.1) }",
        );
        // So much of each cell type in a spot that its counts tell the proportions.
        let text = text.replace(
            "param abundance[spot, type] : positive",
            "param abundance[spot, type] : positive init normal(4, 1)",
        );
        std::fs::write(folder.path().join(&file), text).expect("the program is copied");
    }
    folder
}

fn names(stem: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{stem}_{i}")).collect()
}

fn write(path: &Path, data: &NewAnnData) {
    write_new(path, data, WriteOptions::default()).expect("the fixture is written");
}

/// An array among the parameters that a simulation drew from.
pub fn truth(path: &Path, parameter: &str) -> Vec<f64> {
    let adata = AnnData::open(path).expect("the simulation opens");
    let value = adata.uns(&FieldPath::Uns(vec!["svic".into()])).expect("it tells the truth");
    let part = |v: &UnsValue, name: &str| match v {
        UnsValue::Map(map) => map.get(name).cloned().expect("the entry is there"),
        other => panic!("a dictionary, not {other:?}"),
    };
    match part(&part(&part(&value, "truth"), "parameters"), parameter) {
        UnsValue::Reals(_, values) => values,
        other => panic!("an array, not {other:?}"),
    }
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

#[test]
fn a_second_stage_takes_its_constants_from_the_first() {
    let folder = folder_with(&["stereoscope_rna", "stereoscope"]);
    let at = |name: &str| folder.path().join(name);
    let run = |args: &[&str]| {
        svic(folder.path(), args).expect(0, &[]);
    };
    run(&[
        "sim",
        "stereoscope_rna.svi",
        "-o",
        "sc.h5ad",
        "--cells",
        "300",
        "--genes",
        "60",
        "--batches",
        "3",
        "-q",
    ]);
    run(&["run", "stereoscope_rna.svi", "sc.h5ad", "--epochs", "150", "--set", "lr=0.03", "-q"]);
    let load = ["--load", "ref=sc.stereoscope_rna.svim"];
    let sim = ["sim", "stereoscope.svi", "-o", "sp.h5ad", "--cells", "80", "-q"];
    run(&[&sim[..], &load[..]].concat());
    // One stage without the other says what is missing.
    svic(folder.path(), &["run", "stereoscope.svi", "sp.h5ad"])
        .expect(1, &["E0702", "`ref` is a trained `stereoscope_rna`", "--load ref="]);
    svic(folder.path(), &["run", "stereoscope.svi", "sp.h5ad", "--load", "reff=sc.stereoscope_rna.svim"])
        .expect(1, &["E0206", "reff", "did you mean `ref`"]);
    let more = ["run", "stereoscope.svi", "sp.h5ad", "--epochs", "600", "-q", "-o", "out.h5ad", "--set"];
    run(&[&more[..], &["lr=0.03", "train_size=1"], &load[..]].concat());
    let out = AnnData::open(&at("out.h5ad")).unwrap();
    let found = out.table(&FieldPath::Obsm("proportions".into())).unwrap().values;
    assert_eq!((found.n_rows, found.n_cols), (80, 3));
    let raw = truth(&at("sp.h5ad"), "abundance");
    let expected: Vec<f64> = raw
        .chunks(3)
        .flat_map(|row| {
            let total: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(move |x| x.exp() / total).collect::<Vec<_>>()
        })
        .collect();
    let found: Vec<f64> = found.values.iter().map(|x| f64::from(*x)).collect();
    let r = correlation(&found, &expected);
    assert!(r > 0.9, "proportions are recovered: correlation {r}");
    // A table with a row for each spot says nothing of other spots.
    run(&[&["sim", "stereoscope.svi", "-o", "other.h5ad", "--cells", "50", "-q"][..], &load[..]].concat());
    svic(folder.path(), &["apply", "out.svim", "other.h5ad", "-o", "x.h5ad"])
        .expect(1, &["E0706", "abundance", "80"]);
    svic(folder.path(), &["apply", "out.svim", "sp.h5ad", "-o", "again.h5ad", "-q"]).expect(0, &[]);
    let again = AnnData::open(&at("again.h5ad")).unwrap();
    let again = again.table(&FieldPath::Obsm("proportions".into())).unwrap().values.values;
    assert!(found.iter().zip(&again).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-6));
}

#[test]
fn what_the_data_lack_is_left_out_of_the_model() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "dim cell, gene
data { x : count[cell, gene] from X  size : positive[cell] from obs.size optional }
param rate[gene] : positive
model { plate cell {
  when present(size) { depth = size }
  when not present(size) { depth = sum(x over gene) }
  observe x ~ Poisson(rate = depth * rate)
} }
output { depth = depth to obs.depth }
";
    std::fs::write(folder.path().join("m.svi"), text).unwrap();
    let mut data = NewAnnData {
        obs_names: names("cell", 20),
        var_names: names("gene", 3),
        x: Some(Matrix::Dense(Dense { n_rows: 20, n_cols: 3, values: vec![2.0; 60] })),
        ..NewAnnData::default()
    };
    write(&folder.path().join("plain.h5ad"), &data);
    data.parts.obs.push(("size".into(), Column::new(Values::Real(vec![1.5; 20]))));
    write(&folder.path().join("sized.h5ad"), &data);
    for (file, depth) in [("plain", 6.0), ("sized", 1.5)] {
        let (input, out) = (format!("{file}.h5ad"), format!("{file}.out.h5ad"));
        svic(folder.path(), &["run", "m.svi", &input, "--epochs", "1", "-q", "-o", &out]).expect(0, &[]);
        // Once as trained, once from the saved model.
        let saved = out.replace("h5ad", "svim");
        svic(folder.path(), &["apply", &saved, &input, "-q", "-o", "again.h5ad"]).expect(0, &[]);
        for path in [out.as_str(), "again.h5ad"] {
            let adata = AnnData::open(&folder.path().join(path)).unwrap();
            let found = adata.column(&FieldPath::Obs("depth".into())).unwrap().to_reals().unwrap();
            assert!(found.iter().all(|d| (d - depth).abs() < 1e-6), "{path}: {found:?}");
        }
    }
}

#[test]
fn labelled_tables_meet_the_data_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "dim cell, gene, type
data { x : count[cell, gene] from X  marker : bool[gene, type] from varm.markers }
param rate[gene] : positive
model { plate cell { observe x ~ Poisson(rate = rate) } }
output { marked = sum(x * select(marker, 1, 0) over gene) to obsm.marked }
";
    std::fs::write(folder.path().join("m.svi"), text).unwrap();
    let values = (0..60).map(|i| (i % 3 + 1) as f32).collect();
    let data = NewAnnData {
        obs_names: names("cell", 20),
        var_names: names("gene", 3),
        x: Some(Matrix::Dense(Dense { n_rows: 20, n_cols: 3, values })),
        ..NewAnnData::default()
    };
    write(&folder.path().join("data.h5ad"), &data);
    let run = ["run", "m.svi", "data.h5ad", "--epochs", "1", "-o", "out.h5ad", "--bind"];
    let table = |text: &str| std::fs::write(folder.path().join("t.csv"), text).unwrap();
    // Genes in another order, and one that the data lack.
    table(",b,a\ngene_2,1,0\ngene_9,1,1\ngene_0,1,1\ngene_1,0,1\n");
    svic(folder.path(), &[&run[..], &["marker=t.csv"]].concat())
        .expect(0, &["W0706", "axis `gene`", "3 labels"]);
    let out = AnnData::open(&folder.path().join("out.h5ad")).unwrap();
    let found = out.table(&FieldPath::Obsm("marked".into())).unwrap().values;
    assert_eq!(found.row(0), [1.0 + 3.0, 1.0 + 2.0], "types b and a");
    table(",b,a\nGENE2,1,0\nGENE0,1,1\n");
    svic(folder.path(), &[&run[..], &["marker=t.csv"]].concat())
        .expect(1, &["E0308", "no label in common", "gene_0"]);
    table(",b,a\ngene_2,1,0\ngene_0,1,2\ngene_1,0,1\n");
    svic(folder.path(), &[&run[..], &["marker=t.csv"]].concat())
        .expect(1, &["E0713", "line 3", "`2` is not 0 or 1"]);
}

#[test]
fn files_without_names_are_one_under_the_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "dim cell, gene
data { x : count?[cell, gene] from X missing nan }
param rate[gene] : positive
model { plate cell { observe x ~ Poisson(rate = rate) } }
output { rate = rate to varm.rate  seen = sum(select(observed(x), 1, 0) over gene) to obs.seen }
";
    std::fs::write(folder.path().join("m.svi"), text).unwrap();
    let part = |genes: [&str; 2], value: f32, stem: &str| NewAnnData {
        obs_names: names(stem, 12),
        var_names: genes.map(str::to_owned).to_vec(),
        x: Some(Matrix::Dense(Dense { n_rows: 12, n_cols: 2, values: vec![value; 24] })),
        ..NewAnnData::default()
    };
    write(&folder.path().join("a.h5ad"), &part(["g", "h"], 2.0, "a"));
    write(&folder.path().join("b.h5ad"), &part(["h", "k"], 6.0, "b"));
    let run =
        ["run", "m.svi", "a.h5ad", "b.h5ad", "--epochs", "400", "--set", "lr=0.05", "train_size=1", "-q"];
    svic(folder.path(), &[&run[..], &["-o", "out.h5ad"]].concat()).expect(0, &[]);
    let out = AnnData::open(&folder.path().join("out.h5ad")).unwrap();
    assert_eq!((out.n_obs(), out.var_names()), (24, &["g", "h", "k"].map(String::from)[..]));
    let seen = out.column(&FieldPath::Obs("seen".into())).unwrap().to_reals().unwrap();
    assert_eq!(seen, vec![2.0; 24]);
    // The rates of maximum likelihood: means of what is known.
    let trained = svi::load(folder.path().join("out.svim")).unwrap();
    let rates: Vec<f32> = trained.state.variables.get("rate").unwrap().iter().map(|r| r.exp()).collect();
    for (found, expected) in rates.iter().zip([2.0, 4.0, 6.0]) {
        assert!((found - expected).abs() < 0.05 * expected, "{rates:?}");
    }
}

#[test]
fn two_plates_share_their_nets_and_go_in_pairs() {
    let folder = folder_with(&["gimvi"]);
    let counts = |rows: usize, columns: usize, by: usize| {
        let value = |i: usize| ((i * by + i / columns) % 7) as f32 + 1.0;
        Some(Matrix::Dense(Dense {
            n_rows: rows,
            n_cols: columns,
            values: (0..rows * columns).map(value).collect(),
        }))
    };
    let cells = NewAnnData {
        obs_names: names("cell", 30),
        var_names: names("gene", 8),
        x: counts(30, 8, 3),
        ..NewAnnData::default()
    };
    // Some of the genes in another order, and one that the cells lack.
    let panel = ["gene_6", "unknown", "gene_1", "gene_4"].map(str::to_owned).to_vec();
    let spots = NewAnnData {
        obs_names: names("spot", 45),
        var_names: panel,
        x: counts(45, 4, 5),
        ..NewAnnData::default()
    };
    write(&folder.path().join("a.h5ad"), &cells);
    write(&folder.path().join("b.h5ad"), &spots);
    let small = ["--set", "latent=3", "hidden=6", "width=4", "batch_size=16", "epochs=3"];
    let run = |out: &str, more: &[&str]| {
        let args = ["run", "gimvi.svi", "sc=a.h5ad", "sp=b.h5ad", "-o", out];
        svic(folder.path(), &[&args[..], &small, more].concat())
            .expect(0, &["axis `panel`", "3 labels are kept", "`unknown`"]);
        std::fs::read(folder.path().join(out.replace("h5ad", "svim"))).expect("the model is saved")
    };
    let one = run("one.h5ad", &["--threads", "1"]);
    assert!(one == run("two.h5ad", &["--threads", "2"]), "the same run gives the same bytes");
    let open = |name: &str| AnnData::open(&folder.path().join(name)).expect("the output opens");
    let shape = |data: &AnnData, name: &str| {
        let table = data.table(&FieldPath::Obsm(name.into())).expect("the output is there").values;
        assert!(table.values.iter().all(|v| v.is_finite()));
        (table.n_rows, table.n_cols)
    };
    assert_eq!(shape(&open("one.sc.h5ad"), "X_gimvi"), (30, 3));
    assert_eq!(shape(&open("one.sp.h5ad"), "X_gimvi"), (45, 3));
    assert_eq!(shape(&open("one.sp.h5ad"), "imputed"), (45, 8));
    // Three passes of the longer plate, 45 spots in steps of 16.
    let trained = svi::load(folder.path().join("one.svim")).expect("it loads");
    assert_eq!(trained.state.step, 9);
    assert!(trained.state.variables.get("critic.mlp.0.linear.weight").is_some());
}
