//! Data that are unusual and not wrong, or wrong and often met: read as Python reads them, or refused with the reason.

use crate::command::{open_rw, svic};
use hdf5::types::FixedAscii;
use std::path::{Path, PathBuf};
use svi::anndata::{
    AnnData, Column, Csr, DiskRows, FieldPath, Matrix, NewAnnData, Values, WriteOptions, write_new,
};

const CELLS: usize = 30;
const GENES: usize = 5;

/// Counts with a gap in every row, and two batches.
fn sound() -> NewAnnData {
    let mut x = Csr { n_rows: CELLS, n_cols: GENES, indptr: vec![0], ..Csr::default() };
    for row in 0..CELLS {
        for column in (0..GENES).filter(|c| c % 4 != row % 4) {
            x.indices.push(column as u32);
            x.values.push(2.0 + ((row * 7 + column) % 5) as f32);
        }
        x.indptr.push(x.values.len() as u64);
    }
    let names = |letter: &str, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect::<Vec<_>>();
    let codes = (0..CELLS).map(|i| (i % 2) as i32).collect();
    let batch = Values::Categorical { codes, categories: names("b", 2), ordered: false };
    let mut data = NewAnnData {
        obs_names: names("c", CELLS),
        var_names: names("g", GENES),
        x: Some(Matrix::Csr(x)),
        ..NewAnnData::default()
    };
    data.parts.obs.push(("batch".into(), Column::new(batch)));
    data
}

fn csr(data: &NewAnnData) -> Csr {
    match &data.x {
        Some(Matrix::Csr(x)) => x.clone(),
        other => panic!("sparse, not {other:?}"),
    }
}

fn written(folder: &Path, name: &str, data: &NewAnnData) -> PathBuf {
    let path = folder.join(name);
    write_new(&path, data, WriteOptions { overwrite: true, in_place: false }).expect("it can be written");
    path
}

fn put<T: hdf5::H5Type>(file: &hdf5::File, name: &str, values: &[T]) {
    let _ = file.unlink(name);
    let made = file.new_dataset::<T>().shape([values.len()]).create(name).expect("a dataset");
    made.write_raw(values).expect("they fit");
}

fn x_of(path: &Path) -> Matrix {
    AnnData::open(path).expect("it opens").matrix(&FieldPath::X).expect("a matrix")
}

/// What one epoch gives.
fn latent(folder: &Path, file: &str) -> Vec<f32> {
    let run = ["run", "scvi", file, "--epochs", "1", "--set", "hidden=4", "latent=2", "-q", "-o", "out.h5ad"];
    svic(folder, &run).expect(0, &[]);
    let out = AnnData::open(&folder.join("out.h5ad")).expect("the output opens");
    out.table(&FieldPath::Obsm("X_scVI".into())).expect("the latent").values.values
}

#[test]
fn values_of_one_place_are_added_up() {
    let folder = tempfile::tempdir().unwrap();
    let data = sound();
    let x = csr(&data);
    let path = written(folder.path(), "twice.h5ad", &data);
    // Every value as one and the rest, the rest after all others of the row.
    let (mut indices, mut values, mut indptr) = (vec![], vec![], vec![0i64]);
    for row in 0..CELLS {
        let (columns, counts) = x.row(row);
        indices.extend(columns.iter().chain(columns).map(|c| *c as i32));
        values.extend(counts.iter().map(|_| 1.0f32).chain(counts.iter().map(|v| v - 1.0)));
        indptr.push(values.len() as i64);
    }
    let file = open_rw(&path);
    put(&file, "X/indices", &indices);
    put(&file, "X/data", &values);
    put(&file, "X/indptr", &indptr);
    file.close().unwrap();
    assert_eq!(x_of(&path), Matrix::Csr(x.clone()));
    let disk = DiskRows::new(AnnData::open(&path).unwrap().row_reader(&FieldPath::X).unwrap(), 1);
    assert_eq!(disk.to_matrix().unwrap(), Matrix::Csr(x));
    written(folder.path(), "once.h5ad", &data);
    assert_eq!(latent(folder.path(), "twice.h5ad"), latent(folder.path(), "once.h5ad"));
}

#[test]
fn zeros_that_are_stored_count_as_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = sound();
    written(folder.path(), "gaps.h5ad", &data);
    let values = csr(&data).to_dense().values;
    data.x = Some(Matrix::Csr(Csr {
        n_rows: CELLS,
        n_cols: GENES,
        indptr: (0..=CELLS).map(|r| (r * GENES) as u64).collect(),
        indices: (0..CELLS * GENES).map(|i| (i % GENES) as u32).collect(),
        values,
    }));
    written(folder.path(), "full.h5ad", &data);
    let (a, b) = (latent(folder.path(), "gaps.h5ad"), latent(folder.path(), "full.h5ad"));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} {b:?}");
    svic(folder.path(), &["info", "full.h5ad"]).expect(0, &["30 x 5, sparse", "% non-zero, 0 to 6, counts"]);
}

