//! From a kernel's instructions to lines of vector operations.

use super::assemble::{Accumulation, assemble};
use super::vops::{Fused, In, Line, V, Vop, has_form};
use super::{Array, N_POINTERS, N_SPLATS, N_SUMS, Number, Over, Stage, Stretch, Target};
use crate::op::{Elem, ReduceKind};
use crate::plan::{Arg, Instr, Kernel, Mem, Reg};
use std::collections::BTreeMap;
use std::ops::Range;

/// The stages of a kernel and the code of all its stretches.
pub(super) fn stages(k: &Kernel) -> (Vec<Stage>, Vec<u8>) {
    let mut list = vec![];
    let mut code = vec![];
    let mut at = 0;
    while at < k.instrs.len() {
        let Some(over) = compiles(k, &k.instrs[at]) else {
            list.push(Stage::Instr(at));
            at += 1;
            continue;
        };
        let mut end = at + 1;
        while end < k.instrs.len()
            && compiles(k, &k.instrs[end]) == Some(over)
            && (over == Over::Rows || !reads_row_of(&k.instrs[at..end], &k.instrs[end]))
        {
            end += 1;
        }
        compile(k, at..end, over, &mut list, &mut code);
        at = end;
    }
    (list, code)
}

/// Compiles a range; in halves if one function cannot hold it.
fn compile(k: &Kernel, range: Range<usize>, over: Over, list: &mut Vec<Stage>, code: &mut Vec<u8>) {
    if let Some((mut stretch, bytes)) = Lowering::new(k, range.clone(), over).finish() {
        code.resize(code.len().next_multiple_of(64), 0xCC);
        stretch.code = code.len();
        code.extend(bytes);
        list.push(Stage::Stretch(stretch));
    } else if range.len() == 1 {
        list.push(Stage::Instr(range.start));
    } else {
        let middle = range.start + range.len() / 2;
        compile(k, range.start..middle, over, list, code);
        compile(k, middle..range.end, over, list, code);
    }
}

/// Whether an instruction reads a row register that one of the others writes.
fn reads_row_of(before: &[Instr], i: &Instr) -> bool {
    let rows = i.reads();
    before.iter().filter_map(Instr::writes).any(|w| matches!(w, Reg::Row(_)) && rows.contains(&w))
}

/// Whether an instruction can be part of a stretch, and if so, of one over what.
fn compiles(k: &Kernel, i: &Instr) -> Option<Over> {
    let class = |r: &Reg| match r {
        Reg::Dense(_) => Over::Elements,
        Reg::Sparse(_) => Over::NonZeros,
        Reg::Row(_) => Over::Rows,
    };
    let elements_or_non_zeros = |r: &Reg| Some(class(r)).filter(|over| *over != Over::Rows);
    match i {
        Instr::Elem { f, to, .. } => Some(class(to)).filter(|_| has_form(*f)),
        Instr::Copy { to, .. } => Some(class(to)),
        Instr::Repeat { to, from: Arg::Reg(_) } => elements_or_non_zeros(to),
        Instr::Load { to, mem } => {
            let m = &k.mems[*mem as usize];
            let fits = match to {
                Reg::Dense(_) => !m.sparse && m.col <= 1,
                Reg::Sparse(_) => m.sparse || m.col == 0,
                Reg::Row(_) => false,
            };
            Some(class(to)).filter(|_| fits && !m.index)
        }
        Instr::RowReduce { kind: ReduceKind::Sum | ReduceKind::Max, sparse, .. } => {
            Some(if *sparse { Over::NonZeros } else { Over::Elements })
        }
        Instr::Accumulate { acc, class: c, .. } => {
            let a = &k.accumulators[*acc as usize];
            elements_or_non_zeros(c).filter(|over| a.scalar || (*over == Over::Elements && a.col == 1))
        }
        Instr::Store { class: c, .. } => Some(class(c)),
        _ => None,
    }
}

/// A value as it stands: a product waits to be fused with a sum.
#[derive(Clone, Copy)]
enum Lazy {
    Is(In),
    Product(In, In),
}

struct Lowering<'a> {
    k: &'a Kernel,
    range: Range<usize>,
    line: Line,
    values: BTreeMap<Reg, Lazy>,
    loads: Vec<(Array, V)>,
    out: Stretch,
    sums: Vec<Accumulation>,
}

