//! Elements as current anndata encodes them: each with `encoding-type` and `encoding-version`, which older files
//! accept beside what they hold.

use std::collections::BTreeMap;

use hdf5::types::VarLenUnicode;
use hdf5::{Dataset, Group, H5Type, Location};

use super::Failure;
use crate::anndata::column::{Column, Values};
use crate::anndata::matrix::{Csr, Dense, Matrix};
use crate::anndata::records::Numbers;
use crate::anndata::uns::UnsValue;

type Done = Result<(), Failure>;

/// Marks `element` with its encoding.
pub(super) fn stamp(element: &Location, kind: &str, version: &str) -> Done {
    put_text_attribute(element, "encoding-type", kind)?;
    put_text_attribute(element, "encoding-version", version)
}

fn unicode(text: &str) -> Result<VarLenUnicode, Failure> {
    text.parse().map_err(|_| Failure::Data(format!("the text {text:?} holds a NUL, which HDF5 cannot store")))
}

fn put_text_attribute(element: &Location, name: &str, text: &str) -> Done {
    if element.attr_names()?.iter().any(|n| n == name) {
        element.delete_attr(name)?;
    }
    element.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&unicode(text)?)?;
    Ok(())
}

/// Replaces attribute `name` of `element` by a list of texts, which may be empty.
pub(super) fn put_texts_attribute(element: &Location, name: &str, texts: &[String]) -> Done {
    if element.attr_names()?.iter().any(|n| n == name) {
        element.delete_attr(name)?;
    }
    let texts = texts.iter().map(|t| unicode(t)).collect::<Result<Vec<_>, _>>()?;
    element.new_attr::<VarLenUnicode>().shape([texts.len()]).create(name)?.write_raw(&texts)?;
    Ok(())
}

/// Removes member `name` of `group` if there is one, so that it can be written anew.
pub(super) fn clear(group: &Group, name: &str) -> Done {
    if group.link_exists(name) {
        group.unlink(name)?;
    }
    Ok(())
}

/// Writes `values` with `shape` as member `name`, in one piece and not compressed, as anndata does unless told.
fn put_values<T: H5Type>(
    group: &Group,
    name: &str,
    values: &[T],
    shape: &[usize],
) -> Result<Dataset, Failure> {
    let data = group.new_dataset::<T>().shape(shape).create(name)?;
    if !values.is_empty() {
        data.write_raw(values)?;
    }
    Ok(data)
}

/// Writes an array of numbers or truth values.
pub(super) fn put_array<T: H5Type>(group: &Group, name: &str, values: &[T], shape: &[usize]) -> Done {
    stamp(&*put_values(group, name, values, shape)?, "array", "0.2.0")
}

/// Writes an array of texts.
fn put_strings(group: &Group, name: &str, texts: &[String]) -> Done {
    let texts = texts.iter().map(|t| unicode(t)).collect::<Result<Vec<_>, _>>()?;
    stamp(&*put_values(group, name, &texts, &[texts.len()])?, "string-array", "0.2.0")
}

/// Makes group `name` with an encoding.
pub(super) fn put_group(group: &Group, name: &str, kind: &str, version: &str) -> Result<Group, Failure> {
    let made = group.create_group(name)?;
    stamp(&made, kind, version)?;
    Ok(made)
}

/// Writes one column of a data frame.
pub(super) fn put_column(group: &Group, name: &str, column: &Column) -> Done {
    let n = [column.len()];
    let mask = column.missing.as_ref().filter(|m| m.contains(&true));
    let nullable = |kind: &str| -> Result<Group, Failure> {
        let made = put_group(group, name, kind, "0.1.0")?;
        if let Some(mask) = mask {
            put_array(&made, "mask", mask, &n)?;
        }
        Ok(made)
    };
    match (&column.values, mask) {
        (Values::Categorical { codes, categories, ordered }, _) => {
            let codes: Vec<i32> = codes
                .iter()
                .enumerate()
                .map(|(row, &c)| if column.is_missing(row) { -1 } else { c })
                .collect();
            let made = put_group(group, name, "categorical", "0.2.0")?;
            made.new_attr::<bool>().create("ordered")?.write_scalar(ordered)?;
            put_strings(&made, "categories", categories)?;
            put_codes(&made, &codes, categories.len())
        }
        (Values::Real(values), None) => put_array(group, name, values, &n),
        (Values::Real(values), Some(mask)) => {
            let values: Vec<f64> =
                values.iter().zip(mask).map(|(&v, &m)| if m { f64::NAN } else { v }).collect();
            put_array(group, name, &values, &n)
        }
        (Values::Integer(values), None) => put_array(group, name, values, &n),
        (Values::Integer(values), Some(_)) => put_array(&nullable("nullable-integer")?, "values", values, &n),
        (Values::Bool(values), None) => put_array(group, name, values, &n),
        (Values::Bool(values), Some(_)) => put_array(&nullable("nullable-boolean")?, "values", values, &n),
        (Values::Strings(texts), None) => put_strings(group, name, texts),
        (Values::Strings(texts), Some(_)) => {
            put_strings(&nullable("nullable-string-array")?, "values", texts)
        }
    }
}

/// Writes category codes in the narrowest type, as pandas does.
fn put_codes(group: &Group, codes: &[i32], n_categories: usize) -> Done {
    let n = [codes.len()];
    match n_categories {
        0..=127 => put_array(group, "codes", &codes.iter().map(|&c| c as i8).collect::<Vec<_>>(), &n),
        128..=32767 => put_array(group, "codes", &codes.iter().map(|&c| c as i16).collect::<Vec<_>>(), &n),
        _ => put_array(group, "codes", codes, &n),
    }
}

