//! Statistics, weights and outputs.

use super::{Block, Checker, Scope, Space, Value, is_name};
use crate::compiled::{AxisSource, OutputInfo};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{
    EstimateDecl, ExprId, ExprKind, FreeDecl, OutputDecl, Reduction, SiteNo, StatDecl, TermKind, WeightDecl,
    Wish,
};
use crate::resolve::{GuideDef, InPlates, ModelDef};
use crate::source::Span;
use crate::syntax::ast::{self, Name, ObjectiveStmtKind, Strategy, TermSort, Treatment};
use autodiff_runtime::{Elem, ReduceKind};
use distributions::Support;

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
        scope.wanted = if let [only] = axes[..] { Some(only) } else { None };
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
                let by_id = self.eval_number(by, &mut self.objective_scope());
                for term in terms {
                    self.weight(term, *is_override, by_id, by.span, stmt.span);
                }
            }
            ObjectiveStmtKind::Estimate { term, by } => self.estimate(term, by, stmt.span),
            ObjectiveStmtKind::Ignore(name) => self.ignore(name),
            ObjectiveStmtKind::Minimize(e) => self.free(false, e, stmt.span),
            ObjectiveStmtKind::Maximize(e) => self.free(true, e, stmt.span),
            ObjectiveStmtKind::Draw(ast::Draw { name, .. })
            | ObjectiveStmtKind::Define(ast::Define { name, .. }) => {
                self.objective_name(name, &self.objective_scope());
            }
            ObjectiveStmtKind::When(_) | ObjectiveStmtKind::Error => {}
        }
    }

    fn weight(&mut self, term: &ast::Term, is_override: bool, by: Option<ExprId>, by_span: Span, span: Span) {
        let Some((site, kind)) = self.term(term) else { return };
        let old = self.model.weights.iter().position(|w| w.kind == kind && w.site == site);
        let name = format!("{}({})", kind.word(), term.site.text);
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

    /// The terms that the statements of the model and guide give, sound or not.
    fn terms(&self) -> Vec<String> {
        let strategy = |name: &str| {
            self.program.guide.iter().find_map(|s| match &s.stmt {
                GuideDef::Treat(t) if t.name.text == name => match &t.how {
                    Treatment::Strategy { strategy, .. } => Some(*strategy),
                    Treatment::Dist(_) => None,
                },
                _ => None,
            })
        };
        let name = |s: &InPlates<ModelDef>| match &s.stmt {
            ModelDef::Site(site) => match strategy(&site.name.text) {
                Some(Strategy::Marginal | Strategy::Prior) => None,
                Some(Strategy::Point) => Some(format!("prior({})", site.name.text)),
                _ => Some(format!("kl({})", site.name.text)),
            },
            ModelDef::Observe(o) => {
                crate::resolve::observed_name(&o.target).and_then(|n| match self.is_partly(&n.text) {
                    true if strategy(&n.text) == Some(Strategy::Marginal) => None,
                    true => Some(format!("kl({})", n.text)),
                    false => Some(format!("lik({})", n.text)),
                })
            }
            ModelDef::Define(_) | ModelDef::Draw(_) => None,
        };
        self.program.model.iter().filter_map(name).collect()
    }

    /// Everything is open in the objective: a value of a plate has the plate's axis.
    fn objective_scope(&self) -> Scope {
        Scope::new(Block::Objective, self.program_plates())
    }

    pub(super) fn objective_has(&self, name: &str) -> bool {
        self.objective_stmt(name).is_some()
    }

    fn objective_stmt(&self, name: &str) -> Option<&'_ ast::ObjectiveStmt> {
        self.program.objective.iter().find(|s| match &s.kind {
            ObjectiveStmtKind::Define(ast::Define { name: n, .. })
            | ObjectiveStmtKind::Draw(ast::Draw { name: n, .. }) => n.text == name,
            _ => false,
        })
    }

    /// The value of a definition or draw of the objective.
    pub(super) fn objective_name(&mut self, n: &Name, _: &Scope) -> Value {
        let Some(stmt) = self.objective_stmt(&n.text).cloned() else { return Value::Error };
        self.lazily(Space::Objective, n, |c| match &stmt.kind {
            ObjectiveStmtKind::Define(d) => c.define_free(d),
            ObjectiveStmtKind::Draw(d) => c.draw(d, &c.objective_scope(), stmt.span),
            _ => Value::Error,
        })
    }

    /// A definition of the objective, where axes of plates are axes like others.
    fn define_free(&mut self, d: &ast::Define) -> Value {
        let mut scope = self.objective_scope();
        let Some(declared) = self.all_axes(&d.axes, &scope) else { return Value::Error };
        let value = self.eval(&d.value, &mut scope);
        let (Value::Expr(id), false) = (&value, declared.is_empty()) else { return value };
        let axes: crate::model::AxisSet = declared.into_iter().collect();
        if self.ty(*id).axes == axes {
            return value;
        }
        let (declared, shown) = (self.show_axes(&axes), self.show_ty(&self.ty(*id).clone()));
        let what = format!("`{}` is declared with axes {declared}", d.name.text);
        self.report(Code::E0303, what, d.value.span, shown)
    }

    /// `minimize e` and `maximize e`.
    fn free(&mut self, maximised: bool, e: &ast::Expr, span: Span) {
        let Some(value) = self.eval_number(e, &mut self.objective_scope()) else { return };
        let t = self.ty(value).clone();
        if let Some(a) = t.axes.iter().next() {
            let a = self.model.axis_name(*a).to_owned();
            let what = "a free term of the objective is a single number";
            let d = Diagnostic::new(Code::E0602, what).at(e.span, self.show_ty(&t));
            self.diags.push(d.help(format!("reduce it: `sum(… over {a})` or `mean(… over {a})`")));
            return;
        }
        let text = crate::syntax::print::print_expr(e).split_whitespace().collect::<Vec<_>>().join(" ");
        self.model.free.push(FreeDecl { maximised, value, text, span });
        self.minibatch_statistics(value);
    }

    /// W0608: a value over the minibatch that does not enter linearly, so that its mean over minibatches is another.
    fn minibatch_statistics(&mut self, value: ExprId) {
        let Some(plate) = self.model.plate else { return };
        if self.program.settings.iter().any(|s| s.key.text == "full_batch") {
            return;
        }
        let reduces = |m: &crate::model::Model, id: ExprId| matches!(&m.expr(id).kind, ExprKind::Reduce { over, .. } if over.contains(&plate));
        let batchwise = |m: &crate::model::Model, id: ExprId| {
            let mut found = false;
            m.walk([id], |x| found |= reduces(m, x));
            found
        };
        // What is reached from the top by sums, differences and multiples of fixed values.
        let mut linear = vec![value];
        let mut fine = vec![];
        while let Some(id) = linear.pop() {
            match &self.model.expr(id).kind {
                ExprKind::Elem(Elem::Add | Elem::Sub | Elem::Neg, args) => linear.extend(args),
                ExprKind::Elem(Elem::Mul, args) => {
                    let moving: Vec<ExprId> =
                        args.iter().copied().filter(|a| batchwise(&self.model, *a)).collect();
                    linear.extend(if moving.len() == 1 { moving } else { vec![] });
                }
                ExprKind::Elem(Elem::Div, args) if !batchwise(&self.model, args[1]) => linear.push(args[0]),
                // A mean of those present: over how many is written in the same place.
                ExprKind::Elem(Elem::Div, args)
                    if self.model.expr(args[1]).span == self.model.expr(id).span =>
                {
                    self.model.walk([args[1]], |x| fine.extend(reduces(&self.model, x).then_some(x)));
                    linear.push(args[0]);
                }
                ExprKind::Reduce {
                    kind: Reduction::Mean | Reduction::Plain(ReduceKind::Sum),
                    arg,
                    over,
                    ..
                } => {
                    if over.contains(&plate) {
                        fine.push(id);
                    }
                    linear.push(*arg);
                }
                ExprKind::Average(x) | ExprKind::Stop(x) | ExprKind::OfLabelled(x) => linear.push(*x),
                _ => {}
            }
        }
        let mut spans = vec![];
        self.model.walk([value], |id| {
            if reduces(&self.model, id) && !fine.contains(&id) {
                spans.push(self.model.expr(id).span);
            }
        });
        spans.sort_unstable_by_key(|s| (s.file, s.start));
        spans.dedup();
        for span in spans {
            let d = Diagnostic::new(Code::W0608, "a statistic of the minibatch enters the objective");
            let d = d.at(span, "over those that share a minibatch");
            if self.diags.iter().all(|o| o.code != Code::W0608 || o.span() != Some(span)) {
                self.diags
                    .push(d.help("it depends on the batch size; `train { full_batch = true }` sees all"));
            }
        }
    }

    /// `ignore name`.
    fn ignore(&mut self, name: &Name) {
        let site = self.model.find_site(&name.text).filter(|s| self.model.sites[*s].observed.is_some());
        match site {
            Some(s) => self.model.sites[s].ignored = true,
            None if self.is_silent(&name.text) => {}
            None => {
                let sites = self.model.sites.iter().filter(|s| s.observed.is_some());
                let known: Vec<String> = sites.map(|s| s.name.clone()).collect();
                let d = Diagnostic::new(
                    Code::E0601,
                    format!("no observed site called `{}` to ignore", name.text),
                );
                self.diags
                    .push(d.at(name.span, "").did_you_mean(&name.text, known.iter().map(String::as_str)));
            }
        }
    }

    /// `estimate term by mc(n)` or `by analytic`.
    fn estimate(&mut self, term: &ast::Term, by: &ast::Expr, span: Span) {
        let Some((site, kind)) = self.term(term) else { return };
        let wish = match &by.kind {
            ast::ExprKind::Name(n) if n.text == "analytic" => Some(Wish::Analytic),
            ast::ExprKind::Call(call) if is_name(&call.callee).is_some_and(|n| n.text == "mc") => {
                let n = match &call.args[..] {
                    [arg] if arg.name.is_none() => self.static_number(&arg.value),
                    _ => None,
                };
                match n {
                    Some(n) if (1.0..=10_000.0).contains(&n) && n.fract() == 0.0 => {
                        Some(Wish::Draws(n as usize))
                    }
                    _ => {
                        self.report(
                            Code::E0401,
                            "`mc` takes a whole number of draws from 1 to 10000",
                            by.span,
                            "",
                        );
                        return;
                    }
                }
            }
            _ => None,
        };
        let Some(by_wish) = wish else {
            let what = "a term is estimated by `analytic` or `mc(n)`";
            self.report(Code::E0201, what, by.span, "neither");
            return;
        };
        if self.model.estimates.iter().any(|e| e.kind == kind && e.site == site) {
            self.report(Code::E0202, "this term has an estimator already", term.span, "again here");
            return;
        }
        self.model.estimates.push(EstimateDecl { kind, site, by: by_wish, span });
    }

    /// The site and kind of a term; E0601 for one that the objective has not.
    fn term(&mut self, term: &ast::Term) -> Option<(SiteNo, TermKind)> {
        let known = self.terms();
        let name = format!("{}({})", term.sort.word(), term.site.text);
        if !known.contains(&name) {
            if !self.is_silent(&term.site.text) {
                self.no_term(term, &name, &known);
            }
            return None;
        }
        let kind = match term.sort {
            TermSort::Lik => TermKind::Lik,
            TermSort::Kl => TermKind::Kl,
            TermSort::Prior => TermKind::Prior,
        };
        // A site whose own statement was reported is not in the model.
        Some((self.model.find_site(&term.site.text)?, kind))
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

    pub(super) fn output(&mut self, o: &ast::Output) {
        let mut scope = Scope::new(Block::Output, self.program_plates());
        let Some(declared) = self.all_axes(&o.axes, &scope) else { return };
        let Some(value) = self.eval_expr(&o.value, &mut scope) else { return };
        // A category that is computed is written as labels; one that is data is there already.
        let computed = !matches!(self.model.expr(value).kind, ExprKind::Field(_));
        let label = self.ty(value).support == Support::Category && computed;
        if !label && self.number(value, o.value.span).is_none() {
            return;
        }
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
