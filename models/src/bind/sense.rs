//! Whether data that fit the program field by field make sense for it as a whole.

use super::BoundData;
use crate::anndata::DataError;
use crate::compiler::Compiled;
use crate::dataset::{Dataset, FieldData, Known};
use dsl::diagnostic::{Code, Diagnostic, Diagnostics};
use dsl::{MissingRule, Slot, SlotKind};
use std::collections::BTreeSet;

/// How many labels and columns a message shows.
const SHOWN: usize = 8;

/// Findings about data that a model is to be trained on: a category with one label where labels are to be told apart, a
/// field of which nothing is known, labels that the program names and no cell has.
pub(super) fn of_training(compiled: &Compiled, bound: &BoundData) -> Diagnostics {
    let mut said = Diagnostics::new();
    for slot in compiled.slots() {
        said.extend(one_label(compiled, bound, slot));
        said.extend(nothing_known(bound, slot));
        said.extend(missing_in_groups(bound, slot));
    }
    said.extend(unknown_labels(compiled, &bound.data));
    said
}

/// E0713: values above those of the field that bounds them, such as methylated reads above all reads.
pub(super) fn above_bounds(compiled: &Compiled, bound: &BoundData) -> Diagnostics {
    let mut said = Diagnostics::new();
    for (value, most, span) in compiled.bounded() {
        let fields = &bound.data.fields;
        let (Some(a), Some(b)) = (fields.get(&value), fields.get(&most)) else { continue };
        match first_above(a, b, bound.data.n_rows) {
            Ok(None) => {}
            Ok(Some((row, column, x, n))) => {
                let cell = bound.data.row_names.get(row).cloned().unwrap_or_else(|| row.to_string());
                let text = format!(
                    "`{value}` exceeds `{most}`: {}, `{}` holds {x} where `{}` holds {n} (cell `{cell}`, column {column})",
                    bound.file.display(),
                    place(bound, &value),
                    place(bound, &most)
                );
                let d = Diagnostic::new(Code::E0713, text).at(span, "counted out of it here");
                said.push(d.help(format!(
                    "if they are exchanged: --bind {value}={} {most}={}",
                    place(bound, &most),
                    place(bound, &value)
                )));
            }
            Err(e) => {
                said.push(Diagnostic::new(Code::find(e.code()).unwrap_or(Code::E0713), e.to_string()));
            }
        }
    }
    said
}

/// Row, column and both values of the first place where `a` exceeds `b`.
fn first_above(
    a: &FieldData,
    b: &FieldData,
    n_rows: usize,
) -> Result<Option<(usize, usize, f32, f32)>, DataError> {
    let width = a.row_len();
    if width != b.row_len() {
        return Ok(None);
    }
    let (mut x, mut n) = (vec![0.0; width], vec![0.0; width]);
    for row in 0..n_rows {
        if !copy_row(a, row, &mut x)? || !copy_row(b, row, &mut n)? {
            return Ok(None);
        }
        if let Some(at) = (0..width).find(|&at| x[at] > n[at]) {
            return Ok(Some((row, at, x[at], n[at])));
        }
    }
    Ok(None)
}

/// The values of a row; false for a field that has no rows of numbers.
fn copy_row(field: &FieldData, row: usize, out: &mut [f32]) -> Result<bool, DataError> {
    match field {
        FieldData::Matrix(m) => m.copy_row(row, out),
        FieldData::Disk(rows) => {
            let (block, row) = rows.locate(row);
            rows.block(block)?.copy_row(row, out);
        }
        FieldData::Reals(values) => out[0] = values[row],
        _ => return Ok(false),
    }
    Ok(true)
}

/// E0705 where labels are to be told apart and there is one; a warning where a field that must be there has one.
fn one_label(compiled: &Compiled, bound: &BoundData, slot: &Slot) -> Option<Diagnostic> {
    let labels = bound.data.labels.get(&slot.name)?;
    let [label] = labels.as_slice() else { return None };
    let why = if compiled.observed().contains(&slot.name) {
        "a model that tells its labels apart needs two"
    } else if compiled.train().stratify.as_ref() == Some(&slot.name) {
        "a model that compares its groups needs two"
    } else if slot.optional {
        return None;
    } else {
        let text = format!("{}: all cells have the label `{label}`", subject(bound, slot));
        return Some(Diagnostic::new(Code::W0705, text));
    };
    let text = format!("{}: every cell that has a label is `{label}`; {why}", subject(bound, slot));
    let d = Diagnostic::new(Code::E0705, text).at(slot.span, "declared here");
    Some(d.help(format!("another column: --bind {}=obs.COLUMN", slot.name)))
}

