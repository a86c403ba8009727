//! A tree of groups and arrays as anndata lays it out: `X`, `layers`, `obs`, `obsm`, … under one root.

use std::collections::BTreeMap;
use std::path::Path;

use super::Table;
use super::column::Column;
use super::error::DataError;
use super::frame::{self, Frame, FrameHeader};
use super::matrix::{Dense, Matrix};
use super::path::FieldPath;
use super::records::{self, Numbers, Records};
use super::rows::RowReader;
use super::sparse;
use super::storage::{self, Group, Node, Place};
use super::uns::{self, UnsValue};

/// What `uns.neighbors` held that is in `obsp` now.
const NEIGHBOURS: [&str; 2] = ["connectivities", "distances"];

/// The root of one AnnData in a file, its two frames found. Every answer is `None` where there is no such field;
/// shapes are not compared with `obs` and `var` here.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// The group that holds everything.
    pub root: Group,
    /// The frame of cells.
    pub obs: Frame,
    /// The frame of genes.
    pub var: Frame,
}

impl Tree {
    /// The AnnData under `root`; `prefix` is its path in messages.
    pub fn new(path: &Path, prefix: &str, root: Group) -> Result<Self, DataError> {
        let uns = match storage::member(&root, "uns", &Place::new(path, format!("{prefix}uns")))? {
            Some(Node::Group(uns)) => Some(uns),
            _ => None,
        };
        let frame = |name: &str| {
            let place = Place::new(path, format!("{prefix}{name}"));
            match storage::member(&root, name, &place)? {
                Some(node) => Ok(Frame::new(node, uns.clone())),
                None => Err(place.absent("it is missing, so this is not AnnData")),
            }
        };
        let (obs, var) = (frame("obs")?, frame("var")?);
        Ok(Self { root, obs, var })
    }

    /// Whether it lies in an HDF5 file, which can be copied and added to.
    pub fn is_hdf5(&self) -> bool {
        matches!(self.root, Group::H5(_))
    }

    /// Labels and columns of `obs` and of `var`.
    pub fn headers(&self, path: &Path, prefix: &str) -> Result<(FrameHeader, FrameHeader), DataError> {
        let place = |name: &str| Place::new(path, format!("{prefix}{name}"));
        Ok((self.obs.header(&place("obs"))?, self.var.header(&place("var"))?))
    }

    /// For each cell of the whole file its row in a modality plus one, 0 where it lacks it; `None` where the file
    /// says nothing.
    pub fn row_map(&self, modality: &str, place: &Place<'_>) -> Result<Option<Vec<i64>>, DataError> {
        let Some(Node::Group(maps)) = storage::member(&self.root, "obsmap", place)? else { return Ok(None) };
        match storage::member(&maps, modality, place)? {
            Some(Node::Dataset(data)) => storage::read_i64(&data, place).map(|(rows, _)| Some(rows)),
            _ => Ok(None),
        }
    }

    /// The names in group `part`, sorted; fields of a record where it is of the old layout; none where it is absent.
    pub fn names_in(&self, part: &str) -> Vec<String> {
        let place = Place::new(Path::new(""), part);
        if part == "obsp" && !self.root.has("obsp") {
            let old = |name: &&&str| matches!(self.old_neighbours(name, &place), Ok(Some(_)));
            return NEIGHBOURS.iter().filter(old).map(|name| (*name).to_owned()).collect();
        }
        let mut names = match storage::member(&self.root, part, &place) {
            Ok(Some(Node::Group(group))) => storage::member_names(&group, &place).unwrap_or_default(),
            Ok(Some(Node::Dataset(data))) => records::field_names(&data, &place),
            _ => Vec::new(),
        };
        names.sort();
        names
    }

    /// Whether there is something at `path`.
    pub fn contains(&self, path: &FieldPath, place: &Place<'_>) -> bool {
        matches!(self.node(path, place), Ok(Some(_)))
    }

    /// The header of `raw.var`.
    pub fn raw_var(&self, place: &Place<'_>) -> Result<Option<FrameHeader>, DataError> {
        self.raw_member("var", place)?.map(|node| Frame::new(node, None).header(place)).transpose()
    }

    /// Reads a matrix.
    pub fn matrix(&self, path: &FieldPath, place: &Place<'_>) -> Result<Option<Matrix>, DataError> {
        self.node(path, place)?.map(|node| sparse::read_matrix(&node, place)).transpose()
    }

    /// The shape of a matrix.
    pub fn matrix_shape(
        &self,
        path: &FieldPath,
        place: &Place<'_>,
    ) -> Result<Option<(usize, usize)>, DataError> {
        self.node(path, place)?.map(|node| sparse::matrix_shape(&node, place)).transpose()
    }

    /// A reader of rows of a matrix.
    pub fn row_reader(
        &self,
        path: &FieldPath,
        memory: usize,
        place: &Place<'_>,
    ) -> Result<Option<RowReader>, DataError> {
        self.node(path, place)?.map(|node| sparse::row_reader(&node, memory, place)).transpose()
    }

    /// Some of the stored values of a matrix: `None` if they cannot be read.
    pub fn probe(&self, path: &FieldPath, n: usize, place: &Place<'_>) -> Option<Vec<f32>> {
        let node = self.node(path, place).ok()??;
        let data = sparse::values_of(&node, place).ok()?;
        storage::first_f32(&data, n, place).ok()
    }

