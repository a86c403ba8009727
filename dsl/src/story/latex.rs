//! The generative story, the guide and the bound as LaTeX.

use super::tex::{Tex, operator, text, word};
use crate::compiled::{AxisInfo, AxisSource};
use crate::model::{AxisNo, Model, TermKind, Ty};
use crate::objective::{Objective, Term};
use crate::resolve::{GuideDef, InPlates, ModelDef, Program};
use crate::syntax::ast::{Cond, Name, ObjectiveStmtKind, Treatment};
use std::collections::BTreeMap;

/// `align*` blocks to be put into a paper that loads `amsmath`. Options are settled, so a `match` is its chosen arm;
/// nets and functions stand under their names.
pub(crate) fn latex(m: &Model, o: &Objective, program: &Program) -> String {
    let all: Vec<&str> = counted(m).map(|a| a.name.as_str()).collect();
    let writer = Writer { m, o, program, tex: Tex::new(program, axes_of_names(m, program), &all) };
    let mut out = String::new();
    for line in m.title.lines() {
        out.push_str(&format!("% {line}\n"));
    }
    writer.indices(&mut out);
    align(&mut out, "Generative story", &writer.model());
    align(&mut out, "Guide", &writer.guide());
    align(&mut out, "Objective, to be maximised", &writer.objective());
    out
}

/// The axes that formulas count along: not the columns inside a guide.
fn counted(m: &Model) -> impl Iterator<Item = &AxisInfo> {
    m.axes.iter().filter(|a| !matches!(a.source, AxisSource::Rank(_)))
}

/// A commented block, one line each; nothing for no lines.
fn align(out: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        out.push_str(&format!(
            "\n% {title}\n\\begin{{align*}}\n  {}\n\\end{{align*}}\n",
            lines.join(" \\\\\n  ")
        ));
    }
}

/// The axes of every named value, in the model's order.
fn axes_of_names(m: &Model, program: &Program) -> BTreeMap<String, Vec<String>> {
    let mut axes = BTreeMap::new();
    // A record has no type of its own: its plates are its indices.
    for s in &program.model {
        if let ModelDef::Define(d) = &s.stmt {
            let names = s.plates.iter().chain(&d.axes).map(|a| a.text.clone());
            axes.insert(d.name.text.clone(), names.collect::<Vec<_>>());
        }
    }
    let mut note = |name: &str, ty: &Ty| {
        let names = ty.axes.iter().map(|a| m.axis_name(*a).to_owned()).collect();
        axes.insert(name.to_owned(), names);
    };
    m.definitions.iter().for_each(|(name, id)| note(name, &m.expr(*id).ty));
    m.params.iter().for_each(|p| note(&p.name, &p.ty));
    m.stats.iter().for_each(|s| note(&s.name, &s.ty));
    m.fields.iter().for_each(|f| note(&f.slot.name, &f.ty));
    for site in &m.sites {
        let of_site = site.plates.iter().chain(&site.axes).copied().collect();
        note(&site.name, &Ty::new(of_site, site.prior.family.support()));
    }
    axes
}

struct Writer<'a> {
    m: &'a Model,
    o: &'a Objective,
    program: &'a Program,
    tex: Tex<'a>,
}

