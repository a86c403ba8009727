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
    for name in ["derive/late_parent", "derive/low_rank", "forms/line"] {
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

/// Every program of the library.
fn library() -> Vec<(String, Compiled)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib");
    let entries = std::fs::read_dir(folder).expect("the folder is checked in");
    let mut paths: Vec<_> = entries.map(|e| e.expect("a readable folder").path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "svi"));
    paths.sort();
    let one = |path: std::path::PathBuf| {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let c = compiled(&format!("{name}.svi"), &text);
        (name, c)
    };
    paths.into_iter().map(one).collect()
}

/// A number after `key="`.
fn number(line: &str, key: &str) -> f64 {
    let (_, rest) = line.split_once(&format!(" {key}=\"")).unwrap_or_else(|| panic!("{key}: {line}"));
    rest.split('"').next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{key}: {line}"))
}

/// No text lies over another: each takes up its length in wide characters, from its anchor.
#[test]
fn texts_do_not_overlap() {
    // A free objective has no sites to draw.
    for (name, c) in library().into_iter().filter(|m| m.1.plate().is_some()) {
        let svg = c.svg(true);
        let mut boxes: Vec<[f64; 4]> = vec![];
        for line in svg.lines().filter(|l| l.starts_with("<text")) {
            let (x, y, size) = (number(line, "x"), number(line, "y"), number(line, "font-size"));
            let text = line.split('>').nth(1).and_then(|t| t.split('<').next()).unwrap_or("");
            let width = text.chars().count() as f64 * size * 0.6;
            let left = if line.contains("\"end\"") { x - width } else { x - width / 2.0 };
            boxes.push([left, y - size * 0.8, left + width, y + size * 0.2]);
        }
        assert!(boxes.len() > 3, "{name}");
        for (i, a) in boxes.iter().enumerate() {
            let apart = |b: &[f64; 4]| a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
            assert!(boxes[..i].iter().all(apart), "{name}: {a:?}\n{svg}");
        }
    }
}

/// Braces and environments are balanced, and every alignment has its mark.
#[test]
fn latex_is_balanced() {
    for (name, c) in examples().into_iter().chain(library()) {
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
