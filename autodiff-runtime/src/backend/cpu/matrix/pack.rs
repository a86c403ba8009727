//! Matrices as tiles of bfloat16 parts: x = high + middle + low, each with eight bits. Nothing is lost, apart from what
//! lies below the smallest normal number.
//!
//! A tile holds 16 positions along one axis and 32 along the summed one, which lie in pairs: by rows of positions (for
//! the left factor) or by rows of pairs (for the right one). Pair number j holds elements j and j + 16: the order along
//! the summed axis is free as long as both factors have the same, and this one needs no shuffles.

use std::arch::x86_64::*;

/// Words of a tile.
const WORDS: usize = 256;
/// Positions of a tile along its own axis, and along the summed one.
pub(super) const BLOCK: usize = 16;
pub(super) const DEPTH: usize = 32;

/// Part of a matrix: its elements at x · step\[0\] + k · step\[1\].
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub data: &'a [f32],
    pub step: [usize; 2],
    /// Positions along its own axis, and along the summed one.
    pub size: [usize; 2],
}

/// Words that hold `x` positions by `k`.
pub(super) fn words(x: usize, k: usize) -> usize {
    x.div_ceil(2 * BLOCK) * 2 * k.div_ceil(DEPTH) * 3 * WORDS
}

/// Packs a part into `to`: blocks of 16 positions one after the other, an even number of them; in each, steps of 32
/// along the summed axis with three tiles each. With `pairs_first` the tiles have rows of pairs.
///
/// # Safety
/// The processor has AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn pack(part: Part<'_>, pairs_first: bool, to: &mut [u32]) {
    let [nx, nk] = part.size;
    let n_steps = nk.div_ceil(DEPTH);
    let mut loose = Loose([0.0; BLOCK * DEPTH]);
    for i in 0..AHEAD {
        fetch(part, n_steps, i);
    }
    for (i, tiles) in to.chunks_exact_mut(3 * WORDS).enumerate().take(2 * nx.div_ceil(2 * BLOCK) * n_steps) {
        fetch(part, n_steps, i + AHEAD);
        let (x, k) = (i / n_steps * BLOCK, i % n_steps * DEPTH);
        if x >= nx {
            tiles.fill(0);
            continue;
        }
        let size = [BLOCK.min(nx - x), DEPTH.min(nk - k)];
        let from = x * part.step[0] + k * part.step[1];
        let mut here = Part { data: &part.data[from..], step: part.step, size };
        let wanted = usize::from(!pairs_first);
        if here.step[wanted] != 1 {
            turn(here, pairs_first, &mut loose);
            let step = if pairs_first { [1, BLOCK] } else { [DEPTH, 1] };
            here = Part { data: &loose.0, step, size };
        }
        if pairs_first {
            by_pairs(here, tiles);
        } else {
            by_positions(here, tiles);
        }
    }
}

/// How many tiles ahead elements are fetched: their rows are too short for the processor to see where they go on, and often
/// lie in another core's cache.
const AHEAD: usize = 2;

/// Fetches the elements of tile number `i`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn fetch(part: Part<'_>, n_steps: usize, i: usize) {
    /// Numbers of a cache line.
    const LINE: usize = 16;
    let (x, k) = (i / n_steps * BLOCK, i % n_steps * DEPTH);
    if x >= part.size[0] {
        return;
    }
    let size = [BLOCK.min(part.size[0] - x), DEPTH.min(part.size[1] - k)];
    let from = part.data.as_ptr().wrapping_add(x * part.step[0] + k * part.step[1]);
    let along = usize::from(part.step[1] < part.step[0]);
    for row in 0..size[1 - along] {
        let from = from.wrapping_add(row * part.step[1 - along]);
        for line in (0..size[along]).step_by(LINE) {
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(line * part.step[along]).cast());
        }
    }
}

/// Room for the elements of one tile.
#[repr(align(64))]
struct Loose([f32; BLOCK * DEPTH]);

