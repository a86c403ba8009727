//! From a model and sizes to something that runs: lower, verify, prepare.

use crate::error::{Error, request};
use crate::memory;
use crate::model::Model;
use autodiff_runtime::backend::{Backend, Executable, cpu::CpuBackend};
use autodiff_runtime::graph::VariableId;
use autodiff_runtime::optim::{Adam, Optimiser};
use autodiff_runtime::{Made, NonFinite, Program, RunError, Training};
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
    /// An NVIDIA card.
    Cuda,
    /// A card if there is one that can be used, else the CPU.
    Auto,
    /// The oracle: dfdx with its own tape. Slow.
    Dfdx,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackendKind::Cpu => "cpu",
            BackendKind::Cuda => "cuda",
            BackendKind::Auto => "auto",
            BackendKind::Dfdx => "dfdx",
        })
    }
}

impl FromStr for BackendKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "cpu" => Ok(BackendKind::Cpu),
            "cuda" => Ok(BackendKind::Cuda),
            "auto" => Ok(BackendKind::Auto),
            "dfdx" => Ok(BackendKind::Dfdx),
            _ => Err(Error::plain(
                request(format!("there is no back end `{text}`")).help("there are auto, cpu, cuda and dfdx"),
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
    chosen: String,
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
        let cpu = || -> Box<dyn Backend<f32>> {
            let default = CpuBackend::default();
            Box::new(CpuBackend { threads: threads.unwrap_or(default.threads), ..default })
        };
        let (backend, chosen) = match kind {
            BackendKind::Cpu => (cpu(), "the CPU".to_owned()),
            BackendKind::Cuda => cuda::open().map_err(|why| {
                Error::plain(
                    request(format!("no card can be used: {why}"))
                        .help("`svic doctor` says what was found; `--backend cpu` needs no card"),
                )
            })?,
            BackendKind::Auto => cuda::open()
                .unwrap_or_else(|why| (cpu(), format!("the CPU, since no card can be used: {why}"))),
            BackendKind::Dfdx => (dfdx()?, "dfdx".to_owned()),
        };
        Ok(Engine { backend, chosen })
    }

    /// What computes, in words, with the reason where there was a choice.
    pub fn chosen(&self) -> &str {
        &self.chosen
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
        self.prepare_lowered(model, lowered, request.n_batch, train)
    }

    /// Prepares what was lowered for so many rows.
    ///
    /// # Errors
    /// E0709 when it cannot fit into the memory of a device; E0716 when the back end cannot run the graph.
    pub fn prepare_lowered(
        &self,
        model: &Model,
        lowered: Lowered,
        n_batch: usize,
        train: Option<&TrainSettings>,
    ) -> Result<Prepared, Error> {
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
        let exe = self.backend.prepare(&program).map_err(|e| match &e {
            RunError::DeviceMemory { needed, free, .. } => {
                device_memory(model, &lowered, &e.to_string(), n_batch, [*needed, *free])
            }
            e => run_error(model, &lowered, e),
        })?;
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

/// E0709 for a card's memory, with the minibatch that would fit.
fn device_memory(
    model: &Model,
    lowered: &Lowered,
    text: &str,
    n_batch: usize,
    [needed, free]: [usize; 2],
) -> Error {
    let plate = lowered.graph.axes().first().map(|a| a.name.as_str());
    let all = memory::Needed::of(&lowered.graph, plate);
    // One array did not fit; what the rest takes grows with the minibatch alike.
    let share = free as f64 / (free + needed) as f64;
    let fits = (n_batch as f64 * share).floor();
    let d = Diagnostic::new(Code::E0709, text.to_owned());
    let d = if all.batch > 0.0 && fits >= 2.0 {
        d.help(format!(
            "minibatches of {fits} cells might fit: --set batch_size={fits}; `--backend cpu` has other memory"
        ))
    } else {
        d.help("`--backend cpu` has other memory")
    };
    Error::new(model.sources(), vec![d])
}

#[cfg(feature = "cuda")]
mod cuda {
    //! Cards.

    use autodiff_runtime::backend::Backend;
    use autodiff_runtime::backend::cuda::CudaBackend;
    use autodiff_runtime::backend::cuda::cache::Cache;
    use autodiff_runtime::backend::cuda::card::{Card, CardMachine};
    use autodiff_runtime::backend::cuda::machine::Machine;
    use std::path::PathBuf;
    use std::sync::Arc;

    /// The first card, and what it is; or why none can be used.
    pub fn open() -> Result<(Box<dyn Backend<f32>>, String), String> {
        let card = Card::open(0, folder().map(Cache::new)).map_err(|e| e.to_string())?;
        let machine = Arc::new(CardMachine(Arc::new(card)));
        let words = machine.describe();
        Ok((Box::new(CudaBackend::on(machine, 1)), words))
    }

    /// Where compiled kernels are kept: the user's cache.
    fn folder() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|h| h.join(".cache")))?;
        Some(cache.join("svic").join("kernels"))
    }
}

