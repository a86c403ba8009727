//! Read, written, and read again: every file of the shared folder and files made up by chance, by this crate against
//! what anndata, mudata and scanpy read from the original, and by anndata and mudata themselves where there is a Python
//! with them (`SVIC_PYTHON`, else `../../peer/venv`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use super::golden::{GOLDEN, check_field};
use super::write::assert_same;
use super::{crc32, shared};
use crate::anndata::{
    Additions, AnnData, Column, Csr, Dense, Matrix, NewAnnData, UnsValue, Values, WriteOptions, write_copy,
    write_new,
};

/// Files made up by chance.
const MADE: u64 = 40;

/// Where Python is, if it has what is needed.
fn python() -> Option<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../peer/venv/bin/python");
    let found = std::env::var_os("SVIC_PYTHON").map_or_else(usual, PathBuf::from);
    let works = Command::new(&found).args(["-c", "import anndata, mudata, scanpy"]).output();
    if works.is_ok_and(|done| done.status.success()) {
        return Some(found);
    }
    println!("skipped: no Python with anndata, mudata and scanpy at {}", found.display());
    None
}

/// What anndata and mudata make of all files in `folder`.
fn read_back(folder: &Path) {
    let Some(python) = python() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/anndata/tests/golden/read_back.py");
    let done = Command::new(python).arg(script).arg(folder).output().expect("Python runs");
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{said}");
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
}

fn put_expected(file: &Path, expected: &Value) {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    fs::write(name, expected.to_string()).unwrap();
}

