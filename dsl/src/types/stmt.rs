//! Statements: sites, likelihoods, guides, objective, statistics, outputs.

use super::dist::observable;
use super::{Block, Checker, Scope, Value, is_name};
use crate::compiled::{AxisSource, OutputInfo};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{DistExpr, ExprId, ExprKind, OutputDecl, Site, SiteNo, StatDecl, TermKind, WeightDecl};
use crate::resolve::{GuideDef, InPlates, ModelDef, not_compiled};
use crate::source::Span;
use crate::syntax::ast::{self, Name, ObjectiveStmtKind, TermSort, Treatment};
use distributions::Support;

impl Checker<'_> {
    /// Everything but axes, fields and training settings.
    pub(super) fn statements(&mut self) {
        self.plate();
        for stat in &self.program.stats {
            self.stat(stat);
        }
        for s in &self.program.model {
            let scope = Scope::new(Block::Model, self.plates_of(s));
            match &s.stmt {
                ModelDef::Observe(o) => self.observe(s, o),
                def => drop(defined(def).map(|name| self.model_name(name, &scope))),
            }
        }
        for s in &self.program.guide {
            match &s.stmt {
                GuideDef::Treat(t) => self.treat(s, t),
                GuideDef::Define(d) => drop(self.guide_name(&d.name)),
            }
        }
        self.uncalled_nets();
        for stmt in &self.program.objective {
            self.objective(stmt);
        }
        for output in &self.program.outputs {
            self.output(output);
        }
    }

    /// The plate that is minibatched: the only one over an axis of the data.
    fn plate(&mut self) {
        let mut plates = self.program_plates();
        plates.retain(|p| self.model.axes[p.0 as usize].source == AxisSource::Data);
        if let [first, second, ..] = plates[..] {
            let span = self
                .program
                .model
                .iter()
                .flat_map(|s| &s.plates)
                .find(|p| p.text == self.model.axis_name(second))
                .map(|p| p.span);
            let what = format!(
                "a second plate over the data (`{}` beside `{}`)",
                self.model.axis_name(second),
                self.model.axis_name(first)
            );
            self.diags.push(not_compiled(span.unwrap_or_default(), &what));
        }
        self.model.plate = plates.first().copied();
    }

    /// Axes of all plates of the model.
    pub(super) fn program_plates(&self) -> Vec<AxisNo> {
        let mut out = vec![];
        for name in self.program.model.iter().flat_map(|s| &s.plates) {
            out.extend(self.model.find_axis(&name.text).filter(|a| !out.contains(a)));
        }
        out
    }

    fn plates_of<S>(&mut self, s: &InPlates<S>) -> Vec<AxisNo> {
        let scope = Scope::new(Block::Model, vec![]);
        s.plates.iter().filter_map(|p| self.resolve_axis(p, &scope)).collect()
    }

    /// A plate of the guide must be one of the model.
    fn guide_plates_of<S>(&mut self, s: &InPlates<S>) -> Vec<AxisNo> {
        let plates = self.plates_of(s);
        let known = self.program_plates();
        for (p, name) in plates.iter().zip(&s.plates) {
            if !known.contains(p) {
                self.report(
                    Code::E0312,
                    format!("the model has no plate `{}`", name.text),
                    name.span,
                    "opened only in the guide",
                );
            }
        }
        plates
    }

    pub(super) fn visible_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.program.model.iter().filter_map(|s| defined(&s.stmt)).map(|n| n.text.clone()).collect();
        names.extend(self.fields.keys().cloned());
        names.extend(self.program.params.iter().map(|p| p.name.text.clone()));
        names.extend(self.program.stats.iter().map(|p| p.name.text.clone()));
        names.extend(self.program.option_order.iter().cloned());
        names
    }

    pub(super) fn model_has(&self, name: &str) -> bool {
        self.program.model.iter().any(|s| defined(&s.stmt).is_some_and(|n| n.text == name))
    }

    pub(super) fn guide_has(&self, name: &str) -> bool {
        self.program.guide.iter().any(|s| matches!(&s.stmt, GuideDef::Define(d) if d.name.text == name))
    }

    /// The value of a site or definition of the model, read from `scope`.
    pub(super) fn model_name(&mut self, n: &Name, scope: &Scope) -> Value {
        let Some(s) = self.program.model.iter().find(|s| defined(&s.stmt).is_some_and(|d| d.text == n.text))
        else {
            return Value::Error;
        };
        let plates = self.plates_of(s);
        if let Some(p) = plates.iter().find(|p| !scope.plates.contains(p)) {
            let p = self.model.axis_name(*p).to_owned();
            let d = Diagnostic::new(Code::E0311, format!("`{}` is used outside its plate", n.text));
            self.diags.push(
                d.at(n.span, format!("has one value for each {p}"))
                    .help(format!("move this into `plate {p} {{ … }}`")),
            );
            return Value::Error;
        }
        let span = s.span;
        let value = match &s.stmt {
            ModelDef::Site(site) => self.lazily(false, n, |c| c.site(site, plates, span)),
            ModelDef::Define(d) => self.lazily(false, n, |c| c.define(d, Block::Model, plates)),
            ModelDef::Observe(_) => Value::Error,
        };
        if let (Value::Expr(id), ModelDef::Define(_)) = (&value, &s.stmt) {
            self.model.definitions.insert(n.text.clone(), *id);
        }
        value
    }

    /// The value of a guide's own definition.
    pub(super) fn guide_name(&mut self, n: &Name) -> Value {
        let found = self
            .program
            .guide
            .iter()
            .find(|s| matches!(&s.stmt, GuideDef::Define(d) if d.name.text == n.text));
        let Some(InPlates { stmt: GuideDef::Define(d), .. }) = found else { return Value::Error };
        let Some(s) = found else { return Value::Error };
        let plates = self.guide_plates_of(s);
        self.lazily(true, n, |c| c.define(d, Block::Guide, plates))
    }

    /// The value of a latent site by name, if there is one.
    pub(super) fn latent(&mut self, n: &Name, scope: &Scope) -> Option<Value> {
        let is_site = |s: &InPlates<ModelDef>| matches!(&s.stmt, ModelDef::Site(x) if x.name.text == n.text);
        self.program.model.iter().any(is_site).then(|| self.model_name(n, scope))
    }

    fn define(&mut self, d: &ast::Define, block: Block, plates: Vec<AxisNo>) -> Value {
        let mut scope = Scope::new(block, plates);
        let declared = self.resolve_axes(&d.axes, &scope);
        let value = self.eval(&d.value, &mut scope);
        if let (Value::Expr(id), false) = (&value, declared.is_empty()) {
            let t = self.ty(*id).clone();
            let missing = declared.iter().find(|a| !t.axes.contains(a));
            let extra = t.local(&scope.plates).into_iter().find(|a| !declared.contains(a));
            let shown = self.show_ty(&t);
            if let Some(a) = missing {
                let a = self.model.axis_name(*a).to_owned();
                self.report(
                    Code::E0303,
                    format!("`{}` is declared with axis `{a}`", d.name.text),
                    d.value.span,
                    shown,
                );
            } else if let Some(a) = extra {
                let a = self.model.axis_name(a).to_owned();
                self.report(
                    Code::E0306,
                    format!("`{}` has an unexpected axis `{a}`", d.name.text),
                    d.value.span,
                    shown,
                );
            }
        }
        value
    }

    fn own_axes(&mut self, names: &[Name], plates: &[AxisNo]) -> Vec<AxisNo> {
        let axes = self.resolve_axes(names, &Scope::new(Block::Model, plates.to_vec()));
        for name in names {
            if let Some(a) = self.model.find_axis(&name.text).filter(|a| plates.contains(a)) {
                let a = self.model.axis_name(a).to_owned();
                let d = Diagnostic::new(
                    Code::E0309,
                    format!("`{a}` is the plate; brackets list only further axes"),
                );
                self.diags.push(d.at(name.span, "leave this out").suggest(name.span, ""));
            }
        }
        axes.into_iter().filter(|a| !plates.contains(a)).collect()
    }

    fn dist(&mut self, e: &ast::Expr, scope: &mut Scope) -> Option<DistExpr> {
        match self.eval(e, scope) {
            Value::Dist(d) => Some(d),
            Value::Error => None,
            _ => {
                let d = Diagnostic::new(Code::E0104, "the right side of `~` is not a distribution")
                    .at(e.span, "this is a value");
                self.diags.push(d.help("write `=` to define a value"));
                None
            }
        }
    }

    fn site(&mut self, site: &ast::Site, plates: Vec<AxisNo>, span: Span) -> Value {
        if let Some(cond) = &site.cond {
            self.diags.push(not_compiled(cond.span, "`where` on a site"));
        }
        let axes = self.own_axes(&site.axes, &plates);
        let Some(mut prior) = self.dist(&site.dist, &mut Scope::new(Block::Model, plates.clone())) else {
            return Value::Error;
        };
        if !self.fit_to_site(&mut prior, &site.name.text, &axes, &plates, site.name.span) {
            return Value::Error;
        }
        let ty = site_ty(&prior, &plates, &axes);
        let no = self.model.sites.len();
        let name = site.name.text.clone();
        self.model.sites.push(Site {
            name,
            plates,
            axes,
            prior,
            observed: None,
            guide: None,
            span,
            guide_span: None,
        });
        Value::Expr(self.push(ExprKind::Site(no), ty, site.name.span))
    }

    fn observe(&mut self, s: &InPlates<ModelDef>, o: &ast::Observe) {
        if let Some(cond) = &o.cond {
            self.diags.push(not_compiled(cond.span, "`where` on a likelihood"));
        }
        let Some(target) = is_name(&o.target) else { return };
        let plates = self.plates_of(s);
        let Some(&field) = self.fields.get(&target.text) else {
            let d = if self.model_has(&target.text) {
                let d = Diagnostic::new(
                    Code::E0203,
                    format!("`{}` is not data and cannot be observed", target.text),
                );
                d.at(target.span, "a latent or a definition")
                    .help(format!("a latent is drawn: `{} ~ …`", target.text))
            } else if self.program.dead.contains(&target.text) {
                return;
            } else {
                let d = Diagnostic::new(Code::E0201, format!("no field called `{}` to observe", target.text))
                    .at(target.span, "");
                d.did_you_mean(&target.text, self.fields.keys().map(String::as_str))
            };
            self.diags.push(d);
            return;
        };
        let field_ty = self.model.fields[field].ty.clone();
        if let Value::Error = self.eval(&o.target, &mut Scope::new(Block::Model, plates.clone())) {
            return;
        }
        let mut scope = Scope::new(Block::Model, plates.clone());
        let Some(mut dist) = self.dist(&o.dist, &mut scope) else { return };
        let axes: Vec<AxisNo> = field_ty.local(&plates);
        if !self.fit_to_site(&mut dist, &target.text, &axes, &plates, target.span) {
            return;
        }
        let (fits, doubtful) = observable(field_ty.support, dist.family.support());
        let family = dist.family.name();
        let words = (field_ty.support, dist.family.support());
        if !fits {
            let d = Diagnostic::new(Code::E0402, format!("`{}` cannot come from `{family}`", target.text));
            self.diags.push(
                d.at(target.span, format!("values are {}", words.0))
                    .also(dist.span, format!("gives values that are {}", words.1)),
            );
        } else if doubtful {
            let d =
                Diagnostic::new(Code::W0402, format!("counts are given to `{family}`, a continuous family"));
            self.diags.push(d.at(target.span, "holds counts").also(dist.span, ""));
        }
        let site = Site {
            name: target.text.clone(),
            plates,
            axes,
            prior: dist,
            observed: Some(field),
            guide: None,
            span: s.span,
            guide_span: None,
        };
        self.model.sites.push(site);
    }

    fn treat(&mut self, s: &InPlates<GuideDef>, t: &ast::Treat) {
        let plates = self.guide_plates_of(s);
        if let Some(cond) = &t.cond {
            self.diags.push(not_compiled(cond.span, "`where` in the guide"));
        }
        let dist = match &t.how {
            Treatment::Dist(e) => e,
            Treatment::Strategy { strategy, span, .. } => {
                self.diags.push(not_compiled(*span, &format!("the guide's `{}`", strategy.word())));
                // The site counts as treated.
                if let Some(no) = self.model.find_site(&t.name.text) {
                    self.model.sites[no].guide_span = Some(s.span);
                }
                return;
            }
        };
        let Some(no) = self.model.find_site(&t.name.text) else {
            return self.guide_of_nothing(t);
        };
        self.model.sites[no].guide_span = Some(s.span);
        if self.model.sites[no].observed.is_some() {
            let d = Diagnostic::new(
                Code::E0510,
                format!("`{}` is observed and cannot be drawn in the guide", t.name.text),
            );
            self.diags.push(d.at(t.name.span, "").also(self.model.sites[no].span, "observed here"));
            return;
        }
        if self.model.sites[no].plates != plates {
            let d = Diagnostic::new(
                Code::E0312,
                format!("`{}` stands in other plates than in the model", t.name.text),
            );
            let shown = |c: &Self, p: &[AxisNo]| {
                if p.is_empty() {
                    "outside every plate".into()
                } else {
                    format!("in plate {}", c.show_axes(p))
                }
            };
            let (here, there) = (shown(self, &plates), shown(self, &self.model.sites[no].plates));
            self.diags.push(d.at(t.name.span, here).also(self.model.sites[no].span, there));
        }
        let plates = self.model.sites[no].plates.clone();
        let Some(mut guide) = self.dist(dist, &mut Scope::new(Block::Guide, plates.clone())) else { return };
        let axes = self.model.sites[no].axes.clone();
        if self.fit_to_site(&mut guide, &t.name.text, &axes, &plates, t.name.span) {
            self.model.sites[no].guide = Some(guide);
        }
    }

    fn guide_of_nothing(&mut self, t: &ast::Treat) {
        // A site whose own statement was reported already is not reported again here.
        if self.model_has(&t.name.text) || self.program.dead.contains(&t.name.text) {
            let is_site =
                |s: &InPlates<ModelDef>| matches!(&s.stmt, ModelDef::Site(x) if x.name.text == t.name.text);
            if self.program.model.iter().any(is_site) || self.program.dead.contains(&t.name.text) {
                return;
            }
        }
        let known: Vec<String> =
            self.model.sites.iter().filter(|s| s.observed.is_none()).map(|s| s.name.clone()).collect();
        let d = Diagnostic::new(Code::E0502, format!("the model draws no latent called `{}`", t.name.text));
        self.diags.push(d.at(t.name.span, "").did_you_mean(&t.name.text, known.iter().map(String::as_str)));
    }

    fn stat(&mut self, stat: &ast::Stat) {
        let mut scope = Scope::new(Block::Stat, vec![]);
        let axes = self.resolve_axes(&stat.axes, &scope);
        let Some(value) = self.eval_number(&stat.value, &mut scope) else {
            return;
        };
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
            return;
        }
        let ty = Ty::new(axes.iter().copied().collect(), super::numeric(t.support));
        self.stats.insert(stat.name.text.clone(), self.model.stats.len());
        self.model.stats.push(StatDecl { name: stat.name.text.clone(), value, within, ty });
    }

    /// Nets that nothing calls are still checked, on inputs of the declared axes.
    fn uncalled_nets(&mut self) {
        let mut used: Vec<String> = vec![];
        self.model.exprs.iter().for_each(|e| {
            if let ExprKind::Layer(
                crate::model::Layer::Linear { path, .. } | crate::model::Layer::Embed { path, .. },
            ) = &e.kind
            {
                used.extend(path.split('.').next().map(str::to_owned));
            }
        });
        for net in self.program.nets.iter().filter(|n| !used.contains(&n.name.text)) {
            let mut scope =
                Scope { in_net: true, path: Some(net.name.text.clone()), ..Scope::new(Block::Model, vec![]) };
            for formal in &net.formals.inputs {
                let axes = self.resolve_axes(&formal.axes, &scope);
                let t = Ty::new(axes.into_iter().collect(), Support::Real);
                let id = self.push(ExprKind::Const(0.0), t, formal.span);
                scope.locals.push((formal.name.text.clone(), Value::Expr(id)));
            }
            if let Some(c) = &net.formals.conditions {
                scope.locals.push((c.text.clone(), Value::Conditions(vec![])));
            }
            for d in &net.body {
                let v = self.with_path(&d.name.text, &d.value, &mut scope);
                scope.locals.push((d.name.text.clone(), v));
            }
            if !(net.formals.inputs.is_empty() && net.formals.conditions.is_some()) {
                self.eval(&net.returns, &mut scope);
            }
        }
    }

    fn objective(&mut self, stmt: &ast::ObjectiveStmt) {
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
            ObjectiveStmtKind::Draw(_) => self.diags.push(not_compiled(stmt.span, "`draw`")),
            ObjectiveStmtKind::Define(_) => {
                self.diags.push(not_compiled(stmt.span, "a definition in `objective`"))
            }
            ObjectiveStmtKind::When(_) | ObjectiveStmtKind::Error => {}
        }
    }

    fn weight(&mut self, term: &ast::Term, is_override: bool, by: Option<ExprId>, by_span: Span, span: Span) {
        let site = self.model.find_site(&term.site.text).filter(|s| self.gives_term(*s, term.sort));
        let Some(site) = site else {
            if self.program.dead.contains(&term.site.text) || self.diags.has_errors() {
                return;
            }
            let known: Vec<String> = (0..self.model.sites.len()).map(|s| self.term_name(s)).collect();
            let name = format!("{}({})", term.sort.word(), term.site.text);
            let d =
                Diagnostic::new(Code::E0601, format!("the objective has no term `{name}`")).at(term.span, "");
            self.diags.push(d.note(format!("its terms are {}", known.join(", "))));
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

    fn output(&mut self, o: &ast::Output) {
        let mut scope = Scope::new(Block::Output, self.program_plates());
        let declared = self.resolve_axes(&o.axes, &scope);
        let Some(value) = self.eval_expr(&o.value, &mut scope) else { return };
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

/// The type of a site's value.
fn site_ty(d: &DistExpr, plates: &[AxisNo], axes: &[AxisNo]) -> Ty {
    let support = d.family.support();
    let of = matches!(support, Support::Simplex | Support::Category).then_some(d.event).flatten();
    Ty { of, ..Ty::new(plates.iter().chain(axes).copied().collect(), support) }
}

/// The name that a model statement gives a value to.
fn defined(def: &ModelDef) -> Option<&Name> {
    match def {
        ModelDef::Site(s) => Some(&s.name),
        ModelDef::Define(d) => Some(&d.name),
        ModelDef::Observe(_) => None,
    }
}
