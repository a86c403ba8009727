//! Special functions in single precision: branch-free, for arguments in the domains of the operations' table.
//!
//! Largest errors against [`crate::special`] (swept in the tests): lgamma 2e-6 · max(1, |value|); digamma
//! 1e-6 · max(1, |value|); lgamma_delta 2e-6 · max(1, |value|); digamma_delta 2e-6 relative; erf 3e-7 absolute.

use super::f32_math::{exp, log, log1p, poly};

/// Arguments below this are shifted up by [`N_SHIFT`], where the asymptotic series hold to single precision.
const SHIFT_BELOW: f32 = 8.0;
const N_SHIFT: f32 = 8.0;

/// log Γ(y) − ((y − ½) log y − y + ½ log 2π), for y ≥ 8 (Stirling's series).
#[inline(always)]
fn stirling_rest<const FMA: bool>(y: f32) -> f32 {
    let r = 1.0 / y;
    r * poly::<FMA, 3>(r * r, [1.0 / 1260.0, -1.0 / 360.0, 1.0 / 12.0])
}

/// Π x + k for k = from .. from + 4.
#[inline(always)]
fn rising(x: f32, from: f32) -> f32 {
    let x = x + from;
    (x * (x + 1.0)) * ((x + 2.0) * (x + 3.0))
}

/// log Γ(x), x > 0.
#[inline(always)]
pub(super) fn lgamma<const FMA: bool>(x: f32) -> f32 {
    let low = x < SHIFT_BELOW;
    let y = if low { x + N_SHIFT } else { x };
    let product = if low { rising(x, 0.0) * rising(x, 4.0) } else { 1.0 };
    let l = log::<FMA>(y) - 1.0;
    let main = (y - 0.5) * l + (0.418_938_53 + stirling_rest::<FMA>(y));
    let out = main - log::<FMA>(product);
    if x == f32::INFINITY { x } else { out }
}

/// log y − ψ(y), for y ≥ 8 (asymptotic series).
#[inline(always)]
fn digamma_rest<const FMA: bool>(y: f32) -> f32 {
    let r = 1.0 / y;
    let s = r * r;
    0.5 * r + s * poly::<FMA, 3>(s, [1.0 / 252.0, -1.0 / 120.0, 1.0 / 12.0])
}

/// 1/a + 1/(a + 1).
#[inline(always)]
fn pair(a: f32) -> f32 {
    (a + a + 1.0) / (a * (a + 1.0))
}

/// ψ(x), x > 0.
#[inline(always)]
pub(super) fn digamma<const FMA: bool>(x: f32) -> f32 {
    let low = x < SHIFT_BELOW;
    let y = if low { x + N_SHIFT } else { x };
    let sum = pair(x) + (pair(x + 2.0) + (pair(x + 4.0) + pair(x + 6.0)));
    let out = log::<FMA>(y) - digamma_rest::<FMA>(y) - if low { sum } else { 0.0 };
    if x > 0.0 { out } else { f32::NAN }
}

/// log Γ(a + x) − log Γ(a), for a > 0 and a + x > 0; 0 at x = 0.
#[inline(always)]
pub(super) fn lgamma_delta<const FMA: bool>(x: f32, a: f32) -> f32 {
    let b = a + x;
    let low = (a < SHIFT_BELOW) | (b < SHIFT_BELOW);
    let y = if low { a + N_SHIFT } else { a };
    let z = y + x;
    let rests = stirling_rest::<FMA>(z) - stirling_rest::<FMA>(y);
    let main = (y - 0.5) * log1p::<FMA>(x / y) + x * (log::<FMA>(z) - 1.0) + rests;
    let (first, second) = (rising(b, 0.0) / rising(a, 0.0), rising(b, 4.0) / rising(a, 4.0));
    let shift = if low { log::<FMA>(first) + log::<FMA>(second) } else { 0.0 };
    if x == 0.0 { 0.0 } else { main - shift }
}

/// ψ(a + x) − ψ(a), for a > 0 and a + x > 0; 0 at x = 0.
#[inline(always)]
pub(super) fn digamma_delta<const FMA: bool>(x: f32, a: f32) -> f32 {
    let b = a + x;
    let low = (a < SHIFT_BELOW) | (b < SHIFT_BELOW);
    let y = if low { a + N_SHIFT } else { a };
    let z = y + x;
    let main = log1p::<FMA>(x / y) + (digamma_rest::<FMA>(y) - digamma_rest::<FMA>(z));
    let mut sum = 0.0;
    for k in 0..8 {
        let k = k as f32;
        sum += x / ((a + k) * (b + k));
    }
    if x == 0.0 { 0.0 } else { main + if low { sum } else { 0.0 } }
}

/// Error function: its series near 0, else Abramowitz and Stegun 7.1.26.
#[inline(always)]
#[allow(clippy::approx_constant, reason = "coefficients of a polynomial, one of which is 2 / √π rounded")]
pub(super) fn erf<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let s = x * x;
    let near = x * poly::<FMA, 6>(
        s,
        [-8.548_327e-4, 5.223_978e-3, -2.686_617e-2, 1.128_379_2e-1, -3.761_263_9e-1, 1.128_379_2],
    );
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = poly::<FMA, 5>(t, [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6]);
    let far = 1.0 - t * p * exp::<FMA>(-s);
    if a < 0.5 { near } else { far.copysign(x) }
}
