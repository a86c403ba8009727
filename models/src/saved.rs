//! The saved model: one `.svim` file, a safetensors container.
//!
//! Tensors are the variables under their source paths (`decoder.rho.linear.weight`, moments as `adam.m:…`) and the
//! statistics of the data (`stat:…`) and the constants that came from other models (`const:…`). The container's metadata has one entry, `svic`, a JSON text: the program's texts,
//! settings, labels, bindings, history and where training stands. The same run gives the same bytes: no times, no paths
//! that were not given, sorted names.
//!
//! A file is written aside and renamed. Reading trusts nothing: every size is checked against the program's own.

use crate::bind::Vocabularies;
use crate::compiler::Primitives;
use crate::engine::lower;
use crate::error::{Error, unwritable};
use crate::init::options_in_force;
use crate::library::Texts;
use crate::model::Model;
use crate::train::{EpochRecord, Patience};
use crate::trained::{TrainState, Trained};
use autodiff_runtime::Variables;
use dsl::diagnostic::{Code, Diagnostic};
use dsl::{Bound, CovariateShape, Lowered, Mode, Purpose, Request, VariableKind};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Version of the form; a reader refuses later ones.
const FORMAT: u32 = 1;
/// Key of the metadata entry.
const KEY: &str = "svic";
/// Larger axes than this are not believed.
const MAX_SIZE: usize = 1 << 31;

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    version: String,
    texts: Texts,
    sets: Vec<(String, String)>,
    options: Vec<(String, String)>,
    bound: BoundForm,
    vocabularies: Vocabularies,
    bindings: BTreeMap<String, String>,
    data_file: String,
    n_cells: usize,
    seed: u64,
    epochs: u64,
    epoch: u64,
    step: u64,
    lr: f64,
    plateau: Patience,
    stopping: Patience,
    dims: BTreeMap<String, Vec<String>>,
    history: Vec<EpochRecord>,
}

/// Categorical columns with their numbers of labels, and the names of the continuous ones.
type CovariateForm = (Vec<(String, usize)>, Vec<String>);

/// [`Bound`] as it is stored.
#[derive(Serialize, Deserialize)]
struct BoundForm {
    sizes: BTreeMap<String, usize>,
    n_rows: usize,
    present: BTreeSet<String>,
    covariates: BTreeMap<String, CovariateForm>,
    sparse: BTreeSet<String>,
}

impl From<&Bound> for BoundForm {
    fn from(b: &Bound) -> Self {
        let covariates = b.covariates.iter();
        BoundForm {
            sizes: b.sizes.clone(),
            n_rows: b.n_rows,
            present: b.present.clone(),
            covariates: covariates
                .map(|(n, c)| (n.clone(), (c.categorical.clone(), c.continuous.clone())))
                .collect(),
            sparse: b.sparse.clone(),
        }
    }
}

impl From<BoundForm> for Bound {
    fn from(b: BoundForm) -> Self {
        let shape = |(categorical, continuous)| CovariateShape { categorical, continuous };
        Bound {
            sizes: b.sizes,
            n_rows: b.n_rows,
            present: b.present,
            covariates: b.covariates.into_iter().map(|(n, c)| (n, shape(c))).collect(),
            sparse: b.sparse,
        }
    }
}

/// The bytes of a `.svim` file.
///
/// # Errors
/// E0715 when the model cannot be put into the container.
pub fn to_bytes(trained: &Trained) -> Result<Vec<u8>, Error> {
    let state = &trained.state;
    let header = Header {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        texts: trained.model.texts().clone(),
        sets: trained.model.sets().to_vec(),
        options: options_in_force(trained.model.compiled()),
        bound: BoundForm::from(&trained.bound),
        vocabularies: trained.vocabularies.clone(),
        bindings: trained.bindings.clone(),
        data_file: trained.data_file.clone(),
        n_cells: trained.n_cells,
        seed: trained.seed,
        epochs: trained.epochs,
        epoch: state.epoch,
        step: state.step,
        lr: state.lr,
        plateau: state.plateau,
        stopping: state.stopping,
        dims: trained.dims.clone(),
        history: state.history.clone(),
    };
    let json = serde_json::to_string(&header).map_err(|e| unusable(Path::new(""), &e.to_string()))?;
    let variables = state.variables.iter().map(|(name, values)| {
        let shape = trained.shapes.get(base_name(name)).cloned();
        (name.to_owned(), shape.unwrap_or_else(|| vec![values.len()]), little_endian(values))
    });
    let stats = trained
        .stats
        .iter()
        .map(|(name, values)| (format!("stat:{name}"), vec![values.len()], little_endian(values)));
    let constants = trained
        .constants
        .iter()
        .map(|(name, values)| (format!("const:{name}"), vec![values.len()], little_endian(values)));
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = variables.chain(stats).chain(constants).collect();
    let views: Result<Vec<(&str, TensorView<'_>)>, _> = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect();
    let fail = |e: safetensors::SafeTensorError| unusable(Path::new(""), &e.to_string());
    let metadata = std::iter::once((KEY.to_owned(), json)).collect();
    safetensors::serialize(views.map_err(fail)?, Some(metadata)).map_err(fail)
}

/// The parameter that a moment belongs to.
fn base_name(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, base)| base)
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Saves a trained model: whole or not at all.
///
/// # Errors
/// E0714 when it cannot be written.
pub fn save(trained: &Trained, path: &Path) -> Result<(), Error> {
    write_aside(path, &to_bytes(trained)?)
}