/// The elements of one tile with the other axis contiguous: the own one before pairs, else the summed one.
#[target_feature(enable = "avx512f,avx512bw")]
fn turn(p: Part<'_>, pairs_first: bool, to: &mut Loose) {
    let [nx, nk] = p.size;
    let contiguous = if pairs_first { 1 } else { 0 };
    if p.step[contiguous] == 1 && nx == BLOCK && nk == DEPTH {
        let rows = p.step[1 - contiguous];
        let at = |row: usize, col: usize| &p.data[row * rows + col..(row + 15) * rows + col + 16];
        if pairs_first {
            turn_square(at(0, 0), rows, &mut to.0, BLOCK);
            turn_square(at(0, 16), rows, &mut to.0[16 * BLOCK..], BLOCK);
        } else {
            turn_square(at(0, 0), rows, &mut to.0, DEPTH);
            turn_square(at(16, 0), rows, &mut to.0[16..], DEPTH);
        }
        return;
    }
    for x in 0..nx {
        for k in 0..nk {
            let at = if pairs_first { k * BLOCK + x } else { x * DEPTH + k };
            to.0[at] = p.data[x * p.step[0] + k * p.step[1]];
        }
    }
}

/// Transposes 16 × 16 numbers.
#[target_feature(enable = "avx512f")]
fn turn_square(from: &[f32], step: usize, to: &mut [f32], to_step: usize) {
    assert!(from.len() >= 15 * step + 16 && to.len() >= 15 * to_step + 16, "16 rows of 16");
    let mut r = [_mm512_setzero_si512(); 16];
    for (i, v) in r.iter_mut().enumerate() {
        // SAFETY: in the range just checked.
        *v = unsafe { _mm512_loadu_si512(from.as_ptr().add(i * step).cast()) };
    }
    let r = transposed(r);
    for (i, v) in r.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().add(i * to_step).cast(), v) };
    }
}

fn lanes(n: usize) -> __mmask16 {
    if n >= 16 { !0 } else { (1 << n) - 1 }
}

#[target_feature(enable = "avx512f")]
fn load(from: &[f32], n: usize) -> __m512 {
    let n = n.min(16);
    let from = &from[..n];
    // SAFETY: `n` elements are there; the other lanes are not read.
    unsafe { _mm512_maskz_loadu_ps(lanes(n), from.as_ptr()) }
}

#[target_feature(enable = "avx512f")]
fn store(to: &mut [u32], row: usize, v: __m512i) {
    let to = &mut to[16 * row..16 * row + 16];
    // SAFETY: sixteen words are there.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), v) }
}

/// Rows of positions, from elements that are contiguous along the summed axis.
#[target_feature(enable = "avx512f,avx512bw")]
fn by_positions(p: Part<'_>, tiles: &mut [u32]) {
    let ([nx, nk], step) = (p.size, p.step[0]);
    let tiles = &mut tiles[..3 * WORDS];
    if nx == BLOCK && nk == DEPTH {
        let from = p.data[..15 * step + DEPTH].as_ptr();
        for x in 0..BLOCK {
            let row = from.wrapping_add(x * step);
            // SAFETY: in the range that was just taken.
            let [a, b] = unsafe { [_mm512_loadu_ps(row), _mm512_loadu_ps(row.add(16))] };
            split(a, b, x, tiles);
        }
        return;
    }
    for x in 0..BLOCK {
        let [mut a, mut b] = [_mm512_setzero_ps(); 2];
        if x < nx {
            let row = &p.data[x * step..];
            a = load(row, nk);
            if nk > 16 {
                b = load(&row[16..], nk - 16);
            }
        }
        split(a, b, x, tiles);
    }
}

/// Rows of pairs, from elements that are contiguous along the own axis.
#[target_feature(enable = "avx512f,avx512bw")]
fn by_pairs(p: Part<'_>, tiles: &mut [u32]) {
    let ([nx, nk], step) = (p.size, p.step[1]);
    let tiles = &mut tiles[..3 * WORDS];
    if nx == BLOCK && nk == DEPTH {
        let from = p.data[..31 * step + BLOCK].as_ptr();
        for pair in 0..16 {
            let [a, b] = [pair, pair + 16].map(|k| from.wrapping_add(k * step));
            // SAFETY: in the range that was just taken.
            let [a, b] = unsafe { [_mm512_loadu_ps(a), _mm512_loadu_ps(b)] };
            split(a, b, pair, tiles);
        }
        return;
    }
    let row = |k: usize| {
        if k >= nk { _mm512_setzero_ps() } else { load(&p.data[k * step..], nx) }
    };
    for pair in 0..16 {
        split(row(pair), row(pair + 16), pair, tiles);
    }
}

