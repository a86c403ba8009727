//! Files that lie, are cut short, or are damaged: refused with words, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use super::shared;
use crate::anndata::storage::{Place, utf8};
use crate::anndata::{
    Additions, AnnData, Column, Csr, DataError, DataErrorKind, FieldPath, Matrix, NewAnnData, Values,
    WriteOptions, write_new,
};

/// Opens `path` and reads all that there is in it.
fn read_all(path: &Path) -> Result<usize, DataError> {
    let data = AnnData::open(path)?;
    let mut n = 0;
    for matrix in data.matrix_paths() {
        n += usize::from(data.matrix(&matrix).is_ok());
    }
    for name in data.obs_columns() {
        n += usize::from(
            data.column(&FieldPath::Obs(name.clone()))
                .is_ok_and(|c| c.to_categories().codes.len() == c.len()),
        );
    }
    for name in data.obsm_names() {
        n += usize::from(data.table(&FieldPath::Obsm(name)).is_ok());
    }
    for name in data.varm_names() {
        n += usize::from(data.table(&FieldPath::Varm(name)).is_ok());
    }
    for name in data.uns_names() {
        n += usize::from(data.uns(&FieldPath::Uns(vec![name])).is_ok());
    }
    n += data.layers_holding_counts().len();
    Ok(n)
}

