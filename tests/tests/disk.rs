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

/// The counts of `path` column by column, in another file.
fn by_columns(path: &Path) -> PathBuf {
    let turned = path.with_file_name("columns.h5ad");
    std::fs::copy(path, &turned).expect("it can be done");
    let whole = AnnData::open(path).expect("it can be done").matrix(&FieldPath::X).expect("it can be done");
    let Matrix::Csr(rows) = whole else { panic!("sparse") };
    let columns = rows.transposed();
    let file = crate::command::open_rw(&turned);
    let x = file.group("X").expect("it can be done");
    x.delete_attr("encoding-type").expect("it can be done");
    let kind: hdf5::types::VarLenUnicode = "csc_matrix".parse().expect("it can be done");
    x.new_attr::<hdf5::types::VarLenUnicode>()
        .create("encoding-type")
        .expect("it can be done")
        .write_scalar(&kind)
        .expect("it can be done");
    for part in ["data", "indices", "indptr"] {
        x.unlink(part).expect("it can be done");
    }
    let n = columns.values.len();
    x.new_dataset::<f32>()
        .shape([n])
        .deflate(4)
        .create("data")
        .expect("it can be done")
        .write_raw(&columns.values)
        .expect("it can be done");
    x.new_dataset::<u32>()
        .shape([n])
        .deflate(4)
        .create("indices")
        .expect("it can be done")
        .write_raw(&columns.indices)
        .expect("it can be done");
    let pointers =
        x.new_dataset::<u64>().shape([columns.indptr.len()]).create("indptr").expect("it can be done");
    pointers.write_raw(&columns.indptr).expect("it can be done");
    file.close().expect("it can be done");
    turned
}

#[test]
fn columns_are_turned_into_rows_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = of_cells(3000, folder.path(), false);
    let columns = by_columns(&path);
    let whole = AnnData::open(&path).unwrap().matrix(&FieldPath::X).unwrap();
    let reader = AnnData::open(&columns).unwrap().row_reader_within(&FieldPath::X, LITTLE).unwrap();
    assert!(!reader.is_whole());
    assert_eq!(reader.read(0..3000).unwrap(), whole);
    assert_eq!(reader.read(1999..2001).unwrap(), whole.rows(1999..2001));
    let rows = DiskRows::new(reader, LITTLE);
    let run = |path: &Path, memory| {
        let (model, data) = bound(path, memory);
        let options = FitOptions { epochs: Some(1), ..FitOptions::default() };
        Fit::new(model, data, &options).unwrap().run(&options).unwrap().output("z").unwrap()
    };
    assert_eq!(run(&columns, Some(LITTLE)), run(&path, Some(LITTLE)));
    assert_eq!(rows.to_matrix().unwrap(), whole);
    // Nothing is left of the temporary files.
    drop(rows);
    let own = format!("svic-rows-{}-", std::process::id());
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    assert!(!left.into_iter().any(|e| e.file_name().to_string_lossy().starts_with(&own)));
}

/// The counts by columns, one row index of which is changed; as rows, from the disk and from memory.
fn with_row(at: usize, row: u32) -> Result<[Matrix; 2], String> {
    let folder = tempfile::tempdir().expect("it can be done");
    let columns = by_columns(&written(folder.path(), false));
    let file = crate::command::open_rw(&columns);
    let indices = file.dataset("X/indices").expect("it can be done");
    let mut rows: Vec<u32> = indices.read_raw().expect("it can be done");
    rows[at] = row;
    indices.write_raw(&rows).expect("it can be done");
    file.close().expect("it can be done");
    let data = AnnData::open(&columns).expect("it can be done");
    let reader = data.row_reader_within(&FieldPath::X, LITTLE).map_err(|e| e.to_string())?;
    Ok([reader.read(0..N).expect("it can be done"), data.matrix(&FieldPath::X).expect("it can be done")])
}

#[test]
fn odd_columns_are_turned_into_the_same_rows() {
    assert!(with_row(5, 700).unwrap_err().contains("index out of range: 700"));
    // The second value of the first column stands in the row of the first now: the two are added up.
    let [disk, memory] = with_row(1, 0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let whole =
        AnnData::open(&written(folder.path(), false)).unwrap().matrix(&FieldPath::X).unwrap().to_dense();
    let rows: Vec<usize> = (0..N).filter(|r| whole.row(*r)[0] > 0.0).take(2).collect();
    let mut wanted = whole.clone();
    wanted.values[rows[0] * M] = whole.row(rows[0])[0] + whole.row(rows[1])[0];
    wanted.values[rows[1] * M] = 0.0;
    assert_eq!(rows[0], 0);
    assert_eq!((disk.to_dense(), memory.to_dense()), (wanted.clone(), wanted));
}

#[test]
fn what_is_in_memory_whole_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), false);
    let run = ["run", "scvi", "sparse.h5ad", "sparse.h5ad", "--memory", "16KiB", "-o", "out.h5ad"];
    svic(folder.path(), &run).expect(1, &["E0713", "in memory whole", "svic prep"]);
    let prep = ["prep", "sparse.h5ad", "sparse.h5ad", "-o", "rows.h5ad"];
    svic(folder.path(), &prep).expect(0, &[]);
    let run = ["run", "scvi", "rows.h5ad", "--memory", "16KiB", "--epochs", "1", "-o", "out.h5ad"];
    svic(path.parent().unwrap(), &run).expect(0, &["stay on the disk"]);
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

