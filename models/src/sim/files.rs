//! Where drawn and made-up fields go: each to the path that its declaration names, so that `svic run` finds it there.
//! One `.h5ad`, one `.h5mu` where there are modalities of the same cells, else one `.h5ad` for each modality.

use super::given::{gene_axis, is_turned, row_axis, transposed};
use super::{Drawn, SimOptions};
use crate::anndata::{
    Column, Csr, DataError, Dense, FieldPath, Matrix, NewAnnData, UnsValue, Values, WriteOptions, write_new,
    write_new_mudata,
};
use crate::dataset::FieldData;
use crate::error::{Error, request};
use crate::init::options_in_force;
use crate::model::Model;
use autodiff_runtime::StepKey;
use autodiff_runtime::random::SiteKey;
use dsl::{AxisSource, MissingRule, Slot, SlotKind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Larger values are written as a summary only.
const MAX_TRUTH: usize = 1 << 20;
/// Stream that tells which values are missing.
const MISSING_STREAM: u32 = 0xFFFF_0006;

/// The fields of one modality, or of the file itself (an empty name).
#[derive(Default)]
struct Sheet {
    /// Axes of its cells and of its genes.
    rows: Option<String>,
    columns: Option<String>,
    data: NewAnnData,
}

/// Writes everything drawn; gives the files.
pub fn write(
    drawn: Drawn,
    model: &Model,
    options: &SimOptions,
    output: &Path,
) -> Result<Vec<PathBuf>, Error> {
    let mut sheets = sheets(&drawn, model, options);
    let truth = drawn.truth(model, options);
    let fields = Fields { drawn: &drawn, model, options };
    for slot in model.compiled().slots().iter().filter(|s| s.load.is_none()) {
        let Some((values, shape)) = fields.values(slot) else { continue };
        let (name, path) = place_of(slot);
        if let Some(sheet) = sheets.get_mut(&name) {
            fields.put(sheet, slot, &path, values, &shape);
        }
    }
    let plate = row_axis(model);
    let home = |sheets: &BTreeMap<String, Sheet>, axis: Option<&str>| {
        sheets.iter().find(|(_, s)| s.rows.as_deref() == axis).map(|(name, _)| name.clone())
    };
    for (field, totals) in &drawn.given.data.totals {
        let slot = model.compiled().slots().iter().find(|s| s.name == *field);
        let rows = slot.and_then(|s| s.axes.first()).map(String::as_str);
        let Some(sheet) = home(&sheets, rows).and_then(|name| sheets.get_mut(&name)) else { continue };
        let (FieldData::Reals(totals) | FieldData::Whole(totals)) = totals else { continue };
        let values = totals.iter().map(|v| f64::from(*v)).collect();
        sheet.data.parts.obs.push((format!("library_{field}"), Column::new(Values::Real(values))));
    }
    let slots = model.compiled().slots();
    for array in drawn.arrays.iter().filter(|a| slots.iter().all(|s| s.name != a.name)) {
        let Some(axis) = array.axes.first() else { continue };
        let Some(sheet) = home(&sheets, Some(axis)).and_then(|name| sheets.get_mut(&name)) else { continue };
        let (n_rows, n_cols) = (array.shape[0], array.shape[1..].iter().product());
        if array.shape.len() == 1 {
            let values = array.values.iter().map(|v| f64::from(*v)).collect();
            sheet.data.parts.obs.push((array.name.clone(), Column::new(Values::Real(values))));
        } else {
            let table = Dense { n_rows, n_cols, values: array.values.clone() };
            sheet.data.parts.obsm.push((array.name.clone(), table));
        }
    }
    if let Some(sheet) = home(&sheets, plate).and_then(|name| sheets.get_mut(&name)) {
        sheet.data.parts.uns.push(("svic".to_owned(), truth));
    }
    save(sheets, output)
}

/// The modality and the path inside it that a field is read from.
fn place_of(slot: &Slot) -> (String, FieldPath) {
    let own = || FieldPath::Obsm(slot.name.clone());
    match slot.path.as_deref().and_then(|p| p.parse().ok()) {
        Some(FieldPath::Mod(name, inner)) => (name, *inner),
        Some(path) => (String::new(), path),
        None if slot.axes.len() == 1 => (String::new(), FieldPath::Obs(slot.name.clone())),
        None => (String::new(), own()),
    }
}

/// One sheet for each modality that a field lies in, with the labels of its rows and columns.
fn sheets(drawn: &Drawn, model: &Model, options: &SimOptions) -> BTreeMap<String, Sheet> {
    let mut sheets: BTreeMap<String, Sheet> = BTreeMap::new();
    for slot in model.compiled().slots().iter().filter(|s| s.load.is_none()) {
        let (name, path) = place_of(slot);
        let sheet = sheets.entry(name).or_default();
        let axis = |n: usize| slot.axes.get(n).cloned();
        let (rows, columns) = match path {
            FieldPath::X | FieldPath::Layer(_) => (axis(0), axis(1)),
            FieldPath::Obs(_) | FieldPath::Obsm(_) => (axis(0), None),
            FieldPath::Var(_) | FieldPath::Varm(_) => (None, axis(0)),
            _ => (None, None),
        };
        sheet.rows = sheet.rows.take().or(rows);
        sheet.columns = sheet.columns.take().or(columns);
    }
    let default_genes = gene_axis(model.compiled().slots()).is_none();
    for (name, sheet) in &mut sheets {
        // A file of cells alone has genes too, as other programs expect some.
        let spare = |n: usize| (0..n).map(|i| format!("gene_{i}")).collect();
        sheet.rows = sheet.rows.take().or_else(|| row_axis(model).map(str::to_owned));
        let labels = |axis: &Option<String>| axis.as_ref().map(|a| drawn.labels_of(a, model));
        sheet.data.obs_names = labels(&sheet.rows).unwrap_or_default();
        let genes = if name.is_empty() && default_genes { options.genes } else { 0 };
        sheet.data.var_names = labels(&sheet.columns).unwrap_or_else(|| spare(genes));
    }
    sheets
}

fn save(mut sheets: BTreeMap<String, Sheet>, output: &Path) -> Result<Vec<PathBuf>, Error> {
    let options = WriteOptions { overwrite: true, in_place: false };
    let wrong = |e: DataError| Error::from(e);
    if sheets.keys().all(String::is_empty) {
        let whole = sheets.remove("").map(|s| s.data).unwrap_or_default();
        write_new(output, &whole, options).map_err(wrong)?;
        return Ok(vec![output.to_owned()]);
    }
    let whole = sheets.remove("");
    let same_rows = {
        let mut rows = sheets.values().chain(&whole).map(|s| &s.rows);
        let first = rows.next().cloned().flatten();
        rows.all(|r| *r == first)
    };
    if same_rows {
        if output.extension().is_none_or(|e| e != "h5mu") {
            let stem = output.with_extension("h5mu");
            let text = format!("`{}`: the program reads several modalities", output.display());
            return Err(Error::plain(request(text).help(format!("write them as: -o {}", stem.display()))));
        }
        let mut whole = whole.map(|s| s.data).unwrap_or_default();
        if let Some(first) = sheets.values().next() {
            whole.obs_names.clone_from(&first.data.obs_names);
        }
        whole.var_names = sheets.values().flat_map(|s| s.data.var_names.iter().cloned()).collect();
        let parts: Vec<_> = sheets.into_iter().map(|(name, s)| (name, s.data)).collect();
        write_new_mudata(output, &whole, &parts, options).map_err(wrong)?;
        return Ok(vec![output.to_owned()]);
    }
    let stem = output.file_stem().map_or_else(|| "sim".into(), |s| s.to_string_lossy());
    let mut files = vec![];
    for (name, sheet) in sheets {
        let file = output.with_file_name(format!("{stem}.{name}.h5ad"));
        write_new(&file, &sheet.data, options).map_err(wrong)?;
        files.push(file);
    }
    Ok(files)
}

/// The fields of a simulation as they are written.
struct Fields<'a> {
    drawn: &'a Drawn,
    model: &'a Model,
    options: &'a SimOptions,
}

