//! Sums of rows of a matrix with given factors, and a row added to many with given factors: the inner loops of products
//! with a sparse factor.
#![allow(unsafe_code, reason = "vector loads after their ranges were checked")]

use super::Isa;

/// Some non-zeros: factors, and the row of the matrix of each.
#[derive(Clone, Copy)]
pub(in super::super) struct Entries<'a, E> {
    pub values: &'a [E],
    pub rows: &'a [u32],
}

/// to = Σ factor · matrix\[row, 0 .. to.len()\], with rows of the matrix `stride` apart; single precision.
pub(super) fn sum_rows_f32(isa: Isa, to: &mut [f32], e: Entries<'_, f32>, matrix: &[f32], stride: usize) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::V4 {
        let mut from = 0;
        while from < to.len() {
            let n = (to.len() - from).min(128);
            let part = &mut to[from..from + n];
            // SAFETY: `Isa::detect` found AVX-512.
            unsafe {
                match n.div_ceil(16) {
                    1 => v4::<1>(part, e, &matrix[from..], stride),
                    2 => v4::<2>(part, e, &matrix[from..], stride),
                    3 | 4 => v4::<4>(part, e, &matrix[from..], stride),
                    _ => v4::<8>(part, e, &matrix[from..], stride),
                }
            }
            from += n;
        }
        return;
    }
    sum_rows(to, e, matrix, stride, |s, x, y| if isa == Isa::V3 { f32::mul_add(s, x, y) } else { s * x + y });
}

/// The same for any type, entry by entry.
#[inline(always)]
pub(super) fn sum_rows<E: Copy + Default>(
    to: &mut [E],
    e: Entries<'_, E>,
    matrix: &[E],
    stride: usize,
    add: impl Fn(E, E, E) -> E,
) {
    to.fill(E::default());
    for (k, row) in e.rows.iter().enumerate() {
        let (s, at) = (e.values[k], *row as usize * stride);
        let row = &matrix[at..at + to.len()];
        to.iter_mut().zip(row).for_each(|(t, x)| *t = add(s, *x, *t));
    }
}

/// Up to 16 · R columns in R registers.
///
/// # Safety
/// The processor has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn v4<const R: usize>(to: &mut [f32], e: Entries<'_, f32>, matrix: &[f32], stride: usize) {
    use std::arch::x86_64::*;
    /// How many entries ahead rows are fetched.
    const AHEAD: usize = 8;
    let n = to.len();
    let lanes = lanes::<R>(n);
    let mut sums = [_mm512_setzero_ps(); R];
    for k in 0..e.rows.len() {
        let at = e.rows[k] as usize * stride;
        let row = matrix[at..at + n].as_ptr();
        if let Some(next) = e.rows.get(k + AHEAD) {
            let next = matrix.as_ptr().wrapping_add(*next as usize * stride);
            for r in 0..R {
                _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(16 * r).cast());
            }
        }
        let factor = _mm512_set1_ps(e.values[k]);
        for r in 0..R {
            // SAFETY: masked to the row's elements, which the slice above checked.
            let x = unsafe { _mm512_maskz_loadu_ps(lanes[r], row.wrapping_add(16 * r)) };
            sums[r] = _mm512_fmadd_ps(factor, x, sums[r]);
        }
    }
    for r in 0..R {
        // SAFETY: masked to the elements of `to`.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr().wrapping_add(16 * r), lanes[r], sums[r]) };
    }
}

/// matrix\[row − first, 0 .. from.len()\] += factor · from, for each entry; single precision.
pub(super) fn add_to_rows_f32(
    isa: Isa,
    matrix: &mut [f32],
    stride: usize,
    first: usize,
    e: Entries<'_, f32>,
    from: &[f32],
) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::V4 {
        let mut at = 0;
        while at < from.len() {
            let part = &from[at..(at + 128).min(from.len())];
            // SAFETY: `Isa::detect` found AVX-512.
            unsafe {
                match part.len().div_ceil(16) {
                    1 => add_v4::<1>(&mut matrix[at..], stride, first, e, part),
                    2 => add_v4::<2>(&mut matrix[at..], stride, first, e, part),
                    3 | 4 => add_v4::<4>(&mut matrix[at..], stride, first, e, part),
                    _ => add_v4::<8>(&mut matrix[at..], stride, first, e, part),
                }
            }
            at += 128;
        }
        return;
    }
    add_to_rows(matrix, stride, first, e, from, |s, x, y| {
        if isa == Isa::V3 { f32::mul_add(s, x, y) } else { s * x + y }
    });
}

