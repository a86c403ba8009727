//! Files of every format that claim sizes which no machine has: they are refused before memory is taken.

use super::archive::{gzip, zip};
use super::files;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use svi::anndata::{Csr, Dense, Matrix, NewAnnData, WriteOptions, write_new};

const FILE: &str = "SVIC_ABSURD";
/// The most memory that reading one may ever hold, in KiB; the program itself takes about a quarter of it.
const MOST: usize = 200 << 10;

/// Not a test of its own: the process that reads one file.
#[test]
fn child() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let read = files::reader(Path::new(&file)).is_some();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    println!("{} peak {}", if read { "opened" } else { "refused" }, peak.trim());
}

#[test]
fn absurd_sizes_take_no_memory() {
    if std::env::var_os(FILE).is_some() || !Path::new("/proc/self/status").exists() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let all = made(folder.path());
    assert!(all.len() >= 20);
    for file in all {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        // Bounded in any case, so that a failure of this test is not one of the machine.
        let script = "ulimit -c 0; ulimit -v 4000000; exec \"$0\" --exact mutants::absurd::child --nocapture";
        let out = Command::new("sh")
            .args(["-c", script])
            .arg(std::env::current_exe().expect("the test binary knows where it is"))
            .env(FILE, &file)
            .env("HDF5_USE_FILE_LOCKING", "FALSE")
            .output()
            .expect("the test binary runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{name}: {text}");
        let peak = text.lines().find_map(|l| l.split_once(" peak ")).map(|(_, n)| n);
        let peak: usize =
            peak.and_then(|n| n.trim_end_matches(" kB").parse().ok()).expect("it says its peak");
        assert!((1..MOST).contains(&peak), "{name}: {peak} KiB: {text}");
    }
}

fn small(folder: &Path, name: &str, sparse: bool) -> PathBuf {
    let names = |letter: &str, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect();
    let csr =
        Csr { n_rows: 3, n_cols: 2, indptr: vec![0, 1, 2, 3], indices: vec![0, 1, 0], values: vec![1.0; 3] };
    let dense = Dense { n_rows: 3, n_cols: 2, values: vec![1.0; 6] };
    let x = if sparse { Matrix::Csr(csr) } else { Matrix::Dense(dense) };
    let data = NewAnnData {
        obs_names: names("c", 3),
        var_names: names("g", 2),
        x: Some(x),
        ..NewAnnData::default()
    };
    let path = folder.join(name);
    write_new(&path, &data, WriteOptions::default()).expect("it can be written");
    path
}

/// Puts at `name` a dataset of this shape of which nothing is stored.
fn claim<T: hdf5::H5Type>(file: &hdf5::File, name: &str, shape: &[usize], packed: bool) {
    let (group, name) = name.rsplit_once('/').unwrap_or(("/", name));
    let group = file.group(group).expect("a group");
    if group.link_exists(name) {
        group.unlink(name).expect("it can be replaced");
    }
    let mut chunk = vec![1; shape.len()];
    *chunk.last_mut().expect("an axis") = shape[shape.len() - 1].min(1 << 20);
    let made = group.new_dataset::<T>().chunk(chunk);
    let made = if packed { made.deflate(9) } else { made };
    made.shape(shape.to_vec()).create(name).expect("it can be made");
}

fn edited(folder: &Path, name: &str, sparse: bool, edit: impl FnOnce(&hdf5::File)) -> PathBuf {
    let path = small(folder, name, sparse);
    let file = crate::command::open_rw(&path);
    edit(&file);
    file.close().expect("it can be closed");
    path
}

fn new_h5(folder: &Path, name: &str, edit: impl FnOnce(&hdf5::File)) -> PathBuf {
    let path = folder.join(name);
    let file = hdf5::File::create(&path).expect("it can be made");
    edit(&file);
    file.close().expect("it can be closed");
    path
}