#[test]
fn every_file_that_is_written_holds_what_its_original_held() {
    let dir = tempfile::tempdir().unwrap();
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let mut n = 0;
    for (number, (name, fields)) in golden["files"].as_object().unwrap().iter().enumerate() {
        let Some(file) = shared(name) else { return };
        let fields = fields.as_object().unwrap();
        if fields.contains_key("unread") {
            continue;
        }
        let before = AnnData::open(&file).unwrap_or_else(|e| panic!("{e}"));
        let ending = if before.modality_names().is_empty() { "h5ad" } else { "h5mu" };
        let stem = file.file_name().unwrap().to_string_lossy().replace('.', "_");
        let output = dir.path().join(format!("{number}_{stem}.{ending}"));
        let score = Column::new(Values::Real((0..before.n_obs()).map(|i| i as f64 / 8.0).collect()));
        let more = Additions { obs: vec![("svic_score".into(), score)], ..Additions::default() };
        write_copy(&file, &output, &more, WriteOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let after = AnnData::open(&output).unwrap_or_else(|e| panic!("{e}"));
        assert_same(&before, &after, name);
        fields.iter().for_each(|(field, wanted)| check_field(&after, field, wanted, name));
        let mut expected = fields.clone();
        expected.insert(
            "obs.svic_score".into(),
            describe_column(&after.column(&"obs.svic_score".parse().unwrap()).unwrap()),
        );
        // Elements that an old anndata wrote, and names given twice, are as they were: warnings about them too.
        let names = before.obs_names().iter().chain(before.var_names());
        let twice = names.clone().count() != names.collect::<std::collections::BTreeSet<_>>().len();
        let old = ["v0.5", "v0.7", "cellxgene", "v0.1.2", "v0.3", "multiome_subset"]
            .iter()
            .any(|age| name.contains(age));
        if old || twice {
            expected.insert("old".into(), json!(true));
        }
        put_expected(&output, &Value::Object(expected));
        n += 1;
    }
    assert!(n >= 55, "{n} files");
    read_back(dir.path());
}

/// A sequence of numbers.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }

    fn many<T>(&mut self, n: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..n).map(|_| one(self)).collect()
    }

    fn number(&mut self) -> f32 {
        [0.0, -0.5, 1.0, 3.25, 1e-30, 16_777_216.0, -7.0, 1e30][self.below(8)]
    }

    fn text(&mut self) -> String {
        ["", "a", "T cell", "naïve β", "x/y", "\"quoted\"", "1", "True", " ", "日本", "nan", "-1"]
            [self.below(12)]
        .to_owned()
    }

    fn dense(&mut self, n_rows: usize, n_cols: usize) -> Dense {
        Dense { n_rows, n_cols, values: self.many(n_rows * n_cols, Self::number) }
    }

    fn csr(&mut self, n_rows: usize, n_cols: usize) -> Csr {
        let mut out = Csr { n_rows, n_cols, indptr: vec![0], ..Csr::default() };
        for _ in 0..n_rows {
            for column in 0..n_cols {
                if self.below(3) == 0 {
                    out.indices.push(column as u32);
                    out.values.push(self.number());
                }
            }
            out.indptr.push(out.values.len() as u64);
        }
        out
    }

    fn matrix(&mut self, n: usize, m: usize) -> Matrix {
        if self.below(2) == 0 { Matrix::Dense(self.dense(n, m)) } else { Matrix::Csr(self.csr(n, m)) }
    }

    fn column(&mut self, n: usize) -> Column {
        let mut missing = (self.below(2) == 0).then(|| self.many(n, |c| c.below(4) == 0));
        let values = match self.below(5) {
            0 => {
                let k = 1 + self.below(200);
                missing = None;
                let codes = self.many(n, |c| c.below(k + 1) as i32 - 1);
                let categories = (0..k).map(|i| format!("k {i}")).collect();
                Values::Categorical { codes, categories, ordered: self.below(2) == 0 }
            }
            1 => {
                missing = None;
                Values::Real(self.many(n, |c| if c.below(5) == 0 { f64::NAN } else { f64::from(c.number()) }))
            }
            2 => Values::Integer(self.many(n, |c| c.below(1 << 20) as i64 - 1000)),
            3 => Values::Bool(self.many(n, |c| c.below(2) == 0)),
            _ => Values::Strings(self.many(n, Self::text)),
        };
        // What is missing has no value of its own.
        let mut column = Column { values, missing };
        let mask = column.missing.clone().unwrap_or_default();
        for row in (0..n).filter(|row| mask.get(*row) == Some(&true)) {
            match &mut column.values {
                Values::Integer(v) => v[row] = 1,
                Values::Bool(v) => v[row] = false,
                Values::Strings(v) => v[row] = String::new(),
                _ => {}
            }
        }
        if !mask.contains(&true) {
            column.missing = None;
        }
        column
    }

    fn columns(&mut self, n: usize) -> Vec<(String, Column)> {
        let k = self.below(6);
        (0..k).map(|i| (["a", "b b", "β", "x.y", "Z_1"][i].to_owned(), self.column(n))).collect()
    }

    fn uns(&mut self, depth: usize) -> UnsValue {
        match self.below(if depth > 0 { 7 } else { 6 }) {
            0 => UnsValue::Text(self.text()),
            1 => UnsValue::Integer(self.below(1000) as i64 - 500),
            2 => UnsValue::Real(f64::from(self.number())),
            3 => UnsValue::Bool(self.below(2) == 0),
            4 => {
                let n = self.below(4);
                UnsValue::Texts(self.many(n, Self::text))
            }
            5 => UnsValue::Reals(vec![2, 3], self.many(6, |c| f64::from(c.number()))),
            _ => UnsValue::Map((0..self.below(4)).map(|i| (format!("k{i}"), self.uns(depth - 1))).collect()),
        }
    }

    fn anndata(&mut self) -> NewAnnData {
        let (n, m) = ([0, 1, 7, 70][self.below(4)], [0, 1, 5, 90][self.below(4)]);
        let names = |letter: &str, n: usize| (0..n).map(|i| format!("{letter} {i}")).collect::<Vec<_>>();
        let mut parts = Additions { obs: self.columns(n), var: self.columns(m), ..Additions::default() };
        if self.below(2) == 0 {
            let k = 1 + self.below(4);
            parts.obsm.push(("X_z".into(), self.dense(n, k)));
            parts.obsm.push(("named".into(), self.dense(n, k)));
            parts.labels.insert("named".into(), names("p", k));
            parts.varm.push(("load".into(), self.dense(m, k)));
            parts.obsp.push(("graph".into(), Matrix::Csr(self.csr(n, n))));
            parts.varp.push(("pairs".into(), self.matrix(m, m)));
            parts.layers.push(("other".into(), self.matrix(n, m)));
            parts.uns.push(("about".into(), self.uns(3)));
        }
        if self.below(3) == 0 {
            let raw = Additions { var: self.columns(m + 2), ..Additions::default() };
            let x = Some(self.matrix(n, m + 2));
            parts.raw = Some(Box::new(NewAnnData {
                var_names: names("r", m + 2),
                x,
                parts: raw,
                ..NewAnnData::default()
            }));
        }
        let x = (self.below(5) > 0).then(|| self.matrix(n, m));
        NewAnnData { obs_names: names("cell", n), var_names: names("gene", m), x, parts }
    }
}

