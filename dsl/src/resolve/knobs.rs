//! What is set from outside: options, sizes of axes, and the names that fields take.

use super::merge::{Kind, Merger, Space};
use super::options::{default_of, parse_setting};
use super::{OptionValue, Static, StaticEnv};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::syntax::ast::{self, DimKind, ItemKind};

impl Merger<'_> {
    pub(super) fn options_and_dims(&mut self, items: &[ast::Item]) {
        for item in items {
            match &item.kind {
                // A later file may give an inherited knob another default: the last declaration holds.
                ItemKind::Dim(dims) => {
                    for dim in dims {
                        self.dim(dim);
                    }
                }
                ItemKind::Option(options) => options.iter().for_each(|o| self.option(o)),
                ItemKind::When(w) => self.field_names_of(&w.body),
                ItemKind::Data(fields) => {
                    self.field_names.extend(fields.iter().map(|f| (f.name.text.clone(), f.name.span)));
                }
                _ => {}
            }
        }
    }

    fn field_names_of(&mut self, items: &[ast::Item]) {
        for item in items {
            match &item.kind {
                ItemKind::When(w) => self.field_names_of(&w.body),
                ItemKind::Data(fields) => {
                    self.field_names.extend(fields.iter().map(|f| (f.name.text.clone(), f.name.span)));
                }
                _ => {}
            }
        }
    }

    fn dim(&mut self, dim: &ast::Dim) {
        match self.program.dims.iter_mut().find(|d| d.name.text == dim.name.text) {
            Some(old) if old.span.file == self.file => {
                let d = Diagnostic::new(Code::E0202, format!("axis `{}` is declared twice", dim.name.text));
                self.diags.push(d.at(dim.name.span, "again here").also(old.name.span, "first here"));
            }
            Some(old) => *old = dim.clone(),
            None => {
                // The name of a knob is also a number; other axes are names of axes alone.
                if !matches!(dim.kind, DimKind::Size(_))
                    || self.declare(Space::Value, &dim.name, false, Kind::Axis)
                {
                    self.program.dims.push(dim.clone());
                }
            }
        }
        if let DimKind::Labels(labels) = &dim.kind {
            self.distinct(labels, "label");
        }
    }

    /// E0202 for a word that stands twice in a list.
    fn distinct(&mut self, words: &[ast::Name], what: &str) {
        for (i, word) in words.iter().enumerate() {
            if let Some(first) = words[..i].iter().find(|w| w.text == word.text) {
                let d = Diagnostic::new(Code::E0202, format!("{what} `{}` is given twice", word.text));
                self.diags.push(d.at(word.span, "again here").also(first.span, "first here"));
            }
        }
    }

    /// Sizes to numbers, in order of dependence.
    pub(super) fn settle_sizes(&mut self) {
        loop {
            let settled = |d: &ast::Dim| match &d.kind {
                DimKind::Size(e) if !matches!(e.kind, ast::ExprKind::Number(_)) => {
                    match StaticEnv(&self.program).eval(e) {
                        Some(Static::Number(x)) => Some(x),
                        _ => None,
                    }
                }
                _ => None,
            };
            let found: Vec<Option<f64>> = self.program.dims.iter().map(settled).collect();
            if found.iter().all(Option::is_none) {
                break;
            }
            for (dim, x) in self.program.dims.iter_mut().zip(found) {
                if let (DimKind::Size(e), Some(x)) = (&mut dim.kind, x) {
                    e.kind = ast::ExprKind::Number(x.to_string());
                }
            }
        }
        self.circular_sizes();
    }

    /// E0208: sizes that name each other in a circle.
    fn circular_sizes(&mut self) {
        let open: Vec<(String, Vec<String>)> = self.program.dims.iter().filter_map(open_size).collect();
        let mut told: Vec<&str> = vec![];
        // What a size reads, and what those read in turn.
        let closure = |name: &String| {
            let mut all: Vec<&String> = vec![];
            let mut next = vec![name];
            while let Some(n) = next.pop() {
                for r in open
                    .iter()
                    .filter(|o| o.0 == *n)
                    .flat_map(|o| &o.1)
                    .filter(|r| !all.contains(r))
                    .collect::<Vec<_>>()
                {
                    all.push(r);
                    next.push(r);
                }
            }
            all
        };
        for (name, reads) in &open {
            let circle = closure(name).contains(&name);
            let dim = self.program.dims.iter().find(|d| d.name.text == *name);
            let known = reads.iter().any(|r| told.contains(&r.as_str()));
            if let (true, false, Some(dim)) = (circle, known, dim) {
                told.push(name);
                let d = Diagnostic::new(Code::E0208, format!("the size of axis `{name}` depends on itself"));
                self.diags.push(d.at(dim.span, format!("reads {}", reads.join(", "))));
            }
            // Reported; any size will do for what follows.
            for dim in self.program.dims.iter_mut().filter(|d| circle && d.name.text == *name) {
                if let DimKind::Size(e) = &mut dim.kind {
                    e.kind = ast::ExprKind::Number("1".into());
                }
            }
        }
    }

    fn option(&mut self, decl: &ast::OptionDecl) {
        let name = decl.name.text.clone();
        if let Some(old) = self.program.options.get(&name)
            && old.decl.span.file == self.file
        {
            let d = Diagnostic::new(Code::E0202, format!("option `{name}` is declared twice"));
            self.diags.push(d.at(decl.name.span, "again here").also(old.decl.name.span, "first here"));
            return;
        }
        if !self.program.options.contains_key(&name)
            && !self.declare(Space::Value, &decl.name, false, Kind::Option)
        {
            return;
        }
        self.distinct(&decl.choices, "choice");
        let value = default_of(&self.program, decl, self.diags);
        if !self.program.option_order.contains(&name) {
            self.program.option_order.push(name.clone());
        }
        self.program
            .options
            .insert(name, OptionValue { decl: decl.clone(), value, changed: false, used: false.into() });
    }

    /// Applies `--set name=value` to options and axis sizes; the rest is left for the `train` settings.
    pub(super) fn settings(&mut self, sets: &[(String, String)]) {
        for (name, text) in sets {
            if let Some(option) = self.program.options.get_mut(name) {
                match parse_setting(&option.value, &option.decl.choices, text) {
                    Ok(value) => (option.value, option.changed) = (value, true),
                    Err(expected) => {
                        let d = Diagnostic::new(Code::E0206, format!("option `{name}` cannot be `{text}`"));
                        self.diags.push(
                            d.also(option.decl.span, "declared here").help(format!("expected {expected}")),
                        );
                    }
                }
            } else if let Some(dim) = self.program.dims.iter_mut().find(|d| d.name.text == *name) {
                set_dim(dim, text, self.diags);
            } else if !crate::types::train::is_key(name) {
                self.unknown_setting(name);
            }
        }
    }

    /// Applies what is set to the options and sizes known so far; mistakes are reported later.
    pub(super) fn choose_quietly(&mut self, sets: &[(String, String)]) {
        let mut unheard = Diagnostics::new();
        for (name, text) in sets {
            if let Some(option) = self.program.options.get_mut(name) {
                if let Ok(value) = parse_setting(&option.value, &option.decl.choices, text) {
                    (option.value, option.changed) = (value, true);
                }
            } else if let Some(dim) = self.program.dims.iter_mut().find(|d| d.name.text == *name) {
                set_dim(dim, text, &mut unheard);
            }
        }
    }

    /// Axes and options inside `when`, as far as the options and sizes outside decide.
    pub(super) fn dims_inside(&mut self, items: &[ast::Item], sets: &[(String, String)]) {
        for item in items {
            let ItemKind::When(w) = &item.kind else { continue };
            if StaticEnv(&self.program).eval(&w.condition) != Some(Static::Bool(true)) {
                continue;
            }
            for inner in &w.body {
                match &inner.kind {
                    ItemKind::Dim(dims) => dims.iter().for_each(|d| self.dim(d)),
                    ItemKind::Option(options) => options.iter().for_each(|o| self.option(o)),
                    _ => {}
                }
            }
            self.choose_quietly(sets);
            self.dims_inside(&w.body, sets);
        }
    }

    fn unknown_setting(&mut self, name: &str) {
        let knobs = self.program.dims.iter().filter(|d| matches!(d.kind, ast::DimKind::Size(_)));
        let mut known: Vec<&str> = knobs.map(|d| d.name.text.as_str()).collect();
        known.extend(self.program.option_order.iter().map(String::as_str));
        let list = match known[..] {
            [] => "it has no options and no sizes to set".to_owned(),
            _ => format!("its options and sizes: {}", known.join(", ")),
        };
        known.extend(crate::types::train::KEYS);
        let d = Diagnostic::new(
            Code::E0206,
            format!("the model has no option, axis or training setting `{name}`"),
        );
        self.diags.push(d.did_you_mean(name, known.clone()).note(list));
    }
}

fn set_dim(dim: &mut ast::Dim, text: &str, diags: &mut Diagnostics) {
    let name = &dim.name.text;
    let ast::DimKind::Size(size) = &mut dim.kind else {
        let d = Diagnostic::new(
            Code::E0206,
            format!("the size of axis `{name}` comes from the data and cannot be set"),
        );
        diags.push(d.also(dim.span, "declared here"));
        return;
    };
    match text.parse::<u32>() {
        Ok(n) if n > 0 => size.kind = ast::ExprKind::Number(n.to_string()),
        _ => {
            let d = Diagnostic::new(Code::E0206, format!("axis `{name}` cannot have size `{text}`"));
            diags.push(d.also(dim.span, "declared here").help("expected a whole number above 0"));
        }
    }
}

/// An axis whose size is not a number yet, with the names that the size reads.
fn open_size(dim: &ast::Dim) -> Option<(String, Vec<String>)> {
    match &dim.kind {
        DimKind::Size(e) if !matches!(e.kind, ast::ExprKind::Number(_)) => {
            let mut reads = vec![];
            crate::types::names_in(e, &mut |n, _| reads.push(n.text.clone()));
            Some((dim.name.text.clone(), reads))
        }
        _ => None,
    }
}
