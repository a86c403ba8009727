//! What an editor asks about a text that is being written: diagnostics, what a name is and where it is declared, every
//! place of a name, what may stand at a place, and the axes that are inferred. Pure; the editor's protocol is elsewhere.

mod complete;
mod names;

pub use complete::{Completion, CompletionKind};

use crate::compile::{Compiled, Settings, compile};
use crate::compiled::Library;
use crate::diagnostic::Diagnostics;
use crate::source::{FileId, Sources, Span};
use crate::syntax::token::{Keyword, is_word};
use crate::syntax::{ast, parse};
use names::{Occurrence, Role, occurrences};

/// A text with everything that is known about it.
pub struct Analysis {
    sources: Sources,
    root: FileId,
    diagnostics: Diagnostics,
    compiled: Option<Compiled>,
    /// Names of the text itself, then of each text that it extends.
    names: Vec<Occurrence>,
}

/// What is to be said about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    /// The name that it is about.
    pub span: Span,
    /// Markdown.
    pub text: String,
}

/// A remark to be shown inside the text, after a byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Where it stands.
    pub byte: usize,
    /// The remark: `: positive[gene]`.
    pub text: String,
}

/// Analyses a text; what it extends is found by `library`.
pub fn analyse(name: &str, text: &str, library: &dyn Library) -> Analysis {
    let mut sources = Sources::new();
    let root = sources.add(name, text);
    let (compiled, diagnostics) = compile(&mut sources, root, &Settings::default(), library);
    let files: Vec<FileId> = sources.ids().collect();
    let names = files.into_iter().flat_map(|f| occurrences(&parse(f, sources.text(f)).0)).collect();
    Analysis { sources, root, diagnostics, compiled, names }
}

