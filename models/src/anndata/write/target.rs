//! The file being written: a temporary beside the target, renamed over it when all went well.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use hdf5::Group;

use super::{Failure, WriteOptions};
use crate::anndata::error::{DataError, DataErrorKind};
use crate::anndata::storage::first_line;
use crate::anndata::storage::h5::patiently;

/// Is asked before each step of writing, by name; what it returns as an error is treated as a failed write.
pub(in crate::anndata) type Gate<'g> = &'g mut dyn FnMut(&str) -> io::Result<()>;

/// How many names are tried for the temporary file.
const TRIES: u32 = 1000;

/// A file being written. Dropped before [`Target::commit`], it leaves no trace.
pub(super) struct Target<'g> {
    output: PathBuf,
    part: PathBuf,
    gate: Gate<'g>,
    done: bool,
    /// Held until the target is whole; released after the temporary file is gone.
    _lock: Lock,
}

/// The right to write one target, among all processes that ask for it: a locked file beside it.
struct Lock {
    file: File,
    path: PathBuf,
    /// Whether it keeps others out: not so on file systems without locks.
    holds: bool,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is held: whoever waits for this very file finds that it is no longer the one by name.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

impl Lock {
    fn take(directory: &Path, name: &str) -> io::Result<Self> {
        let path = directory.join(format!(".{name}.lock"));
        for _ in 0..TRIES {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => return Ok(Self { file, path, holds: true }),
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another run is writing it now"));
                }
                // Some network file systems know no locks; the renaming keeps the target whole there too.
                Err(TryLockError::Error(_)) => return Ok(Self { file, path, holds: false }),
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "other runs keep writing it"))
    }

    /// Removes temporary files of this target whose writers were killed: who holds the lock is the only one alive.
    fn clear_away(&self, directory: &Path, name: &str) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten().filter(|_| self.holds) {
            let found = entry.file_name().to_string_lossy().into_owned();
            let middle = found.strip_prefix(&format!(".{name}.")).and_then(|rest| rest.strip_suffix(".part"));
            if middle.is_some_and(|m| m.bytes().all(|b| b.is_ascii_digit() || b == b'.')) {
                // One that cannot be removed does no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Whether `file` is what `path` names.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(a), Ok(b)) = (file.metadata(), fs::metadata(path)) {
            return a.dev() == b.dev() && a.ino() == b.ino();
        }
        false
    }
    #[cfg(not(unix))]
    path.exists()
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if !self.done {
            // Nothing more can be done about a temporary file that cannot be removed either.
            let _ = fs::remove_file(&self.part);
        }
    }
}

impl<'g> Target<'g> {
    /// Checks that `output` may be written and makes the temporary file, empty.
    ///
    /// # Errors
    /// The target exists without leave, is `input` without leave, is a directory, or its directory does not exist or
    /// cannot be written.
    pub fn begin(
        output: &Path,
        input: Option<&Path>,
        options: WriteOptions,
        gate: Gate<'g>,
    ) -> Result<Self, DataError> {
        let error = |message: String| DataError::new(DataErrorKind::Unwritable, output, "", message);
        // A link is followed, so that it stays a link and its target is replaced.
        let output_path = fs::canonicalize(output).unwrap_or_else(|_| output.to_path_buf());
        let same = input.is_some_and(|input| same_file(input, &output_path));
        if same && !options.in_place {
            return Err(error("the output is the input itself".to_owned())
                .with_help("choose another name, or allow the input to be changed in place"));
        }
        if output_path.is_dir() {
            return Err(error("it is a directory; a file name is wanted".to_owned()));
        }
        if !same && !options.overwrite && fs::symlink_metadata(&output_path).is_ok() {
            return Err(error("it exists already".to_owned())
                .with_help("choose another name, or allow it to be overwritten"));
        }
        let name = output_path.file_name().ok_or_else(|| error("it has no file name".to_owned()))?;
        let directory = directory_of(&output_path);
        if !directory.is_dir() {
            return Err(
                error(format!("there is no directory `{}`", directory.display())).with_help("make it first")
            );
        }
        let name = name.to_string_lossy();
        let claimed = gate("create").and_then(|()| {
            let lock = Lock::take(&directory, &name)?;
            lock.clear_away(&directory, &name);
            Ok((claim(&directory, &name)?, lock))
        });
        let (part, lock) = claimed.map_err(|e| named(output, Failure::Io(e)))?;
        Ok(Self { output: output_path.clone(), part, gate, done: false, _lock: lock })
    }

