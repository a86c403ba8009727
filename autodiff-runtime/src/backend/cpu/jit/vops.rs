//! A straight line of vector operations on values, each written once, and how elementwise functions become such.
//!
//! Accuracy (swept in the tests of the operations): exponentials and logarithms as [`super::elementary`] says, division,
//! reciprocal and root within one unit in the last place.

use super::encode::*;
use crate::op::Elem;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A value.
pub(super) type V = u32;

/// An operand that may be one number for all lanes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum In {
    /// A value.
    V(V),
    /// A number of the pool.
    Const(u32),
    /// A number of the frame.
    Splat(u32),
}

/// Signs of a fused product: a·b + c, c − a·b, a·b − c.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fused {
    Plus,
    Minus,
    Less,
}

/// One vector operation; its result is the value of its position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Vop {
    /// Sixteen elements of an array.
    Load(u32),
    /// A repeated number.
    Fill(In),
    /// result = op(a).
    Unary(Opcode, V, Option<u8>),
    /// result = op(a, b).
    Binary(Opcode, V, In),
    /// result = op(b, a) for a number b: of the two, `a` is what an extreme returns if either is not a number.
    Bound(Opcode, In, V),
    /// A product and a sum with one rounding.
    Fma(Fused, V, In, In),
    /// An entry of sixteen numbers of the pool, by the low four bits of each lane.
    Entry(u32, V),
    /// Bits moved down.
    ShiftRight(V, u8),
    /// Where the sign bit of a is set the second, else the third.
    BySign(V, V, V),
    /// y, but not a number, an infinity or the like where x is such: by the pool's number, which gives the answer for
    /// each kind of x.
    Fix(V, V, In),
    /// 1 where the comparison holds, else 0.
    Compare(u8, V, In),
    /// Where c ≠ 0 the second, else the third.
    Select(V, In, V),
    /// Where a is not a number a, else b.
    KeepNan(V, V),
    /// Where a ≠ 0 the second, else 0.
    Where(V, V),
    /// 1 where both (or, if false, either) are not 0.
    Logic(bool, V, V),
    /// The first; if any lane of it is not finite, op(a, b) instead, which is exact and slow.
    Exact(V, Opcode, In, V),
    /// Writes an array.
    Store(u32, V),
    /// Adds to an accumulator.
    Sum(u32, V),
    /// Largest with an accumulator.
    Largest(u32, V),
}

/// Comparison predicates.
pub(super) const EQ: u8 = 0;
pub(super) const LT: u8 = 1;
pub(super) const LE: u8 = 2;
pub(super) const UNORDERED: u8 = 3;
pub(super) const NEQ: u8 = 4;

/// What every pool begins with.
pub(super) const ONE: In = In::Const(0);
/// 0.
pub(super) const ZERO: In = In::Const(1);
/// −∞.
pub(super) const LOWEST: In = In::Const(2);

/// Operations under construction.
pub(super) struct Line {
    pub ops: Vec<Vop>,
    pub pool: Vec<f32>,
    seen: BTreeMap<In, V>,
    /// Where each operation that is a function of its operands alone was done already.
    done: BTreeMap<Vop, V>,
}

/// Whether a function has a vector form here.
pub(super) fn has_form(f: Elem) -> bool {
    use Elem::*;
    matches!(
        f,
        Neg | Recip
            | Exp
            | Log
            | Log1p
            | Sqrt
            | Square
            | Abs
            | Floor
            | Sigmoid
            | Softplus
            | Relu
            | Not
            | Add
            | Sub
            | Mul
            | Div
            | Min
            | Max
            | XLogY
            | LgammaDelta
            | DigammaDelta
            | Lt
            | Le
            | Eq
            | And
            | Or
            | Select
    )
}