impl Fields<'_> {
    /// Values of a field in the order of its axes as written, and their sizes.
    fn values(&self, slot: &Slot) -> Option<(Vec<f32>, Vec<usize>)> {
        let shape = self.drawn.given.shape(slot, self.model);
        if let Some(array) = self.drawn.arrays.iter().find(|a| a.name == slot.name) {
            let turned = array.axes.len() == 2 && array.axes[0] != slot.axes[0];
            let values = match turned {
                true => transposed(&array.values, array.shape[0], array.shape[1]),
                false => array.values.clone(),
            };
            return Some((values, shape));
        }
        let values = match self.drawn.given.data.fields.get(&slot.name)? {
            FieldData::Codes(codes) => codes.iter().map(|c| *c as f32).collect(),
            FieldData::Reals(values) => values.clone(),
            FieldData::Matrix(m) => m.to_dense().values,
            FieldData::Whole(values) if is_turned(slot, self.model) => transposed(values, shape[1], shape[0]),
            FieldData::Whole(values) => values.clone(),
            // What is simulated is in memory.
            FieldData::Covariates(_) | FieldData::Disk(_) => return None,
        };
        Some((values, shape))
    }

    fn put(&self, sheet: &mut Sheet, slot: &Slot, path: &FieldPath, mut values: Vec<f32>, shape: &[usize]) {
        let parts = &mut sheet.data.parts;
        let n_cols: usize = shape.iter().skip(1).product();
        let gone = self.missing(slot, &mut values, n_cols);
        let name = match path {
            FieldPath::Obs(name) | FieldPath::Var(name) => name.clone(),
            _ => slot.name.clone(),
        };
        if shape.len() == 1 {
            let full = self.column(slot, &values, &[]);
            if !gone.is_empty() && matches!(path, FieldPath::Obs(_)) {
                parts.obs.push((format!("true_{name}"), full));
            }
            let column = self.column(slot, &values, &gone);
            match path {
                FieldPath::Var(_) => parts.var.push((name, column)),
                _ => parts.obs.push((name, column)),
            }
            return;
        }
        let dense = Dense { n_rows: shape[0], n_cols, values };
        let matrix = |dense: Dense| match slot.kind {
            SlotKind::Count => Matrix::Csr(sparse(&dense)),
            _ => Matrix::Dense(dense),
        };
        match path {
            FieldPath::X => sheet.data.x = Some(matrix(dense)),
            FieldPath::Layer(name) => parts.layers.push((name.clone(), matrix(dense))),
            FieldPath::Varm(name) => parts.varm.push((name.clone(), dense)),
            FieldPath::Obsm(name) => parts.obsm.push((name.clone(), dense)),
            FieldPath::Uns(names) if names.len() == 1 => {
                let wide = dense.values.iter().map(|v| f64::from(*v)).collect();
                parts.uns.push((names[0].clone(), UnsValue::Reals(shape.to_vec(), wide)));
            }
            _ => parts.obsm.push((slot.name.clone(), dense)),
        }
    }

    /// Makes some values of a field that may miss some missing. Gives which rows lack theirs, for columns.
    fn missing(&self, slot: &Slot, values: &mut [f32], n_cols: usize) -> Vec<bool> {
        let number = self.model.compiled().slots().iter().position(|s| s.name == slot.name).unwrap_or(0);
        let seed = StepKey { seed: self.options.seed, step: super::SIM_STEP };
        let site = SiteKey::new(seed, MISSING_STREAM + number as u32);
        let hit = |row: usize, column: usize| {
            let [a, ..] = site.words(row as u32, column as u64);
            f64::from(a) < self.options.missing * f64::from(u32::MAX)
        };
        match &slot.missing {
            _ if self.options.missing <= 0.0 => vec![],
            None => vec![],
            Some(_) if slot.axes.len() == 1 => (0..values.len()).map(|row| hit(row, 0)).collect(),
            Some(MissingRule::ZerosBy(by)) => {
                // Some columns were not measured in the last of the batches.
                let codes = self.drawn.given.data.fields.get(by);
                let Some(FieldData::Codes(codes)) = codes else { return vec![] };
                let last = codes.iter().max().copied().unwrap_or(0);
                for (row, of_row) in values.chunks_mut(n_cols).enumerate().filter(|(r, _)| codes[*r] == last)
                {
                    let lost = |c: &usize| last > 0 && *c > 0 && hit(usize::MAX, *c) && row < codes.len();
                    (0..n_cols).filter(lost).for_each(|c| of_row[c] = 0.0);
                }
                vec![]
            }
            Some(rule) => {
                let mark = match rule {
                    MissingRule::Literal(text) => text.parse().unwrap_or(f32::NAN),
                    _ => f32::NAN,
                };
                let lost = values.iter_mut().enumerate().filter(|(i, _)| hit(i / n_cols, i % n_cols));
                lost.for_each(|(_, v)| *v = mark);
                vec![]
            }
        }
    }

    /// A column of `obs` or `var`; where `gone` holds, the value is missing as the field's declaration marks it.
    fn column(&self, slot: &Slot, values: &[f32], gone: &[bool]) -> Column {
        let lost = |i: usize| gone.get(i).copied().unwrap_or(false);
        let literal = match &slot.missing {
            Some(MissingRule::Literal(text)) if !gone.is_empty() => Some(text.trim_matches('"').to_owned()),
            _ => None,
        };
        if slot.kind == SlotKind::Category {
            let levels = self.drawn.given.bound.sizes.get(&slot.name).copied().unwrap_or(1);
            let mut categories: Vec<String> = (0..levels).map(|i| format!("{}_{i}", slot.name)).collect();
            let mark = literal.as_ref().map_or(-1, |_| levels as i32);
            categories.extend(literal);
            let code = |(i, v): (usize, &f32)| if lost(i) { mark } else { *v as i32 };
            let codes = values.iter().enumerate().map(code).collect();
            return Column::new(Values::Categorical { codes, categories, ordered: false });
        }
        let mark = literal.and_then(|t| t.parse().ok()).unwrap_or(f64::NAN);
        let value = |(i, v): (usize, &f32)| if lost(i) { mark } else { f64::from(*v) };
        Column::new(match slot.kind {
            SlotKind::Bool if gone.is_empty() => Values::Bool(values.iter().map(|v| *v != 0.0).collect()),
            _ => Values::Real(values.iter().enumerate().map(value).collect()),
        })
    }
}