    /// Fills the temporary file with the bytes of `input`.
    pub fn copy_from(&mut self, input: &Path) -> Result<(), DataError> {
        let copied = (self.gate)("copy").and_then(|()| {
            let mut from = File::open(input)?;
            let mut to = OpenOptions::new().write(true).truncate(true).open(&self.part)?;
            io::copy(&mut from, &mut to).map(|_| ())
        });
        copied.map_err(|e| named(&self.output, Failure::Io(e)))
    }

    /// Changes the bytes of the temporary file.
    pub fn touch(&mut self, change: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), DataError> {
        change(&self.part).map_err(|e| named(&self.output, Failure::Io(e)))
    }

    /// Makes the temporary file an empty HDF5 file, with `user_block` bytes before it: 0, or a power of two from 512.
    pub fn create(&mut self, user_block: u64) -> Result<(), DataError> {
        hdf5::silence_errors(true);
        let options =
            hdf5::FileBuilder::new().with_fcpl(|plan| plan.userblock(user_block)).create(&self.part);
        let made = options.and_then(|file| file.flush());
        made.map_err(|e| named(&self.output, Failure::Hdf5(e)))
    }

    /// Changes the temporary file through `change`, which gets its root.
    pub fn edit(
        &mut self,
        change: impl FnOnce(&Group, Gate<'_>) -> Result<(), Failure>,
    ) -> Result<(), DataError> {
        let gate = &mut *self.gate;
        let edited = (|| {
            let file = patiently(|| hdf5::File::open_rw(&self.part))?;
            change(&file, gate)?;
            gate("flush")?;
            file.flush()?;
            Ok(file.close()?)
        })();
        edited.map_err(|e| named(&self.output, e))
    }

    /// Brings the temporary file to the disk and renames it over the target.
    pub fn commit(mut self) -> Result<(), DataError> {
        let moved = (self.gate)("sync").and_then(|()| {
            let part = OpenOptions::new().write(true).open(&self.part)?;
            if let Ok(old) = fs::metadata(&self.output) {
                part.set_permissions(old.permissions())?;
            }
            part.sync_all()?;
            (self.gate)("rename")?;
            fs::rename(&self.part, &self.output)
        });
        moved.map_err(|e| named(&self.output, Failure::Io(e)))?;
        self.done = true;
        // The renaming itself reaches the disk with the directory; some systems cannot open one, and then it waits.
        if let Ok(directory) = File::open(directory_of(&self.output)) {
            let _ = directory.sync_all();
        }
        Ok(())
    }
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Makes a new empty file in `directory` that no one else has.
fn claim(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let process = std::process::id();
    for attempt in 0..TRIES {
        let part = directory.join(format!(".{name}.{process}.{attempt}.part"));
        match OpenOptions::new().write(true).create_new(true).open(&part) {
            Ok(_) => return Ok(part),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many temporary files beside it"))
}

/// Whether two paths lead to one file, by links of any kind.
fn same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) {
            return a.dev() == b.dev() && a.ino() == b.ino();
        }
    }
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

/// The error about `output` for a failed step.
fn named(output: &Path, failure: Failure) -> DataError {
    let error = |message: String| DataError::new(DataErrorKind::Unwritable, output, "", message);
    let full = || {
        error("the disk is full".to_owned())
            .with_help("free some space or write elsewhere; nothing was changed")
    };
    match failure {
        Failure::Data(message) => error(message),
        Failure::Io(e) => match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(),
            io::ErrorKind::PermissionDenied => {
                error("writing there is not permitted".to_owned()).with_help("choose another directory")
            }
            io::ErrorKind::ResourceBusy => error(e.to_string())
                .with_help("wait until it is done, or choose another name; nothing was changed"),
            io::ErrorKind::ReadOnlyFilesystem => {
                error("the file system is read-only".to_owned()).with_help("choose another directory")
            }
            _ => error(format!("it cannot be written: {e}; nothing was changed")),
        },
        Failure::Hdf5(e) => {
            let text = e.to_string();
            let detail = e.stack().and_then(|s| s.detail()).unwrap_or_default();
            if format!("{text} {detail} {e:?}").contains("No space left") {
                return full();
            }
            error(format!("HDF5 cannot write it: {}; nothing was changed", first_line(&text)))
        }
    }
}
