//! What a run is given, checked against the declarations.

use super::recorder::wide;
use crate::element::Element;
use crate::graph::{Dtype, Graph, InputDecl, NodeId, Storage};
use crate::op::Op;
use crate::store::{CsrView, Feed, RunError, Variables};

/// The data of an input.
pub(super) enum Fed<E> {
    /// Real elements, dense.
    Real(Vec<E>),
    /// Indices.
    Index(Vec<u32>),
}

/// The data of input `i`; a sparse feed is made dense.
pub(super) fn feed<E: Element>(g: &Graph, feeds: &[Feed<'_, E>], i: usize) -> Result<Fed<E>, RunError> {
    let decl = &g.inputs()[i];
    let n = g.n_elements(&decl.axes);
    match feeds.get(i) {
        Some(Feed::Dense(v)) if v.len() == n && decl.dtype == Dtype::Real => Ok(Fed::Real(v.to_vec())),
        Some(Feed::Index(v)) if v.len() == n && decl.dtype == Dtype::Index => Ok(Fed::Index(v.to_vec())),
        Some(Feed::Csr(m)) if decl.storage == Storage::Csr => {
            let sizes: Vec<usize> = decl.axes.iter().map(|a| g.size(a)).collect();
            densify(m, sizes[0], sizes[1]).map(Fed::Real).map_err(|found| mismatch(decl, n, found))
        }
        other => Err(mismatch(decl, n, describe(other))),
    }
}

fn mismatch(decl: &InputDecl, n: usize, found: String) -> RunError {
    let expected = match (decl.dtype, decl.storage) {
        (Dtype::Index, _) => format!("{n} indices"),
        (Dtype::Real, Storage::Dense) => format!("{n} elements"),
        (Dtype::Real, Storage::Csr) => format!("sparse rows of {n} elements in all"),
    };
    RunError::Feed { name: decl.name.clone(), expected, found }
}

fn describe<E>(feed: Option<&Feed<'_, E>>) -> String {
    match feed {
        None => "nothing".to_owned(),
        Some(Feed::Dense(v)) => format!("{} elements", v.len()),
        Some(Feed::Index(v)) => format!("{} indices", v.len()),
        Some(Feed::Csr(m)) => format!("{} sparse rows", m.offsets.len().saturating_sub(1)),
    }
}

fn densify<E: Element>(m: &CsrView<'_, E>, n_rows: usize, n_columns: usize) -> Result<Vec<E>, String> {
    if m.offsets.len() != n_rows + 1 {
        return Err(format!("{} row offsets for {n_rows} rows", m.offsets.len()));
    }
    let stored = m.columns.len();
    if stored != m.values.len() {
        return Err(format!("{stored} columns for {} values", m.values.len()));
    }
    let mut out = vec![E::default(); n_rows * n_columns];
    for (row, bounds) in m.offsets.windows(2).enumerate() {
        if bounds[0] > bounds[1] || bounds[1] > stored {
            return Err(format!("row offsets {} to {} in {stored} stored elements", bounds[0], bounds[1]));
        }
        for k in bounds[0]..bounds[1] {
            let column = m.columns[k] as usize;
            if column >= n_columns {
                return Err(format!("column {column} in a row of {n_columns}"));
            }
            out[row * n_columns + column] = m.values[k];
        }
    }
    Ok(out)
}

/// The elements of variable `i`.
pub(super) fn variable<E: Element>(
    g: &Graph,
    variables: &Variables<E>,
    i: usize,
) -> Result<Vec<E>, RunError> {
    let decl = &g.variables()[i];
    let expected = g.n_elements(&decl.axes);
    match variables.get(&decl.name) {
        Some(v) if v.len() == expected => Ok(v.to_vec()),
        found => {
            Err(RunError::Variable { name: decl.name.clone(), expected, found: found.map_or(0, <[E]>::len) })
        }
    }
}

/// Checks that every index is smaller than `size`; an error names the input that `node` was read from.
pub(super) fn check_range(g: &Graph, node: NodeId, index: &[u32], size: usize) -> Result<(), RunError> {
    match index.iter().find(|i| **i as usize >= size) {
        Some(&index) => Err(RunError::Index { name: source_of(g, node), index, size }),
        None => Ok(()),
    }
}

fn source_of(g: &Graph, node: NodeId) -> String {
    match &g.node(node).op {
        Op::Input(id) => g.inputs()[id.index()].name.clone(),
        Op::Stop(x) => source_of(g, *x),
        Op::Broadcast { input, .. } | Op::Rename { input, .. } => source_of(g, *input),
        Op::Gather { table, .. } => source_of(g, *table),
        _ => format!("node {}", node.index()),
    }
}

/// All elements as doubles.
pub(super) fn widen<E: Element>(x: &[E]) -> Vec<f64> {
    x.iter().map(|v| wide(*v)).collect()
}
