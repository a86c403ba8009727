//! Lists the programs of `stdlib/`, and its tables of names, so that the binary carries them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../stdlib");
    list(&root, "svi", "stdlib.rs")?;
    list(&root.join("names"), "map", "names.rs")
}

/// Writes a table of file names and texts of a folder's files of one kind.
fn list(folder: &Path, extension: &str, out: &str) -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = files(folder, extension)?;
    files.sort();
    let mut code = String::from("&[\n");
    for file in &files {
        let name = file.file_name().and_then(|n| n.to_str()).ok_or("a name in stdlib is not UTF-8")?;
        let path = file.canonicalize()?;
        println!("cargo::rerun-if-changed={}", path.display());
        writeln!(code, "    ({name:?}, include_str!({:?})),", path.display().to_string())?;
    }
    code.push_str("]\n");
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join(out), code)?;
    Ok(())
}

fn files(root: &Path, extension: &str) -> std::io::Result<Vec<PathBuf>> {
    if !root.is_dir() {
        return Ok(Vec::new());
    }
    let entries: Vec<PathBuf> =
        std::fs::read_dir(root)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    Ok(entries.into_iter().filter(|p| p.extension().is_some_and(|e| e == extension)).collect())
}
