//! The catalogue: a page and a picture of every model of the library, made from its program, and examples that run.

#![allow(clippy::print_stdout, reason = "a test that checks nothing here says so")]

use crate::command::svic;
use crate::shared;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use svi::catalogue::{index, library_page, library_picture, summaries};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib/catalogue")
}

/// Every file that the catalogue should hold.
fn wanted() -> BTreeMap<String, String> {
    let mut out = BTreeMap::from([("README.md".to_owned(), index())]);
    for (name, _) in summaries() {
        out.insert(format!("{name}.md"), library_page(name).unwrap_or_else(|e| panic!("{e}")));
        let picture = library_picture(name).unwrap_or_else(|e| panic!("{e}"));
        out.extend(picture.map(|text| (format!("{name}.svg"), text)));
    }
    out
}

#[test]
fn pages_are_those_of_the_programs() {
    let (wanted, folder) = (wanted(), folder());
    if std::env::var_os("SVIC_BLESS").is_some() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a writable folder");
        wanted.iter().for_each(|(name, text)| std::fs::write(folder.join(name), text).expect("written"));
    }
    let there = crate::command::files(&folder);
    assert_eq!(there, wanted.keys().cloned().collect::<Vec<_>>(), "SVIC_BLESS=1 makes the pages");
    for (name, text) in &wanted {
        let found = std::fs::read_to_string(folder.join(name)).expect("it is there");
        assert!(
            found == *text,
            "stdlib/catalogue/{name} is not what its program gives; SVIC_BLESS=1 makes it"
        );
    }
}

/// Whoever reads a page finds on it what a model is for, how data arise, what it needs and how it is run.
#[test]
fn every_page_is_complete() {
    let mut lacking = vec![];
    for (name, head) in summaries() {
        let mut lacks = vec![];
        lacks.extend(head.purpose.is_empty().then_some("a purpose"));
        lacks.extend((head.example.is_empty()).then_some("Example"));
        lacks.extend(
            ["Story", "Data", "Modality"].into_iter().filter(|key| !head.paragraphs.contains_key(key)),
        );
        lacks.extend(
            (!head.example.iter().any(|l| l.contains(&format!("svic run {name} "))))
                .then_some("its own command"),
        );
        let silent = svi::catalogue::unexplained(name).unwrap_or_else(|e| panic!("{e}"));
        lacks.extend((!silent.is_empty()).then_some("what an option means"));
        if !lacks.is_empty() {
            lacking.push(format!("{name} lacks {} {silent:?}", lacks.join(", ")));
        }
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

/// The commands of the pages as they stand there, but for the number of epochs, from a folder with the shared data.
#[test]
fn examples_run() {
    let data = shared().join("data");
    if !data.exists() {
        println!("skipped: {} is not here", data.display());
        return;
    }
    for (name, head) in summaries() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for entry in std::fs::read_dir(&data).expect("a folder").flatten() {
            let from = entry.path().canonicalize().expect("a path");
            std::os::unix::fs::symlink(from, folder.path().join(entry.file_name())).expect("a link");
        }
        for line in &head.example {
            let mut args: Vec<&str> = line.split_whitespace().skip(1).collect();
            if args[0] == "run" {
                args.extend(["--epochs", "2", "-q"]);
            }
            let done = svic(folder.path(), &args);
            assert_eq!(done.code, 0, "{name}: {line}\n{}", done.text);
        }
    }
}
