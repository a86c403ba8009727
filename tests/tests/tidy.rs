//! Conventions of the code as a test: module comments, budgets of size, who may import what, where printing and
//! `unsafe` may stand.

use std::path::{Path, PathBuf};

/// Most lines of a file, of most files, of a function, of most functions.
const FILE_CAP: usize = 900;
const FILE_P95: usize = 600;
const FUNCTION_CAP: usize = 80;
const FUNCTION_P95: usize = 45;
/// A flat `match` may be longer, under this comment.
const FLAT_CAP: usize = 150;
const FLAT: &str = "flat match";

/// Folders that must not mention certain words, and why.
const NEVER: [(&str, &[&str], &str); 8] = [
    (
        "autodiff-runtime/src",
        &["distributions::", "dsl::", "ELBO", "AnnData"],
        "the runtime knows no probability",
    ),
    ("distributions/src", &["dsl::", "::plan", "backend::"], "families are graph, nothing else"),
    ("dsl/src", &["std::fs", "std::env", "::backend", "::plan", "::optim"], "the compiler is pure"),
    ("autodiff-runtime/src/graph", &["crate::plan", "crate::backend"], "forms point down only"),
    ("autodiff-runtime/src/op", &["crate::plan", "crate::backend"], "forms point down only"),
    (
        "autodiff-runtime/src/backend/dfdx",
        &["backend::cpu", "crate::autodiff", "backend::reference"],
        "the oracle is independent",
    ),
    ("models/src/anndata", &["dsl::", "autodiff_runtime"], "files know no models"),
    ("models/src/registry", &["autodiff_runtime"], "binding knows no graphs"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, out);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            out.push(path);
        }
    }
    out.sort();
}

/// Library sources without their inline test modules: (path below the root, text).
fn library() -> Vec<(String, String)> {
    let mut files = vec![];
    for krate in ["dsl", "autodiff-runtime", "distributions", "models"] {
        sources(&root().join(krate).join("src"), &mut files);
    }
    let read = |p: PathBuf| {
        let text = std::fs::read_to_string(&p).unwrap_or_default();
        let test_module = ["#[cfg(test)]\nmod ", "#[cfg(test)]\npub(super) mod ", "#[cfg(test)]\npub mod "];
        let end = test_module.iter().filter_map(|m| text.find(m)).min().unwrap_or(text.len());
        let name = p.strip_prefix(root()).unwrap_or(&p).to_string_lossy().into_owned();
        (name, text[..end].to_owned())
    };
    files.into_iter().map(read).collect()
}

/// (name, lines, whether marked as a flat match) of every function, by rustfmt's indentation.
fn functions(text: &str) -> Vec<(String, usize, bool)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = vec![];
    for (i, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let head = body
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub ");
        let head = head.trim_start_matches("const ").trim_start_matches("unsafe ");
        let Some(rest) = head.strip_prefix("fn ") else { continue };
        let close = format!("{}}}", &line[..line.len() - body.len()]);
        let Some(n) = lines[i..].iter().position(|l| *l == close) else { continue };
        let flat = lines[i.saturating_sub(4)..i].iter().any(|l| l.contains(FLAT));
        out.push((rest.split(['(', '<']).next().unwrap_or_default().to_owned(), n + 1, flat));
    }
    out
}

fn p95(mut sizes: Vec<usize>) -> usize {
    sizes.sort_unstable();
    sizes.get(sizes.len() * 95 / 100).copied().unwrap_or(0)
}

#[test]
fn every_file_opens_with_its_purpose_and_stays_small() {
    let files = library();
    assert!(files.len() > 50, "the sources are found");
    let mut wrong = vec![];
    for (name, text) in &files {
        if !text.starts_with("//!") {
            wrong.push(format!("{name}: no module comment"));
        }
        if text.lines().count() > FILE_CAP {
            wrong.push(format!("{name}: {} lines, at most {FILE_CAP}", text.lines().count()));
        }
    }
    let most = p95(files.iter().map(|f| f.1.lines().count()).collect());
    assert!(most <= FILE_P95, "95 % of the files have at most {most} lines; the budget is {FILE_P95}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_stay_small() {
    let mut wrong = vec![];
    let mut sizes = vec![];
    for (name, text) in library() {
        for (function, n, flat) in functions(&text) {
            let cap = if flat { FLAT_CAP } else { FUNCTION_CAP };
            if n > cap {
                wrong.push(format!("{name}: {function} has {n} lines, at most {cap}"));
            }
            sizes.push(n);
        }
    }
    let most = p95(sizes);
    assert!(
        most <= FUNCTION_P95,
        "95 % of the functions have at most {most} lines; the budget is {FUNCTION_P95}"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_point_down_the_pipeline() {
    let mut wrong = vec![];
    for (name, text) in library() {
        for (folder, words, why) in NEVER.iter().filter(|n| name.starts_with(n.0)) {
            for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
                if let Some(word) = words.iter().find(|w| line.contains(**w)) {
                    wrong.push(format!("{name}: `{word}` in {folder}: {why}"));
                }
            }
        }
        let code = || text.lines().filter(|l| !l.trim_start().starts_with("//"));
        if code().any(|l| l.contains(".unwrap()")) {
            wrong.push(format!("{name}: a bare unwrap; `expect` says why it cannot fail"));
        }
        let prints = code().any(|l| l.contains("println!(") || l.contains("print!("));
        if prints && !name.starts_with("models/src/cli") {
            wrong.push(format!("{name}: prints outside the command line"));
        }
        // Machine code and vector loads; the driver's libraries.
        let may =
            ["cpu", "cuda"].iter().any(|b| name.starts_with(&format!("autodiff-runtime/src/backend/{b}")));
        if code().any(|l| l.contains("unsafe ")) && !may {
            wrong.push(format!("{name}: `unsafe` outside the kernels"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
