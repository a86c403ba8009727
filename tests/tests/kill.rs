//! A process that is killed while it writes leaves the old file or the new one, and does not stop the next writer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use svi::anndata::{
    Additions, AnnData, Column, Csr, Dense, FieldPath, Matrix, NewAnnData, Values, WriteOptions, write_copy,
    write_new,
};

/// Kills in all.
const KILLS: usize = 200;
/// The latest moment of a kill after a writer has begun; a write takes about a tenth of it.
const LATEST: Duration = Duration::from_millis(120);
const KIND: &str = "SVIC_KILL_KIND";
const KINDS: [&str; 3] = ["new", "copy", "place"];
const N: usize = 400;
const M: usize = 300;

/// A file in which every part says which version it is.
fn version(v: i64) -> NewAnnData {
    let names = |letter: &str, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect::<Vec<_>>();
    let indptr = (0..=N as u64).map(|row| row * 20).collect();
    let indices = (0..N).flat_map(|row| (0..20).map(move |i| (i * 15 + row % 15) as u32)).collect();
    let x = Csr { n_rows: N, n_cols: M, indptr, indices, values: vec![v as f32; N * 20] };
    NewAnnData {
        obs_names: names("c", N),
        var_names: names("g", M),
        x: Some(Matrix::Csr(x)),
        parts: parts(v),
    }
}

fn parts(v: i64) -> Additions {
    let table = Dense { n_rows: N, n_cols: 30, values: vec![v as f32; N * 30] };
    Additions {
        obs: vec![("version".into(), Column::new(Values::Integer(vec![v; N])))],
        obsm: vec![("table".into(), table)],
        ..Additions::default()
    }
}

fn write(kind: &str, folder: &Path, v: i64) {
    let target = folder.join("target.h5ad");
    let options = |in_place: bool| WriteOptions { overwrite: !in_place, in_place };
    let written = match kind {
        "new" => write_new(&target, &version(v), options(false)),
        "copy" => write_copy(&folder.join("input.h5ad"), &target, &parts(v), options(false)),
        _ => write_copy(&target, &target, &parts(v), options(true)),
    };
    written.unwrap_or_else(|e| panic!("{e}"));
}

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    let Ok(kind) = std::env::var(KIND) else { return };
    let folder = PathBuf::from(std::env::var_os("SVIC_KILL_FOLDER").expect("a folder"));
    let done = folder.join("done");
    let first: i64 = fs::read_to_string(&done).expect("a number").trim().parse().expect("a number");
    for v in first + 1.. {
        write(&kind, &folder, v);
        fs::write(folder.join("done.new"), v.to_string()).expect("it can be written");
        fs::rename(folder.join("done.new"), &done).expect("it can be renamed");
    }
}

/// The version that every part of the target has.
fn found(folder: &Path, kind: &str) -> i64 {
    let data = AnnData::open(&folder.join("target.h5ad")).unwrap_or_else(|e| panic!("{kind}: {e}"));
    let Values::Integer(column) =
        data.column(&FieldPath::Obs("version".into())).expect("it can be done").values
    else {
        panic!("integers")
    };
    let v = column[0];
    assert!(column.len() == N && column.iter().all(|c| *c == v), "{kind}: {v}");
    let table = data.table(&FieldPath::Obsm("table".into())).expect("it can be done").values;
    assert!(table.values.len() == N * 30 && table.values.iter().all(|t| *t == v as f32), "{kind}: {v}");
    let x = data.matrix(&FieldPath::X).expect("it can be done");
    let wanted = if kind == "new" { v as f32 } else { 0.0 };
    assert!(x.values().len() == N * 20 && x.values().iter().all(|t| *t == wanted), "{kind}: {v}");
    v
}

fn kill_many(kind: &str, kills: usize) -> (usize, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write_new(&folder.join("input.h5ad"), &version(0), WriteOptions::default()).expect("it can be done");
    fs::copy(folder.join("input.h5ad"), folder.join("target.h5ad")).expect("it can be done");
    fs::write(folder.join("done"), "0").expect("it can be done");
    let (mut old, mut new, mut state) = (0, 0, 0x2545_f491_4f6c_dd1d_u64);
    for _ in 0..kills {
        let mut child = Command::new(std::env::current_exe().expect("the test binary knows where it is"))
            .args(["--exact", "kill::child"])
            .env(KIND, kind)
            .env("SVIC_KILL_FOLDER", folder)
            .env("HDF5_USE_FILE_LOCKING", "FALSE")
            .stdout(Stdio::null())
            .spawn()
            .expect("the test binary runs");
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(LATEST.mul_f64((state >> 33) as f64 / (1u64 << 31) as f64));
        assert!(child.try_wait().expect("it can be asked").is_none(), "{kind}: the writer stopped by itself");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        let done: i64 = fs::read_to_string(folder.join("done"))
            .expect("it can be done")
            .trim()
            .parse()
            .expect("it can be done");
        match found(folder, kind) - done {
            0 => old += 1,
            1 => new += 1,
            n => panic!("{kind}: version {n} beyond the last that was whole"),
        }
        fs::write(folder.join("done"), found(folder, kind).to_string()).expect("it can be done");
    }
    // The next writer is not held up, and clears away what the dead ones left.
    write(kind, folder, -1);
    assert_eq!(found(folder, kind), -1);
    assert_eq!(crate::command::files(folder).iter().filter(|name| name.starts_with('.')).count(), 0);
    (old, new)
}

#[test]
fn a_killed_writer_leaves_the_old_file_or_the_new() {
    if std::env::var_os(KIND).is_some() {
        return;
    }
    let each = KILLS.div_ceil(KINDS.len());
    std::thread::scope(|scope| {
        let all: Vec<_> =
            KINDS.iter().map(|kind| scope.spawn(move || (kind, kill_many(kind, each)))).collect();
        for one in all {
            let (kind, (old, new)) = one.join().expect("it can be done");
            println!("{kind}: {each} kills, {old} old files, {new} new files not yet noted");
        }
    });
}
