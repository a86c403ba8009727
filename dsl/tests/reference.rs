//! The language reference and the tutorials: their programs compile, their mistakes are the ones they say, and their tables
//! leave nothing out.

mod common;

use common::{compile_with, root};
use dsl::diagnostic::render_concise;

fn pages() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(root().join("reference")).expect("the reference is checked in");
    let mut paths: Vec<_> = folder.map(|e| e.expect("a readable folder").path()).collect();
    paths.sort();
    let name = |p: &std::path::PathBuf| p.file_name().expect("a file").to_string_lossy().into_owned();
    paths.iter().map(|p| (name(p), std::fs::read_to_string(p).expect("text"))).collect()
}

/// Fenced blocks: the words after the fence, the first line's number, the text.
fn blocks(page: &str) -> Vec<(String, usize, String)> {
    let mut out = vec![];
    let mut open: Option<(String, usize, String)> = None;
    for (i, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => out.push(block),
            (Some(info), None) => open = Some((info.to_owned(), i + 2, String::new())),
            (None, Some((info, at, text))) => open = Some((info, at, text + line + "\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    out
}

#[test]
fn every_program_of_the_reference_does_what_the_page_says() {
    let mut n = 0;
    for (name, page) in pages() {
        for (info, line, text) in blocks(&page).into_iter().filter(|b| b.0.starts_with("svi")) {
            let (compiled, diagnostics, sources) = compile_with(&text, &[]);
            let shown = render_concise(&sources, &diagnostics);
            match info.strip_prefix("svi error=") {
                Some(code) => assert!(
                    compiled.is_none() && shown.contains(code),
                    "{name}:{line} should fail with {code}:\n{shown}"
                ),
                None => assert!(compiled.is_some(), "{name}:{line} should compile:\n{shown}"),
            }
            n += 1;
        }
    }
    assert!(n >= 10, "only {n} programs found");
}

#[test]
fn the_tables_of_the_reference_are_complete() {
    let (_, page) = pages().into_iter().find(|p| p.0 == "language.md").expect("the reference");
    let row = |family: &str| {
        let start = format!("| `{family}` |");
        page.lines().find(|l| l.starts_with(&start)).unwrap_or_else(|| panic!("no row for {family}"))
    };
    for family in distributions::FAMILIES.iter().filter(|f| f.name() != "ZINB") {
        let row = row(family.name());
        for set in family.parameter_sets() {
            let names = set.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
            assert!(row.contains(&format!("`{names}`")), "{}: {names} is missing in {row}", family.name());
        }
    }
    row("ZINB");
    for layer in dsl::LAYERS {
        let written = [format!("`{layer}("), format!("`{layer}[")];
        assert!(written.iter().any(|w| page.contains(w)), "the layer {layer} is missing");
    }
    for key in dsl::TRAIN_KEYS {
        assert!(page.contains(&format!("`{key}")), "the training setting {key} is missing");
    }
}