/// The same for any type, entry by entry.
#[inline(always)]
pub(super) fn add_to_rows<E: Copy>(
    matrix: &mut [E],
    stride: usize,
    first: usize,
    e: Entries<'_, E>,
    from: &[E],
    add: impl Fn(E, E, E) -> E,
) {
    for (s, row) in e.values.iter().zip(e.rows) {
        let at = (*row as usize - first) * stride;
        let to = &mut matrix[at..at + from.len()];
        to.iter_mut().zip(from).for_each(|(t, x)| *t = add(*s, *x, *t));
    }
}

/// Up to 16 · R columns in R registers.
///
/// # Safety
/// The processor has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn add_v4<const R: usize>(
    matrix: &mut [f32],
    stride: usize,
    first: usize,
    e: Entries<'_, f32>,
    from: &[f32],
) {
    use std::arch::x86_64::*;
    let n = from.len();
    let lanes = lanes::<R>(n);
    // SAFETY: masked to the elements of `from`.
    let row: [__m512; R] = std::array::from_fn(|r| unsafe {
        _mm512_maskz_loadu_ps(lanes[r], from.as_ptr().wrapping_add(16 * r))
    });
    for (s, to) in e.values.iter().zip(e.rows) {
        let at = (*to as usize - first) * stride;
        let to = matrix[at..at + n].as_mut_ptr();
        let factor = _mm512_set1_ps(*s);
        for r in 0..R {
            // SAFETY: masked to the row's elements, which the slice above checked.
            unsafe {
                let at = to.wrapping_add(16 * r);
                let sum = _mm512_fmadd_ps(factor, row[r], _mm512_maskz_loadu_ps(lanes[r], at));
                _mm512_mask_storeu_ps(at, lanes[r], sum);
            }
        }
    }
}

/// dst\[at\[k\]\] += s · a\[k\], where no place comes twice; single precision.
pub(super) fn add_at_f32(isa: Isa, dst: &mut [f32], s: f32, a: &[f32], at: &[u32]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::V4 {
        // SAFETY: `Isa::detect` found AVX-512.
        return unsafe { add_at_v4(dst, s, a, at) };
    }
    let _ = isa;
    a.iter().zip(at).for_each(|(v, k)| dst[*k as usize] += s * v);
}

/// # Safety
/// The processor has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn add_at_v4(dst: &mut [f32], s: f32, a: &[f32], at: &[u32]) {
    use std::arch::x86_64::*;
    let (limit, s) = (_mm512_set1_epi32(dst.len().min(i32::MAX as usize) as i32), _mm512_set1_ps(s));
    let base = dst.as_mut_ptr();
    for (a, at) in a.chunks(16).zip(at.chunks(16)) {
        let [lanes] = lanes::<1>(a.len().min(at.len()));
        // SAFETY: masked to the elements of both slices; what is read and written is held to `dst` by the test.
        unsafe {
            let places = _mm512_maskz_loadu_epi32(lanes, at.as_ptr().cast());
            let inside = _mm512_mask_cmplt_epu32_mask(lanes, places, limit);
            assert!(inside == lanes, "places below {}", dst.len());
            let more = _mm512_mul_ps(s, _mm512_maskz_loadu_ps(lanes, a.as_ptr()));
            let old = _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), lanes, places, base.cast());
            _mm512_mask_i32scatter_ps::<4>(base.cast(), lanes, places, _mm512_add_ps(old, more));
        }
    }
}

/// dst\[k\] = from\[at\[k\]\]; single precision.
pub(super) fn pick_f32(isa: Isa, dst: &mut [f32], from: &[f32], at: &[u32]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::V4 {
        // SAFETY: `Isa::detect` found AVX-512.
        return unsafe { pick_v4(dst, from, at) };
    }
    let _ = isa;
    dst.iter_mut().zip(at).for_each(|(d, k)| *d = from[*k as usize]);
}

/// # Safety
/// The processor has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn pick_v4(dst: &mut [f32], from: &[f32], at: &[u32]) {
    use std::arch::x86_64::*;
    let limit = _mm512_set1_epi32(from.len().min(i32::MAX as usize) as i32);
    for (d, at) in dst.chunks_mut(16).zip(at.chunks(16)) {
        let [lanes] = lanes::<1>(d.len().min(at.len()));
        // SAFETY: masked to the elements of both slices; what is read is held to `from` by the test.
        unsafe {
            let places = _mm512_maskz_loadu_epi32(lanes, at.as_ptr().cast());
            let inside = _mm512_mask_cmplt_epu32_mask(lanes, places, limit);
            assert!(inside == lanes, "places below {}", from.len());
            let found =
                _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), lanes, places, from.as_ptr().cast());
            _mm512_mask_storeu_ps(d.as_mut_ptr(), lanes, found);
        }
    }
}

