//! Statements: sites, likelihoods, guides, objective, statistics, outputs.

use super::dist::{observable, plural};
use super::{Block, Checker, Scope, Space, Value, is_name};
use crate::compiled::AxisSource;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{DistExpr, ExprKind, Site, SiteNo, Treat};
use crate::resolve::{GuideDef, InPlates, ModelDef, observed_name};
use crate::source::Span;
use crate::syntax::ast::{self, Name, Treatment};
use distributions::Support;

impl Checker<'_> {
    /// Everything but axes, fields and training settings.
    pub(super) fn statements(&mut self) {
        self.replaced_nets();
        for stat in &self.program.stats {
            self.stat(stat, &stat.name);
        }
        for s in &self.program.model {
            let Some(plates) = self.plates_of(s) else { continue };
            let scope = Scope::new(Block::Model, plates);
            match &s.stmt {
                ModelDef::Observe(o) => match is_name(&o.target).filter(|n| self.is_partly(&n.text)) {
                    Some(n) => drop(self.guarded(s.span, |c| c.partly_observed(n, &scope))),
                    None => drop(self.guarded(s.span, |c| c.observe(s, o))),
                },
                def => drop(defined(def).map(|name| self.model_name(name, &scope))),
            }
        }
        for s in &self.program.guide {
            match &s.stmt {
                GuideDef::Treat(t) => self.guarded(s.span, |c| c.treat(s, t)),
                GuideDef::Draw(d) => {
                    let Some(plates) = self.guide_plates_of(s) else { continue };
                    self.guide_name(&d.name, &Scope::new(Block::Guide, plates));
                }
                GuideDef::Define(d) => {
                    let Some(plates) = self.guide_plates_of(s) else { continue };
                    self.guide_name(&d.name, &Scope::new(Block::Guide, plates));
                }
            }
        }
        // Those that nothing reads are looked at too.
        for p in
            self.program.params.iter().filter(|p| !self.params.contains_key(&p.name.text)).collect::<Vec<_>>()
        {
            if !self.poisoned.contains(&p.name.text) {
                self.param_decl(p);
            }
        }
        for stmt in &self.program.objective {
            self.guarded(stmt.span, |c| c.objective(stmt));
        }
        for output in &self.program.outputs {
            self.guarded(output.span, |c| c.output(output));
        }
        for a in &self.program.adversaries {
            self.guarded(a.name.span, |c| c.adversary(a));
        }
        self.separate_players();
        self.uncalled_nets();
        self.asleep();
    }

    /// The plate that is minibatched: the only one over an axis of the data. Of several, the first with a likelihood;
    /// the others go whole into every step.
    pub(super) fn plate(&mut self) {
        let named: Vec<&Name> = self.program.model.iter().flat_map(|s| &s.plates).collect();
        let observed = self.program.model.iter().filter(|s| matches!(s.stmt, ModelDef::Observe(_)));
        let mut first = observed.flat_map(|s| &s.plates).chain(named.iter().copied());
        let data = |n: &Name| {
            self.plate_axis(n).filter(|a| self.model.axes[a.0 as usize].source == AxisSource::Data)
        };
        self.model.plate = first.find_map(data);
    }

    /// The axis of a plate; for a misspelt one, the axis that was meant.
    fn plate_axis(&self, name: &Name) -> Option<AxisNo> {
        self.model.find_axis(&name.text).or_else(|| self.stand_in(name))
    }

    /// Axes of all plates of the model.
    pub(super) fn program_plates(&self) -> Vec<AxisNo> {
        let mut out: Vec<AxisNo> = vec![];
        for name in self.program.model.iter().flat_map(|s| &s.plates) {
            out.extend(self.plate_axis(name).filter(|a| !out.contains(a)));
        }
        out
    }

    /// The plates around a statement; none if one of them is unknown.
    pub(super) fn plates_of<S>(&mut self, s: &InPlates<S>) -> Option<Vec<AxisNo>> {
        self.all_axes(&s.plates, &Scope::new(Block::Model, vec![]))
    }

    /// The value of a model statement, afresh.
    pub(super) fn model_stmt(&mut self, s: &InPlates<ModelDef>, plates: Vec<AxisNo>) -> Value {
        self.guarded(s.span, |c| match &s.stmt {
            ModelDef::Site(site) => c.site(site, plates, s.span),
            ModelDef::Define(d) => c.define(d, Block::Model, plates),
            ModelDef::Draw(d) => c.draw(d, &Scope::new(Block::Model, plates), s.span),
            ModelDef::Observe(_) => Value::Error,
        })
    }

    /// A plate of the guide must be one of the model.
    fn guide_plates_of<S>(&mut self, s: &InPlates<S>) -> Option<Vec<AxisNo>> {
        let plates = self.plates_of(s)?;
        let known: Vec<AxisNo> =
            self.program.model.iter().flat_map(|s| &s.plates).filter_map(|n| self.plate_axis(n)).collect();
        for (p, name) in plates.iter().zip(&s.plates) {
            if !known.contains(p) {
                // A part of the model that did not parse may have opened it.
                if self.program.broken_model {
                    return None;
                }
                self.report(
                    Code::E0312,
                    format!("the model has no plate `{}`", name.text),
                    name.span,
                    "opened only in the guide",
                );
                return None;
            }
        }
        Some(plates)
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
        self.program.guide.iter().any(|s| defined_in_guide(&s.stmt).is_some_and(|n| n.text == name))
    }

    /// The value of a site or definition of the model, read from `scope`.
    pub(super) fn model_name(&mut self, n: &Name, scope: &Scope) -> Value {
        let Some(s) = self.program.model.iter().find(|s| defined(&s.stmt).is_some_and(|d| d.text == n.text))
        else {
            return Value::Error;
        };
        let Some(plates) = self.plates_of(s) else { return Value::Error };
        if let Some(p) = plates.iter().find(|p| !scope.plates.contains(p)) {
            return self.outside_plate(n, *p);
        }
        let value = match &s.stmt {
            ModelDef::Observe(_) => Value::Error,
            _ => self.lazily(Space::Model, n, |c| {
                let value = c.model_stmt(s, plates);
                c.keeps_promise(s, value)
            }),
        };
        if let (Value::Expr(id), ModelDef::Define(_)) = (&value, &s.stmt) {
            self.model.definitions.insert(n.text.clone(), *id);
        }
        value
    }

    /// The value of a guide's own definition.
    pub(super) fn guide_name(&mut self, n: &Name, scope: &Scope) -> Value {
        let found =
            self.program.guide.iter().find(|s| defined_in_guide(&s.stmt).is_some_and(|d| d.text == n.text));
        let Some(s) = found else { return Value::Error };
        let Some(plates) = self.guide_plates_of(s) else { return Value::Error };
        if let Some(p) = plates.iter().find(|p| !scope.plates.contains(p)) {
            return self.outside_plate(n, *p);
        }
        self.lazily(Space::Guide, n, |c| {
            c.guarded(s.span, |c| match &s.stmt {
                GuideDef::Define(d) => c.define(d, Block::Guide, plates),
                GuideDef::Draw(d) => c.draw(d, &Scope::new(Block::Guide, plates), s.span),
                GuideDef::Treat(_) => Value::Error,
            })
        })
    }

    /// The value of a latent site by name, if there is one.
    pub(super) fn latent(&mut self, n: &Name, scope: &Scope) -> Option<Value> {
        let is_site = |s: &InPlates<ModelDef>| matches!(&s.stmt, ModelDef::Site(x) if x.name.text == n.text);
        self.program.model.iter().any(is_site).then(|| self.model_name(n, scope))
    }

    pub(super) fn define(&mut self, d: &ast::Define, block: Block, plates: Vec<AxisNo>) -> Value {
        let mut scope = Scope::new(block, plates);
        let declared = self.all_axes(&d.axes, &scope);
        scope.wanted = declared.as_deref().and_then(|d| if let [only] = d { Some(*only) } else { None });
        let value = self.eval(&d.value, &mut scope);
        let Some(declared) = declared else { return Value::Error };
        if let Some(name) = d.axes.iter().zip(&declared).find(|(_, a)| scope.plates.contains(a)).map(|x| x.0)
        {
            self.plate_in_brackets(name);
            return value;
        }
        if let (Value::Expr(id), false) = (&value, declared.is_empty()) {
            let t = self.ty(*id).clone();
            let missing = declared.iter().find(|a| !t.axes.contains(a));
            let extra = t.local(&scope.plates).into_iter().find(|a| !declared.contains(a));
            let shown = self.show_ty(&t);
            if let Some(a) = missing {
                let a = self.model.axis_name(*a).to_owned();
                return self.report(
                    Code::E0303,
                    format!("`{}` is declared with axis `{a}`", d.name.text),
                    d.value.span,
                    shown,
                );
            }
            if let Some(axis) = extra {
                let a = self.model.axis_name(axis).to_owned();
                let found = self.model.expr(self.where_axis_enters(*id, axis));
                let what = format!("`{}` has an unexpected axis `{a}`", d.name.text);
                let label = format!("has {}", self.show_axes(&found.ty.axes));
                let diag = Diagnostic::new(Code::E0306, what).at(found.span, label);
                self.diags
                    .push(diag.help(format!("reduce `{a}`, or declare it: `{}[…, {a}] = …`", d.name.text)));
                return Value::Error;
            }
        }
        value
    }

    pub(super) fn own_axes(&mut self, names: &[Name], plates: &[AxisNo]) -> Option<Vec<AxisNo>> {
        let axes = self.all_axes(names, &Scope::new(Block::Model, plates.to_vec()));
        for name in names {
            if self.model.find_axis(&name.text).is_some_and(|a| plates.contains(&a)) {
                self.plate_in_brackets(name);
            }
        }
        Some(axes?.into_iter().filter(|a| !plates.contains(a)).collect())
    }

    /// E0309.
    fn plate_in_brackets(&mut self, name: &Name) {
        let what = format!("`{}` is the plate; brackets list only further axes", name.text);
        self.diags.push(Diagnostic::new(Code::E0309, what).at(name.span, "leave this out"));
    }

    pub(super) fn dist(&mut self, e: &ast::Expr, scope: &mut Scope) -> Option<DistExpr> {
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
        let axes = self.own_axes(&site.axes, &plates);
        let prior = self.dist(&site.dist, &mut Scope::new(Block::Model, plates.clone()));
        let (Some(axes), Some(mut prior)) = (axes, prior) else { return Value::Error };
        if !self.fit_to_site(&mut prior, &site.name.text, &axes, &plates, site.name.span) {
            return Value::Error;
        }
        let cond = self.site_cond(site.cond.as_ref(), Block::Model, &plates, &axes);
        let weight = self.plate_weight(span, &plates);
        let mut ty = site_ty(&prior, &plates, &axes);
        self.widen(&mut ty, cond.as_ref());
        let no = self.model.sites.len();
        let name = site.name.text.clone();
        self.model.sites.push(Site {
            name,
            plates,
            axes,
            prior,
            observed: None,
            part: None,
            guide: None,
            cond,
            guide_cond: None,
            weight,
            treat: None,
            ignored: false,
            span,
            guide_span: None,
        });
        Value::Expr(self.push(ExprKind::Site(no), ty, site.name.span))
    }

    pub(super) fn observe(&mut self, s: &InPlates<ModelDef>, o: &ast::Observe) -> Option<SiteNo> {
        let target = observed_name(&o.target)?;
        let plates = self.plates_of(s)?;
        let Some(&field) = self.fields.get(&target.text) else {
            self.nothing_to_observe(target);
            return None;
        };
        let whole = is_name(&o.target).is_some();
        let mut scope = Scope::new(Block::Model, plates.clone());
        let compares = matches!(o.target.kind, ast::ExprKind::Binary { .. });
        self.known_here.extend(compares.then(|| target.text.clone()));
        let seen = if whole { self.field(target, field, &scope) } else { self.eval(&o.target, &mut scope) };
        self.known_here.clear();
        let Value::Expr(seen) = seen else { return None };
        let mut dist = self.dist(&o.dist, &mut scope)?;
        let axes: Vec<AxisNo> = self.ty(seen).local(&plates);
        if !self.fit_to_site(&mut dist, &target.text, &axes, &plates, target.span) {
            return None;
        }
        let words = (self.ty(seen).support, dist.family.support());
        let (fits, doubtful) = observable(words.0, words.1);
        let family = dist.family.name();
        if !fits {
            let d = Diagnostic::new(Code::E0402, format!("`{}` cannot come from `{family}`", target.text));
            let d = d
                .at(target.span, format!("holds {}", plural(words.0)))
                .also(dist.span, format!("gives {}", plural(words.1)))
                .also(self.model.fields[field].slot.span, "declared here");
            self.diags.push(match words {
                (Support::Real | Support::Nonneg | Support::Positive, Support::Count) => d.help(
                    "if the data are counts, declare the field `count` and bind raw counts; else use a continuous family such as `Normal`",
                ),
                _ => d.help("choose a family for such values, or another field"),
            });
        } else if doubtful {
            let d =
                Diagnostic::new(Code::W0402, format!("counts are given to `{family}`, a continuous family"));
            let d = d.at(target.span, format!("holds {}", plural(words.0)));
            let d = d.also(dist.span, format!("gives {}", plural(words.1)));
            self.diags.push(d.help("raw counts want `NB`, `ZINB` or `Poisson`"));
        }
        let cond = self.likelihood_cond(o.cond.as_ref(), &plates, &axes);
        let weight = self.plate_weight(s.span, &plates);
        let site = Site {
            name: target.text.clone(),
            plates,
            axes,
            prior: dist,
            observed: Some(field),
            part: (!whole).then_some(seen),
            guide: None,
            cond,
            guide_cond: None,
            weight,
            treat: None,
            ignored: false,
            span: s.span,
            guide_span: None,
        };
        self.model.sites.push(site);
        Some(self.model.sites.len() - 1)
    }

    /// `observe` of what is no field.
    fn nothing_to_observe(&mut self, target: &Name) {
        let treats =
            |s: &InPlates<GuideDef>| matches!(&s.stmt, GuideDef::Treat(t) if t.name.text == target.text);
        let d = if self.is_silent(&target.text) {
            return;
        } else if self.model_has(&target.text) || self.program.guide.iter().any(treats) {
            let d =
                Diagnostic::new(Code::E0203, format!("`{}` is not data and cannot be observed", target.text));
            self.poisoned.insert(target.text.clone());
            let defined =
                |s: &InPlates<ModelDef>| matches!(&s.stmt, ModelDef::Define(d) if d.name.text == target.text);
            if self.program.model.iter().any(defined) {
                d.at(target.span, "a definition").help("fields of `data` are observed: `observe x ~ …`")
            } else {
                d.at(target.span, "no field of this name")
                    .help(format!("a latent is drawn without `observe`: `{} ~ …`", target.text))
            }
        } else {
            self.poisoned.insert(target.text.clone());
            let d = Diagnostic::new(Code::E0201, format!("no field called `{}` to observe", target.text))
                .at(target.span, "");
            d.did_you_mean(&target.text, self.fields.keys().map(String::as_str))
        };
        self.diags.push(d);
    }

    /// The support of a site that takes another value where it does not exist.
    fn widen(&self, ty: &mut Ty, cond: Option<&crate::model::Cond>) {
        if let Some(v) = cond.and_then(|c| c.otherwise) {
            let other = match self.model.expr(v).kind {
                ExprKind::Const(0.0) => Support::Nonneg,
                _ => super::numeric(self.ty(v).support),
            };
            if !matches!(ty.support, Support::Simplex | Support::Category) {
                ty.support = crate::model::ty::join(ty.support, other);
            }
        }
    }

    fn treat(&mut self, s: &InPlates<GuideDef>, t: &ast::Treat) {
        // The site counts as treated, whatever is wrong with its treatment.
        if let Some(no) = self.model.find_site(&t.name.text) {
            self.model.sites[no].guide_span = Some(s.span);
        }
        let Some(plates) = self.guide_plates_of(s) else { return };
        let Some(no) = self.model.find_site(&t.name.text) else {
            self.guide_of_nothing(t);
            if let Treatment::Dist(dist) = &t.how {
                // Mistakes in the distribution itself show too.
                self.dist(dist, &mut Scope::new(Block::Guide, plates));
            }
            return;
        };
        let partly = self.is_partly(&t.name.text);
        if self.model.sites[no].observed.is_some() && !partly {
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
            return;
        }
        self.model.sites[no].guide_cond =
            self.site_cond(t.cond.as_ref(), Block::Guide, &plates, &self.model.sites[no].axes.clone());
        match &t.how {
            Treatment::Dist(dist) => {
                if let Some(guide) = self.guide_dist(no, dist, t.name.span) {
                    self.model.sites[no].guide = Some(guide);
                    self.model.sites[no].treat = Some(Treat::Explicit);
                }
            }
            Treatment::Strategy { strategy, args, span } => {
                self.model.sites[no].treat = self.strategy(no, *strategy, args, *span, partly);
            }
        }
    }

    /// The distribution that a guide gives to a site.
    pub(super) fn guide_dist(&mut self, no: SiteNo, dist: &ast::Expr, at: Span) -> Option<DistExpr> {
        let site = &self.model.sites[no];
        let (name, plates, axes) = (site.name.clone(), site.plates.clone(), site.axes.clone());
        let mut guide = self.dist(dist, &mut Scope::new(Block::Guide, plates.clone()))?;
        self.fit_to_site(&mut guide, &name, &axes, &plates, at).then_some(guide)
    }

    fn guide_of_nothing(&mut self, t: &ast::Treat) {
        // A site whose own statement was reported already is not reported again here.
        let is_site =
            |s: &InPlates<ModelDef>| matches!(&s.stmt, ModelDef::Site(x) if x.name.text == t.name.text);
        let observed = |s: &InPlates<ModelDef>| matches!(&s.stmt, ModelDef::Observe(o) if observed_name(&o.target).is_some_and(|n| n.text == t.name.text));
        if self.program.model.iter().any(|s| is_site(s) || observed(s)) || self.is_silent(&t.name.text) {
            return;
        }
        let what = format!("the model draws no latent called `{}`", t.name.text);
        let d = Diagnostic::new(Code::E0502, what);
        if let Some(s) =
            self.program.model.iter().find(|s| defined(&s.stmt).is_some_and(|n| n.text == t.name.text))
        {
            // `z = sample(…)` has been reported as what it is.
            let reported = |d: &Diagnostic| {
                d.code != Code::E0502
                    && d.span().is_some_and(|at| {
                        at.file == s.span.file && s.span.start <= at.start && at.end <= s.span.end
                    })
            };
            if self.diags.iter().any(reported) {
                return;
            }
            let d = d.at(t.name.span, "").also(s.span, "a definition, not a latent");
            self.diags.push(d.help("a definition follows from latents and needs no guide"));
            return;
        }
        let known: Vec<String> = self
            .program
            .model
            .iter()
            .filter(|s| matches!(s.stmt, ModelDef::Site(_)))
            .filter_map(|s| defined(&s.stmt))
            .map(|n| n.text.clone())
            .collect();
        let near = crate::diagnostic::nearest(&t.name.text, known.iter().map(String::as_str));
        let d = d.at(t.name.span, "").did_you_mean(&t.name.text, known.iter().map(String::as_str));
        self.diags.push(if near.is_empty() && !known.is_empty() {
            d.help(format!("its latents are {}", known.join(", ")))
        } else {
            d
        });
    }
}

/// The type of a site's value.
pub(super) fn site_ty(d: &DistExpr, plates: &[AxisNo], axes: &[AxisNo]) -> Ty {
    let support = d.family.support();
    let of = matches!(support, Support::Simplex | Support::Category).then_some(d.event).flatten();
    Ty { of, ..Ty::new(plates.iter().chain(axes).copied().collect(), support) }
}

/// The name that a model statement gives a value to.
pub(super) fn defined(def: &ModelDef) -> Option<&Name> {
    match def {
        ModelDef::Site(s) => Some(&s.name),
        ModelDef::Define(d) => Some(&d.name),
        ModelDef::Draw(d) => Some(&d.name),
        ModelDef::Observe(_) => None,
    }
}

/// The guide's own name that a statement gives a value to.
pub(super) fn defined_in_guide(def: &GuideDef) -> Option<&Name> {
    match def {
        GuideDef::Define(d) => Some(&d.name),
        GuideDef::Draw(d) => Some(&d.name),
        GuideDef::Treat(_) => None,
    }
}
