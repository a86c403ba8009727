//! The pages of the codes, and the edits that messages suggest. Both are compiled.

mod library;

use dsl::diagnostic::{Code, Diagnostic, Diagnostics, render};
use dsl::format::format;
use dsl::source::{FileId, Sources};
use dsl::{Settings, compile};
use library::Stdlib;
use std::path::{Path, PathBuf};

/// A first line `# set: name=value …` carries settings.
fn compiled(text: &str) -> (Diagnostics, Sources) {
    let mut sources = Sources::new();
    let file = sources.add("model.svi", text);
    let sets = text.lines().next().and_then(|line| line.strip_prefix("# set: ")).unwrap_or("");
    let sets = sets.split_whitespace().filter_map(|s| s.split_once('='));
    let settings =
        Settings { sets: sets.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(), ..Settings::default() };
    let (_, diagnostics) = compile(&mut sources, file, &settings, &Stdlib);
    (diagnostics, sources)
}

/// Codes about data and runs, whose pages show commands (`tests/tests/pages.rs` runs them).
fn needs_no_example(code: Code) -> bool {
    code.example().is_some_and(|e| e.is_command())
}

#[test]
fn pages_compile() {
    let bless = std::env::var_os("SVIC_BLESS").is_some();
    let mut wrong = vec![];
    for code in Code::ALL.iter().copied().filter(|c| !needs_no_example(*c)) {
        let Some(example) = code.example() else {
            wrong.push(format!("{code} has no page"));
            continue;
        };
        let tidy = |text: &str| format(FileId(0), text).unwrap_or_else(|_| text.to_owned());
        let (fails, repaired) = (tidy(example.fails), tidy(example.repaired));
        let (found, sources) = compiled(&fails);
        let said = render(&sources, &found, false);
        if !found.iter().any(|d| d.code == code) {
            wrong.push(format!("{code} is not given:\n{said}"));
        }
        let same = (&*fails, &*said, &*repaired) == (example.fails, example.says, example.repaired);
        if !same && bless {
            let text = format!("--- fails\n{fails}--- says\n{said}--- repaired\n{repaired}");
            let page = format!("src/diagnostic/pages/{code}.txt");
            std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(page), text)
                .expect("a writable folder");
        } else if !same {
            wrong.push(format!("{code}; SVIC_BLESS=1 accepts the new text\n{said}"));
        }
        let (found, sources) = compiled(&repaired);
        if found.has_errors() || found.iter().any(|d| d.code == code) {
            wrong.push(format!("{code}, repaired:\n{}", render(&sources, &found, false)));
        }
        assert!(code.explanation().contains("\nRepaired:\n"), "{code}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/error");
    let entries = std::fs::read_dir(folder).expect("the folder is checked in");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "svi"));
    paths.sort();
    paths
}

fn suggests(d: &Diagnostic) -> bool {
    d.suggestion.as_ref().is_some_and(|s| s.span.file == FileId(0))
}

/// Following the edits of a program removes the messages that suggested them, and every syntax error they were about.
#[test]
fn edits_repair() {
    let mut codes = std::collections::BTreeSet::new();
    let pages = Code::ALL.iter().filter_map(|c| c.example()).filter(|e| !e.is_command());
    let pages = pages.map(|e| e.fails.to_owned());
    let files = cases().into_iter().map(|p| std::fs::read_to_string(p).expect("a readable program"));
    for original in pages.chain(files) {
        let mut text = original.clone();
        let (before, _) = compiled(&text);
        let asked: Vec<&Diagnostic> = before.iter().filter(|d| suggests(d)).collect();
        // Of a mark that is wrong throughout only the first is reported, so there may be several rounds.
        let mut round = before.clone();
        for _ in 0..8 {
            let of_root = round.iter().filter(|d| suggests(d)).filter_map(|d| d.suggestion.as_ref());
            let mut edits: Vec<_> = of_root.collect();
            edits.sort_by_key(|e| std::cmp::Reverse(e.span));
            edits.dedup();
            for edit in edits {
                text.replace_range(edit.span.range(), &edit.replacement);
            }
            round = compiled(&text).0;
        }
        let (after, sources) = compiled(&text);
        for d in asked {
            codes.insert(d.code);
            let again = |n: &&Diagnostic| n.code == d.code && n.headline == d.headline;
            let many = |found: &Diagnostics| found.iter().filter(again).count();
            assert!(
                many(&after) < many(&before),
                "{}: {}\n{original}\n---\n{text}\n{}",
                d.code,
                d.headline,
                render(&sources, &after, false)
            );
        }
    }
    assert!(codes.len() >= 15, "{codes:?}");
}
