//! Bad input: one clear message that names file, field and remedy; nothing written, no panic, exit code not 0.

use crate::command::{files, svic, svic_on_full_disk};
use std::path::Path;
use svi::anndata::{Additions, Column, Csr, Dense, Matrix, NewAnnData, Values, WriteOptions, write_new};
use tempfile::TempDir;

const CELLS: usize = 40;
const GENES: usize = 6;

fn names(stem: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{stem}_{i}")).collect()
}

/// Counts of a little structure, all cells non-empty.
fn counts() -> Dense {
    let values = (0..CELLS * GENES).map(|i| ((i * 7 + i / GENES) % 5) as f32 + 1.0).collect();
    Dense { n_rows: CELLS, n_cols: GENES, values }
}

/// Numbers that do not compress.
fn noise(n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) ^ (i << 7)) as f32).collect()
}

fn sound() -> NewAnnData {
    let labels = (0..CELLS).map(|i| if i % 2 == 0 { "one" } else { "two" }.to_owned()).collect();
    NewAnnData {
        obs_names: names("cell", CELLS),
        var_names: names("gene", GENES),
        x: Some(Matrix::Dense(counts())),
        parts: Additions {
            obs: vec![("sample".to_owned(), Column::new(Values::Strings(labels)))],
            ..Additions::default()
        },
    }
}

fn write(folder: &Path, data: &NewAnnData) {
    write_new(&folder.join("data.h5ad"), data, WriteOptions::default()).expect("the fixture is written");
}

fn folder_with(data: &NewAnnData) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), data);
    folder
}

/// Runs on `data.h5ad` and expects code 1, these words, and no new file.
#[track_caller]
fn refused(folder: &Path, args: &[&str], said: &[&str]) {
    let before = files(folder);
    let mut command = vec!["run", "scvi.svi", "data.h5ad", "-o", "out.h5ad", "--epochs", "1"];
    command.extend(args);
    svic(folder, &command).expect(1, said);
    assert_eq!(files(folder), before, "nothing may be written");
}

fn refused_x(values: Dense, said: &[&str]) {
    let folder = folder_with(&NewAnnData { x: Some(Matrix::Dense(values)), ..sound() });
    refused(folder.path(), &[], said);
}

fn spoilt(at: usize, value: f32) -> Dense {
    let mut x = counts();
    x.values[at] = value;
    x
}

#[test]
fn the_sound_file_runs() {
    let folder = folder_with(&sound());
    let run = ["run", "scvi", "data.h5ad", "-o", "out.h5ad", "--epochs", "1", "--bind", "batch=obs.sample"];
    svic(folder.path(), &run).expect(0, &["batch = obs.sample", "out.svim"]);
    assert_eq!(files(folder.path()), ["data.h5ad", "out.h5ad", "out.svim"]);
}

#[test]
fn files_that_are_no_anndata() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &[], &["E0712", "data.h5ad"]);
    std::fs::write(folder.path().join("data.h5ad"), "gene,cell\n1,2\n").unwrap();
    refused(folder.path(), &[], &["E0712", "data.h5ad", "HDF5"]);
    write_new(&folder.path().join("data.h5ad"), &sound(), WriteOptions { overwrite: true, in_place: false })
        .unwrap();
    let whole = std::fs::read(folder.path().join("data.h5ad")).unwrap();
    std::fs::write(folder.path().join("data.h5ad"), &whole[..whole.len() / 2]).unwrap();
    refused(folder.path(), &[], &["E0712", "data.h5ad"]);
}

#[test]
fn no_x() {
    let mut scaled = counts();
    scaled.values.iter_mut().for_each(|v| *v = v.ln_1p());
    let parts =
        Additions { layers: vec![("scaled".to_owned(), Matrix::Dense(scaled))], ..Additions::default() };
    let folder = folder_with(&NewAnnData { x: None, parts, ..sound() });
    refused(folder.path(), &[], &["E0702", "data.h5ad", "`X`", "--bind x=layers.scaled"]);
}

