//! Lists the programs of `stdlib/` so that the binary carries them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../stdlib");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = programs(&root)?;
    files.sort();
    let mut code = String::from("&[\n");
    for file in &files {
        let name = file.file_name().and_then(|n| n.to_str()).ok_or("a name in stdlib is not UTF-8")?;
        let path = file.canonicalize()?;
        println!("cargo::rerun-if-changed={}", path.display());
        writeln!(code, "    ({name:?}, include_str!({:?})),", path.display().to_string())?;
    }
    code.push_str("]\n");
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("stdlib.rs");
    std::fs::write(out, code)?;
    Ok(())
}

fn programs(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !root.is_dir() {
        return Ok(Vec::new());
    }
    let entries: Vec<PathBuf> =
        std::fs::read_dir(root)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    Ok(entries.into_iter().filter(|p| p.extension().is_some_and(|e| e == "svi")).collect())
}
