//! A compiled program with the texts it came from; what research code holds first.

use crate::anndata::AnnData;
use crate::bind::{self, Binds, BoundData};
use crate::compiler::{Compiled, Primitives, Settings, compile};
use crate::error::Error;
use crate::library::{FileLibrary, Found, Recorder, Texts};
use crate::train::{Fit, FitOptions};
use dsl::Library;
use dsl::diagnostic::Diagnostics;
use dsl::source::Sources;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// A checked and derived program.
#[derive(Clone)]
pub struct Model {
    compiled: Compiled,
    texts: Texts,
    sets: Vec<(String, String)>,
    absent: BTreeSet<String>,
    sources: Sources,
    warnings: Diagnostics,
    library: Arc<dyn Library + Send + Sync>,
    primitives: Primitives,
}

impl Model {
    /// Compiles a program, with options and axis sizes set as by `--set`.
    ///
    /// # Errors
    /// Every diagnostic of the program and of the settings at once.
    pub fn compile(
        name: &str,
        text: &str,
        library: Arc<dyn Library + Send + Sync>,
        sets: &[(String, String)],
    ) -> Result<Model, Error> {
        Model::compile_with(name, text, library, sets, &Primitives::default())
    }

    /// As [`Model::compile`], with operations of the host's own.
    ///
    /// # Errors
    /// As [`Model::compile`].
    pub fn compile_with(
        name: &str,
        text: &str,
        library: Arc<dyn Library + Send + Sync>,
        sets: &[(String, String)],
        primitives: &Primitives,
    ) -> Result<Model, Error> {
        Model::compile_without(name, text, library, sets, primitives, BTreeSet::new())
    }

    /// Compiles a program for data that lack some optional fields.
    fn compile_without(
        name: &str,
        text: &str,
        library: Arc<dyn Library + Send + Sync>,
        sets: &[(String, String)],
        primitives: &Primitives,
        absent: BTreeSet<String>,
    ) -> Result<Model, Error> {
        let primitives = primitives.clone();
        let mut sources = Sources::new();
        let root = sources.add(name, text);
        let recorder = Recorder::new(library.as_ref());
        let settings =
            Settings { sets: sets.to_vec(), absent: absent.clone(), primitives: primitives.clone() };
        let (compiled, diagnostics) = compile(&mut sources, root, &settings, &recorder);
        let texts = Texts { name: name.to_owned(), text: text.to_owned(), extended: recorder.into_seen() };
        match compiled {
            Some(compiled) if !diagnostics.has_errors() => {
                let (sets, warnings) = (sets.to_vec(), diagnostics);
                Ok(Model { compiled, texts, sets, absent, sources, warnings, library, primitives })
            }
            _ => Err(Error::new(&sources, diagnostics)),
        }
    }

    /// Compiles what [`crate::library::open`] found.
    ///
    /// # Errors
    /// As [`Model::compile`].
    pub fn from_found(found: &Found, sets: &[(String, String)]) -> Result<Model, Error> {
        Model::compile(&found.name, &found.text, Arc::new(FileLibrary::of(found)), sets)
    }

    /// Compiles texts that were kept with a trained model.
    ///
    /// # Errors
    /// As [`Model::compile`].
    pub fn from_texts(texts: &Texts, sets: &[(String, String)]) -> Result<Model, Error> {
        Model::from_texts_with(texts, sets, &Primitives::default())
    }

    /// As [`Model::from_texts`], with operations of the host's own.
    pub(crate) fn from_texts_with(
        texts: &Texts,
        sets: &[(String, String)],
        primitives: &Primitives,
    ) -> Result<Model, Error> {
        Model::compile_with(&texts.name, &texts.text, Arc::new(texts.clone()), sets, primitives)
    }

    /// The same program with an option or an axis size changed; the last setting of a name counts.
    ///
    /// # Errors
    /// E0206 for an unknown name, and whatever the program says under the new setting.
    pub fn set(self, name: &str, value: impl ToString) -> Result<Model, Error> {
        let mut sets = self.sets;
        sets.retain(|(n, _)| n != name);
        sets.push((name.to_owned(), value.to_string()));
        Model::compile_with(&self.texts.name, &self.texts.text, self.library, &sets, &self.primitives)
    }

    /// Finds the program's fields in the data. If a `when present(…)` asks for a field that they lack, the program is
    /// compiled again without it.
    ///
    /// # Errors
    /// Everything about the data that does not fit the program, each with its remedy.
    pub fn bind(self, adata: &AnnData, binds: &Binds) -> Result<BoundModel, Error> {
        let found = |model: &Model| {
            bind::bind(model.compiled(), adata, binds, None)
                .map_err(|diagnostics| Error::new(&model.sources, diagnostics))
        };
        let mut data = found(&self)?;
        let (present, before) = (data.bound.present.clone(), self.absent.clone());
        let model = self.for_data(&present)?;
        if model.absent != before {
            data = found(&model)?;
        }
        Ok(BoundModel { model, adata: adata.clone(), binds: binds.clone(), data })
    }

    /// The program for data with these fields.
    ///
    /// # Errors
    /// What the program says without the others.
    pub fn for_data(self, present: &BTreeSet<String>) -> Result<Model, Error> {
        let deciding = self.compiled.deciding();
        let optional = |name: &&String| self.compiled.slots().iter().any(|s| s.name == **name && s.optional);
        let absent: BTreeSet<String> =
            deciding.iter().filter(|n| !present.contains(*n)).filter(optional).cloned().collect();
        if absent.is_subset(&self.absent) {
            return Ok(self);
        }
        {
            let (texts, primitives) = (&self.texts, &self.primitives);
            Model::compile_without(&texts.name, &texts.text, self.library, &self.sets, primitives, absent)
        }
    }

    /// The compiler's result.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// The texts it was compiled from.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// The settings it was compiled under.
    pub fn sets(&self) -> &[(String, String)] {
        &self.sets
    }

    /// The texts as diagnostics need them.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Warnings and notes of the compilation.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }
}

/// A model whose fields have been found in data: ready to be fitted.
#[derive(Clone)]
pub struct BoundModel {
    model: Model,
    adata: AnnData,
    binds: Binds,
    data: BoundData,
}

impl BoundModel {
    /// The same model and data with an option or an axis size changed.
    ///
    /// # Errors
    /// As [`Model::set`] and [`Model::bind`].
    pub fn set(self, name: &str, value: impl ToString) -> Result<BoundModel, Error> {
        self.model.set(name, value)?.bind(&self.adata, &self.binds)
    }

    /// Trains.
    ///
    /// # Errors
    /// E0710 when a value is not finite; E0716 when the options do not fit the data.
    pub fn fit(self, options: &FitOptions) -> Result<Fit, Error> {
        Fit::new(self.model, self.data, options)?.run(options)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The data as bound.
    pub fn data(&self) -> &BoundData {
        &self.data
    }

    /// The model and the data apart.
    pub fn into_parts(self) -> (Model, BoundData) {
        (self.model, self.data)
    }
}

/// Compiles a program: a file (with or without `.svi`), else a model of the library, as `svic run` finds it.
///
/// ```
/// # fn main() -> Result<(), svi::Error> {
/// let model = svi::compile_file("scvi.svi")?.set("latent", 20)?;
/// println!("{}", model.compiled().explain());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// E0712 when there is no such program; every diagnostic of the program at once.
pub fn compile_file(path: impl AsRef<Path>) -> Result<Model, Error> {
    let found = crate::library::open(&path.as_ref().to_string_lossy())?;
    Model::from_found(&found, &[])
}