/// Writes bytes beside their place and moves them there when they are complete.
///
/// # Errors
/// E0714; nothing is left behind.
pub fn write_aside(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let part = part_name(path);
    let written = std::fs::File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    });
    written.map_err(|error| {
        // What could not be finished is removed; if even that fails, the first error is the one to tell.
        let _ = std::fs::remove_file(&part);
        Error::plain(unwritable(path, &error))
    })
}

fn part_name(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.part-{}", std::process::id()))
}

/// Makes sure that a file can be made at `path`, before hours of work depend on it.
///
/// # Errors
/// E0714.
pub fn check_writable(path: &Path) -> Result<(), Error> {
    let part = part_name(path);
    if path.is_dir() {
        return Err(Error::plain(unwritable(path, &"it is a directory")));
    }
    let made = std::fs::File::create(&part).and_then(|_| std::fs::remove_file(&part));
    made.map_err(|error| Error::plain(unwritable(path, &error)))
}

/// Reads a saved model.
///
/// # Errors
/// E0712 when there is no such file, E0715 when it is not a sound saved model.
pub fn load(path: impl AsRef<Path>) -> Result<Trained, Error> {
    load_with(path, &Primitives::default())
}

/// As [`load`], with operations of the host's own.
pub(crate) fn load_with(path: impl AsRef<Path>, primitives: &Primitives) -> Result<Trained, Error> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|e| {
        Error::plain(Diagnostic::new(Code::E0712, format!("{}: cannot be read: {e}", path.display())))
    })?;
    from_bytes_with(&bytes, path, primitives)
}

/// Reads a saved model from memory; `path` is for messages.
///
/// # Errors
/// E0715 when it is not a sound saved model.
pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Trained, Error> {
    from_bytes_with(bytes, path, &Primitives::default())
}

fn from_bytes_with(bytes: &[u8], path: &Path, primitives: &Primitives) -> Result<Trained, Error> {
    let fail = |what: &str| unusable(path, what);
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|e| fail(&format!("it is not a safetensors file ({e})")))?;
    let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
    let json = json.ok_or_else(|| fail("it is a safetensors file, but holds no model of this program"))?;
    let format = serde_json::from_str::<Format>(json).map_err(|e| fail(&e.to_string()))?.format;
    if format > FORMAT {
        return Err(fail(&format!("it has form {format}; this version reads up to {FORMAT}")));
    }
    let header: Header = serde_json::from_str(json).map_err(|e| fail(&e.to_string()))?;
    check_header(&header).map_err(|e| fail(&e))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| fail(&e.to_string()))?;
    let model = Model::from_texts_with(&header.texts, &header.sets, primitives)?;
    let model = model.for_data(&header.bound.present)?;
    assemble(header, model, &tensors).map_err(|e| fail(&e))
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Sizes must agree with the labels, and be believable.
fn check_header(header: &Header) -> Result<(), String> {
    let labels = header.vocabularies.axes.iter().chain(&header.vocabularies.categories);
    for (axis, labels) in labels.filter(|(axis, _)| !axis.contains('/')) {
        match header.bound.sizes.get(axis) {
            Some(n) if *n == labels.len() && *n > 0 => {}
            other => return Err(format!("axis `{axis}` has {} labels but size {other:?}", labels.len())),
        }
    }
    for (field, (categorical, _)) in &header.bound.covariates {
        for (column, n) in categorical {
            let labels = header.vocabularies.categories.get(&format!("{field}/{column}"));
            if labels.is_none_or(|l| l.len() != *n || l.is_empty()) {
                return Err(format!("the labels of `{field}`, `{column}` do not fit its size {n}"));
            }
        }
    }
    if let Some((axis, n)) = header.bound.sizes.iter().find(|(_, n)| **n > MAX_SIZE) {
        return Err(format!("axis `{axis}` cannot have {n} elements"));
    }
    if !header.lr.is_finite() || header.history.len() as u64 != header.epoch {
        return Err("its history does not fit its number of epochs".to_owned());
    }
    Ok(())
}

