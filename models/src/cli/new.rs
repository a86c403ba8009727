//! `svic new`: a commented program to begin from.

use super::{OK, Outcome, out};
use crate::error::{Error, unwritable};
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// A program that compiles, with `NAME` where its name belongs.
const SKELETON: &str = include_str!("new.svi");

/// Arguments of `svic new`.
#[derive(Args, Debug)]
pub struct NewArgs {
    /// Name of the model: the file is NAME.svi, and must not exist.
    name: String,
}

/// Runs `svic new`.
pub fn run(args: &NewArgs) -> Outcome {
    let file = if args.name.ends_with(".svi") { args.name.clone() } else { format!("{}.svi", args.name) };
    let path = Path::new(&file);
    let stem = path.file_stem().map_or(args.name.clone(), |s| s.to_string_lossy().into_owned());
    let text = SKELETON.replace("NAME", &stem);
    File::create_new(path)
        .and_then(|mut f| f.write_all(text.as_bytes()))
        .map_err(|e| Error::plain(unwritable(path, &e)))?;
    out(&format!("{file}: a model to begin from; `svic check {file}` checks it"));
    Ok(OK)
}
