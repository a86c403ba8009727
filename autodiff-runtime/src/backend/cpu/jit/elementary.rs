//! Exponentials and logarithms, and what shares their parts.
//!
//! Largest errors against double precision (swept in the tests below), relative to the value: exp 8e-8 (normal results),
//! log and log1p 1.3e-7 (also where they are near 0), sigmoid 1.7e-7, softplus 1.3e-7. NaN and infinities as in the
//! double-precision functions.

use super::encode::*;
use super::vops::{Fused, In, Line, V, Vop};
use std::f32::consts::{LN_2, LOG2_E};

/// Added and subtracted, rounds to a whole number.
const ROUNDS: f32 = 12_582_912.0;

/// Numbers c, sixteen for the sixteenths of 1 .. 2, with m · c near 1 for m in that part: 1 in the first and 1/2 in the last,
/// so that logarithms beside 1 lose nothing. Each has at most 16 bits.
const NEAR_INVERSE: [f32; 16] = [
    1.0,
    0.913_574_218_75,
    0.862_533_569_335_937_5,
    0.820_556_640_625,
    0.779_876_708_984_375,
    0.744_705_200_195_312_5,
    0.711_135_864_257_812_5,
    0.682_189_941_406_25,
    0.651_123_046_875,
    0.625_976_562_5,
    0.603_317_260_742_187_5,
    0.583_480_834_960_937_5,
    0.562_164_306_640_625,
    0.543_334_960_937_5,
    0.525_192_260_742_187_5,
    0.5,
];

/// −log c of those numbers, which were chosen so that it is a number of single precision to 2e-10; from the ninth on, where
/// log 2 is taken off again just below 1, with the error of that number.
const ITS_LOG: [f32; 16] = [
    0.0,
    0.090_390_659_868_717_2,
    0.147_881_209_850_311_28,
    0.197_772_338_986_396_8,
    0.248_619_437_217_712_4,
    0.294_766_843_318_939_2,
    0.340_891_778_469_085_7,
    0.382_447_153_329_849_24,
    0.429_056_644_439_697_27,
    0.468_442_350_625_991_8,
    0.505_312_085_151_672_4,
    0.538_743_674_755_096_4,
    0.575_961_112_976_074_2,
    0.610_029_280_185_699_5,
    0.643_990_874_290_466_3,
    LN_2,
];

/// The answers of log1p for kinds of 1 + x, four bits each from the lowest: not a number (twice) stays so, 0 gives −∞, 1 what
/// was computed, −∞ not a number, ∞ itself, other negative numbers not a number, positive ones what was computed.
const LOG_OF_KINDS: u32 = 0x0353_0422;

impl Line {
    /// eˣ.
    pub(super) fn exp(&mut self, x: V) -> V {
        let x = self.bound(MAX, -104.0, x);
        let x = self.bound(MIN, 89.0, x);
        self.exp_within(x)
    }

    /// e to the −|x|: the same value for x and for −x.
    fn decay(&mut self, x: V) -> V {
        let minus = self.number(-0.0);
        let x = match self.ops[x as usize] {
            Vop::Binary(XOR, of, by) if by == minus => of,
            _ => x,
        };
        let x = self.with(OR, x, -0.0);
        let x = self.bound(MAX, -104.0, x);
        self.exp_within(x)
    }

    /// eˣ for −104 ≤ x ≤ 89: 2ⁿ eʳ with |r| ≤ log 2 / 2.
    fn exp_within(&mut self, x: V) -> V {
        let [scale, rounds] = [LOG2_E, ROUNDS].map(|c| self.number(c));
        let n = self.fma(Fused::Plus, x, scale, rounds);
        let n = self.with(SUB, n, ROUNDS);
        let (high, low) = (self.number(0.693_359_375), self.number(-2.121_944_4e-4));
        let r = self.fma(Fused::Minus, n, high, In::V(x));
        let r = self.fma(Fused::Minus, n, low, In::V(r));
        // The least largest error among those that begin with 1 + r.
        let y = self
            .poly(r, &[1.381_46e-3, 8.368_716e-3, 4.166_838_8e-2, 0.166_665_21, 0.499_999_934_5, 1.0, 1.0]);
        self.binary(SCALE, y, n)
    }

