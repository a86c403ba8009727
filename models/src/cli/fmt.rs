//! `svic fmt`: sources in canonical layout.

use super::{ERROR, OK, Outcome, out, report};
use crate::error::Error;
use crate::library;
use clap::Args;
use dsl::diagnostic::{Code, Diagnostic, Diagnostics};
use dsl::format::format;
use dsl::source::Sources;
use std::io::Read;
use std::path::Path;

/// Arguments of `svic fmt`.
#[derive(Args, Debug)]
pub struct FmtArgs {
    /// The files, changed in place; `-` stands for the standard input, and its result goes to the standard output.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Change nothing; name the files whose layout is not canonical, and end with code 1 if there is one.
    #[arg(long)]
    check: bool,
}

/// Runs `svic fmt`.
pub fn run(args: &FmtArgs) -> Outcome {
    let mut failed = false;
    for file in &args.files {
        match one(file, args.check) {
            Ok(fine) => failed |= !fine,
            Err(error) => {
                report(error.sources(), error.diagnostics().iter());
                failed = true;
            }
        }
    }
    Ok(if failed { ERROR } else { OK })
}

/// Formats one file; false if it is not a program, or, when checking, not formatted.
fn one(file: &str, check: bool) -> Result<bool, Error> {
    let text = if file == "-" { standard_input()? } else { library::read(Path::new(file))?.text };
    let mut sources = Sources::new();
    let id = sources.add(if file == "-" { "<stdin>" } else { file }, text.as_str());
    let tidy = match format(id, &text) {
        Ok(tidy) => tidy,
        Err(found) => {
            report(&sources, &Diagnostics::from(found));
            return Ok(false);
        }
    };
    if check {
        if tidy != text {
            out(file);
        }
        return Ok(tidy == text);
    }
    if file == "-" {
        out(&tidy);
    } else if tidy != text {
        crate::saved::write_aside(Path::new(file), tidy.as_bytes())?;
    }
    Ok(true)
}

fn standard_input() -> Result<String, Error> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map(|_| text).map_err(|e| {
        Error::plain(Diagnostic::new(Code::E0712, format!("the standard input cannot be read: {e}")))
    })
}
