//! Writing: what is written reads back, and a failure at any step leaves the target untouched and nothing beside it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::shared;
use crate::anndata::write::write_copy_gated;
use crate::anndata::{
    Additions, AnnData, Column, Csr, Dense, FieldPath, Matrix, NewAnnData, UnsValue, Values, WriteOptions,
    write_copy, write_new,
};

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

fn columns() -> Vec<(String, Column)> {
    let mask = Some(vec![false, true, false]);
    vec![
        (
            "label".into(),
            Column::new(Values::Categorical {
                codes: vec![1, -1, 0],
                categories: strings(&["naïve", "memory"]),
                ordered: true,
            }),
        ),
        ("score".into(), Column::new(Values::Real(vec![0.5, f64::NAN, -2.0]))),
        ("n".into(), Column::new(Values::Integer(vec![3, -4, i64::MAX]))),
        ("kept".into(), Column::new(Values::Bool(vec![true, false, true]))),
        ("note".into(), Column::new(Values::Strings(strings(&["a", "", "c d"])))),
        ("n_or_not".into(), Column { values: Values::Integer(vec![1, 0, 2]), missing: mask.clone() }),
        (
            "kept_or_not".into(),
            Column { values: Values::Bool(vec![true, false, false]), missing: mask.clone() },
        ),
        ("note_or_not".into(), Column { values: Values::Strings(strings(&["x", "", "y"])), missing: mask }),
    ]
}

fn uns() -> Vec<(String, UnsValue)> {
    let inner = BTreeMap::from([
        ("seed".to_owned(), UnsValue::Integer(7)),
        ("elbo".to_owned(), UnsValue::Reals(vec![2, 2], vec![1.0, 2.0, 3.0, 4.5])),
        ("genes".to_owned(), UnsValue::Texts(strings(&["a", "β"]))),
        ("none".to_owned(), UnsValue::Texts(Vec::new())),
        ("deep".to_owned(), UnsValue::Map(BTreeMap::from([("yes".to_owned(), UnsValue::Bool(true))]))),
        ("steps".to_owned(), UnsValue::Integers(vec![3], vec![1, 2, 3])),
    ]);
    vec![
        ("svic".into(), UnsValue::Map(inner)),
        ("title".into(), UnsValue::Text("ü".into())),
        ("rate".into(), UnsValue::Real(0.25)),
    ]
}

fn small() -> NewAnnData {
    let csr = Csr {
        n_rows: 3,
        n_cols: 4,
        indptr: vec![0, 2, 2, 3],
        indices: vec![0, 3, 1],
        values: vec![1., 5., 2.],
    };
    let dense = |n_rows: usize, n_cols: usize| Dense {
        n_rows,
        n_cols,
        values: (0..n_rows * n_cols).map(|v| v as f32 / 4.0).collect(),
    };
    NewAnnData {
        obs_names: strings(&["c0", "c1", "c2"]),
        var_names: strings(&["g0", "g1", "g2", "g3"]),
        x: Some(Matrix::Csr(csr)),
        parts: Additions {
            obs: columns(),
            var: vec![("mean".into(), Column::new(Values::Real(vec![0.0, 1.0, 2.0, 3.0])))],
            obsm: vec![("X_z".into(), dense(3, 40))],
            varm: vec![("load".into(), dense(4, 2))],
            layers: vec![("norm".into(), Matrix::Dense(dense(3, 4)))],
            uns: uns(),
            ..Additions::default()
        },
    }
}

fn assert_holds(data: &AnnData, wanted: &Additions) {
    for (name, column) in &wanted.obs {
        let found = data.column(&FieldPath::Obs(name.clone())).unwrap();
        assert_eq!(format!("{found:?}"), format!("{column:?}"), "{name}");
    }
    for (name, column) in &wanted.var {
        assert_eq!(&data.column(&FieldPath::Var(name.clone())).unwrap(), column);
    }
    for (name, table) in &wanted.obsm {
        assert_eq!(&data.table(&FieldPath::Obsm(name.clone())).unwrap().values, table);
    }
    for (name, table) in &wanted.varm {
        assert_eq!(&data.table(&FieldPath::Varm(name.clone())).unwrap().values, table);
    }
    for (name, layer) in &wanted.layers {
        assert_eq!(&data.matrix(&FieldPath::Layer(name.clone())).unwrap(), layer);
    }
    for (name, value) in &wanted.uns {
        assert_eq!(&data.uns(&FieldPath::Uns(vec![name.clone()])).unwrap(), value);
    }
}

