//! Properties of the syntax: printing and parsing are inverse, and no text makes the parser panic or hang.

mod generate;

use dsl::diagnostic::{Diagnostic, render, render_concise};
use dsl::source::{FileId, Sources, Span};
use dsl::syntax::ast::Ast;
use dsl::syntax::token::{Keyword, Symbol, lex};
use dsl::syntax::{parse, print, strip_spans};
use generate::ast;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Words and marks of the language and of others, to build texts that are nearly programs.
fn lexeme() -> impl Strategy<Value = String> {
    let words = Keyword::ALL.iter().map(|word| word.text());
    let marks = Symbol::ALL.iter().map(|mark| mark.text());
    let others = [
        "x", "z", "Normal", "1", "0.5", "\"a\"", "\n", "\n", "{", "}", "(", ")", ":=", "<-", ";", "#c\n", "é",
    ];
    select(words.chain(marks).chain(others).map(str::to_string).collect::<Vec<_>>())
}

/// Parses, and checks what holds for every text.
fn checked(text: &str) -> (Ast, Vec<Diagnostic>) {
    let mut sources = Sources::new();
    let file = sources.add("any.svi", text);
    let (mut ast, diagnostics) = parse(file, text);
    for diagnostic in &diagnostics {
        let span = diagnostic.span().expect("syntax errors have a place");
        assert!(text.get(span.range()).is_some(), "{diagnostic:?}");
    }
    assert!(diagnostics.is_sorted_by_key(Diagnostic::span));
    let _ = (render(&sources, &diagnostics, false), render_concise(&sources, &diagnostics));
    strip_spans(&mut ast);
    if diagnostics.is_empty() {
        let printed = print(&ast);
        let (mut again, problems) = parse(FileId(0), &printed);
        strip_spans(&mut again);
        assert_eq!((&ast, &[][..]), (&again, &problems[..]), "{printed}");
        assert!(ast.broken.is_empty() && !printed.contains("<error>"), "{printed}");
    }
    (ast, diagnostics)
}

fn program(n: usize) -> String {
    let programs = [
        include_str!("programs/scvi.svi"),
        include_str!("programs/scanvi.svi"),
        include_str!("programs/totalvi.svi"),
        include_str!("programs/cellassign.svi"),
        include_str!("programs/tangram.svi"),
        include_str!("programs/every_construct.svi"),
    ];
    programs[n % programs.len()].to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn printed_trees_parse_to_themselves(ast in ast()) {
        let printed = print(&ast);
        let (mut again, diagnostics) = parse(FileId(0), &printed);
        strip_spans(&mut again);
        prop_assert!(diagnostics.is_empty(), "{}\n{:?}", printed, diagnostics);
        prop_assert_eq!(&ast.items, &again.items, "{}", printed);
        prop_assert_eq!(print(&again), printed);
    }

    #[test]
    fn any_text_parses(text in ".*|\\PC*|[ -~\n]{0,200}") {
        checked(&text);
    }

    #[test]
    fn any_bytes_parse(bytes in vec(any::<u8>(), 0..300)) {
        checked(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_tokens_parse(parts in vec(lexeme(), 0..120), glued in any::<bool>()) {
        checked(&parts.join(if glued { "" } else { " " }));
    }

    #[test]
    fn mutated_programs_parse(
        n in 0usize..6,
        edits in vec((any::<prop::sample::Index>(), option::of(lexeme()), 0usize..4), 1..6),
    ) {
        let text = program(n);
        let lexed = lex(FileId(0), &text);
        let spans = lexed.tokens.iter().map(|t| t.span).chain(lexed.trivia.iter().map(|t| t.span));
        let mut spans: Vec<Span> = spans.collect();
        spans.sort();
        let mut pieces: Vec<String> = spans.iter().map(|span| text[span.range()].to_string()).collect();
        for (at, insert, remove) in edits {
            let at = at.index(pieces.len());
            let end = (at + remove).min(pieces.len());
            pieces.splice(at..end, insert);
            if pieces.is_empty() {
                break;
            }
        }
        checked(&pieces.concat());
    }

    #[test]
    fn pieces_of_any_text_cover_it(text in "[ -~\n\té∑\u{85}]{0,80}") {
        let lexed = lex(FileId(0), &text);
        let spans = lexed.tokens.iter().map(|t| t.span).chain(lexed.trivia.iter().map(|t| t.span));
        let mut spans: Vec<Span> = spans.collect();
        spans.sort();
        let joined: String = spans.iter().map(|span| &text[span.range()]).collect();
        prop_assert_eq!(joined, text);
    }
}

/// Errors that repeat over a long text cost no more than their number.
#[test]
fn long_broken_texts_end_soon() {
    for line in
        ["z ~ \n", "model { z = ) \n", "param param\n", "plate cell { z ~ Normal(\n", "x : [ \n", "} ) ] {\n"]
    {
        let text = format!("model {{\n{}", line.repeat(20_000));
        let started = std::time::Instant::now();
        let (_, diagnostics) = parse(FileId(0), &text);
        assert!(!diagnostics.is_empty());
        assert!(started.elapsed().as_secs() < 10, "{line}");
    }
}
