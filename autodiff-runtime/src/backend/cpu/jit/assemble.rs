//! Registers and machine code for a line of vector operations: a loop of 16 elements a turn, and its last, partial turn.

use super::encode::*;
use super::vops::*;
use super::{ACCUMULATORS, POINTERS, SPLATS};

/// Where the pool's address is kept; the frame's is in rdi.
const POOL: Gpr = Gpr(15);
/// Where addresses of arrays are kept; further ones are loaded into rax for each use.
const ADDRESSES: [Gpr; 10] =
    [RDX, Gpr(8), Gpr(9), Gpr(10), Gpr(11), Gpr(3), Gpr(5), Gpr(12), Gpr(13), Gpr(14)];
/// Holds the lanes of the partial turn, for the whole function.
const TAIL: u8 = 1;
/// Scratch.
const TEST: u8 = 2;

/// How an accumulator begins and grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Accumulation {
    /// From 0.
    Sum,
    /// From −∞.
    Largest,
}

struct Assembler<'a> {
    code: Code,
    line: &'a Line,
    last_use: Vec<usize>,
    n_sums: usize,
    /// Registers that hold nothing, as bits.
    free: u32,
    at: Vec<Option<Zmm>>,
    /// Lanes of loads and stores in this turn.
    lanes: Mask,
}

/// The machine code; `None` if the values alive at once need more registers than there are.
pub(super) fn assemble(line: &Line, n_pointers: usize, sums: &[Accumulation]) -> Option<Vec<u8>> {
    let mut a = Assembler {
        code: Code::default(),
        line,
        last_use: last_uses(&line.ops),
        n_sums: sums.len(),
        free: 0,
        at: vec![],
        lanes: ALL,
    };
    SAVED.iter().for_each(|r| a.code.push(*r));
    a.code.mask_from(TAIL, RDX);
    a.code.load_pointer(POOL, RDI, 0);
    for (i, r) in ADDRESSES.iter().enumerate().take(n_pointers) {
        a.code.load_pointer(*r, RDI, POINTERS + 8 * i as i32);
    }
    for (i, kind) in sums.iter().enumerate() {
        let start = if *kind == Accumulation::Sum { ZERO } else { LOWEST };
        let start = a.source(start);
        a.code.vector(BROADCAST, a.accumulator(i), 0, once(start), ALL, None);
    }
    a.code.clear_index();
    a.code.compare_index();
    let none = a.code.jump_if_zero();
    let begin = a.code.0.len();
    a.turn(ALL)?;
    a.code.step_index();
    a.code.compare_index();
    a.code.jump_back_if_below(begin);
    a.code.land(none);
    a.code.test_mask(TAIL);
    let even = a.code.jump_if_zero();
    a.turn(Mask { k: TAIL, zero: false })?;
    a.code.land(even);
    for i in 0..sums.len() {
        a.code.vector(STORE, a.accumulator(i), 0, Rm::At(RDI, ACCUMULATORS + 64 * i as i32), ALL, None);
    }
    SAVED.iter().rev().for_each(|r| a.code.pop(*r));
    a.code.leave();
    Some(a.code.0)
}

/// The operand of a broadcast instruction, which repeats by itself.
fn once(rm: Rm) -> Rm {
    match rm {
        Rm::Repeated(base, offset) => Rm::At(base, offset),
        other => other,
    }
}

