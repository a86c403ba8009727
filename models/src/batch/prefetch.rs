//! The next minibatch is gathered by a thread of its own while the last one is computed.

use super::{Gatherer, Minibatch};
use crate::anndata::DiskRows;
use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::mpsc::sync_channel;

/// Minibatches in flight: one computed, one ready.
const IN_FLIGHT: usize = 2;

/// Reads blocks that lie on the disk before their rows are wanted.
struct ReadAhead<'d> {
    rows: &'d DiskRows,
    /// For each block the place in the order where it is wanted first.
    wanted: Vec<(usize, usize)>,
    next: usize,
    /// How far ahead: what is drawn from at once.
    reach: usize,
}

impl<'d> ReadAhead<'d> {
    fn new(rows: &'d DiskRows, order: &[u32]) -> Self {
        let mut seen = BTreeSet::new();
        let first = |(place, row): (usize, &u32)| {
            let (block, _) = rows.locate(*row as usize);
            seen.insert(block).then_some((place, block))
        };
        let wanted = order.iter().enumerate().filter_map(first).collect();
        Self { rows, wanted, next: 0, reach: rows.block_rows() * rows.n_together() }
    }

    /// Reads one block that is wanted soon after `place`, if there is one that is not here.
    fn step(&mut self, place: usize) {
        while let Some(&(at, block)) = self.wanted.get(self.next) {
            if at > place.saturating_add(self.reach) {
                return;
            }
            self.next += 1;
            if !self.rows.is_here(block) {
                // What cannot be read is said when it is wanted.
                let _ = self.rows.block(block);
                return;
            }
        }
    }
}

/// Gathers the minibatches `order[range]` one after the other and hands each to `each`, until there is no more or
/// `each` breaks off.
pub fn for_each_minibatch<B>(
    gatherer: &Gatherer<'_>,
    order: &[u32],
    ranges: &[Range<usize>],
    epoch: u64,
    mut each: impl FnMut(&Minibatch) -> ControlFlow<B>,
) -> ControlFlow<B> {
    if let [only] = ranges {
        let mut batch = Minibatch::default();
        gatherer.fill_at(order, only.clone(), epoch, &mut batch);
        return each(&batch);
    }
    let (full_sender, full) = sync_channel::<Minibatch>(IN_FLIGHT);
    let (empty_sender, empty) = sync_channel::<Minibatch>(IN_FLIGHT);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut ahead: Vec<ReadAhead<'_>> =
                gatherer.on_disk().into_iter().map(|rows| ReadAhead::new(rows, order)).collect();
            for (i, range) in ranges.iter().enumerate() {
                let mut batch = if i < IN_FLIGHT {
                    Minibatch::default()
                } else {
                    match empty.recv() {
                        Ok(batch) => batch,
                        Err(_) => return,
                    }
                };
                gatherer.fill_at(order, range.clone(), epoch, &mut batch);
                if full_sender.send(batch).is_err() {
                    return;
                }
                ahead.iter_mut().for_each(|a| a.step(range.end));
            }
        });
        // Dropping the two ends on leaving stops the thread, whichever side it waits on.
        let (full, empty_sender) = (full, empty_sender);
        while let Ok(batch) = full.recv() {
            each(&batch)?;
            // After its last minibatch the thread no longer listens.
            let _ = empty_sender.send(batch);
        }
        ControlFlow::Continue(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anndata::{Csr, Matrix};
    use crate::batch::{Buffer, cut};
    use crate::dataset::{Dataset, FieldData};
    use autodiff_runtime::Graph;
    use autodiff_runtime::graph::{Axes, Dtype, Storage};
    use dsl::{FeedSpec, Lowered};
    use std::collections::BTreeMap;

    fn lowered() -> Lowered {
        let mut graph = Graph::new();
        let cell = graph.add_axis("cell", 2);
        let gene = graph.add_axis("gene", 3);
        graph.declare_input("x", Axes::new([cell, gene]), Dtype::Real, Storage::Csr);
        graph.declare_input("x dense", Axes::new([cell, gene]), Dtype::Real, Storage::Dense);
        graph.declare_input("batch", cell, Dtype::Index, Storage::Dense);
        graph.declare_input("epoch", Axes::none(), Dtype::Real, Storage::Dense);
        let field = |n: &str| FeedSpec::Field(n.into());
        Lowered {
            graph,
            feeds: vec![field("x"), field("x"), field("batch"), FeedSpec::Epoch],
            variables: vec![],
            loss: None,
            terms: vec![],
            output_axes: BTreeMap::new(),
            output_labels: BTreeMap::new(),
            random_outputs: Default::default(),
            streams: BTreeMap::new(),
            origins: vec![],
        }
    }

    #[test]
    fn rows_arrive_in_order_and_buffers_are_reused() {
        let csr = Csr {
            n_rows: 7,
            n_cols: 3,
            indptr: (0..8).collect(),
            indices: vec![0, 1, 2, 0, 1, 2, 0],
            values: (1..8).map(|v| v as f32).collect(),
        };
        let mut data = Dataset { n_rows: 7, ..Dataset::default() };
        data.fields.insert("x".into(), FieldData::Matrix(Matrix::Csr(csr)));
        data.fields.insert("batch".into(), FieldData::Codes(vec![0, 1, 0, 1, 0, 1, 0]));
        let stats = BTreeMap::new();
        let lowered = lowered();
        let gatherer = Gatherer::new(&data, &stats, &lowered);
        let order = [6, 5, 4, 3, 2, 1, 0];
        let mut seen = vec![];
        let flow: ControlFlow<()> = for_each_minibatch(&gatherer, &order, &cut(7, 2), 4, |b| {
            seen.extend_from_slice(&b.rows);
            let Buffer::Csr { offsets, values, .. } = &b.buffers[0] else { panic!("CSR") };
            assert_eq!(offsets.len(), b.rows.len() + 1);
            assert!(values.iter().zip(&b.rows).all(|(v, r)| *v == *r as f32 + 1.0));
            let Buffer::Dense(dense) = &b.buffers[1] else { panic!("dense") };
            assert_eq!(dense.len(), 3 * b.rows.len());
            assert_eq!(b.buffers[2], Buffer::Index(b.rows.iter().map(|r| r % 2).collect()));
            assert_eq!(b.buffers[3], Buffer::Dense(vec![4.0]));
            ControlFlow::Continue(())
        });
        assert_eq!(flow, ControlFlow::Continue(()));
        assert_eq!(seen, order);
        let flow = for_each_minibatch(&gatherer, &order, &cut(7, 2), 0, |_| ControlFlow::Break(5));
        assert_eq!(flow, ControlFlow::Break(5));
    }
}
