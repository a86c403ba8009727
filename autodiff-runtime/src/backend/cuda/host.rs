//! A machine for tests: the printed text, built by the host's C compiler, with fibers for threads. It shows that the text
//! computes what the plan says, in any order of the threads between barriers; not that a card's compiler takes it.
#![allow(unsafe_code, reason = "runs compiled code on addresses of its own arrays")]

use super::machine::{Kernels, Machine};
use crate::plan::Product;
use crate::store::RunError;
use libloading::Library;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const SHIM: &str = include_str!("host.h");

/// A host that stands in for a card.
pub struct Host {
    /// The C compiler.
    compiler: PathBuf,
    /// Whether threads and blocks run in the opposite order.
    backwards: bool,
    arrays: Mutex<BTreeMap<u64, Vec<[u64; 32]>>>,
}

impl Host {
    /// A host with the compiler `cc`; with `backwards` the last thread runs first.
    pub fn new(backwards: bool) -> Self {
        Self { compiler: "cc".into(), backwards, arrays: Mutex::default() }
    }

    /// Whether the array at `address` has so many bytes.
    fn check(&self, address: u64, len: usize) {
        let arrays = self.arrays.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = arrays.range(..=address).next_back().is_some_and(|(from, a)| {
            address + len as u64 <= from + std::mem::size_of_val(a.as_slice()) as u64
        });
        assert!(fits, "{len} bytes at {address:#x} lie in no array");
    }
}

fn device(what: String) -> RunError {
    RunError::Device { device: "the host".into(), what }
}

impl Machine for Host {
    fn describe(&self) -> String {
        format!("the host, by {}", self.compiler.display())
    }

    fn allocate(&self, bytes: usize) -> Result<u64, RunError> {
        // Not zero, so that what is read before it is written shows.
        let array = vec![[0x7FF8_DEAD_7FC0_DEAD_u64; 32]; bytes.div_ceil(256) + 1];
        let address = array.as_ptr().expose_provenance() as u64;
        let mut arrays = self.arrays.lock().unwrap_or_else(PoisonError::into_inner);
        arrays.insert(address, array);
        Ok(address)
    }

    fn release(&self, address: u64) {
        let mut arrays = self.arrays.lock().unwrap_or_else(PoisonError::into_inner);
        arrays.remove(&address);
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<(), RunError> {
        self.check(to, from.len());
        let to: *mut u8 = std::ptr::with_exposed_provenance_mut(to as usize);
        // SAFETY: the range lies in an array of this machine, and `from` is the caller's.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        Ok(())
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), RunError> {
        self.check(from, to.len());
        let from: *const u8 = std::ptr::with_exposed_provenance(from as usize);
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn load(&self, source: &str) -> Result<Box<dyn Kernels>, RunError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let stem = std::env::temp_dir().join(format!("svic-kernels-{}-{number}", std::process::id()));
        let (text, built) = (stem.with_extension("c"), stem.with_extension("so"));
        let io = |e: std::io::Error| device(format!("{}: {e}", text.display()));
        std::fs::write(&text, format!("{SHIM}{source}")).map_err(io)?;
        let output = Command::new(&self.compiler)
            .args([
                "-std=gnu11",
                "-O1",
                "-w",
                "-ffp-contract=off",
                "-fwrapv",
                "-U_FORTIFY_SOURCE",
                "-shared",
                "-fPIC",
                "-o",
            ])
            .arg(&built)
            .arg(&text)
            .arg("-lm")
            .output()
            .map_err(|e| device(format!("{}: {e}", self.compiler.display())))?;
        let kept = text.display().to_string();
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(device(format!("the text in {kept} does not compile:\n{log}")));
        }
        // SAFETY: the library was just built from text whose only code is its kernels'.
        let library = unsafe { Library::new(&built) }.map_err(|e| device(e.to_string()))?;
        let _ = std::fs::remove_file(&text);
        let _ = std::fs::remove_file(&built);
        Ok(Box::new(Built { library, backwards: self.backwards }))
    }

    fn multiply(&self, p: &Product, real_bytes: usize, at: [u64; 3]) -> Result<(), RunError> {
        if real_bytes == 4 {
            multiply::<f32>(p, at)
        } else {
            multiply::<f64>(p, at)
        }
        Ok(())
    }
}

/// The product by its definition.
fn multiply<E: crate::element::Element>(p: &Product, at: [u64; 3]) {
    let [m, n, k] = p.size;
    let [a, b, c]: [*mut E; 3] = at.map(|x| std::ptr::with_exposed_provenance_mut(x as usize));
    let n_batch: usize = p.batch.iter().map(|b| b[0]).product();
    let n_again: usize = p.again.iter().map(|b| b[0]).product();
    for g in 0..n_batch {
        let mut rest = g;
        let mut from = [0; 3];
        for d in p.batch.iter().rev() {
            (0..3).for_each(|i| from[i] += rest % d[0] * d[i + 1]);
            rest /= d[0];
        }
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let mut sum = 0.0;
            for h in 0..n_again {
                let (mut rest, mut more) = (h, [0; 2]);
                for d in p.again.iter().rev() {
                    (0..2).for_each(|i| more[i] += rest % d[0] * d[i + 1]);
                    rest /= d[0];
                }
                for q in 0..k {
                    let x = from[0] + more[0] + i * p.a_step[0] + q * p.a_step[1];
                    let y = from[1] + more[1] + q * p.b_step[0] + j * p.b_step[1];
                    // SAFETY: the plan's steps stay within its slots.
                    sum += unsafe { a.add(x).read().to_f64() * b.add(y).read().to_f64() };
                }
            }
            // SAFETY: as above.
            unsafe { c.add(from[2] + i * p.c_step[0] + j * p.c_step[1]).write(E::from_f64(sum)) };
        }
    }
}

struct Built {
    library: Library,
    backwards: bool,
}

type Call = unsafe extern "C" fn(*mut *mut c_void);
type RunGrid = unsafe extern "C" fn(Call, *mut *mut c_void, u32, u32, u32, c_int) -> c_int;

impl Kernels for Built {
    fn launch(&self, entry: &str, grid: [u32; 2], block: u32, parameters: &[u64]) -> Result<(), RunError> {
        let missing = |e: libloading::Error| device(e.to_string());
        let mut addresses: Vec<*mut c_void> =
            parameters.iter().map(|p| std::ptr::with_exposed_provenance_mut(*p as usize)).collect();
        // SAFETY: the shim defines `run_grid` and the text `call_…` with these types; addresses are of live arrays.
        let line = unsafe {
            let run = self.library.get::<RunGrid>(b"run_grid\0").map_err(missing)?;
            let call = self.library.get::<Call>(format!("call_{entry}\0").as_bytes()).map_err(missing)?;
            run(*call, addresses.as_mut_ptr(), grid[0], grid[1], block, c_int::from(self.backwards))
        };
        if line == 0 {
            return Ok(());
        }
        Err(device(format!("not all threads of `{entry}` reach the barrier of line {line}")))
    }
}
