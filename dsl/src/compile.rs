//! The entry: sources and settings in, a [`Compiled`] model or diagnostics out.

use crate::compiled::{
    AxisInfo, AxisSource, Bound, Library, LoadInfo, Lowered, OptionInfo, OutputInfo, Purpose, Request, Slot,
    TrainSettings,
};
use crate::derive::derive;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{AxisNo, ExprId, ExprKind, Model};
use crate::objective::Objective;
use crate::primitive::Primitives;
use crate::resolve::{Program, merge};
use crate::source::{FileId, Sources, Span};
use crate::syntax::ast;
use crate::types::{self, check};
use crate::{inspect, lower, objective, story, syntax};
use distributions::Support;
use std::collections::{BTreeMap, BTreeSet};

/// Warnings and notes about the whole program, which an error elsewhere makes doubtful.
const AFTER_ERRORS: [Code; 5] = [Code::W0603, Code::W0604, Code::W0605, Code::W0516, Code::E0517];

/// What is set from outside the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--set name=value`: options, sizes of axes, training settings.
    pub sets: Vec<(String, String)>,
    /// Optional fields that the data are known to lack. Without data every field counts as present, so that the widest
    /// program is checked; once they are bound, what `when present(y)` holds of absent fields is left out by compiling again
    /// ([`Compiled::deciding`] names the fields that matter).
    pub absent: BTreeSet<String>,
    /// Operations that the host adds to the language.
    pub primitives: Primitives,
}

/// A checked and derived model. It knows no data.
#[derive(Clone, Debug)]
pub struct Compiled {
    program: Program,
    sets: Vec<(String, String)>,
    model: Model,
    objective: Objective,
    slots: Vec<Slot>,
    outputs: Vec<OutputInfo>,
    tree: String,
}

/// Compiles the text `root` of `sources`. What it extends is found by `library` and added to `sources`. The model is
/// given if no error was found; the diagnostics also hold warnings and notes.
pub fn compile(
    sources: &mut Sources,
    root: FileId,
    settings: &Settings,
    library: &dyn Library,
) -> (Option<Compiled>, Diagnostics) {
    let mut diags = Diagnostics::new();
    let mut program = merge(sources, root, settings, library, &mut diags);
    program.primitives = settings.primitives.clone();
    let tree = syntax::print(&syntax::parse(root, sources.text(root)).0);
    let compiled = Compiled::from_program(program, settings.sets.clone(), tree, &mut diags);
    diags.complete_edits(sources);
    (compiled.filter(|_| !diags.has_errors()), diags)
}

impl Compiled {
    fn from_program(
        program: Program,
        sets: Vec<(String, String)>,
        tree: String,
        diags: &mut Diagnostics,
    ) -> Option<Self> {
        if program.incomplete {
            return None;
        }
        let broken: Vec<Span> = diags.iter().filter_map(Diagnostic::span).collect();
        let mut found = Diagnostics::new();
        let model = check(&program, &sets, &mut found);
        // Sites that were reported are not in the model, so errors of the others stand.
        let mut more = Diagnostics::new();
        let objective = derive(&model, &program, &mut more);
        let empty = |d: &Diagnostic| d.code == Code::E0606 && (found.has_errors() || diags.has_errors());
        more.retain(|d| !empty(d));
        found.extend(more);
        // What stands where another stage has complained already follows from that.
        found.retain(|d| d.span().is_none_or(|s| !broken.contains(&s)));
        diags.extend(found);
        if diags.has_errors() {
            diags.retain(|d| !AFTER_ERRORS.contains(&d.code));
            return None;
        }
        let slots = used_slots(&model);
        let outputs = model.outputs.iter().map(|o| o.info.clone()).collect();
        Some(Self { program, sets, model, objective, slots, outputs, tree })
    }

    /// The fields that must be bound: those that the model or an output reads.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Axes, in order of storage.
    pub fn axes(&self) -> &[AxisInfo] {
        &self.model.axes
    }

    /// Options with the values in force.
    pub fn options(&self) -> &[OptionInfo] {
        &self.model.options
    }

    /// Training settings in force.
    pub fn train(&self) -> &TrainSettings {
        &self.model.train
    }

    /// Declared outputs.
    pub fn outputs(&self) -> &[OutputInfo] {
        &self.outputs
    }

    /// Name of the minibatched plate's axis.
    pub fn plate(&self) -> Option<&str> {
        self.model.plate.map(|p| self.model.axis_name(p))
    }

