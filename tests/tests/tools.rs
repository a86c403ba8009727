//! The author's tools on the command line.

use crate::command::svic;
use std::path::Path;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a writable folder");
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect("the file is there")
}

#[test]
fn fmt_changes_files_in_place_and_checks_without_changing() {
    let folder = folder();
    let at = folder.path();
    write(at, "a.svi", "dim  cell,gene # two\nparam a[gene]:positive");
    write(at, "broken.svi", "dim = 2");
    write(at, "fine.svi", "dim cell, gene\n");
    svic(at, &["fmt", "--check", "fine.svi"]).expect(0, &[]);
    let done = svic(at, &["fmt", "--check", "a.svi", "fine.svi", "broken.svi"]);
    done.expect(1, &["a.svi\n", "error[E0101]", "broken.svi:1:5"]);
    assert!(!done.text.contains("fine.svi"), "{}", done.text);
    assert_eq!(read(at, "a.svi"), "dim  cell,gene # two\nparam a[gene]:positive");
    svic(at, &["fmt", "broken.svi", "a.svi", "absent.svi"]).expect(1, &["E0712"]);
    assert_eq!(read(at, "a.svi"), "dim cell, gene  # two\nparam a[gene] : positive\n");
    assert_eq!(read(at, "broken.svi"), "dim = 2");
}

#[test]
fn messages_as_json_are_one_object_a_line() {
    let folder = folder();
    let at = folder.path();
    write(at, "a.svi", "dim cell, gene\ndata { x : count[cell, gene] from X }\nparam a[gen] : positive\n");
    for command in [&["check", "a.svi"][..], &["compile", "a.svi"], &["run", "a.svi", "none.h5ad"]] {
        let done = svic(at, &[command, &["--format", "json"]].concat());
        assert_eq!(done.code, 1, "{}", done.text);
        let objects = done.text.lines().filter(|l| l.starts_with('{'));
        let objects: Vec<serde_json::Value> =
            objects.map(|l| serde_json::from_str(l).expect("a JSON object")).collect();
        assert!(!objects.is_empty() && !done.text.contains("error["), "{}", done.text);
        let first = &objects[0];
        assert_eq!(first["code"], "E0301");
        assert_eq!(first["span"]["bytes"], serde_json::json!([61, 64]));
        assert_eq!(first["span"]["start"], serde_json::json!({ "line": 3, "column": 9 }));
        assert_eq!(first["edits"][0]["replacement"], "gene");
    }
}

#[test]
fn explain_shows_the_page_of_a_code() {
    let folder = folder();
    let page = ["e0306: unexpected axis", "A program that gives it:", "Repaired:", "    error[E0306]"];
    svic(folder.path(), &["explain", "e0306"]).expect(0, &page[1..]);
    svic(folder.path(), &["explain", "E9999"]).expect(1, &["no code `E9999`"]);
}

#[test]
fn a_new_model_compiles_is_formatted_and_has_right_gradients() {
    let folder = folder();
    let at = folder.path();
    svic(at, &["new", "mine"]).expect(0, &["mine.svi"]);
    svic(at, &["new", "mine"]).expect(1, &["E0714"]);
    assert!(read(at, "mine.svi").starts_with("# mine: a latent-variable model"));
    svic(at, &["fmt", "--check", "mine.svi"]).expect(0, &[]);
    svic(at, &["check", "mine"]).expect(0, &["no errors"]);
    svic(at, &["check", "mine", "--shapes"]).expect(0, &["theta", "parameter", "[gene]", "for each"]);
    let done = svic(at, &["check", "mine", "--grad"]);
    done.expect(0, &["decoder.linear.weight", "theta", "all gradients agree with central differences"]);
}

#[test]
fn every_form_is_printed() {
    let folder = folder();
    let at = folder.path();
    let forms = [
        ("tokens", "word"),
        ("ast", "net encoder"),
        ("model", "observe x"),
        ("objective", "lik(x)"),
        ("graph", "output `loss`"),
        ("grad", "output `grad.theta`"),
        ("plan", "kernel"),
    ];
    for (form, said) in forms {
        svic(at, &["compile", "scvi", "--emit", form]).expect(0, &[said]);
    }
    svic(at, &["compile", "scvi", "--emit", "llvm"]).expect(1, &["tokens, ast, model, objective"]);
}

#[test]
fn explain_writes_for_papers() {
    let folder = folder();
    let at = folder.path();
    svic(at, &["explain", "scvi", "--latex"]).expect(0, &[r"z_{ca} &\sim", r"\mathcal{L} &="]);
    svic(at, &["explain", "scvi", "--dot"]).expect(0, &["digraph model {", "cluster_cell"]);
    svic(at, &["explain", "scvi", "--svg", "--guide"]).expect(0, &["<svg xmlns", "dasharray"]);
    svic(at, &["explain", "scvi", "--svg", "--dot"]).expect(2, &["cannot be used with"]);
}
