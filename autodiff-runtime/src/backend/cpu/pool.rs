//! Persistent worker threads that claim blocks of a phase.
#![allow(
    unsafe_code,
    reason = "a phase's closure is lent to workers that outlive it; `run` returns only after all are done"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A closure that does one block, given the block and the number of the worker.
type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// The threads of one executable. The caller's thread is worker 0.
pub(super) struct Pool {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Phase number in the upper half; in the lower, how many blocks were taken from the back and from the front, 16
    /// bits each.
    claim: AtomicU64,
    /// Blocks of this phase.
    n_blocks: AtomicUsize,
    /// Blocks done.
    done: AtomicUsize,
    /// The closure, as two words.
    work: [AtomicUsize; 2],
    stop: AtomicBool,
    panicked: AtomicBool,
    /// Whether a run is going on: outside, workers sleep.
    awake: AtomicBool,
}

/// What the counts of a claim can hold.
const MOST_BLOCKS: usize = 0xFFFF;
/// Counts under which no number of blocks leaves any to claim.
const CLOSED: u64 = MOST_BLOCKS as u64;
/// Iterations of the spin before a waiting thread yields: some microseconds.
const SPIN: u32 = 2000;
/// Yields before a worker sleeps until the next run.
const YIELDS: u32 = 200;

impl Pool {
    /// Starts `threads − 1` workers.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            claim: AtomicU64::new(0),
            n_blocks: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            work: [AtomicUsize::new(0), AtomicUsize::new(0)],
            stop: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            awake: AtomicBool::new(false),
        });
        let handles = (1..threads.max(1))
            .map(|worker| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&shared, worker))
            })
            .collect();
        Self { shared, handles }
    }

    /// Wakes the workers at the beginning of a run.
    pub fn wake(&self) {
        self.shared.awake.store(true, Ordering::Release);
        self.handles.iter().for_each(|h| h.thread().unpark());
    }

    /// Lets the workers sleep after a run.
    pub fn rest(&self) {
        self.shared.awake.store(false, Ordering::Release);
    }

    /// Does blocks 0 .. n (at most 65,535), each once, and returns when all are done.
    pub fn run(&self, n_blocks: usize, work: &Work<'_>) {
        assert!(n_blocks <= MOST_BLOCKS, "{n_blocks} blocks");
        if n_blocks <= 1 || self.handles.is_empty() {
            (0..n_blocks).for_each(|b| work(b, 0));
            return;
        }
        let s = &*self.shared;
        // SAFETY: the two words are read back as the same fat pointer, and only until `done` reaches `n_blocks`, which
        // this function waits for while `work` is borrowed.
        let words: [usize; 2] = unsafe { std::mem::transmute::<*const Work<'_>, [usize; 2]>(work) };
        let last = s.claim.load(Ordering::Relaxed) >> 32;
        // The last phase is closed before anything of the next is written: a worker that missed it may read the new
        // words under its number, but then it also sees that there is nothing left to claim.
        s.claim.store(last << 32 | CLOSED, Ordering::Release);
        s.done.store(0, Ordering::Release);
        s.n_blocks.store(n_blocks, Ordering::Release);
        s.work[0].store(words[0], Ordering::Release);
        s.work[1].store(words[1], Ordering::Release);
        let phase = last + 1;
        s.claim.store(phase << 32, Ordering::Release);
        claim_blocks(s, phase, n_blocks, words, 0);
        let mut spins = 0;
        while s.done.load(Ordering::Acquire) < n_blocks {
            wait(&mut spins);
        }
        assert!(!s.panicked.load(Ordering::Relaxed), "a worker panicked");
    }
}

fn wait(spins: &mut u32) {
    *spins += 1;
    if *spins < SPIN { std::hint::spin_loop() } else { std::thread::yield_now() }
}

/// Claims and does blocks of a phase until none is left. A claim carries its phase, so a late worker takes nothing of
/// the next. Every other worker begins at the back: so blocks of one number, which read and write the same part of an
/// array phase after phase, mostly meet the same cache.
fn claim_blocks(s: &Shared, phase: u64, n_blocks: usize, words: [usize; 2], worker: usize) {
    loop {
        let now = s.claim.load(Ordering::Acquire);
        let (front, back) = ((now & 0xFFFF) as usize, (now >> 16 & 0xFFFF) as usize);
        if now >> 32 != phase || front + back >= n_blocks {
            return;
        }
        let (block, step) =
            if worker.is_multiple_of(2) { (front, 1) } else { (n_blocks - 1 - back, 1 << 16) };
        if s.claim.compare_exchange_weak(now, now + step, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            continue;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // SAFETY: the block was claimed in the phase that set these words, and the phase's `run` waits for it.
            let work: &Work<'_> = unsafe { &*std::mem::transmute::<[usize; 2], *const Work<'_>>(words) };
            work(block, worker);
        }));
        if outcome.is_err() {
            s.panicked.store(true, Ordering::Relaxed);
        }
        s.done.fetch_add(1, Ordering::AcqRel);
    }
}

fn serve(s: &Shared, worker: usize) {
    let mut last = 0;
    let mut spins = 0;
    loop {
        if s.stop.load(Ordering::Acquire) {
            return;
        }
        let now = s.claim.load(Ordering::Acquire);
        let phase = now >> 32;
        if phase != last {
            // These may already be the next phase's. Then that phase's closing of this one came before them, and a claim,
            // which always acts on the newest state, fails.
            let words = [s.work[0].load(Ordering::Acquire), s.work[1].load(Ordering::Acquire)];
            let n_blocks = s.n_blocks.load(Ordering::Acquire);
            if s.claim.load(Ordering::Acquire) >> 32 == phase {
                claim_blocks(s, phase, n_blocks, words, worker);
                last = phase;
            }
            spins = 0;
        } else if spins > SPIN + YIELDS && !s.awake.load(Ordering::Acquire) {
            std::thread::park_timeout(Duration::from_millis(100));
        } else {
            wait(&mut spins);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for h in self.handles.drain(..) {
            h.thread().unpark();
            // A worker's own panic was reported by `run`.
            let _ = h.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_done_once_in_many_phases() {
        let pool = Pool::new(3);
        pool.wake();
        for n in 0..500 {
            let counts: Vec<AtomicUsize> = (0..n % 37).map(|_| AtomicUsize::new(0)).collect();
            pool.run(counts.len(), &|b, w| {
                assert!(w < 3);
                counts[b].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        }
        pool.rest();
    }

    /// A worker that comes too late for a phase must take nothing of the next by the words of the one before.
    #[test]
    fn phases_that_are_shorter_than_a_wake_up_stay_apart() {
        let pool = Pool::new(4);
        pool.wake();
        for n in 0..200_000_u64 {
            let blocks = if n % 2 == 0 { 2 } else { 23 };
            let counts: Vec<AtomicU64> = (0..blocks).map(|_| AtomicU64::new(n)).collect();
            pool.run(blocks, &|b, _| {
                counts[b].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == n + 1), "phase {n}");
        }
        pool.rest();
    }
}