/// The three parts of two vectors, in the lower and upper halves of the words of one row. The first two are rounded to
/// nearest, ties away from zero; what they leave has eight bits at most.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn split(mut a: __m512, mut b: __m512, row: usize, tiles: &mut [u32]) {
    let (half, upper) = (_mm512_set1_epi32(0x8000), _mm512_set1_epi32(0xFFFF_0000_u32 as i32));
    // Halves of words: the first operand's upper ones go to the lower ones of the second's.
    let join =
        |x: __m512i, y: __m512i| _mm512_ternarylogic_epi32::<0xF8>(_mm512_srli_epi32::<16>(x), y, upper);
    for part in 0..2 {
        let near = |x: __m512| _mm512_add_epi32(_mm512_castps_si512(x), half);
        let (x, y) = (near(a), near(b));
        store(&mut tiles[part * WORDS..], row, join(x, y));
        a = _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_and_si512(x, upper)));
        b = _mm512_sub_ps(b, _mm512_castsi512_ps(_mm512_and_si512(y, upper)));
    }
    store(&mut tiles[2 * WORDS..], row, join(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}

/// The transpose of 16 × 16 words.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(mut r: [__m512i; 16]) -> [__m512i; 16] {
    let mut s = r;
    for i in 0..8 {
        s[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        s[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for i in 0..4 {
        let b = 4 * i;
        r[b] = _mm512_unpacklo_epi64(s[b], s[b + 2]);
        r[b + 1] = _mm512_unpackhi_epi64(s[b], s[b + 2]);
        r[b + 2] = _mm512_unpacklo_epi64(s[b + 1], s[b + 3]);
        r[b + 3] = _mm512_unpackhi_epi64(s[b + 1], s[b + 3]);
    }
    for i in 0..4 {
        s[i] = _mm512_shuffle_i32x4::<0x88>(r[i], r[i + 4]);
        s[i + 4] = _mm512_shuffle_i32x4::<0xDD>(r[i], r[i + 4]);
        s[i + 8] = _mm512_shuffle_i32x4::<0x88>(r[i + 8], r[i + 12]);
        s[i + 12] = _mm512_shuffle_i32x4::<0xDD>(r[i + 8], r[i + 12]);
    }
    for i in 0..4 {
        r[i] = _mm512_shuffle_i32x4::<0x88>(s[i], s[i + 8]);
        r[i + 8] = _mm512_shuffle_i32x4::<0xDD>(s[i], s[i + 8]);
        r[i + 4] = _mm512_shuffle_i32x4::<0x88>(s[i + 4], s[i + 12]);
        r[i + 12] = _mm512_shuffle_i32x4::<0xDD>(s[i + 4], s[i + 12]);
    }
    r
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(word: u32, half: usize) -> f64 {
        f64::from(f32::from_bits(if half == 0 { word << 16 } else { word & 0xFFFF_0000 }))
    }

    #[test]
    fn the_parts_of_every_layout_add_up_to_the_matrix() {
        if !super::super::amx::available() {
            return;
        }
        let (nx, nk) = (37, 70);
        let x: Vec<f32> = (0..nx * nk * 3).map(|i| ((i * 7919 % 1009) as f32 - 500.0) / 7.0).collect();
        for step in [[nk, 1], [1, nx], [3 * nk, 3]] {
            for pairs_first in [false, true] {
                let mut to = vec![7; words(nx, nk)];
                // SAFETY: the unit's processors have these instructions.
                unsafe { pack(Part { data: &x, step, size: [nx, nk] }, pairs_first, &mut to) };
                for (i, k) in (0..48).flat_map(|i| (0..96).map(move |k| (i, k))) {
                    let tile = ((i / 16) * 3 + k / 32) * 3 * WORDS;
                    let (row, pair) = (i % 16, k % 16);
                    let at = tile + if pairs_first { pair * 16 + row } else { row * 16 + pair };
                    let sum: f64 = (0..3).map(|p| value(to[at + p * WORDS], k % 32 / 16)).sum();
                    let wanted = if i < nx && k < nk { f64::from(x[i * step[0] + k * step[1]]) } else { 0.0 };
                    assert!((sum - wanted).abs() <= wanted.abs() * 2_f64.powi(-25), "{i} {k} {sum} {wanted}");
                }
            }
        }
    }
}
