//! Opening a file, and finding the way in it: what is wrong with a file that is not AnnData is said here.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::error::{DataError, DataErrorKind};
use super::formats::{self, Found};
use super::storage::zarr::{self, Store};
use super::storage::{self, Group, Node, Place, h5, heaps};

/// The first eight bytes of an HDF5 file, or those after its user block.
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
/// How many bytes of a file are searched for them, and hold the superblock.
const HEAD: u64 = 64 << 10;

fn unreadable(path: &Path, message: impl Into<String>) -> DataError {
    DataError::new(DataErrorKind::Unreadable, path, "", message)
}

/// What a path leads to.
pub(super) enum Opened {
    /// AnnData or MuData in a tree of groups and arrays.
    Tree(Group),
    /// Another format, read.
    Found(Found),
}

/// Opens whatever is at `path`.
pub(super) fn open(path: &Path) -> Result<Opened, DataError> {
    let size = match check_kind(path)? {
        Some(size) => size,
        None => return open_folder(path),
    };
    let head = read_head(path)?;
    if let Some(start) = signature_at(&head) {
        return open_hdf5(path, &head[start..], size);
    }
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if head.starts_with(b"PK") {
        return zarr_root(Store::zip(path)?, path);
    }
    if formats::fcs::is_fcs(&head) {
        return formats::fcs::read(path).map(Opened::Found);
    }
    if ends(&[".mtx"]) {
        return formats::mtx::read(path).map(Opened::Found);
    }
    if ends(&[".csv", ".tsv", ".txt", ".tab"]) {
        return formats::table::read(path).map(|data| Opened::Found(Found::One(Box::new(data))));
    }
    Err(not_known(path, &head, ends(&[".h5ad", ".h5mu", ".h5", ".hdf5", ".loom"])))
}

/// A folder: a zarr store, or the three files of a 10x matrix.
fn open_folder(path: &Path) -> Result<Opened, DataError> {
    if ["zarr.json", ".zgroup"].iter().any(|file| path.join(file).is_file()) {
        return zarr_root(Store::folder(path), path);
    }
    match formats::mtx::in_folder(path) {
        Some(matrix) => formats::mtx::read(&matrix).map(Opened::Found),
        None => Err(unreadable(path, "this folder is neither a zarr store nor holds one `matrix.mtx`")
            .with_help("name the data file itself")),
    }
}

fn zarr_root(store: Store, path: &Path) -> Result<Opened, DataError> {
    let place = Place::new(path, "");
    let Some(group) = zarr::Group::root(store, &place)? else {
        return Err(unreadable(path, "it holds no zarr group at its root"));
    };
    let root = Group::Zarr(group);
    if root.has("obs") && root.has("var") {
        return Ok(Opened::Tree(root));
    }
    let names = storage::member_names(&root, &place)?;
    Err(unreadable(
        path,
        format!("this is zarr but not AnnData: `obs` and `var` are expected, found {}", shorten(&names)),
    )
    .with_help("write it with adata.write_zarr(…)"))
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

/// Opens an HDF5 file whose superblock is given, and finds out which kind it is.
fn open_hdf5(path: &Path, superblock: &[u8], size: u64) -> Result<Opened, DataError> {
    hdf5::silence_errors(true);
    if let Some(end) = declared_end(superblock).filter(|&end| end > size) {
        return Err(unreadable(path, format!("the file is cut short: it has {size} bytes of {end}"))
            .with_help("it was not copied or written to its end: fetch or write it again"));
    }
    if lengths(superblock) != Some(8) {
        return Err(unreadable(path, "its superblock is damaged: lengths of 8 bytes are expected"));
    }
    let endless = heaps::endless(path).map_err(|e| unreadable(path, format!("it cannot be read: {e}")))?;
    if let Some(at) = endless {
        return Err(unreadable(path, format!("it is damaged: the heap of texts at byte {at} has no end"))
            .with_help("fetch the file again"));
    }
    let root = h5::patiently(|| hdf5::File::open(path)).and_then(|file| file.group("/")).map_err(|e| {
        unreadable(path, format!("HDF5 cannot open it: {}", storage::first_line(&e.to_string())))
            .with_help("the file may be damaged, or still open for writing elsewhere")
    })?;
    let root = Group::H5(root);
    if root.has("obs") && root.has("var") {
        return Ok(Opened::Tree(root));
    }
    if formats::loom::is_loom(&root) {
        return formats::loom::read(&root, path).map(|data| Opened::Found(Found::One(Box::new(data))));
    }
    if let Some(names) = formats::tenx::groups(&root, path) {
        return formats::tenx::read(&root, &names, path).map(Opened::Found);
    }
    let names = storage::member_names(&root, &Place::new(path, "")).unwrap_or_default();
    Err(unreadable(
        path,
        format!("this is HDF5 but not AnnData: `obs` and `var` are expected, found {}", shorten(&names)),
    )
    .with_help("write it with adata.write_h5ad(…)"))
}

/// The size in bytes of the regular file at `path`; `None` for a folder.
fn check_kind(path: &Path) -> Result<Option<u64>, DataError> {
    let about = fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => unreadable(path, "there is no such file"),
        std::io::ErrorKind::PermissionDenied => unreadable(path, "reading it is not permitted"),
        _ => unreadable(path, format!("it cannot be opened: {e}")),
    })?;
    if about.is_dir() {
        return Ok(None);
    }
    if !about.is_file() {
        return Err(unreadable(path, "it is not a regular file"));
    }
    Ok(Some(about.len()))
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

/// The error for a file of no known format; `named` says whether its name promises HDF5.
fn not_known(path: &Path, head: &[u8], named: bool) -> DataError {
    let found = match head {
        [] => "the file is empty",
        [0x1f, 0x8b, ..] => "it is compressed with gzip: unpack it first",
        _ if named => "it does not start as HDF5 files do",
        _ => "it starts like none of them",
    };
    let wanted = if named { "not an HDF5 file" } else { "not a format that is read" };
    unreadable(path, format!("{wanted}: {found}")).with_help(
        "read are .h5ad, .h5mu, .zarr and .zarr.zip, 10x .h5 and matrix.mtx, .loom, .csv, .tsv and .fcs",
    )
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

/// The width in bytes of the lengths in the file.
fn lengths(superblock: &[u8]) -> Option<u8> {
    let at = if superblock.get(8)? < &2 { 14 } else { 10 };
    superblock.get(at).copied()
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
