//! The command `svic`.

#[allow(clippy::exit, reason = "the exit code is the command's result")]
fn main() {
    std::process::exit(svi::cli::main_with_args(std::env::args_os()));
}
