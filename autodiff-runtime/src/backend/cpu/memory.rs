//! The memory of a run, shared by the threads.
#![allow(unsafe_code, reason = "threads write disjoint parts of shared arrays, as the plan lays down")]

use crate::element::Element;
use crate::plan::SlotId;

/// Views of every slot and of the feeds' sparsity patterns, filled at the beginning of a run.
///
/// Invariant, which the plan establishes and nothing here can check: no two blocks of a step write the same element, and
/// none reads what another writes; an instruction never reads what it writes. Ranges are checked.
#[derive(Default)]
pub(super) struct Memory<E> {
    real: Vec<(usize, usize)>,
    index: Vec<(usize, usize)>,
    patterns: Vec<Views>,
    element: std::marker::PhantomData<E>,
}

/// Addresses and lengths of a sparsity pattern's arrays.
#[derive(Clone, Copy, Default)]
struct Views {
    offsets: (usize, usize),
    columns: (usize, usize),
}

/// The places of the non-zeros of a CSR feed.
#[derive(Clone, Copy)]
pub(super) struct Pattern<'a> {
    /// Offsets of the rows; subtract the first to index values.
    pub offsets: &'a [usize],
    /// Column of each non-zero; starts at the first row's.
    pub columns: &'a [u32],
}

impl Pattern<'_> {
    /// Non-zeros of some rows.
    pub fn range(&self, from: usize, to: usize) -> std::ops::Range<usize> {
        self.offsets[from] - self.offsets[0]..self.offsets[to] - self.offsets[0]
    }
}

fn view<T>(x: &[T]) -> (usize, usize) {
    (x.as_ptr().expose_provenance(), x.len())
}

impl<E: Element> Memory<E> {
    /// Forgets the last run's views; `n` slots and `p` patterns follow.
    pub fn clear(&mut self, n: usize, p: usize) {
        self.real.clear();
        self.real.resize(n, (0, 0));
        self.index.clear();
        self.index.resize(n, (0, 0));
        self.patterns.clear();
        self.patterns.resize(p, Views::default());
    }

    /// A slot that is only read.
    pub fn set_shared(&mut self, slot: usize, x: &[E]) {
        self.real[slot] = view(x);
    }

    /// A slot that is written.
    pub fn set(&mut self, slot: usize, x: &mut [E]) {
        self.real[slot] = (x.as_mut_ptr().expose_provenance(), x.len());
    }

    /// A slot of indices that is only read.
    pub fn set_shared_index(&mut self, slot: usize, x: &[u32]) {
        self.index[slot] = view(x);
    }

    /// A slot of indices that is written.
    pub fn set_index(&mut self, slot: usize, x: &mut [u32]) {
        self.index[slot] = (x.as_mut_ptr().expose_provenance(), x.len());
    }

    /// A sparsity pattern.
    pub fn set_pattern(&mut self, input: usize, p: Pattern<'_>) {
        self.patterns[input] = Views { offsets: view(p.offsets), columns: view(p.columns) };
    }

    /// Part of a slot.
    #[inline]
    pub fn read(&self, slot: SlotId, from: usize, len: usize) -> &[E] {
        let (at, n) = self.real[slot.index()];
        assert!(from + len <= n, "slot {} holds {n} elements", slot.index());
        // SAFETY: the views were set from live slices for this run, the range was checked, and by the type's invariant
        // nobody writes this part meanwhile.
        unsafe {
            let base: *const E = std::ptr::with_exposed_provenance(at);
            std::slice::from_raw_parts(base.add(from), len)
        }
    }