fn write(dir: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("mutant.h5ad");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn files_cut_short_say_so() {
    let Some(whole) = shared("formats/generated/csr_uint16.h5ad") else { return };
    let bytes = fs::read(whole).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for keep in [0, 1, 7, 8, 9, 40, 95, 96, 1000, 4096, bytes.len() / 2, bytes.len() - 1] {
        let error = AnnData::open(&write(&dir, &bytes[..keep])).unwrap_err();
        assert_eq!(error.code(), "E0712", "{error}");
        if keep >= 96 {
            assert!(error.message.contains("cut short"), "{keep}: {error}");
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        "anndata_v0.11.4",
        "cellxgene_tiny_old_dtypes",
        "generated/zero_cells",
        "10x_multiome_subset_100_100",
        "cellxgene_nan",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    for name in files {
        let Some(whole) = shared(&format!("formats/{name}.h5ad")) else { return };
        let bytes = fs::read(whole).unwrap();
        for _ in 0..80 {
            let mut mutant = bytes.clone();
            for _ in 0..1 + next(4) {
                let at = next(mutant.len());
                mutant[at] = [0, 0xff, 0x7f, mutant[at] ^ 1 << next(8)][next(4)];
            }
            let _ = read_all(&write(&dir, &mutant));
        }
    }
}

/// A sound file of 3 cells and 4 genes, then spoiled through `spoil`.
fn spoiled(spoil: impl FnOnce(&hdf5::File)) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spoiled.h5ad");
    let csr = Csr {
        n_rows: 3,
        n_cols: 4,
        indptr: vec![0, 2, 2, 4],
        indices: vec![0, 3, 1, 2],
        values: vec![1.0; 4],
    };
    let names = |letter: &str, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect::<Vec<_>>();
    let label = Values::Categorical { codes: vec![0, 1, 0], categories: names("k", 2), ordered: false };
    let new = NewAnnData {
        obs_names: names("c", 3),
        var_names: names("g", 4),
        x: Some(Matrix::Csr(csr)),
        parts: Additions { obs: vec![("k".into(), Column::new(label))], ..Additions::default() },
    };
    write_new(&path, &new, WriteOptions::default()).unwrap();
    let file = hdf5::File::open_rw(&path).unwrap();
    spoil(&file);
    file.close().unwrap();
    (dir, path)
}

/// Writes `values` over dataset `name` of the same size and type.
fn put<T: hdf5::H5Type>(file: &hdf5::File, name: &str, values: &[T]) {
    file.dataset(name).unwrap().write_raw(values).unwrap();
}

/// Writes a new dataset `name` in place of the old.
fn replace<T: hdf5::H5Type>(file: &hdf5::File, name: &str, values: &[T]) {
    file.unlink(name).unwrap();
    file.new_dataset::<T>().shape([values.len()]).create(name).unwrap().write_raw(values).unwrap();
}

fn x_error(spoil: impl FnOnce(&hdf5::File)) -> String {
    let (_dir, path) = spoiled(spoil);
    let error = AnnData::open(&path).unwrap().matrix(&FieldPath::X).unwrap_err();
    assert_eq!(error.kind, DataErrorKind::Malformed, "{error}");
    error.to_string()
}

#[test]
fn sparse_matrices_that_do_not_hold_together() {
    let (_dir, path) = spoiled(|f| {
        put(f, "X/indices", &[3i32, 0, 1, 2]);
        put(f, "X/data", &[2f32, 1.0, 1.0, 1.0]);
    });
    let sorted = AnnData::open(&path).unwrap().matrix(&FieldPath::X).unwrap();
    assert_eq!(sorted.to_dense().row(0), [1.0, 0.0, 0.0, 2.0]);
    assert!(
        x_error(|f| put(f, "X/indices", &[0i32, 4, 1, 2])).contains("index out of range: 4 at position 1")
    );
    assert!(x_error(|f| put(f, "X/indices", &[-1i32, 3, 1, 2])).contains("index out of range: -1"));
    assert!(x_error(|f| put(f, "X/indptr", &[0i32, 3, 2, 4])).contains("fall at position 1"));
    assert!(x_error(|f| put(f, "X/indptr", &[1i32, 2, 2, 4])).contains("found 1 to 4"));
    assert!(x_error(|f| put(f, "X/indptr", &[0i32, 2, 2, 5])).contains("found 0 to 5"));
    assert!(x_error(|f| put(f, "X/indptr", &[0i32, i32::MIN, 2, 4])).contains("fall at position 0"));
    assert!(x_error(|f| replace(f, "X/indptr", &[0i64, 4])).contains("4 row pointers are expected"));
    assert!(x_error(|f| replace(f, "X/indices", &[0i32])).contains("4 values but 1 indices"));
    assert!(x_error(|f| replace(f, "X/indices", &[0.0f32; 4])).contains("integers are expected"));
    assert!(x_error(|f| f.unlink("X/data").unwrap()).contains("`X/data`: it is missing"));
    assert!(x_error(|f| replace(f, "X/data", &[16_777_217i32, 1, 1, 1])).contains("16777217"));
    assert!(x_error(|f| replace(f, "X/data", &[u64::MAX - 1, 1, 1, 1])).contains("cannot represent exactly"));
    assert!(x_error(|f| replace(f, "X/data", &[1e300f64, 1.0, 1.0, 1.0])).contains("beyond the range"));
    let shape = |f: &hdf5::File, shape: [i64; 2]| {
        f.group("X").unwrap().attr("shape").unwrap().write_raw(&shape).unwrap()
    };
    assert!(x_error(|f| shape(f, [-3, 4])).contains("two sizes"));
    assert!(x_error(|f| shape(f, [i64::MAX, 4])).contains("two sizes"));
    assert!(x_error(|f| shape(f, [4_000_000_000, 4])).contains("its shape is 4000000000 x 4"));
    assert!(x_error(|f| shape(f, [4, 4])).contains("its shape is 4 x 4"));
    assert!(
        x_error(|f| f.group("X").unwrap().delete_attr("encoding-type").unwrap())
            .contains("not marked as sparse")
    );
}

#[test]
fn claims_that_the_file_cannot_back_are_refused() {
    let huge = |f: &hdf5::File| {
        f.unlink("X").unwrap();
        f.new_dataset::<f32>().chunk([3, 1 << 10]).deflate(1).shape([3usize, 1 << 44]).create("X").unwrap();
    };
    let (_dir, path) = spoiled(huge);
    assert!(
        AnnData::open(&path).unwrap().matrix(&FieldPath::X).unwrap_err().message.contains("its shape is")
    );
    let (_dir, path) = spoiled(|f| {
        f.new_dataset::<f64>().chunk([1 << 10]).shape([1usize << 50]).create("uns/big").unwrap();
    });
    let error = AnnData::open(&path).unwrap().uns(&"uns.big".parse().unwrap()).unwrap_err();
    assert!(error.message.contains("cannot hold"), "{error}");
    let (_dir, path) = spoiled(|f| {
        f.unlink("obs/_index").unwrap();
        f.new_dataset::<hdf5::types::VarLenUnicode>()
            .chunk([1 << 10])
            .shape([1usize << 45])
            .create("obs/_index")
            .unwrap();
    });
    assert!(AnnData::open(&path).unwrap_err().message.contains("cannot hold"));
}

#[test]
fn sparse_tables_that_claim_to_be_wide() {
    let table = |shape: [i64; 2]| {
        spoiled(move |f| {
            let obsm = if f.link_exists("obsm") { f.group("obsm") } else { f.create_group("obsm") }.unwrap();
            obsm.link_hard("/X", "t").unwrap();
            f.group("X").unwrap().attr("shape").unwrap().write_raw(&shape).unwrap();
        })
    };
    for (shape, said) in [
        ([3, 4_000_000_000], "too wide for a table"),
        ([4_000_000_000, 4], "its shape is 4000000000 x 4"),
        ([4_000_000_000, 4_000_000_000], "its shape is"),
    ] {
        let (_dir, path) = table(shape);
        let error = AnnData::open(&path).unwrap().table(&"obsm.t".parse().unwrap()).unwrap_err();
        assert!(error.message.contains(said), "{error}");
    }
    let (_dir, path) = table([3, 4]);
    assert_eq!(AnnData::open(&path).unwrap().table(&"obsm.t".parse().unwrap()).unwrap().values.n_cols, 4);
}

#[test]
fn links_out_of_the_file_and_in_circles() {
    let (dir, path) = spoiled(|f| {
        f.unlink("X").unwrap();
        f.link_external("other.h5ad", "/X", "X").unwrap();
        f.group("uns").unwrap().link_hard("/uns", "a").unwrap();
        f.group("uns").unwrap().link_hard("/uns", "b").unwrap();
        f.group("uns").unwrap().link_soft("/nowhere", "c").unwrap();
        let outside = f.new_dataset::<u8>().external("/etc/hostname", 0, 4).shape([4]);
        outside.create("uns/secret").unwrap();
    });
    let (_keep, other) = spoiled(|_| ());
    fs::copy(other, dir.path().join("other.h5ad")).unwrap();
    let data = AnnData::open(&path).unwrap();
    let error = data.matrix(&FieldPath::X).unwrap_err();
    assert!(error.message.contains("another file"), "{error}");
    let error = data.uns(&"uns.secret".parse().unwrap()).unwrap_err();
    assert!(error.message.contains("another file"), "{error}");
    assert!(data.uns(&"uns.a".parse().unwrap()).is_err());
    assert!(data.uns(&"uns.c".parse().unwrap()).is_err());
}

#[test]
fn columns_that_do_not_hold_together() {
    let error = |name: &str, spoil: &dyn Fn(&hdf5::File)| {
        let (_dir, path) = spoiled(spoil);
        let found = AnnData::open(&path).and_then(|d| d.column(&FieldPath::Obs(name.into())).map(|_| ()));
        found.unwrap_err().to_string()
    };
    assert!(
        error("k", &|f| put(f, "obs/k/codes", &[0i8, 2, 0])).contains("row 1 has code 2, but there are 2")
    );
    assert!(error("k", &|f| put(f, "obs/k/codes", &[0i8, -2, 0])).contains("code -2"));
    assert!(error("k", &|f| replace(f, "obs/k/codes", &[0i8; 5])).contains("5 rows, but the index has 3"));
    assert!(error("k", &|f| replace(f, "obs/k/categories", &[1i64, 1])).contains("listed twice"));
    assert!(error("k", &|f| f.unlink("obs/k/codes").unwrap()).contains("missing"));
    assert!(error("k", &|f| f.unlink("obs/_index").unwrap()).contains("index of the data frame is missing"));
    assert!(error("k", &|f| f.unlink("var").unwrap()).contains("not AnnData"));
    let place = Place::new(Path::new("f"), "obs.a");
    assert!(utf8(b"a\xff", &place).unwrap_err().message.contains("not UTF-8"));
}

#[test]
fn a_filter_that_is_not_built_in_is_named() {
    let Some(whole) = shared("formats/generated/dense_f64.h5ad") else { return };
    let mut bytes = fs::read(whole).unwrap();
    // A filter of the pipeline message is its number, length of name, flags, number of values, and its name.
    let name = b"deflate\0";
    let found: Vec<usize> = (8..bytes.len() - 8).filter(|&at| bytes[at..at + 8] == *name).collect();
    assert!(!found.is_empty());
    let dir = tempfile::tempdir().unwrap();
    for (number, filter) in [
        (307u16, "bzip2"),
        (32001, "Blosc"),
        (32004, "LZ4"),
        (32008, "bitshuffle"),
        (32015, "Zstandard"),
        (32026, "Blosc2"),
    ] {
        for at in &found {
            bytes[at - 8..at - 6].copy_from_slice(&number.to_le_bytes());
        }
        let path = dir.path().join("packed.h5ad");
        fs::write(&path, &bytes).unwrap();
        let error = AnnData::open(&path).and_then(|data| data.matrix(&FieldPath::X)).unwrap_err();
        assert!(error.message.contains(&format!("{number} ({filter})")), "{error}");
        let help = error.help.unwrap();
        let command =
            format!("import hdf5plugin, anndata; anndata.read_h5ad(\"{}\").write_h5ad(", path.display());
        assert!(help.contains(&command), "{help}");
    }
}
