//! Merging files: bases first, later declarations over earlier ones by `override`.

use super::options::made_sure;
use super::{Asleep, Program, Replaced, Static, StaticEnv};
use crate::compile::Settings;
use crate::compiled::Library;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{FileId, Sources, Span};
use crate::syntax::ast::{self, ItemKind, Name};
use crate::syntax::parse;
use std::collections::BTreeMap;

/// Parses the root and everything it extends, and merges them under the given settings (`--set`).
pub fn merge(
    sources: &mut Sources,
    root: FileId,
    settings: &Settings,
    library: &dyn Library,
    diags: &mut Diagnostics,
) -> Program {
    let mut files: Vec<Part> = vec![];
    if !collect(sources, root, library, diags, &mut files, &mut vec![], &[]) {
        return Program { incomplete: true, ..Program::default() };
    }
    let mut m = Merger {
        program: Program::default(),
        declared: BTreeMap::new(),
        field_names: BTreeMap::new(),
        plate_weights: vec![],
        guarding: vec![],
        needs: vec![],
        file: root,
        diags,
    };
    for Part { file, ast, .. } in &files {
        m.file = *file;
        m.program.broken.extend(ast.broken.iter().map(|n| n.text.clone()));
        m.options_and_dims(&ast.items);
    }
    m.program.absent.clone_from(&settings.absent);
    m.program.field_names = m.field_names.keys().cloned().collect();
    m.choose_quietly(&settings.sets);
    for Part { file, ast, .. } in &files {
        m.file = *file;
        m.dims_inside(&ast.items, &settings.sets);
    }
    m.settings(&settings.sets);
    m.settle_sizes();
    for Part { file, ast, conditions } in &files {
        m.file = *file;
        // What is wrong with a condition is said where it stands.
        let holds = |c: &ast::Expr| StaticEnv(&m.program).eval(c) == Some(Static::Bool(true));
        if conditions.iter().all(holds) { m.items(&ast.items) } else { m.dead_items(&ast.items) }
    }
    m.unmet_needs();
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

/// A file that takes part.
struct Part {
    file: FileId,
    ast: ast::Ast,
    /// The `when`s around the `extends` that names it, if no `extends` names it outside of any.
    conditions: Vec<ast::Expr>,
}

/// The paths of every `extends`, each with the conditions of the `when`s around it.
fn extended<'a>(
    items: &'a [ast::Item],
    around: &[ast::Expr],
    out: &mut Vec<(&'a ast::Path, Vec<ast::Expr>)>,
) {
    for item in items {
        match &item.kind {
            ItemKind::Extends(paths) => out.extend(paths.iter().map(|p| (p, around.to_vec()))),
            ItemKind::When(w) => {
                extended(&w.body, &[around, std::slice::from_ref(&w.condition)].concat(), out)
            }
            _ => {}
        }
    }
}

/// Parses a file after those that it extends; each file once. False if one was not found.
fn collect(
    sources: &mut Sources,
    file: FileId,
    library: &dyn Library,
    diags: &mut Diagnostics,
    files: &mut Vec<Part>,
    open: &mut Vec<FileId>,
    around: &[ast::Expr],
) -> bool {
    let mut complete = true;
    let text = sources.text(file).to_owned();
    let (ast, found) = parse(file, &text);
    diags.extend(found);
    open.push(file);
    let mut bases = vec![];
    extended(&ast.items, around, &mut bases);
    for (path, conditions) in bases {
        let name = path.dotted();
        let Some((full, text)) = library.find(&name) else {
            let what = format!("no model called `{name}` beside this file or in the library");
            let d = Diagnostic::new(Code::E0201, what).at(path.span, "");
            diags.push(d.help("`svic list` shows the library; a file of your own stands beside this one"));
            complete = false;
            continue;
        };
        let base = sources.find(&full).unwrap_or_else(|| sources.add(full, text));
        if open.contains(&base) {
            diags.push(
                Diagnostic::new(Code::E0208, format!("`{name}` extends itself"))
                    .at(path.span, "leads back here"),
            );
        } else if let Some(known) = files.iter_mut().find(|p| p.file == base) {
            if conditions.is_empty() {
                known.conditions.clear();
            }
        } else {
            complete &= collect(sources, base, library, diags, files, open, &conditions);
        }
    }
    open.pop();
    files.push(Part { file, ast, conditions: around.to_vec() });
    complete
}

pub(super) struct Merger<'a> {
    pub(super) program: Program,
    /// Where each name was declared. One name space for everything a model expression can name.
    pub(super) declared: BTreeMap<(Space, String), Declared>,
    /// Fields of every file, wherever they stand.
    pub(super) field_names: BTreeMap<String, Span>,
    /// Fields that the `when present(…)` around what is at hand make sure of.
    pub(super) guarding: Vec<String>,
    /// What fragments need, and the item that says so.
    needs: Vec<(ast::Need, Span)>,
    /// Weights of the plates around the statement at hand.
    pub(super) plate_weights: Vec<ast::Expr>,
    pub(super) file: FileId,
    pub(super) diags: &'a mut Diagnostics,
}