#[test]
fn a_new_file_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new.h5ad");
    let new = small();
    write_new(&path, &new, WriteOptions::default()).unwrap();
    let data = AnnData::open(&path).unwrap();
    assert_eq!((data.obs_names(), data.var_names()), (new.obs_names.as_slice(), new.var_names.as_slice()));
    assert_eq!(data.obs_columns(), new.parts.obs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    assert_eq!(Some(data.matrix(&FieldPath::X).unwrap()), new.x);
    assert_holds(&data, &new.parts);
    let error = write_new(&path, &new, WriteOptions::default()).unwrap_err();
    assert!(error.message.contains("exists already"), "{error}");
    write_new(&path, &small(), WriteOptions { overwrite: true, ..WriteOptions::default() }).unwrap();

    let empty = NewAnnData {
        x: Some(Matrix::Csr(Csr { indptr: vec![0], ..Csr::default() })),
        ..NewAnnData::default()
    };
    let path = dir.path().join("empty.h5ad");
    write_new(&path, &empty, WriteOptions::default()).unwrap();
    let data = AnnData::open(&path).unwrap();
    assert_eq!(
        (data.n_obs(), data.obs_columns().len(), data.matrix(&FieldPath::X).unwrap()),
        (0, 0, empty.x.unwrap())
    );
}

/// Additions that fit a file of `n` cells and `m` genes.
fn fitting(n: usize, m: usize) -> Additions {
    Additions {
        obs: vec![
            (
                "svic_label".into(),
                Column::new(Values::Categorical {
                    codes: (0..n as i32).map(|i| i % 3 - 1).collect(),
                    categories: strings(&["one", "two"]),
                    ordered: false,
                }),
            ),
            ("svic_score".into(), Column::new(Values::Real((0..n).map(|i| i as f64).collect()))),
        ],
        var: vec![("svic_mean".into(), Column::new(Values::Real(vec![1.5; m])))],
        obsm: vec![("X_svic".into(), Dense { n_rows: n, n_cols: 2, values: vec![0.5; 2 * n] })],
        layers: vec![("svic".into(), Matrix::Dense(Dense::zeros(n, m)))],
        uns: uns(),
        ..Additions::default()
    }
}

#[test]
fn copies_of_files_of_every_age_with_additions() {
    let dir = tempfile::tempdir().unwrap();
    let names = [
        "anndata_v0.7.0",
        "anndata_v0.7.8",
        "anndata_v0.11.4",
        "krumsiek11_nullable_v0.8",
        "generated/zero_cells",
        "generated/obs_dtypes",
        "generated/raw_layers_obsm",
        "10x_multiome_subset_100_100",
        "cellxgene_tiny_old_dtypes",
    ];
    for name in names {
        let Some(input) = shared(&format!("formats/{name}.h5ad")) else { return };
        let output = dir.path().join("out.h5ad");
        let before = AnnData::open(&input).unwrap();
        let additions = fitting(before.n_obs(), before.n_vars());
        write_copy(&input, &output, &additions, WriteOptions { overwrite: true, ..WriteOptions::default() })
            .unwrap();
        let after = AnnData::open(&output).unwrap();
        assert_holds(&after, &additions);
        assert_eq!(after.obs_columns()[..before.obs_columns().len()], *before.obs_columns(), "{name}");
        for column in before.obs_columns() {
            let column = FieldPath::Obs(column.clone());
            let (old, new) = (before.column(&column).unwrap(), after.column(&column).unwrap());
            assert_eq!(format!("{old:?}"), format!("{new:?}"), "{name}");
        }
        assert_eq!(before.matrix(&FieldPath::X).ok(), after.matrix(&FieldPath::X).ok());
    }
}

#[test]
fn an_element_of_the_same_name_is_replaced() {
    let Some(input) = shared("formats/anndata_v0.7.8.h5ad") else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.h5ad");
    fs::copy(&input, &output).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&output, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let additions = Additions {
        obs: vec![("obs_cat".into(), Column::new(Values::Integer((0..30).collect())))],
        obsm: vec![("df".into(), Dense::zeros(30, 1))],
        ..Additions::default()
    };
    let options = WriteOptions { in_place: true, ..WriteOptions::default() };
    assert!(
        write_copy(&output, &output, &additions, WriteOptions::default())
            .unwrap_err()
            .message
            .contains("input itself")
    );
    write_copy(&output, &output, &additions, options).unwrap();
    assert_holds(&AnnData::open(&output).unwrap(), &additions);
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&output).unwrap().permissions()) & 0o777,
        0o640
    );
}

#[test]
fn the_oldest_layout_is_brought_up_to_date_where_it_grows() {
    let Some(input) = shared("formats/anndata_v0.5.0.h5ad") else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.h5ad");
    let before = AnnData::open(&input).unwrap();
    let additions = fitting(before.n_obs(), before.n_vars());
    write_copy(&input, &output, &additions, WriteOptions::default()).unwrap();
    let after = AnnData::open(&output).unwrap();
    assert_holds(&after, &additions);
    assert_same(&before, &after, "0.5.0");
}