/// Every kind of total over the cells, some of which need others beforehand.
const STATISTICS: &str = "dim cell, gene
dim latent = 2
data {
  x     : count[cell, gene] from X
  batch : category[cell]    from obs.batch
}
stat top[gene]     = max(x over cell)
stat least         = min(x + 2 over cell, gene)
stat centre[gene]  = mean(x over cell)
stat spread[gene]  = var(x over cell)
stat high[gene]    = mean(x over cell where x >= 0.9 * top)
stat depth[batch]  = mean(log(1 + sum(x over gene)) over cell)
stat wide[batch]   = var(log(1 + sum(x over gene)) over cell)
stat share[batch]  = mean(onehot(batch) over cell)
stat n             = size(cell)
param w[gene, latent] : real
model {
  plate cell {
    z[latent] ~ Normal(0, 1)
    a = exp(0.01 * sum(w * z over latent))
    b = top + least + centre + spread + high + sum(depth + wide + share over batch) + n
    observe x ~ Poisson(rate = a * exp(1e-4 * b))
  }
}
guide { plate cell { z ~ prior } }
";

#[test]
fn statistics_are_put_together_from_blocks() {
    // Two blocks and a part of one.
    const CELLS: usize = 2500;
    let folder = tempfile::tempdir().unwrap();
    let path = of_cells(CELLS, folder.path(), false);
    let file = folder.path().join("statistics.svi");
    std::fs::write(&file, STATISTICS).unwrap();
    let found = |memory: Option<usize>| {
        let adata = AnnData::open(&path).unwrap();
        let model = svi::compile_file(&file).unwrap();
        let (model, data) = model.bind(&adata, &Binds::new().with_memory(memory)).unwrap().into_parts();
        assert_eq!(data.data.blocks.is_some(), memory.is_some());
        let engine = svi::engine::Engine::new(svi::BackendKind::Cpu, None).unwrap();
        let mut bound = data.bound.clone();
        bound.n_rows = CELLS;
        svi::train::compute_stats(&engine, &model, &bound, &data.data, 0).unwrap()
    };
    let found_all = found(None);
    assert_eq!(found_all, found(Some(LITTLE)));
    // The same by formula, in double precision.
    let x = AnnData::open(&path).unwrap().matrix(&FieldPath::X).unwrap().to_dense();
    let column = |c: usize| (0..CELLS).map(move |r| (r, c));
    let at = |(r, c): (usize, usize)| f64::from(x.row(r)[c]);
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let var = |v: &[f64]| {
        let m = mean(v);
        mean(&v.iter().map(|x| (x - m).powi(2)).collect::<Vec<_>>())
    };
    let of_genes = |f: &dyn Fn(Vec<f64>) -> f64| -> Vec<f64> {
        (0..M).map(|c| f(column(c).map(at).collect())).collect()
    };
    let largest = |v: &[f64]| v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let high = |v: Vec<f64>| {
        let top = largest(&v);
        mean(&v.into_iter().filter(|x| *x >= 0.9 * top).collect::<Vec<_>>())
    };
    let depths = |batch: usize| -> Vec<f64> {
        let rows = (0..CELLS).filter(|r| r % 2 == batch);
        rows.map(|r| (1.0 + (0..M).map(|c| at((r, c))).sum::<f64>()).ln()).collect()
    };
    let of_batches = |f: &dyn Fn(&[f64]) -> f64| (0..2).map(|b| f(&depths(b))).collect::<Vec<f64>>();
    let wanted: [(&str, Vec<f64>); 9] = [
        ("top", of_genes(&|v| largest(&v))),
        ("least", vec![2.0]),
        ("centre", of_genes(&|v| mean(&v))),
        ("spread", of_genes(&|v| var(&v))),
        ("high", of_genes(&high)),
        ("depth", of_batches(&mean)),
        ("wide", of_batches(&var)),
        ("share", vec![0.5, 0.5]),
        ("n", vec![CELLS as f64]),
    ];
    for (name, wanted) in wanted {
        let found = &found_all[name];
        assert_eq!(found.len(), wanted.len(), "{name}");
        for (f, w) in found.iter().zip(wanted) {
            // Within a block a thousand squares are summed in single precision.
            assert!((f64::from(*f) - w).abs() <= 1e-5 * w.abs().max(1.0), "{name}: {f} {w}");
        }
    }
}

#[test]
fn models_with_statistics_run_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    of_cells(1500, folder.path(), false);
    let common = ["--epochs", "1", "-q", "--set", "latent=2", "hidden=4", "-o"];
    for (out, more) in [("disk.h5ad", &["--memory", "16KiB"][..]), ("whole.h5ad", &[])] {
        let run = ["run", "scvi_latent_library", "sparse.h5ad"];
        svic(folder.path(), &[&run[..], &common, &[out], more].concat()).expect(0, &[]);
    }
    let stats = |name: &str| saved::load(folder.path().join(name)).expect("a model").stats;
    assert!(!stats("disk.svim").is_empty());
    assert_eq!(stats("disk.svim"), stats("whole.svim"));
}
