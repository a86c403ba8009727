//! The `train` block.

use super::is_name;
use crate::compiled::{Labelled, PathBound, TrainSettings};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::resolve::{GuideDef, Program, Static, StaticEnv};
use crate::source::Span;
use crate::syntax::ast;

/// Keys of the `train` block.
pub const KEYS: [&str; 20] = [
    "epochs",
    "batch_size",
    "optimiser",
    "lr",
    "eps",
    "weight_decay",
    "decoupled_decay",
    "clip",
    "train_size",
    "early_stopping",
    "plateau",
    "samples",
    "reduce",
    "full_batch",
    "labelled",
    "stratify",
    "pair",
    "freeze",
    "least",
    "most",
];

/// Every draw holds activations of its own.
const MOST_SAMPLES: f64 = 1000.0;

/// Whether `--set` may name it.
pub fn is_key(name: &str) -> bool {
    KEYS.contains(&name)
}

/// The settings in force: defaults, then the blocks in order, then `--set`.
pub(super) fn settings(
    program: &Program,
    sets: &[(String, String)],
    diags: &mut Diagnostics,
) -> TrainSettings {
    let mut out = TrainSettings::default();
    for s in &program.settings {
        if !is_key(&s.key.text) {
            let d = Diagnostic::new(Code::E0206, format!("`train` has no setting `{}`", s.key.text))
                .at(s.key.span, "");
            diags.push(d.did_you_mean(&s.key.text, KEYS));
            continue;
        }
        if s.key.text == "freeze" {
            freeze(&mut out, program, s, diags);
            continue;
        }
        if s.key.text == "least" || s.key.text == "most" {
            bound(&mut out, program, s, diags);
            continue;
        }
        if s.key.text == "labelled" {
            labelled(&mut out, program, s, diags);
            continue;
        }
        if s.key.text == "stratify" || s.key.text == "pair" {
            about(&mut out, program, s, diags);
            continue;
        }
        if let Some(target) = &s.target {
            let d = Diagnostic::new(Code::E0206, format!("`{}` is about the whole training", s.key.text));
            diags.push(d.at(target.span, "leave this out"));
            continue;
        }
        let word = is_name(&s.value).map(|n| Static::Word(n.text.clone()));
        let value = StaticEnv(program).eval(&s.value).or(word);
        apply(&mut out, &s.key.text, value, Some(s.value.span), diags);
    }
    for (name, text) in sets.iter().filter(|s| is_key(&s.0) && !program.options.contains_key(&s.0)) {
        let example = match name.as_str() {
            "freeze" => Some("freeze decoder = true"),
            "least" | "most" => Some("least delta = 0"),
            "stratify" => Some("stratify batch = true"),
            "pair" => Some("pair spot = true"),
            "labelled" => Some("labelled label = true"),
            _ => None,
        };
        if let Some(text) = example {
            let d = Diagnostic::new(Code::E0206, format!("`{name}` cannot be set on the command line"));
            diags.push(d.help(format!("write it into the source: `train {{ {text} }}`")));
            continue;
        }
        let value = match (text.parse::<f64>(), text.parse::<bool>()) {
            (Ok(x), _) => Static::Number(x),
            (_, Ok(b)) => Static::Bool(b),
            _ => Static::Word(text.clone()),
        };
        apply(&mut out, name, Some(value), None, diags);
    }
    out
}

/// `labelled FIELD = true`, or the number of rows of each label; the field is a category that may miss.
fn labelled(out: &mut TrainSettings, program: &Program, s: &ast::Setting, diags: &mut Diagnostics) {
    let may_miss = |f: &&ast::Field| f.is_category() && f.ty.may_miss;
    let known: Vec<&str> = program.fields.iter().filter(may_miss).map(|f| f.name.text.as_str()).collect();
    let field = match s.target.as_ref().map(|t| &t.parts[..]) {
        Some([name]) if known.contains(&name.text.as_str()) => name.text.clone(),
        target => {
            let name = target.and_then(<[_]>::first);
            let what = "`labelled` needs a category that some rows miss, of type `category?`";
            let d = Diagnostic::new(Code::E0206, what).at(name.map_or(s.span, |n| n.span), "");
            let d = match name {
                Some(n) if known.is_empty() => d.note(format!("`{}` is known everywhere", n.text)),
                Some(_) => d.note(format!("there is `{}`", known.join("`, `"))),
                None => {
                    d.help("write `labelled label = true`, or how many of each label: `labelled label = 100`")
                }
            };
            return diags.push(d);
        }
    };
    out.labelled = match StaticEnv(program).eval(&s.value) {
        Some(Static::Bool(on)) => on.then_some(Labelled { field, per_label: None }),
        Some(Static::Number(n)) if n >= 1.0 && n.fract() == 0.0 => {
            Some(Labelled { field, per_label: Some(n as usize) })
        }
        _ => {
            let what = "`labelled` needs `true`, `false`, or a whole number of rows of each label";
            return diags.push(Diagnostic::new(Code::E0206, what).at(s.value.span, ""));
        }
    };
}

