//! From a model and sizes to something that runs: lower, verify, prepare.

use crate::error::{Error, request};
use crate::memory;
use crate::model::Model;
use autodiff_runtime::backend::{Backend, Executable, cpu::CpuBackend};
use autodiff_runtime::graph::VariableId;
use autodiff_runtime::optim::{Adam, Optimiser};
use autodiff_runtime::{Program, RunError, Training};
use dsl::diagnostic::{Code, Diagnostic};
use dsl::{Bound, Lowered, Request, TrainSettings, VariableKind};
use std::fmt;
use std::str::FromStr;

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendKind {
    /// The fused CPU back end.
    #[default]
    Cpu,
    /// The oracle: dfdx with its own tape. Slow.
    Dfdx,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackendKind::Cpu => "cpu",
            BackendKind::Dfdx => "dfdx",
        })
    }
}

impl FromStr for BackendKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "cpu" => Ok(BackendKind::Cpu),
            "dfdx" => Ok(BackendKind::Dfdx),
            _ => Err(Error::plain(
                request(format!("there is no back end `{text}`")).help("there are cpu and dfdx"),
            )),
        }
    }
}

/// A lowered graph with what runs it.
pub struct Prepared {
    /// Runs the graph.
    pub exe: Box<dyn Executable<f32>>,
    /// The graph and what belongs to it.
    pub lowered: Lowered,
}

/// Prepares programs for one back end.
pub struct Engine {
    backend: Box<dyn Backend<f32>>,
}

impl Engine {
    /// An engine; `threads` defaults to the number of processors.
    ///
    /// # Errors
    /// E0716 for a back end that this build lacks, or no threads at all.
    pub fn new(kind: BackendKind, threads: Option<usize>) -> Result<Engine, Error> {
        if threads == Some(0) {
            return Err(Error::plain(request("`--threads 0`: at least one thread is needed")));
        }
        let backend: Box<dyn Backend<f32>> = match kind {
            BackendKind::Cpu => {
                let default = CpuBackend::default();
                Box::new(CpuBackend { threads: threads.unwrap_or(default.threads), ..default })
            }
            BackendKind::Dfdx => dfdx()?,
        };
        Ok(Engine { backend })
    }

    /// Lowers and prepares; with `train`, each run is also a step of the optimiser.
    ///
    /// # Errors
    /// What lowering says; E0709 when it cannot fit into memory; E0716 when the back end cannot run the graph.
    pub fn prepare(
        &self,
        model: &Model,
        bound: &Bound,
        request: &Request,
        train: Option<&TrainSettings>,
    ) -> Result<Prepared, Error> {
        let lowered = lower(model, bound, request)?;
        memory::check(model, &lowered, request.n_batch)?;
        let graph = lowered.graph.clone().verify().map_err(|errors| {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            internal(format!("the compiler made an invalid graph: {first}"))
        })?;
        let training = match (train, lowered.loss) {
            (Some(settings), Some(loss)) => Some(Training {
                loss,
                trained: trained_variables(&lowered),
                optimiser: Some(optimiser(settings)),
                expose_gradients: false,
            }),
            _ => None,
        };
        let program = Program { graph, training };
        let exe = self.backend.prepare(&program).map_err(|e| run_error(model, &lowered, &e))?;
        Ok(Prepared { exe, lowered })
    }
}

/// Lowers a model.
///
/// # Errors
/// What lowering says, with the places it points at.
pub fn lower(model: &Model, bound: &Bound, request: &Request) -> Result<Lowered, Error> {
    model.compiled().lower(bound, request).map_err(|d| Error::new(model.sources(), d))
}

/// The optimiser that the settings ask for.
pub fn optimiser(settings: &TrainSettings) -> Optimiser {
    Optimiser::Adam(Adam {
        eps: settings.eps,
        weight_decay: settings.weight_decay,
        decoupled: settings.decoupled_decay,
        clip: settings.clip,
        ..Adam::default()
    })
}

fn trained_variables(lowered: &Lowered) -> Vec<VariableId> {
    let trained = lowered.variables.iter().filter(|v| v.kind == VariableKind::Trained);
    trained.filter_map(|v| lowered.graph.find_variable(&v.name)).collect()
}

#[cfg(feature = "dfdx")]
fn dfdx() -> Result<Box<dyn Backend<f32>>, Error> {
    Ok(Box::new(autodiff_runtime::backend::dfdx::DfdxBackend))
}

#[cfg(not(feature = "dfdx"))]
fn dfdx() -> Result<Box<dyn Backend<f32>>, Error> {
    Err(Error::plain(request("this build has no dfdx back end").help("build with `--features dfdx`")))
}

fn internal(headline: String) -> Error {
    Error::plain(request(headline).note("this is a mistake of the compiler: please report it with the model"))
}

/// What a failed run says to its user.
pub(crate) fn run_error(model: &Model, lowered: &Lowered, error: &RunError) -> Error {
    let RunError::NonFinite { what, origin } = error else {
        return internal(error.to_string());
    };
    let diagnostic = Diagnostic::new(Code::E0710, format!("a value is not finite: {what}")).help(CAUSES);
    let diagnostic = match lowered.origins.get(origin.0 as usize) {
        Some(span) => diagnostic.at(*span, "computed here"),
        None => diagnostic,
    };
    Error::new(model.sources(), vec![diagnostic])
}

/// What usually makes values that are not finite.
pub(crate) const CAUSES: &str = "likely causes: a learning rate that is too high, cells without counts, covariates that \
are not scaled, or a scale that can reach zero";
