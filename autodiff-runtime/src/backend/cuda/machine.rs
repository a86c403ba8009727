//! What carries out printed work: a card, or, for tests, a build of the same text for the host.

use crate::plan::Product;
use crate::store::RunError;

/// Memory and kernels. Work is done in the order in which it is asked for; [`Machine::download`] waits for it.
pub trait Machine: Send + Sync {
    /// What it is, for people.
    fn describe(&self) -> String;

    /// Memory of that many bytes, aligned to 256; its address.
    ///
    /// # Errors
    /// [`RunError::DeviceMemory`] where there is too little.
    fn allocate(&self, bytes: usize) -> Result<u64, RunError>;

    /// Gives memory back.
    fn release(&self, address: u64);

    /// Copies to the machine's memory.
    ///
    /// # Errors
    /// [`RunError::Device`] when the machine fails, here and below.
    fn upload(&self, to: u64, from: &[u8]) -> Result<(), RunError>;

    /// Copies from the machine's memory, after all work that was asked for.
    fn download(&self, from: u64, to: &mut [u8]) -> Result<(), RunError>;

    /// Compiles a printed module.
    fn load(&self, source: &str) -> Result<Box<dyn Kernels>, RunError>;

    /// A dense product; `at` are the addresses of a, b and c, elements have 4 or 8 bytes.
    fn multiply(&self, product: &Product, real_bytes: usize, at: [u64; 3]) -> Result<(), RunError>;

    /// Notes the work that `work` asks for without doing it, to be done again and again; `None` where this is not
    /// possible, and then `work` was not called.
    fn record(
        &self,
        work: &mut dyn FnMut() -> Result<(), RunError>,
    ) -> Result<Option<Box<dyn Recorded>>, RunError> {
        let _ = work;
        Ok(None)
    }
}

/// A compiled module.
pub trait Kernels: Send {
    /// Starts a kernel on so many blocks (along x and y) of threads, with the addresses of its parameters.
    fn launch(&self, entry: &str, grid: [u32; 2], block: u32, parameters: &[u64]) -> Result<(), RunError>;
}

/// Work that was recorded.
pub trait Recorded: Send {
    /// Does it.
    fn replay(&self) -> Result<(), RunError>;
}