    /// Reads a column of `obs`, `var` or `raw.var`.
    pub fn column(&self, path: &FieldPath, place: &Place<'_>) -> Result<Option<Column>, DataError> {
        match path {
            FieldPath::Obs(name) => self.obs.column(name, place),
            FieldPath::Var(name) => self.var.column(name, place),
            FieldPath::RawVar(name) => match self.raw_member("var", place)? {
                Some(node) => Frame::new(node, None).column(name, place),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// Reads a table of `obsm` or `varm`: a data frame, an array of one or two axes, a sparse matrix, or a field of
    /// records.
    pub fn table(&self, path: &FieldPath, place: &Place<'_>) -> Result<Option<Table>, DataError> {
        let values = match self.node(path, place)? {
            Some(Node::Group(group)) => {
                if storage::attribute_text(&group, "encoding-type", place).as_deref() == Some("dataframe") {
                    return frame::numbers_of(&Frame::Group(group), place).map(Some);
                }
                sparse::read_table(&group, place)?
            }
            Some(Node::Dataset(data)) if data.ndim() == 1 => {
                let (values, shape) = storage::read_f32(&data, place)?;
                Dense { n_rows: shape[0], n_cols: 1, values }
            }
            Some(node) => sparse::read_matrix(&node, place)?.to_dense(),
            None => match self.old_table(path, place)? {
                Some(values) => values,
                None => return Ok(None),
            },
        };
        Ok(Some(Table { labels: None, values }))
    }

    /// Reads something from `uns`.
    pub fn uns(&self, path: &FieldPath, place: &Place<'_>) -> Result<Option<UnsValue>, DataError> {
        self.node(path, place)?.map(|node| uns::read(&node, place)).transpose()
    }

    /// Member `name` (`X` or `var`) of `raw`; before anndata 0.7 it lay in `raw.X` or `raw.var` of the root.
    fn raw_member(&self, name: &str, place: &Place<'_>) -> Result<Option<Node>, DataError> {
        if let Some(Node::Group(raw)) = storage::member(&self.root, "raw", place)? {
            return storage::member(&raw, name, place);
        }
        storage::member(&self.root, &format!("raw.{name}"), place)
    }

    /// The group or dataset at `path`, other than a column.
    fn node(&self, path: &FieldPath, place: &Place<'_>) -> Result<Option<Node>, DataError> {
        let under = |part: &str, name: &str| match storage::member(&self.root, part, place)? {
            Some(Node::Group(group)) => storage::member(&group, name, place),
            _ => Ok(None),
        };
        match path {
            FieldPath::X => storage::member(&self.root, "X", place),
            FieldPath::RawX => self.raw_member("X", place),
            FieldPath::Layer(name) => under("layers", name),
            FieldPath::Obsm(name) => under("obsm", name),
            FieldPath::Varm(name) => under("varm", name),
            FieldPath::Obsp(name) if self.root.has("obsp") => under("obsp", name),
            FieldPath::Obsp(name) => self.old_neighbours(name, place),
            FieldPath::Varp(name) => under("varp", name),
            FieldPath::Uns(names) => {
                let mut node = storage::member(&self.root, "uns", place)?;
                for name in names {
                    node = match node {
                        Some(Node::Group(group)) => storage::member(&group, name, place)?,
                        _ => return Ok(None),
                    };
                }
                Ok(node)
            }
            _ => Ok(None),
        }
    }

    /// Before anndata 0.7 graphs of cells lay in `uns.neighbors`.
    fn old_neighbours(&self, name: &str, place: &Place<'_>) -> Result<Option<Node>, DataError> {
        if !NEIGHBOURS.contains(&name) {
            return Ok(None);
        }
        let Some(Node::Group(uns)) = storage::member(&self.root, "uns", place)? else { return Ok(None) };
        match storage::member(&uns, "neighbors", place)? {
            Some(Node::Group(neighbours)) => storage::member(&neighbours, name, place),
            _ => Ok(None),
        }
    }

    /// All tables of `part` (`obsm` or `varm`) where it is one dataset of records; `None` where it is not.
    pub fn old_tables(
        &self,
        part: &str,
        file: &Path,
    ) -> Result<Option<BTreeMap<String, Numbers>>, DataError> {
        let place = Place::new(file, part);
        let Some(Node::Dataset(data)) = storage::member(&self.root, part, &place)? else { return Ok(None) };
        let records = Records::read(&data, &place)?;
        let table = |name: &str| Ok((name.to_owned(), records.numbers(name, &place.child(name))?));
        records.names().map(table).collect::<Result<_, _>>().map(Some)
    }

    /// The table at `path` where `obsm` or `varm` is one dataset of records.
    fn old_table(&self, path: &FieldPath, place: &Place<'_>) -> Result<Option<Dense>, DataError> {
        let (part, name) = match path {
            FieldPath::Obsm(name) => ("obsm", name),
            FieldPath::Varm(name) => ("varm", name),
            _ => return Ok(None),
        };
        let Some(Node::Dataset(data)) = storage::member(&self.root, part, place)? else { return Ok(None) };
        let records = Records::read(&data, place)?;
        if !records.names().any(|n| n == name) {
            return Ok(None);
        }
        records.numbers(name, place).map(|numbers| Some(numbers.to_dense()))
    }
}
