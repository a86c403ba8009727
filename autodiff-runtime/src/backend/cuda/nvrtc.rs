//! The vendor's run-time compiler: text of kernels to PTX. It needs no card.
#![allow(unsafe_code, reason = "calls of the vendor's library")]

use super::libraries;
use cudarc::nvrtc::{result, sys};
use std::ffi::{CStr, CString};

/// Whether the compiler's library is there.
pub fn is_present() -> bool {
    libraries::find();
    // SAFETY: opens a library by name, and nothing else.
    unsafe { sys::is_culib_present() }
}

/// The version of the compiler, as (major, minor); `None` where there is none.
pub fn version() -> Option<(i32, i32)> {
    if !is_present() {
        return None;
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there, and both places are valid.
    let status = unsafe { sys::nvrtcVersion(&mut major, &mut minor) };
    status.result().ok().map(|()| (major, minor))
}

/// PTX for an architecture, such as (9, 0).
///
/// # Errors
/// What the compiler says, or that it is not there.
pub fn compile(source: &str, (major, minor): (i32, i32)) -> Result<Vec<u8>, String> {
    if !is_present() {
        return Err(format!("the CUDA compiler (libnvrtc) is not found: {}", libraries::HOW));
    }
    let text = CString::new(source).map_err(|_| "the text holds a zero".to_owned())?;
    let name = CString::new("svic.cu").map_err(|e| e.to_string())?;
    let program = Program(result::create_program(&text, Some(&name)).map_err(|e| e.to_string())?);
    let options = [
        format!("--gpu-architecture=compute_{major}{minor}"),
        // Quotients and square roots as on the CPU; products may join sums.
        "--prec-div=true".into(),
        "--prec-sqrt=true".into(),
        "--ftz=false".into(),
        "--disable-warnings".into(),
    ];
    // SAFETY: the program is alive until the end of this function.
    if let Err(e) = unsafe { result::compile_program(program.0, &options) } {
        // SAFETY: as above.
        let log = unsafe { result::get_program_log(program.0) }.unwrap_or_default();
        return Err(format!("{e}\n{}", text_of(&log)));
    }
    // SAFETY: as above.
    let ptx = unsafe { result::get_ptx(program.0) }.map_err(|e| e.to_string())?;
    Ok(ptx.into_iter().map(|c| c as u8).collect())
}

fn text_of(log: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = log.iter().map(|c| *c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).map_or_else(|_| String::new(), |c| c.to_string_lossy().into_owned())
}

struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: created in `compile` and used nowhere else.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}