/// Writes a data frame.
pub(super) fn put_frame(group: &Group, name: &str, index: &[String], columns: &[(String, Column)]) -> Done {
    let frame = put_group(group, name, "dataframe", "0.2.0")?;
    put_text_attribute(&frame, "_index", "_index")?;
    put_strings(&frame, "_index", index)?;
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    put_texts_attribute(&frame, "column-order", &names)?;
    columns.iter().try_for_each(|(name, column)| put_column(&frame, name, column))
}

/// Adds or replaces a column of the data frame `frame`, whose columns so far are `columns`.
pub(super) fn put_in_frame(frame: &Group, columns: &mut Vec<String>, name: &str, column: &Column) -> Done {
    clear(frame, name)?;
    if let Ok(old) = frame.group("__categories") {
        clear(&old, name)?;
    }
    put_column(frame, name, column)?;
    if !columns.iter().any(|c| c == name) {
        columns.push(name.to_owned());
    }
    put_texts_attribute(frame, "column-order", columns)
}

/// Writes a dense matrix of f32.
pub(super) fn put_dense(group: &Group, name: &str, dense: &Dense) -> Done {
    put_array(group, name, &dense.values, &[dense.n_rows, dense.n_cols])
}

/// Writes a table of numbers in the precision that they need.
pub(super) fn put_numbers(group: &Group, name: &str, table: &Numbers) -> Done {
    match table.double {
        true => put_array(group, name, &table.values, &[table.n_rows, table.n_cols]),
        false => put_dense(group, name, &table.to_dense()),
    }
}

/// Writes a table with named columns as a data frame.
pub(super) fn put_table(
    group: &Group,
    name: &str,
    index: &[String],
    labels: &[String],
    table: &Dense,
) -> Done {
    let column = |at: usize| {
        let values = (0..table.n_rows).map(|row| f64::from(table.values[row * table.n_cols + at])).collect();
        Column::new(Values::Real(values))
    };
    for label in labels {
        super::check_name(label)?;
    }
    let columns: Vec<(String, Column)> =
        labels.iter().take(table.n_cols).enumerate().map(|(at, label)| (label.clone(), column(at))).collect();
    put_frame(group, name, index, &columns)
}

/// The marks that readers of MuData look for at the root.
pub(super) fn put_mudata_marks(root: &Group) -> Done {
    put_text_attribute(root, "encoder", "svic")?;
    put_text_attribute(root, "encoder-version", env!("CARGO_PKG_VERSION"))?;
    root.new_attr::<i64>().create("axis")?.write_scalar(&0)?;
    Ok(())
}

/// Writes a matrix, sparse or dense.
pub(super) fn put_matrix(group: &Group, name: &str, matrix: &Matrix) -> Done {
    match matrix {
        Matrix::Dense(dense) => put_dense(group, name, dense),
        Matrix::Csr(csr) => put_csr(group, name, csr),
    }
}

fn put_csr(group: &Group, name: &str, csr: &Csr) -> Done {
    let made = put_group(group, name, "csr_matrix", "0.1.0")?;
    made.new_attr::<i64>().shape([2]).create("shape")?.write_raw(&[csr.n_rows as i64, csr.n_cols as i64])?;
    put_values(&made, "data", &csr.values, &[csr.values.len()])?;
    let narrow = csr.values.len() <= i32::MAX as usize && csr.n_cols <= i32::MAX as usize;
    let (n, n_pointers) = ([csr.indices.len()], [csr.indptr.len()]);
    if narrow {
        put_values(&made, "indices", &csr.indices.iter().map(|&i| i as i32).collect::<Vec<_>>(), &n)?;
        put_values(&made, "indptr", &csr.indptr.iter().map(|&p| p as i32).collect::<Vec<_>>(), &n_pointers)?;
    } else {
        put_values(&made, "indices", &csr.indices.iter().map(|&i| i64::from(i)).collect::<Vec<_>>(), &n)?;
        put_values(&made, "indptr", &csr.indptr.iter().map(|&p| p as i64).collect::<Vec<_>>(), &n_pointers)?;
    }
    Ok(())
}

/// Writes a value of `uns`.
pub(super) fn put_uns(group: &Group, name: &str, value: &UnsValue) -> Done {
    match value {
        UnsValue::Text(text) => {
            let data = group.new_dataset::<VarLenUnicode>().create(name)?;
            data.write_scalar(&unicode(text)?)?;
            stamp(&data, "string", "0.2.0")
        }
        UnsValue::Integer(v) => put_scalar(group, name, v),
        UnsValue::Real(v) => put_scalar(group, name, v),
        UnsValue::Bool(v) => put_scalar(group, name, v),
        UnsValue::Texts(texts) => put_strings(group, name, texts),
        UnsValue::Integers(shape, values) => put_array(group, name, values, shape),
        UnsValue::Reals(shape, values) => put_array(group, name, values, shape),
        UnsValue::Bools(values) => put_array(group, name, values, &[values.len()]),
        UnsValue::Map(map) => put_map(group, name, map),
    }
}

/// Writes a dictionary.
pub(super) fn put_map(group: &Group, name: &str, map: &BTreeMap<String, UnsValue>) -> Done {
    let made = put_group(group, name, "dict", "0.1.0")?;
    map.iter().try_for_each(|(name, value)| {
        super::check_name(name)?;
        put_uns(&made, name, value)
    })
}

fn put_scalar<T: H5Type>(group: &Group, name: &str, value: &T) -> Done {
    let data = group.new_dataset::<T>().create(name)?;
    data.write_scalar(value)?;
    stamp(&data, "numeric-scalar", "0.2.0")
}
