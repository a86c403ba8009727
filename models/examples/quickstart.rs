//! From nothing to a trained scVI: simulates a file from the model's own story and trains the model on it, by the same
//! functions as `svic sim` and `svic run`.

#[allow(clippy::exit, reason = "the exit code is the result of the two commands")]
fn main() {
    let sim = ["svic", "sim", "scvi.svi", "-o", "quickstart/sim.h5ad", "--cells", "2000", "--genes", "500"];
    let run =
        ["svic", "run", "scvi.svi", "quickstart/sim.h5ad", "--epochs", "50", "-o", "quickstart/out.h5ad"];
    if let Err(e) = std::fs::create_dir_all("quickstart") {
        #[allow(clippy::print_stderr, reason = "an example speaks to its user")]
        {
            eprintln!("cannot make the folder `quickstart`: {e}");
        }
        std::process::exit(1);
    }
    for command in [&sim[..], &run[..]] {
        let code = svi::cli::main_with_args(command);
        if code != 0 {
            std::process::exit(code);
        }
    }
}