    /// Part of a slot, to be written by this block alone.
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "blocks write disjoint parts, by the type's invariant")]
    pub fn write(&self, slot: SlotId, from: usize, len: usize) -> &mut [E] {
        let (at, n) = self.real[slot.index()];
        assert!(from + len <= n, "slot {} holds {n} elements", slot.index());
        // SAFETY: as for `read`; the part is written by the calling block only.
        unsafe {
            let base: *mut E = std::ptr::with_exposed_provenance_mut(at);
            std::slice::from_raw_parts_mut(base.add(from), len)
        }
    }

    /// Address of part of a slot, for writers whose parts interleave.
    pub fn address(&self, slot: SlotId, from: usize, len: usize) -> *mut E {
        let (at, n) = self.real[slot.index()];
        assert!(from + len <= n, "slot {} holds {n} elements", slot.index());
        std::ptr::with_exposed_provenance_mut::<E>(at).wrapping_add(from)
    }

    /// All indices of a slot.
    #[inline]
    pub fn read_index(&self, slot: SlotId) -> &[u32] {
        let (at, n) = self.index[slot.index()];
        // SAFETY: as for `read`.
        unsafe { slice(at, n) }
    }

    /// All indices of a slot, to be written.
    #[allow(clippy::mut_from_ref, reason = "blocks write disjoint parts, by the type's invariant")]
    pub fn write_index(&self, slot: SlotId) -> &mut [u32] {
        let (at, n) = self.index[slot.index()];
        if n == 0 {
            return &mut [];
        }
        // SAFETY: as for `write`.
        unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(at), n) }
    }

    /// Number of elements of a slot.
    pub fn len(&self, slot: SlotId) -> usize {
        self.real[slot.index()].1.max(self.index[slot.index()].1)
    }

    /// The sparsity pattern of an input.
    #[inline]
    pub fn pattern(&self, input: usize) -> Pattern<'_> {
        let v = self.patterns[input];
        // SAFETY: as for `read`; patterns are never written during a run.
        unsafe {
            Pattern { offsets: slice(v.offsets.0, v.offsets.1), columns: slice(v.columns.0, v.columns.1) }
        }
    }
}

/// A slice from an address that a live slice gave.
///
/// # Safety
/// `at` and `n` come from one slice that is alive and not written meanwhile.
unsafe fn slice<'a, T>(at: usize, n: usize) -> &'a [T] {
    if n == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(at), n) }
}

/// Zeros for a large result, in memory that the system may hand out in large pages: it then comes several times faster.
pub fn zeros<E: Element>(len: usize) -> Vec<E> {
    let zeros = vec![E::default(); len];
    #[cfg(target_os = "linux")]
    large_pages(&zeros);
    zeros
}

/// Asks for large pages where whole ones fit.
#[cfg(target_os = "linux")]
fn large_pages<E>(of: &[E]) {
    const PAGE: usize = 1 << 21;
    const HUGE: i32 = 14;
    unsafe extern "C" {
        fn madvise(at: *mut std::ffi::c_void, len: usize, advice: i32) -> i32;
    }
    let bytes = of.as_ptr_range();
    let (from, end) = (bytes.start.addr().next_multiple_of(PAGE), bytes.end.addr() / PAGE * PAGE);
    if from < end {
        let at = bytes.start.cast_mut().with_addr(from);
        // SAFETY: the range lies within the slice. A system that knows no such advice says so, which does no harm.
        let _ = unsafe { madvise(at.cast(), end - from, HUGE) };
    }
}

/// An array of the run's own whose first element lies on a cache line. Parts are lent to blocks, which never overlap.
pub(super) struct Aligned<E> {
    data: Vec<E>,
    skip: usize,
    len: usize,
}

impl<E: Element> Aligned<E> {
    /// Zeros.
    pub fn new(len: usize) -> Self {
        let data = vec![E::default(); len + 64];
        let size = std::mem::size_of::<E>();
        let skip = (64 - data.as_ptr().addr() % 64) % 64 / size;
        Self { data, skip, len }
    }

    /// All elements.
    pub fn as_mut_slice(&mut self) -> &mut [E] {
        &mut self.data[self.skip..self.skip + self.len]
    }

    /// A part that the caller alone uses.
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "registers and blocks have parts of their own")]
    pub fn part(&self, from: usize, len: usize) -> &mut [E] {
        assert!(from + len <= self.len, "a part of {} elements", self.len);
        // SAFETY: in range; each block and register has its own part, and each worker its own array.
        unsafe {
            let base = self.data.as_ptr().cast_mut().add(self.skip + from);
            std::slice::from_raw_parts_mut(base, len)
        }
    }
}

// SAFETY: parts lent to different threads do not overlap, by the type's invariant.
unsafe impl<E: Sync> Sync for Aligned<E> {}
