//! Any bytes as a data file; the first says which format the name claims.
#![no_main]

#[path = "../src/files.rs"]
mod files;

const ENDINGS: [&str; 9] = ["h5ad", "h5mu", "h5", "loom", "zip", "csv", "tsv", "mtx", "fcs"];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let folder = std::env::temp_dir().join(format!("svic-fuzz-{}", std::process::id()));
    let path = folder.join("any").with_extension(ENDINGS[usize::from(*first) % ENDINGS.len()]);
    if std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, rest)).is_ok() {
        let _ = files::reader(&path);
        let _ = files::copier(&path, &folder.join("copy.h5ad"));
    }
    let _ = std::fs::remove_dir_all(&folder);
});