    /// Optional fields whose presence decides what the model is, because a `when` asks for them.
    pub fn deciding(&self) -> BTreeSet<String> {
        self.program.deciding.borrow().clone()
    }

    /// Trained models that constants come from.
    pub fn loads(&self) -> Vec<LoadInfo> {
        let info = |l: &ast::Load| LoadInfo {
            name: l.name.text.clone(),
            model: l.model.dotted(),
            span: l.name.span,
        };
        self.program.loads.iter().map(info).collect()
    }

    /// The support of a declared parameter; none for a weight of a net.
    pub fn support_of(&self, path: &str) -> Option<distributions::Support> {
        self.model.params.iter().find(|p| p.name == path).map(|p| p.ty.support)
    }

    /// A parameter's stored values, row-major of the given shape, as values in its declared support. What is no declared
    /// parameter (a weight of a net) is stored as it is.
    pub fn in_support(&self, path: &str, stored: &[f32], shape: &[usize]) -> Vec<f32> {
        let Some(p) = self.model.params.iter().find(|p| p.name == path) else { return stored.to_vec() };
        let each = |f: fn(f32) -> f32| stored.iter().map(|x| f(*x)).collect();
        match p.ty.support {
            Support::Positive => each(f32::exp),
            Support::Unit => each(|x| 1.0 / (1.0 + (-x).exp())),
            Support::Simplex => {
                let along = p.ty.axes.iter().position(|a| Some(*a) == p.ty.of).unwrap_or(0);
                let inner: usize = shape.iter().skip(along + 1).product();
                let n = shape.get(along).copied().unwrap_or(1);
                let mut out: Vec<f32> = stored.iter().map(|x| x.exp()).collect();
                for start in (0..out.len()).filter(|i| (i / inner.max(1)).is_multiple_of(n.max(1))) {
                    let places = || (0..n).map(|k| start + k * inner);
                    let total: f32 = places().map(|i| out[i]).sum();
                    places().for_each(|i| out[i] /= total);
                }
                out
            }
            _ => stored.to_vec(),
        }
    }

    /// Whether anything is drawn, so that there is a graph to show.
    pub fn is_generative(&self) -> bool {
        !self.model.sites.is_empty()
    }

    /// Fields that a likelihood is about.
    pub fn observed(&self) -> BTreeSet<String> {
        let fields = self.model.sites.iter().filter_map(|s| s.observed);
        fields.map(|f| self.model.fields[f].slot.name.clone()).collect()
    }

    /// Fields whose values another field bounds, each with where: successes, and the trials that they are of.
    pub fn bounded(&self) -> Vec<(String, String, Span)> {
        let name = |f: usize| self.model.fields[f].slot.name.clone();
        let of = |s: &crate::model::Site| {
            let whole = s.part.is_none() && s.cond.is_none() && !s.ignored;
            let most = s.prior.family.at_most()?;
            let at = s.prior.family.parameter_sets()[s.prior.set].iter().position(|p| p.name == most)?;
            match self.model.exprs[s.prior.params[at].0 as usize].kind {
                ExprKind::Field(bound) if whole => Some((name(s.observed?), name(bound), s.span)),
                _ => None,
            }
        };
        self.model.sites.iter().filter_map(of).collect()
    }

    /// Labels that categories are compared with: field, label, and where.
    pub fn compared_labels(&self) -> Vec<(String, String, Span)> {
        let of = |e: &crate::model::Expr| match &e.kind {
            ExprKind::Label(f, label) => {
                Some((self.model.fields[*f].slot.name.clone(), label.clone(), e.span))
            }
            _ => None,
        };
        self.model.exprs.iter().filter_map(of).collect()
    }

    /// Parameters with a row for each row of the data set: they mean nothing for other rows.
    pub fn tables(&self) -> Vec<String> {
        let by_row = |p: &&crate::model::ParamDecl| self.model.plate.is_some_and(|a| p.ty.axes.contains(&a));
        self.model.params.iter().filter(by_row).map(|p| p.name.clone()).collect()
    }

    /// Names of the statistics to compute before training.
    pub fn stats(&self) -> Vec<String> {
        self.model.stats.iter().map(|s| s.name.clone()).collect()
    }

    /// Comment lines at the head of the source.
    pub fn title(&self) -> &str {
        &self.model.title
    }