/// Names that cannot clash with each other across these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Space {
    Value,
    Guide,
    Likelihood,
    Output,
    Load,
    Adversary,
}

/// What a name was declared as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Option,
    Axis,
    Field,
    Constant,
    Statistic,
    Parameter,
    Net,
    Function,
    Latent,
    Definition,
    Likelihood,
    Treatment,
    Output,
    Load,
    Adversary,
}

impl Kind {
    /// With its article, for messages.
    fn words(self) -> &'static str {
        match self {
            Kind::Option => "an option",
            Kind::Axis => "an axis",
            Kind::Field => "a field",
            Kind::Constant => "a constant",
            Kind::Statistic => "a statistic",
            Kind::Parameter => "a parameter",
            Kind::Net => "a net",
            Kind::Function => "a function",
            Kind::Latent => "a latent",
            Kind::Definition => "a definition",
            Kind::Likelihood => "a likelihood",
            Kind::Treatment => "a treatment",
            Kind::Output => "an output",
            Kind::Load => "a trained model",
            Kind::Adversary => "an adversary",
        }
    }
}

/// Where and as what a name was declared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    file: FileId,
    span: Span,
    kind: Kind,
}

impl Merger<'_> {
    /// Whether the declaration is new or a permitted replacement; otherwise reports and returns false.
    pub(super) fn declare(&mut self, space: Space, name: &Name, is_override: bool, kind: Kind) -> bool {
        let key = (space, name.text.clone());
        let error = match self.declared.get(&key) {
            // What a fragment needs is declared elsewhere.
            None if is_override && self.program.broken.contains(&name.text) => None,
            None if is_override => Some(self.override_of_nothing(space, name)),
            None => self.builtin_clash(name, kind),
            Some(old) if old.file == self.file || matches!(old.kind, Kind::Option | Kind::Axis) => {
                Some(twice(name, kind, old))
            }
            Some(old) if !is_override => {
                let d =
                    Diagnostic::new(Code::E0204, format!("`{}` is inherited and defined again", name.text));
                let d =
                    d.at(name.span, "").also(old.span, format!("inherited from here: {}", old.kind.words()));
                Some(if old.kind == kind && !matches!(kind, Kind::Field | Kind::Statistic | Kind::Function) {
                    let (word, edit) = match kind {
                        Kind::Parameter => ("param ", false),
                        Kind::Net => ("net ", false),
                        Kind::Likelihood => ("observe ", false),
                        _ => ("", true),
                    };
                    let d = d.help(format!("to replace it, write `override {word}{}`", name.text));
                    if edit { d.suggest_before(name.span, "override ") } else { d }
                } else {
                    d.help("choose another name")
                })
            }
            Some(old) if old.kind != kind => {
                let d = Diagnostic::new(
                    Code::E0408,
                    format!("`{}` is {} and cannot become {}", name.text, old.kind.words(), kind.words()),
                );
                Some(d.at(name.span, "").also(old.span, "inherited from here").help("choose another name"))
            }
            _ => None,
        };
        match error {
            Some(d) => {
                self.diags.push(d);
                self.declared.entry(key).or_insert(Declared { file: self.file, span: name.span, kind });
                false
            }
            None => {
                self.declared.insert(key, Declared { file: self.file, span: name.span, kind });
                true
            }
        }
    }

    fn override_of_nothing(&self, space: Space, name: &Name) -> Diagnostic {
        let known: Vec<&str> = self.declared.keys().filter(|k| k.0 == space).map(|k| k.1.as_str()).collect();
        let d =
            Diagnostic::new(Code::E0205, format!("`override` of `{}`, which is not inherited", name.text));
        d.at(name.span, "nothing to replace").did_you_mean(&name.text, known)
    }

    /// Nets and functions cannot take the names that the language itself calls.
    fn builtin_clash(&self, name: &Name, kind: Kind) -> Option<Diagnostic> {
        if !matches!(kind, Kind::Net | Kind::Function) || !crate::types::is_builtin(&name.text) {
            return None;
        }
        let d = Diagnostic::new(Code::E0202, format!("`{}` is a word of the language", name.text));
        Some(d.at(name.span, "").help("choose another name"))
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
                if self.declare(Space::Value, &stat.name, false, Kind::Statistic) {
                    self.guard(stat.name.span);
                    self.program.stats.push(stat.clone());
                }
            }
            ItemKind::Param(p) => {
                if self.declare(Space::Value, &p.name, p.is_override, Kind::Parameter) {
                    let old = replace(&mut self.program.params, p.clone(), |q| q.name.text == p.name.text);
                    let old = old.map(|p| (p.name.text.clone(), Replaced::Param(p)));
                    self.program.replaced.extend(old);
                }
            }
            ItemKind::Net(n) => {
                if self.declare(Space::Value, &n.name, n.is_override, Kind::Net) {
                    let old = replace(&mut self.program.nets, n.clone(), |q| q.name.text == n.name.text);
                    let old = old.map(|n| (n.name.text.clone(), Replaced::Net(n)));
                    self.program.replaced.extend(old);
                }
            }
            ItemKind::Fn(f) => {
                if self.declare(Space::Value, &f.name, false, Kind::Function) {
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
                    let outer = self.guarding.len();
                    made_sure(&w.condition, &mut self.guarding);
                    self.items(&w.body);
                    self.guarding.truncate(outer);
                } else {
                    self.dead_items(&w.body);
                }
            }
            ItemKind::Needs(needs) => {
                for need in needs {
                    // Until all files are merged, uses of the name are not reported.
                    self.program.broken.push(need.name.text.clone());
                    self.needs.push((need.clone(), item.span));
                }
            }
            ItemKind::Load(load) => {
                if self.declare(Space::Load, &load.name, false, Kind::Load) {
                    self.program.loads.push(load.clone());
                }
            }
            ItemKind::Const(c) => self.constant(c, item.span),
            ItemKind::Adversary(a) => {
                if self.declare(Space::Adversary, &a.name, false, Kind::Adversary) {
                    self.guard(a.name.span);
                    self.program.adversaries.push(a.clone());
                }
            }
        }
    }

    /// A constant is a field that is never optional.
    fn constant(&mut self, c: &ast::Const, span: Span) {
        if self.declare(Space::Value, &c.name, false, Kind::Constant) {
            let ty = ast::Type { axes: c.axes.clone(), ..c.ty.clone() };
            let (name, from) = (c.name.clone(), Some(c.from.clone()));
            self.program.constants.push(c.name.text.clone());
            self.program.fields.push(ast::Field { name, ty, from, missing: None, optional: false, span });
        }
    }

    /// Remembers for a statement what the `when` around it make sure of.
    pub(super) fn guard(&mut self, statement: Span) {
        if !self.guarding.is_empty() {
            self.program.guards.insert(statement, self.guarding.clone());
        }
    }

    /// E0207: what the fragments need and nothing declares, one message for each `needs`.
    fn unmet_needs(&mut self) {
        let needs = std::mem::take(&mut self.needs);
        let mut items: Vec<Span> = needs.iter().map(|n| n.1).collect();
        items.dedup();
        for item in items {
            let mut unmet = vec![];
            let mut d = Diagnostic::new(Code::E0207, "this fragment lacks what it needs");
            for (need, _) in needs.iter().filter(|n| n.1 == item) {
                match self.lacks(need) {
                    None => self.program.broken.retain(|b| *b != need.name.text),
                    Some(why) => {
                        d = if unmet.is_empty() { d.at(need.span, why) } else { d.also(need.span, why) };
                        unmet.push(need);
                    }
                }
            }
            if unmet.is_empty() {
                continue;
            }
            let names: Vec<String> =
                unmet.iter().map(|n| format!("{} {}", n.sort.word(), n.name.text)).collect();
            let d = d.note(format!("missing: {}", names.join(", ")));
            self.diags
                .push(d.help("extend a model that has them before this fragment: `extends scvi, fragment`"));
            // Whatever else is missing would be reported once more at each use.
            self.program.incomplete = true;
        }
    }

    /// Why a need is not met, if it is not.
    fn lacks(&self, need: &ast::Need) -> Option<String> {
        let name = &need.name.text;
        let declared = self.declared.get(&(Space::Value, name.clone())).map(|d| d.kind);
        let (met, axes) = match need.sort {
            ast::NeedSort::Axis => {
                let category = self.program.fields.iter().any(|f| f.is_category() && f.name.text == *name);
                (category || self.program.dims.iter().any(|d| d.name.text == *name), None)
            }
            ast::NeedSort::Field => {
                let field = self.program.fields.iter().find(|f| f.name.text == *name);
                (field.is_some(), field.map(|f| &f.ty.axes))
            }
            ast::NeedSort::Network => (declared == Some(Kind::Net), None),
            ast::NeedSort::Site => {
                let site = self.program.model.iter().find_map(|s| match &s.stmt {
                    super::ModelDef::Site(site) if site.name.text == *name => Some(site),
                    _ => None,
                });
                (site.is_some(), site.map(|s| &s.axes))
            }
        };
        let word = need.sort.word();
        if !met {
            return Some(match declared {
                Some(kind) => format!("`{name}` is {}, not a {word}", kind.words()),
                None => format!("no {word} `{name}`"),
            });
        }
        let listed = |axes: &[Name]| axes.iter().map(|a| a.text.as_str()).collect::<Vec<_>>().join(", ");
        let found = axes.filter(|found| {
            let differ = |a: &[Name], b: &[Name]| a.iter().any(|x| !b.iter().any(|y| y.text == x.text));
            !need.axes.is_empty() && (differ(&need.axes, found) || differ(found, &need.axes))
        })?;
        Some(format!("`{name}` has [{}]", listed(found)))
    }

    fn field(&mut self, field: &ast::Field) {
        if self.declare(Space::Value, &field.name, false, Kind::Field) {
            self.program.fields.push(field.clone());
        }
    }

    /// An inherited output is simply replaced: the grammar has no `override` for outputs.
    fn output(&mut self, output: &ast::Output) {
        let inherited = self
            .declared
            .get(&(Space::Output, output.name.text.clone()))
            .is_some_and(|d| d.file != self.file);
        if self.declare(Space::Output, &output.name, inherited, Kind::Output) {
            self.guard(output.span);
            replace(&mut self.program.outputs, output.clone(), |o| o.name.text == output.name.text);
        }
    }

    /// The truth of a static condition; reports one that is not static.
    pub(super) fn decide(&mut self, condition: &ast::Expr) -> bool {
        match StaticEnv(&self.program).eval(condition) {
            Some(Static::Bool(b)) => b,
            Some(_) => {
                let d = Diagnostic::new(Code::E0411, "`when` needs a truth value");
                self.diags.push(d.at(condition.span, "a number or a word"));
                false
            }
            None => {
                let d = Diagnostic::new(Code::E0411, "`when` is decided before any data are read");
                let d = d.at(condition.span, "not an option, nor whether a field is there");
                self.diags.push(d.help(
                    "compare options, `when likelihood == zinb { … }`, or ask for a field, `when present(y) { … }`; what each element decides is `where`",
                ));
                false
            }
        }
    }

    /// Names and expressions of items that are switched off.
    fn dead_items(&mut self, items: &[ast::Item]) {
        for item in items {
            match &item.kind {
                ItemKind::Data(fields) => {
                    self.program.dead.extend(fields.iter().map(|f| f.name.text.clone()))
                }
                ItemKind::Const(c) => self.program.dead.push(c.name.text.clone()),
                ItemKind::Dim(dims) => self.program.dead.extend(dims.iter().map(|d| d.name.text.clone())),
                ItemKind::Option(o) => self.program.dead.extend(o.iter().map(|o| o.name.text.clone())),
                ItemKind::Adversary(a) => [&a.predict, &a.from].into_iter().for_each(|e| self.sleep(e)),
                ItemKind::Stat(s) => {
                    self.program.dead.push(s.name.text.clone());
                    self.sleep(&s.value);
                }
                ItemKind::Param(p) => self.program.dead.push(p.name.text.clone()),
                ItemKind::Net(n) => self.dead_net(n),
                ItemKind::Fn(f) => {
                    self.program.dead.push(f.name.text.clone());
                    let value = f.value.clone();
                    self.program.asleep.push(Asleep { locals: names_of(&f.formals), value });
                }
                ItemKind::Model(stmts) => self.model(stmts, &[], false),
                ItemKind::Guide(stmts) => self.guide(stmts, &[], false),
                ItemKind::Objective(stmts) => self.objective(stmts, false),
                ItemKind::Output(outputs) => outputs.iter().for_each(|o| self.sleep(&o.value)),
                ItemKind::When(w) => self.dead_items(&w.body),
                _ => {}
            }
        }
    }

    fn dead_net(&mut self, n: &ast::Net) {
        self.program.dead.push(n.name.text.clone());
        let mut locals = names_of(&n.formals);
        locals.extend(n.body.iter().map(|d| d.name.text.clone()));
        for value in n.body.iter().map(|d| &d.value).chain([&n.returns]) {
            self.program.asleep.push(Asleep { locals: locals.clone(), value: value.clone() });
        }
    }

    /// Keeps an expression that is switched off, so that its names are looked up.
    pub(super) fn sleep(&mut self, value: &ast::Expr) {
        self.program.asleep.push(Asleep { locals: vec![], value: value.clone() });
    }
}