#[cfg(not(feature = "cuda"))]
mod cuda {
    //! No cards.

    use autodiff_runtime::backend::Backend;

    /// Why none can be used.
    pub fn open() -> Result<(Box<dyn Backend<f32>>, String), String> {
        Err("this build has no CUDA back end (build with `--features cuda`)".into())
    }
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
    run_error_at(model, lowered, error, |axis, at| format!("{axis} {at}"))
}

/// As [`run_error`], where places along axes have names.
pub(crate) fn run_error_at(
    model: &Model,
    lowered: &Lowered,
    error: &RunError,
    name: impl Fn(&str, usize) -> String,
) -> Error {
    match error {
        RunError::NonFinite(found) => {
            Error::new(model.sources(), vec![not_finite(model, lowered, found, name)])
        }
        RunError::Device { device, what } => {
            let text = format!("{device} failed: {what}");
            Error::plain(
                request(text).help("`svic doctor` says what was found; `--backend cpu` needs no card"),
            )
        }
        other => internal(other.to_string()),
    }
}

/// E0710: which operation, from what, for which cell, and which terms it spoils.
fn not_finite(
    model: &Model,
    lowered: &Lowered,
    found: &NonFinite,
    name: impl Fn(&str, usize) -> String,
) -> Diagnostic {
    let value = found.value;
    let what = match &found.made {
        Made::Input(input) => format!("`{input}` holds {value}"),
        Made::Variable(path) => format!("parameter `{path}` holds {value}"),
        Made::Computed(words) if value.is_finite() => format!("{words} overflows, {value:e}"),
        Made::Computed(words) => format!("{words} gives {value}"),
        Made::Vanished(words) => format!("{words} of {value:e}, which is 0 in single precision"),
        Made::Rounded => format!("the loss is {value}: it overflows single precision"),
    };
    let mut d = Diagnostic::new(Code::E0710, format!("a value is not finite: {what}"));
    let ranges: Vec<String> = found.operands.iter().map(|(a, b)| range(*a, *b)).collect();
    let span = lowered.origins.get(found.origin.0 as usize).filter(|s| s.start < s.end);
    d = match (span, ranges.is_empty()) {
        (Some(span), true) => d.at(*span, "here"),
        (Some(span), false) => d.at(*span, format!("computed here from {}", ranges.join(" and "))),
        (None, _) => d,
    };
    // Axes of the program: others are the compiler's own.
    let known = |axis: &str| model.compiled().axes().iter().any(|a| a.name == axis);
    let place = found.place.iter().filter(|p| known(&p.0)).map(|(axis, at)| name(axis, *at));
    let place: Vec<String> = place.collect();
    if !place.is_empty() {
        d = d.note(format!("first for {}", place.join(", ")));
    }
    let terms = found.results.iter().filter_map(|r| Some(format!("`{}`", r.strip_prefix("term:")?)));
    let terms: Vec<String> = terms.collect();
    if !terms.is_empty() {
        let verb = if terms.len() == 1 { "is" } else { "are" };
        d = d.note(format!("so {} {verb} not finite", terms.join(", ")));
    }
    d.help(CAUSES)
}

/// `2.5`, or `values from -3 to 8`.
fn range(low: f64, high: f64) -> String {
    let (a, b) = (low as f32, high as f32);
    if low.is_nan() {
        "no number".to_owned()
    } else if a == b {
        a.to_string()
    } else {
        format!("values from {a} to {b}")
    }
}

/// What usually makes values that are not finite.
pub(crate) const CAUSES: &str = "likely causes: a learning rate that is too high, cells without counts, covariates that \
are not scaled, or a scale that can reach zero";
