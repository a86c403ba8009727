//! Products with a short side, in vector registers and without packing: single precision, with AVX-512.
//!
//! Each element of the result is one sum in the order of the summed axis, however the work is cut.
#![allow(unsafe_code, reason = "vector loads after their ranges were checked")]

use super::memory::Memory;
use super::pool::Pool;
use crate::element::Element;
use crate::plan::Product;

/// Longest of the shortest sides.
const SHORT: usize = 16;
/// Most multiplications: larger products go to the matrix unit or to `gemm`.
const MOST_WORK: usize = 1 << 19;
/// Most numbers of a right factor that is turned.
const MOST_TURNED: usize = 4096;
/// Parts of a product.
const N_PARTS: usize = 4;

/// C\[m, n\] = Σ A\[m, k\] B\[k, n\] with contiguous rows of C.
#[derive(Clone, Copy)]
struct Shape {
    /// Whether the plan's factors change places.
    swapped: bool,
    size: [usize; 3],
    /// Steps of A per m and k, of B per k and n, of C per m.
    a: [usize; 2],
    b: [usize; 2],
    c: usize,
}

impl Shape {
    fn of(p: &Product) -> Option<Self> {
        let [m, n, k] = p.size;
        let short = m.min(n).min(k);
        if !p.batch.is_empty() || !p.again.is_empty() || short > SHORT || m * n * k > MOST_WORK {
            return None;
        }
        let turn = |s: [usize; 2]| [s[1], s[0]];
        let shape = if p.c_step[1] == 1 || n == 1 {
            Self { swapped: false, size: p.size, a: p.a_step, b: p.b_step, c: p.c_step[0] }
        } else if p.c_step[0] == 1 {
            let (a, b) = (turn(p.b_step), turn(p.a_step));
            Self { swapped: true, size: [n, m, k], a, b, c: p.c_step[1] }
        } else {
            return None;
        };
        let fits = shape.b[1] == 1 || shape.size[1].next_multiple_of(16) * k <= MOST_TURNED;
        fits.then_some(shape)
    }
}

/// Runs a product if it is such a one. The processor must have AVX-512 F.
pub(super) fn multiply<E: Element>(p: &Product, mem: &Memory<E>, pool: &Pool) -> bool {
    let Some(s) = Shape::of(p).filter(|_| E::NAME == f32::NAME) else { return false };
    let [m, n, k] = s.size;
    let extent = |steps: [usize; 2], x: usize, y: usize| (x - 1) * steps[0] + (y - 1) * steps[1] + 1;
    let (left, right) = if s.swapped { (p.b, p.a) } else { (p.a, p.b) };
    let a: *const f32 = mem.read(left, 0, extent(s.a, m, k)).as_ptr().cast();
    let b: *const f32 = mem.read(right, 0, extent(s.b, k, n)).as_ptr().cast();
    let c: *mut f32 = mem.address(p.c, 0, extent([s.c, 1], m, n)).cast();
    let at = [a.expose_provenance(), b.expose_provenance(), c.expose_provenance()];
    let by_rows = m >= n;
    let step = m.max(n).div_ceil(N_PARTS).next_multiple_of(if by_rows { 8 } else { 16 });
    pool.run(m.max(n).div_ceil(step), &|part, _| {
        let from = part * step;
        let len = step.min(m.max(n) - from);
        let (rows, cols) = if by_rows { ((from, len), (0, n)) } else { ((0, m), (from, len)) };
        // SAFETY: the ranges of all three were checked; parts write rows or columns of their own; AVX-512 is there.
        unsafe { part_of(s, at, rows, cols) };
    });
    true
}

/// Some rows and columns (first and number) of the result.
///
/// # Safety
/// The processor has AVX-512 F; the addresses hold the factors and the result of the shape.
#[target_feature(enable = "avx512f")]
unsafe fn part_of(s: Shape, at: [usize; 3], rows: (usize, usize), cols: (usize, usize)) {
    let a = std::ptr::with_exposed_provenance::<f32>(at[0]).wrapping_add(rows.0 * s.a[0]);
    let mut b = std::ptr::with_exposed_provenance::<f32>(at[1]).wrapping_add(cols.0 * s.b[1]);
    let c = std::ptr::with_exposed_provenance_mut::<f32>(at[2]).wrapping_add(rows.0 * s.c + cols.0);
    let (k, mut b_step) = (s.size[2], s.b[0]);
    let mut turned = [0.0_f32; MOST_TURNED];
    if s.b[1] != 1 {
        let width = cols.1.next_multiple_of(16);
        for i in 0..k {
            for j in 0..cols.1 {
                // SAFETY: within the factor; the shape was chosen so that all of it fits.
                turned[i * width + j] = unsafe { *b.wrapping_add(i * s.b[0] + j * s.b[1]) };
            }
        }
        (b, b_step) = (turned.as_ptr(), width);
    }
    let mut col = 0;
    while col < cols.1 {
        let n = (cols.1 - col).min(128);
        let here = (b.wrapping_add(col), c.wrapping_add(col));
        // SAFETY: the caller's promise; columns beyond the last are masked.
        unsafe {
            match n.div_ceil(16) {
                1 => strip::<8, 1>(a, s.a, here.0, b_step, here.1, s.c, [rows.1, n, k]),
                2 => strip::<8, 2>(a, s.a, here.0, b_step, here.1, s.c, [rows.1, n, k]),
                3 | 4 => strip::<6, 4>(a, s.a, here.0, b_step, here.1, s.c, [rows.1, n, k]),
                _ => strip::<3, 8>(a, s.a, here.0, b_step, here.1, s.c, [rows.1, n, k]),
            }
        }
        col += n;
    }
}

