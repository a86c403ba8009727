//! Tables as text: a line per cell, a column per gene, separated by commas or tabs.

use std::path::Path;

use super::super::error::DataError;
use super::super::matrix::{Dense, Matrix};
use super::super::write::{Additions, NewAnnData};
use super::lines::Lines;
use super::numbered;

/// Reads the table at `path`. The first line names the genes unless all of it is numbers; the first column names the
/// cells if its header is empty or its first entry is no number.
///
/// # Errors
/// E0713 with the line and column that is wrong.
pub(in super::super) fn read(path: &Path) -> Result<NewAnnData, DataError> {
    let mut lines = Lines::open(path)?;
    let Some(first) = lines.next()? else { return Err(lines.error("the file is empty")) };
    let first = first.trim_start_matches('\u{feff}').to_owned();
    let separator = if first.contains('\t') {
        '\t'
    } else if first.contains(',') {
        ','
    } else {
        ';'
    };
    let header = fields(&first, separator);
    let has_header = header.iter().any(|field| !is_number(field));
    let mut table = Table::default();
    if !has_header {
        table.add(&header, &mut lines)?;
    }
    while let Some(line) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        let row = fields(line, separator);
        table.add_row(&header, has_header, row, &mut lines)?;
    }
    let n_cols = table.n_cols.unwrap_or(header.len());
    let var_names = match has_header {
        true => header[header.len() - n_cols.min(header.len())..].to_vec(),
        false => numbered(n_cols),
    };
    let n_rows = table.n_rows;
    let obs_names = if table.labels.is_empty() { numbered(n_rows) } else { table.labels };
    let x = Matrix::Dense(Dense { n_rows, n_cols, values: table.values });
    Ok(NewAnnData { obs_names, var_names, x: Some(x), parts: Additions::default() })
}

#[derive(Default)]
struct Table {
    labels: Vec<String>,
    values: Vec<f32>,
    n_rows: usize,
    n_cols: Option<usize>,
    labelled: bool,
}

impl Table {
    fn add_row(
        &mut self,
        header: &[String],
        has_header: bool,
        mut row: Vec<String>,
        lines: &mut Lines<'_>,
    ) -> Result<(), DataError> {
        if self.n_rows == 0 && has_header {
            // The header may lack a field over the labels, as R writes it.
            let unnamed = header.first().is_some_and(String::is_empty) || row.len() == header.len() + 1;
            self.labelled = unnamed || row.first().is_some_and(|field| !is_number(field));
        }
        if self.labelled && !row.is_empty() {
            self.labels.push(row.remove(0));
        }
        self.add(&row, lines)
    }

    fn add(&mut self, row: &[String], lines: &mut Lines<'_>) -> Result<(), DataError> {
        let wanted = *self.n_cols.get_or_insert(row.len());
        if row.len() != wanted {
            return Err(lines.error(format!(
                "{wanted} numbers are expected as in the lines before, found {}",
                row.len()
            )));
        }
        for (column, field) in row.iter().enumerate() {
            let value = match field.as_str() {
                "" | "NA" => f32::NAN,
                text => text.parse().map_err(|_| {
                    let shown: String = text.chars().take(40).collect();
                    lines.error(format!("a number is expected in column {}, found `{shown}`", column + 1))
                })?,
            };
            self.values.push(value);
        }
        self.n_rows += 1;
        Ok(())
    }
}

fn is_number(field: &str) -> bool {
    field.parse::<f64>().is_ok()
}

/// The fields of a line; quotes may hold separators, two of them stand for one.
fn fields(line: &str, separator: char) -> Vec<String> {
    let mut out = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            c if c == separator && !quoted => out.push(std::mem::take(&mut field).trim().to_owned()),
            c => field.push(c),
        }
    }
    out.push(field.trim().to_owned());
    out
}
