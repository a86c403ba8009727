//! A card of NVIDIA's: memory, compiled modules, recorded work, and matrix products by cuBLASLt.
#![allow(unsafe_code, reason = "calls of the driver's libraries")]

use super::cache::Cache;
use super::machine::{Kernels, Machine, Recorded};
use super::{gemm, libraries, nvrtc};
use crate::plan::Product;
use crate::store::RunError;
use cudarc::driver::{DriverError, result, sys};
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, PoisonError};

/// The oldest generation of cards that the printed kernels are compiled for in tests.
pub const OLDEST: (i32, i32) = (7, 0);

/// What is known of a card before it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardFacts {
    /// Its number.
    pub ordinal: i32,
    /// Its name.
    pub name: String,
    /// Its generation, such as (9, 0).
    pub architecture: (i32, i32),
    /// Bytes of memory.
    pub memory: usize,
}

/// What a machine has for this back end; each missing piece in words.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Survey {
    /// The driver's version, as (major, minor) of CUDA; `None` without a driver.
    pub driver: Option<(i32, i32)>,
    /// The compiler's version.
    pub compiler: Option<(i32, i32)>,
    /// Whether the library of matrix products is there.
    pub products: bool,
    /// The cards.
    pub cards: Vec<CardFacts>,
    /// What is missing, or why something does not work.
    pub problems: Vec<String>,
}

/// Looks for a driver, its libraries and cards; changes nothing.
pub fn survey() -> Survey {
    libraries::find();
    let mut s = Survey { compiler: nvrtc::version(), products: gemm::is_present(), ..Survey::default() };
    // SAFETY: opens a library by name, and nothing else.
    if !unsafe { sys::is_culib_present() } {
        s.problems.push("no NVIDIA driver (libcuda) is installed".into());
        return s;
    }
    let missing = |what: &str| format!("{what} is not found: {}", libraries::HOW);
    if s.compiler.is_none() {
        s.problems.push(missing("the CUDA compiler (libnvrtc)"));
    }
    if !s.products {
        s.problems.push(missing("cuBLASLt (libcublasLt)"));
    }
    match cards() {
        Ok((driver, cards)) => {
            s.driver = Some(driver);
            if cards.is_empty() {
                s.problems.push("the driver finds no card".into());
            }
            for c in cards.iter().filter(|c| c.architecture < OLDEST) {
                let (major, minor) = c.architecture;
                s.problems.push(format!(
                    "card {} ({}) is of generation {major}.{minor}; {}.{} is the oldest that is supported",
                    c.ordinal, c.name, OLDEST.0, OLDEST.1
                ));
            }
            s.cards = cards;
        }
        Err(e) => s.problems.push(format!("the NVIDIA driver does not start: {}", words(&e))),
    }
    s
}

type Found = ((i32, i32), Vec<CardFacts>);