/// Shape, columns and values of a matrix, NaN equal to itself.
fn bits(matrix: Option<Matrix>) -> Option<(usize, usize, Vec<u32>, Vec<u32>)> {
    matrix.map(|m| {
        let columns = match &m {
            Matrix::Csr(m) => m.indices.clone(),
            Matrix::Dense(_) => Vec::new(),
        };
        (m.n_rows(), m.n_cols(), columns, m.values().iter().map(|v| v.to_bits()).collect())
    })
}

/// All that `before` has `after` has too.
pub(super) fn assert_same(before: &AnnData, after: &AnnData, what: &str) {
    assert_eq!((before.obs_names(), before.var_names()), (after.obs_names(), after.var_names()), "{what}");
    for path in before.matrix_paths() {
        assert_eq!(bits(before.matrix(&path).ok()), bits(after.matrix(&path).ok()), "{what} {path}");
    }
    let columns = before.obs_columns().iter().cloned().map(FieldPath::Obs);
    for path in columns.chain(before.var_columns().iter().cloned().map(FieldPath::Var)) {
        let (old, new) = (before.column(&path).unwrap(), after.column(&path).unwrap());
        assert_eq!(format!("{old:?}"), format!("{new:?}"), "{what} {path}");
    }
    let tables = before.obsm_names().into_iter().map(FieldPath::Obsm);
    for path in tables.chain(before.varm_names().into_iter().map(FieldPath::Varm)) {
        let (old, new) = (before.table(&path).ok(), after.table(&path).ok());
        assert_eq!(old.as_ref().map(|t| &t.labels), new.as_ref().map(|t| &t.labels), "{what} {path}");
        let table = |t: Option<crate::anndata::Table>| bits(t.map(|t| Matrix::Dense(t.values)));
        assert_eq!(table(old), table(new), "{what} {path}");
    }
    for (part, path) in [("obsp", FieldPath::Obsp as fn(String) -> FieldPath), ("varp", FieldPath::Varp)] {
        for name in before.names_in(part) {
            assert_eq!(before.matrix(&path(name.clone())).ok(), after.matrix(&path(name)).ok(), "{what}");
        }
    }
    // Before 0.7 labels of categories lay in `uns`; they move to the frames.
    for name in before.uns_names().into_iter().filter(|name| !name.ends_with("_categories")) {
        let path = FieldPath::Uns(vec![name]);
        assert_eq!(before.uns(&path).ok(), after.uns(&path).ok(), "{what} {path}");
    }
    for name in before.modality_names() {
        let part = after.modality(name).unwrap();
        assert_same(before.modality(name).unwrap(), part, &format!("{what} {name}"));
        assert_eq!(before.modality_rows(name).unwrap(), after.modality_rows(name).unwrap(), "{what} {name}");
    }
}