fn describe_matrix(matrix: &Matrix) -> Value {
    let (mut non_zeros, mut sum, mut check) = (0, 0.0, 0.0);
    for row in 0..matrix.n_rows() {
        matrix.for_each_in_row(row, |column, value| {
            non_zeros += usize::from(value != 0.0);
            sum += f64::from(value);
            check += f64::from(value) * ((row * 31 + column * 17) % 101) as f64;
        });
    }
    json!({ "shape": [matrix.n_rows(), matrix.n_cols()], "nonzero": non_zeros, "sum": sum, "check": check })
}

fn describe_column(column: &Column) -> Value {
    let weights = |values: &[f64]| {
        let kept = values.iter().enumerate().filter(|(_, v)| !v.is_nan());
        kept.fold((0.0, 0.0), |(sum, check), (row, v)| (sum + v, check + v * (row % 101) as f64))
    };
    let missing = column.n_missing();
    match &column.values {
        Values::Categorical { codes, categories, ordered } => {
            let sum: i64 = codes.iter().enumerate().map(|(row, &c)| i64::from(c) * (row % 101) as i64).sum();
            let labels: Vec<&String> = categories.iter().take(40).collect();
            json!({ "missing": missing, "kind": "categories", "ordered": ordered, "labels": labels,
                "n_labels": categories.len(), "codes": sum })
        }
        Values::Strings(texts) => {
            json!({ "missing": missing, "kind": "texts", "crc": crc32(texts.join("\n").as_bytes()) })
        }
        _ => {
            let (sum, check) = weights(&column.to_reals().unwrap_or_default());
            json!({ "missing": missing, "kind": "numbers", "sum": sum, "check": check })
        }
    }
}

/// What Python should find of `new`, in the form of `golden/make.py`.
fn describe(new: &NewAnnData) -> Value {
    let labels = |names: &[String]| {
        json!({ "n": names.len(), "first": names.first().map_or("", String::as_str),
            "last": names.last().map_or("", String::as_str), "crc": crc32(names.join("\n").as_bytes()) })
    };
    let mut out = Map::new();
    out.insert("obs_names".into(), labels(&new.obs_names));
    out.insert("var_names".into(), labels(&new.var_names));
    let dense = |table: &Dense| describe_matrix(&Matrix::Dense(table.clone()));
    let parts = &new.parts;
    if let Some(x) = &new.x {
        out.insert("X".into(), describe_matrix(x));
    }
    if let Some(x) = parts.raw.as_ref().and_then(|raw| raw.x.as_ref()) {
        out.insert("raw.X".into(), describe_matrix(x));
    }
    out.extend(parts.layers.iter().map(|(name, m)| (format!("layers.{name}"), describe_matrix(m))));
    out.extend(parts.obsp.iter().map(|(name, m)| (format!("obsp.{name}"), describe_matrix(m))));
    out.extend(parts.varp.iter().map(|(name, m)| (format!("varp.{name}"), describe_matrix(m))));
    out.extend(parts.obsm.iter().map(|(name, t)| (format!("obsm.{name}"), dense(t))));
    out.extend(parts.varm.iter().map(|(name, t)| (format!("varm.{name}"), dense(t))));
    out.extend(parts.obs.iter().map(|(name, c)| (format!("obs.{name}"), describe_column(c))));
    out.extend(parts.var.iter().map(|(name, c)| (format!("var.{name}"), describe_column(c))));
    Value::Object(out)
}

#[test]
fn files_made_up_by_chance_hold_what_was_put_in() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..MADE {
        let new = Chance(seed.wrapping_mul(0x9e37_79b9)).anndata();
        let path = dir.path().join(format!("made{seed}.h5ad"));
        write_new(&path, &new, WriteOptions::default()).unwrap_or_else(|e| panic!("{seed}: {e}"));
        let before = AnnData::from_memory(&path, new.clone()).unwrap();
        let after = AnnData::open(&path).unwrap_or_else(|e| panic!("{seed}: {e}"));
        assert_same(&before, &after, &format!("seed {seed}"));
        assert_eq!(after.has_raw(), new.parts.raw.is_some(), "seed {seed}");
        // Written once more, from the file.
        let again = dir.path().join(format!("again{seed}.h5ad"));
        write_new(&again, &crate::anndata::gather(&after).unwrap(), WriteOptions::default()).unwrap();
        assert_same(&before, &AnnData::open(&again).unwrap(), &format!("seed {seed}, again"));
        put_expected(&path, &describe(&new));
        put_expected(&again, &describe(&new));
    }
    read_back(dir.path());
}
