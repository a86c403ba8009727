//! Counts that stay on the disk: the same numbers as from memory, and errors instead of crashes.

use crate::command::svic;
use std::path::{Path, PathBuf};
use svi::anndata::{
    Additions, AnnData, Column, Csr, DiskRows, FieldPath, Matrix, NewAnnData, Values, WriteOptions, write_new,
};
use svi::bind::BoundData;
use svi::dataset::{Blocks, FieldData};
use svi::{Binds, Fit, FitOptions, Model, saved};

const N: usize = 700;
const M: usize = 40;
/// So little that no file of these tests fits.
const LITTLE: usize = 4 << 10;

fn names(letter: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{letter}{i}")).collect()
}

/// Counts by formula, with two batches.
fn written(folder: &Path, dense: bool) -> PathBuf {
    of_cells(N, folder, dense)
}

fn of_cells(n: usize, folder: &Path, dense: bool) -> PathBuf {
    let mut x = Csr { n_rows: n, n_cols: M, indptr: vec![0], ..Csr::default() };
    for row in 0..n {
        for column in (0..M).filter(|c| (row * 7 + c * 13) % 5 < 2) {
            x.indices.push(column as u32);
            x.values.push(1.0 + ((row * 31 + column * 17) % 11) as f32);
        }
        x.indptr.push(x.values.len() as u64);
    }
    let x = if dense { Matrix::Dense(x.to_dense()) } else { Matrix::Csr(x) };
    let codes = (0..n).map(|row| (row % 2) as i32).collect();
    let batch = Values::Categorical { codes, categories: names("b", 2), ordered: false };
    let parts = Additions { obs: vec![("batch".into(), Column::new(batch))], ..Additions::default() };
    let data = NewAnnData { obs_names: names("c", n), var_names: names("g", M), x: Some(x), parts };
    let path = folder.join(if dense { "dense.h5ad" } else { "sparse.h5ad" });
    write_new(&path, &data, WriteOptions::default()).expect("it can be done");
    path
}

fn bound(path: &Path, memory: Option<usize>) -> (Model, BoundData) {
    let adata = AnnData::open(path).expect("it can be done");
    svi::compile_file("scvi")
        .expect("it can be done")
        .bind(&adata, &Binds::new().with_memory(memory))
        .expect("it can be done")
        .into_parts()
}

#[test]
fn training_from_the_disk_is_training_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    // Fewer blocks at a time than there are, so that several windows are gone through.
    let blocks = Some(Blocks { n_rows: 64, n_together: 3 });
    let options = FitOptions { epochs: Some(3), validate: true, ..FitOptions::default() };
    for dense in [false, true] {
        let path = written(folder.path(), dense);
        let fit = |memory: Option<usize>| {
            let (model, mut data) = bound(&path, memory);
            let on_disk = matches!(data.data.fields["x"], FieldData::Disk(_));
            assert_eq!((on_disk, data.data.blocks.is_some()), (memory.is_some(), memory.is_some()));
            data.data.blocks = blocks;
            Fit::new(model, data, &options).unwrap().run(&options).unwrap()
        };
        let (disk, memory) = (fit(Some(LITTLE)), fit(None));
        assert!(saved::to_bytes(disk.trained()).unwrap() == saved::to_bytes(memory.trained()).unwrap());
        assert_eq!(disk.output("z").unwrap(), memory.output("z").unwrap());
        assert_eq!(disk.elbo().unwrap(), memory.elbo().unwrap());
    }
}

#[test]
fn memory_that_is_enough_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), false);
    let (_, data) = bound(&path, Some(1 << 20));
    assert_eq!(data.data, bound(&path, None).1.data);
}

#[test]
fn blocks_give_the_rows_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for dense in [false, true] {
        let adata = AnnData::open(&written(folder.path(), dense)).unwrap();
        let whole = adata.matrix(&FieldPath::X).unwrap();
        let disk = DiskRows::new(adata.row_reader(&FieldPath::X).unwrap(), LITTLE);
        assert_eq!((disk.n_rows(), disk.n_cols(), disk.is_sparse()), (N, M, !dense));
        assert_eq!(disk.to_matrix().unwrap(), whole);
        let places = [3, 699, 0, 64, 3];
        assert_eq!(disk.pick_rows(&places).to_matrix().unwrap(), whole.pick(&places));
        let again = disk.pick_rows(&places).pick_rows(&[4, 1]);
        assert_eq!(again.to_matrix().unwrap(), whole.pick(&[3, 699]));
        let sources = [Some(5), None, Some(0)];
        let columns = disk.with_columns(&sources);
        assert_eq!(columns.to_matrix().unwrap(), whole.with_columns(&sources));
        let columns = columns.with_columns(&[Some(2), Some(1)]);
        assert_eq!(columns.to_matrix().unwrap(), whole.with_columns(&[Some(0), None]));
    }
}