#[test]
fn x_that_holds_no_counts_names_the_layer_that_does() {
    let mut x = counts();
    x.values.iter_mut().for_each(|v| *v = v.ln_1p());
    let mut data = NewAnnData { x: Some(Matrix::Dense(x)), ..sound() };
    data.parts.layers.push(("counts".to_owned(), Matrix::Dense(counts())));
    let folder = folder_with(&data);
    refused(
        folder.path(),
        &[],
        &["E0703", "data.h5ad", "`X`", "0.6931", "layers.counts", "--bind x=layers.counts"],
    );
}

#[test]
fn values_that_are_no_counts() {
    refused_x(spoilt(9, -1.0), &["E0703", "-1", "cell_1", "gene_3"]);
    refused_x(spoilt(9, f32::NAN), &["E0703", "NaN", "cell_1"]);
    refused_x(spoilt(9, 2.5), &["E0703", "2.5", "raw counts"]);
}

#[test]
fn a_column_that_is_missing() {
    let folder = folder_with(&sound());
    refused(
        folder.path(),
        &["--bind", "batch=obs.sampel"],
        &["E0702", "data.h5ad", "obs.sampel", "--bind batch=obs.sample"],
    );
    refused(folder.path(), &["--bind", "bach=obs.sample"], &["E0206", "bach", "`batch`"]);
    refused(folder.path(), &["--bind", "obs.sample"], &["E0716", "KEY=VALUE"]);
}

#[test]
fn zero_genes() {
    let x = Dense { n_rows: CELLS, n_cols: 0, values: vec![] };
    let folder = folder_with(&NewAnnData { var_names: vec![], x: Some(Matrix::Dense(x)), ..sound() });
    refused(folder.path(), &[], &["E0713", "data.h5ad", "no genes"]);
}

/// A folder with a file of two ones a row, in columns 1 and 3 but for row 1, whose columns are written as they come.
fn with_columns(row: [u32; 2]) -> tempfile::TempDir {
    let csr = Csr {
        n_rows: CELLS,
        n_cols: GENES,
        indptr: (0..=CELLS as u64).map(|r| 2 * r).collect(),
        indices: [1, 3].repeat(CELLS),
        values: vec![1.0; 2 * CELLS],
    };
    let folder = folder_with(&NewAnnData { x: Some(Matrix::Csr(csr)), ..sound() });
    let file = crate::command::open_rw(&folder.path().join("data.h5ad"));
    let indices = file.dataset("X/indices").expect("sparse");
    let mut values: Vec<i64> = indices.read_raw().expect("integers");
    values[2..4].copy_from_slice(&row.map(i64::from));
    indices.write_raw(&values).expect("a writable file");
    drop(indices);
    file.close().expect("a writable file");
    folder
}

/// Columns in any order mean the same: the trained models have the same bytes.
#[test]
fn index_arrays_in_another_order() {
    let trained = |row| {
        let folder = with_columns(row);
        let run = ["run", "scvi", "data.h5ad", "-o", "out.h5ad", "--epochs", "1", "-q"];
        svic(folder.path(), &run).expect(0, &[]);
        std::fs::read(folder.path().join("out.svim")).unwrap()
    };
    assert_eq!(trained([3, 1]), trained([1, 3]));
}

#[test]
fn damaged_index_arrays() {
    let folder = with_columns([1, 77]);
    refused(folder.path(), &[], &["E0713", "data.h5ad", "`X/indices`", "index out of range: 77"]);
}

#[test]
fn texts_where_numbers_are_needed() {
    let folder = folder_with(&sound());
    let run = ["run", "scvi_size_factor", "data.h5ad", "-o", "out.h5ad", "--bind", "size_factor=obs.sample"];
    svic(folder.path(), &run).expect(1, &["E0713", "data.h5ad", "obs.sample", "numbers"]);
    assert_eq!(files(folder.path()), ["data.h5ad"]);
}