    /// log x = k log 2 − log c + log(1 + r) with r = m c − 1, where x = 2ᵏ m.
    pub(super) fn log(&mut self, x: V) -> V {
        // Between 1 and 2; not a number for a negative one.
        let m = self.push(Vop::Unary(GET_MANTISSA, x, Some(0x08)));
        let k = self.push(Vop::Unary(GET_EXPONENT, x, None));
        let [c, t] = self.entries(m);
        let minus_one = self.number(-1.0);
        let r = self.fma(Fused::Plus, m, In::V(c), minus_one);
        let y = self.exponent_part(k, t);
        let rest = self.log_near_one(r);
        self.binary(ADD, y, rest)
    }

    /// log(1 + x): r = x s + (s − 1) with s = 2⁻ᵏ c, where 1 + x = 2ᵏ m. So what 1 + x rounds away counts.
    pub(super) fn log1p(&mut self, x: V) -> V {
        let u = self.with(ADD, x, 1.0);
        let k = self.push(Vop::Unary(GET_EXPONENT, u, None));
        let [c, t] = self.entries(u);
        let down = self.with(XOR, k, -0.0);
        let s = self.binary(SCALE, c, down);
        let rest = self.with(SUB, s, 1.0);
        let r = self.fma(Fused::Plus, x, In::V(s), In::V(rest));
        let y = self.exponent_part(k, t);
        let rest = self.log_near_one(r);
        let y = self.binary(ADD, y, rest);
        let kinds = self.number(f32::from_bits(LOG_OF_KINDS));
        self.push(Vop::Fix(y, u, kinds))
    }

    /// log(1 + x) for 0 ≤ x ≤ 1.
    fn log1p_of_fraction(&mut self, x: V) -> V {
        // A little less than 1 + x, so that it stays below 2: only to choose an entry.
        let (shrunk, one) = (self.number(1.0 - f32::EPSILON * 8.0), self.number(1.0));
        let u = self.fma(Fused::Plus, x, shrunk, one);
        let [c, t] = self.entries(u);
        let rest = self.with(SUB, c, 1.0);
        let r = self.fma(Fused::Plus, x, In::V(c), In::V(rest));
        let rest = self.log_near_one(r);
        self.binary(ADD, t, rest)
    }

    /// c and −log c for the fraction of each number.
    fn entries(&mut self, of: V) -> [V; 2] {
        let sixteenth = self.push(Vop::ShiftRight(of, 19));
        [&NEAR_INVERSE, &ITS_LOG].map(|table| {
            let at = self.table(table);
            self.push(Vop::Entry(at, sixteenth))
        })
    }

    /// k log 2 + t.
    fn exponent_part(&mut self, k: V, t: V) -> V {
        let ln_2 = self.number(LN_2);
        self.fma(Fused::Plus, k, ln_2, In::V(t))
    }

    /// log(1 + r) for −0.034 ≤ r ≤ 0.063; the polynomial has the least largest relative error.
    fn log_near_one(&mut self, r: V) -> V {
        let q = self.poly(r, &[0.189_626_28, -0.250_152_14, 0.333_345_02, -0.499_999_97]);
        let square = self.binary(MUL, r, r);
        self.fma(Fused::Plus, square, In::V(q), In::V(r))
    }

    /// 1 / (1 + e⁻ˣ).
    pub(super) fn sigmoid(&mut self, x: V) -> V {
        let e = self.decay(x);
        let sum = self.with(ADD, e, 1.0);
        let far = self.near_reciprocal(sum);
        let near = self.binary(MUL, e, far);
        self.push(Vop::BySign(x, near, far))
    }

