//! Merging files: bases first, later declarations over earlier ones by `override`.

use super::options::{default_of, parse_setting};
use super::{GuideDef, InPlates, ModelDef, OptionValue, Program, Static, StaticEnv, not_compiled};
use crate::compiled::Library;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{FileId, Sources, Span};
use crate::syntax::ast::{self, GuideStmtKind, ItemKind, ModelStmtKind, Name, ObjectiveStmtKind};
use crate::syntax::parse;
use std::collections::BTreeMap;

/// Parses the root and everything it extends, and merges them under the given settings (`--set`).
pub fn merge(
    sources: &mut Sources,
    root: FileId,
    sets: &[(String, String)],
    library: &dyn Library,
    diags: &mut Diagnostics,
) -> Program {
    let mut files = vec![];
    collect(sources, root, library, diags, &mut files, &mut vec![]);
    let mut m = Merger {
        program: Program::default(),
        declared: BTreeMap::new(),
        field_names: BTreeMap::new(),
        file: root,
        diags,
    };
    for (file, ast) in &files {
        m.file = *file;
        m.program.dead.extend(ast.broken.iter().map(|n| n.text.clone()));
        m.options_and_dims(&ast.items);
    }
    m.settings(sets);
    for (file, ast) in &files {
        m.file = *file;
        m.items(&ast.items);
    }
    let mut program = m.program;
    program.title = title_of(sources.text(root));
    program
}

/// The comment lines at the head of a text.
fn title_of(text: &str) -> String {
    let lines = text.lines().map(str::trim).skip_while(|l| l.is_empty());
    let head = lines.take_while(|l| l.starts_with('#')).map(|l| l.trim_start_matches('#').trim());
    head.collect::<Vec<_>>().join("\n")
}

/// Parses a file after those that it extends; each file once.
fn collect(
    sources: &mut Sources,
    file: FileId,
    library: &dyn Library,
    diags: &mut Diagnostics,
    files: &mut Vec<(FileId, ast::Ast)>,
    open: &mut Vec<FileId>,
) {
    let text = sources.text(file).to_owned();
    let (ast, found) = parse(file, &text);
    diags.extend(found);
    open.push(file);
    for item in &ast.items {
        let ItemKind::Extends(paths) = &item.kind else { continue };
        for path in paths {
            let name = path.dotted();
            let Some((full, text)) = library.find(&name) else {
                let what = format!("no model called `{name}` beside this file or in the library");
                diags.push(Diagnostic::new(Code::E0201, what).at(path.span, ""));
                continue;
            };
            let base = sources.find(&full).unwrap_or_else(|| sources.add(full, text));
            if open.contains(&base) {
                diags.push(
                    Diagnostic::new(Code::E0208, format!("`{name}` extends itself"))
                        .at(path.span, "leads back here"),
                );
            } else if !files.iter().any(|(f, _)| *f == base) {
                collect(sources, base, library, diags, files, open);
            }
        }
    }
    open.pop();
    files.push((file, ast));
}

struct Merger<'a> {
    program: Program,
    /// Where each name was declared: (file, span). One name space for everything a model expression can name.
    declared: BTreeMap<(Space, String), (FileId, Span)>,
    /// Fields of every file, wherever they stand.
    field_names: BTreeMap<String, Span>,
    file: FileId,
    diags: &'a mut Diagnostics,
}

/// Names that cannot clash with each other across these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Space {
    Value,
    Guide,
    Likelihood,
    Output,
}

