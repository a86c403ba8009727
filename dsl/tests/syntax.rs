//! Programs through the parser and the printer, and broken programs with their messages.

use dsl::diagnostic::{Code, Diagnostics, render, render_concise};
use dsl::source::{FileId, Sources, Span};
use dsl::syntax::ast::{Ast, ExprKind, ItemKind, ModelStmtKind};
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
    // E0106 is for programs that parse: `tests/compile.rs` has its case.
    let syntax = Code::ALL.iter().filter(|code| code.as_str().starts_with("E01") && **code != Code::E0106);
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

/// One mistake does not hide the statements around it, nor the other mistakes.
#[test]
fn recovery_keeps_what_is_sound() {
    let text = "\
dim cell, gene
param theta[gene : positive
param phi[gene] : positive
model {
  plate cell {
    z ~ Normal(0, 1)
    mu = exp(z +)
    broken[ ~ 3
    observe x ~ Poisson(rate = mu)
  }
  k = 1
}
output { a = )  b = 2
  c = 3 }
";
    let (ast, _, concise) = parsed("a.svi", text);
    let lines: Vec<&str> = concise.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(lines, ["a.svi:2:18:", "a.svi:7:17:", "a.svi:8:13:", "a.svi:13:14:"], "{concise}");
    let broken: Vec<&str> = ast.broken.iter().map(|name| name.text.as_str()).collect();
    assert_eq!(broken, ["theta", "mu", "broken", "a", "b"]);
    assert!(matches!(ast.items[1].kind, ItemKind::Error));
    assert!(matches!(ast.items[2].kind, ItemKind::Param(_)));
    let ItemKind::Model(model) = &ast.items[3].kind else { panic!("{:?}", ast.items[3]) };
    let ModelStmtKind::Plate(plate) = &model[0].kind else { panic!("{:?}", model[0]) };
    assert_eq!(model.len(), 2);
    let errors = plate.body.iter().filter(|stmt| matches!(stmt.kind, ModelStmtKind::Error)).count();
    assert_eq!((plate.body.len(), errors), (4, 2));
    assert!(matches!(plate.body[3].kind, ModelStmtKind::Observe(_)));
}

/// Spans cover exactly the text of their nodes.
#[test]
fn nodes_know_their_text() {
    let text = "# head\nstat s = f(a, b = (1 + c) * 2 | d over k)[i].g # tail\nextends a.b[\"c d\"]";
    let (ast, diagnostics) = parse(FileId(0), text);
    assert!(diagnostics.is_empty());
    let of = |span: Span| &text[span.range()];
    assert_eq!(of(ast.items[0].span), "stat s = f(a, b = (1 + c) * 2 | d over k)[i].g");
    let ItemKind::Stat(stat) = &ast.items[0].kind else { panic!() };
    assert_eq!(of(stat.value.span), "f(a, b = (1 + c) * 2 | d over k)[i].g");
    let ExprKind::Field { base, .. } = &stat.value.kind else { panic!() };
    let ExprKind::Index { base, .. } = &base.kind else { panic!() };
    let ExprKind::Call(call) = &base.kind else { panic!() };
    assert_eq!(of(call.args[1].span), "b = (1 + c) * 2");
    let ExprKind::Binary { left, .. } = &call.args[1].value.kind else { panic!() };
    assert_eq!((of(call.args[1].value.span), of(left.span)), ("(1 + c) * 2", "1 + c"));
    let ItemKind::Extends(paths) = &ast.items[1].kind else { panic!() };
    assert_eq!((of(paths[0].span), paths[0].dotted().as_str()), ("a.b[\"c d\"]", "a.b.c d"));
}

/// Windows line ends and a byte-order mark change nothing.
#[test]
fn line_ends_and_byte_order_mark() {
    let text = "dim cell\nmodel {\n  z ~ Normal(0, 1)\n}\n";
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(parsed("a.svi", text).0, parsed("b.svi", &windows).0);
    assert_eq!(parsed("b.svi", &windows).1, "");
}

/// Following the suggested edits leaves the messages that suggest none, and no others. Of a mark that is wrong
/// throughout only the first is reported, so several rounds may be needed.
#[test]
fn suggested_edits_repair() {
    let mut edits = 0;
    for path in programs("cases/error").iter().filter(|path| file_name(path).starts_with("E01")) {
        let mut text = std::fs::read_to_string(path).expect("a readable program");
        let (_, mut diagnostics) = parse(FileId(0), &text);
        let unsuggested = diagnostics.iter().filter(|d| d.suggestion.is_none()).count();
        for _ in 0..8 {
            for suggestion in diagnostics.iter().rev().filter_map(|d| d.suggestion.as_ref()) {
                text.replace_range(suggestion.span.range(), &suggestion.replacement);
                edits += 1;
            }
            diagnostics = parse(FileId(0), &text).1;
        }
        assert!(diagnostics.iter().all(|d| d.suggestion.is_none()), "{text}\n{diagnostics:#?}");
        assert_eq!(diagnostics.len(), unsuggested, "{text}\n{diagnostics:#?}");
    }
    assert!(edits >= 15, "{edits}");
}
