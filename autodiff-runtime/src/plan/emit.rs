//! A unit of fused nodes as a [`Kernel`]: registers, loads, and the conversions between dense, row and sparse values.

use super::SlotId;
use super::kernel::{Accumulator, Arg, Instr, Kernel, Mem, Reg};
use super::operand::Space;
use super::order::group;
use super::registers::allocate;
use super::sparsity::Sparsity;
use super::units::{Role, Unit, Units};
use crate::graph::{Axes, Dtype, Graph, NodeId};
use crate::op::{Elem, Op};
use std::collections::BTreeMap;

/// What a node's values run along.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    Dense,
    Row,
    Sparse,
}

/// What the planner knows when it emits kernels.
pub(super) struct Context<'a> {
    pub g: &'a Graph,
    pub sparsity: &'a Sparsity,
    pub units: &'a Units,
    /// Memory of each value that is read by others or from others (by source node).
    pub slot: &'a dyn Fn(NodeId) -> SlotId,
    /// Where each node of this unit is stored.
    pub stores: &'a BTreeMap<NodeId, Vec<SlotId>>,
}

struct Emitter<'a> {
    cx: &'a Context<'a>,
    index: usize,
    unit: &'a Unit,
    class: BTreeMap<NodeId, Class>,
    /// How many row reductions, one after the other, come before a value is ready.
    level: BTreeMap<NodeId, usize>,
    /// That of the node at hand.
    now: usize,
    space: Space,
    mems: Vec<Mem>,
    external: BTreeMap<NodeId, u16>,
    regs: BTreeMap<(NodeId, Class), Reg>,
    next: [u16; 3],
    instrs: Vec<Instr>,
}

/// Emits the kernel of unit number `index`.
pub(super) fn emit(cx: &Context<'_>, index: usize) -> Kernel {
    let unit = &cx.units.list[index];
    let external = external_operands(cx, index);
    let stored: Vec<(NodeId, SlotId)> =
        unit.nodes.iter().flat_map(|n| cx.stores.get(n).into_iter().flatten().map(|s| (*n, *s))).collect();
    let sums: Vec<NodeId> = unit.nodes.iter().copied().filter(|n| is_late(cx.units, *n)).collect();
    let all = external.iter().copied().chain(stored.iter().map(|s| s.0)).chain(sums.iter().copied());
    let values: Vec<Axes> = all.map(|n| cx.g.axes_of(n).clone()).collect();
    let role = |n: &NodeId| cx.units.role[n.index()];
    let by_rows =
        unit.pattern.is_some() || unit.nodes.iter().any(|n| matches!(role(n), Role::Row | Role::RowReduce));
    let space = Space::new(cx.g, &unit.domain, &values, by_rows);
    let mut e = Emitter {
        cx,
        index,
        unit,
        class: classes(cx, unit),
        level: levels(cx, unit),
        now: 0,
        space,
        mems: vec![],
        external: external.iter().enumerate().map(|(i, n)| (*n, i as u16)).collect(),
        regs: BTreeMap::new(),
        next: [0; 3],
        instrs: vec![],
    };
    for (i, n) in external.iter().enumerate() {
        let slot = (cx.slot)(cx.units.source(*n));
        let m = e.mem(i, slot, cx.g.node(*n).dtype == Dtype::Index, cx.sparsity.pattern(*n).is_some());
        e.mems.push(m);
    }
    for (i, (n, slot)) in stored.iter().enumerate() {
        let m = e.mem(external.len() + i, *slot, false, e.class[n] == Class::Sparse);
        e.mems.push(m);
    }
    let first_sum = external.len() + stored.len();
    e.finish(&stored, external.len(), &sums, first_sum)
}

fn is_late(units: &Units, n: NodeId) -> bool {
    matches!(units.role[n.index()], Role::ColumnSum | Role::WholeSum)
}

fn external_operands(cx: &Context<'_>, index: usize) -> Vec<NodeId> {
    let mut out = vec![];
    for n in &cx.units.list[index].nodes {
        for o in cx.g.node(*n).op.operands() {
            let constant = matches!(cx.g.node(cx.units.source(o)).op, Op::Const(_));
            let inside = cx.units.of[o.index()] == Some(index);
            if !constant && !inside && !out.contains(&o) {
                out.push(o);
            }
        }
    }
    out
}