    /// log(1 + eˣ).
    pub(super) fn softplus(&mut self, x: V) -> V {
        let e = self.decay(x);
        let l = self.log1p_of_fraction(e);
        let p = self.bound(MAX, 0.0, x);
        self.binary(ADD, p, l)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Frame;
    use super::super::assemble::assemble;
    use super::super::pages::Pages;
    use super::super::vops::{In, Line, Vop};
    use crate::op::Elem;

    /// The function of each number, by its machine code.
    fn compiled(f: Elem, x: &[f32]) -> Vec<f32> {
        let mut line = Line::new();
        let v = line.push(Vop::Load(0));
        let y = line.elementwise(f, &[In::V(v)]).expect("it has a form");
        line.push(Vop::Store(1, y));
        let code = assemble(&line, 2, &[]).expect("few registers");
        let pages = Pages::new(&code).expect("memory for code");
        let mut from = x.to_vec();
        let mut to = vec![0.0; x.len()];
        let mut frame = Frame::new();
        frame.pool = line.pool.as_ptr();
        (frame.pointers[0], frame.pointers[1]) = (from.as_mut_ptr(), to.as_mut_ptr());
        pages.call(0, &mut frame, x.len() & !15, (1 << (x.len() & 15)) - 1);
        to
    }

    fn largest_error(f: Elem, x: &[f32]) -> f64 {
        let errors = compiled(f, x).into_iter().zip(x).map(|(y, x)| {
            let wanted = f.eval(&[f64::from(*x)]);
            let error = (f64::from(y) - wanted).abs() / wanted.abs().max(1e-37);
            if error.is_nan() { f64::INFINITY } else { error }
        });
        errors.fold(0.0, f64::max)
    }

    /// Numbers of all magnitudes 2^from .. 2^to, of a sign.
    fn magnitudes(sign: f32, from: i32, to: i32) -> impl Iterator<Item = f32> {
        (from..to).flat_map(move |e| (0..2003).map(move |i| sign * 2_f32.powi(e) * (1.0 + i as f32 / 2003.0)))
    }

    #[test]
    fn errors_are_as_stated() {
        if super::super::super::lanes::Isa::detect() != super::super::super::lanes::Isa::V4 {
            return;
        }
        let line =
            |from: f32, to: f32| (0..200_003).map(move |i| from + (to - from) * (i as f32 / 200_003.0));
        let all = || magnitudes(1.0, -40, 6).chain(magnitudes(-1.0, -40, 6));
        let cases: [(Elem, Vec<f32>, f64); 5] = [
            (Elem::Exp, line(-87.0, 88.5).chain(all().filter(|x| x.abs() < 87.0)).collect(), 8e-8),
            (Elem::Log, magnitudes(1.0, -126, 127).chain(line(0.4, 2.5)).collect(), 1.3e-7),
            (
                Elem::Log1p,
                magnitudes(1.0, -60, 127)
                    .chain(magnitudes(-1.0, -60, -1))
                    .chain(line(-0.99, 3.0).filter(|x| *x != 0.0))
                    .collect(),
                1.3e-7,
            ),
            (Elem::Sigmoid, line(-80.0, 80.0).chain(all()).collect(), 1.7e-7),
            (Elem::Softplus, line(-80.0, 80.0).chain(all()).collect(), 1.3e-7),
        ];
        for (f, x, bound) in cases {
            let error = largest_error(f, &x);
            assert!(error < bound, "{}: {error:e}", f.name());
        }
    }

    #[test]
    fn special_numbers_are_answered_as_in_double_precision() {
        if super::super::super::lanes::Isa::detect() != super::super::super::lanes::Isa::V4 {
            return;
        }
        let x =
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, -1.0, -3.0, 1e-40, -200.0, 200.0, 1.0];
        for f in [Elem::Exp, Elem::Log, Elem::Log1p, Elem::Sigmoid, Elem::Softplus] {
            for (y, x) in compiled(f, &x).into_iter().zip(x) {
                let wanted = f.eval(&[f64::from(x)]) as f32;
                let same = (y.is_nan() && wanted.is_nan())
                    || y == wanted
                    || (y - wanted).abs() <= 3e-7 * wanted.abs().max(1e-37);
                assert!(same, "{} of {x}: {y}, not {wanted}", f.name());
            }
        }
    }
}