impl Merger<'_> {
    /// Whether the declaration is new or a permitted replacement; otherwise reports and returns false.
    fn declare(&mut self, space: Space, name: &Name, is_override: bool) -> bool {
        let key = (space, name.text.clone());
        let error = match self.declared.get(&key) {
            None if is_override => {
                let known: Vec<&str> =
                    self.declared.keys().filter(|k| k.0 == space).map(|k| k.1.as_str()).collect();
                let d = Diagnostic::new(
                    Code::E0205,
                    format!("`override` of `{}`, which is not inherited", name.text),
                );
                Some(d.at(name.span, "nothing to replace").did_you_mean(&name.text, known))
            }
            Some(&(file, span)) if file == self.file => {
                let (code, what) = match space {
                    Space::Guide => (Code::E0512, "is treated twice"),
                    _ => (Code::E0202, "is defined twice"),
                };
                let d = Diagnostic::new(code, format!("`{}` {what}", name.text));
                Some(d.at(name.span, "again here").also(span, "first here"))
            }
            Some(&(_, span)) if !is_override => {
                let d =
                    Diagnostic::new(Code::E0204, format!("`{}` is inherited and defined again", name.text));
                let d = d.at(name.span, "").also(span, "inherited from here");
                Some(d.help(format!("to replace it, write `override {}`", name.text)))
            }
            _ => None,
        };
        self.declared.insert(key, (self.file, name.span));
        match error {
            Some(d) => {
                self.diags.push(d);
                false
            }
            None => true,
        }
    }

    fn options_and_dims(&mut self, items: &[ast::Item]) {
        for item in items {
            match &item.kind {
                // A later file may give an inherited knob another default: the last declaration holds.
                ItemKind::Dim(dims) => {
                    for dim in dims {
                        self.dim(dim);
                    }
                }
                ItemKind::Option(options) => options.iter().for_each(|o| self.option(o)),
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
            None => self.program.dims.push(dim.clone()),
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
        let value = default_of(&self.program, decl, self.diags);
        if !self.program.option_order.contains(&name) {
            self.program.option_order.push(name.clone());
        }
        self.program
            .options
            .insert(name, OptionValue { decl: decl.clone(), value, changed: false, used: false.into() });
    }

    /// Applies `--set name=value` to options and axis sizes; the rest is left for the `train` settings.
    fn settings(&mut self, sets: &[(String, String)]) {
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

    fn unknown_setting(&mut self, name: &str) {
        let knobs = self.program.dims.iter().filter(|d| matches!(d.kind, ast::DimKind::Size(_)));
        let mut known: Vec<&str> = knobs.map(|d| d.name.text.as_str()).collect();
        known.extend(self.program.option_order.iter().map(String::as_str));
        known.extend(crate::types::train::KEYS);
        let d = Diagnostic::new(
            Code::E0206,
            format!("the model has no option, axis or training setting `{name}`"),
        );
        let list =
            format!("options and sizes: {}", known.iter().take(12).copied().collect::<Vec<_>>().join(", "));
        self.diags.push(d.did_you_mean(name, known.clone()).note(list));
    }

    fn items(&mut self, items: &[ast::Item]) {
        for item in items {
            self.item(item);
        }
    }

    fn item(&mut self, item: &ast::Item) {
        match &item.kind {
            ItemKind::Extends(_) | ItemKind::Dim(_) | ItemKind::Option(_) | ItemKind::Error => {}
            ItemKind::Data(fields) => fields.iter().for_each(|f| self.field(f)),
            ItemKind::Stat(stat) => {
                if self.declare(Space::Value, &stat.name, false) {
                    self.program.stats.push(stat.clone());
                }
            }
            ItemKind::Param(p) => {
                if self.declare(Space::Value, &p.name, p.is_override) {
                    replace(&mut self.program.params, p.clone(), |q| q.name.text == p.name.text);
                }
            }
            ItemKind::Net(n) => {
                if self.declare(Space::Value, &n.name, n.is_override) {
                    replace(&mut self.program.nets, n.clone(), |q| q.name.text == n.name.text);
                }
            }
            ItemKind::Fn(f) => {
                if self.declare(Space::Value, &f.name, false) {
                    self.program.fns.push(f.clone());
                }
            }
            ItemKind::Model(stmts) => self.model(stmts, &[], true),
            ItemKind::Guide(stmts) => self.guide(stmts, &[], true),
            ItemKind::Objective(stmts) => self.objective(stmts, true),
            ItemKind::Output(outputs) => outputs.iter().for_each(|o| self.output(o)),
            ItemKind::Train(settings) => self.program.settings.extend(settings.iter().cloned()),
            ItemKind::When(w) => {
                if self.decide(&w.condition) {
                    self.items(&w.body);
                } else {
                    self.dead_items(&w.body);
                }
            }
            ItemKind::Needs(_) => self.diags.push(not_compiled(item.span, "`needs`")),
            ItemKind::Load(_) => self.diags.push(not_compiled(item.span, "`load`")),
            ItemKind::Const(c) => {
                self.program.dead.push(c.name.text.clone());
                self.diags.push(not_compiled(item.span, "`const`"));
            }
            ItemKind::Adversary(_) => self.diags.push(not_compiled(item.span, "`adversary`")),
        }
    }

    fn field(&mut self, field: &ast::Field) {
        if self.declare(Space::Value, &field.name, false) {
            self.program.fields.push(field.clone());
        }
    }

    /// An inherited output is simply replaced: the grammar has no `override` for outputs.
    fn output(&mut self, output: &ast::Output) {
        let inherited =
            self.declared.get(&(Space::Output, output.name.text.clone())).is_some_and(|d| d.0 != self.file);
        if self.declare(Space::Output, &output.name, inherited) {
            replace(&mut self.program.outputs, output.clone(), |o| o.name.text == output.name.text);
        }
    }

    /// The truth of a static condition; reports one that is not static.
    fn decide(&mut self, condition: &ast::Expr) -> bool {
        match StaticEnv(&self.program).eval(condition) {
            Some(Static::Bool(b)) => b,
            Some(_) => {
                let d = Diagnostic::new(Code::E0411, "`when` needs a truth value");
                self.diags.push(d.at(condition.span, "a number or a word"));
                false
            }
            None => {
                let d = not_compiled(condition.span, "a `when` that options alone do not decide");
                self.diags.push(d.help("compare options: `when likelihood == zinb { … }`"));
                false
            }
        }
    }

    fn dead_items(&mut self, items: &[ast::Item]) {
        for item in items {
            match &item.kind {
                ItemKind::Data(fields) => {
                    self.program.dead.extend(fields.iter().map(|f| f.name.text.clone()))
                }
                ItemKind::Stat(s) => self.program.dead.push(s.name.text.clone()),
                ItemKind::Param(p) => self.program.dead.push(p.name.text.clone()),
                ItemKind::Net(n) => self.program.dead.push(n.name.text.clone()),
                ItemKind::Fn(f) => self.program.dead.push(f.name.text.clone()),
                ItemKind::Model(stmts) => self.model(stmts, &[], false),
                ItemKind::Guide(stmts) => self.guide(stmts, &[], false),
                ItemKind::When(w) => self.dead_items(&w.body),
                _ => {}
            }
        }
    }

    fn model(&mut self, stmts: &[ast::ModelStmt], plates: &[Name], alive: bool) {
        for stmt in stmts {
            let (name, space, is_override, def) = match &stmt.kind {
                ModelStmtKind::Plate(p) => {
                    if let Some(weight) = &p.weight {
                        self.diags.push(not_compiled(weight.span, "a plate's `weight`"));
                    }
                    let inner = with_plate(plates, &p.axis, self.diags);
                    self.model(&p.body, &inner, alive);
                    continue;
                }
                ModelStmtKind::When(w) => {
                    let holds = self.decide(&w.condition);
                    self.model(&w.body, plates, alive && holds);
                    continue;
                }
                ModelStmtKind::Error => continue,
                ModelStmtKind::Draw(d) => {
                    self.program.dead.push(d.name.text.clone());
                    self.diags.push(not_compiled(stmt.span, "`draw`"));
                    continue;
                }
                ModelStmtKind::Site(s) => (&s.name, Space::Value, s.is_override, ModelDef::Site(s.clone())),
                ModelStmtKind::Define(d) => {
                    (&d.name, Space::Value, d.is_override, ModelDef::Define(d.clone()))
                }
                ModelStmtKind::Observe(o) => {
                    let ast::ExprKind::Name(name) = &o.target.kind else {
                        self.diags.push(not_compiled(o.target.span, "an indexed `observe`"));
                        continue;
                    };
                    (name, Space::Likelihood, o.is_override, ModelDef::Observe(o.clone()))
                }
            };
            if let (ModelDef::Site(_), Some(field)) = (&def, self.field_names.get(&name.text)) {
                let d = Diagnostic::new(
                    Code::E0203,
                    format!("`{}` is data: its distribution is observed", name.text),
                );
                let d = d
                    .at(name.span, "")
                    .also(*field, "a field")
                    .help(format!("write `observe {} ~ …`", name.text));
                self.diags.push(d);
            } else if !alive {
                self.program.dead.push(name.text.clone());
            } else if self.declare(space, name, is_override) {
                let likelihood = space == Space::Likelihood;
                let same = |old: &InPlates<ModelDef>| {
                    model_name(&old.stmt).is_some_and(|(n, l)| n == name.text && l == likelihood)
                };
                let new = InPlates { plates: plates.to_vec(), stmt: def, span: stmt.span };
                replace(&mut self.program.model, new, same);
            }
        }
    }

    fn guide(&mut self, stmts: &[ast::GuideStmt], plates: &[Name], alive: bool) {
        for stmt in stmts {
            let (name, is_override, def) = match &stmt.kind {
                GuideStmtKind::Plate(p) => {
                    let inner = with_plate(plates, &p.axis, self.diags);
                    self.guide(&p.body, &inner, alive);
                    continue;
                }
                GuideStmtKind::When(w) => {
                    let holds = self.decide(&w.condition);
                    self.guide(&w.body, plates, alive && holds);
                    continue;
                }
                GuideStmtKind::Error => continue,
                GuideStmtKind::Draw(_) => {
                    self.diags.push(not_compiled(stmt.span, "`draw`"));
                    continue;
                }
                GuideStmtKind::Treat(t) => (&t.name, t.is_override, GuideDef::Treat(t.clone())),
                GuideStmtKind::Define(d) => (&d.name, d.is_override, GuideDef::Define(d.clone())),
            };
            if !alive {
                self.program.dead.push(name.text.clone());
            } else if self.declare(Space::Guide, name, is_override) {
                let same = |old: &InPlates<GuideDef>| guide_name(&old.stmt) == name.text;
                replace(
                    &mut self.program.guide,
                    InPlates { plates: plates.to_vec(), stmt: def, span: stmt.span },
                    same,
                );
            }
        }
    }

    fn objective(&mut self, stmts: &[ast::ObjectiveStmt], alive: bool) {
        for stmt in stmts {
            match &stmt.kind {
                ObjectiveStmtKind::When(w) => {
                    let holds = self.decide(&w.condition);
                    self.objective(&w.body, alive && holds);
                }
                _ if alive => self.program.objective.push(stmt.clone()),
                _ => {}
            }
        }
    }
}

/// Puts `new` in the place of what it replaces, or at the end.
fn replace<T>(list: &mut Vec<T>, new: T, same: impl Fn(&T) -> bool) {
    match list.iter().position(same) {
        Some(i) => list[i] = new,
        None => list.push(new),
    }
}

fn with_plate(plates: &[Name], axis: &Name, diags: &mut Diagnostics) -> Vec<Name> {
    if let Some(outer) = plates.iter().find(|p| p.text == axis.text) {
        let d = Diagnostic::new(Code::E0310, format!("plate `{}` is opened inside itself", axis.text));
        diags.push(d.at(axis.span, "again here").also(outer.span, "already open"));
        return plates.to_vec();
    }
    plates.iter().cloned().chain([axis.clone()]).collect()
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

fn model_name(def: &ModelDef) -> Option<(&str, bool)> {
    match def {
        ModelDef::Site(s) => Some((&s.name.text, false)),
        ModelDef::Define(d) => Some((&d.name.text, false)),
        ModelDef::Observe(o) => match &o.target.kind {
            ast::ExprKind::Name(n) => Some((&n.text, true)),
            _ => None,
        },
    }
}

fn guide_name(def: &GuideDef) -> &str {
    match def {
        GuideDef::Treat(t) => &t.name.text,
        GuideDef::Define(d) => &d.name.text,
    }
}
