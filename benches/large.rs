//! Writes a large file of made-up counts row block by row block, so that it need not fit in memory:
//! `cargo run --release -p svic-benches --example large -- OUT.h5ad CELLS GENES STORED_PER_CELL`.
//!
//! Cells are of eight kinds, which prefer different genes; two batches. Stored as anndata does without compression.

use hdf5::types::VarLenUnicode;
use hdf5::{File, Group, H5Type, Location};

type Done = hdf5::Result<()>;

/// Cells written at a time.
const BLOCK: usize = 1 << 14;

fn stamp(at: &Location, kind: &str, version: &str) -> Done {
    for (name, text) in [("encoding-type", kind), ("encoding-version", version)] {
        let text: VarLenUnicode = text.parse().map_err(|_| "no NUL in a name")?;
        at.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&text)?;
    }
    Ok(())
}

fn frame(root: &Group, name: &str, letter: &str, n: usize) -> hdf5::Result<Group> {
    let made = root.create_group(name)?;
    stamp(&made, "dataframe", "0.2.0")?;
    let index: VarLenUnicode = "_index".parse().map_err(|_| "no NUL in a name")?;
    made.new_attr::<VarLenUnicode>().create("_index")?.write_scalar(&index)?;
    let data = made.new_dataset::<VarLenUnicode>().chunk([BLOCK.min(n)]).shape([n]).create("_index")?;
    for from in (0..n).step_by(BLOCK) {
        let to = (from + BLOCK).min(n);
        let names: Result<Vec<VarLenUnicode>, _> =
            (from..to).map(|i| format!("{letter}{i}").parse()).collect();
        let names = names.map_err(|_| "no NUL in a name")?;
        data.write_slice(&names, ndarray::s![from..to])?;
    }
    stamp(&data, "string-array", "0.2.0")?;
    Ok(made)
}

fn texts(at: &Location, name: &str, all: &[&str]) -> Done {
    let all: Result<Vec<VarLenUnicode>, _> = all.iter().map(|t| t.parse()).collect();
    let all = all.map_err(|_| "no NUL in a name")?;
    at.new_attr::<VarLenUnicode>().shape([all.len()]).create(name)?.write_raw(&all)
}

fn array<T: H5Type>(at: &Group, name: &str, values: &[T]) -> Done {
    let data = at.new_dataset::<T>().shape([values.len()]).create(name)?;
    data.write_raw(values)?;
    stamp(&data, "array", "0.2.0")
}

fn write(path: &str, n: usize, m: usize, stored: usize) -> Done {
    let file = File::create(path)?;
    stamp(&file, "anndata", "0.1.0")?;
    let obs = frame(&file, "obs", "cell", n)?;
    texts(&obs, "column-order", &["batch"])?;
    let batch = obs.create_group("batch")?;
    stamp(&batch, "categorical", "0.2.0")?;
    batch.new_attr::<bool>().create("ordered")?.write_scalar(&false)?;
    array(&batch, "codes", &(0..n).map(|i| (i % 2) as i8).collect::<Vec<_>>())?;
    let labels = [String::from("a"), String::from("b")].map(|t| t.parse().unwrap_or_default());
    array::<VarLenUnicode>(&batch, "categories", &labels)?;
    let var = frame(&file, "var", "gene", m)?;
    texts(&var, "column-order", &[])?;
    let x = file.create_group("X")?;
    stamp(&x, "csr_matrix", "0.1.0")?;
    x.new_attr::<i64>().shape([2]).create("shape")?.write_raw(&[n as i64, m as i64])?;
    let total = n * stored;
    let data = x.new_dataset::<f32>().shape([total]).create("data")?;
    let indices = x.new_dataset::<i32>().shape([total]).create("indices")?;
    x.new_dataset::<i64>()
        .shape([n + 1])
        .create("indptr")?
        .write_raw(&(0..=n).map(|row| (row * stored) as i64).collect::<Vec<_>>())?;
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let width = m / stored;
    for from in (0..n).step_by(BLOCK) {
        let to = (from + BLOCK).min(n);
        let (mut values, mut columns) = (Vec::new(), Vec::new());
        for _ in from..to {
            let kind = next() % 8;
            for k in 0..stored {
                // One gene of each stretch of them; the first of it more often.
                columns.push((k * width + (next() % width).min(next() % width)) as i32);
                let mean = 1 + if k % 8 == kind { 6 } else { 0 };
                values.push((1 + next() % (2 * mean)) as f32);
            }
        }
        data.write_slice(&values, ndarray::s![from * stored..to * stored])?;
        indices.write_slice(&columns, ndarray::s![from * stored..to * stored])?;
    }
    file.close()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, n, m, stored] = args.as_slice() else {
        return Err("OUT.h5ad CELLS GENES STORED_PER_CELL".into());
    };
    let (n, m, stored): (usize, usize, usize) = (n.parse()?, m.parse()?, stored.parse()?);
    if stored == 0 || stored > m {
        return Err("from 1 to GENES values are stored per cell".into());
    }
    Ok(write(path, n, m, stored)?)
}
