//! Differences of the gamma function's logarithm and of its derivative, as `lanes/special_f32.rs` forms them: Stirling's
//! series above 8, below it shifted up by the recurrence.

use super::encode::{ADD, MIN, MUL, SUB};
use super::vops::{Fused, In, LT, Line, V, Vop, ZERO};

impl Line {
    /// Π x + k for k = from .. from + 4.
    fn rising(&mut self, x: V, from: f32) -> V {
        let p: [V; 4] = [0.0, 1.0, 2.0, 3.0].map(|k| self.with(ADD, x, from + k));
        let (a, b) = (self.binary(MUL, p[0], p[1]), self.binary(MUL, p[2], p[3]));
        self.binary(MUL, a, b)
    }

    /// Whether either argument is below 8, and a shifted up if so.
    fn shifted(&mut self, a: V, b: V) -> (V, V) {
        let least = self.binary(MIN, a, b);
        let eight = self.number(8.0);
        let low = self.push(Vop::Compare(LT, least, eight));
        let up = self.with(ADD, a, 8.0);
        (low, self.push(Vop::Select(low, In::V(up), a)))
    }

    /// log(1 + x/y), 1/y and 1/(x + y), for y ≥ 8.
    fn far(&mut self, x: V, y: V) -> (V, V, [V; 2]) {
        let z = self.binary(ADD, y, x);
        let inverses = [self.near_reciprocal(y), self.near_reciprocal(z)];
        let ratio = self.binary(MUL, x, inverses[0]);
        (self.log1p(ratio), z, inverses)
    }

    /// log Γ(a + x) − log Γ(a); 0 at x = 0.
    pub(super) fn lgamma_delta(&mut self, x: V, a: V) -> V {
        let b = self.binary(ADD, a, x);
        let (low, y) = self.shifted(a, b);
        let (ratio, z, inverses) = self.far(x, y);
        let [near, far] = inverses.map(|r| {
            let s = self.binary(MUL, r, r);
            let p = self.poly(s, &[1.0 / 1260.0, -1.0 / 360.0, 1.0 / 12.0]);
            self.binary(MUL, r, p)
        });
        let rest = self.binary(SUB, far, near);
        let half = self.with(SUB, y, 0.5);
        let log_z = self.log(z);
        let log_z = self.with(SUB, log_z, 1.0);
        let main = self.fma(Fused::Plus, x, In::V(log_z), In::V(rest));
        let main = self.fma(Fused::Plus, half, In::V(ratio), In::V(main));
        let [first, second] = [0.0, 4.0].map(|from| {
            let (over, under) = (self.rising(b, from), self.rising(a, from));
            let inverse = self.near_reciprocal(under);
            let ratio = self.binary(MUL, over, inverse);
            self.log(ratio)
        });
        let shift = self.binary(ADD, first, second);
        let shift = self.only_if(low, shift);
        let out = self.binary(SUB, main, shift);
        self.push(Vop::Where(x, out))
    }

    /// ψ(a + x) − ψ(a); 0 at x = 0.
    pub(super) fn digamma_delta(&mut self, x: V, a: V) -> V {
        let b = self.binary(ADD, a, x);
        let (low, y) = self.shifted(a, b);
        let (ratio, _, inverses) = self.far(x, y);
        let [near, far] = inverses.map(|r| {
            let s = self.binary(MUL, r, r);
            let p = self.poly(s, &[1.0 / 252.0, -1.0 / 120.0, 1.0 / 12.0]);
            let q = self.binary(MUL, s, p);
            let half = self.number(0.5);
            self.fma(Fused::Plus, r, half, In::V(q))
        });
        let rest = self.binary(SUB, near, far);
        let main = self.binary(ADD, ratio, rest);
        // Σ 1/((a + k)(b + k)), two terms under one division.
        let mut sum = None;
        for k in [0.0, 2.0, 4.0, 6.0] {
            let [p, q] = [k, k + 1.0].map(|k| {
                let (u, v) = (self.with(ADD, a, k), self.with(ADD, b, k));
                self.binary(MUL, u, v)
            });
            let (over, under) = (self.binary(ADD, p, q), self.binary(MUL, p, q));
            let inverse = self.near_reciprocal(under);
            let term = self.binary(MUL, over, inverse);
            sum = Some(match sum {
                Some(s) => self.binary(ADD, s, term),
                None => term,
            });
        }
        let sum = sum.unwrap_or(x);
        let sum = self.binary(MUL, x, sum);
        let sum = self.only_if(low, sum);
        let out = self.binary(ADD, main, sum);
        self.push(Vop::Where(x, out))
    }

    fn only_if(&mut self, condition: V, x: V) -> V {
        let zero = self.value(ZERO);
        self.push(Vop::Select(condition, In::V(x), zero))
    }
}