fn cards() -> Result<Found, DriverError> {
    result::init()?;
    let mut version = 0;
    // SAFETY: the place is valid.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    let mut list = vec![];
    for ordinal in 0..result::device::get_count()? {
        let device = result::device::get(ordinal)?;
        use sys::CUdevice_attribute_enum as A;
        // SAFETY: the device was just given by the driver.
        let facts = unsafe {
            let major =
                result::device::get_attribute(device, A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
            let minor =
                result::device::get_attribute(device, A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
            CardFacts {
                ordinal,
                name: result::device::get_name(device)?,
                architecture: (major, minor),
                memory: result::device::total_mem(device)?,
            }
        };
        list.push(facts);
    }
    Ok(((version / 1000, version % 1000 / 10), list))
}

fn words(e: &DriverError) -> String {
    let text = e.error_string().ok().map(|s| s.to_string_lossy().into_owned());
    text.unwrap_or_else(|| format!("{e:?}"))
}

/// A card in use.
pub struct Card {
    facts: CardFacts,
    context: sys::CUcontext,
    stream: sys::CUstream,
    products: gemm::Library,
    cache: Option<Cache>,
}

// SAFETY: the driver's handles may be used from any thread; each call makes the context current first.
unsafe impl Send for Card {}
// SAFETY: as above; work on one stream is ordered by the driver.
unsafe impl Sync for Card {}

impl Card {
    /// Opens a card. Compiled kernels are kept in `cache`, if there is one.
    ///
    /// # Errors
    /// [`RunError::Device`] that says what is missing.
    pub fn open(ordinal: i32, cache: Option<Cache>) -> Result<Self, RunError> {
        let survey = survey();
        let device = "CUDA".to_owned();
        let usable = |c: &&CardFacts| c.ordinal == ordinal && c.architecture >= OLDEST;
        let (Some(facts), true, true) =
            (survey.cards.iter().find(usable), survey.compiler.is_some(), survey.products)
        else {
            let what = if survey.problems.is_empty() {
                format!("there is no card {ordinal}; there are {}", survey.cards.len())
            } else {
                survey.problems.join("; ")
            };
            return Err(RunError::Device { device, what });
        };
        let failed = |e: DriverError| RunError::Device { device: facts.name.clone(), what: words(&e) };
        let handle = result::device::get(ordinal).map_err(failed)?;
        // SAFETY: the device exists; the primary context is released when the card is dropped.
        let context = unsafe { result::primary_ctx::retain(handle) }.map_err(failed)?;
        // SAFETY: just retained.
        unsafe { result::ctx::set_current(context) }.map_err(failed)?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(failed)?;
        let products = gemm::Library::new(&facts.name)?;
        Ok(Self { facts: facts.clone(), context, stream, products, cache })
    }

    /// What it is.
    pub fn facts(&self) -> &CardFacts {
        &self.facts
    }

    fn failed(&self, e: DriverError) -> RunError {
        let lost =
            matches!(e.0, sys::CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE | sys::CUresult::CUDA_ERROR_NO_DEVICE)
                || words(&e).contains("lost");
        let hint = if lost { " (the card was lost or is in use by another process)" } else { "" };
        RunError::Device { device: self.facts.name.clone(), what: format!("{}{hint}", words(&e)) }
    }

    fn enter(&self) -> Result<(), RunError> {
        // SAFETY: the context is alive as long as the card.
        unsafe { result::ctx::set_current(self.context) }.map_err(|e| self.failed(e))
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let _ = self.enter();
        // SAFETY: created in `open`; nothing uses them any more.
        unsafe {
            let _ = result::stream::synchronize(self.stream);
            let _ = result::stream::destroy(self.stream);
        }
        if let Ok(device) = result::device::get(self.facts.ordinal) {
            // SAFETY: retained in `open`.
            let _ = unsafe { result::primary_ctx::release(device) };
        }
    }
}

/// A card as a machine.
pub struct CardMachine(pub Arc<Card>);

impl Machine for CardMachine {
    fn describe(&self) -> String {
        let (major, minor) = self.0.facts.architecture;
        format!("card {}: {}, generation {major}.{minor}", self.0.facts.ordinal, self.0.facts.name)
    }

    fn allocate(&self, bytes: usize) -> Result<u64, RunError> {
        let card = &self.0;
        card.enter()?;
        // SAFETY: a plain allocation, given back by `release`.
        unsafe { result::malloc_sync(bytes) }.map_err(|e| match e.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => RunError::DeviceMemory {
                device: card.facts.name.clone(),
                needed: bytes,
                free: result::mem_get_info().map_or(0, |m| m.0),
            },
            _ => card.failed(e),
        })
    }

    fn release(&self, address: u64) {
        if self.0.enter().is_ok() {
            // SAFETY: given by `allocate`; the stream is done with it first.
            unsafe {
                let _ = result::stream::synchronize(self.0.stream);
                let _ = result::free_sync(address);
            }
        }
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<(), RunError> {
        self.0.enter()?;
        // SAFETY: the caller's range; pageable memory is staged before the call returns.
        unsafe { result::memcpy_htod_async(to, from, self.0.stream) }.map_err(|e| self.0.failed(e))
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), RunError> {
        self.0.enter()?;
        // SAFETY: the caller's range; the stream is waited for.
        unsafe {
            result::memcpy_dtoh_async(to, from, self.0.stream).map_err(|e| self.0.failed(e))?;
            result::stream::synchronize(self.0.stream).map_err(|e| self.0.failed(e))
        }
    }

    fn load(&self, source: &str) -> Result<Box<dyn Kernels>, RunError> {
        let card = self.0.clone();
        let arch = card.facts.architecture;
        let compile = || nvrtc::compile(source, arch);
        let ptx = match &card.cache {
            Some(cache) => cache.get(source, arch, compile),
            None => compile(),
        };
        let mut ptx = ptx.map_err(|what| RunError::Device { device: card.facts.name.clone(), what })?;
        ptx.push(0);
        card.enter()?;
        // SAFETY: PTX text that ends in a zero.
        let module = unsafe { result::module::load_data(ptx.as_ptr().cast()) }.map_err(|e| card.failed(e))?;
        Ok(Box::new(Loaded { card, module, functions: Mutex::default() }))
    }

    fn multiply(&self, product: &Product, real_bytes: usize, at: [u64; 3]) -> Result<(), RunError> {
        self.0.enter()?;
        self.0.products.multiply(product, real_bytes, at, self.0.stream)
    }

    fn record(
        &self,
        work: &mut dyn FnMut() -> Result<(), RunError>,
    ) -> Result<Option<Box<dyn Recorded>>, RunError> {
        let card = self.0.clone();
        card.enter()?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive; whatever happens in between, the capture ends below.
        let (done, graph) = unsafe {
            result::stream::begin_capture(card.stream, mode).map_err(|e| card.failed(e))?;
            let done = work();
            (done, result::stream::end_capture(card.stream))
        };
        done?;
        let graph = graph.map_err(|e| card.failed(e))?;
        // SAFETY: the graph was just made; it is not needed once it is instantiated.
        let run = unsafe {
            let run = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            run.map_err(|e| card.failed(e))?
        };
        Ok(Some(Box::new(Graph { card, run })))
    }
}

struct Loaded {
    card: Arc<Card>,
    module: sys::CUmodule,
    functions: Mutex<BTreeMap<String, usize>>,
}

// SAFETY: as for the card.
unsafe impl Send for Loaded {}

impl Loaded {
    fn function(&self, entry: &str) -> Result<sys::CUfunction, RunError> {
        let mut known = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(f) = known.get(entry) {
            return Ok(std::ptr::with_exposed_provenance_mut(*f));
        }
        let name = CString::new(entry).map_err(|_| RunError::Unsupported(entry.into()))?;
        // SAFETY: the module is loaded.
        let f =
            unsafe { result::module::get_function(self.module, name) }.map_err(|e| self.card.failed(e))?;
        known.insert(entry.to_owned(), f.expose_provenance());
        Ok(f)
    }
}

impl Kernels for Loaded {
    fn launch(&self, entry: &str, grid: [u32; 2], block: u32, parameters: &[u64]) -> Result<(), RunError> {
        let f = self.function(entry)?;
        let mut values = parameters.to_vec();
        let mut places: Vec<*mut c_void> = values.iter_mut().map(|v| (v as *mut u64).cast()).collect();
        self.card.enter()?;
        // SAFETY: the kernel takes as many addresses as are given, of arrays that live as long as its user.
        unsafe {
            result::launch_kernel(f, (grid[0], grid[1], 1), (block, 1, 1), 0, self.card.stream, &mut places)
        }
        .map_err(|e| self.card.failed(e))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.card.enter().is_ok() {
            // SAFETY: loaded in `load`; the stream is done with it first.
            unsafe {
                let _ = result::stream::synchronize(self.card.stream);
                let _ = result::module::unload(self.module);
            }
        }
    }
}

struct Graph {
    card: Arc<Card>,
    run: sys::CUgraphExec,
}

// SAFETY: as for the card.
unsafe impl Send for Graph {}

impl Recorded for Graph {
    fn replay(&self) -> Result<(), RunError> {
        self.card.enter()?;
        // SAFETY: instantiated in `record`.
        unsafe { result::graph::launch(self.run, self.card.stream) }.map_err(|e| self.card.failed(e))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.card.enter().is_ok() {
            // SAFETY: instantiated in `record`; the stream is done with it first.
            unsafe {
                let _ = result::stream::synchronize(self.card.stream);
                let _ = result::graph::exec_destroy(self.run);
            }
        }
    }
}
