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
