//! `svic explain`: the objective of a model, or the page of an error code.

use super::{OK, Outcome, SetArgs, compile_model, out, warn};
use crate::error::{Error, request};
use clap::Args;
use dsl::diagnostic::Code;

/// Arguments of `svic explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A model, or a code such as E0507.
    #[arg(value_name = "MODEL|CODE")]
    what: String,
    /// The generative story and the bound as LaTeX.
    #[arg(long, conflicts_with_all = ["dot", "svg"])]
    latex: bool,
    /// The graph of the model for Graphviz.
    #[arg(long, conflicts_with = "svg")]
    dot: bool,
    /// The graph of the model as a picture: observed values shaded, plates as boxes.
    #[arg(long)]
    svg: bool,
    /// With the guide's edges in the graph, dashed.
    #[arg(long)]
    guide: bool,
    #[command(flatten)]
    sets: SetArgs,
}

/// Runs `svic explain`.
pub fn run(args: &ExplainArgs) -> Outcome {
    if let Some(code) = Code::find(&args.what) {
        out(&code.explanation());
        return Ok(OK);
    }
    let is_code = args.what.len() == 5
        && args.what.starts_with(['E', 'W', 'e', 'w'])
        && args.what[1..].bytes().all(|b| b.is_ascii_digit());
    if is_code {
        let codes = Code::ALL.iter().map(|c| c.as_str());
        return Err(Error::plain(
            request(format!("there is no code `{}`", args.what)).did_you_mean(&args.what, codes),
        ));
    }
    let (_, model) = compile_model(&args.what, &args.sets, true)?;
    warn(model.sources(), model.warnings(), true);
    let compiled = model.compiled();
    out(&match () {
        () if args.latex => compiled.latex(),
        () if args.dot => compiled.dot(args.guide),
        () if args.svg => compiled.svg(args.guide),
        () => compiled.explain() + "\n",
    });
    Ok(OK)
}
