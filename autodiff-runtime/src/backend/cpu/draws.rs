//! Uniform and normal draws, sixteen at a time along the last dimension of the result.
#![allow(unsafe_code, reason = "a function compiled for an instruction set is called after it was detected")]

use super::lanes::Isa;
use super::memory::Memory;
use super::pool::Pool;
use super::walk::{count, n_blocks, offsets};
use crate::element::Element;
use crate::op::RandomKind;
use crate::plan::Draw;
use crate::random::{SiteKey, normal_from, open_unit};

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
    let blocks = n_blocks(n * run, n);
    pool.run(blocks, &|b, _| {
        for i in b * n / blocks..(b + 1) * n / blocks {
            let [to, own, row, ..] = offsets::<5>(&s.dims, i * run);
            let to = mem.write(s.to, to, run);
            for (k, part) in to.chunks_mut(LANES).enumerate() {
                let place = |l: usize| own + (k * LANES + l) * steps[0];
                let row = |l: usize| rows.get(row + (k * LANES + l) * steps[1]).copied().unwrap_or(0);
                let n = part.len();
                let places = std::array::from_fn(|l| place(l.min(n - 1)) as u64);
                let rows = std::array::from_fn(|l| row(l.min(n - 1)));
                let words = words(isa, site, &rows, &places);
                for (l, t) in part.iter_mut().enumerate() {
                    *t = E::from_f64(match s.kind {
                        RandomKind::Uniform => open_unit(words[0][l]),
                        _ => normal_from(words[0][l], words[1][l]),
                    });
                }
            }
        }
    });
}

/// The first two words of sixteen elements.
fn words(isa: Isa, site: &SiteKey, rows: &[u32; LANES], places: &[u64; LANES]) -> [[u32; LANES]; 2] {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw")]
        fn v4(site: &SiteKey, rows: &[u32; LANES], places: &[u64; LANES]) -> [[u32; LANES]; 2] {
            site.words_of(rows, places)
        }
        if isa == Isa::V4 {
            // SAFETY: `Isa::detect` found the features.
            return unsafe { v4(site, rows, places) };
        }
    }
    let _ = isa;
    site.words_of(rows, places)
}