/// The class of each node: sparse where it follows the pattern, or where only sparse values use it.
fn classes(cx: &Context<'_>, unit: &Unit) -> BTreeMap<NodeId, Class> {
    let mut class = BTreeMap::new();
    let mut dense_use: BTreeMap<NodeId, bool> = BTreeMap::new();
    for n in unit.nodes.iter().rev() {
        let role = cx.units.role[n.index()];
        let c = match role {
            Role::Row | Role::RowReduce => Class::Row,
            _ if cx.sparsity.pattern(*n).is_some() => Class::Sparse,
            Role::Element if unit.pattern.is_some() && !cx.stores.contains_key(n) => {
                let only_sparse = dense_use.get(n) == Some(&false);
                if only_sparse { Class::Sparse } else { Class::Dense }
            }
            _ => Class::Dense,
        };
        class.insert(*n, c);
        let dense = c != Class::Sparse || role != Role::Element;
        for o in cx.g.node(*n).op.operands() {
            *dense_use.entry(o).or_insert(false) |= dense;
        }
    }
    class
}

/// How many row reductions lie on the way to each node.
fn levels(cx: &Context<'_>, unit: &Unit) -> BTreeMap<NodeId, usize> {
    let mut level: BTreeMap<NodeId, usize> = BTreeMap::new();
    for n in &unit.nodes {
        let before = cx.g.node(*n).op.operands().into_iter().filter_map(|o| level.get(&o).copied()).max();
        let own = usize::from(cx.units.role[n.index()] == Role::RowReduce);
        level.insert(*n, before.unwrap_or(0) + own);
    }
    level
}

