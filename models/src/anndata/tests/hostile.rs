//! Files that lie, are cut short, or are damaged: refused with words, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use super::shared;
use crate::anndata::{AnnData, DataError, FieldPath};

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
