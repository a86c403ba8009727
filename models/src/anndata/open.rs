//! Opening a file, and finding the way in it: what is wrong with a file that is not AnnData is said here.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use hdf5::Group;

use super::error::{DataError, DataErrorKind};
use super::storage::{self, Node, Place};

/// The first eight bytes of an HDF5 file, or those after its user block.
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
/// How many bytes of a file are searched for them, and hold the superblock.
const HEAD: u64 = 64 << 10;

fn unreadable(path: &Path, message: impl Into<String>) -> DataError {
    DataError::new(DataErrorKind::Unreadable, path, "", message)
}

/// Opens the root group of an `.h5ad` or `.h5mu` file.
pub(super) fn open_root(path: &Path) -> Result<Group, DataError> {
    let root = open_hdf5(path)?;
    let has = |name: &str| root.link_exists(name);
    if has("obs") && has("var") {
        return Ok(root);
    }
    let (message, help) = if has("matrix") && has("row_attrs") {
        (
            "this is a loom file, not AnnData".to_owned(),
            "convert it: anndata.io.read_loom(…).write_h5ad(…)".to_owned(),
        )
    } else if has("matrix")
        || storage::member_names(&root, &Place::new(path, ""))
            .is_ok_and(|n| n.iter().any(|genome| root.link_exists(&format!("{genome}/barcodes"))))
    {
        (
            "this is a 10x Genomics matrix, not AnnData".to_owned(),
            "convert it: scanpy.read_10x_h5(…).write_h5ad(…)".to_owned(),
        )
    } else {
        let names = storage::member_names(&root, &Place::new(path, "")).unwrap_or_default();
        (
            format!("this is HDF5 but not AnnData: `obs` and `var` are expected, found {}", shorten(&names)),
            "write it with adata.write_h5ad(…)".to_owned(),
        )
    };
    Err(unreadable(path, message).with_help(help))
}

/// The modalities of a file in its order, with their groups; none for a file of one.
pub(super) fn modality_groups(root: &Group, path: &Path) -> Result<Vec<(String, Group)>, DataError> {
    let place = Place::new(path, "mod");
    let Some(Node::Group(group)) = storage::member(root, "mod", &place)? else { return Ok(Vec::new()) };
    let mut names = storage::member_names(&group, &place)?;
    let order = storage::attribute_texts(&group, "mod-order", &place).ok().flatten().unwrap_or_default();
    names.sort_by_key(|name| order.iter().position(|o| o == name).unwrap_or(order.len()));
    let mut found = Vec::new();
    for name in names {
        let place = Place::new(path, format!("mod.{name}"));
        match storage::member(&group, &name, &place)? {
            Some(Node::Group(modality)) => found.push((name, modality)),
            _ => return Err(place.malformed("a modality is expected, found an array")),
        }
    }
    Ok(found)
}

/// Opens any HDF5 file for reading and gives its root.
fn open_hdf5(path: &Path) -> Result<Group, DataError> {
    hdf5::silence_errors(true);
    let size = check_kind(path)?;
    let head = read_head(path)?;
    let Some(start) = signature_at(&head) else { return Err(not_hdf5(path, &head)) };
    if let Some(end) = declared_end(&head[start..]).filter(|&end| end > size) {
        return Err(unreadable(path, format!("the file is cut short: it has {size} bytes of {end}"))
            .with_help("it was not copied or written to its end: fetch or write it again"));
    }
    let root = hdf5::File::open(path).and_then(|file| file.group("/"));
    root.map_err(|e| {
        unreadable(path, format!("HDF5 cannot open it: {}", storage::first_line(&e.to_string())))
            .with_help("the file may be damaged, or still open for writing elsewhere")
    })
}

/// Checks that `path` is a regular file; gives its size in bytes.
fn check_kind(path: &Path) -> Result<u64, DataError> {
    let about = fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => unreadable(path, "there is no such file"),
        std::io::ErrorKind::PermissionDenied => unreadable(path, "reading it is not permitted"),
        _ => unreadable(path, format!("it cannot be opened: {e}")),
    })?;
    if about.is_dir() {
        let zarr = path.join(".zgroup").exists() || path.join("zarr.json").exists();
        let help =
            if zarr { "this is a zarr store: write it as .h5ad" } else { "name the .h5ad file itself" };
        return Err(unreadable(path, "it is a directory").with_help(help));
    }
    if !about.is_file() {
        return Err(unreadable(path, "it is not a regular file"));
    }
    Ok(about.len())
}

/// The first bytes of the file, as far as a superblock may start.
fn read_head(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head)).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => unreadable(path, "reading it is not permitted"),
        _ => unreadable(path, format!("it cannot be read: {e}")),
    })?;
    Ok(head)
}

/// Where the superblock starts: at 0, or after a user block of 512, 1024, … bytes, as `.h5mu` files have.
fn signature_at(head: &[u8]) -> Option<usize> {
    let starts = std::iter::once(0).chain((9..).map(|power| 1usize << power));
    starts.take_while(|&at| at + 8 <= head.len()).find(|&at| head[at..at + 8] == SIGNATURE)
}

fn not_hdf5(path: &Path, head: &[u8]) -> DataError {
    let found = match head {
        [] => "the file is empty",
        [0x1f, 0x8b, ..] => "it is compressed with gzip: unpack it first",
        [b'P', b'K', ..] => "it is a zip archive",
        _ => "it does not start as HDF5 files do",
    };
    unreadable(path, format!("not an HDF5 file: {found}"))
        .with_help("an .h5ad file is wanted, as adata.write_h5ad(…) writes it")
}

/// The size in bytes that a superblock says the file has; `None` where it is not understood.
fn declared_end(superblock: &[u8]) -> Option<u64> {
    let number = |at: usize, n: usize| -> Option<u64> {
        let bytes = superblock.get(at..at + n)?;
        Some(bytes.iter().rev().fold(0, |value, &b| value << 8 | u64::from(b)))
    };
    // Superblock 0 and 1: base, free space, end; 2 and 3: base, extension, end (HDF5 format specification, II.A).
    let (width_at, first) = match number(8, 1)? {
        0 => (13, 24),
        1 => (13, 28),
        2 | 3 => (9, 12),
        _ => return None,
    };
    let width = number(width_at, 1)? as usize;
    if width != 4 && width != 8 {
        return None;
    }
    number(first + 2 * width, width).filter(|&end| end < u64::MAX >> 1)
}

/// Names joined by commas, cut after twelve.
pub(super) fn shorten(names: &[String]) -> String {
    const SHOWN: usize = 12;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