/// How many of some increasing numbers lie below each of two bounds.
pub(super) fn below(isa: Isa, of: &[u32], bounds: [u32; 2]) -> [usize; 2] {
    /// From this length on bisection is faster.
    const LONG: usize = 1024;
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::V4 && of.len() < LONG {
        // SAFETY: `Isa::detect` found AVX-512.
        return unsafe { below_v4(of, bounds) };
    }
    let _ = (isa, LONG);
    bounds.map(|bound| of.partition_point(|x| *x < bound))
}

/// # Safety
/// The processor has AVX-512 F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,popcnt")]
unsafe fn below_v4(of: &[u32], bounds: [u32; 2]) -> [usize; 2] {
    use std::arch::x86_64::*;
    let bounds = bounds.map(|b| _mm512_set1_epi32(b as i32));
    let mut counts = [0_u32; 2];
    for part in of.chunks(16) {
        let [lanes] = lanes::<1>(part.len());
        // SAFETY: masked to the elements of the part.
        let x = unsafe { _mm512_maskz_loadu_epi32(lanes, part.as_ptr().cast()) };
        for (n, b) in counts.iter_mut().zip(bounds) {
            *n += u32::from(_mm512_mask_cmplt_epu32_mask(lanes, x, b)).count_ones();
        }
    }
    counts.map(|n| n as usize)
}

/// The lanes of each of R registers that `n` elements fill.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn lanes<const R: usize>(n: usize) -> [u16; R] {
    std::array::from_fn(|r| match n.saturating_sub(16 * r) {
        0 => 0,
        1..16 => (1 << (n - 16 * r)) - 1,
        _ => !0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_every_number_are_added_to() {
        for n in [0, 1, 15, 16, 17, 33, 100] {
            let at: Vec<u32> = (0..n as u32).map(|k| 3 * k + k % 2).collect();
            let a: Vec<f32> = (0..n).map(|k| k as f32 - 7.0).collect();
            let mut one = vec![0.5; 3 * n + 1];
            let mut two = one.clone();
            add_at_f32(Isa::detect(), &mut one, -1.0, &a, &at);
            add_at_f32(Isa::Base, &mut two, -1.0, &a, &at);
            assert_eq!(one, two, "{n}");
            let mut picked = vec![0.0; n];
            pick_f32(Isa::detect(), &mut picked, &one, &at);
            assert!(picked.iter().zip(&at).all(|(p, k)| *p == one[*k as usize]));
            for bound in 0..3 * n as u32 + 2 {
                let bounds = [bound / 2, bound];
                assert_eq!(below(Isa::detect(), &at, bounds), below(Isa::Base, &at, bounds));
            }
        }
    }

    #[test]
    #[should_panic(expected = "places below")]
    fn no_place_lies_outside() {
        if Isa::detect() != Isa::V4 {
            panic!("places below: not this code");
        }
        add_at_f32(Isa::V4, &mut [0.0; 20], 1.0, &[1.0; 3], &[4, 19, 20]);
    }

    #[test]
    fn every_width_agrees_with_the_plain_loop() {
        let matrix: Vec<f32> = (0..40 * 300).map(|i| (i % 97) as f32 - 40.0).collect();
        let rows = [3, 0, 7, 39, 12, 3, 38];
        let values = [1.0, -2.0, 0.5, 4.0, 3.0, 0.25, -1.0];
        for n in [1, 15, 16, 17, 33, 64, 100, 127, 128, 129, 300] {
            let e = Entries { values: &values, rows: &rows };
            let (mut a, mut b) = (vec![9.0; n], vec![9.0; n]);
            sum_rows_f32(Isa::detect(), &mut a, e, &matrix, 300);
            sum_rows(&mut b, e, &matrix, 300, |s, x, y| s * x + y);
            assert_eq!(a, b, "{n} columns summed");
            let (mut a, mut b) = (matrix.clone(), matrix.clone());
            let later = rows.map(|r| r + 5);
            let e = Entries { values: &values, rows: &later };
            add_to_rows_f32(Isa::detect(), &mut a, 300, 5, e, &matrix[600..600 + n]);
            add_to_rows(&mut b, 300, 5, e, &matrix[600..600 + n], |s, x, y| s * x + y);
            assert_eq!(a, b, "{n} columns added");
        }
    }
}
