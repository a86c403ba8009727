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
            let done = match (isa, steps[1]) {
                (Isa::V4, 0) => one_row(normal, site, row_of(0), [own, steps[0]], to),
                _ => 0,
            };
            let (to, own) = (&mut to[done..], own + done * steps[0]);
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

/// Draws of one row at positions from the first on, a step apart: of the last, how many were done here, where there are
/// vectors for it. The instruction set must be the first.
fn one_row<E: Element>(
    normal: bool,
    site: &SiteKey,
    row: u32,
    [first, step]: [usize; 2],
    to: &mut [E],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        // Positions that differ in their lower words alone.
        let last = first + to.len() * step;
        if first >> 32 == last >> 32 && step >> 32 == 0 {
            // SAFETY: `Isa::detect` found the features.
            return unsafe { one_row_v4(normal, site, row, [first as u64, step as u64], to) };
        }
    }
    let _ = (normal, site, row, first, step, to);
    0
}

/// Pairs of vectors, so that the rounds of one fill the waits of the other.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw")]
fn one_row_v4<E: Element>(
    normal: bool,
    site: &SiteKey,
    row: u32,
    [first, step]: [u64; 2],
    to: &mut [E],
) -> usize {
    use std::arch::x86_64::*;
    let all = |x: u32| _mm512_set1_epi32(x as i32);
    let (_, tag) = site.parts();
    let (row, high) = (all(row), all(tag ^ (first >> 32) as u32));
    let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let mut at = _mm512_add_epi32(all(first as u32), _mm512_mullo_epi32(lanes, all(step as u32)));
    let by = all((LANES as u32).wrapping_mul(step as u32));
    let mut done = 0;
    for part in to.chunks_exact_mut(2 * LANES) {
        let next = _mm512_add_epi32(at, by);
        let words = words_v4(site, [[at, next], [row; 2], [high; 2]]);
        for (words, part) in words.iter().zip(part.chunks_exact_mut(LANES)) {
            part.copy_from_slice(&drawn::<E>(normal, words));
        }
        at = _mm512_add_epi32(next, by);
        done += 2 * LANES;
    }
    done
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
            let low: [u32; LANES] = std::array::from_fn(|l| places[l] as u32);
            let (_, tag) = site.parts();
            let high: [u32; LANES] = std::array::from_fn(|l| tag ^ (places[l] >> 32) as u32);
            // SAFETY: arrays of sixteen words.
            let counters = [&low, rows, &high]
                .map(|x| [unsafe { std::arch::x86_64::_mm512_loadu_si512(x.as_ptr().cast()) }]);
            let [words] = words_v4(site, counters);
            drawn(normal, &words)
        }
        if isa == Isa::V4 {
            // SAFETY: `Isa::detect` found the features.
            return unsafe { v4(normal, site, rows, places) };
        }
    }
    let _ = isa;
    drawn(normal, &site.words_of(rows, places))
}

/// [`SiteKey::words_of`] for N vectors of counters (the low word of the position, the row, and the high word with the site's
/// tag), with products of the even and of the odd lanes.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn words_v4<const N: usize>(
    site: &SiteKey,
    [mut a, mut b, mut c]: [[std::arch::x86_64::__m512i; N]; 3],
) -> [[[u32; LANES]; 2]; N] {
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
    let (key, _) = site.parts();
    let mut d = [_mm512_setzero_si512(); N];
    let [by0, by1] = MULTIPLIERS.map(all);
    for round in 0..10_u32 {
        let k = [0, 1].map(|i| all(key[i].wrapping_add(WEYL[i].wrapping_mul(round))));
        for v in 0..N {
            let ([high0, low0], [high1, low1]) = (product(a[v], by0), product(c[v], by1));
            // Exclusive or of three.
            a[v] = _mm512_ternarylogic_epi32::<0x96>(high1, b[v], k[0]);
            c[v] = _mm512_ternarylogic_epi32::<0x96>(high0, d[v], k[1]);
            (b[v], d[v]) = (low1, low0);
        }
    }
    let mut out = [[[0; LANES]; 2]; N];
    for v in 0..N {
        // SAFETY: arrays of sixteen words.
        unsafe {
            _mm512_storeu_si512(out[v][0].as_mut_ptr().cast(), a[v]);
            _mm512_storeu_si512(out[v][1].as_mut_ptr().cast(), b[v]);
        }
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
    fn the_draws_of_a_row_are_those_of_each_place() {
        let site = SiteKey::new(StepKey { seed: 4, step: 1 }, 2);
        if Isa::detect() != Isa::V4 {
            return;
        }
        for (first, step) in
            [(0, 1), (77, 1), (1000, 3), ((1 << 32) - 64, 1), ((1 << 32) - 63, 1), (5 << 40, 1)]
        {
            for normal in [false, true] {
                let mut to = [0.0_f64; 63];
                let done = one_row(normal, &site, 9, [first, step], &mut to);
                assert_eq!(done, if first == (1 << 32) - 63 { 0 } else { 32 }, "{first}");
                for (i, x) in to[..done].iter().enumerate() {
                    let mut words = site.element(9, (first + i * step) as u64);
                    assert_eq!(*x, if normal { words.normal() } else { words.uniform() }, "{first} {i}");
                }
            }
        }
    }

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