fn assemble(header: Header, model: Model, tensors: &SafeTensors<'_>) -> Result<Trained, String> {
    let mut variables = Variables::new();
    let (mut stats, mut constants) = (BTreeMap::new(), BTreeMap::new());
    // In order of name: the container's own order differs from one reading to the next.
    let in_order: BTreeMap<&str, TensorView<'_>> = tensors.iter().collect();
    for (name, view) in in_order {
        if view.dtype() != Dtype::F32 {
            return Err(format!("tensor `{name}` is not f32"));
        }
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        match name.split_once(':') {
            Some(("stat", stat)) => drop(stats.insert(stat.to_owned(), values)),
            Some(("const", constant)) => drop(constants.insert(constant.to_owned(), values)),
            _ => variables.set(name, values),
        }
    }
    let settings = model.compiled().train().clone();
    let state = TrainState {
        variables,
        epoch: header.epoch,
        step: header.step,
        lr: header.lr,
        plateau: header.plateau,
        stopping: header.stopping,
        history: header.history,
    };
    let mut trained = Trained {
        model,
        bound: header.bound.into(),
        vocabularies: header.vocabularies,
        bindings: header.bindings,
        data_file: header.data_file,
        n_cells: header.n_cells,
        seed: header.seed,
        epochs: header.epochs,
        settings,
        stats,
        constants,
        dims: header.dims,
        shapes: BTreeMap::new(),
        state,
    };
    check_variables(&mut trained)?;
    Ok(trained)
}

/// Every variable of the program must be there, with its number of elements.
fn check_variables(trained: &mut Trained) -> Result<(), String> {
    let request = Request { purpose: Purpose::Objective, mode: Mode::Train, n_batch: 2 };
    let lowered: Lowered = lower(&trained.model, &trained.bound, &request)
        .map_err(|e| format!("its program does not fit: {e:?}"))?;
    for spec in &lowered.variables {
        let shape: Vec<usize> = spec.dims.iter().map(|d| d.size).collect();
        let n = shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s));
        let found = trained.state.variables.get(&spec.name).map(<[f32]>::len);
        if found.is_none() || found != n {
            return Err(format!("parameter `{}` should have {n:?} elements, and has {found:?}", spec.name));
        }
        if spec.kind == VariableKind::Trained {
            for moment in crate::engine::optimiser(&trained.settings).moments(&spec.name) {
                let size = trained.state.variables.get(&moment).map(<[f32]>::len);
                if size.is_some() && size != found {
                    return Err(format!("`{moment}` does not have the size of its parameter"));
                }
            }
        }
        trained.shapes.insert(spec.name.clone(), shape);
    }
    Ok(())
}

fn unusable(path: &Path, what: &str) -> Error {
    Error::plain(Diagnostic::new(
        Code::E0715,
        format!("{}: not a usable saved model: {what}", path.display()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_bytes_are_refused() {
        let path = Path::new("x.svim");
        let mut huge = u64::MAX.to_le_bytes().to_vec();
        huge.extend([b'{'; 16]);
        let no_entry = {
            let header = b"{\"__metadata__\":{\"other\":\"{}\"}}";
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(header);
            bytes
        };
        for bytes in [&b""[..], b"short", &huge, &no_entry] {
            let error = from_bytes(bytes, path).err().expect("refused");
            assert_eq!(error.code(), Some(Code::E0715), "{error}");
            assert!(error.to_string().contains("x.svim"), "{error}");
        }
        assert_eq!(load("no/such/file.svim").err().and_then(|e| e.code()), Some(Code::E0712));
    }

    #[test]
    fn files_are_whole_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svim");
        write_aside(&path, b"abc").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let bad = folder.path().join("no").join("a.svim");
        assert_eq!(write_aside(&bad, b"abc").unwrap_err().code(), Some(Code::E0714));
        assert_eq!(check_writable(&bad).unwrap_err().code(), Some(Code::E0714));
        assert_eq!(check_writable(folder.path()).unwrap_err().code(), Some(Code::E0714));
        check_writable(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    }
}
