//! Where the values of a zarr store lie under their keys.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::Place;
use crate::anndata::error::DataError;
use crate::anndata::zip::Zip;

/// A store of values by key.
#[derive(Clone, Debug)]
pub(in crate::anndata) enum Store {
    /// Files of a folder.
    Folder(Arc<PathBuf>),
    /// Entries of a zip archive below a folder in it, which is empty or ends with a slash.
    Zip(Arc<Zip>, Arc<String>),
}

impl Store {
    /// The folder at `path`.
    pub fn folder(path: &Path) -> Self {
        Self::Folder(Arc::new(path.to_path_buf()))
    }

    /// The archive at `path`; the store may lie in a folder of it.
    pub fn zip(path: &Path) -> Result<Self, DataError> {
        let zip = Zip::open(path)?;
        let root = zip
            .names()
            .filter_map(|name| [".zgroup", "zarr.json"].iter().find_map(|file| name.strip_suffix(file)))
            .filter(|root| root.is_empty() || root.ends_with('/'))
            .min_by_key(|root| root.len())
            .unwrap_or_default()
            .to_owned();
        Ok(Self::Zip(Arc::new(zip), Arc::new(root)))
    }

    /// Whether there is a value under `key`.
    pub fn has(&self, key: &str) -> bool {
        match self {
            Self::Folder(root) => root.join(key).is_file(),
            Self::Zip(zip, root) => zip.size(&format!("{root}{key}")).is_some(),
        }
    }

    /// The value under `key`; `None` where there is none.
    pub fn get(&self, key: &str, place: &Place<'_>) -> Result<Option<Vec<u8>>, DataError> {
        match self {
            Self::Folder(root) => match fs::read(root.join(key)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(e)
                    if matches!(
                        e.kind(),
                        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                    ) =>
                {
                    Ok(None)
                }
                Err(e) => Err(place.malformed(format!("`{key}` cannot be read: {e}"))),
            },
            Self::Zip(zip, root) => zip.get(&format!("{root}{key}"), place),
        }
    }

    /// The number of bytes stored under keys that begin with `path` and a slash.
    pub fn stored(&self, path: &str) -> u64 {
        match self {
            Self::Folder(root) => bytes_in(&root.join(path), 8),
            Self::Zip(zip, root) => zip.stored(&format!("{root}{path}/")),
        }
    }

    /// The names of the folders in folder `path`, sorted.
    pub fn folders(&self, path: &str) -> Vec<String> {
        match self {
            Self::Folder(root) => {
                let Ok(entries) = fs::read_dir(root.join(path)) else { return Vec::new() };
                let folders = entries.flatten().filter(|entry| entry.path().is_dir());
                let names: BTreeSet<String> =
                    folders.filter_map(|e| e.file_name().into_string().ok()).collect();
                names.into_iter().collect()
            }
            Self::Zip(zip, root) => {
                let prefix = if path.is_empty() { (**root).clone() } else { format!("{root}{path}/") };
                let rest = zip.names_from(&prefix).map(|name| &name[prefix.len()..]);
                let names: BTreeSet<&str> =
                    rest.filter_map(|name| name.split_once('/')).map(|(first, _)| first).collect();
                names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
            }
        }
    }
}

/// The bytes of all files in `folder`, `depth` folders deep.
fn bytes_in(folder: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() && depth > 0 => bytes_in(&entry.path(), depth - 1),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).fold(0, u64::saturating_add)
}
