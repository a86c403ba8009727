//! Checks of what a run is given, so that nothing behind them can reach out of bounds.

use crate::element::Element;
use crate::graph::{Dtype, Graph, InputDecl, NodeId, Storage};
use crate::op::Op;
use crate::store::{CsrView, Feed, RunError};

/// For each index input, the smallest size among the axes that it looks up.
pub(crate) fn index_limits(g: &Graph) -> Vec<usize> {
    let mut limits = vec![usize::MAX; g.inputs().len()];
    // Inputs that an index value is copied from, unchanged.
    let mut source: Vec<Vec<usize>> = vec![vec![]; g.nodes().len()];
    for id in g.node_ids() {
        let of = |x: NodeId| source[x.index()].clone();
        source[id.index()] = match &g.node(id).op {
            Op::Input(i) if g.inputs()[i.index()].dtype == Dtype::Index => vec![i.index()],
            Op::Rename { input, .. } | Op::Broadcast { input, .. } => of(*input),
            Op::Stop(x) => of(*x),
            Op::Gather { table, .. } if g.node(id).dtype == Dtype::Index => of(*table),
            _ => vec![],
        };
        if let Op::Gather { index, axis, .. } | Op::ScatterAdd { index, axis, .. } = &g.node(id).op {
            for i in &source[index.index()] {
                limits[*i] = limits[*i].min(g.size(*axis));
            }
        }
    }
    limits
}

/// Checks every feed against its declaration.
pub(crate) fn check<E: Element>(g: &Graph, limits: &[usize], feeds: &[Feed<'_, E>]) -> Result<(), RunError> {
    for (i, decl) in g.inputs().iter().enumerate() {
        let n = g.n_elements(&decl.axes);
        let bad = |found: String| RunError::Feed {
            name: decl.name.clone(),
            expected: format!("{n} elements, {:?}, {:?}", decl.dtype, decl.storage),
            found,
        };
        match (feeds.get(i), decl.dtype, decl.storage) {
            (Some(Feed::Dense(x)), Dtype::Real, Storage::Dense) if x.len() == n => {}
            (Some(Feed::Index(x)), Dtype::Index, _) if x.len() == n => {
                if let Some(index) = x.iter().find(|v| **v as usize >= limits[i]) {
                    return Err(RunError::Index { name: decl.name.clone(), index: *index, size: limits[i] });
                }
            }
            (Some(Feed::Csr(m)), Dtype::Real, Storage::Csr) => check_csr(g, decl, m).map_err(bad)?,
            (Some(Feed::Dense(x)), ..) => return Err(bad(format!("{} dense elements", x.len()))),
            (Some(Feed::Index(x)), ..) => return Err(bad(format!("{} indices", x.len()))),
            (Some(Feed::Csr(_)), ..) => return Err(bad("sparse rows".into())),
            (None, ..) => return Err(bad("nothing".into())),
        }
    }
    if feeds.len() > g.inputs().len() {
        let expected = format!("{} feeds", g.inputs().len());
        return Err(RunError::Feed { name: "(all)".into(), expected, found: format!("{}", feeds.len()) });
    }
    Ok(())
}

fn check_csr<E: Element>(g: &Graph, decl: &InputDecl, m: &CsrView<'_, E>) -> Result<(), String> {
    let [rows, cols] = [0, 1].map(|k| g.size(decl.axes.as_slice()[k]));
    if m.offsets.len() != rows + 1 {
        return Err(format!("{} offsets for {rows} rows", m.offsets.len()));
    }
    if m.offsets.windows(2).any(|w| w[0] > w[1]) {
        return Err("offsets that decrease".into());
    }
    let end = m.offsets[rows];
    if m.columns.len() < end || m.values.len() < end {
        return Err(format!("{} columns and {} values for {end} offsets", m.columns.len(), m.values.len()));
    }
    for r in 0..rows {
        let row = &m.columns[m.offsets[r]..m.offsets[r + 1]];
        if !increasing(row) || row.last().is_some_and(|c| *c as usize >= cols) {
            return Err(format!("columns of row {r} that do not increase below {cols}"));
        }
    }
    Ok(())
}

/// Whether each of some numbers is larger than the one before; without a way out in between, so that it becomes vector code.
fn increasing(of: &[u32]) -> bool {
    let later = of.get(1..).unwrap_or_default();
    of.iter().zip(later).fold(0, |bad, (a, b)| bad | u32::from(a >= b)) == 0
}

#[cfg(test)]
mod tests {
    use super::increasing;

    #[test]
    fn an_equal_pair_anywhere_is_found() {
        for n in [0, 1, 2, 15, 16, 17, 33, 100] {
            let numbers: Vec<u32> = (0..n as u32).map(|k| 3 * k + k % 2).collect();
            assert!(increasing(&numbers));
            for k in 1..n {
                let mut other = numbers.clone();
                other[k] = other[k - 1];
                assert!(!increasing(&other), "{n} {k}");
            }
        }
        assert!(increasing(&[0, u32::MAX]) && !increasing(&[u32::MAX, 0]));
    }
}