#[test]
fn every_format_becomes_anndata_or_mudata() {
    let dir = tempfile::tempdir().unwrap();
    // Kept where a person wants to read the results with Python: as golden/read_back.py reads them.
    let keep = std::env::var_os("SVIC_KEEP").map(PathBuf::from);
    let folder = keep.as_deref().unwrap_or(dir.path());
    let names = [
        "formats/10x_v2_filtered_gene_bc_matrices.h5",
        "formats/10x_v2_multiple_genomes.h5",
        "formats/10x_v3_mtx",
        "formats/mpfc_starmap.loom",
        "formats/generated/kang_small.zarr.zip",
        "formats/generated/dense_counts.csv",
        "formats/anndata_v0.5.0.h5ad",
        "formats/anndata_v0.7.0.h5ad",
        "formats/anndata_v0.7.8.h5ad",
        "formats/anndata_v0.11.4.h5ad",
        "formats/krumsiek11_nullable_v0.8.h5ad",
        "formats/cellxgene_nan.h5ad",
        "formats/generated/obs_dtypes.h5ad",
        "formats/generated/raw_layers_obsm.h5ad",
        "formats/mudata_v0.1.2_axis0.h5mu",
        "formats/mudata_v0.4.1_axis0.h5mu",
        "multiome/tumor_multiome_mosaic.h5mu",
    ];
    let mut inputs: Vec<PathBuf> = names.iter().filter_map(|name| shared(name)).collect();
    for version in ["v2", "v3"] {
        let name = format!("src/anndata/tests/golden/small.{version}.zarr.zip");
        inputs.push(Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
    }
    for input in inputs {
        let before = AnnData::open(&input).unwrap_or_else(|e| panic!("{e}"));
        let several = before.modality_names().first().map(|name| (*name).to_owned());
        let name = input.file_name().unwrap().to_string_lossy().into_owned();
        let output = folder.join(format!("{name}.out.{}", if several.is_some() { "h5mu" } else { "h5ad" }));
        let mut additions = Additions { obs: fitting(before.n_obs(), 0).obs, ..Additions::default() };
        if let Some(first) = &several {
            let part = before.modality(first).unwrap();
            additions.modalities.push((first.clone(), fitting(part.n_obs(), part.n_vars())));
        }
        let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
        write_copy(&input, &output, &additions, options).unwrap_or_else(|e| panic!("{e}"));
        let after = AnnData::open(&output).unwrap_or_else(|e| panic!("{e}"));
        assert_same(&before, &after, &name);
        assert!(after.contains(&FieldPath::Obs("svic_score".into())));
        if let Some(first) = &several {
            assert_holds(after.modality(first).unwrap(), &additions.modalities[0].1);
        }
    }
}

#[test]
fn two_writers_of_one_file_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.h5ad");
    write_new(&output, &small(), WriteOptions::default()).unwrap();
    let lock = fs::File::create(dir.path().join(".out.h5ad.lock")).unwrap();
    lock.lock().unwrap();
    let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
    let error = write_new(&output, &small(), options).unwrap_err();
    assert!(error.message.contains("another run is writing it"), "{error}");
    assert_eq!(left_over(dir.path()), Vec::<String>::new());
    drop(lock);
    write_new(&output, &small(), options).unwrap();
    assert!(!dir.path().join(".out.h5ad.lock").exists());
    // Many at once: whoever gets the lock writes a whole file, the others are refused.
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let each = (0..8).map(|_| scope.spawn(|| write_new(&output, &small(), options)));
        each.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(outcomes.iter().any(Result::is_ok));
    assert!(outcomes.iter().all(|o| o.as_ref().err().is_none_or(|e| e.message.contains("another run"))));
    assert_holds(&AnnData::open(&output).unwrap(), &small().parts);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_failure_at_any_step_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in.h5ad"), dir.path().join("out.h5ad"));
    write_new(&input, &small(), WriteOptions::default()).unwrap();
    let additions = fitting(3, 4);
    let mut steps = Vec::new();
    write_copy_gated(&input, &output, &additions, WriteOptions::default(), &mut |step| {
        steps.push(step.to_owned());
        Ok(())
    })
    .unwrap();
    assert_eq!(steps.first().map(String::as_str), Some("create"));
    assert_eq!(steps.last().map(String::as_str), Some("rename"));
    assert!(steps.len() >= 11, "{steps:?}");
    for before in [None, Some(b"precious".as_slice())] {
        for failing in &steps {
            fs::remove_file(&output).ok();
            if let Some(bytes) = before {
                fs::write(&output, bytes).unwrap();
            }
            let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
            let error = write_copy_gated(&input, &output, &additions, options, &mut |step| {
                if step == failing { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
            })
            .unwrap_err();
            assert!(error.message.contains("disk is full"), "{failing}: {error}");
            assert_eq!(fs::read(&output).ok().as_deref(), before, "{failing}");
            assert_eq!(left_over(dir.path()), Vec::<String>::new(), "{failing}");
        }
    }
}

fn left_over(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".part")).collect()
}

#[test]
fn impossible_targets_and_additions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.h5ad");
    write_new(&input, &small(), WriteOptions::default()).unwrap();
    let write = |output: &Path, additions: &Additions| {
        write_copy(&input, output, additions, WriteOptions::default()).unwrap_err().to_string()
    };
    let nothing = Additions::default();
    assert!(write(&dir.path().join("none/out.h5ad"), &nothing).contains("there is no directory"));
    assert!(write(dir.path(), &nothing).contains("directory"));
    assert!(write(&input, &nothing).contains("input itself"));
    #[cfg(unix)]
    {
        let link = dir.path().join("link.h5ad");
        std::os::unix::fs::symlink(&input, &link).unwrap();
        assert!(write(&link, &nothing).contains("input itself"));
    }
    let out = dir.path().join("out.h5ad");
    let column = |name: &str, n: usize| Additions {
        obs: vec![(name.into(), Column::new(Values::Real(vec![0.0; n])))],
        ..Additions::default()
    };
    assert!(write(&out, &column("short", 2)).contains("3 are expected"));
    assert!(write(&out, &column("a/b", 3)).contains("cannot be a name"));
    assert!(write(&out, &column("_index", 3)).contains("reserved"));
    let nul = Additions { uns: vec![("t".into(), UnsValue::Text("a\0b".into()))], ..Additions::default() };
    assert!(write(&out, &nul).contains("NUL"));
    assert!(!out.exists());
    assert_eq!(left_over(dir.path()), Vec::<String>::new());
}
