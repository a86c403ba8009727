//! The planner: legal form, units, order, memory, steps.

use super::buffers::{Life, place};
use super::emit::{Context, emit};
use super::facts::{Facts, note};
use super::follow::followers;
use super::legal::legalise;
use super::product::{plan_dense, plan_sparse, sparse_side};
use super::sparsity::Sparsity;
use super::units::{Role, Units};
use super::walk::{is_index, plan_copy, plan_draw, plan_lookup, plan_reduce};
use super::{Home, Plan, Slot, SlotId, Step};
use crate::graph::{Dtype, Graph, NodeId, VariableId};
use crate::op::Op;
use std::collections::{BTreeMap, BTreeSet};

/// Plans a graph. `loss` names the output that is checked before variables change; without `fuse` every operation is
/// a step of its own.
pub fn plan(graph: &Graph, loss: Option<&str>, fuse: bool) -> Plan {
    let g = legalise(graph, fuse);
    let sparsity = Sparsity::of(&g);
    let units = Units::partition(&g, &sparsity, fuse);
    let loss = loss.and_then(|name| g.find_output(name));
    let order = schedule(&g, &units, loss);
    let builder = Builder::new(&g, &sparsity, &units, order, loss);
    builder.finish()
}

/// Units in an order of execution: what the loss needs first, otherwise as the graph has them.
fn schedule(g: &Graph, units: &Units, loss: Option<NodeId>) -> Vec<usize> {
    let n = units.list.len();
    let mut inputs: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); n];
    for (u, unit) in units.list.iter().enumerate() {
        let operands = unit.nodes.iter().flat_map(|id| g.node(*id).op.operands());
        inputs[u] = operands.filter_map(|o| units.of[units.source(o).index()]).filter(|p| *p != u).collect();
    }
    let mut for_loss = vec![false; n];
    let mut stack: Vec<usize> = loss.and_then(|l| units.of[units.source(l).index()]).into_iter().collect();
    while let Some(u) = stack.pop() {
        if !std::mem::replace(&mut for_loss[u], true) {
            stack.extend(inputs[u].iter().copied());
        }
    }
    let key = |u: usize| (!for_loss[u], units.list[u].nodes.last().copied(), u);
    let mut waiting: Vec<usize> = inputs.iter().map(BTreeSet::len).collect();
    let mut users: Vec<Vec<usize>> = vec![vec![]; n];
    inputs.iter().enumerate().for_each(|(u, set)| set.iter().for_each(|p| users[*p].push(u)));
    let mut ready: BTreeSet<_> =
        (0..n).filter(|u| waiting[*u] == 0 && !units.list[*u].nodes.is_empty()).map(key).collect();
    let mut order = vec![];
    while let Some((_, _, u)) = ready.pop_first() {
        order.push(u);
        for v in &users[u] {
            waiting[*v] -= 1;
            if waiting[*v] == 0 {
                ready.insert(key(*v));
            }
        }
    }
    order
}

struct Builder<'a> {
    g: &'a Graph,
    sparsity: &'a Sparsity,
    units: &'a Units,
    order: Vec<usize>,
    /// Position of each unit in the order.
    rank: Vec<usize>,
    loss: Option<NodeId>,
    slots: Vec<Slot>,
    slot_of: BTreeMap<NodeId, SlotId>,
    stores: BTreeMap<NodeId, Vec<SlotId>>,
    commits: Vec<(VariableId, SlotId)>,
}

impl<'a> Builder<'a> {
    fn new(
        g: &'a Graph,
        sparsity: &'a Sparsity,
        units: &'a Units,
        order: Vec<usize>,
        loss: Option<NodeId>,
    ) -> Self {
        let mut rank = vec![usize::MAX; units.list.len()];
        order.iter().enumerate().for_each(|(at, u)| rank[*u] = at);
        let mut slots = vec![];
        for (i, decl) in g.inputs().iter().enumerate() {
            let home = Home::Input(crate::graph::InputId(i as u32));
            slots.push(Slot { home, len: g.n_elements(&decl.axes), dtype: decl.dtype });
        }
        for (i, decl) in g.variables().iter().enumerate() {
            let home = Home::Variable(VariableId(i as u32));
            slots.push(Slot { home, len: g.n_elements(&decl.axes), dtype: Dtype::Real });
        }
        let (slot_of, stores) = (BTreeMap::new(), BTreeMap::new());
        Self { g, sparsity, units, order, rank, loss, slots, slot_of, stores, commits: vec![] }
    }

