//! Where each slot of the arena lies: slots whose lives do not overlap may share memory.

/// One value in need of a place, alive from the step that makes it to the last that reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub len: usize,
    pub first: usize,
    pub last: usize,
}

/// Elements to which places are rounded: a cache line of single precision.
const ALIGN: usize = 16;

/// Gives each value an offset, first fit in the order of their births; also the size of the arena.
pub(super) fn place(lives: &[Life]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|i| (lives[*i].first, std::cmp::Reverse(lives[*i].len)));
    let mut offsets = vec![0; lives.len()];
    let mut placed: Vec<usize> = vec![];
    let mut size = 0;
    for i in order {
        let me = lives[i];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|p| lives[**p].last >= me.first && lives[**p].first <= me.last)
            .map(|p| (offsets[*p], offsets[*p] + lives[*p].len.next_multiple_of(ALIGN)))
            .collect();
        taken.sort_unstable();
        let need = me.len.next_multiple_of(ALIGN);
        let mut at = 0;
        for (from, to) in taken {
            if at + need <= from {
                break;
            }
            at = at.max(to);
        }
        offsets[i] = at;
        size = size.max(at + need);
        placed.push(i);
    }
    (offsets, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_alive_together_do_not_overlap() {
        let lives: Vec<Life> =
            (0..40).map(|i| Life { len: 5 + (i * 7) % 50, first: i, last: i + (i * 13) % 9 }).collect();
        let (offsets, size) = place(&lives);
        for i in 0..lives.len() {
            assert!(offsets[i] + lives[i].len <= size);
            for j in 0..i {
                let together = lives[i].first <= lives[j].last && lives[j].first <= lives[i].last;
                let apart =
                    offsets[i] + lives[i].len <= offsets[j] || offsets[j] + lives[j].len <= offsets[i];
                assert!(!together || apart);
            }
        }
        assert!(size < lives.iter().map(|l| l.len.next_multiple_of(16)).sum());
    }
}
