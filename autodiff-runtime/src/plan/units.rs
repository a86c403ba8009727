//! Partition of the nodes into units of execution: fused kernels and steps of their own.
//!
//! Every node begins as a unit; units over the same domain merge along the edges between them, and, where it is cheap,
//! with siblings that read the same values, unless a path through a third unit would make a cycle.

use super::sparsity::Sparsity;
use super::walk::keeps_order;
use crate::graph::{Axes, Dtype, Graph, InputId, NodeId};
use crate::op::{Op, ReduceKind};
use crate::rewrite::live_nodes;

/// What becomes of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Not computed by this plan.
    Dead,
    /// Input, variable, constant, positions: memory that is there.
    Leaf,
    /// The operand's memory under other axes.
    Alias(NodeId),
    /// A value for each element of its unit's domain.
    Element,
    /// A value for each row of its unit's domain (an elementwise function of row reductions).
    Row,
    /// Reduction of each row.
    RowReduce,
    /// Sum over rows: ready after the kernel.
    ColumnSum,
    /// Sum over everything: ready after the kernel.
    WholeSum,
    /// A step of its own.
    Alone,
}

/// Nodes that are executed together.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub domain: Axes,
    pub nodes: Vec<NodeId>,
    pub pattern: Option<InputId>,
    pub fused: bool,
}

/// The partition.
pub(super) struct Units {
    pub role: Vec<Role>,
    /// The unit of each computed node.
    pub of: Vec<Option<usize>>,
    pub list: Vec<Unit>,
}

/// Domains up to this many elements merge with any sibling: a step costs more than the work.
const SMALL: usize = 1 << 14;

impl Units {
    /// Partitions a legal graph; without `fuse` each node is a unit.
    pub fn partition(g: &Graph, sparsity: &Sparsity, fuse: bool) -> Self {
        let live = live_nodes(g);
        let mut role: Vec<Role> = g.node_ids().map(|id| initial_role(g, sparsity, id)).collect();
        for (r, l) in role.iter_mut().zip(&live) {
            if !l {
                *r = Role::Dead;
            }
        }
        let mut domain: Vec<Axes> = g.node_ids().map(|id| domain_of(g, role[id.index()], id)).collect();
        if fuse {
            find_row_values(g, sparsity, &mut role, &mut domain);
        }
        let mut units = Self { role, of: vec![None; g.nodes().len()], list: vec![] };
        for id in g.node_ids() {
            let r = units.role[id.index()];
            if matches!(r, Role::Dead | Role::Leaf | Role::Alias(_)) {
                continue;
            }
            units.of[id.index()] = Some(units.list.len());
            units.list.push(Unit {
                domain: domain[id.index()].clone(),
                nodes: vec![id],
                pattern: node_pattern(g, sparsity, id),
                fused: r != Role::Alone,
            });
        }
        if fuse {
            units.merge_along_edges(g);
            units.merge_siblings(g);
        }
        units.settle_row_values(g);
        units
    }

    /// The node whose memory a node shares.
    pub fn source(&self, id: NodeId) -> NodeId {
        match self.role[id.index()] {
            Role::Alias(x) => self.source(x),
            _ => id,
        }
    }

    /// Units that read results of unit `u`, given every unit's operands.
    fn users(&self, g: &Graph) -> Vec<Vec<usize>> {
        let mut users = vec![vec![]; self.list.len()];
        for (u, unit) in self.list.iter().enumerate() {
            for id in &unit.nodes {
                for o in g.node(*id).op.operands() {
                    if let Some(p) = self.of[self.source(o).index()]
                        && p != u
                    {
                        users[p].push(u);
                    }
                }
            }
        }
        users
    }

    fn merge_along_edges(&mut self, g: &Graph) {
        let mut users = self.users(g);
        for id in g.node_ids() {
            for o in g.node(id).op.operands() {
                let (Some(u), Some(p)) = (self.of[id.index()], self.of[o.index()]) else { continue };
                self.try_merge(g, p, u, &mut users);
            }
        }
    }

    fn merge_siblings(&mut self, g: &Graph) {
        let mut users = self.users(g);
        for later in 0..self.list.len() {
            for earlier in (0..later).rev() {
                if self.list[later].nodes.is_empty() || !self.may_join(g, earlier, later) {
                    continue;
                }
                let big = g.n_elements(&self.list[later].domain) > SMALL;
                if !big || self.share_big_operand(g, earlier, later) {
                    self.try_merge(g, earlier, later, &mut users);
                }
            }
        }
    }

    fn share_big_operand(&self, g: &Graph, a: usize, b: usize) -> bool {
        let reads = |u: usize| {
            let unit = &self.list[u];
            let all = unit.nodes.iter().flat_map(|n| g.node(*n).op.operands());
            let mut v: Vec<NodeId> = all.filter(|o| *g.axes_of(*o) == unit.domain).collect();
            v.sort_unstable();
            v
        };
        let (x, y) = (reads(a), reads(b));
        x.iter().any(|o| y.binary_search(o).is_ok())
    }

    fn may_join(&self, g: &Graph, a: usize, b: usize) -> bool {
        let (x, y) = (&self.list[a], &self.list[b]);
        let patterns = x.pattern.is_none() || y.pattern.is_none() || x.pattern == y.pattern;
        let _ = g;
        a != b && x.fused && y.fused && patterns && x.domain == y.domain && !x.nodes.is_empty()
    }