    fn finish(mut self) -> Plan {
        let in_place: Vec<bool> = self.g.updates().iter().map(|(v, n)| self.fits_in_place(*v, *n)).collect();
        self.make_slots(&in_place);
        for ((v, n), fits) in self.g.updates().iter().zip(in_place) {
            if fits {
                let slot = SlotId((self.g.inputs().len() + v.index()) as u32);
                self.stores.entry(*n).or_default().push(slot);
            } else {
                self.commits.push((*v, self.slot_of[&self.units.source(*n)]));
            }
        }
        let steps: Vec<Step> = self.order.iter().map(|u| self.step(*u)).collect();
        let notes = self.order.iter().map(|u| note(self.g, self.units, *u)).collect();
        let arena = self.place_slots();
        let at = |n: NodeId| self.slot_of[&self.units.source(n)];
        let outputs: Vec<(String, SlotId)> =
            self.g.outputs().iter().map(|(name, n)| (name.clone(), at(*n))).collect();
        let loss = self.loss.map(|l| {
            let unit = self.units.of[self.units.source(l).index()];
            (at(l), unit.map_or(0, |u| self.rank[u] + 1))
        });
        let mut kept: Vec<SlotId> = outputs.iter().map(|o| o.1).collect();
        kept.extend(self.commits.iter().map(|c| c.1));
        let followers = followers(&steps, &self.slots, &kept, loss.map(|l| l.1));
        let facts = Facts::of(self.g, self.sparsity, self.units, &self.slots, &steps, arena);
        Plan {
            graph: self.g.clone(),
            slots: self.slots,
            steps,
            outputs,
            commits: self.commits,
            followers,
            loss,
            arena,
            notes,
            facts,
        }
    }

    /// Whether the step that computes an update can write over the variable: no later step reads the old value, this
    /// one reads it element by element, and it comes after the loss.
    fn fits_in_place(&self, v: VariableId, n: NodeId) -> bool {
        let Some(u) = self.units.of[n.index()] else { return false };
        if self.units.role[n.index()] != Role::Element {
            return false;
        }
        let loss_unit = self.loss.and_then(|l| self.units.of[self.units.source(l).index()]);
        if loss_unit.is_some_and(|l| self.rank[l] >= self.rank[u]) {
            return false;
        }
        self.units.list.iter().enumerate().all(|(r, unit)| {
            unit.nodes.iter().flat_map(|id| self.g.node(*id).op.operands()).all(|o| {
                let reads = self.g.node(self.units.source(o)).op == Op::Variable(v);
                let whole = self.g.axes_of(o) == &unit.domain && self.units.source(o) == o;
                !reads || self.rank[r] < self.rank[u] || (r == u && whole)
            })
        })
    }

    /// Memory for inputs, variables, positions, constants that a step reads, and every value that crosses units.
    fn make_slots(&mut self, in_place: &[bool]) {
        let mut crossing: BTreeSet<NodeId> = BTreeSet::new();
        let mut wanted: BTreeSet<NodeId> = BTreeSet::new();
        for (u, unit) in self.units.list.iter().enumerate() {
            for o in unit.nodes.iter().flat_map(|id| self.g.node(*id).op.operands()) {
                let source = self.units.source(o);
                if self.units.of[source.index()] != Some(u) {
                    crossing.insert(source);
                }
                if !unit.fused {
                    wanted.insert(source);
                }
            }
        }
        crossing.extend(self.g.outputs().iter().map(|o| self.units.source(o.1)));
        let updated = self.g.updates().iter().zip(in_place).filter(|(_, fits)| !**fits);
        crossing.extend(updated.map(|((_, n), _)| self.units.source(*n)));
        for id in self.g.node_ids() {
            let node = self.g.node(id);
            let len = self.g.n_elements(&node.axes);
            let late = matches!(self.units.role[id.index()], Role::ColumnSum | Role::WholeSum | Role::Alone);
            let home = match &node.op {
                Op::Input(i) => {
                    self.slot_of.insert(id, SlotId(i.0));
                    continue;
                }
                Op::Variable(v) => {
                    self.slot_of.insert(id, SlotId((self.g.inputs().len() + v.index()) as u32));
                    continue;
                }
                Op::Const(c) if wanted.contains(&id) => Home::Const(0, *c),
                Op::Iota(_) if crossing.contains(&id) => Home::Iota(0),
                _ if self.units.of[id.index()].is_none() => continue,
                _ if !late && !crossing.contains(&id) => continue,
                _ => match self.sparsity.pattern(id) {
                    Some(p) => Home::NonZeros(p),
                    None => Home::Arena(0),
                },
            };
            let slot = SlotId(self.slots.len() as u32);
            self.slots.push(Slot { home, len, dtype: node.dtype });
            self.slot_of.insert(id, slot);
            if !late && self.units.of[id.index()].is_some() {
                self.stores.entry(id).or_default().push(slot);
            }
        }
    }

