//! Vector loops over slices, one per operation, for each element type.

mod f32_math;
mod loops;
mod rows;
mod special_f32;

pub(super) use rows::Entries;

/// How many of some increasing numbers lie below each of two bounds.
pub(super) fn below(isa: Isa, of: &[u32], bounds: [u32; 2]) -> [usize; 2] {
    rows::below(isa, of, bounds)
}

use crate::element::Element;
use crate::op::{Elem, ReduceKind};

/// Instruction sets, chosen once at run time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Isa {
    /// AVX-512 with fused multiply-add.
    V4,
    /// AVX2 with fused multiply-add.
    V3,
    /// What every target has.
    Base,
}

impl Isa {
    /// The best this machine has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let v3 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let v4 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw");
            if v3 && v4 {
                return Self::V4;
            }
            if v3 {
                return Self::V3;
            }
        }
        Self::Base
    }
}

/// An operand: one number per element, or one for all.
#[derive(Clone, Copy, Debug)]
pub(super) enum Src<'a, E> {
    /// As long as the result.
    Slice(&'a [E]),
    /// The same everywhere.
    Splat(E),
}

/// What the tile interpreter needs of an element type.
pub(super) trait Lanes: Element {
    /// Whether machine code is made for kernels of this type: that is for single precision alone.
    const COMPILED: bool;
    /// dst = f(a).
    fn unary(isa: Isa, f: Elem, dst: &mut [Self], a: &[Self]);
    /// dst = f(a, b).
    fn binary(isa: Isa, f: Elem, dst: &mut [Self], a: Src<'_, Self>, b: Src<'_, Self>);
    /// dst = yes where cond is non-zero, else no.
    fn select(isa: Isa, dst: &mut [Self], cond: Src<'_, Self>, yes: Src<'_, Self>, no: Src<'_, Self>);
    /// Sum, in double precision between short blocks.
    fn sum(isa: Isa, a: &[Self]) -> f64;
    /// Reduction to one number (not to a position).
    fn reduce(isa: Isa, kind: ReduceKind, a: &[Self]) -> Self;
    /// dst += a.
    fn add_to(isa: Isa, dst: &mut [Self], a: &[Self]);
    /// to = Σ factor · row of a matrix over some entries; rows of the matrix lie `stride` apart.
    fn sum_rows(isa: Isa, to: &mut [Self], e: Entries<'_, Self>, matrix: &[Self], stride: usize);
    /// Adds factor · `from` to the row of a matrix of each entry; the matrix begins at row `first`.
    fn add_to_rows(
        isa: Isa,
        matrix: &mut [Self],
        stride: usize,
        first: usize,
        e: Entries<'_, Self>,
        from: &[Self],
    );
    /// a + b.
    fn plus(a: Self, b: Self) -> Self;
    /// dst\[at\[k\]\] += s · a\[k\], where no place comes twice.
    fn add_at(isa: Isa, dst: &mut [Self], s: Self, a: &[Self], at: &[u32]);
    /// dst\[k\] = from\[at\[k\]\].
    fn pick(isa: Isa, dst: &mut [Self], from: &[Self], at: &[u32]);
}
