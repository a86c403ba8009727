//! Opening a file, and finding the way in it: what is wrong with a file that is not AnnData is said here.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use hdf5::Group;
use hdf5::types::TypeDescriptor;

use super::AnnData;
use super::error::{DataError, DataErrorKind};
use super::frame::Frame;
use super::matrix::Dense;
use super::path::FieldPath;
use super::records::Records;
use super::storage::{self, Node, Place};

/// The first eight bytes of an HDF5 file, or those after its user block.
const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
/// How many bytes of a file are searched for them, and hold the superblock.
const HEAD: u64 = 64 << 10;

fn unreadable(path: &Path, message: impl Into<String>) -> DataError {
    DataError::new(DataErrorKind::Unreadable, path, "", message)
}

/// Opens the root group of an `.h5ad` file.
pub(super) fn open_root(path: &Path) -> Result<Group, DataError> {
    let root = open_hdf5(path)?;
    let has = |name: &str| root.link_exists(name);
    if has("obs") && has("var") && !has("mod") {
        return Ok(root);
    }
    let (message, help) = if has("mod") {
        (
            "this is a MuData file: several modalities".to_owned(),
            format!("choose one of: {}", modality_list(&root)),
        )
    } else if has("matrix") && has("row_attrs") {
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

fn modality_list(root: &Group) -> String {
    let place = Place::new(Path::new(""), "mod");
    let names = root.group("mod").ok().and_then(|group| storage::member_names(&group, &place).ok());
    shorten(&names.unwrap_or_default())
}

/// Opens the group of modality `name` of an `.h5mu` file.
pub(super) fn open_modality_root(path: &Path, name: &str) -> Result<Group, DataError> {
    let root = open_hdf5(path)?;
    let place = Place::new(path, format!("mod/{name}"));
    let Some(Node::Group(group)) = storage::member(&root, "mod", &place)? else {
        return Err(unreadable(path, "this is not a MuData file: it has no modalities"));
    };
    match storage::member(&group, name, &place)? {
        Some(Node::Group(modality)) => Ok(modality),
        _ => Err(place
            .absent("there is no such modality")
            .with_help(format!("there are: {}", modality_list(&root)))),
    }
}

/// The modalities of the `.h5mu` file at `path`, sorted; none for an `.h5ad` file.
///
/// # Errors
/// E0712 when it cannot be opened.
pub fn modalities(path: &Path) -> Result<Vec<String>, DataError> {
    let root = open_hdf5(path)?;
    let place = Place::new(path, "mod");
    match storage::member(&root, "mod", &place)? {
        Some(Node::Group(group)) => storage::member_names(&group, &place),
        _ => Ok(Vec::new()),
    }
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

/// The frame `name` (`obs` or `var`) under `root`.
pub(super) fn frame(root: &Group, name: &str, path: &Path) -> Result<Frame, DataError> {
    let place = Place::new(path, name);
    let uns = match storage::member(root, "uns", &place)? {
        Some(Node::Group(uns)) => Some(uns),
        _ => None,
    };
    match storage::member(root, name, &place)? {
        Some(node) => Ok(Frame::new(node, uns)),
        None => Err(place.absent("it is missing, so this is not AnnData")),
    }
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

impl AnnData {
    /// The names in group `part`, sorted; fields of a record where it is of the old layout; none where it is absent.
    pub(super) fn names_in(&self, part: &str) -> Vec<String> {
        let place = Place::new(&self.file, part);
        let mut names = match storage::member(&self.root, part, &place) {
            Ok(Some(Node::Group(group))) => storage::member_names(&group, &place).unwrap_or_default(),
            Ok(Some(Node::Dataset(data))) => match storage::element_type(&data, &place) {
                Ok(TypeDescriptor::Compound(record)) => record
                    .fields
                    .iter()
                    .filter_map(|f| storage::utf8(f.name.as_bytes(), &place).ok())
                    .collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        names.sort();
        names
    }

    /// Member `name` (`X` or `var`) of `raw`; before anndata 0.7 it lay in `raw.X` or `raw.var` of the root.
    pub(super) fn raw_member(&self, name: &str) -> Result<Option<Node>, DataError> {
        let place = Place::new(&self.file, format!("raw.{name}"));
        if let Some(Node::Group(raw)) = storage::member(&self.root, "raw", &place)? {
            return storage::member(&raw, name, &place);
        }
        storage::member(&self.root, &format!("raw.{name}"), &place)
    }

    /// The group or dataset at `path`, other than a column.
    pub(super) fn node(&self, path: &FieldPath) -> Result<Option<Node>, DataError> {
        let place = Place::new(&self.file, path.to_string());
        let under = |part: &str, name: &str| match storage::member(&self.root, part, &place)? {
            Some(Node::Group(group)) => storage::member(&group, name, &place),
            _ => Ok(None),
        };
        match path {
            FieldPath::X => storage::member(&self.root, "X", &place),
            FieldPath::RawX => self.raw_member("X"),
            FieldPath::Layer(name) => under("layers", name),
            FieldPath::Obsm(name) => under("obsm", name),
            FieldPath::Varm(name) => under("varm", name),
            FieldPath::Obsp(name) => under("obsp", name),
            FieldPath::Varp(name) => under("varp", name),
            FieldPath::Uns(names) => {
                let mut node = storage::member(&self.root, "uns", &place)?;
                for name in names {
                    node = match node {
                        Some(Node::Group(group)) => storage::member(&group, name, &place)?,
                        _ => return Ok(None),
                    };
                }
                Ok(node)
            }
            _ => Ok(None),
        }
    }

    /// The table at `path` where `obsm` or `varm` is one dataset of records.
    pub(super) fn old_table(&self, path: &FieldPath) -> Result<Option<Dense>, DataError> {
        let (part, name) = match path {
            FieldPath::Obsm(name) => ("obsm", name),
            FieldPath::Varm(name) => ("varm", name),
            _ => return Ok(None),
        };
        let place = Place::new(&self.file, path.to_string());
        let Some(Node::Dataset(data)) = storage::member(&self.root, part, &place)? else { return Ok(None) };
        let records = Records::read(&data, &place)?;
        if !records.names().any(|n| n == name) {
            return Ok(None);
        }
        records.table(name, &place).map(Some)
    }
}
