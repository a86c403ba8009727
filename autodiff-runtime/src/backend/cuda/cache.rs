//! Compiled kernels on the disk, so that a program starts without the compiler the second time.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// Changes when what is kept changes its form.
const HEADER: &str = "svic kernels 1";

/// A folder of compiled modules, by text, architecture and the compiler's version. What cannot be read, or was damaged, is
/// compiled again; what cannot be written is not kept.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// FNV-1a, of 64 bits: tells texts apart, and finds damage; it is no protection against malice.
fn hash(parts: &[&[u8]]) -> u64 {
    parts
        .iter()
        .flat_map(|p| p.iter())
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

impl Cache {
    /// A cache in a folder, which is made when something is kept.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The compiled text: as it was kept, else by `compile`.
    pub(super) fn get(
        &self,
        source: &str,
        (major, minor): (i32, i32),
        compile: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Vec<u8>, String> {
        let version = super::nvrtc::version().unwrap_or_default();
        let key = format!("{major}.{minor} {}.{} {}", version.0, version.1, env!("CARGO_PKG_VERSION"));
        let name = format!("{:016x}-{:x}.ptx", hash(&[key.as_bytes(), source.as_bytes()]), source.len());
        let path = self.folder.join(name);
        if let Some(kept) = fs::read(&path).ok().and_then(|all| content(&all)) {
            return Ok(kept);
        }
        let made = compile()?;
        let _ = self.keep(&path, &made);
        Ok(made)
    }

    /// Written beside its place and then moved, so that no reader sees half of it.
    fn keep(&self, path: &PathBuf, made: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let beside = path.with_extension(format!("{}.part", std::process::id()));
        let mut file = fs::File::create(&beside)?;
        writeln!(file, "{HEADER} {:016x}", hash(&[made]))?;
        file.write_all(made)?;
        fs::rename(&beside, path)
    }
}

/// What follows an intact header.
fn content(all: &[u8]) -> Option<Vec<u8>> {
    let end = all.iter().position(|b| *b == b'\n')?;
    let header = std::str::from_utf8(&all[..end]).ok()?;
    let sum = header.strip_prefix(HEADER)?.trim();
    let body = &all[end + 1..];
    (u64::from_str_radix(sum, 16).ok()? == hash(&[body])).then(|| body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_made_again() {
        let folder = std::env::temp_dir().join(format!("svic-cache-{}", std::process::id()));
        let cache = Cache::new(folder.clone());
        let get = |source: &str, made: &str| cache.get(source, (9, 0), || Ok(made.into())).expect("made");
        assert_eq!(get("text", "one"), b"one");
        assert_eq!(get("text", "two"), b"one", "it is kept");
        assert_eq!(get("other text", "three"), b"three");
        for damage in [&b"svic kernels 1 00\none"[..], b"", b"svic kernels 1", b"\xff\xff\nx"] {
            let files: Vec<_> = fs::read_dir(&folder).expect("a folder").flatten().collect();
            assert_eq!(files.len(), 2);
            files.iter().for_each(|f| fs::write(f.path(), damage).expect("writes"));
            assert_eq!(get("text", "four"), b"four");
            assert_eq!(get("text", "five"), b"four", "and kept again");
            get("other text", "six");
        }
        fs::remove_dir_all(&folder).expect("removes");
    }
}
