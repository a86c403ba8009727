//! A straight line of vector operations on values, each written once, and how elementwise functions become such.
//!
//! Accuracy (swept in the tests of the operations): exp and log as the loops of `lanes` (log relative 1e-7), division,
//! reciprocal and root within one unit in the last place.

use super::encode::*;
use crate::op::Elem;
use std::collections::BTreeMap;

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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fused {
    Plus,
    Minus,
    Less,
}

/// One vector operation; its result is the value of its position.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Vop {
    /// Sixteen elements of an array.
    Load(u32),
    /// A repeated number.
    Fill(In),
    /// result = op(a).
    Unary(Opcode, V, Option<u8>),
    /// result = op(a, b).
    Binary(Opcode, V, In),
    /// A product and a sum with one rounding.
    Fma(Fused, V, In, In),
    /// 1 where the comparison holds, else 0.
    Compare(u8, V, In),
    /// Where c ≠ 0 the second, else the third.
    Select(V, In, V),
    /// Where a is not a number a, else b.
    KeepNan(V, V),
    /// y + t where t is a number, else y.
    AddNumber(V, V),
    /// Where a ≠ 0 the second, else 0.
    Where(V, V),
    /// 1 where both (or, if false, either) are not 0.
    Logic(bool, V, V),
    /// The first; if any lane of it is not finite, op(a, b) instead, which is exact and slow.
    Exact(V, Opcode, V, V),
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
pub(super) const ORDERED: u8 = 7;

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
        Self { ops: vec![], pool: vec![1.0, 0.0, f32::NEG_INFINITY], seen: BTreeMap::new() }
    }

    /// Adds an operation.
    pub fn push(&mut self, op: Vop) -> V {
        self.ops.push(op);
        self.ops.len() as u32 - 1
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

    fn fill(&mut self, x: f32) -> V {
        let x = self.number(x);
        self.push(Vop::Fill(x))
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

    pub(super) fn poly(&mut self, x: V, coefficients: &[f32]) -> V {
        let mut y = self.fill(coefficients[0]);
        for c in &coefficients[1..] {
            let c = self.number(*c);
            y = self.fma(Fused::Plus, y, In::V(x), c);
        }
        y
    }

    /// op(b, x) for a number b: of the two, x is returned if either is not a number.
    fn bound(&mut self, op: Opcode, b: f32, x: V) -> V {
        let b = self.fill(b);
        self.binary(op, b, x)
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
            Elem::Sigmoid => {
                let n = self.with(XOR, a, -0.0);
                let e = self.exp(n);
                let d = self.with(ADD, e, 1.0);
                self.reciprocal(d)
            }
            Elem::Softplus => {
                let n = self.with(OR, a, -0.0);
                let e = self.exp(n);
                let l = self.log1p(e);
                let p = self.bound(MAX, 0.0, a);
                self.binary(ADD, p, l)
            }
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
        let one = self.fill(1.0);
        self.push(Vop::Exact(r, DIV, one, b))
    }

    fn divide(&mut self, a: V, b: V) -> V {
        let r = self.near_reciprocal(b);
        let q = self.binary(MUL, a, r);
        let rest = self.fma(Fused::Minus, q, In::V(b), In::V(a));
        let q = self.fma(Fused::Plus, rest, In::V(r), In::V(q));
        self.push(Vop::Exact(q, DIV, a, b))
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
        self.push(Vop::Exact(s, SQRT, x, x))
    }

    fn exp(&mut self, x: V) -> V {
        let x = self.bound(MAX, -104.0, x);
        let x = self.bound(MIN, 89.0, x);
        let n = self.with(MUL, x, std::f32::consts::LOG2_E);
        let n = self.push(Vop::Unary(ROUND, n, Some(0x08)));
        let (high, low) = (self.number(0.693_359_375), self.number(-2.121_944_4e-4));
        let r = self.fma(Fused::Minus, n, high, In::V(x));
        let r = self.fma(Fused::Minus, n, low, In::V(r));
        let q = self.poly(
            r,
            &[
                1.987_569_15e-4,
                1.398_199_95e-3,
                8.333_451_9e-3,
                4.166_579_6e-2,
                1.666_666_55e-1,
                5.000_000_12e-1,
            ],
        );
        let square = self.binary(MUL, r, r);
        let y = self.fma(Fused::Plus, square, In::V(q), In::V(r));
        let y = self.with(ADD, y, 1.0);
        self.binary(SCALE, y, n)
    }

    /// log x = k log 2 + log(1 + f), −¼ ≤ f < ½; the polynomial was fitted for the least largest relative error.
    pub(super) fn log(&mut self, x: V) -> V {
        let m = self.push(Vop::Unary(GET_MANTISSA, x, Some(0x0B)));
        let e = self.push(Vop::Unary(GET_EXPONENT, x, None));
        let shift = self.push(Vop::Unary(GET_EXPONENT, m, None));
        let k = self.binary(SUB, e, shift);
        let f = self.with(SUB, m, 1.0);
        let z = self.binary(MUL, f, f);
        let p = self.poly(
            f,
            &[
                -0.045_074_467,
                0.104_629_956,
                -0.131_611_96,
                0.144_784,
                -0.166_473_12,
                0.199_908_61,
                -0.250_000_95,
                0.333_334_5,
            ],
        );
        let cube = self.binary(MUL, z, f);
        let t = self.binary(MUL, cube, p);
        let (low, half) = (self.number(1.428_606_8e-6), self.number(-0.5));
        let t = self.fma(Fused::Plus, k, low, In::V(t));
        let y = self.fma(Fused::Plus, z, half, In::V(t));
        let y = self.binary(ADD, f, y);
        let high = self.number(0.693_145_75);
        self.fma(Fused::Plus, k, high, In::V(y))
    }

    pub(super) fn log1p(&mut self, x: V) -> V {
        let u = self.with(ADD, x, 1.0);
        let y = self.log(u);
        let t = self.with(SUB, u, 1.0);
        let lost = self.binary(SUB, x, t);
        let r = self.push(Vop::Unary(RECIP14, u, None));
        let t = self.binary(MUL, lost, r);
        self.push(Vop::AddNumber(y, t))
    }
}
