//! Times reading, writing and converting of a file, each as a line `WHAT SECONDS`; `benches/files.py` runs it beside
//! anndata: `cargo run --release -p svic-benches --example files -- read|write|convert FILE [OUT.h5ad] [ROUNDS]`.

use std::path::Path;
use std::time::Instant;
use svi::anndata::{AnnData, NewAnnData, WriteOptions, gather, write_new};

/// Reads all that there is.
fn whole(path: &Path) -> Result<NewAnnData, Box<dyn std::error::Error>> {
    Ok(gather(&AnnData::open(path)?)?)
}

#[allow(clippy::print_stdout, reason = "the times are the result")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, file, out, rounds] = args.as_slice() else {
        return Err("read|write|convert FILE OUT.h5ad ROUNDS".into());
    };
    let (file, out) = (Path::new(file), Path::new(out));
    let options = WriteOptions { overwrite: true, in_place: false };
    let data = whole(file)?;
    for _ in 0..rounds.parse()? {
        let began = Instant::now();
        match what.as_str() {
            "read" => drop(whole(file)?),
            "write" => write_new(out, &data, options)?,
            "convert" => write_new(out, &whole(file)?, options)?,
            other => return Err(format!("`{other}` is not timed").into()),
        }
        println!("{what} {:.4}", began.elapsed().as_secs_f64());
    }
    Ok(())
}
