//! What the user asks to be bound where.

use crate::error::{Error, request};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Field → path, or paths for covariates: `x=layers.counts batch=obs.donor covs=obs.site,obs.pct_mito`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binds {
    paths: BTreeMap<String, Vec<String>>,
    loads: BTreeMap<String, PathBuf>,
    memory: Option<usize>,
}

impl Binds {
    /// Nothing asked for: the paths of the source count.
    pub fn new() -> Binds {
        Binds::default()
    }

    /// Binds a field to a path, or to several with commas between.
    #[must_use]
    pub fn with(mut self, field: &str, paths: &str) -> Binds {
        let paths = paths.split(',').map(|p| p.trim().to_owned()).filter(|p| !p.is_empty());
        self.paths.insert(field.to_owned(), paths.collect());
        self
    }

    /// Gives the trained model that the source loads under a name.
    #[must_use]
    pub fn with_load(mut self, name: &str, path: impl Into<PathBuf>) -> Binds {
        self.loads.insert(name.to_owned(), path.into());
        self
    }

    /// Lets the values of each field take so many bytes: matrices that need more stay on the disk and are read in
    /// blocks of rows.
    #[must_use]
    pub fn with_memory(self, bytes: Option<usize>) -> Binds {
        Binds { memory: bytes, ..self }
    }

    /// The bytes that the values of a field may take, if that is bounded.
    pub fn memory(&self) -> Option<usize> {
        self.memory
    }

    /// Reads `NAME=RUN.svim` items.
    ///
    /// # Errors
    /// E0716 for an item of another form.
    pub fn with_loads<S: AsRef<str>>(self, items: &[S]) -> Result<Binds, Error> {
        items.iter().try_fold(self, |binds, item| {
            let (name, path) = key_value(item.as_ref(), "--load", "ref=run.svim")?;
            Ok(binds.with_load(&name, path))
        })
    }

    /// The trained model given for a name, if any.
    pub fn load(&self, name: &str) -> Option<&Path> {
        self.loads.get(name).map(PathBuf::as_path)
    }

    /// All trained models that were given, by name.
    pub fn loads(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.loads.iter().map(|(name, path)| (name.as_str(), path.as_path()))
    }

    /// Forgets what was asked for a field.
    #[must_use]
    pub fn without(mut self, field: &str) -> Binds {
        self.paths.remove(field);
        self
    }

    /// Reads `FIELD=PATH[,PATH…]` items.
    ///
    /// # Errors
    /// E0716 for an item of another form.
    pub fn parse<S: AsRef<str>>(items: &[S]) -> Result<Binds, Error> {
        items.iter().try_fold(Binds::new(), |binds, item| {
            let (field, paths) = key_value(item.as_ref(), "--bind", "x=layers.counts")?;
            Ok(binds.with(&field, &paths))
        })
    }

    /// The paths asked for, if any.
    pub fn get(&self, field: &str) -> Option<&[String]> {
        self.paths.get(field).map(Vec::as_slice)
    }

    /// All that was asked for, by field.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.paths.iter().map(|(field, paths)| (field.as_str(), paths.as_slice()))
    }
}

/// Splits `KEY=VALUE`.
///
/// # Errors
/// E0716 naming the flag, with an example.
pub fn key_value(item: &str, flag: &str, example: &str) -> Result<(String, String), Error> {
    match item.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(Error::plain(
            request(format!("`{flag} {item}`: KEY=VALUE is expected"))
                .help(format!("for example: {flag} {example}")),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read() {
        let binds = Binds::parse(&["x=layers.counts", "covs=obs.site, obs.pct"]).unwrap();
        assert_eq!(binds.get("x").unwrap(), ["layers.counts"]);
        assert_eq!(binds.get("covs").unwrap(), ["obs.site", "obs.pct"]);
        assert_eq!(Binds::parse(&["batch=obs.cell type"]).unwrap().get("batch").unwrap(), ["obs.cell type"]);
        assert!(Binds::parse(&["layers.counts"]).unwrap_err().to_string().contains("KEY=VALUE"));
    }
}
