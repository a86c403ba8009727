//! The files that mutants are made of, and how one mutant is.

use super::archive::{gunzip, gzip, unzip, zip};
use super::mutate::{self, Numbers};
use super::structure;
use std::fs;
use std::path::{Path, PathBuf};
use svi::anndata::{
    Additions, Column, Csr, Dense, Matrix, NewAnnData, UnsValue, Values, WriteOptions, write_new,
};

/// A sound file or folder.
#[derive(Clone, Debug)]
pub struct Sample(pub PathBuf);

impl Sample {
    /// About how many bytes it has.
    pub fn size(&self) -> u64 {
        let len = |p: &Path| p.metadata().map_or(0, |m| m.len());
        match fs::read_dir(&self.0) {
            Ok(entries) => entries.flatten().map(|e| len(&e.path())).sum(),
            Err(_) => len(&self.0),
        }
    }

    /// Writes mutant `numbers` of it into `folder`; gives its path.
    pub fn mutant(&self, folder: &Path, numbers: &mut Numbers) -> PathBuf {
        let name = self.0.file_name().expect("a name").to_string_lossy().into_owned();
        let to = folder.join(&name);
        if self.0.is_dir() {
            fs::create_dir_all(&to).expect("a folder");
            let entries = fs::read_dir(&self.0).expect("it can be listed");
            let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
            files.sort();
            let chosen = numbers.below(files.len());
            for (at, file) in files.iter().enumerate() {
                let target = to.join(file.file_name().expect("a name"));
                match at == chosen {
                    true => spoiled(file, &target, numbers),
                    false => drop(fs::copy(file, target).expect("a copy")),
                }
            }
        } else {
            spoiled(&self.0, &to, numbers);
        }
        to
    }
}

/// Writes a spoiled copy of `file` to `to`.
fn spoiled(file: &Path, to: &Path, numbers: &mut Numbers) {
    let original = fs::read(file).expect("a sample can be read");
    let is_hdf5 = original.starts_with(b"\x89HDF") || original.get(512..516) == Some(b"\x89HDF");
    let kind = numbers.below(2);
    let bytes = match (kind, &original[..original.len().min(4)]) {
        (0, _) if is_hdf5 => {
            fs::write(to, &original).expect("the folder can be written");
            let _ = structure::spoil(to, numbers);
            return;
        }
        (0, [0x1f, 0x8b, ..]) => gzip(&mutate::bytes(&gunzip(&original), numbers)),
        (0, b"PK\x03\x04") => {
            let mut entries = unzip(&original);
            for _ in 0..1 + numbers.below(2) {
                let at = numbers.below(entries.len());
                entries[at].1 = mutate::bytes(&entries[at].1, numbers);
            }
            zip(&entries)
        }
        _ => mutate::bytes(&original, numbers),
    };
    fs::write(to, bytes).expect("the folder can be written");
}

/// All samples: those of the shared folder, where it is, the stores of the project, and two files made here in `folder`.
pub fn all(folder: &Path) -> Vec<Sample> {
    let mut out = made(folder);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared = crate::shared().join("data");
    for folder in [
        root.join("models/src/anndata/tests/golden"),
        shared.join("formats"),
        shared.join("formats/generated"),
        shared.join("cytometry/fcs_formats"),
    ] {
        let mut found: Vec<PathBuf> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        found.sort();
        let read = |p: &PathBuf| {
            let name = p.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let endings = [".h5ad", ".h5mu", ".h5", ".loom", ".zip", ".csv", ".fcs"];
            endings.iter().any(|e| name.ends_with(e)) || name.ends_with("mtx") && p.is_dir()
        };
        out.extend(found.into_iter().filter(read).map(Sample));
    }
    let visium = shared.join("formats/visium/filtered_feature_bc_matrix.h5");
    out.extend(Some(visium).filter(|p| p.exists()).map(Sample));
    out
}

/// A file with every kind of element that is written, and a small table.
fn made(folder: &Path) -> Vec<Sample> {
    let names = |letter: &str, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect::<Vec<_>>();
    let csr = Csr {
        n_rows: 4,
        n_cols: 3,
        indptr: vec![0, 2, 2, 3, 5],
        indices: vec![0, 2, 1, 0, 1],
        values: vec![1.0, 5.0, 2.0, 3.0, 4.0],
    };
    let square = Csr { n_cols: 4, ..csr.clone() };
    let dense = Dense { n_rows: 4, n_cols: 3, values: (0..12).map(|v| v as f32).collect() };
    let mask = Some(vec![false, true, false, false]);
    let masked = |values: Values| Column { values, missing: mask.clone() };
    let label = Values::Categorical { codes: vec![0, 1, -1, 0], categories: names("k", 2), ordered: true };
    let map = [("inner".to_owned(), UnsValue::Texts(names("t", 3)))].into_iter().collect();
    let parts = Additions {
        obs: vec![
            ("label".into(), Column::new(label)),
            ("whole".into(), masked(Values::Integer(vec![1, 2, 3, 4]))),
            ("flag".into(), masked(Values::Bool(vec![true, false, true, true]))),
            ("text".into(), masked(Values::Strings(names("s", 4)))),
            ("real".into(), Column::new(Values::Real(vec![0.5, f64::NAN, 2.0, 3.0]))),
        ],
        var: vec![("name".into(), Column::new(Values::Strings(names("n", 3))))],
        obsm: vec![("table".into(), dense.clone())],
        labels: [("table".to_owned(), names("c", 3))].into_iter().collect(),
        layers: vec![("dense".into(), Matrix::Dense(dense))],
        obsp: vec![("graph".into(), Matrix::Csr(square))],
        uns: vec![("map".into(), UnsValue::Map(map)), ("n".into(), UnsValue::Integer(3))],
        ..Additions::default()
    };
    let raw =
        NewAnnData { var_names: names("r", 3), x: Some(Matrix::Csr(csr.clone())), ..NewAnnData::default() };
    let parts = Additions { raw: Some(Box::new(raw)), ..parts };
    let new =
        NewAnnData { obs_names: names("c", 4), var_names: names("g", 3), x: Some(Matrix::Csr(csr)), parts };
    let (file, table) = (folder.join("made.h5ad"), folder.join("made.tsv"));
    write_new(&file, &new, WriteOptions { overwrite: true, in_place: false }).expect("it can be written");
    fs::write(&table, "cell\tg1\tg2\nc1\t1\t0\nc2\t3\t2.5\n").expect("it can be written");
    vec![Sample(file), Sample(table)]
}