    /// Weight of each term at an epoch, counted from 0; NaN where data or parameters decide it.
    pub fn weights_at(&self, epoch: u64) -> Vec<(String, f64)> {
        let value = |t: &objective::Term| t.weight.map_or(1.0, |w| scalar(&self.model, w, epoch as f64));
        self.objective.terms.iter().map(|t| (t.name.clone(), value(t))).collect()
    }

    /// The generative story, the guide, and each term with estimator, reason, scale and weight.
    pub fn explain(&self) -> String {
        objective::explain(&self.model, &self.objective)
    }

    /// The checked model.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// The table of axes: every axis with its source, every named value with its plates, axes and support.
    pub fn shapes(&self) -> String {
        inspect::shapes(&self.model)
    }

    /// The generative story, the guide and the bound as LaTeX, for a paper that loads `amsmath`.
    pub fn latex(&self) -> String {
        story::latex(&self.model, &self.objective, &self.program)
    }

    /// The graph of the model for Graphviz; with the guide's edges, dashed, if asked for.
    pub fn dot(&self, guide: bool) -> String {
        story::dot(&self.model, guide)
    }

    /// The graph of the model as an SVG document; with the guide's edges, dashed, if asked for.
    pub fn svg(&self, guide: bool) -> String {
        story::svg(&self.model, guide)
    }

    /// A printed form: `ast`, `model` or `objective`.
    pub fn emit(&self, form: &str) -> Option<String> {
        match form {
            "ast" => Some(self.tree.clone()),
            "model" => Some(self.model.to_string()),
            "objective" => Some(self.explain()),
            _ => None,
        }
    }

    /// The graph for one purpose; E0506 if the sizes of the data make a sum too large. [`Purpose::Outputs`] accepts declared names and expressions; an unknown name is E0206.
    pub fn lower(&self, bound: &Bound, request: &Request) -> Result<Lowered, Diagnostics> {
        self.sizes_are_whole(bound)?;
        self.ranks_fit(bound)?;
        let size = |a: AxisNo| bound.size(&self.model.axes, self.model.axis_name(a)).unwrap_or(1);
        if let Some(d) = self.objective.too_many(&self.model, size) {
            return Err(Diagnostics::from(vec![d]));
        }
        if let Purpose::Outputs { names, given } = &request.purpose {
            self.check_given(given)?;
            let extra: Vec<&String> =
                names.iter().filter(|n| !self.outputs.iter().any(|o| o.name == **n)).collect();
            if !extra.is_empty() {
                let more = self.with_expressions(&extra)?;
                return Ok(lower::lower(&more.model, &more.objective, bound, request));
            }
        }
        Ok(lower::lower(&self.model, &self.objective, bound, request))
    }

    /// E0401 and E0308: sizes that follow from those of the data are whole numbers, and those of the fields that have them.
    fn sizes_are_whole(&self, bound: &Bound) -> Result<(), Diagnostics> {
        let mut diags = Diagnostics::new();
        for axis in &self.model.axes {
            let AxisSource::Formula(formula) = &axis.source else { continue };
            let Some(x) = formula.value(&|name| bound.size(&self.model.axes, name)) else { continue };
            let held = bound.sizes.get(&axis.name).copied();
            let name = &axis.name;
            let d = if !(1.0..=1e9).contains(&x) || x.fract() != 0.0 {
                Diagnostic::new(Code::E0401, format!("the size of axis `{name}` comes to {x}"))
                    .help(format!("expected a whole number above 0; set it: `--set {name}=64`"))
            } else if let Some(n) = held.filter(|n| *n as f64 != x) {
                Diagnostic::new(Code::E0308, format!("axis `{name}` has {x} elements, but the data have {n}"))
            } else {
                continue;
            };
            let sizes = formula.reads().into_iter().map(|r| match bound.size(&self.model.axes, r) {
                Some(n) => format!("{r} = {n}"),
                None => r.to_owned(),
            });
            let label = format!("with {}", sizes.collect::<Vec<_>>().join(", "));
            let dim = self.program.dims.iter().find(|d| d.name.text == *name);
            diags.push(match dim {
                Some(dim) => d.at(dim.span, label),
                None => d.note(label),
            });
        }
        if diags.has_errors() { Err(diags) } else { Ok(()) }
    }

    /// E0401: a rank above the number of elements, where the data tell it.
    fn ranks_fit(&self, bound: &Bound) -> Result<(), Diagnostics> {
        let mut diags = Diagnostics::new();
        for site in &self.model.sites {
            let Some(low) = site.guide.as_ref().and_then(|q| q.low_rank) else { continue };
            let size = |a: &AxisNo| bound.size(&self.model.axes, self.model.axis_name(*a)).unwrap_or(1);
            let n: usize = site.axes.iter().map(size).product();
            if low.rank > n {
                let at = site.guide_span.unwrap_or(site.span);
                diags.push(types::rank_too_large(&site.name, n, low.rank).at(at, ""));
            }
        }
        if diags.has_errors() { Err(diags) } else { Ok(()) }
    }

