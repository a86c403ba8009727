//! Every codec against arrays that numcodecs 0.17 and zarr 3.4 wrote (`golden/make_stores.py`).

use std::path::{Path, PathBuf};

use super::super::{self as storage, Node, Place};
use super::{Group, Store};
use crate::anndata::DataError;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/anndata/tests/golden").join(name)
}

fn root(store: Store) -> storage::Group {
    storage::Group::Zarr(Group::root(store, &Place::new(Path::new("store"), "")).unwrap().unwrap())
}

fn array(group: &storage::Group, name: &str) -> storage::Array {
    storage::dataset(group, name, &Place::new(Path::new("store"), "")).unwrap()
}

#[test]
fn every_codec_gives_the_same_values() {
    let value = |i: usize, j: usize| ((i / 4 * 3 + j) % 200) as i64 - 100;
    for file in ["codecs.v2.zarr.zip", "codecs.v3.zarr.zip"] {
        let root = root(Store::zip(&golden(file)).unwrap());
        let place = Place::new(Path::new(file), "");
        let names = storage::member_names(&root, &place).unwrap();
        assert_eq!(names.len(), if file.contains("v2") { 20 } else { 7 }, "{names:?}");
        for name in names.iter().filter(|n| *n != "blosc_stored") {
            let found =
                storage::read_i64(&array(&root, name), &place.child(name)).unwrap_or_else(|e| panic!("{e}"));
            let wanted: Vec<i64> = (0..300).flat_map(|i| (0..13).map(move |j| value(i, j))).collect();
            assert_eq!(found, (wanted.clone(), vec![300, 13]), "{file} {name}");
            for rows in [0..1, 90..110, 96..97, 200..300, 299..300, 5..5] {
                let found = storage::read_i64_rows(&array(&root, name), Some(rows.clone()), &place).unwrap();
                assert_eq!(found.0, wanted[rows.start * 13..rows.end * 13], "{file} {name} {rows:?}");
                assert_eq!(found.1, [rows.len(), 13]);
            }
        }
    }
    let root = root(Store::zip(&golden("codecs.v2.zarr.zip")).unwrap());
    let noise =
        storage::read_i64(&array(&root, "blosc_stored"), &Place::new(Path::new("store"), "")).unwrap().0;
    assert_eq!((noise.len(), noise.iter().sum::<i64>() > 300_000), (3000, true));
}

/// What reading array `a` of a store gives, whose `.zarray` and only chunk are these.
fn read(metadata: &str, chunk: &[u8]) -> Result<Vec<f32>, DataError> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    std::fs::write(dir.path().join(".zgroup"), r#"{"zarr_format":2}"#).unwrap();
    std::fs::write(dir.path().join("a/.zarray"), metadata).unwrap();
    std::fs::write(dir.path().join("a/0"), chunk).unwrap();
    let root = root(Store::folder(dir.path()));
    let place = Place::new(Path::new("store"), "a");
    match storage::member(&root, "a", &place)? {
        Some(Node::Dataset(data)) => storage::read_f32(&data, &place).map(|(values, _)| values),
        other => panic!("{other:?}"),
    }
}

#[test]
fn arrays_that_lie_are_refused() {
    let about = |shape: &str, dtype: &str, codec: &str| {
        format!(r#"{{"shape":{shape},"chunks":[4],"dtype":"{dtype}","compressor":{codec},"fill_value":7}}"#)
    };
    let whole: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(read(&about("[4]", "<f4", "null"), &whole).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    // A chunk that is not stored holds the fill value.
    assert_eq!(read(&about("[6]", "<f4", "null"), &whole).unwrap(), [1.0, 2.0, 3.0, 4.0, 7.0, 7.0]);
    let error = |about: String, chunk: &[u8]| read(&about, chunk).unwrap_err().to_string();
    assert!(error(about("[4]", "<f4", "null"), &whole[..15]).contains("fewer elements"));
    assert!(error(about("[281474976710655]", "<f4", "null"), &whole).contains("cannot hold"));
    assert!(error(about("[-1]", "<f4", "null"), &whole).contains("list of sizes"));
    assert!(error(about("[4,4]", "<f4", "null"), &whole).contains("do not cut"));
    assert!(error(about("[4]", "<c8", "null"), &whole).contains("`<c8` are not supported"));
    assert!(error(about("[4]", "<f4", r#"{"id":"bz2"}"#), &whole).contains("the codec `bz2`"));
    assert!(error(about("[4]", "<f4", r#"{"id":"zstd"}"#), &whole).contains("zstd bytes are damaged"));
    assert!(
        error(about("[4]", "<f4", r#"{"id":"blosc"}"#), &[2, 1, 0, 4, 16, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0])
            .contains("BloscLZ")
    );
    assert!(error("[".to_owned(), &whole).contains("not JSON"));
    assert!(error(about("[4]", "|O", "null"), &whole).contains("`vlen-utf8` texts only"));
}