#[test]
fn the_command_says_that_counts_stay_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), false);
    let run = ["run", "scvi", "sparse.h5ad", "--epochs", "1", "-o", "out.h5ad", "--memory", "16KiB"];
    svic(folder.path(), &run).expect(0, &["counts stay on the disk: blocks of 64 cells", "negative ELBO"]);
    let apply = ["apply", "out.svim", "sparse.h5ad", "-o"];
    svic(folder.path(), &[&apply[..], &["disk.h5ad", "--memory", "16KiB"]].concat()).expect(0, &[]);
    svic(folder.path(), &[&apply[..], &["whole.h5ad"]].concat()).expect(0, &[]);
    let latent = |name: &str| {
        let data = AnnData::open(&folder.path().join(name)).unwrap();
        data.table(&FieldPath::Obsm("X_scVI".into())).unwrap().values
    };
    assert_eq!(latent("disk.h5ad"), latent("whole.h5ad"));
    svic(folder.path(), &[&run[..5], &["--memory", "1 parsec"]].concat()).expect(2, &["no unit", "KiB"]);
}

#[test]
fn genes_in_another_order_are_found_on_the_disk_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), false);
    let options = FitOptions { epochs: Some(1), ..FitOptions::default() };
    let (model, data) = bound(&path, None);
    let trained = Fit::new(model, data, &options).unwrap().run(&options).unwrap().trained().clone();
    let adata = AnnData::open(&path).unwrap();
    let sources: Vec<Option<usize>> = (0..M).rev().map(Some).collect();
    let data = NewAnnData {
        obs_names: names("c", N),
        var_names: names("g", M).into_iter().rev().collect(),
        x: Some(adata.matrix(&FieldPath::X).unwrap().with_columns(&sources)),
        parts: Additions {
            obs: vec![("batch".into(), adata.column(&FieldPath::Obs("batch".into())).unwrap())],
            ..Additions::default()
        },
    };
    let turned = folder.path().join("turned.h5ad");
    write_new(&turned, &data, WriteOptions::default()).unwrap();
    let z = |path: &Path, memory| {
        let binds = Binds::new().with_memory(memory);
        trained.apply(&AnnData::open(path).unwrap(), &binds).unwrap().output("z").unwrap().values
    };
    assert_eq!(z(&turned, Some(LITTLE)), z(&path, None));
}

#[test]
fn what_cannot_be_read_row_by_row_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), false);
    let file = crate::command::open_rw(&path);
    let x = file.group("X").unwrap();
    x.delete_attr("encoding-type").unwrap();
    let kind: hdf5::types::VarLenUnicode = "csc_matrix".parse().unwrap();
    x.new_attr::<hdf5::types::VarLenUnicode>().create("encoding-type").unwrap().write_scalar(&kind).unwrap();
    // Of compressed columns there are as many pointers as genes.
    let n = x.dataset("data").unwrap().size() as i64;
    x.unlink("indptr").unwrap();
    let pointers: Vec<i64> = (0..=M as i64).map(|c| c * n / M as i64).collect();
    x.new_dataset::<i64>().shape([M + 1]).create("indptr").unwrap().write_raw(&pointers).unwrap();
    x.unlink("indices").unwrap();
    let rows: Vec<i64> = (0..n)
        .map(|i| (0..=M as i64).rev().map(|c| i - c * n / M as i64).find(|d| *d >= 0).unwrap())
        .collect();
    x.new_dataset::<i64>().shape([rows.len()]).create("indices").unwrap().write_raw(&rows).unwrap();
    file.close().unwrap();
    let adata = AnnData::open(&path).unwrap();
    let binds = Binds::new().with_memory(Some(LITTLE));
    let error = svi::compile_file("scvi").unwrap().bind(&adata, &binds).err().expect("an error").to_string();
    assert!(error.contains("gene by gene") && error.contains("tocsr()"), "{error}");
}

#[test]
fn a_file_that_is_cut_while_it_trains_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    // More than HDF5 keeps in memory by itself.
    let path = of_cells(100_000, folder.path(), true);
    let (model, data) = bound(&path, Some(LITTLE));
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
    let options = FitOptions { epochs: Some(1), ..FitOptions::default() };
    let error = Fit::new(model, data, &options).unwrap().run(&options).err().expect("an error").to_string();
    assert!(error.contains("E0713"), "{error}");
}
