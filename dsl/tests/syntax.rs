//! Programs through the parser and the printer, and broken programs with their messages.

use dsl::diagnostic::{Code, Diagnostics, render, render_concise};
use dsl::source::Sources;
use dsl::syntax::ast::Ast;
use dsl::syntax::{parse, print, strip_spans};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn parsed(name: &str, text: &str) -> (Ast, String, String) {
    let mut sources = Sources::new();
    let file = sources.add(name, text);
    let (mut ast, diagnostics) = parse(file, text);
    strip_spans(&mut ast);
    let diagnostics = Diagnostics::from(diagnostics);
    (ast, render(&sources, &diagnostics, false), render_concise(&sources, &diagnostics))
}

fn programs(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = std::fs::read_dir(folder).expect("the folder is checked in");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "svi"));
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

#[test]
fn programs_parse_print_and_parse_again() {
    let paths = programs("programs");
    assert!(paths.len() >= 14, "programs of the design page and their fragments");
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a readable program");
        let (ast, messages, _) = parsed(&file_name(&path), &text);
        assert_eq!(messages, "", "{path:?}");
        let printed = print(&ast);
        let (again, messages, _) = parsed("printed.svi", &printed);
        assert_eq!(messages, "", "{printed}");
        assert_eq!(ast, again, "{printed}");
        assert_eq!(print(&again), printed);
    }
}

#[test]
fn broken_programs_give_their_messages() {
    let bless = std::env::var_os("SVIC_BLESS").is_some();
    let mut codes = BTreeSet::new();
    for path in programs("cases/error").iter().filter(|path| file_name(path).starts_with("E01")) {
        let text = std::fs::read_to_string(path).expect("a readable program");
        let name = file_name(path);
        let (_, messages, concise) = parsed(&name, &text);
        let code = &name[..5];
        assert!(concise.contains(&format!("error[{code}]")), "{name} gives {code}:\n{concise}");
        codes.insert(code.to_string());
        let golden = path.with_extension("txt");
        if bless {
            std::fs::write(&golden, &messages).expect("a writable folder");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(messages, expected, "{name}; SVIC_BLESS=1 accepts the new text");
    }
    let syntax = Code::ALL.iter().filter(|code| code.as_str().starts_with("E01"));
    for code in syntax {
        assert!(codes.contains(code.as_str()), "{code} has a failing program");
    }
}

#[test]
fn deep_programs_are_refused_without_overflow() {
    let n = 100_000;
    let deep = [
        format!("stat a = {}1{}", "(".repeat(n), ")".repeat(n)),
        format!("stat a = {}", "(".repeat(n)),
        format!("stat a = {}1", "-".repeat(n)),
        format!("stat a = {}1", "not ".repeat(n)),
        format!("stat a = 1{}", " + 1".repeat(n)),
        format!("stat a = 1{}", " ^ 1".repeat(n)),
        format!("stat a = a{}", ".b".repeat(n)),
        format!("stat a = a{}", "(1)".repeat(n)),
        format!("stat a = {}", "f(".repeat(n)),
        format!("stat a = {}", "{ a = ".repeat(n)),
        format!("stat a = {}", "match a { b => ".repeat(n)),
        format!("stat a = {}", "a[".repeat(n)),
        format!("model {{ {}", "plate cell { ".repeat(n)),
        format!("model {{ {}", "plate cell {\n".repeat(n)),
        format!("when a {{ {}", "when b {\n".repeat(n)),
        format!("model {{ a = 1{} }}", " +\n1".repeat(n)),
        "{".repeat(n),
        "}".repeat(n),
        "}\n".repeat(n),
        "model {\n".repeat(n),
    ];
    for text in deep {
        let (_, messages, _) = parsed("deep.svi", &text);
        assert!(messages.contains("error[E01"), "{}", &text[..40]);
    }
}

#[test]
fn nesting_within_the_limit_is_accepted() {
    let n = 100;
    let text = format!("stat a = {}1{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(parsed("nested.svi", &text).1, "");
    let text = format!("stat a = 1{}", " + 1".repeat(200));
    assert_eq!(parsed("chain.svi", &text).1, "");
}