impl Line {
    /// No operation.
    pub fn new() -> Self {
        Self {
            ops: vec![],
            pool: vec![1.0, 0.0, f32::NEG_INFINITY],
            seen: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    /// Adds an operation, if it was not done already.
    pub fn push(&mut self, op: Vop) -> V {
        let at = self.ops.len() as u32;
        // A number that is repeated once more costs less than a register that waits with it.
        let once =
            matches!(op, Vop::Load(_) | Vop::Fill(_) | Vop::Store(..) | Vop::Sum(..) | Vop::Largest(..));
        if !once {
            match self.done.entry(op) {
                Entry::Occupied(found) => return *found.get(),
                Entry::Vacant(free) => free.insert(at),
            };
        }
        self.ops.push(op);
        at
    }

    /// Sixteen numbers one after the other in the pool: where they begin.
    pub fn table(&mut self, of: &[f32; 16]) -> u32 {
        let same = |w: &[f32]| w.iter().zip(of).all(|(a, b)| a.to_bits() == b.to_bits());
        let at = self.pool.windows(16).position(same);
        at.unwrap_or_else(|| {
            self.pool.extend(of);
            self.pool.len() - 16
        }) as u32
    }

    /// A number of the pool.
    pub fn number(&mut self, x: f32) -> In {
        let at = self.pool.iter().position(|p| p.to_bits() == x.to_bits());
        In::Const(at.unwrap_or_else(|| {
            self.pool.push(x);
            self.pool.len() - 1
        }) as u32)
    }

    /// An operand as a value of its own.
    pub fn value(&mut self, x: In) -> V {
        match x {
            In::V(v) => v,
            _ => match self.seen.get(&x) {
                Some(v) => *v,
                None => {
                    let v = self.push(Vop::Fill(x));
                    if matches!(x, In::Splat(_)) {
                        self.seen.insert(x, v);
                    }
                    v
                }
            },
        }
    }

    pub(super) fn with(&mut self, op: Opcode, a: V, b: f32) -> V {
        let b = self.number(b);
        self.push(Vop::Binary(op, a, b))
    }

    pub(super) fn binary(&mut self, op: Opcode, a: V, b: V) -> V {
        self.push(Vop::Binary(op, a, In::V(b)))
    }

    /// a · b + c.
    pub(super) fn fma(&mut self, kind: Fused, a: V, b: In, c: In) -> V {
        self.push(Vop::Fma(kind, a, b, c))
    }

    /// A polynomial of the first degree at least, highest coefficient first.
    pub(super) fn poly(&mut self, x: V, coefficients: &[f32]) -> V {
        let [first, second] = [0, 1].map(|i| self.number(coefficients[i]));
        let mut y = self.fma(Fused::Plus, x, first, second);
        for c in &coefficients[2..] {
            let c = self.number(*c);
            y = self.fma(Fused::Plus, y, In::V(x), c);
        }
        y
    }

    /// op(b, x) for a number b: of the two, x is returned if either is not a number.
    pub(super) fn bound(&mut self, op: Opcode, b: f32, x: V) -> V {
        let b = self.number(b);
        self.push(Vop::Bound(op, b, x))
    }

    /// The value of an elementwise function; `None` if it has no form here.
    pub fn elementwise(&mut self, f: Elem, args: &[In]) -> Option<V> {
        use Elem::*;
        if !has_form(f) {
            return None;
        }
        if let (Add | Mul, In::Const(_) | In::Splat(_)) = (f, args[0]) {
            let a = self.value(args[1]);
            return Some(self.push(Vop::Binary(if f == Add { ADD } else { MUL }, a, args[0])));
        }
        let a = self.value(args[0]);
        let b = args.get(1).copied();
        Some(match (f, b) {
            (Add | Sub | Mul, Some(b)) => {
                let op = match f {
                    Add => ADD,
                    Sub => SUB,
                    _ => MUL,
                };
                self.push(Vop::Binary(op, a, b))
            }
            (Lt, Some(b)) => self.push(Vop::Compare(LT, a, b)),
            (Le, Some(b)) => self.push(Vop::Compare(LE, a, b)),
            (Eq, Some(b)) => self.push(Vop::Compare(EQ, a, b)),
            (Select, Some(yes)) => {
                let no = self.value(args[2]);
                self.push(Vop::Select(a, yes, no))
            }
            (_, Some(b)) => {
                let b = self.value(b);
                self.two(f, a, b)
            }
            (_, None) => self.one(f, a),
        })
    }

    fn two(&mut self, f: Elem, a: V, b: V) -> V {
        match f {
            Elem::Div => self.divide(a, b),
            Elem::LgammaDelta => self.lgamma_delta(a, b),
            Elem::DigammaDelta => self.digamma_delta(a, b),
            Elem::And => self.push(Vop::Logic(true, a, b)),
            Elem::Or => self.push(Vop::Logic(false, a, b)),
            Elem::XLogY => {
                let l = self.log(b);
                let p = self.binary(MUL, a, l);
                self.push(Vop::Where(a, p))
            }
            _ => {
                let op = if f == Elem::Min { MIN } else { MAX };
                // The instruction returns its second operand if either is not a number.
                let m = self.binary(op, a, b);
                self.push(Vop::KeepNan(a, m))
            }
        }
    }

    fn one(&mut self, f: Elem, a: V) -> V {
        match f {
            Elem::Neg => self.with(XOR, a, -0.0),
            Elem::Recip => self.reciprocal(a),
            Elem::Exp => self.exp(a),
            Elem::Log => self.log(a),
            Elem::Log1p => self.log1p(a),
            Elem::Sqrt => self.root(a),
            Elem::Square => self.binary(MUL, a, a),
            Elem::Abs => self.with(AND, a, f32::from_bits(0x7FFF_FFFF)),
            Elem::Floor => self.push(Vop::Unary(ROUND, a, Some(0x09))),
            Elem::Sigmoid => self.sigmoid(a),
            Elem::Softplus => self.softplus(a),
            Elem::Relu => self.bound(MAX, 0.0, a),
            // Not: the last of those that `has_form` names.
            _ => {
                let zero = self.number(0.0);
                self.push(Vop::Compare(EQ, a, zero))
            }
        }
    }

    /// 1/b to 2⁻²⁸ for normal results, not finite or not a number beside them.
    pub(super) fn near_reciprocal(&mut self, b: V) -> V {
        let r = self.push(Vop::Unary(RECIP14, b, None));
        let one = self.number(1.0);
        let e = self.fma(Fused::Minus, r, In::V(b), one);
        self.fma(Fused::Plus, r, In::V(e), In::V(r))
    }

    fn reciprocal(&mut self, b: V) -> V {
        let r = self.near_reciprocal(b);
        self.push(Vop::Exact(r, DIV, ONE, b))
    }

    fn divide(&mut self, a: V, b: V) -> V {
        let r = self.near_reciprocal(b);
        let q = self.binary(MUL, a, r);
        let rest = self.fma(Fused::Minus, q, In::V(b), In::V(a));
        let q = self.fma(Fused::Plus, rest, In::V(r), In::V(q));
        self.push(Vop::Exact(q, DIV, In::V(a), b))
    }

    /// Root by Goldschmidt's iteration from a 14-bit inverse root.
    fn root(&mut self, x: V) -> V {
        let y = self.push(Vop::Unary(RSQRT14, x, None));
        let s = self.binary(MUL, x, y);
        let h = self.with(MUL, y, 0.5);
        let half = self.number(0.5);
        let e = self.fma(Fused::Minus, s, In::V(h), half);
        let s = self.fma(Fused::Plus, s, In::V(e), In::V(s));
        let rest = self.fma(Fused::Minus, s, In::V(s), In::V(x));
        let s = self.fma(Fused::Plus, rest, In::V(h), In::V(s));
        self.push(Vop::Exact(s, SQRT, In::V(x), x))
    }
}
