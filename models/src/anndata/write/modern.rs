//! Bringing a copy of an old file to the layout of today, where something is to be added to what it cannot grow.

use std::collections::BTreeMap;

use hdf5::Group;

use super::{Additions, Failure, encode};
use crate::anndata::AnnData;
use crate::anndata::column::Column;
use crate::anndata::error::DataError;
use crate::anndata::frame::{Frame, FrameHeader};
use crate::anndata::path::FieldPath;
use crate::anndata::records::Numbers;
use crate::anndata::tree::Tree;

/// A frame: its place, its labels, its columns.
type WholeFrame = (&'static str, FrameHeader, Vec<(String, Column)>);

/// What of an old file is to be written anew.
#[derive(Debug, Default)]
pub(super) struct Modern {
    frames: Vec<WholeFrame>,
    tables: Vec<(&'static str, BTreeMap<String, Numbers>)>,
}

impl Modern {
    /// Reads the parts of `data` that lie in one dataset of records, which cannot grow, and are to be added to.
    ///
    /// # Errors
    /// E0713 when they are damaged.
    pub fn of(data: &AnnData, tree: &Tree, additions: &Additions) -> Result<Self, DataError> {
        let mut out = Self::default();
        let columns = |names: &[String], path: fn(String) -> FieldPath| {
            let column = |name: &String| Ok((name.clone(), data.column(&path(name.clone()))?));
            names.iter().map(column).collect::<Result<Vec<_>, DataError>>()
        };
        if !additions.obs.is_empty() && matches!(tree.obs, Frame::Records(..)) {
            out.frames.push(("obs", data.obs.clone(), columns(data.obs_columns(), FieldPath::Obs)?));
        }
        if !additions.var.is_empty() && matches!(tree.var, Frame::Records(..)) {
            out.frames.push(("var", data.var.clone(), columns(data.var_columns(), FieldPath::Var)?));
        }
        for (part, asked) in [("obsm", &additions.obsm), ("varm", &additions.varm)] {
            if !asked.is_empty()
                && let Some(tables) = tree.old_tables(part, data.file())?
            {
                out.tables.push((part, tables));
            }
        }
        Ok(out)
    }

    /// Writes them under `root` in their places.
    pub fn put(&self, root: &Group) -> Result<(), Failure> {
        for (part, header, columns) in &self.frames {
            root.unlink(part)?;
            encode::put_frame(root, part, &header.index, columns)?;
            // The labels are in the frame now.
            if let Ok(uns) = root.group("uns") {
                for (name, _) in columns {
                    encode::clear(&uns, &format!("{name}_categories"))?;
                }
            }
        }
        for (part, tables) in &self.tables {
            root.unlink(part)?;
            let group = encode::put_group(root, part, "dict", "0.1.0")?;
            for (name, table) in tables {
                encode::put_numbers(&group, name, table)?;
            }
        }
        Ok(())
    }
}