#[test]
fn places_that_cannot_be_written() {
    let folder = folder_with(&sound());
    let run = |out: &str, said: &[&str]| {
        svic(folder.path(), &["run", "scvi", "data.h5ad", "-o", out, "--epochs", "1"]).expect(1, said);
        assert_eq!(files(folder.path()), ["data.h5ad"]);
    };
    run("no/such/folder/out.h5ad", &["E0714", "no/such/folder/out.h5ad", "-o"]);
    run("data.h5ad", &["E0714", "overwrite the input", "--in-place"]);
    let before = std::fs::read(folder.path().join("data.h5ad")).unwrap();
    let sim = ["sim", "scvi", "-o", "no/such/sim.h5ad", "--cells", "10", "--genes", "5"];
    svic(folder.path(), &sim).expect(1, &["E0714", "no/such/sim.h5ad"]);
    assert_eq!(std::fs::read(folder.path().join("data.h5ad")).unwrap(), before);
    let in_place = ["run", "scvi", "data.h5ad", "--in-place", "--epochs", "1"];
    svic(folder.path(), &in_place).expect(0, &["outputs: data.h5ad"]);
}

#[test]
fn a_full_disk() {
    let folder = folder_with(&sound());
    let run = ["run", "scvi", "data.h5ad", "-o", "out.h5ad", "--epochs", "1"];
    svic_on_full_disk(folder.path(), 8, &run).expect(1, &["E0714", "out.svim"]);
    assert_eq!(files(folder.path()), ["data.h5ad"]);
    // Room for the trained model, not for the copy of the data.
    let mut data = sound();
    let wide = Dense { n_rows: CELLS, n_cols: 40_000, values: noise(CELLS * 40_000) };
    data.parts.obsm.push(("wide".to_owned(), wide));
    let folder = folder_with(&data);
    svic_on_full_disk(folder.path(), 3000, &run).expect(1, &["E0714", "out.h5ad"]);
    assert_eq!(files(folder.path()), ["data.h5ad", "out.svim"], "the trained model is kept");
}

#[test]
fn settings_that_do_not_exist() {
    let folder = folder_with(&sound());
    refused(folder.path(), &["--set", "latnt=20"], &["E0206", "latnt", "`latent`"]);
    refused(folder.path(), &["--set", "likelihod=nb"], &["E0206", "`likelihood`"]);
    refused(folder.path(), &["--set", "likelihood=zimb"], &["zimb", "zinb"]);
    refused(folder.path(), &["--set", "latent=many"], &["many", "latent"]);
    refused(folder.path(), &["--output", "expresion"], &["E0206", "`expression`"]);
    refused(folder.path(), &["--backend", "gpu"], &["E0716", "gpu", "cpu"]);
    refused(folder.path(), &["--threads", "0"], &["E0716", "thread"]);
}

#[test]
fn programs_with_mistakes() {
    let folder = folder_with(&sound());
    let scvi =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib/scvi.svi")).unwrap();
    let mistakes = [
        ("net decoder(z[latent] | s) {", "net decoder(z[latent] | s) ", "E01"),
        ("d  = decoder(z | batch, covs)", "d  = decodr(z | batch, covs)", "E0201"),
        ("observe x ~", "x ~", "E0203"),
        ("sum(x over gene)", "sum(x over genes)", "E03"),
        ("inv_dispersion = r, zero_logits", "inv_dispersoin = r, zero_logits", "E04"),
    ];
    for (right, wrong, code) in mistakes {
        assert!(scvi.contains(right), "{right}");
        std::fs::write(folder.path().join("bad.svi"), scvi.replacen(right, wrong, 1)).unwrap();
        let run = ["run", "bad.svi", "data.h5ad", "-o", "out.h5ad", "--epochs", "1"];
        svic(folder.path(), &run).expect(1, &[&format!("error[{code}"), "bad.svi:"]);
        assert_eq!(files(folder.path()), ["bad.svi", "data.h5ad"]);
    }
    svic(folder.path(), &["run", "no_such.svi", "data.h5ad"])
        .expect(1, &["E0712", "no_such.svi", "svic list"]);
    svic(folder.path(), &["run", "scvii", "data.h5ad"]).expect(1, &["E0712", "`scvi.svi`"]);
    svic(folder.path(), &["run", "scvi"]).expect(1, &["a model and a data file are needed"]);
    svic(folder.path(), &["trian"]).expect(2, &["unrecognized subcommand"]);
}