    /// The model with further outputs, each named by its own text.
    fn with_expressions(&self, texts: &[&String]) -> Result<Self, Diagnostics> {
        let mut program = self.program.clone();
        for text in texts {
            let mut scratch = Sources::new();
            let file = scratch.add("--output", format!("output {{ asked = {text} }}"));
            let (tree, found) = syntax::parse(file, scratch.text(file));
            let asked = tree.items.into_iter().find_map(|i| match i.kind {
                ast::ItemKind::Output(mut outputs) if outputs.len() == 1 => outputs.pop(),
                _ => None,
            });
            let Some(mut output) = asked.filter(|_| found.is_empty()) else {
                return Err(self.unknown_output(text));
            };
            output.name.text = (*text).clone();
            program.outputs.push(output);
        }
        let mut diags = Diagnostics::new();
        match Self::from_program(program, self.sets.clone(), String::new(), &mut diags) {
            Some(c) if !diags.has_errors() => Ok(c),
            _ => Err(texts.first().map_or(diags, |t| self.unknown_output(t))),
        }
    }

    fn unknown_output(&self, text: &str) -> Diagnostics {
        let known: Vec<&str> = self.outputs.iter().map(|o| o.name.as_str()).collect();
        let d = Diagnostic::new(Code::E0206, format!("the model has no output `{text}`"))
            .did_you_mean(text, known.clone());
        Diagnostics::from(vec![d.note(format!(
            "its outputs are {}; an expression such as `mean(z)` works too",
            known.join(", ")
        ))])
    }

    fn check_given(&self, given: &[(String, String)]) -> Result<(), Diagnostics> {
        let mut known: Vec<&str> = self.slots.iter().map(|s| s.name.as_str()).collect();
        known.extend(self.model.sites.iter().filter(|s| s.observed.is_none()).map(|s| s.name.as_str()));
        let wrong = given
            .iter()
            .find(|(name, value)| !known.contains(&name.as_str()) || value.parse::<f64>().is_err());
        match wrong {
            None => Ok(()),
            Some((name, value)) => {
                let d = Diagnostic::new(
                    Code::E0206,
                    format!("`given {name} = {value}` names no field or latent, or no number"),
                );
                Err(Diagnostics::from(vec![d.did_you_mean(name, known)]))
            }
        }
    }
}

/// Fields reachable from the objective, outputs and statistics, in source order.
fn used_slots(m: &Model) -> Vec<Slot> {
    let mut used = vec![false; m.fields.len()];
    let mut roots = m.roots();
    roots.extend(m.outputs.iter().map(|o| o.value));
    roots.extend(m.stats.iter().map(|s| s.value));
    m.walk(roots, |id| {
        if let ExprKind::Field(f) = m.expr(id).kind {
            used[f] = true;
        }
    });
    m.sites.iter().filter_map(|s| s.observed).for_each(|f| used[f] = true);
    m.stats.iter().filter_map(|s| s.within).for_each(|f| used[f] = true);
    m.fields.iter().zip(used).filter(|(_, u)| *u).map(|(f, _)| f.slot.clone()).collect()
}

/// The value of a scalar expression of the epoch; operands come before what reads them.
fn scalar(m: &Model, root: ExprId, epoch: f64) -> f64 {
    let mut reached = vec![];
    m.walk([root], |id| reached.push(id));
    reached.sort_unstable();
    let mut values: BTreeMap<ExprId, f64> = BTreeMap::new();
    for id in reached {
        let value = match &m.expr(id).kind {
            ExprKind::Const(c) => *c,
            ExprKind::Ramp { from, to, epochs } if *epochs > 0.0 => {
                from + (to - from) * (epoch / epochs).min(1.0)
            }
            ExprKind::Ramp { to, .. } => *to,
            ExprKind::Elem(e, args) => {
                let args: Vec<f64> =
                    args.iter().map(|a| values.get(a).copied().unwrap_or(f64::NAN)).collect();
                e.eval(&args)
            }
            _ => f64::NAN,
        };
        values.insert(id, value);
    }
    values.get(&root).copied().unwrap_or(f64::NAN)
}
