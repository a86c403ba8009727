//! Programs for a paper: LaTeX, Graphviz and pictures, as goldens.

mod library;

use dsl::source::Sources;
use dsl::{Compiled, Library, Settings, compile};
use library::Stdlib;
use std::path::Path;

fn compiled(name: &str, text: &str) -> Compiled {
    let mut sources = Sources::new();
    let file = sources.add(name, text);
    let (compiled, found) = compile(&mut sources, file, &Settings::default(), &Stdlib);
    compiled.unwrap_or_else(|| panic!("{}", dsl::diagnostic::render(&sources, &found, false)))
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/explain").join(name);
    if std::env::var_os("SVIC_BLESS").is_some() {
        std::fs::write(&path, text).expect("a writable folder");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name}; SVIC_BLESS=1 accepts the new text");
}

fn examples() -> Vec<(String, Compiled)> {
    let mut all = vec![];
    for name in ["scvi", "scvi_latent_library"] {
        let (file, text) = Stdlib.find(name).expect("of the library");
        all.push((name.to_owned(), compiled(&file, &text)));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for name in ["derive/late_parent", "forms/line"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.svi"))).expect("a readable file");
        let name = name.split('/').next_back().unwrap_or(name).to_owned();
        let c = compiled(&name, &text);
        all.push((name, c));
    }
    all
}

#[test]
fn stories_and_pictures() {
    for (name, c) in examples() {
        golden(&format!("{name}.tex"), &c.latex());
        golden(&format!("{name}.dot"), &c.dot(true));
        golden(&format!("{name}.svg"), &c.svg(true));
        assert!(!c.svg(false).contains("dasharray=\"5 4\""), "guide edges only on request");
        assert!(c.svg(true).contains("dasharray=\"5 4\""), "{name}");
    }
}

/// Braces and environments are balanced, and every alignment has its mark.
#[test]
fn latex_is_balanced() {
    for (name, c) in examples() {
        let tex = c.latex();
        let count = |what: &str| tex.matches(what).count();
        let escaped = count("\\{") + count("\\}");
        assert_eq!(count("{") - count("\\{"), count("}") - count("\\}"), "{name} {escaped}\n{tex}");
        for (open, close) in [("\\begin{", "\\end{"), ("\\left", "\\right"), ("\\Bigl", "\\Bigr")] {
            let arrows = count("\\leftarrow") + count("\\rightarrow");
            assert_eq!(count(open) - arrows, count(close) - arrows, "{name}: {open}\n{tex}");
        }
    }
}