    fn try_merge(&mut self, g: &Graph, p: usize, u: usize, users: &mut [Vec<usize>]) {
        if !self.may_join(g, p, u) || self.needs_whole(g, p, u) || self.needs_whole(g, u, p) {
            return;
        }
        if indirect_path(users, p, u) || indirect_path(users, u, p) {
            return;
        }
        let moved = std::mem::take(&mut self.list[p].nodes);
        moved.iter().for_each(|n| self.of[n.index()] = Some(u));
        self.list[u].nodes.extend(moved);
        self.list[u].nodes.sort_unstable();
        self.list[u].pattern = self.list[u].pattern.or(self.list[p].pattern);
        let from_p = std::mem::take(&mut users[p]);
        users[u].extend(from_p);
        users[u].retain(|x| *x != u && *x != p);
        for list in users.iter_mut() {
            list.iter_mut().filter(|x| **x == p).for_each(|x| *x = u);
        }
    }

    /// Whether `u` reads a value of `p` that is ready only after the whole of `p`, or in another layout.
    fn needs_whole(&self, g: &Graph, p: usize, u: usize) -> bool {
        self.list[u].nodes.iter().any(|n| {
            g.node(*n).op.operands().iter().any(|o| {
                let source = self.source(*o);
                let renamed = source != *o;
                let late = matches!(self.role[source.index()], Role::ColumnSum | Role::WholeSum);
                self.of[source.index()] == Some(p) && (renamed || late)
            })
        })
    }

    /// A unit of row values alone has their own axes as its domain.
    fn settle_row_values(&mut self, g: &Graph) {
        for unit in &mut self.list {
            let rows_only = unit.nodes.iter().all(|n| self.role[n.index()] == Role::Row);
            if let (true, Some(first)) = (rows_only, unit.nodes.first()) {
                unit.domain = g.axes_of(*first).clone();
                unit.nodes.iter().for_each(|n| self.role[n.index()] = Role::Element);
            }
        }
    }
}

/// Whether a path of two or more edges leads from `a` to `b`.
fn indirect_path(users: &[Vec<usize>], a: usize, b: usize) -> bool {
    let mut seen = vec![false; users.len()];
    let mut stack: Vec<usize> = users[a].iter().copied().filter(|x| *x != b).collect();
    while let Some(x) = stack.pop() {
        if x == b {
            return true;
        }
        if !std::mem::replace(&mut seen[x], true) {
            stack.extend(users[x].iter().copied());
        }
    }
    false
}

fn initial_role(g: &Graph, sparsity: &Sparsity, id: NodeId) -> Role {
    let node = g.node(id);
    match &node.op {
        Op::Input(_) | Op::Variable(_) | Op::Const(_) | Op::Iota(_) => Role::Leaf,
        Op::Stop(x) => Role::Alias(*x),
        Op::Rename { input, from, to } if keeps_order(g, *input, *from, *to) => Role::Alias(*input),
        Op::Elem(..) | Op::ToReal(_) => Role::Element,
        Op::Broadcast { .. } if node.dtype == Dtype::Real => Role::Element,
        Op::Reduce { kind, input, over } => reduce_role(g, sparsity, *kind, *input, over),
        _ => Role::Alone,
    }
}

fn reduce_role(g: &Graph, sparsity: &Sparsity, kind: ReduceKind, input: NodeId, over: &Axes) -> Role {
    let full = g.axes_of(input);
    let Some(last) = full.iter().next_back() else { return Role::Alone };
    let count = g.n_elements(over);
    let cheap = g.n_elements(full) <= SMALL / 2 || count >= 16 || sparsity.pattern(input).is_some();
    match kind {
        ReduceKind::ArgMax => Role::Alone,
        ReduceKind::Sum if over == full => Role::WholeSum,
        _ if *over == Axes::from(last) => Role::RowReduce,
        ReduceKind::Sum if !over.contains(last) && !over.is_empty() && cheap => Role::ColumnSum,
        _ => Role::Alone,
    }
}

fn domain_of(g: &Graph, role: Role, id: NodeId) -> Axes {
    match (&g.node(id).op, role) {
        (Op::Reduce { input, .. }, Role::RowReduce | Role::ColumnSum | Role::WholeSum) => {
            g.axes_of(*input).clone()
        }
        _ => g.axes_of(id).clone(),
    }
}

fn node_pattern(g: &Graph, sparsity: &Sparsity, id: NodeId) -> Option<InputId> {
    let operands = g.node(id).op.operands();
    sparsity.pattern(id).or_else(|| operands.iter().find_map(|o| sparsity.pattern(*o)))
}

/// Finds elementwise values between a row reduction and its use by the elements of the same domain. What touches a sparse
/// value is none: a pattern's rows are those of its own axes.
fn find_row_values(g: &Graph, sparsity: &Sparsity, role: &mut [Role], domain: &mut [Axes]) {
    let n = g.nodes().len();
    // Forward: the domain of the row reductions that a value depends on through elementwise steps alone.
    let mut below: Vec<Option<Axes>> = vec![None; n];
    for id in g.node_ids() {
        let i = id.index();
        below[i] = match role[i] {
            Role::RowReduce => Some(domain[i].clone()),
            Role::Element if node_pattern(g, sparsity, id).is_none() => {
                let own = g.axes_of(id);
                let found = g.node(id).op.operands().into_iter().find_map(|o| below[o.index()].clone());
                found.filter(|d| d.len() == own.len() + 1 && own.is_subset(d))
            }
            _ => None,
        };
    }
    // Backward: whether elements of that domain use it, again through elementwise steps.
    let mut wanted = vec![false; n];
    for id in g.node_ids().rev() {
        let i = id.index();
        if role[i] != Role::Element {
            continue;
        }
        for o in g.node(id).op.operands() {
            let Some(d) = &below[o.index()] else { continue };
            if domain[i] == *d || wanted[i] {
                wanted[o.index()] = true;
            }
        }
    }
    for i in 0..n {
        if let (Role::Element, true, Some(d)) = (role[i], wanted[i], &below[i]) {
            role[i] = Role::Row;
            domain[i] = d.clone();
        }
    }
}