impl Drawn {
    /// Labels of an axis: of loaded models, else its name with a number.
    fn labels_of(&self, axis: &str, model: &Model) -> Vec<String> {
        let n = match Some(axis) == row_axis(model) {
            true => self.given.bound.n_rows,
            false => self.given.bound.sizes.get(axis).copied().unwrap_or(0),
        };
        let source = model.compiled().axes().iter().find(|a| a.name == axis).map(|a| &a.source);
        if let Some(AxisSource::Within(whole)) = source {
            return self.labels_of(whole, model).into_iter().take(n).collect();
        }
        let made = || (0..n).map(|i| format!("{axis}_{i}")).collect();
        self.given.labels.get(axis).cloned().unwrap_or_else(made)
    }

    /// The parameters and the latents without a row for each cell, the seed, the options.
    fn truth(&self, model: &Model, options: &SimOptions) -> UnsValue {
        let value = |shape: Vec<usize>, values: &[f32]| {
            let wide = values.iter().map(|v| f64::from(*v));
            if values.len() <= MAX_TRUTH && !shape.is_empty() {
                UnsValue::Reals(shape, wide.collect())
            } else {
                UnsValue::Real(wide.sum::<f64>() / values.len().max(1) as f64)
            }
        };
        let parameters = self.variables.iter().map(|(name, values)| {
            let shape = self.shapes.get(name).cloned().unwrap_or_else(|| vec![values.len()]);
            (name.to_owned(), value(shape, values))
        });
        let rows = row_axis(model);
        let global = self.arrays.iter().filter(|a| a.axes.first().map(String::as_str) != rows);
        let latents = global.map(|a| (a.name.clone(), value(a.shape.clone(), &a.values)));
        let settings = options_in_force(model.compiled());
        let map = BTreeMap::from([
            ("parameters".to_owned(), UnsValue::Map(parameters.collect())),
            ("latents".to_owned(), UnsValue::Map(latents.collect())),
            ("seed".to_owned(), UnsValue::Integer(options.seed as i64)),
            ("model".to_owned(), UnsValue::Text(model.texts().name.clone())),
            (
                "options".to_owned(),
                UnsValue::Map(settings.into_iter().map(|(k, v)| (k, UnsValue::Text(v))).collect()),
            ),
        ]);
        UnsValue::Map(BTreeMap::from([("truth".to_owned(), UnsValue::Map(map))]))
    }
}

fn sparse(dense: &Dense) -> Csr {
    let mut out = Csr { n_rows: dense.n_rows, n_cols: dense.n_cols, indptr: vec![0], ..Csr::default() };
    for row in 0..dense.n_rows {
        for (column, value) in dense.row(row).iter().enumerate().filter(|(_, v)| **v != 0.0) {
            out.indices.push(column as u32);
            out.values.push(*value);
        }
        out.indptr.push(out.values.len() as u64);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_rows_become_sparse() {
        let dense = Dense { n_rows: 2, n_cols: 3, values: vec![0.0, 2.0, 0.0, 1.0, 0.0, 3.0] };
        assert_eq!(sparse(&dense).to_dense(), dense);
        assert_eq!(transposed(&dense.values, 2, 3), [0.0, 1.0, 2.0, 0.0, 0.0, 3.0]);
    }
}