#[test]
fn what_is_only_warned_of() {
    let mut data = sound();
    let mut x = counts();
    x.values[..2 * GENES].fill(0.0);
    data.x = Some(Matrix::Dense(x));
    let labels = (0..CELLS).map(|i| if i < 2 { "rare" } else { "often" }.to_owned()).collect();
    data.parts.obs[0].1 = Column::new(Values::Strings(labels));
    let folder = folder_with(&data);
    let run =
        ["run", "scvi", "data.h5ad", "-o", "out.h5ad", "--epochs", "2", "--bind", "batch=obs.sample", "-q"];
    svic(folder.path(), &run).expect(
        0,
        &["warning[W0704]", "2 cells", "cell_0", "warning[W0705]", "rare (2)", "warning[W0701]", "kl(z)"],
    );
}

#[test]
fn saved_models_that_are_damaged() {
    let folder = folder_with(&sound());
    let run = ["run", "scvi", "data.h5ad", "-o", "out.h5ad", "--epochs", "1", "-q"];
    svic(folder.path(), &run).expect(0, &[]);
    let whole = std::fs::read(folder.path().join("out.svim")).unwrap();
    std::fs::write(folder.path().join("out.svim"), &whole[..whole.len() - 100]).unwrap();
    let apply = ["apply", "out.svim", "data.h5ad", "-o", "applied.h5ad"];
    svic(folder.path(), &apply).expect(1, &["E0715", "out.svim"]);
    svic(folder.path(), &["apply", "none.svim", "data.h5ad"]).expect(1, &["E0712", "none.svim"]);
    // Any byte of the header changed: an error or the same model, never a crash.
    for at in (8..whole.len().min(4000)).step_by(97) {
        let mut bad = whole.clone();
        bad[at] ^= 0x11;
        let _ = svi::saved::from_bytes(&bad, Path::new("out.svim"));
    }
    assert!(!folder.path().join("applied.h5ad").exists());
}

#[test]
fn new_data_that_do_not_fit() {
    let folder = folder_with(&sound());
    let run =
        ["run", "scvi", "data.h5ad", "-o", "out.h5ad", "--epochs", "1", "-q", "--bind", "batch=obs.sample"];
    svic(folder.path(), &run).expect(0, &[]);
    let mut other = sound();
    let labels = (0..CELLS).map(|i| if i % 2 == 0 { "one" } else { "three" }.to_owned()).collect();
    other.parts.obs[0].1 = Column::new(Values::Strings(labels));
    write_new(&folder.path().join("new.h5ad"), &other, WriteOptions::default()).unwrap();
    let apply = ["apply", "out.svim", "new.h5ad", "-o", "applied.h5ad"];
    svic(folder.path(), &apply).expect(1, &["E0707", "new.h5ad", "three (20 cells)", "--given"]);
    let held = ["apply", "out.svim", "new.h5ad", "-o", "applied.h5ad", "--given", "batch=three"];
    svic(folder.path(), &held).expect(1, &["E0707", "three"]);
    let mut strange = sound();
    strange.var_names = names("unknown", GENES);
    write_new(&folder.path().join("new.h5ad"), &strange, WriteOptions { overwrite: true, in_place: false })
        .unwrap();
    svic(folder.path(), &apply).expect(1, &["E0706", "unknown_0", "gene_0"]);
    assert!(!folder.path().join("applied.h5ad").exists());
}