/// A file of each kind for each size that it claims.
fn made(folder: &Path) -> Vec<PathBuf> {
    let text = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("it can be written");
        path
    };
    let mut all = of_hdf5(folder);
    let header = "%%MatrixMarket matrix coordinate integer general\n";
    let lines = format!("{header}4294967295 4294967295 999999999999\n1 1 1\n");
    all.push(text("entries.mtx", lines.as_bytes()));
    all.push(text("rows.mtx", format!("{header}99999999999999 3 1\n1 1 1\n").as_bytes()));
    all.push(text(
        "most.mtx",
        format!("{header}18446744073709551615 18446744073709551615 1\n1 1 1\n").as_bytes(),
    ));
    // A line of 300 million blanks in 300 kB.
    all.push(text("endless.mtx.gz", &gzip(&[header.as_bytes(), &vec![b' '; 300_000_000]].concat())));
    all.push(text("endless.csv.gz", &gzip(&[b"a,b\n".as_slice(), &vec![b'1'; 300_000_000]].concat())));
    for (name, tot, par) in [("events.fcs", "9999999999999999", "1"), ("channels.fcs", "1", "99999999999")] {
        let body = format!(
            "/$MODE/L/$DATATYPE/I/$BYTEORD/1,2,3,4/$PAR/{par}/$TOT/{tot}/$P1B/32/$P1R/1024/$P1N/a/$NEXTDATA/0/"
        );
        let end = 57 + body.len();
        let head = format!("FCS3.0    {:>8}{end:>8}{:>8}{:>8}{:>8}{:>8}", 58, end + 1, 99_999_999, 0, 0);
        all.push(text(name, (head + &body + "1234").as_bytes()));
    }
    let text_end = "FCS3.0          58999999990000000000000000000000000000000000";
    all.push(text("text.fcs", format!("{text_end}/$PAR/1/").as_bytes()));
    all.extend(of_zarr(folder));
    all
}

fn of_hdf5(folder: &Path) -> Vec<PathBuf> {
    let texts = |f: &hdf5::File, at: &str| claim::<hdf5::types::VarLenUnicode>(f, at, &[1 << 40], false);
    let mut all = vec![
        edited(folder, "cells.h5ad", true, |f| texts(f, "obs/_index")),
        edited(folder, "genes.h5ad", false, |f| texts(f, "var/_index")),
        edited(folder, "dense.h5ad", false, |f| claim::<f32>(f, "X", &[1 << 31, 1 << 31], true)),
        edited(folder, "wide.h5ad", false, |f| claim::<f32>(f, "X", &[3, 1 << 40], true)),
        edited(folder, "codes.h5ad", true, |f| claim::<i8>(f, "obs/batch", &[1 << 45], true)),
        edited(folder, "shape.h5ad", true, |f| {
            let x = f.group("X").expect("a group");
            x.delete_attr("shape").expect("it is there");
            let shape = [i64::from(u32::MAX); 2];
            x.new_attr::<i64>()
                .shape([2])
                .create("shape")
                .expect("an attribute")
                .write_raw(&shape)
                .expect("it fits");
        }),
    ];
    for part in ["data", "indices", "indptr"] {
        for packed in [false, true] {
            all.push(edited(folder, &format!("{part}{packed}.h5ad"), true, |f| {
                claim::<i64>(f, &format!("X/{part}"), &[1 << 36], packed);
            }));
        }
    }
    all.push(new_h5(folder, "tenx.h5", |f| {
        let matrix = f.create_group("matrix").expect("a group");
        for part in ["data", "indices", "indptr"] {
            claim::<i32>(f, &format!("matrix/{part}"), &[1 << 38], true);
        }
        let shape = matrix.new_dataset::<i64>().shape([2]).create("shape").expect("a dataset");
        shape.write_raw(&[1i64 << 31, 1 << 31]).expect("it fits");
        matrix.create_group("features").expect("a group");
        for part in ["barcodes", "features/id", "features/name", "features/feature_type"] {
            texts(f, &format!("matrix/{part}"));
        }
    }));
    all.push(new_h5(folder, "made.loom", |f| {
        claim::<f32>(f, "matrix", &[1 << 31, 1 << 31], true);
        for group in ["row_attrs", "col_attrs", "layers"] {
            f.create_group(group).expect("a group");
        }
        texts(f, "row_attrs/Gene");
        texts(f, "col_attrs/CellID");
    }));
    all
}

/// Stores of zarr 2 and 3 whose arrays claim what they do not hold.
fn of_zarr(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![];
    for (name, chunk) in [("whole", "1099511627776"), ("chunked", "1000")] {
        let group = br#"{"zarr_format": 2}"#.to_vec();
        let array = format!(
            r#"{{"zarr_format": 2, "shape": [1099511627776], "chunks": [{chunk}], "dtype": "<i8", "compressor": null, "fill_value": 0, "filters": null, "order": "C"}}"#
        );
        let frame = br#"{"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "i", "column-order": []}"#;
        let mut entries = vec![(".zgroup".to_owned(), group.clone())];
        for part in ["obs", "var"] {
            entries.push((format!("{part}/.zgroup"), group.clone()));
            entries.push((format!("{part}/.zattrs"), frame.to_vec()));
            entries.push((format!("{part}/i/.zarray"), array.clone().into_bytes()));
            entries.push((format!("{part}/i/0"), vec![0; 64]));
        }
        let path = folder.join(format!("{name}.zarr.zip"));
        fs::write(&path, zip(&entries)).expect("it can be written");
        all.push(path);
    }
    all
}