impl Emitter<'_> {
    fn mem(&self, value: usize, slot: SlotId, index: bool, sparse: bool) -> Mem {
        let (outer, col) = self.space.strides[value].clone();
        Mem { slot, outer, col, index, sparse }
    }

    fn finish(
        mut self,
        stored: &[(NodeId, SlotId)],
        first_store: usize,
        sums: &[NodeId],
        first_sum: usize,
    ) -> Kernel {
        let (accumulators, n_partial) = self.accumulators(sums, first_sum);
        for n in &self.unit.nodes {
            self.now = self.level[n];
            match sums.iter().position(|s| s == n) {
                Some(acc) => self.accumulate(*n, acc as u16),
                None => self.compute(*n),
            }
        }
        for (i, (n, _)) in stored.iter().enumerate() {
            let class = self.class[n];
            let reg = self.regs[&(*n, class)];
            let mem = (first_store + i) as u16;
            self.instrs.push(Instr::Store { mem, from: Arg::Reg(reg), class: reg });
        }
        group(&mut self.instrs, &self.mems);
        let n_regs = allocate(&mut self.instrs);
        let n_blocks = self.space.n_blocks(self.instrs.len(), n_partial[0]);
        Kernel {
            outer: self.space.outer,
            cols: self.space.cols,
            tile_rows: self.space.tile_rows,
            tile_cols: self.space.tile_cols,
            n_blocks,
            pattern: self.unit.pattern,
            mems: self.mems,
            instrs: self.instrs,
            accumulators,
            n_partial,
            n_regs,
        }
    }

    fn accumulators(&self, sums: &[NodeId], first_sum: usize) -> (Vec<Accumulator>, [usize; 2]) {
        let mut at = [0, 0];
        let list = sums.iter().enumerate().map(|(i, n)| {
            let scalar = self.cx.units.role[n.index()] == Role::WholeSum;
            let len = self.cx.g.n_elements(self.cx.g.axes_of(*n));
            let (outer, col) = self.space.strides[first_sum + i].clone();
            let offset = at[usize::from(scalar)];
            at[usize::from(scalar)] += if scalar { 1 } else { len.next_multiple_of(16) };
            Accumulator { slot: (self.cx.slot)(*n), len, outer, col, scalar, offset }
        });
        (list.collect(), at)
    }

    fn fresh(&mut self, class: Class) -> Reg {
        let n = &mut self.next[class as usize];
        *n += 1;
        match class {
            Class::Dense => Reg::Dense(*n - 1),
            Class::Row => Reg::Row(*n - 1),
            Class::Sparse => Reg::Sparse(*n - 1),
        }
    }

    fn accumulate(&mut self, n: NodeId, acc: u16) {
        let input = self.cx.g.node(n).op.operands()[0];
        let class = self.natural_class(input);
        let from = self.arg(input, class);
        let class = example(class);
        self.instrs.push(Instr::Accumulate { acc, from, class });
    }

    /// The class in which an operand is at hand.
    fn natural_class(&self, o: NodeId) -> Class {
        match self.class.get(&o) {
            Some(c) => *c,
            None if self.cx.sparsity.pattern(o).is_some() => Class::Sparse,
            None => Class::Dense,
        }
    }

    fn compute(&mut self, n: NodeId) {
        let class = self.class[&n];
        let node = self.cx.g.node(n);
        match &node.op {
            Op::Reduce { kind, input, .. } => {
                let natural = self.natural_class(*input);
                let sparse = natural == Class::Sparse && *kind == crate::op::ReduceKind::Sum;
                let from = self.arg(*input, if sparse { Class::Sparse } else { Class::Dense });
                let to = self.fresh(Class::Row);
                self.instrs.push(Instr::RowReduce { kind: *kind, to, from, sparse });
                self.regs.insert((n, Class::Row), to);
            }
            Op::Elem(f, args) => self.elementwise(n, class, *f, args),
            op => {
                // ToReal and Broadcast.
                let from = self.arg(op.operands()[0], class);
                let to = self.fresh(class);
                self.instrs.push(Instr::Copy { to, from });
                self.regs.insert((n, class), to);
            }
        }
    }

    fn elementwise(&mut self, n: NodeId, class: Class, f: Elem, args: &[NodeId]) {
        let sparse = |e: &Self, i: usize| e.natural_class(args[i]) == Class::Sparse;
        if class == Class::Dense && matches!(f, Elem::Add | Elem::Sub) {
            // Dense ± sparse: the dense operand with the non-zeros added.
            let (base, extra) = if sparse(self, 1) { (0, 1) } else { (1, 0) };
            let fits = f == Elem::Add || extra == 1;
            if sparse(self, extra) && !sparse(self, base) && fits {
                let from = self.arg(args[base], Class::Dense);
                let part = self.reg(args[extra], Class::Sparse);
                let to = self.fresh(Class::Dense);
                self.instrs.push(Instr::Copy { to, from });
                let scale = if f == Elem::Sub { -1.0 } else { 1.0 };
                self.instrs.push(Instr::AddSparse { to, from: part, scale });
                self.regs.insert((n, class), to);
                return;
            }
        }
        let args = args.iter().map(|a| self.arg(*a, class)).collect();
        let to = self.fresh(class);
        self.instrs.push(Instr::Elem { f, to, args });
        self.regs.insert((n, class), to);
    }

    /// An operand for an instruction of a class.
    fn arg(&mut self, o: NodeId, class: Class) -> Arg {
        if let Op::Const(c) = self.cx.g.node(self.cx.units.source(o)).op {
            return Arg::Const(c);
        }
        if self.cx.units.of[o.index()] == Some(self.index) {
            let splat = self.class[&o] == Class::Row && self.space.tile_rows == 1;
            return Arg::Reg(if splat { self.regs[&(o, Class::Row)] } else { self.reg(o, class) });
        }
        let m = self.external[&o];
        let v = m as usize;
        let mem = &self.mems[v];
        let one = self.space.is_scalar(v) || (mem.col == 0 && self.space.tile_rows == 1);
        let direct = !mem.index
            && match class {
                _ if mem.sparse => class == Class::Sparse,
                _ if one => true,
                Class::Dense => self.space.is_contiguous(v),
                Class::Row => self.space.is_row_contiguous(v),
                Class::Sparse => false,
            };
        if direct { Arg::Mem(m) } else { Arg::Reg(self.reg(o, class)) }
    }

    /// Computes a dense value again at the non-zeros, which are few: so it need not wait in a register to be picked.
    fn again(&mut self, f: Elem, args: &[NodeId]) -> Reg {
        let args = args.iter().map(|a| self.arg(*a, Class::Sparse)).collect();
        let to = self.fresh(Class::Sparse);
        self.instrs.push(Instr::Elem { f, to, args });
        to
    }

    /// Whether a dense value is computed again where it is needed at the non-zeros: if no row reduction lies in between,
    /// over which it would wait in a register anyway.
    fn is_recomputed(&self, o: NodeId) -> bool {
        self.class.get(&o) == Some(&Class::Dense) && self.level[&o] == self.now
    }

    /// A value in a register of a class, converted if need be.
    fn reg(&mut self, o: NodeId, class: Class) -> Reg {
        if let Some(r) = self.regs.get(&(o, class)) {
            return *r;
        }
        if let (Op::Elem(f, args), Class::Sparse) = (&self.cx.g.node(o).op, class)
            && self.is_recomputed(o)
        {
            let to = self.again(*f, args);
            self.regs.insert((o, class), to);
            return to;
        }
        let inside = self.cx.units.of[o.index()] == Some(self.index);
        let natural = self.natural_class(o);
        let instr = if inside || (natural == Class::Sparse && class != Class::Sparse) {
            let from = self.reg(o, natural);
            let to = self.fresh(class);
            match (natural, class) {
                (Class::Row, _) => Instr::Repeat { to, from: Arg::Reg(from) },
                (Class::Sparse, _) => Instr::Spread { to, from },
                _ => Instr::Pick { to, from: Arg::Reg(from) },
            }
        } else {
            let to = self.fresh(class);
            Instr::Load { to, mem: self.external[&o] }
        };
        let to = instr.writes().expect("conversions write a register");
        self.instrs.push(instr);
        self.regs.insert((o, class), to);
        to
    }
}

fn example(class: Class) -> Reg {
    match class {
        Class::Dense => Reg::Dense(0),
        Class::Row => Reg::Row(0),
        Class::Sparse => Reg::Sparse(0),
    }
}
