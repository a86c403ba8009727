//! The one test binary: the whole pipeline from outside.

mod bad_input;
mod binding;
mod cards;
mod catalogue;
mod command;
mod disk;
mod editor;
mod gradients;
mod joined;
mod kill;
mod library;
mod model_input;
mod mutants;
mod noise;
mod odd_data;
mod pages;
mod parity;
mod parts;
mod plans;
mod primitives;
mod programs;
mod run;
mod tidy;
mod tools;

use dsl::{Bound, Compiled, Lowered, Request, Settings, source::Sources};
use std::path::{Path, PathBuf};

/// The folder with shared fixtures and data; tests that need it say when it is absent.
pub fn shared() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("SVIC_SHARED").map_or(default, PathBuf::from)
}

/// A model of the library under options.
pub fn library_model(name: &str, sets: &[(String, String)]) -> Compiled {
    library_model_and_files(name, sets).0
}

/// The same with the names of its files, each before what it extends.
pub fn library_model_and_files(name: &str, sets: &[(String, String)]) -> (Compiled, Vec<String>) {
    library_model_without(name, sets, std::collections::BTreeSet::new())
}

/// The same for data that lack the `absent` fields.
pub fn library_model_without(
    name: &str,
    sets: &[(String, String)],
    absent: std::collections::BTreeSet<String>,
) -> (Compiled, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib");
    let read = |n: &str| std::fs::read_to_string(folder.join(format!("{n}.svi"))).ok();
    struct Folder<F>(F);
    impl<F: Fn(&str) -> Option<String>> dsl::Library for Folder<F> {
        fn find(&self, path: &str) -> Option<(String, String)> {
            (self.0)(path).map(|text| (format!("{path}.svi"), text))
        }
    }
    let mut sources = Sources::new();
    let root =
        sources.add(format!("{name}.svi"), read(name).unwrap_or_else(|| panic!("no {name}.svi in stdlib")));
    let settings = Settings { sets: sets.to_vec(), absent, ..Settings::default() };
    let (compiled, diagnostics) = dsl::compile(&mut sources, root, &settings, &Folder(read));
    let files = sources.ids().map(|id| sources.name(id).to_owned()).collect();
    (compiled.unwrap_or_else(|| panic!("{}", dsl::diagnostic::render(&sources, &diagnostics, false))), files)
}

/// A lowered graph, which must exist.
pub fn lowered(compiled: &Compiled, bound: &Bound, request: &Request) -> Lowered {
    compiled.lower(bound, request).unwrap_or_else(|d| panic!("{d:?}"))
}