/// Up to 16 · R columns, M rows at a time.
///
/// # Safety
/// As for [`part_of`].
#[target_feature(enable = "avx512f")]
unsafe fn strip<const M: usize, const R: usize>(
    a: *const f32,
    a_step: [usize; 2],
    b: *const f32,
    b_step: usize,
    c: *mut f32,
    c_step: usize,
    [m, n, k]: [usize; 3],
) {
    let mut row = 0;
    while row < m {
        let (a, c) = (a.wrapping_add(row * a_step[0]), c.wrapping_add(row * c_step));
        // SAFETY: the caller's promise.
        unsafe {
            if row + M <= m {
                block::<M, R>(a, a_step, b, b_step, c, c_step, n, k);
                row += M;
            } else {
                block::<1, R>(a, a_step, b, b_step, c, c_step, n, k);
                row += 1;
            }
        }
    }
}

/// M rows and up to 16 · R columns in M · R registers.
///
/// # Safety
/// As for [`part_of`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn block<const M: usize, const R: usize>(
    a: *const f32,
    a_step: [usize; 2],
    b: *const f32,
    b_step: usize,
    c: *mut f32,
    c_step: usize,
    n: usize,
    k: usize,
) {
    use std::arch::x86_64::*;
    let lanes: [__mmask16; R] = std::array::from_fn(|r| match n.saturating_sub(16 * r) {
        left @ 0..16 => (1 << left) - 1,
        _ => !0,
    });
    let mut sums = [[_mm512_setzero_ps(); R]; M];
    for i in 0..k {
        let from = b.wrapping_add(i * b_step);
        // SAFETY: masked to the columns of the factor.
        let row: [__m512; R] =
            std::array::from_fn(|r| unsafe { _mm512_maskz_loadu_ps(lanes[r], from.wrapping_add(16 * r)) });
        for (j, sums) in sums.iter_mut().enumerate() {
            // SAFETY: an element of the left factor.
            let x = _mm512_set1_ps(unsafe { *a.wrapping_add(j * a_step[0] + i * a_step[1]) });
            for r in 0..R {
                sums[r] = _mm512_fmadd_ps(x, row[r], sums[r]);
            }
        }
    }
    for (j, sums) in sums.iter().enumerate() {
        for r in 0..R {
            // SAFETY: masked to the columns of the result.
            unsafe { _mm512_mask_storeu_ps(c.wrapping_add(j * c_step + 16 * r), lanes[r], sums[r]) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SlotId;

    fn product(size: [usize; 3], turned: [bool; 3]) -> Product {
        let [m, n, k] = size;
        let step = |rows: usize, cols: usize, t: bool| if t { [1, rows] } else { [cols, 1] };
        Product {
            a: SlotId(0),
            b: SlotId(1),
            c: SlotId(2),
            size,
            a_step: step(m, k, turned[0]),
            b_step: step(k, n, turned[1]),
            c_step: step(m, n, turned[2]),
            batch: vec![],
            again: vec![],
        }
    }

    #[test]
    fn every_layout_and_size_agrees_with_the_plain_sum() {
        if !is_x86_feature_detected!("avx512f") {
            return;
        }
        let pool = Pool::new(2);
        let sizes = [
            [128, 10, 128],
            [128, 128, 10],
            [10, 128, 128],
            [1, 1, 1],
            [7, 300, 3],
            [33, 16, 90],
            [1, 40, 20],
        ];
        let mut refused = 0;
        for size in sizes {
            for turned in (0..8).map(|t| [t & 1 == 1, t & 2 == 2, t & 4 == 4]) {
                let [m, n, k] = size;
                let p = product(size, turned);
                if Shape::of(&p).is_none() {
                    refused += 1;
                    continue;
                }
                let fill = |len: usize| (0..len).map(|i| (i * 37 % 19) as f32 - 9.0).collect::<Vec<f32>>();
                let (a, b, mut c) = (fill(m * k), fill(k * n), vec![f32::NAN; m * n]);
                let mut mem = Memory::default();
                mem.clear(3, 0);
                mem.set_shared(0, &a);
                mem.set_shared(1, &b);
                mem.set(2, &mut c);
                pool.wake();
                let done = multiply(&p, &mem, &pool);
                pool.rest();
                assert!(done, "{size:?} {turned:?}");
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let terms = (0..k)
                        .map(|x| a[i * p.a_step[0] + x * p.a_step[1]] * b[x * p.b_step[0] + j * p.b_step[1]]);
                    // Whole numbers: every order of summing gives the same.
                    let wanted: f32 = terms.sum();
                    assert_eq!(c[i * p.c_step[0] + j * p.c_step[1]], wanted, "{size:?} {turned:?}");
                }
            }
        }
        // A large right factor that would have to be turned: for three of the sizes in one of four layouts.
        assert_eq!(refused, 3 * 2, "layouts of 56");
    }
}
