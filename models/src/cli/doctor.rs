//! `svic doctor`: what this machine has, in words that help.

use super::{OK, Outcome, out};
use autodiff_runtime::backend::cpu;

/// Runs `svic doctor`.
pub fn run() -> Outcome {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    out(&format!("svic {}", env!("CARGO_PKG_VERSION")));
    out(&format!(
        "processor: {threads} threads, vector instructions: {} — used by `--backend cpu` (the default)",
        cpu::instructions()
    ));
    if cpu::instructions() != "AVX-512" {
        out("  without AVX-512 portable kernels run: right, and slower");
    }
    match memory() {
        Some([total, free]) => out(&format!(
            "memory: {} GiB, {} GiB free — counts that need more than a quarter of `--memory` are read from the disk",
            gib(total),
            gib(free)
        )),
        None => out("memory: unknown"),
    }
    let (major, minor, micro) = hdf5::library_version();
    out(&format!("HDF5: {major}.{minor}.{micro}, built in — h5ad, h5mu, loom and 10x files"));
    cards();
    Ok(OK)
}

fn gib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / (1u64 << 30) as f64)
}

/// Bytes of memory, and of free memory.
fn memory() -> Option<[u64; 2]> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let find = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some([find("MemTotal:")?, find("MemAvailable:")?])
}

#[cfg(feature = "cuda")]
fn cards() {
    use autodiff_runtime::backend::cuda::card::{OLDEST, survey};
    let s = survey();
    let version = |v: Option<(i32, i32)>| v.map_or("none".to_owned(), |(a, b)| format!("{a}.{b}"));
    out(&format!(
        "CUDA: driver {}, compiler {}, matrix products {}",
        version(s.driver),
        version(s.compiler),
        if s.products { "found" } else { "none" }
    ));
    for c in &s.cards {
        let usable = c.architecture >= OLDEST && s.compiler.is_some() && s.products;
        out(&format!(
            "card {}: {}, generation {}.{}, {} GiB — {}",
            c.ordinal,
            c.name,
            c.architecture.0,
            c.architecture.1,
            gib(c.memory as u64),
            if usable && c.ordinal == 0 {
                "used by `--backend cuda` and `--backend auto`"
            } else if usable {
                "not used: one run uses card 0 (choose another by CUDA_VISIBLE_DEVICES)"
            } else {
                "cannot be used, see below"
            }
        ));
    }
    s.problems.iter().for_each(|p| out(&format!("  {p}")));
    if s.cards.is_empty() || !s.problems.is_empty() {
        out("  without a card everything runs on the processor; results agree to rounding");
    }
}

#[cfg(not(feature = "cuda"))]
fn cards() {
    out("CUDA: this build has no back end for cards");
}
