//! Memory that holds code: written once, then executable and no longer writable.
#![allow(unsafe_code, reason = "code is mapped and called through a pointer")]

use super::Frame;
use std::ffi::c_void;

unsafe extern "C" {
    fn mmap(at: *mut c_void, len: usize, protection: i32, flags: i32, file: i32, offset: i64) -> *mut c_void;
    fn mprotect(at: *mut c_void, len: usize, protection: i32) -> i32;
    fn munmap(at: *mut c_void, len: usize) -> i32;
}

const READ: i32 = 1;
const WRITE: i32 = 2;
const EXECUTE: i32 = 4;
const PRIVATE_ANONYMOUS: i32 = 0x22;

/// Executable code.
#[derive(Debug)]
pub(super) struct Pages {
    at: *mut c_void,
    len: usize,
}

// SAFETY: the pages are never written after they were made.
unsafe impl Send for Pages {}
// SAFETY: as above.
unsafe impl Sync for Pages {}

impl Pages {
    /// Maps the code; `None` where the system does not allow it.
    pub fn new(code: &[u8]) -> Option<Self> {
        let len = code.len().max(1);
        // SAFETY: a fresh private mapping; it is written before it becomes executable and lives as long as `self`.
        unsafe {
            let at = mmap(std::ptr::null_mut(), len, READ | WRITE, PRIVATE_ANONYMOUS, -1, 0);
            if at.addr() == usize::MAX {
                return None;
            }
            let pages = Self { at, len };
            std::ptr::copy_nonoverlapping(code.as_ptr(), at.cast(), code.len());
            (mprotect(at, len, READ | EXECUTE) == 0).then_some(pages)
        }
    }

    /// Runs the function at an offset over the frame's arrays: `full` elements, a multiple of 16, and the lanes of
    /// `rest` after them.
    pub fn call(&self, offset: usize, frame: &mut Frame, full: usize, rest: u32) {
        // SAFETY: the code at `offset` was emitted for this signature; the caller of `Stage::run` filled the frame with
        // arrays that hold as many elements as it asks for.
        unsafe {
            let f: extern "sysv64" fn(*mut Frame, usize, u32) =
                std::mem::transmute(self.at.cast::<u8>().add(offset).cast_const());
            f(frame, full, rest);
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        unsafe {
            munmap(self.at, self.len);
        }
    }
}
