//! Where programs are found: files beside the source or in the working directory, then the library in the binary.

use crate::error::Error;
use dsl::Library;
use dsl::diagnostic::{Code, Diagnostic};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The programs of the standard library: file name and text, sorted by name.
pub static STDLIB: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/stdlib.rs"));

/// A program's text and where it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The file's path, or `stdlib/scvi.svi` for a program of the library.
    pub name: String,
    /// The program.
    pub text: String,
    /// Whether it comes from the library in the binary.
    pub embedded: bool,
}

/// A program of the standard library by name, with or without `.svi`.
pub fn embedded(path: &str) -> Option<Found> {
    let path = path.strip_prefix("stdlib/").unwrap_or(path);
    let stem = path.strip_suffix(".svi").unwrap_or(path);
    STDLIB.iter().find(|(name, _)| name.strip_suffix(".svi") == Some(stem)).map(|(name, text)| Found {
        name: format!("stdlib/{name}"),
        text: (*text).to_owned(),
        embedded: true,
    })
}

/// The program that `path` means on a command line: a file, with or without `.svi`, else a program of the library.
///
/// # Errors
/// E0712 when there is neither, or the file cannot be read as text.
pub fn open(path: &str) -> Result<Found, Error> {
    for candidate in [path.to_owned(), format!("{path}.svi")] {
        if Path::new(&candidate).is_file() {
            return read(Path::new(&candidate));
        }
    }
    embedded(path).ok_or_else(|| {
        let names = STDLIB.iter().map(|(name, _)| *name);
        let wanted = if path.ends_with(".svi") { path.to_owned() } else { format!("{path}.svi") };
        Error::plain(
            Diagnostic::new(
                Code::E0712,
                format!("there is no file `{path}`, nor a library model of that name"),
            )
            .did_you_mean(&wanted, names)
            .help("`svic list` shows the models of the library"),
        )
    })
}

/// A file as a program.
///
/// # Errors
/// E0712 when it cannot be read, or is not text.
pub(crate) fn read(path: &Path) -> Result<Found, Error> {
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(Found { name: path.display().to_string(), text, embedded: false }),
        Ok(Err(_)) => Err(Error::plain(Diagnostic::new(
            Code::E0712,
            format!("{}: it is not text in UTF-8", path.display()),
        ))),
        Err(error) => Err(Error::plain(Diagnostic::new(
            Code::E0712,
            format!("{}: cannot be read: {error}", path.display()),
        ))),
    }
}

/// What `extends` finds: files beside the source, files in the working directory, the library in the binary.
#[derive(Clone, Debug, Default)]
pub struct FileLibrary {
    /// The folder of the source.
    pub beside: Option<PathBuf>,
}

impl FileLibrary {
    /// The library as seen from a source file.
    pub fn of(source: &Found) -> FileLibrary {
        let folder = Path::new(&source.name).parent().map(Path::to_path_buf);
        FileLibrary { beside: folder.filter(|_| !source.embedded) }
    }
}

impl Library for FileLibrary {
    fn find(&self, path: &str) -> Option<(String, String)> {
        let folders = self.beside.iter().cloned().chain([PathBuf::new()]);
        let files = folders.flat_map(|folder| [folder.join(path), folder.join(format!("{path}.svi"))]);
        let found = files.filter(|file| file.is_file()).find_map(|file| read(&file).ok());
        found.or_else(|| embedded(path)).map(|found| (found.name, found.text))
    }
}

/// The texts that one compilation used: enough to compile again anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Texts {
    /// Name of the program itself.
    pub name: String,
    /// The program itself.
    pub text: String,
    /// By the path that `extends` (or `load`) used: name and text of the other files.
    pub extended: BTreeMap<String, (String, String)>,
}

impl Library for Texts {
    fn find(&self, path: &str) -> Option<(String, String)> {
        self.extended.get(path).cloned()
    }
}

/// Passes requests on and remembers what was found.
pub(crate) struct Recorder<'a> {
    inner: &'a dyn Library,
    seen: Mutex<BTreeMap<String, (String, String)>>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(inner: &'a dyn Library) -> Self {
        Self { inner, seen: Mutex::default() }
    }

    pub(crate) fn into_seen(self) -> BTreeMap<String, (String, String)> {
        self.seen.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Library for Recorder<'_> {
    fn find(&self, path: &str) -> Option<(String, String)> {
        let found = self.inner.find(path)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(path.to_owned(), found.clone());
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_of_the_folder_is_embedded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib");
        let Ok(entries) = std::fs::read_dir(root) else { return };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".svi") {
                assert!(STDLIB.iter().any(|(n, _)| *n == name), "{name} is not embedded");
                assert_eq!(embedded(&name), embedded(name.trim_end_matches(".svi")));
            }
        }
    }

    #[test]
    fn a_file_beside_the_source_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("base.svi"), "dim cell").unwrap();
        let library = FileLibrary { beside: Some(folder.path().to_path_buf()) };
        let recorder = Recorder::new(&library);
        assert_eq!(recorder.find("base").unwrap().1, "dim cell");
        assert!(recorder.find("no_such_model").is_none());
        assert_eq!(recorder.into_seen().len(), 1);
        let error = open("no_such_model").unwrap_err();
        assert!(error.to_string().contains("no file `no_such_model`"));
    }
}
