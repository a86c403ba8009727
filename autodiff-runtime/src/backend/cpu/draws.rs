//! Uniform and normal draws, sixteen at a time along the last dimension of the result.
#![allow(unsafe_code, reason = "a function compiled for an instruction set is called after it was detected")]

use super::lanes::Isa;
use super::memory::Memory;
use super::pool::Pool;
use super::walk::{count, n_blocks, offsets};
use crate::element::Element;
use crate::op::RandomKind;
use crate::plan::Draw;
use crate::random::{MULTIPLIERS, SiteKey, WEYL, normal_from, open_unit};

/// Draws at a time.
const LANES: usize = 16;

/// Whether draws are of such a kind, and their result contiguous along its last dimension.
pub(super) fn in_runs(s: &Draw) -> bool {
    let kind = matches!(s.kind, RandomKind::Uniform | RandomKind::Normal);
    kind && s.dims.last().is_some_and(|d| d.1[0] == 1)
}

/// Runs them. The numbers are those of [`crate::random::draw`].
pub(super) fn runs<E: Element>(
    s: &Draw,
    site: &SiteKey,
    rows: &[u32],
    mem: &Memory<E>,
    pool: &Pool,
    isa: Isa,
) {
    let (run, steps) = s.dims.last().map_or((1, [0, 0]), |d| (d.0, [d.1[1], d.1[2]]));
    let n = count(&s.dims) / run;
    let normal = s.kind == RandomKind::Normal;
    let blocks = n_blocks(n * run * 8, n);
    pool.run(blocks, &|b, _| {
        for i in b * n / blocks..(b + 1) * n / blocks {
            let [to, own, row, ..] = offsets::<5>(&s.dims, i * run);
            let to = mem.write(s.to, to, run);
            let row_of = |l: usize| rows.get(row + l * steps[1]).copied().unwrap_or(0);
            for (k, part) in to.chunks_mut(LANES).enumerate() {
                let places = std::array::from_fn(|l| (own + (k * LANES + l) * steps[0]) as u64);
                let rows = if steps[1] == 0 {
                    [row_of(0); LANES]
                } else {
                    std::array::from_fn(|l| row_of(k * LANES + l))
                };
                let drawn: [E; LANES] = sixteen(isa, normal, site, &rows, &places);
                part.copy_from_slice(&drawn[..part.len()]);
            }
        }
    });
}

/// Sixteen draws.
fn sixteen<E: Element>(
    isa: Isa,
    normal: bool,
    site: &SiteKey,
    rows: &[u32; LANES],
    places: &[u64; LANES],
) -> [E; LANES] {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw")]
        fn v4<E: Element>(
            normal: bool,
            site: &SiteKey,
            rows: &[u32; LANES],
            places: &[u64; LANES],
        ) -> [E; LANES] {
            drawn(normal, &words_v4(site, rows, places))
        }
        if isa == Isa::V4 {
            // SAFETY: `Isa::detect` found the features.
            return unsafe { v4(normal, site, rows, places) };
        }
    }
    let _ = isa;
    drawn(normal, &site.words_of(rows, places))
}

/// [`SiteKey::words_of`] with products of the even and of the odd lanes.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn words_v4(site: &SiteKey, rows: &[u32; LANES], places: &[u64; LANES]) -> [[u32; LANES]; 2] {
    use std::arch::x86_64::*;
    /// Upper and lower halves of the products.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn product(c: __m512i, by: __m512i) -> [__m512i; 2] {
        const ODD: __mmask16 = 0xAAAA;
        let even = _mm512_mul_epu32(c, by);
        let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(c), by);
        let high = _mm512_mask_blend_epi32(ODD, _mm512_srli_epi64::<32>(even), odd);
        [high, _mm512_mask_blend_epi32(ODD, even, _mm512_slli_epi64::<32>(odd))]
    }
    let all = |x: u32| _mm512_set1_epi32(x as i32);
    let (key, tag) = site.parts();
    let low: [u32; LANES] = std::array::from_fn(|l| places[l] as u32);
    let high: [u32; LANES] = std::array::from_fn(|l| tag ^ (places[l] >> 32) as u32);
    // SAFETY: arrays of sixteen words.
    let [mut a, mut b, mut c] = [&low, rows, &high].map(|x| unsafe { _mm512_loadu_si512(x.as_ptr().cast()) });
    let mut d = _mm512_setzero_si512();
    let [by0, by1] = MULTIPLIERS.map(all);
    for round in 0..10_u32 {
        let k = [0, 1].map(|i| all(key[i].wrapping_add(WEYL[i].wrapping_mul(round))));
        let ([high0, low0], [high1, low1]) = (product(a, by0), product(c, by1));
        // Exclusive or of three.
        a = _mm512_ternarylogic_epi32::<0x96>(high1, b, k[0]);
        c = _mm512_ternarylogic_epi32::<0x96>(high0, d, k[1]);
        (b, d) = (low1, low0);
    }
    let mut out = [[0; LANES]; 2];
    // SAFETY: as above.
    unsafe {
        _mm512_storeu_si512(out[0].as_mut_ptr().cast(), a);
        _mm512_storeu_si512(out[1].as_mut_ptr().cast(), b);
    }
    out
}

#[inline(always)]
fn drawn<E: Element>(normal: bool, words: &[[u32; LANES]; 2]) -> [E; LANES] {
    let mut out = [E::default(); LANES];
    if normal {
        for l in 0..LANES {
            out[l] = E::from_f64(normal_from(words[0][l], words[1][l]));
        }
    } else {
        for l in 0..LANES {
            out[l] = E::from_f64(open_unit(words[0][l]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StepKey;

    #[test]
    fn every_instruction_set_draws_the_same() {
        let site = SiteKey::new(StepKey { seed: 3, step: 9 }, 4);
        for i in 0..200_u64 {
            let rows = std::array::from_fn(|l| i as u32 * 7 + l as u32 / 3);
            let places = std::array::from_fn(|l| i * 1_000_003 + (l as u64) * (1 << (i % 34)));
            for normal in [false, true] {
                let one: [f64; LANES] = sixteen(Isa::detect(), normal, &site, &rows, &places);
                let two: [f64; LANES] = sixteen(Isa::Base, normal, &site, &rows, &places);
                assert_eq!(one, two);
                let [row, place] = [u64::from(rows[5]), places[5]];
                let mut words = site.element(row as u32, place);
                assert_eq!(one[5], if normal { words.normal() } else { words.uniform() });
            }
        }
    }
}