impl<'a> Lowering<'a> {
    fn new(k: &'a Kernel, range: Range<usize>, over: Over) -> Self {
        let (arrays, numbers, targets) = (vec![], vec![], vec![]);
        let out = Stretch { code: 0, pool: vec![], over, flat: false, arrays, numbers, targets };
        Self { k, range, line: Line::new(), values: BTreeMap::new(), loads: vec![], out, sums: vec![] }
    }

    fn finish(mut self) -> Option<(Stretch, Vec<u8>)> {
        for at in self.range.clone() {
            self.instruction(at)?;
        }
        let defined: Vec<Reg> = self.values.keys().copied().collect();
        for r in defined {
            if self.is_read_later(r) {
                let x = self.values[&r];
                let v = self.settled(x);
                let v = self.line.value(v);
                let p = self.array(Array::Reg(r));
                self.line.push(Vop::Store(p, v));
            }
        }
        let too_many = self.out.arrays.len() > N_POINTERS
            || self.out.numbers.len() > N_SPLATS
            || self.sums.len() > N_SUMS;
        if too_many {
            return None;
        }
        self.out.flat = self.is_flat();
        let bytes = assemble(&self.line, self.out.arrays.len(), &self.sums)?;
        self.out.pool = self.line.pool;
        Some((self.out, bytes))
    }

    /// Whether a register's value is needed after the range.
    fn is_read_later(&self, r: Reg) -> bool {
        for i in &self.k.instrs[self.range.end..] {
            if i.reads().contains(&r) {
                return true;
            }
            if i.writes() == Some(r) {
                return false;
            }
        }
        false
    }

    /// How often the value that an instruction gives is read, counting a use after the range as two.
    fn uses(&self, at: usize, r: Reg) -> usize {
        let mut n = 0;
        for i in &self.k.instrs[at + 1..self.range.end] {
            n += reads_with_repeats(i, r);
            if i.writes() == Some(r) {
                return n;
            }
        }
        n + if self.is_read_later(r) { 2 } else { 0 }
    }

    fn is_flat(&self) -> bool {
        let whole = |m: &Mem| {
            let mut wanted = self.k.cols;
            let rows = m.outer.iter().zip(&self.k.outer).rev().all(|(s, n)| {
                let ok = *s == wanted;
                wanted *= n;
                ok
            });
            rows && (m.col == 1 || self.k.cols == 1)
        };
        let contiguous = |a: &Array| match a {
            Array::Reg(_) => true,
            Array::Read(m) | Array::Write(m) => whole(&self.k.mems[*m as usize]),
            Array::Part(_) => false,
        };
        let same = |n: &Number| match n {
            Number::Row(_) => false,
            Number::Mem(m) => self.k.mems[*m as usize].outer.iter().all(|s| *s == 0),
        };
        self.out.over == Over::Elements
            && self.out.arrays.iter().all(contiguous)
            && self.out.numbers.iter().all(same)
            && self.out.targets.iter().all(|t| matches!(t, Target::Total(_)))
    }

    fn array(&mut self, a: Array) -> u32 {
        let at = self.out.arrays.iter().position(|x| *x == a);
        at.unwrap_or_else(|| {
            self.out.arrays.push(a);
            self.out.arrays.len() - 1
        }) as u32
    }

    fn load(&mut self, a: Array) -> In {
        if let Some((_, v)) = self.loads.iter().find(|(x, _)| *x == a) {
            return In::V(*v);
        }
        let p = self.array(a);
        let v = self.line.push(Vop::Load(p));
        self.loads.push((a, v));
        In::V(v)
    }

    fn number(&mut self, n: Number) -> In {
        let at = self.out.numbers.iter().position(|x| *x == n);
        In::Splat(at.unwrap_or_else(|| {
            self.out.numbers.push(n);
            self.out.numbers.len() - 1
        }) as u32)
    }

    fn memory(&mut self, m: u16) -> In {
        let mem = &self.k.mems[m as usize];
        let by_row = self.out.over == Over::Rows && self.k.tile_rows > 1 && mem.outer.iter().any(|s| *s > 0);
        let repeated = !mem.sparse && mem.col == 0 && !by_row;
        if repeated { self.number(Number::Mem(m)) } else { self.load(Array::Read(m)) }
    }

    fn lazy(&mut self, a: Arg) -> Lazy {
        match a {
            Arg::Const(c) => Lazy::Is(self.line.number(c as f32)),
            Arg::Mem(m) => Lazy::Is(self.memory(m)),
            Arg::Reg(Reg::Row(r)) if self.out.over != Over::Rows => Lazy::Is(self.number(Number::Row(r))),
            Arg::Reg(r) => match self.values.get(&r) {
                Some(v) => *v,
                None => Lazy::Is(self.load(Array::Reg(r))),
            },
        }
    }