#[test]
fn names_that_repeat_are_told_and_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = sound();
    written(folder.path(), "once.h5ad", &data);
    data.var_names = vec!["g".into(); GENES];
    data.obs_names = vec!["c".into(); CELLS];
    written(folder.path(), "same.h5ad", &data);
    let said = ["29 of the 30 cells have the name of another", "4 of the 5 genes have the name"];
    svic(folder.path(), &["info", "same.h5ad"]).expect(0, &said);
    assert_eq!(latent(folder.path(), "same.h5ad"), latent(folder.path(), "once.h5ad"));
    // Where genes are matched by name it is an error.
    data.var_names[0] = "h".into();
    written(folder.path(), "other.h5ad", &data);
    svic(folder.path(), &["run", "scvi", "same.h5ad", "other.h5ad"])
        .expect(1, &["E0713", "`g` is there more than once"]);
}

#[test]
fn missing_labels_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = sound();
    let categories = vec!["a".to_owned()];
    let codes = (0..CELLS).map(|i| if i < 3 { -1 } else { 0 }).collect();
    data.parts.obs[0].1 =
        Column::new(Values::Categorical { codes, categories: categories.clone(), ordered: false });
    written(folder.path(), "some.h5ad", &data);
    let run = |file: &str| svic(folder.path(), &["run", "scvi", file, "-o", "out.h5ad"]);
    run("some.h5ad").expect(1, &["E0713", "`obs.batch`", "3 of 30 values are missing"]);
    svic(folder.path(), &["info", "some.h5ad"]).expect(0, &["`obs.batch` has 3 missing values"]);
    let none = Values::Categorical { codes: vec![-1; CELLS], categories, ordered: false };
    data.parts.obs[0].1 = Column::new(none);
    written(folder.path(), "none.h5ad", &data);
    run("none.h5ad").expect(1, &["E0705", "none of its 30 values is a label"]);
}

#[test]
fn files_without_cells_or_genes() {
    let folder = tempfile::tempdir().unwrap();
    let data = sound();
    let empty = [
        ("cells.h5ad", data.of_cells(&[]), "0 cells x 5 genes", "there are no cells"),
        ("genes.h5ad", data.of_genes(&[]), "30 cells x 0 genes", "there are no genes"),
    ];
    for (name, data, shape, refused) in empty {
        written(folder.path(), name, &data);
        svic(folder.path(), &["info", name]).expect(0, &[shape, "no values"]);
        svic(folder.path(), &["run", "scvi", name]).expect(1, &["E0713", refused]);
        let prep = ["prep", name, "--hvg", "2", "--min-genes", "1", "-o", "out.h5ad", "--force"];
        svic(folder.path(), &prep).expect(0, &[]);
    }
    written(folder.path(), "one.h5ad", &data.of_cells(&[3]));
    svic(folder.path(), &["run", "scvi", "one.h5ad"]).expect(1, &["E0716", "too few to train on"]);
}

#[test]
fn integers_beyond_single_precision_are_not_rounded_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let data = sound();
    let whole = csr(&data).values;
    for (name, value, exact) in [("even.h5ad", (1i64 << 24) + 2, true), ("odd.h5ad", (1 << 24) + 1, false)] {
        let path = written(folder.path(), name, &data);
        let mut values: Vec<i64> = whole.iter().map(|v| *v as i64).collect();
        values[7] = value;
        let file = open_rw(&path);
        put(&file, "X/data", &values);
        file.close().unwrap();
        if exact {
            assert_eq!(x_of(&path).values()[7], 16_777_218.0);
            continue;
        }
        svic(folder.path(), &["run", "scvi", name])
            .expect(1, &["E0713", "16777217", "cannot represent exactly"]);
        // The rest of the file is told all the same.
        svic(folder.path(), &["info", name]).expect(0, &["`X` cannot be read", "16777217", "obs.batch"]);
    }
    let path = written(folder.path(), "real.h5ad", &data);
    let mut values: Vec<f64> = whole.iter().map(|v| f64::from(*v)).collect();
    values[7] = 16_777_217.0;
    let file = open_rw(&path);
    put(&file, "X/data", &values);
    file.close().unwrap();
    svic(folder.path(), &["check", "scvi", "real.h5ad"]).expect(0, &["W0717", "16777216"]);
}

#[test]
fn names_that_are_no_text_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), "bytes.h5ad", &sound());
    let file = open_rw(&path);
    let names: Vec<FixedAscii<4>> =
        (0..GENES).map(|_| FixedAscii::from_ascii(b"g1").expect("short")).collect();
    put(&file, "var/_index", &names);
    file.close().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).rposition(|w| w == b"g1\0\0g1\0\0").expect("the names");
    let mut spoilt = bytes.clone();
    spoilt[at + 1] = 0xff;
    std::fs::write(&path, spoilt).unwrap();
    svic(folder.path(), &["info", "bytes.h5ad"]).expect(1, &["E0713", "var/_index", "is not UTF-8 text"]);
}