/// Inputs and the name of the conditions.
fn names_of(formals: &ast::Formals) -> Vec<String> {
    formals.inputs.iter().map(|f| &f.name).chain(&formals.conditions).map(|n| n.text.clone()).collect()
}

/// E0202, or E0512 in a guide.
fn twice(name: &Name, kind: Kind, old: &Declared) -> Diagnostic {
    if kind == old.kind {
        let (code, what) = match kind {
            Kind::Treatment => (Code::E0512, "is treated twice"),
            Kind::Likelihood => (Code::E0202, "is observed twice"),
            _ => (Code::E0202, "is defined twice"),
        };
        let d = Diagnostic::new(code, format!("`{}` {what}", name.text));
        return d.at(name.span, "again here").also(old.span, "first here");
    }
    let what = format!("`{}` is {} and {}", name.text, old.kind.words(), kind.words());
    let d = Diagnostic::new(Code::E0202, what);
    d.at(name.span, "again here").also(old.span, "first here").help("give one of them another name")
}

/// Puts `new` in the place of what it replaces, which is given back, or at the end.
pub(super) fn replace<T>(list: &mut Vec<T>, new: T, same: impl Fn(&T) -> bool) -> Option<T> {
    match list.iter().position(same) {
        Some(i) => Some(std::mem::replace(&mut list[i], new)),
        None => {
            list.push(new);
            None
        }
    }
}