    fn settled(&mut self, x: Lazy) -> In {
        match x {
            Lazy::Is(v) => v,
            Lazy::Product(a, b) => {
                let v = self.line.elementwise(Elem::Mul, &[a, b]);
                v.map_or(a, In::V)
            }
        }
    }

    fn arg(&mut self, a: Arg) -> In {
        let x = self.lazy(a);
        let v = self.settled(x);
        // Computed once, however often it is read.
        if let (Arg::Reg(r), Lazy::Product(..)) = (a, x) {
            self.values.insert(r, Lazy::Is(v));
        }
        v
    }

    fn value(&mut self, a: Arg) -> V {
        let x = self.arg(a);
        self.line.value(x)
    }

    fn instruction(&mut self, at: usize) -> Option<()> {
        match &self.k.instrs[at] {
            Instr::Elem { f, to, args } => {
                let v = self.elementwise(at, *f, *to, args)?;
                self.values.insert(*to, v);
            }
            Instr::Load { to, mem } => {
                let v = self.memory(*mem);
                self.values.insert(*to, Lazy::Is(v));
            }
            Instr::Copy { to, from } | Instr::Repeat { to, from } => {
                let v = self.arg(*from);
                self.values.insert(*to, Lazy::Is(v));
            }
            Instr::RowReduce { kind, to: Reg::Row(to), from, .. } => {
                let v = self.value(*from);
                let sum = *kind == ReduceKind::Sum;
                self.sum(v, if sum { Target::RowSum(*to) } else { Target::RowMax(*to) });
            }
            Instr::Accumulate { acc, from, .. } => {
                let v = self.value(*from);
                if self.k.accumulators[*acc as usize].scalar {
                    self.sum(v, Target::Total(*acc));
                } else {
                    let p = self.array(Array::Part(*acc));
                    let old = self.line.push(Vop::Load(p));
                    let new = self.line.elementwise(Elem::Add, &[In::V(old), In::V(v)])?;
                    self.line.push(Vop::Store(p, new));
                }
            }
            Instr::Store { mem, from, .. } => {
                let v = self.value(*from);
                let p = self.array(Array::Write(*mem));
                self.line.push(Vop::Store(p, v));
            }
            _ => return None,
        }
        Some(())
    }

    fn sum(&mut self, v: V, target: Target) {
        let n = self.sums.len() as u32;
        self.out.targets.push(target);
        if matches!(target, Target::RowMax(_)) {
            self.sums.push(Accumulation::Largest);
            self.line.push(Vop::Largest(n, v));
        } else {
            self.sums.push(Accumulation::Sum);
            self.line.push(Vop::Sum(n, v));
        }
    }

    fn elementwise(&mut self, at: usize, f: Elem, to: Reg, args: &[Arg]) -> Option<Lazy> {
        if matches!(f, Elem::Mul | Elem::Square) && self.uses(at, to) == 1 {
            let a = self.arg(args[0]);
            let b = self.arg(*args.last()?);
            return Some(Lazy::Product(a, b));
        }
        if matches!(f, Elem::Add | Elem::Sub) {
            let (a, b) = (self.lazy(args[0]), self.lazy(args[1]));
            let fused = match (f, a, b) {
                (Elem::Add, Lazy::Product(x, y), _) => Some((Fused::Plus, x, y, b)),
                (Elem::Add, _, Lazy::Product(x, y)) => Some((Fused::Plus, x, y, a)),
                (_, _, Lazy::Product(x, y)) => Some((Fused::Minus, x, y, a)),
                (_, Lazy::Product(x, y), _) => Some((Fused::Less, x, y, b)),
                _ => None,
            };
            if let Some((kind, x, y, rest)) = fused {
                let rest = self.settled(rest);
                let (x, y) = if matches!(x, In::V(_)) { (x, y) } else { (y, x) };
                let x = self.line.value(x);
                return Some(Lazy::Is(In::V(self.line.push(Vop::Fma(kind, x, y, rest)))));
            }
        }
        let mut ins = vec![];
        for a in args {
            ins.push(self.arg(*a));
        }
        self.line.elementwise(f, &ins).map(|v| Lazy::Is(In::V(v)))
    }
}

fn reads_with_repeats(i: &Instr, r: Reg) -> usize {
    match i {
        Instr::Elem { args, .. } => args.iter().filter(|a| **a == Arg::Reg(r)).count(),
        _ => usize::from(i.reads().contains(&r)),
    }
}