/// `stratify FIELD`, a category, and `pair AXIS`, a second plate over the data.
fn about(out: &mut TrainSettings, program: &Program, s: &ast::Setting, diags: &mut Diagnostics) {
    let stratify = s.key.text == "stratify";
    let known: Vec<&str> = match stratify {
        true => program.fields.iter().filter(|f| f.is_category()).map(|f| f.name.text.as_str()).collect(),
        false => program.model.iter().flat_map(|s| &s.plates).map(|p| p.text.as_str()).collect(),
    };
    let what = if stratify { "category" } else { "plate" };
    let name = match s.target.as_ref().map(|t| &t.parts[..]) {
        Some([name]) if known.contains(&name.text.as_str()) => name,
        Some([name, ..]) => {
            let d = Diagnostic::new(Code::E0206, format!("no {what} called `{}`", name.text));
            return diags.push(d.at(name.span, "").did_you_mean(&name.text, known));
        }
        _ => {
            let d = Diagnostic::new(Code::E0206, format!("`{}` needs the name of a {what}", s.key.text));
            let example = if stratify { "stratify batch = true" } else { "pair spot = true" };
            return diags.push(d.at(s.span, "").help(format!("write `{example}`")));
        }
    };
    let Some(Static::Bool(on)) = StaticEnv(program).eval(&s.value) else {
        let d = Diagnostic::new(Code::E0411, format!("`{}` needs `true` or `false`", s.key.text));
        return diags.push(d.at(s.value.span, ""));
    };
    let slot = if stratify { &mut out.stratify } else { &mut out.pair };
    *slot = on.then(|| name.text.clone());
}

/// The path of a parameter, or the beginning of one, that a setting is about; a point estimate is one, too.
fn parameter<'p>(
    program: &Program,
    s: &'p ast::Setting,
    example: &str,
    diags: &mut Diagnostics,
) -> Option<&'p ast::Path> {
    let key = &s.key.text;
    let Some(path) = &s.target else {
        let d = Diagnostic::new(Code::E0206, format!("`{key}` needs the path of a parameter")).at(s.span, "");
        diags.push(d.help(format!("write `{example}`")));
        return None;
    };
    let nets = program.nets.iter().map(|n| n.name.text.as_str());
    let params = program.params.iter().map(|p| p.name.text.as_str());
    let points = program.guide.iter().filter_map(|g| match &g.stmt {
        GuideDef::Treat(t)
            if matches!(&t.how, ast::Treatment::Strategy { strategy: ast::Strategy::Point, .. }) =>
        {
            Some(t.name.text.as_str())
        }
        _ => None,
    });
    let known: Vec<&str> = nets.chain(params).chain(points).collect();
    let first = path.parts.first()?;
    if !known.contains(&first.text.as_str()) {
        let d = Diagnostic::new(Code::E0206, format!("`{key}`: no net or parameter called `{}`", first.text));
        diags.push(d.at(first.span, "").did_you_mean(&first.text, known.iter().copied()));
        return None;
    }
    Some(path)
}