fn operands(op: &Vop) -> Vec<V> {
    let of = |x: &In| if let In::V(v) = x { Some(*v) } else { None };
    match op {
        Vop::Load(_) => vec![],
        Vop::Fill(x) => of(x).into_iter().collect(),
        Vop::Unary(_, a, _) | Vop::Store(_, a) | Vop::Sum(_, a) | Vop::Largest(_, a) => vec![*a],
        Vop::Binary(_, a, b) | Vop::Compare(_, a, b) => [Some(*a), of(b)].into_iter().flatten().collect(),
        Vop::Fma(_, a, b, c) => [Some(*a), of(b), of(c)].into_iter().flatten().collect(),
        Vop::Bound(_, _, a) | Vop::Entry(_, a) | Vop::ShiftRight(a, _) => vec![*a],
        Vop::BySign(a, b, c) => vec![*a, *b, *c],
        Vop::Fix(a, b, _) => vec![*a, *b],
        Vop::Select(a, b, c) => [Some(*a), of(b), Some(*c)].into_iter().flatten().collect(),
        Vop::KeepNan(a, b) | Vop::Where(a, b) | Vop::Logic(_, a, b) => vec![*a, *b],
        Vop::Exact(q, _, a, b) => [Some(*q), of(a), Some(*b)].into_iter().flatten().collect(),
    }
}

/// Whether an operation is there for what it does, not for a value.
fn is_effect(op: &Vop) -> bool {
    matches!(op, Vop::Store(..) | Vop::Sum(..) | Vop::Largest(..))
}

/// The last operation that needs each value; 0 for one that nothing needs.
fn last_uses(ops: &[Vop]) -> Vec<usize> {
    let mut last = vec![0; ops.len()];
    for (i, op) in ops.iter().enumerate().rev() {
        if last[i] > 0 || is_effect(op) {
            operands(op).into_iter().for_each(|v| last[v as usize] = last[v as usize].max(i));
        }
    }
    last
}