impl Writer<'_> {
    /// Which letter counts what.
    fn indices(&self, out: &mut String) {
        out.push_str("\n% Indices\n");
        for axis in counted(self.m) {
            let size = match &axis.source {
                AxisSource::Knob(n) | AxisSource::Rank(n) => n.to_string(),
                AxisSource::Formula(f) => f.to_string(),
                AxisSource::Labels(labels) => labels.len().to_string(),
                AxisSource::Category(field) => format!("labels of {field}"),
                _ if self.m.plate.is_some_and(|p| self.m.axis_name(p) == axis.name) => "N".to_owned(),
                _ => "from the data".to_owned(),
            };
            out.push_str(&format!("%   {}: {} ({size})\n", self.tex.letter(&axis.name), axis.name));
        }
    }

    fn model(&self) -> Vec<String> {
        self.program.model.iter().map(|s| self.model_line(s)).collect()
    }

    fn model_line(&self, s: &InPlates<ModelDef>) -> String {
        let each = self.for_each(&s.plates);
        match &s.stmt {
            ModelDef::Site(site) => {
                let (name, dist) = (self.tex.value(&site.name.text), self.tex.expr(&site.dist));
                format!(r"{name} &\sim {dist}{}{each}", self.cond(&site.cond))
            }
            ModelDef::Observe(observe) => {
                let (target, dist) = (self.tex.expr(&observe.target), self.tex.expr(&observe.dist));
                format!(r"{target} &\sim {dist}{}{each}", self.cond(&observe.cond))
            }
            ModelDef::Draw(draw) => {
                format!(r"{} &\sim {}{each}", self.tex.value(&draw.name.text), self.tex.expr(&draw.dist))
            }
            ModelDef::Define(define) => {
                let name = self.tex.value(&define.name.text);
                format!("{name} &= {}", self.tex.expr(&define.value))
            }
        }
    }

    fn guide(&self) -> Vec<String> {
        let line = |s: &InPlates<GuideDef>| match &s.stmt {
            GuideDef::Treat(t) => {
                let how = match &t.how {
                    Treatment::Dist(dist) => self.tex.expr(dist),
                    Treatment::Strategy { strategy, args, .. } => self.tex.strategy(strategy.word(), args),
                };
                let name = self.tex.value(&t.name.text);
                format!(r"{name} &\sim_q {how}{}{}", self.cond(&t.cond), self.for_each(&s.plates))
            }
            GuideDef::Draw(d) => {
                let each = self.for_each(&s.plates);
                format!(r"{} &\sim {}{each}", self.tex.value(&d.name.text), self.tex.expr(&d.dist))
            }
            GuideDef::Define(d) => {
                format!("{} &= {}", self.tex.value(&d.name.text), self.tex.expr(&d.value))
            }
        };
        self.program.guide.iter().map(line).collect()
    }

    fn cond(&self, cond: &Option<Cond>) -> String {
        let Some(cond) = cond else { return String::new() };
        let condition = self.tex.expr(&cond.condition);
        let otherwise = cond
            .otherwise
            .as_ref()
            .map_or(String::new(), |e| format!(r"\text{{, else }} {}", self.tex.expr(e)));
        format!(r" \quad \text{{where }} {condition}{otherwise}")
    }

    fn for_each(&self, plates: &[Name]) -> String {
        if plates.is_empty() {
            return String::new();
        }
        let names: Vec<String> = plates.iter().map(|p| self.tex.letter(&p.text)).collect();
        format!(r" && \forall\, {}", names.join(", "))
    }

    fn objective(&self) -> Vec<String> {
        let per_row: Vec<String> = self.o.terms.iter().filter(|t| t.per_row).map(|t| self.term(t)).collect();
        let global: Vec<String> = self.o.terms.iter().filter(|t| !t.per_row).map(|t| self.other(t)).collect();
        let mut lines = vec![];
        if let Some(plate) = self.m.plate.filter(|_| !per_row.is_empty()) {
            let i = self.tex.letter(self.m.axis_name(plate));
            let (scale, one) = if self.m.train.reduce_total {
                (r"\frac{N}{B}", "")
            } else {
                (r"\frac{1}{B}", r"\frac{1}{N} ")
            };
            let begin = format!(r"\mathcal{{L}} &= {scale} \sum_{{{i} \in \mathcal{{B}}}} \Bigl[");
            lines.extend(per_row.iter().enumerate().map(|(n, t)| {
                let lead = if n == 0 {
                    format!("{begin} {}", t.trim_start_matches("+ "))
                } else {
                    format!(r"&\qquad {t}")
                };
                if n + 1 == per_row.len() { lead + r" \Bigr]" } else { lead }
            }));
            lines.extend(global.iter().map(|t| {
                let (sign, rest) = t.split_at(2);
                format!(r"&\quad {sign}{one}{rest}")
            }));
        } else {
            let first = |n: usize| if n == 0 { r"\mathcal{L} &= " } else { r"&\quad " };
            lines.extend(per_row.iter().chain(&global).enumerate().map(|(n, t)| format!("{}{t}", first(n))));
        }
        lines.extend(self.free(lines.is_empty()));
        lines.extend(self.weights());
        lines
    }

    /// `+ \mathbb{E}_q \log p(x_{c} \mid \cdot)`, weighted if it is.
    fn term(&self, t: &Term) -> String {
        let site = &self.m.sites[t.site];
        let name = self.tex.value(&site.name);
        let weight = t.weight.map_or(String::new(), |_| format!(r"w_{{{}}}\, ", escape_term(&t.name)));
        match t.kind {
            TermKind::Kl => {
                format!(r"- {weight}\mathrm{{KL}}\!\left(q({name}) \,\middle\|\, p({name} \mid \cdot)\right)")
            }
            _ => format!(r"+ {weight}\mathbb{{E}}_q \log p({name} \mid \cdot)"),
        }
    }

    /// A term without the minibatched plate: summed over the plates that it has, which may be taken in minibatches too.
    fn other(&self, t: &Term) -> String {
        let term = self.term(t);
        let (sign, rest) = term.split_at(2);
        let sum = |p: &AxisNo| {
            let (name, letter) = (self.m.axis_name(*p), self.tex.letter(self.m.axis_name(*p)));
            match self.m.train.pair.as_deref() == Some(name) {
                true => format!(r"\frac{{M}}{{B}} \sum_{{{letter} \in \mathcal{{B}}'}} "),
                false => format!(r"\sum_{{{letter}}} "),
            }
        };
        let plates = self.m.sites[t.site].plates.iter().filter(|p| self.m.plate.is_some_and(|m| m != **p));
        format!("{sign}{}{rest}", plates.map(sum).collect::<String>())
    }

    /// Free terms, as they are written.
    fn free(&self, begins: bool) -> Vec<String> {
        let mut lead = if begins { r"\mathcal{L} &= " } else { r"&\quad " };
        let mut lines = vec![];
        for stmt in &self.program.objective {
            let (sign, value) = match &stmt.kind {
                ObjectiveStmtKind::Maximize(value) => ("+", value),
                ObjectiveStmtKind::Minimize(value) => ("-", value),
                ObjectiveStmtKind::Define(d) => {
                    lines.push(format!("{} &= {}", word(&d.name.text), self.tex.expr(&d.value)));
                    continue;
                }
                _ => continue,
            };
            lines.push(format!(r"{lead}{sign} \left[{}\right]", self.tex.expr(value)));
            lead = r"&\quad ";
        }
        lines
    }

    /// What each weight is.
    fn weights(&self) -> Vec<String> {
        let mut lines = vec![];
        for stmt in &self.program.objective {
            let ObjectiveStmtKind::Weight { terms, by, .. } = &stmt.kind else { continue };
            for term in terms {
                let name = escape_term(&format!("{}({})", term.sort.word(), term.site.text));
                lines.push(format!("w_{{{name}}} &= {}", self.tex.expr(by)));
            }
        }
        lines
    }
}

/// `kl(z)` as a subscript.
fn escape_term(name: &str) -> String {
    match name.split_once('(') {
        Some((kind, rest)) => format!("{}({})", operator(kind), word(rest.trim_end_matches(')'))),
        None => text(name),
    }
}
