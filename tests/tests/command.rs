//! Runs `svic` as a process of its own: this test binary calls itself with the command line in the environment, so
//! that no other binary has to be found.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Separates arguments in the environment; no argument contains it.
const SEPARATOR: &str = "\u{1f}";
const VARIABLE: &str = "SVIC_TEST_COMMAND";

/// What a command did.
#[derive(Debug)]
pub struct Done {
    /// Exit code; −1 when killed.
    pub code: i32,
    /// Standard output and standard error together.
    pub text: String,
}

impl Done {
    /// Fails unless the command ended with this code and said all of this.
    #[track_caller]
    pub fn expect(&self, code: i32, said: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{}", self.text);
        for what in said {
            assert!(self.text.contains(what), "`{what}` is not in:\n{}", self.text);
        }
        assert!(!self.text.contains("panicked"), "{}", self.text);
        self
    }
}

/// Not a test of its own: the process that [`svic`] starts.
#[test]
#[allow(clippy::exit, reason = "the exit code is what is tested")]
fn child() {
    if let Ok(command) = std::env::var(VARIABLE) {
        let args = std::iter::once("svic").chain(command.split(SEPARATOR));
        std::process::exit(svi::cli::main_with_args(args));
    }
}

/// Runs `svic` in a folder.
pub fn svic(folder: &Path, args: &[&str]) -> Done {
    finish(Command::new(program()).args(["--exact", "command::child", "--nocapture"]), folder, args)
}

/// Runs `svic` in a folder where no file may grow beyond `blocks` of 512 or 1024 bytes: a disk that is full.
pub fn svic_on_full_disk(folder: &Path, blocks: u32, args: &[&str]) -> Done {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" --exact command::child --nocapture");
    finish(Command::new("sh").arg("-c").arg(script).arg(program()), folder, args)
}

/// Starts `svic` in a folder with pipes for its standard input and output.
pub fn svic_piped(folder: &Path, args: &[&str]) -> Child {
    Command::new(program())
        .args(["--exact", "command::child", "--nocapture"])
        .current_dir(folder)
        .env(VARIABLE, args.join(SEPARATOR))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary runs")
}

fn program() -> PathBuf {
    std::env::current_exe().expect("the test binary knows where it is")
}

fn finish(command: &mut Command, folder: &Path, args: &[&str]) -> Done {
    let Output { status, stdout, stderr } = command
        .current_dir(folder)
        .env(VARIABLE, args.join(SEPARATOR))
        // Children of other tests may have inherited a handle, and with it the lock, of a file that was just written.
        .env("HDF5_USE_FILE_LOCKING", "FALSE")
        .output()
        .expect("the test binary runs");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    Done { code: status.code().unwrap_or(-1), text }
}

/// Names of the files in a folder, hidden ones too.
pub fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<String> =
        entries.map(|e| e.expect("it can be listed").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A file that this process has just written. A child that another test starts meanwhile inherits its lock and keeps it
/// until it ends, so this waits.
pub fn open_rw(path: &Path) -> hdf5::File {
    for _ in 0..600 {
        if let Ok(file) = hdf5::File::open_rw(path) {
            return file;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    hdf5::File::open_rw(path).expect("the file just written")
}
