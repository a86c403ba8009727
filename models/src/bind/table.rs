//! Labelled tables of text: a header of column names, then a label and values on each line.

use super::found::Found;
use crate::anndata::{Dense, FieldPath, Matrix, UnsValue};
use crate::registry::SlotData;
use dsl::diagnostic::{Code, Diagnostic};
use dsl::{Slot, SlotKind};
use std::path::Path;

/// Whether a binding names a file of text instead of a field of the data.
pub(super) fn is_table(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    [".csv", ".tsv", ".txt"].iter().any(|end| lower.ends_with(end)) && text.parse::<FieldPath>().is_err()
        || lower.ends_with(".csv")
        || lower.ends_with(".tsv")
}

/// Reads the file for a slot. One axis takes the only column of values.
pub(super) fn read(slot: &Slot, path: &Path) -> Result<Found, Box<Diagnostic>> {
    let fail = |code, text: String| {
        let d = Diagnostic::new(code, format!("`{}`: {}: {text}", slot.name, path.display()));
        Box::new(d.at(slot.span, "declared here"))
    };
    let text = std::fs::read_to_string(path).map_err(|e| fail(Code::E0712, e.to_string()))?;
    let separator = match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
        true => ',',
        false => '\t',
    };
    let mut lines = text.lines().filter(|l| !l.trim().is_empty()).map(|l| cells(l, separator));
    let mut header = lines.next().ok_or_else(|| fail(Code::E0713, "it is empty".into()))?;
    let rows: Vec<Vec<String>> = lines.collect();
    let width = rows.first().map_or(0, Vec::len);
    // A header may or may not name the column of labels.
    if header.len() == width {
        header.remove(0);
    }
    if width < 2 || header.len() + 1 != width {
        let what = format!("{} column names for {} columns of values", header.len(), width.saturating_sub(1));
        return Err(fail(Code::E0713, what));
    }
    let mut labels = vec![];
    let mut values = vec![];
    for (i, row) in rows.iter().enumerate() {
        if row.len() != width {
            return Err(fail(Code::E0713, format!("line {} has {} cells, not {width}", i + 2, row.len())));
        }
        labels.push(row[0].clone());
        for cell in &row[1..] {
            let value = number(cell).filter(|v| in_support(slot, *v));
            let value = value.ok_or_else(|| {
                let code = if slot.kind == SlotKind::Count { Code::E0703 } else { Code::E0713 };
                fail(code, format!("line {}: `{cell}` is not {}", i + 2, wanted(slot.kind)))
            })?;
            values.push(value);
        }
    }
    found(slot, path.display().to_string(), (labels, header), values).map_err(|text| fail(Code::E0308, text))
}

/// Cells of a line; quotes around one hold separators together.
fn cells(line: &str, separator: char) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c == separator && !quoted => out.push(String::new()),
            c => {
                if let Some(last) = out.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    out.iter().map(|c| c.trim().to_owned()).collect()
}

fn number(cell: &str) -> Option<f32> {
    match cell {
        "" | "NA" | "NaN" | "nan" => Some(f32::NAN),
        "true" | "True" | "TRUE" => Some(1.0),
        "false" | "False" | "FALSE" => Some(0.0),
        text => text.parse().ok(),
    }
}

/// Whether a value lies in the support of a slot.
pub(super) fn in_support(slot: &Slot, v: f32) -> bool {
    if v.is_nan() {
        return slot.missing.is_some();
    }
    match slot.kind {
        SlotKind::Count | SlotKind::Index => v >= 0.0 && v.fract() == 0.0,
        SlotKind::Nonneg => v >= 0.0,
        SlotKind::Positive => v > 0.0,
        SlotKind::Unit | SlotKind::Simplex => (0.0..=1.0).contains(&v),
        SlotKind::Bool => v == 0.0 || v == 1.0,
        SlotKind::Real => v.is_finite(),
        SlotKind::Category | SlotKind::Covariates => false,
    }
}

/// What the values of a slot are, for messages.
pub(super) fn wanted(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Count | SlotKind::Index => "a whole number from 0",
        SlotKind::Nonneg => "a number from 0",
        SlotKind::Positive => "a number above 0",
        SlotKind::Unit | SlotKind::Simplex => "a number from 0 to 1",
        SlotKind::Bool => "0 or 1",
        SlotKind::Real => "a number",
        SlotKind::Category | SlotKind::Covariates => "possible here: labels come from columns of the data",
    }
}

/// Values with labels along the axes of a slot; row-major. A field with one axis takes a table of one column.
pub(super) fn found(
    slot: &Slot,
    place: String,
    (rows, columns): (Vec<String>, Vec<String>),
    values: Vec<f32>,
) -> Result<Found, String> {
    let (slot_name, axes) = (slot.name.clone(), slot.axes.clone());
    match axes.len() {
        1 if columns.len() == 1 => Ok(Found {
            slot: slot_name,
            place,
            file: None,
            axes,
            labels: vec![rows.into()],
            data: SlotData::Vector(values),
        }),
        1 if rows.len() == 1 => Ok(Found {
            slot: slot_name,
            place,
            file: None,
            axes,
            labels: vec![columns.into()],
            data: SlotData::Vector(values),
        }),
        2 => {
            let dense = Dense { n_rows: rows.len(), n_cols: columns.len(), values };
            let data = SlotData::Matrix { values: Matrix::Dense(dense) };
            Ok(Found {
                slot: slot_name,
                place,
                file: None,
                axes,
                labels: vec![rows.into(), columns.into()],
                data,
            })
        }
        n => Err(format!("the slot has {n} axes, and the table {} by {}", rows.len(), columns.len())),
    }
}

/// An entry of `uns`, which has no labels: its places are numbered.
pub(super) fn from_uns(slot: &Slot, place: String, value: &UnsValue) -> Result<Found, String> {
    let (shape, values) = match value {
        UnsValue::Real(x) => (vec![], vec![*x]),
        UnsValue::Integer(x) => (vec![], vec![*x as f64]),
        UnsValue::Reals(shape, v) => (shape.clone(), v.clone()),
        UnsValue::Integers(shape, v) => (shape.clone(), v.iter().map(|x| *x as f64).collect()),
        _ => return Err("it holds no numbers".into()),
    };
    if shape.len() != slot.axes.len() {
        return Err(format!("it has {} dimensions, and the slot {} axes", shape.len(), slot.axes.len()));
    }
    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
    if let Some(bad) = values.iter().find(|v| !in_support(slot, **v)) {
        return Err(format!("{bad} is not {}", wanted(slot.kind)));
    }
    let numbers = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
    match shape[..] {
        [] => {
            let data = SlotData::Vector(values);
            Ok(Found { slot: slot.name.clone(), place, file: None, axes: vec![], labels: vec![], data })
        }
        [n] => found(slot, place, (numbers(n), vec!["0".into()]), values),
        [n, m] => found(slot, place, (numbers(n), numbers(m)), values),
        _ => Err("it has more than two dimensions".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_keep_quoted_separators() {
        assert_eq!(cells("\"T cell, CD4\",1, 0", ','), ["T cell, CD4", "1", "0"]);
        assert_eq!(cells("a\tb c", '\t'), ["a", "b c"]);
        assert!(is_table("markers.csv") && is_table("./x/m.tsv") && !is_table("varm.markers"));
    }
}
