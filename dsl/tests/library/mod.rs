//! The checked-in library.

use dsl::Library;
use std::path::Path;

/// Finds the programs of `stdlib`.
pub struct Stdlib;

impl Library for Stdlib {
    fn find(&self, path: &str) -> Option<(String, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib");
        Some((format!("{path}.svi"), std::fs::read_to_string(folder.join(format!("{path}.svi"))).ok()?))
    }
}
