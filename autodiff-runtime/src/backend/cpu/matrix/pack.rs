//! Matrices as tiles of bfloat16 parts: x = high + middle + low, each with eight bits, rounded to nearest; what is lost
//! is below 2⁻²⁵ |x|.
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
    let mut loose = [0.0_f32; BLOCK * DEPTH];
    for (i, tiles) in to.chunks_exact_mut(3 * WORDS).enumerate().take(2 * nx.div_ceil(2 * BLOCK) * n_steps) {
        let (x, k) = (i / n_steps * BLOCK, i % n_steps * DEPTH);
        if x >= nx {
            tiles.fill(0);
            continue;
        }
        let size = [BLOCK.min(nx - x), DEPTH.min(nk - k)];
        let from = x * part.step[0] + k * part.step[1];
        let mut here = Part { data: &part.data[from..], step: part.step, size };
        if part.step[1] != 1 && part.step[0] != 1 {
            for j in 0..size[0] * size[1] {
                let (a, b) = (j / size[1], j % size[1]);
                loose[a * DEPTH + b] = here.data[a * part.step[0] + b * part.step[1]];
            }
            here = Part { data: &loose, step: [DEPTH, 1], size };
        }
        if here.step[1] == 1 {
            by_positions(here, tiles);
        } else {
            by_pairs(here, tiles);
        }
        if (here.step[1] == 1) == pairs_first {
            tiles.chunks_exact_mut(WORDS).for_each(|t| transpose(t));
        }
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
    let [nx, nk] = p.size;
    for x in 0..BLOCK {
        let [mut a, mut b] = [_mm512_setzero_ps(); 2];
        if x < nx {
            let row = &p.data[x * p.step[0]..];
            // The next step's elements, which lie in another page than the next row.
            _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().wrapping_add(DEPTH).cast());
            _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().wrapping_add(DEPTH + 16).cast());
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
    let [nx, nk] = p.size;
    let row = |k: usize| {
        if k >= nk {
            return _mm512_setzero_ps();
        }
        let row = &p.data[k * p.step[1]..];
        _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().wrapping_add(BLOCK).cast());
        load(row, nx)
    };
    for pair in 0..16 {
        split(row(pair), row(pair + 16), pair, tiles);
    }
}

/// The three parts of two vectors, in the lower and upper halves of the words of one row.
#[target_feature(enable = "avx512f,avx512bw")]
fn split(mut a: __m512, mut b: __m512, row: usize, tiles: &mut [u32]) {
    let (half, upper) = (_mm512_set1_epi32(0x8000), _mm512_set1_epi32(0xFFFF_0000_u32 as i32));
    for part in 0..3 {
        // To nearest, ties away from zero.
        let high = |x: __m512| _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), half), upper);
        let (x, y) = (high(a), high(b));
        store(&mut tiles[part * WORDS..], row, _mm512_or_si512(_mm512_srli_epi32::<16>(x), y));
        a = _mm512_sub_ps(a, _mm512_castsi512_ps(x));
        b = _mm512_sub_ps(b, _mm512_castsi512_ps(y));
    }
}

/// Transposes 16 × 16 words.
#[target_feature(enable = "avx512f")]
fn transpose(tile: &mut [u32]) {
    let mut r = [_mm512_setzero_si512(); 16];
    for (i, v) in r.iter_mut().enumerate() {
        let from = &tile[16 * i..16 * i + 16];
        // SAFETY: sixteen words are there.
        *v = unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
    }
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
        store(tile, i, _mm512_shuffle_i32x4::<0x88>(s[i], s[i + 8]));
        store(tile, i + 8, _mm512_shuffle_i32x4::<0xDD>(s[i], s[i + 8]));
        store(tile, i + 4, _mm512_shuffle_i32x4::<0x88>(s[i + 4], s[i + 12]));
        store(tile, i + 12, _mm512_shuffle_i32x4::<0xDD>(s[i + 4], s[i + 12]));
    }
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