/// E0713 for a field that may miss values and misses all of them.
fn nothing_known(bound: &BoundData, slot: &Slot) -> Option<Diagnostic> {
    let (Known::Rows { mask, .. } | Known::Whole(mask)) = bound.data.known.get(&slot.name)?;
    if slot.kind == SlotKind::Category || mask.is_empty() || mask.contains(&true) {
        return None;
    }
    let why = match &slot.missing {
        Some(MissingRule::ZerosBy(by)) => format!("every column is zero within every label of `{by}`"),
        _ => "every value is missing".to_owned(),
    };
    let d = Diagnostic::new(Code::E0713, format!("{}: {why}", subject(bound, slot)));
    let help = format!("a field with values: --bind {}=…", slot.name);
    Some(d.at(slot.span, "declared here").help(help))
}

/// W0718: which columns are taken as not measured, group by group.
fn missing_in_groups(bound: &BoundData, slot: &Slot) -> Option<Diagnostic> {
    let Some(MissingRule::ZerosBy(by)) = &slot.missing else { return None };
    let Known::Rows { width, mask } = bound.data.known.get(&slot.name)? else { return None };
    if !mask.contains(&true) {
        return None;
    }
    let only = vec![];
    let (codes, groups) = match (bound.data.fields.get(by), bound.data.labels.get(by)) {
        (Some(FieldData::Codes(codes)), Some(labels)) => (codes, labels.as_slice()),
        _ => (&only, &[][..]),
    };
    let axis = slot.axes.get(1).and_then(|a| bound.vocabularies.axes.get(a));
    let name = |column: usize| axis.and_then(|a| a.get(column)).cloned().unwrap_or(column.to_string());
    let mut parts = vec![];
    for group in 0..groups.len().max(1) {
        let of = |row: &usize| codes.get(*row).is_none_or(|c| *c as usize == group);
        let Some(row) = (0..mask.len() / width.max(&1)).find(of) else { continue };
        let lacking: Vec<String> =
            (0..*width).filter(|c| !mask[row * width + c]).map(|c| format!("`{}`", name(c))).collect();
        let more = if lacking.len() > SHOWN { ", …" } else { "" };
        let which = match lacking.len() {
            0 => continue,
            n if n == *width => format!("all {n}"),
            n => format!("{n} of {width} ({}{more})", lacking[..n.min(SHOWN)].join(", ")),
        };
        parts.push(groups.get(group).map_or(which.clone(), |label| format!("in `{label}` {which}")));
    }
    if parts.is_empty() {
        return None;
    }
    let text =
        format!("{}: zeros throughout are taken as not measured: {}", subject(bound, slot), parts.join("; "));
    Some(
        Diagnostic::new(Code::W0718, text)
            .help("leave these columns out where they were measured and are zero"),
    )
}

/// W0711: labels that the program compares a category with and that no cell has.
fn unknown_labels(compiled: &Compiled, data: &Dataset) -> Diagnostics {
    let mut said = Diagnostics::new();
    let mut seen = BTreeSet::new();
    let is_mark = |field: &str, label: &str| {
        let slot = compiled.slots().iter().find(|s| s.name == field);
        matches!(slot.and_then(|s| s.missing.as_ref()), Some(MissingRule::Literal(mark)) if mark.trim_matches('"') == label)
    };
    for (field, label, span) in compiled.compared_labels() {
        let Some(labels) = data.labels.get(&field) else { continue };
        if labels.contains(&label) || is_mark(&field, &label) || !seen.insert((field.clone(), label.clone()))
        {
            continue;
        }
        let text = format!("`{field}` is compared with `{label}`, but no cell has that label");
        let d = Diagnostic::new(Code::W0711, text).at(span, "compared here");
        let d = d.did_you_mean(&label, labels.iter().map(String::as_str));
        let some: Vec<&str> = labels.iter().take(SHOWN).map(String::as_str).collect();
        let more = if labels.len() > some.len() { ", …" } else { "" };
        said.push(d.note(format!("its labels are {}{more}", some.join(", "))));
    }
    said
}

fn place(bound: &BoundData, field: &str) -> String {
    bound.bindings.get(field).cloned().unwrap_or_else(|| field.to_owned())
}

/// The field, the file and where it stands there.
fn subject(bound: &BoundData, slot: &Slot) -> String {
    format!("`{}`: {}, `{}`", slot.name, bound.file.display(), place(bound, &slot.name))
}