    fn step(&self, u: usize) -> Step {
        let unit = &self.units.list[u];
        let slot = |n: NodeId| self.slot_of[&self.units.source(n)];
        if unit.fused {
            let cx = Context {
                g: self.g,
                sparsity: self.sparsity,
                units: self.units,
                slot: &slot,
                stores: &self.stores,
            };
            return Step::Kernel(emit(&cx, u));
        }
        let id = unit.nodes[0];
        match &self.g.node(id).op {
            Op::Contract { a, b, over } => match sparse_side(self.g, self.sparsity, id) {
                Some(side) => Step::SparseProduct(plan_sparse(self.g, id, &side, slot)),
                None => Step::Product(plan_dense(self.g, id, *a, *b, over, slot)),
            },
            Op::Reduce { kind, input, over } => {
                Step::Reduce(plan_reduce(self.g, id, *kind, *input, over, slot))
            }
            Op::Rename { input, from, to } => {
                Step::Copy(plan_copy(self.g, id, *input, Some((*from, *to)), slot))
            }
            Op::Gather { .. } | Op::ScatterAdd { .. } => {
                Step::Lookup(plan_lookup(self.g, id, slot).expect("it is a look-up"))
            }
            Op::Random { .. } => Step::Draw(plan_draw(self.g, id, slot).expect("it is a draw")),
            op => {
                let input = op.operands()[0];
                Step::Copy(plan_copy(self.g, id, input, None, slot))
            }
        }
    }

    /// Gives arena slots their offsets; the sizes of the two arenas.
    fn place_slots(&mut self) -> [usize; 2] {
        let n = self.slots.len();
        let mut first = vec![usize::MAX; n];
        let mut last = vec![0; n];
        let mut touch = |slot: SlotId, at: usize| {
            first[slot.index()] = first[slot.index()].min(at);
            last[slot.index()] = last[slot.index()].max(at);
        };
        for (node, slot) in &self.slot_of {
            if let Some(u) = self.units.of[node.index()] {
                touch(*slot, self.rank[u]);
            }
        }
        for (u, unit) in self.units.list.iter().enumerate() {
            for o in unit.nodes.iter().flat_map(|id| self.g.node(*id).op.operands()) {
                if let Some(slot) = self.slot_of.get(&self.units.source(o)) {
                    touch(*slot, self.rank[u]);
                }
            }
        }
        let kept = self.g.outputs().iter().map(|o| self.slot_of[&self.units.source(o.1)]);
        kept.chain(self.commits.iter().map(|c| c.1)).for_each(|s| touch(s, usize::MAX));
        let mut sizes = [0; 2];
        for (kind, dtype) in [Dtype::Real, Dtype::Index].into_iter().enumerate() {
            let mine: Vec<usize> = (0..n)
                .filter(|i| {
                    let pooled =
                        matches!(self.slots[*i].home, Home::Arena(_) | Home::Const(..) | Home::Iota(_));
                    self.slots[*i].dtype == dtype && pooled
                })
                .collect();
            let lives: Vec<Life> = mine
                .iter()
                .map(|i| match self.slots[*i].home {
                    Home::Arena(_) => Life { len: self.slots[*i].len, first: first[*i], last: last[*i] },
                    _ => Life { len: self.slots[*i].len, first: 0, last: usize::MAX },
                })
                .collect();
            let (offsets, size) = place(&lives);
            for (i, offset) in mine.into_iter().zip(offsets) {
                self.slots[i].home = match self.slots[i].home {
                    Home::Arena(_) => Home::Arena(offset),
                    Home::Const(_, c) => Home::Const(offset, c),
                    _ => Home::Iota(offset),
                };
            }
            sizes[kind] = size;
        }
        let _ = is_index;
        sizes
    }
}