impl Analysis {
    /// The messages of the compiler.
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.diagnostics
    }

    /// The texts: the analysed one first.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Handle of the analysed text.
    pub fn root(&self) -> FileId {
        self.root
    }

    /// The name at a byte of the text; at its end counts too.
    fn at(&self, byte: usize) -> Option<&Occurrence> {
        let here = |s: Span| s.file == self.root && s.start as usize <= byte && byte <= s.end as usize;
        self.names.iter().find(|n| here(n.span))
    }

    /// The places of the same name as this one, in all texts.
    fn same<'a>(&'a self, name: &'a Occurrence) -> impl Iterator<Item = &'a Occurrence> {
        let same = |n: &&Occurrence| n.text == name.text && n.role == name.role && n.local == name.local;
        self.names.iter().filter(same)
    }

    /// Where the name at a byte is declared. On a declaration that replaces an inherited one: the inherited one. On a
    /// path after `extends`: the beginning of that text.
    pub fn definition(&self, byte: usize) -> Option<Span> {
        let Some(name) = self.at(byte) else { return self.extended(byte) };
        let mut declared: Vec<Span> = self.same(name).filter(|n| n.declares).map(|n| n.span).collect();
        declared.sort();
        match declared.iter().position(|d| *d == name.span) {
            Some(here) => declared.get(here + 1).or(declared.get(here)).copied(),
            None => declared.first().copied(),
        }
    }

    fn extended(&self, byte: usize) -> Option<Span> {
        let tree = parse(self.root, self.sources.text(self.root)).0;
        let paths = tree.items.iter().filter_map(|i| match &i.kind {
            ast::ItemKind::Extends(paths) => Some(paths),
            _ => None,
        });
        let path = paths.flatten().find(|p| p.span.range().contains(&byte))?;
        let stem = format!("{}.svi", path.dotted());
        let file = self.sources.ids().find(|f| self.sources.name(*f).ends_with(&stem))?;
        Some(Span::new(file, 0, 0))
    }

    /// Every place of the name at a byte, in the analysed text.
    pub fn references(&self, byte: usize) -> Vec<Span> {
        let Some(name) = self.at(byte) else { return vec![] };
        let here = self.same(name).map(|n| n.span).filter(|s| s.file == self.root);
        let mut spans: Vec<Span> = here.collect();
        spans.sort();
        spans.dedup();
        spans
    }

    /// The places to be replaced when the name at a byte is called `new` instead.
    ///
    /// # Errors
    /// Why it cannot be: there is no name, it belongs to another text or to the language, or `new` is no name or taken.
    pub fn rename(&self, byte: usize, new: &str) -> Result<Vec<Span>, String> {
        let Some(name) = self.at(byte) else { return Err("there is no name here".to_owned()) };
        if name.role == Role::Word {
            return Err(format!("`{}` is one of the words of an option", name.text));
        }
        if !is_word(new) || Keyword::ALL.iter().any(|k| k.text() == new) {
            return Err(format!("`{new}` is not a name"));
        }
        let declared: Vec<Span> = self.same(name).filter(|n| n.declares).map(|n| n.span).collect();
        if declared.is_empty() {
            return Err(format!("`{}` is not declared in this program", name.text));
        }
        if let Some(elsewhere) = declared.iter().find(|s| s.file != self.root) {
            return Err(format!("`{}` comes from {}", name.text, self.sources.name(elsewhere.file)));
        }
        let clash = |n: &&Occurrence| {
            n.declares && n.text == new && n.role == name.role && (n.local.is_none() || n.local == name.local)
        };
        // A global name must not be captured inside a net either.
        let captured = |n: &&Occurrence| {
            n.text == new && n.local.is_some() && name.local.is_none() && n.role == name.role
        };
        if self.names.iter().any(|n| clash(&n) || captured(&n)) {
            return Err(format!("`{new}` is declared already"));
        }
        Ok(self.references(byte))
    }

    /// What the name at a byte is: kind, axes, support; for a site its distributions and its term of the bound.
    pub fn hover(&self, byte: usize) -> Option<Hover> {
        let name = self.at(byte)?;
        let global = name.local.is_none() && name.role == Role::Value;
        let known =
            self.compiled.as_ref().filter(|_| global).map(|c| c.describe(&name.text)).unwrap_or_default();
        let declaration = self.same(name).find(|n| n.declares).map(|n| self.line_of(n.span));
        let family = distributions::find(&name.text).filter(|_| declaration.is_none()).map(family_page);
        let mut parts: Vec<String> = known;
        parts.extend(family);
        if let Some(line) = declaration {
            parts.push(format!("```svi\n{line}\n```"));
        }
        (!parts.is_empty()).then(|| Hover { span: name.span, text: parts.join("\n\n") })
    }

    /// The line of a place, without blanks around it.
    fn line_of(&self, span: Span) -> &str {
        let line = self.sources.line_index(span.file, span.start as usize);
        self.sources.text(span.file).get(self.sources.line_range(span.file, line)).unwrap_or("").trim()
    }

    /// What is inferred of each definition of the text: its support and axes.
    pub fn hints(&self) -> Vec<Hint> {
        let Some(compiled) = &self.compiled else { return vec![] };
        let tree = parse(self.root, self.sources.text(self.root)).0;
        let mut hints = vec![];
        for item in &tree.items {
            if let ast::ItemKind::Model(body) = &item.kind {
                definitions(body, &mut |name, axes| {
                    if let Some(ty) = compiled.type_of(&name.text).filter(|_| axes.is_empty()) {
                        hints.push(Hint { byte: name.span.end as usize, text: format!(": {ty}") });
                    }
                });
            }
        }
        hints
    }
}

fn definitions(body: &[ast::ModelStmt], note: &mut impl FnMut(&ast::Name, &[ast::Name])) {
    for stmt in body {
        match &stmt.kind {
            ast::ModelStmtKind::Plate(p) => definitions(&p.body, note),
            ast::ModelStmtKind::When(w) => definitions(&w.body, note),
            ast::ModelStmtKind::Define(d) => note(&d.name, &d.axes),
            _ => {}
        }
    }
}

/// Support and parameter sets of a family.
fn family_page(family: &'static dyn distributions::Family) -> String {
    let sets = family.parameter_sets().iter().map(|set| {
        let names = set.iter().map(|p| format!("{}: {}", p.name, p.support));
        format!("`{}({})`", family.name(), names.collect::<Vec<_>>().join(", "))
    });
    format!("gives {}\n\n{}", family.support(), sets.collect::<Vec<_>>().join("  \n"))
}
