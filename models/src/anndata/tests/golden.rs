//! Every field of every real file, against `golden/values.json`: what anndata, mudata and scanpy read from them.

use super::{crc32, shared};
use crate::anndata::{AnnData, Column, FieldPath, Matrix, Values};
use serde_json::Value;

pub(super) const GOLDEN: &str = include_str!("golden/values.json");

fn close(found: f64, wanted: &Value) -> bool {
    wanted.as_f64().is_some_and(|w| (found - w).abs() <= 1e-6 * w.abs().max(1.0))
}

fn check_labels(names: &[String], wanted: &Value, what: &str) {
    assert_eq!(names.len() as u64, wanted["n"], "{what}");
    assert_eq!(names.first().map_or("", String::as_str), wanted["first"], "{what}");
    assert_eq!(crc32(names.join("\n").as_bytes()), wanted["crc"], "{what}");
}

fn check_matrix(matrix: &Matrix, wanted: &Value, what: &str) {
    assert_eq!(
        [matrix.n_rows() as u64, matrix.n_cols() as u64].as_slice(),
        wanted["shape"].as_array().unwrap(),
        "{what}"
    );
    let (mut non_zeros, mut sum, mut check) = (0u64, 0.0, 0.0);
    for row in 0..matrix.n_rows() {
        matrix.for_each_in_row(row, |column, value| {
            if !value.is_nan() && value != 0.0 {
                non_zeros += 1;
                sum += f64::from(value);
                check += f64::from(value) * ((row * 31 + column * 17) % 101) as f64;
            }
        });
    }
    assert_eq!(non_zeros, wanted["nonzero"], "{what}");
    assert!(close(sum, &wanted["sum"]) && close(check, &wanted["check"]), "{what}: {sum} {check} {wanted}");
}

fn check_column(column: &Column, wanted: &Value, what: &str) {
    let missing = column.n_missing() as u64;
    let weights = |values: Vec<f64>| {
        let kept = values.into_iter().enumerate().filter(|(_, v)| !v.is_nan());
        kept.fold((0.0, 0.0), |(sum, check), (row, v)| (sum + v, check + v * (row % 101) as f64))
    };
    match wanted["kind"].as_str() {
        Some("categories") => {
            let Values::Categorical { codes, categories, ordered } = &column.values else {
                panic!("{what}: {column:?}")
            };
            assert_eq!(
                (categories.len() as u64, *ordered),
                (wanted["n_labels"].as_u64().unwrap(), wanted["ordered"] == true),
                "{what}"
            );
            for (label, other) in categories.iter().zip(wanted["labels"].as_array().unwrap()) {
                // Python shows whole numbers of a floating-point index as 1.0, as does this crate.
                assert_eq!(label, other, "{what}");
            }
            let sum: i64 = codes.iter().enumerate().map(|(row, &c)| i64::from(c) * (row % 101) as i64).sum();
            assert_eq!(sum, wanted["codes"], "{what}");
            assert_eq!(missing, wanted["missing"], "{what}");
        }
        Some("numbers") => {
            let (sum, check) = weights(column.to_reals().unwrap_or_else(|| panic!("{what}: {column:?}")));
            assert!(
                close(sum, &wanted["sum"]) && close(check, &wanted["check"]),
                "{what}: {sum} {check} {wanted}"
            );
            assert_eq!(missing, wanted["missing"], "{what}");
        }
        _ => {
            let text = |row: usize| match &column.values {
                _ if column.is_missing(row) => String::new(),
                Values::Strings(v) => v[row].clone(),
                Values::Integer(v) => v[row].to_string(),
                Values::Bool(v) => if v[row] { "True" } else { "False" }.to_owned(),
                Values::Real(v) => format!("{:?}", v[row]),
                Values::Categorical { codes, categories, .. } => categories[codes[row] as usize].clone(),
            };
            let texts: Vec<String> = (0..column.len()).map(text).collect();
            assert_eq!(
                crc32(texts.join("\n").as_bytes()),
                wanted["crc"],
                "{what}: {:?}",
                &texts[..texts.len().min(5)]
            );
        }
    }
}

pub(super) fn check_field(data: &AnnData, field: &str, wanted: &Value, file: &str) {
    let what = format!("{file}, {field}");
    if let Some(name) = field.strip_prefix("rows.") {
        let rows = data.modality_rows(name).unwrap_or_else(|e| panic!("{e}"));
        let check: usize =
            rows.iter().enumerate().map(|(cell, r)| r.map_or(0, |r| r + 1) * (cell % 101)).sum();
        assert_eq!(rows.iter().flatten().count() as u64, wanted["present"], "{what}");
        assert_eq!(check as u64, wanted["check"], "{what}");
        return;
    }
    let path: FieldPath = field.parse().unwrap_or_else(|e| panic!("{e}"));
    match path.local() {
        FieldPath::ObsNames | FieldPath::VarNames => match data.column(&path).unwrap().values {
            Values::Strings(names) => check_labels(&names, wanted, &what),
            other => panic!("{other:?}"),
        },
        FieldPath::Obs(_) | FieldPath::Var(_) => {
            check_column(&data.column(&path).unwrap_or_else(|e| panic!("{e}")), wanted, &what);
        }
        FieldPath::Obsm(_) | FieldPath::Varm(_) => {
            let table = data.table(&path).unwrap_or_else(|e| panic!("{e}"));
            check_matrix(&Matrix::Dense(table.values), wanted, &what);
        }
        _ => check_matrix(&data.matrix(&path).unwrap_or_else(|e| panic!("{e}")), wanted, &what),
    }
}

fn check_files(wanted: impl Fn(&str) -> bool, at_least: usize) {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let mut n = 0;
    for (name, fields) in golden["files"].as_object().unwrap().iter().filter(|(name, _)| wanted(name)) {
        let Some(file) = shared(name) else { return };
        let fields = fields.as_object().unwrap();
        if fields.contains_key("unread") {
            continue;
        }
        let data = AnnData::open(&file).unwrap_or_else(|e| panic!("{e}"));
        fields.iter().for_each(|(field, wanted)| check_field(&data, field, wanted, name));
        n += 1;
    }
    assert!(n >= at_least, "{n} files");
}

#[test]
fn anndata_files() {
    check_files(|name| name.ends_with(".h5ad"), 40);
}

#[test]
fn mudata_files() {
    check_files(|name| name.ends_with(".h5mu"), 5);
}

#[test]
fn files_of_other_formats() {
    check_files(|name| !name.ends_with(".h5ad") && !name.ends_with(".h5mu"), 14);
}