/// `least PATH = x` and `most PATH = x`, in the parameter's support.
fn bound(out: &mut TrainSettings, program: &Program, s: &ast::Setting, diags: &mut Diagnostics) {
    let Some(path) = parameter(program, s, "least delta = 0", diags) else { return };
    let Some(Static::Number(x)) = StaticEnv(program).eval(&s.value) else {
        let d = Diagnostic::new(Code::E0206, format!("`{}` needs a number", s.key.text));
        return diags.push(d.at(s.value.span, ""));
    };
    let declared = program.params.iter().find(|p| path.parts.len() == 1 && p.name.text == path.parts[0].text);
    let support = declared.and_then(|p| p.ty.as_ref()).map_or("real", |t| t.name.text.as_str());
    let stored = match support {
        "positive" | "nonneg" if x > 0.0 => x.ln(),
        "unit" if x > 0.0 && x < 1.0 => (x / (1.0 - x)).ln(),
        "positive" | "nonneg" | "unit" | "simplex" => {
            let d = Diagnostic::new(Code::E0413, format!("{x} cannot bound a {support} parameter"));
            return diags.push(d.at(s.value.span, ""));
        }
        _ => x,
    };
    let least = s.key.text == "least";
    out.bounds.retain(|b| b.path != path.dotted() || b.least != least);
    out.bounds.push(PathBound { path: path.dotted(), least, stored });
}

/// `freeze PATH = true`.
fn freeze(out: &mut TrainSettings, program: &Program, s: &ast::Setting, diags: &mut Diagnostics) {
    let Some(path) = parameter(program, s, "freeze decoder = true", diags) else { return };
    match StaticEnv(program).eval(&s.value) {
        Some(Static::Bool(true)) => out.freeze.push(path.dotted()),
        Some(Static::Bool(false)) => out.freeze.retain(|p| *p != path.dotted()),
        _ => {
            let d = Diagnostic::new(Code::E0411, "`freeze` needs `true` or `false`");
            diags.push(d.at(s.value.span, ""));
        }
    }
}

fn apply(
    out: &mut TrainSettings,
    key: &str,
    value: Option<Static>,
    span: Option<Span>,
    diags: &mut Diagnostics,
) {
    let whole = |x: f64| (x >= 1.0 && x.fract() == 0.0 && x <= 1e9).then_some(x as usize);
    let expected = match (key, &value) {
        ("epochs", Some(Static::Number(x))) if whole(*x).is_some() => return out.epochs = whole(*x),
        ("batch_size", Some(Static::Number(x))) if *x >= 2.0 && whole(*x).is_some() => {
            return out.batch_size = whole(*x).unwrap_or(out.batch_size);
        }
        ("samples", Some(Static::Number(x))) if *x <= MOST_SAMPLES && whole(*x).is_some() => {
            return out.samples = whole(*x).unwrap_or(out.samples);
        }
        ("lr", Some(Static::Number(x))) if *x > 0.0 => return out.lr = *x,
        ("eps", Some(Static::Number(x))) if *x > 0.0 => return out.eps = *x,
        ("weight_decay", Some(Static::Number(x))) if *x >= 0.0 => return out.weight_decay = *x,
        ("clip", Some(Static::Number(x))) if *x > 0.0 => return out.clip = Some(*x),
        ("train_size", Some(Static::Number(x))) if *x > 0.0 && *x <= 1.0 => return out.train_size = Some(*x),
        ("decoupled_decay", Some(Static::Bool(b))) => return out.decoupled_decay = *b,
        ("early_stopping", Some(Static::Bool(b))) => return out.early_stopping = *b,
        ("plateau", Some(Static::Bool(b))) => return out.plateau = *b,
        ("full_batch", Some(Static::Bool(b))) => return out.full_batch = *b,
        ("reduce", Some(Static::Word(w))) if w == "mean" || w == "total" => {
            return out.reduce_total = w == "total";
        }
        ("optimiser", Some(Static::Word(w))) if w == "adam" || w == "adamw" => {
            return out.decoupled_decay |= w == "adamw";
        }
        ("epochs", _) => "a whole number of epochs, at least 1",
        ("batch_size", _) => "a whole number of cells, at least 2",
        ("samples", _) => "a whole number of draws from 1 to 1000",
        ("train_size", _) => "a fraction above 0, at most 1",
        ("weight_decay", _) => "a number, at least 0",
        ("lr" | "eps" | "clip", _) => "a number above 0",
        ("reduce", _) => "`mean` or `total`",
        ("optimiser", _) => "`adam` or `adamw`",
        _ => "`true` or `false`",
    };
    let found = match (&value, span) {
        (Some(v), None) => format!(", not `{v}`"),
        _ => String::new(),
    };
    let d = Diagnostic::new(Code::E0206, format!("`{key}` needs {expected}{found}"));
    diags.push(match span {
        Some(span) => d.at(span, ""),
        None => d.help(format!("as in `--set {key}=…`")),
    });
}
