//! The printed forms of one small program, and that each is what its name says.

mod library;

use dsl::source::Sources;
use dsl::{Bound, Compiled, Lowered, Mode, Purpose, Request, Settings, compile};
use library::Stdlib;
use std::path::Path;

const LINE: &str = include_str!("cases/forms/line.svi");

fn line() -> Compiled {
    let mut sources = Sources::new();
    let file = sources.add("line.svi", LINE);
    let (compiled, found) = compile(&mut sources, file, &Settings::default(), &Stdlib);
    compiled.unwrap_or_else(|| panic!("{}", dsl::diagnostic::render(&sources, &found, false)))
}

fn lowered(compiled: &Compiled) -> Lowered {
    let mut bound = Bound { n_rows: 100, ..Bound::default() };
    bound.sizes.extend([("gene".to_owned(), 3), ("batch".to_owned(), 2)]);
    bound.present.extend(["x".to_owned(), "batch".to_owned()]);
    let request = Request { purpose: Purpose::Objective, mode: Mode::Train, n_batch: 4 };
    compiled.lower(&bound, &request).expect("it lowers")
}

fn golden(form: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/forms");
    let path = folder.join(format!("line.{form}.txt"));
    if std::env::var_os("SVIC_BLESS").is_some() {
        std::fs::write(&path, text).expect("a writable folder");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{form}; SVIC_BLESS=1 accepts the new text");
}

#[test]
fn forms_of_a_small_program() {
    let c = line();
    golden("tokens", &dsl::inspect::tokens(LINE));
    for form in ["ast", "model", "objective"] {
        golden(form, &c.emit(form).expect("a form"));
    }
    golden("shapes", &c.shapes());
    let l = lowered(&c);
    golden("graph", &l.graph.to_string());
    golden("grad", &l.with_gradients().expect("it has derivatives").to_string());
    assert_eq!(c.emit("plan"), None, "plans are the runtime's");
}

/// The canonical text parses to the tree it was printed from; tokens are those of the text, in order.
#[test]
fn forms_are_faithful() {
    let printed = line().emit("ast").expect("a form");
    let mut trees = [LINE, &printed].map(|text| dsl::syntax::parse(Default::default(), text).0);
    trees.iter_mut().for_each(dsl::syntax::strip_spans);
    assert_eq!(trees[0], trees[1]);
    let listed = dsl::inspect::tokens("a = \"b c\" # d\n~");
    let rows: Vec<Vec<&str>> = listed.lines().map(|l| l.split_whitespace().collect()).collect();
    let expected: [&[&str]; 6] = [
        &["1:1", "name", "a"],
        &["1:3", "mark", "="],
        &["1:5", "text", "\"b", "c\""],
        &["1:11", "comment", "#", "d"],
        &["2:1", "mark", "~"],
        &["2:2", "end"],
    ];
    assert_eq!(rows, expected);
}

/// One gradient for each trained variable, over its axes.
#[test]
fn gradients_are_outputs() {
    let l = lowered(&line());
    let graph = l.with_gradients().expect("it has derivatives");
    for v in &l.variables {
        let grad = graph.find_output(&format!("grad.{}", v.name)).expect("a gradient");
        let sizes: Vec<usize> = graph.axes_of(grad).iter().map(|a| graph.size(a)).collect();
        assert_eq!(sizes, v.dims.iter().map(|d| d.size).collect::<Vec<_>>(), "{}", v.name);
    }
    graph.verify().expect("a valid graph");
}
