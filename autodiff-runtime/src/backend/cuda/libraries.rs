//! Where the vendor's libraries are: the system's paths, or a folder that the user names.
#![allow(unsafe_code, reason = "opens the vendor's libraries")]

use libloading::Library;
use std::path::Path;
use std::sync::Once;

/// The variable that names a folder with the libraries.
pub const FOLDER: &str = "SVIC_CUDA_LIBS";

/// What to do when one is not found.
pub const HOW: &str = "install CUDA 12 or 13, or set SVIC_CUDA_LIBS to the folder with its libraries";

/// Opens the libraries of the named folder, once, so that they are found by name afterwards.
pub(super) fn find() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let Some(folder) = std::env::var_os(FOLDER) else { return };
        let Ok(entries) = std::fs::read_dir(Path::new(&folder)) else { return };
        let mut files: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        // Libraries that others need come first: "builtins" before its user, and so on; a second round takes the rest.
        files.sort();
        for _round in 0..2 {
            for f in &files {
                let wanted = f.file_name().is_some_and(|n| {
                    let n = n.to_string_lossy();
                    ["libnvrtc", "libcublas", "libcudart"].iter().any(|p| n.starts_with(p))
                        && n.contains(".so")
                });
                if wanted {
                    // SAFETY: the vendor's libraries, from the folder that the user trusts.
                    if let Ok(library) = unsafe { Library::new(f) } {
                        std::mem::forget(library);
                    }
                }
            }
        }
    });
}