impl Assembler<'_> {
    fn accumulator(&self, i: usize) -> Zmm {
        31 - i as u8
    }

    fn source(&self, x: In) -> Rm {
        match x {
            In::V(v) => Rm::Reg(self.reg(v)),
            In::Const(i) => Rm::Repeated(POOL, 4 * i as i32),
            In::Splat(i) => Rm::Repeated(RDI, SPLATS + 4 * i as i32),
        }
    }

    fn reg(&self, v: V) -> Zmm {
        self.at[v as usize].unwrap_or_default()
    }

    fn take(&mut self) -> Option<Zmm> {
        let r = self.free.trailing_zeros();
        if r >= 32 {
            return None;
        }
        self.free &= !(1 << r);
        Some(r as Zmm)
    }

    fn array(&mut self, pointer: u32) -> Rm {
        match ADDRESSES.get(pointer as usize) {
            Some(r) => Rm::Indexed(*r),
            None => {
                self.code.load_pointer(RAX, RDI, POINTERS + 8 * pointer as i32);
                Rm::Indexed(RAX)
            }
        }
    }

    /// All operations, once.
    fn turn(&mut self, lanes: Mask) -> Option<()> {
        self.lanes = lanes;
        self.free = u32::MAX >> self.n_sums;
        self.at = vec![None; self.line.ops.len()];
        for (i, op) in self.line.ops.iter().enumerate() {
            if !is_effect(op) && self.last_use[i] == 0 {
                continue;
            }
            self.at[i] = self.operation(i, op)?;
            let mut given_back = operands(op);
            given_back.sort_unstable();
            given_back.dedup();
            for v in given_back {
                // A result may have taken over an operand's register.
                let r = self.reg(v);
                if self.last_use[v as usize] == i && self.at[i] != Some(r) {
                    self.free |= 1 << r;
                }
            }
        }
        Some(())
    }

    /// A register that holds a copy of `v`, to be overwritten: its own if this is its last use.
    fn overwrite(&mut self, i: usize, v: V) -> Option<Zmm> {
        let from = self.reg(v);
        if self.last_use[v as usize] == i {
            return Some(from);
        }
        let to = self.take()?;
        self.code.vector(MOVE, to, 0, Rm::Reg(from), ALL, None);
        Some(to)
    }

    /// One operation; the outer `None` means that registers ran out.
    fn operation(&mut self, i: usize, op: &Vop) -> Option<Option<Zmm>> {
        let lanes = self.lanes;
        Some(Some(match *op {
            Vop::Load(p) => {
                let to = self.take()?;
                let from = self.array(p);
                self.code.vector(LOAD, to, 0, from, Mask { zero: lanes.k != 0, ..lanes }, None);
                to
            }
            Vop::Fill(x) => {
                let to = self.take()?;
                let from = once(self.source(x));
                self.code.vector(BROADCAST, to, 0, from, ALL, None);
                to
            }
            Vop::Unary(op, a, imm) => {
                let to = self.take()?;
                self.code.vector(op, to, 0, Rm::Reg(self.reg(a)), ALL, imm);
                to
            }
            Vop::Binary(op, a, b) => {
                let to = self.take()?;
                self.code.vector(op, to, self.reg(a), self.source(b), ALL, None);
                to
            }
            Vop::Bound(op, b, a) => {
                let to = self.take()?;
                let b = once(self.source(b));
                self.code.vector(BROADCAST, to, 0, b, ALL, None);
                self.code.vector(op, to, to, Rm::Reg(self.reg(a)), ALL, None);
                to
            }
            Vop::Entry(table, at) => {
                let to = self.take()?;
                let table = Rm::At(POOL, 4 * table as i32);
                self.code.vector(PERMUTE, to, self.reg(at), table, ALL, None);
                to
            }
            Vop::ShiftRight(a, by) => {
                let to = self.take()?;
                // The result is the operand in between; the first field says which shift it is.
                self.code.vector(SHIFT_RIGHT, 2, to, Rm::Reg(self.reg(a)), ALL, Some(by));
                to
            }
            Vop::Fix(y, x, kinds) => {
                let to = self.overwrite(i, y)?;
                self.code.vector(FIX, to, self.reg(x), self.source(kinds), ALL, Some(0));
                to
            }
            Vop::Fma(kind, a, b, c) => self.fused(i, kind, a, b, c)?,
            _ if is_effect(op) => {
                self.effect(op)?;
                return Some(None);
            }
            _ => self.masked(i, op)?,
        }))
    }

    /// An operation that chooses lanes by a test.
    fn masked(&mut self, i: usize, op: &Vop) -> Option<Zmm> {
        let test = Mask { k: TEST, zero: false };
        Some(match *op {
            Vop::Compare(how, a, b) => {
                let to = self.take()?;
                self.code.vector(COMPARE, TEST, self.reg(a), self.source(b), ALL, Some(how));
                self.one_where(to);
                to
            }
            Vop::Select(c, yes, no) => {
                let to = self.take()?;
                self.code.vector(COMPARE, TEST, self.reg(c), self.source(ZERO), ALL, Some(NEQ));
                self.code.vector(BLEND, to, self.reg(no), self.source(yes), test, None);
                to
            }
            Vop::BySign(a, negative, other) => {
                let to = self.take()?;
                self.code.vector(SIGNS, TEST, 0, Rm::Reg(self.reg(a)), ALL, None);
                self.code.vector(BLEND, to, self.reg(other), Rm::Reg(self.reg(negative)), test, None);
                to
            }
            Vop::KeepNan(a, m) => {
                let to = self.overwrite(i, m)?;
                let a = self.reg(a);
                self.code.vector(COMPARE, TEST, a, Rm::Reg(a), ALL, Some(UNORDERED));
                self.code.vector(MOVE, to, 0, Rm::Reg(a), test, None);
                to
            }
            Vop::Where(a, v) => {
                let to = self.take()?;
                self.code.vector(COMPARE, TEST, self.reg(a), self.source(ZERO), ALL, Some(NEQ));
                self.code.vector(MOVE, to, 0, Rm::Reg(self.reg(v)), Mask { zero: true, ..test }, None);
                to
            }
            Vop::Logic(both, a, b) => {
                let to = self.take()?;
                let zero = self.source(ZERO);
                let (a, b) = (self.reg(a), self.reg(b));
                if both {
                    self.code.vector(COMPARE, TEST, a, zero, ALL, Some(NEQ));
                    self.code.vector(COMPARE, TEST, b, zero, test, Some(NEQ));
                } else {
                    self.code.vector(OR, to, a, Rm::Reg(b), ALL, None);
                    self.code.vector(COMPARE, TEST, to, zero, ALL, Some(NEQ));
                }
                self.one_where(to);
                to
            }
            Vop::Exact(q, op, a, b) => {
                let to = self.overwrite(i, q)?;
                // Not a number, or infinite.
                self.code.vector(CLASS, TEST, 0, Rm::Reg(to), ALL, Some(0x99));
                self.code.test_mask(TEST);
                let fine = self.code.jump_if_zero();
                let first = match a {
                    _ if op == SQRT => 0,
                    In::V(a) => self.reg(a),
                    number => {
                        let number = once(self.source(number));
                        self.code.vector(BROADCAST, to, 0, number, ALL, None);
                        to
                    }
                };
                self.code.vector(op, to, first, Rm::Reg(self.reg(b)), ALL, None);
                self.code.land(fine);
                to
            }
            _ => return None,
        })
    }

    /// An operation that gives no value.
    fn effect(&mut self, op: &Vop) -> Option<()> {
        let lanes = self.lanes;
        match *op {
            Vop::Store(p, v) => {
                let to = self.array(p);
                self.code.vector(STORE, self.reg(v), 0, to, lanes, None);
            }
            Vop::Sum(acc, v) => {
                let acc = self.accumulator(acc as usize);
                self.code.vector(ADD, acc, acc, Rm::Reg(self.reg(v)), lanes, None);
            }
            Vop::Largest(acc, v) => {
                let acc = self.accumulator(acc as usize);
                let v = self.reg(v);
                let to = self.take()?;
                self.code.vector(MAX, to, acc, Rm::Reg(v), ALL, None);
                // What is not a number stays.
                self.code.vector(COMPARE, TEST, acc, Rm::Reg(acc), ALL, Some(UNORDERED));
                self.code.vector(MOVE, to, 0, Rm::Reg(acc), Mask { k: TEST, zero: false }, None);
                self.code.vector(MOVE, acc, 0, Rm::Reg(to), lanes, None);
                self.free |= 1 << to;
            }
            _ => {}
        }
        Some(())
    }

    /// 1 in the lanes of the test mask, else 0.
    fn one_where(&mut self, to: Zmm) {
        let one = once(self.source(ONE));
        self.code.vector(BROADCAST, to, 0, one, Mask { k: TEST, zero: true }, None);
    }

    fn fused(&mut self, i: usize, kind: Fused, a: V, b: In, c: In) -> Option<Zmm> {
        let (by_product, by_sum) = match kind {
            Fused::Plus => (FMA213, FMA231),
            Fused::Minus => (FNMA213, FNMA231),
            Fused::Less => (FMS213, FMS231),
        };
        let ends = |s: &Self, v: V| s.last_use[v as usize] == i;
        match (b, c) {
            (In::V(b), In::V(c)) if !ends(self, c) && (ends(self, a) || ends(self, b)) => {
                let (over, other) = if ends(self, a) { (a, b) } else { (b, a) };
                let to = self.reg(over);
                self.code.vector(by_product, to, self.reg(other), Rm::Reg(self.reg(c)), ALL, None);
                Some(to)
            }
            (_, In::V(c)) => {
                let to = self.overwrite(i, c)?;
                self.code.vector(by_sum, to, self.reg(a), self.source(b), ALL, None);
                Some(to)
            }
            (In::V(b), _) => {
                let (over, other) = if ends(self, a) || !ends(self, b) { (a, b) } else { (b, a) };
                let other = self.reg(other);
                let to = self.overwrite(i, over)?;
                self.code.vector(by_product, to, other, self.source(c), ALL, None);
                Some(to)
            }
            _ => {
                let to = self.take()?;
                let start = once(self.source(c));
                self.code.vector(BROADCAST, to, 0, start, ALL, None);
                self.code.vector(by_sum, to, self.reg(a), self.source(b), ALL, None);
                Some(to)
            }
        }
    }
}
