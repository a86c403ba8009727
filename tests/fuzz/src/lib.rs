//! What holds of any text whatever: one function for each stage, which panics where it does not.

use dsl::diagnostic::{Diagnostic, render, render_concise, render_json};
use dsl::source::{FileId, Sources, Span};
use dsl::syntax::token::{TriviaKind, lex};
use dsl::syntax::{parse, print, strip_spans};
use dsl::{Library, Settings, analysis, compile, format};

/// Tokens and trivia cover the text, in order.
pub fn lexer(text: &str) {
    let lexed = lex(FileId(0), text);
    let spans = lexed.tokens.iter().map(|t| t.span).chain(lexed.trivia.iter().map(|t| t.span));
    let mut spans: Vec<Span> = spans.collect();
    spans.sort();
    let joined: String = spans.iter().map(|s| &text[s.range()]).collect();
    assert_eq!(joined, text);
}

/// Messages lie in the text and are in order; a text without messages prints to one with the same tree.
pub fn parser(text: &str) {
    let (mut tree, found) = parse(FileId(0), text);
    shown(text, &found);
    assert!(found.is_sorted_by_key(Diagnostic::span));
    if found.is_empty() {
        let printed = print(&tree);
        let (mut again, problems) = parse(FileId(0), &printed);
        strip_spans(&mut tree);
        strip_spans(&mut again);
        assert_eq!((&tree.items, 0), (&again.items, problems.len()), "{printed}");
    }
}

/// Formatting keeps tokens, comments and tree, and does nothing more when it is repeated.
pub fn formatter(text: &str) {
    let Ok(tidy) = format::format(FileId(0), text) else { return };
    assert_eq!(content(&tidy), content(text), "{tidy}");
    let tree = |text: &str| {
        let (mut tree, found) = parse(FileId(0), text);
        strip_spans(&mut tree);
        (tree.items, found.len())
    };
    assert_eq!(tree(&tidy), tree(text), "{tidy}");
    assert_eq!(format::format(FileId(0), &tidy).as_deref(), Ok(&*tidy));
}

fn content(text: &str) -> Vec<&str> {
    let lexed = lex(FileId(0), text);
    let comments = lexed.trivia.iter().filter(|t| t.kind == TriviaKind::Comment).map(|t| t.span);
    let mut spans: Vec<Span> = lexed.tokens.iter().map(|t| t.span).chain(comments).collect();
    spans.sort();
    spans.iter().map(|s| text[s.range()].trim_end()).collect()
}

struct Nothing;

impl Library for Nothing {
    fn find(&self, _: &str) -> Option<(String, String)> {
        None
    }
}

/// A program is compiled or refused with messages that can be shown; what an editor asks is answered.
pub fn checker(text: &str) {
    let mut sources = Sources::new();
    let file = sources.add("any.svi", text);
    let (compiled, found) = compile(&mut sources, file, &Settings::default(), &Nothing);
    assert_eq!(compiled.is_none(), found.has_errors());
    shown(text, &found.iter().cloned().collect::<Vec<_>>());
    if let Some(c) = compiled {
        let _ = (c.explain(), c.shapes(), c.latex(), c.dot(true), c.svg(true), c.emit("model"));
    }
    let analysed = analysis::analyse("any.svi", text, &Nothing);
    for at in [0, text.len() / 3, text.len() / 2, text.len()] {
        let at = text.floor_char_boundary(at);
        let _ = (analysed.hover(at), analysed.definition(at), analysed.completions(at));
        let _ = analysed.rename(at, "a_new_name");
    }
    let _ = analysed.hints();
}

fn shown(text: &str, found: &[Diagnostic]) {
    let mut sources = Sources::new();
    sources.add("any.svi", text);
    for d in found {
        let inside = |s: Span| text.get(s.range()).is_some();
        assert!(d.span().is_none_or(inside), "{d:?}");
        assert!(d.suggestion.as_ref().is_none_or(|s| inside(s.span)), "{d:?}");
    }
    let _ = (render(&sources, found, false), render_concise(&sources, found), render_json(&sources, found));
}
