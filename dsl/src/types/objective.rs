//! Statistics, weights and outputs.

use super::{Block, Checker, Scope, Space, Value};
use crate::compiled::{AxisSource, OutputInfo};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{ExprId, ExprKind, OutputDecl, SiteNo, StatDecl, TermKind, WeightDecl};
use crate::resolve::{InPlates, ModelDef, not_compiled};
use crate::source::Span;
use crate::syntax::ast::{self, Name, ObjectiveStmtKind, TermSort};

impl Checker<'_> {
    /// The value of a statistic, read at `n`.
    pub(super) fn stat(&mut self, stat: &ast::Stat, n: &Name) -> Value {
        if let Value::Error = self.lazily(Space::Stat, n, |c| {
            c.guarded(stat.name.span, |c| c.stat_decl(stat)).unwrap_or(Value::Error)
        }) {
            return Value::Error;
        }
        let Some(&no) = self.stats.get(&stat.name.text) else { return Value::Error };
        let t = self.model.stats[no].ty.clone();
        Value::Expr(self.push(ExprKind::Stat(no), t, n.span))
    }

    fn stat_decl(&mut self, stat: &ast::Stat) -> Option<Value> {
        let mut scope = Scope::new(Block::Stat, vec![]);
        let axes = self.all_axes(&stat.axes, &scope)?;
        let plates = self.program_plates();
        if let Some((name, a)) = stat.axes.iter().zip(&axes).find(|(_, a)| plates.contains(a)) {
            let a = self.model.axis_name(*a).to_owned();
            let d = Diagnostic::new(
                Code::E0309,
                format!("a `stat` has no value for each `{a}`: it is computed once over all of them"),
            );
            let d = d.at(name.span, "leave this out");
            self.diags.push(d.help(format!(
                "reduce it, as in `mean(… over {a})`; a value for each {a} is defined in the model's plate"
            )));
            return None;
        }
        let value = self.eval_number(&stat.value, &mut scope)?;
        // A category axis on the left means: within each of its labels.
        let within = axes.iter().find_map(|a| match &self.model.axes[a.0 as usize].source {
            AxisSource::Category(field) if !self.ty(value).axes.contains(a) => {
                self.fields.get(field).copied()
            }
            _ => None,
        });
        let t = self.ty(value).clone();
        let own = within.and_then(|f| self.model.fields[f].ty.of);
        let expected: Vec<AxisNo> = axes.iter().copied().filter(|a| Some(*a) != own).collect();
        if t.axes.iter().copied().collect::<Vec<_>>() != {
            let mut e = expected.clone();
            e.sort_unstable();
            e
        } {
            let shown = self.show_axes(&t.axes);
            self.report(
                Code::E0303,
                format!("`{}` is declared with axes {}", stat.name.text, self.show_axes(&axes)),
                stat.value.span,
                format!("has {shown}"),
            );
            return None;
        }
        let ty = Ty::new(axes.iter().copied().collect(), super::numeric(t.support));
        self.stats.insert(stat.name.text.clone(), self.model.stats.len());
        self.model.stats.push(StatDecl { name: stat.name.text.clone(), value, within, ty });
        Some(Value::Expr(value))
    }

    pub(super) fn objective(&mut self, stmt: &ast::ObjectiveStmt) {
        match &stmt.kind {
            ObjectiveStmtKind::Weight { is_override, terms, by } => {
                let by_id = self.eval_number(by, &mut Scope::new(Block::Objective, vec![]));
                for term in terms {
                    self.weight(term, *is_override, by_id, by.span, stmt.span);
                }
            }
            ObjectiveStmtKind::Estimate { .. } => self.diags.push(not_compiled(stmt.span, "`estimate`")),
            ObjectiveStmtKind::Ignore(_) => self.diags.push(not_compiled(stmt.span, "`ignore`")),
            ObjectiveStmtKind::Minimize(_) => self.diags.push(not_compiled(stmt.span, "`minimize`")),
            ObjectiveStmtKind::Maximize(_) => self.diags.push(not_compiled(stmt.span, "`maximize`")),
            ObjectiveStmtKind::Draw(d) => {
                self.poisoned.insert(d.name.text.clone());
                self.diags.push(not_compiled(stmt.span, "`draw`"))
            }
            ObjectiveStmtKind::Define(d) => {
                self.poisoned.insert(d.name.text.clone());
                self.diags.push(not_compiled(stmt.span, "a definition in `objective`"))
            }
            ObjectiveStmtKind::When(_) | ObjectiveStmtKind::Error => {}
        }
    }

    fn weight(&mut self, term: &ast::Term, is_override: bool, by: Option<ExprId>, by_span: Span, span: Span) {
        let known = self.terms();
        let name = format!("{}({})", term.sort.word(), term.site.text);
        if !known.contains(&name) {
            if !self.is_silent(&term.site.text) {
                self.no_term(term, &name, &known);
            }
            return;
        }
        // A site whose own statement was reported is not in the model.
        let Some(site) = self.model.find_site(&term.site.text).filter(|s| self.gives_term(*s, term.sort))
        else {
            return;
        };
        let kind = if term.sort == TermSort::Lik { TermKind::Lik } else { TermKind::Kl };
        let old = self.model.weights.iter().position(|w| w.kind == kind && w.site == site);
        let name = self.term_name(site);
        match old {
            Some(i) if !is_override => {
                let d = Diagnostic::new(Code::E0204, format!("`{name}` has a weight already"));
                let d = d.at(term.span, "").also(self.model.weights[i].span, "given here");
                self.diags.push(d.help("to replace it, write `override weight …`"));
            }
            None if is_override => {
                let d = Diagnostic::new(
                    Code::E0205,
                    format!("`override` of the weight of `{name}`, which has none"),
                );
                self.diags.push(d.at(term.span, "nothing to replace"));
            }
            _ => {}
        }
        let Some(by) = by else { return };
        if !self.ty(by).axes.is_empty() {
            let t = self.ty(by).clone();
            self.report(Code::E0306, "a weight is a single number", by_span, self.show_ty(&t));
            return;
        }
        let mut fixed = true;
        self.model.walk([by], |id| {
            fixed &= matches!(
                self.model.expr(id).kind,
                ExprKind::Const(_) | ExprKind::Ramp { .. } | ExprKind::Elem(..)
            );
        });
        if !fixed {
            let d = not_compiled(by_span, "a weight that data or parameters decide");
            self.diags.push(d.help("weigh by a number, an option or `ramp(from, to, epochs = n)`"));
            return;
        }
        if matches!(self.model.expr(by).kind, ExprKind::Const(0.0)) {
            let d = Diagnostic::new(Code::E0609, format!("the weight of `{name}` is always zero"))
                .at(by_span, "");
            self.diags.push(d.help("a term with weight 0 takes no part; leave its site out of the model"));
            return;
        }
        let new = WeightDecl { kind, site, by, span };
        match old {
            Some(i) => self.model.weights[i] = new,
            None => self.model.weights.push(new),
        }
    }

    /// The terms that the statements of the model give, sound or not.
    fn terms(&self) -> Vec<String> {
        let name = |s: &InPlates<ModelDef>| match &s.stmt {
            ModelDef::Site(site) => Some(format!("kl({})", site.name.text)),
            ModelDef::Observe(o) => super::stmt::observed_name(&o.target).map(|n| format!("lik({})", n.text)),
            ModelDef::Define(_) => None,
        };
        self.program.model.iter().filter_map(name).collect()
    }

    fn no_term(&mut self, term: &ast::Term, name: &str, known: &[String]) {
        let d = Diagnostic::new(Code::E0601, format!("the objective has no term `{name}`")).at(term.span, "");
        let same_site = |k: &&String| k.ends_with(&format!("({})", term.site.text));
        let d = match known.iter().find(same_site) {
            Some(other) => d.help(format!("write `{other}`")).suggest(term.span, other.as_str()),
            None => d.did_you_mean(name, known.iter().map(String::as_str)),
        };
        self.diags.push(d.note(format!("its terms are {}", known.join(", "))));
    }

    fn gives_term(&self, site: SiteNo, sort: TermSort) -> bool {
        match sort {
            TermSort::Lik => self.model.sites[site].observed.is_some(),
            TermSort::Kl => self.model.sites[site].observed.is_none(),
            TermSort::Prior => false,
        }
    }

    fn term_name(&self, site: SiteNo) -> String {
        let s = &self.model.sites[site];
        format!("{}({})", if s.observed.is_some() { "lik" } else { "kl" }, s.name)
    }

    pub(super) fn output(&mut self, o: &ast::Output) {
        let mut scope = Scope::new(Block::Output, self.program_plates());
        let Some(declared) = self.all_axes(&o.axes, &scope) else { return };
        let Some(value) = self.eval_number(&o.value, &mut scope) else { return };
        let extra = self.ty(value).local(&scope.plates).into_iter().find(|a| !declared.contains(a));
        if let Some(a) = extra.filter(|_| !o.axes.is_empty()) {
            let t = self.ty(value).clone();
            let a = self.model.axis_name(a).to_owned();
            let what = format!("output `{}` has an unexpected axis `{a}`", o.name.text);
            self.report(Code::E0306, what, o.value.span, self.show_ty(&t));
            return;
        }
        if let Some(a) = declared.iter().find(|a| !self.ty(value).axes.contains(a)) {
            let t = self.ty(value).clone();
            let a = self.model.axis_name(*a).to_owned();
            self.report(
                Code::E0303,
                format!("output `{}` needs axis `{a}`", o.name.text),
                o.value.span,
                self.show_ty(&t),
            );
            return;
        }
        let info = OutputInfo {
            name: o.name.text.clone(),
            destination: o.to.as_ref().map(ast::Path::dotted),
            span: o.span,
        };
        self.model.outputs.push(OutputDecl { info, value });
    }
}
