//! Named treatments of latents in the guide, sites that are partly data, and noise that nothing infers.

use super::stmt::site_ty;
use super::{Block, Checker, Scope, Space, Value, is_name};
use crate::compiled::{AxisInfo, AxisSource, Init};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{DistExpr, DrawDecl, ExprId, ExprKind, LowRank, ParamDecl, Site, SiteNo, Treat};
use crate::resolve::{GuideDef, ModelDef};
use crate::source::Span;
use crate::syntax::ast::{self, Arg, Name, Strategy};
use distributions::{Family, Support};

/// The standard deviation at which a guide of its own starts.
const FIRST_SCALE: f64 = 0.1;

/// Largest rank: its elimination is written out in the graph.
const MAX_RANK: usize = 128;

impl Checker<'_> {
    /// A named treatment of a site.
    pub(super) fn strategy(
        &mut self,
        no: SiteNo,
        strategy: Strategy,
        args: &[Arg],
        span: Span,
        partly: bool,
    ) -> Option<Treat> {
        if partly && strategy != Strategy::Marginal {
            let name = self.model.sites[no].name.clone();
            let d = Diagnostic::new(Code::E0510, format!("`{name}` is partly observed"));
            let d = d.at(span, "stands for the whole of it").also(self.model.sites[no].span, "observed here");
            self.diags
                .push(d.help(format!("draw it where it is missing, `{name} ~ …`, or sum it: `marginal`")));
            return None;
        }
        match strategy {
            Strategy::Point => self.point(no, args, span),
            Strategy::Marginal => self.no_args(strategy, args).then_some(Treat::Marginal),
            Strategy::Prior => self.no_args(strategy, args).then_some(Treat::Prior),
            Strategy::Auto => self.auto(no, args, span),
            Strategy::Score | Strategy::Relaxed => self.estimator(no, strategy, args, span),
        }
    }

    fn no_args(&mut self, strategy: Strategy, args: &[Arg]) -> bool {
        if let Some(arg) = args.first() {
            self.report(Code::E0405, format!("`{}` takes no arguments", strategy.word()), arg.span, "");
        }
        args.is_empty()
    }

    /// The argument of that name.
    fn named<'e>(
        &mut self,
        what: &str,
        args: &'e [Arg],
        known: &[&str],
    ) -> Option<Vec<(&'e str, &'e ast::Expr)>> {
        let mut out: Vec<(&str, &ast::Expr)> = vec![];
        for arg in args {
            match &arg.name {
                Some(n) if known.contains(&n.text.as_str()) && !out.iter().any(|o| o.0 == n.text) => {
                    out.push((&n.text, &arg.value));
                }
                Some(n) => {
                    let d =
                        Diagnostic::new(Code::E0405, format!("`{what}` has no argument called `{}`", n.text));
                    self.diags.push(d.at(n.span, "").did_you_mean(&n.text, known.iter().copied()));
                    return None;
                }
                None => {
                    let shown: Vec<String> = known.iter().map(|k| format!("{k} = …")).collect();
                    let what = format!("arguments of `{what}` are given by name");
                    self.report(Code::E0404, what, arg.span, format!("it takes {}", shown.join(", ")));
                    return None;
                }
            }
        }
        Some(out)
    }

    /// A parameter at its most probable value.
    fn point(&mut self, no: SiteNo, args: &[Arg], span: Span) -> Option<Treat> {
        let args = self.named("point", args, &["start"])?;
        let site = self.model.sites[no].clone();
        let ty = site_ty(&site.prior, &site.plates, &site.axes);
        let support = match ty.support {
            Support::Nonneg => Support::Positive,
            Support::Bool | Support::Count | Support::Category => {
                let d = Diagnostic::new(
                    Code::E0504,
                    format!("a point estimate of `{}` has no gradient", site.name),
                );
                let d =
                    d.at(span, "").also(site.prior.span, format!("{}: {}", site.prior.name(), ty.support));
                self.diags.push(d.help("sum over its values, `marginal`, or draw it"));
                return None;
            }
            other => other,
        };
        let init = match args.first() {
            Some((_, e)) => self.init(e, support)?,
            None => Init::Normal { mean: 0.0, sd: 1.0 },
        };
        let ty = Ty { support, ..ty };
        Some(Treat::Point(self.own_param(site.name.clone(), ty, init, span)))
    }

    /// A parameter that a treatment declares.
    fn own_param(&mut self, name: String, ty: Ty, init: Init, span: Span) -> usize {
        self.model.params.push(ParamDecl { name, ty, init, from: None, frozen: false, span });
        self.model.params.len() - 1
    }

    /// A guide with parameters of its own: of the family given, or the one whose values are those of the site. With a rank
    /// its elements are correlated.
    fn auto(&mut self, no: SiteNo, args: &[Arg], span: Span) -> Option<Treat> {
        let args = self.named("auto", args, &["family", "rank"])?;
        let site = self.model.sites[no].clone();
        let (mut family, mut rank) = (None, None);
        for (key, e) in args {
            if key == "rank" {
                rank = Some((self.whole(key, e, MAX_RANK)?, e.span));
                continue;
            }
            let found = is_name(e).and_then(|n| distributions::find(&n.text));
            let Some(found) = found else {
                let d = Diagnostic::new(Code::E0201, "a family is needed here").at(e.span, "");
                let known = distributions::FAMILIES.iter().map(|f| f.name());
                self.diags.push(d.did_you_mean(is_name(e).map_or("", |n| n.text.as_str()), known));
                return None;
            };
            family = Some(found);
        }
        let family = match family.or_else(|| mean_field(site.prior.family.support())) {
            Some(f) => f,
            None => {
                let what = format!("no guide of its own for `{}`", site.name);
                let d = Diagnostic::new(Code::E0504, what).at(span, "");
                let d = d
                    .also(site.prior.span, format!("{}: {}", site.prior.name(), site.prior.family.support()));
                self.diags.push(d.help("write one with a relaxation or a score-function gradient"));
                return None;
            }
        };
        let rank = match rank {
            Some((n, at)) if self.takes_rank(&site, family, n, at) => Some(n),
            Some(_) => return None,
            None => None,
        };
        let guide = self.own_guide(no, family, rank, span);
        self.model.sites[no].guide = Some(guide);
        Some(Treat::Explicit)
    }

    /// E0405, E0303 or E0401 where a rank has nothing to correlate.
    fn takes_rank(&mut self, site: &Site, family: &dyn Family, rank: usize, at: Span) -> bool {
        if !family.pushes_normal() {
            let what = format!("a guide of family `{}` has no rank", family.name());
            let d = Diagnostic::new(Code::E0405, what).at(at, "");
            let known = distributions::FAMILIES.iter().filter(|f| f.pushes_normal()).map(|f| f.name());
            let known = known.collect::<Vec<_>>().join(", ");
            self.diags.push(d.note(format!("those with one: {known}")).help("leave the rank out"));
            return false;
        }
        if site.axes.is_empty() {
            let d =
                Diagnostic::new(Code::E0303, format!("`{}` has no axis of its own for a rank", site.name));
            let d = d.at(at, "a rank correlates elements").also(site.span, "a single number");
            self.diags.push(d.help(format!("write `{} ~ auto`", site.name)));
            return false;
        }
        let sizes: Option<Vec<usize>> = site.axes.iter().map(|a| self.known_size(*a)).collect();
        let elements = sizes.map(|s| s.into_iter().product::<usize>());
        if let Some(n) = elements.filter(|n| rank > *n) {
            self.diags.push(rank_too_large(&site.name, n, rank).at(at, ""));
            return false;
        }
        true
    }

    fn own_guide(
        &mut self,
        no: SiteNo,
        family: &'static dyn Family,
        rank: Option<usize>,
        span: Span,
    ) -> DistExpr {
        let site = self.model.sites[no].clone();
        // Of a finite family the set in logits, which has no bounds to respect.
        let set =
            family.parameter_sets().iter().position(|s| s.iter().any(|p| p.name == "logits")).unwrap_or(0);
        let event = if family.is_vector() { site.prior.event.or_else(|| only(&site.axes)) } else { None };
        let mut axes: Vec<AxisNo> = site.plates.iter().chain(&site.axes).copied().collect();
        axes.extend(event.filter(|_| family.support() == Support::Category));
        let mut params: Vec<ExprId> = vec![];
        for p in family.parameter_sets()[set] {
            let support = if p.support == Support::Nonneg { Support::Positive } else { p.support };
            let init = match p.name {
                // With a factor, which starts with the same variance on average, that of each element is the square.
                "scale" if rank.is_some() => Init::Constant((FIRST_SCALE * 0.5_f64.sqrt()).ln()),
                "scale" => Init::Constant(FIRST_SCALE.ln()),
                _ => Init::Constant(0.0),
            };
            let of = event.filter(|_| support == Support::Simplex);
            let ty = Ty { of, ..Ty::new(axes.iter().copied().collect(), support) };
            let param = self.own_param(format!("{}.{}", site.name, p.name), ty.clone(), init, span);
            params.push(self.push(ExprKind::Param(param), ty, span));
        }
        let low_rank = rank.map(|rank| self.factor(&site.name, &axes, rank, span));
        DistExpr { family, set, params, event, mixture: None, low_rank, span }
    }

    /// The factor of a correlated guide, with an axis of its own.
    fn factor(&mut self, site: &str, axes: &[AxisNo], rank: usize, span: Span) -> LowRank {
        let axis = AxisNo(self.model.axes.len() as u32);
        self.model.axes.push(AxisInfo { name: format!("{site}.rank"), source: AxisSource::Rank(rank) });
        let ty = Ty::new(axes.iter().copied().chain([axis]).collect(), Support::Real);
        let init = Init::Normal { mean: 0.0, sd: FIRST_SCALE * (0.5 / rank as f64).sqrt() };
        let param = self.own_param(format!("{site}.factor"), ty.clone(), init, span);
        LowRank { factor: self.push(ExprKind::Param(param), ty, span), axis, rank }
    }

    /// `score(D)` and `relaxed(D, temperature = t)`.
    fn estimator(&mut self, no: SiteNo, strategy: Strategy, args: &[Arg], span: Span) -> Option<Treat> {
        let word = strategy.word();
        let (dists, named): (Vec<&Arg>, Vec<&Arg>) = args.iter().partition(|a| a.name.is_none());
        let [dist] = dists[..] else {
            self.report(
                Code::E0405,
                format!("`{word}` takes one distribution"),
                span,
                format!("{} given", dists.len()),
            );
            return None;
        };
        let guide = self.guide_dist(no, &dist.value, dist.span)?;
        let named: Vec<Arg> = named.into_iter().cloned().collect();
        let treat = if strategy == Strategy::Score {
            self.named(word, &named, &[])?;
            Treat::Score
        } else {
            if !guide.family.is_enumerable() {
                let d = Diagnostic::new(Code::E0504, format!("`{}` has no relaxation", guide.family.name()));
                let d = d.at(dist.span, "");
                self.diags.push(d.help("relax a `Bernoulli` or `Categorical`; others have `score(…)`"));
                return None;
            }
            let settings = self.named(word, &named, &["temperature"])?;
            let Some((_, e)) = settings.first() else {
                self.report(Code::E0403, "`relaxed` needs a temperature", span, "write `temperature = 0.5`");
                return None;
            };
            let id = self.eval_number(e, &mut Scope::new(Block::Objective, vec![]))?;
            if !self.sign(id).positive || !self.ty(id).axes.is_empty() {
                let shown = self.show_ty(&self.ty(id).clone());
                self.report(Code::E0401, "a temperature is one number above 0", e.span, shown);
                return None;
            }
            Treat::Relaxed(id)
        };
        self.model.sites[no].guide = Some(guide);
        Some(treat)
    }

    /// Whether a statement of the model draws or scores the name: if there is no such site, that was reported.
    pub(super) fn is_drawn(&self, name: &str) -> bool {
        self.program.model.iter().any(|s| match &s.stmt {
            ModelDef::Site(site) => site.name.text == name,
            ModelDef::Observe(o) => is_name(&o.target).is_some_and(|n| n.text == name),
            ModelDef::Draw(_) | ModelDef::Define(_) => false,
        })
    }

    /// Whether a field with missing values is scored by the model and inferred by the guide where it is missing.
    pub(super) fn is_partly(&self, name: &str) -> bool {
        let misses = self.fields.get(name).is_some_and(|f| self.model.fields[*f].ty.may_miss);
        let observed = |s: &ModelDef| matches!(s, ModelDef::Observe(o) if is_name(&o.target).is_some_and(|n| n.text == name));
        let treated = |s: &GuideDef| matches!(s, GuideDef::Treat(t) if t.name.text == name);
        misses
            && self.program.model.iter().any(|s| observed(&s.stmt))
            && self.program.guide.iter().any(|s| treated(&s.stmt))
    }

    /// The value of a site that is data where it is known.
    pub(super) fn partly_observed(&mut self, n: &Name, scope: &Scope) -> Value {
        let observed = |s: &ModelDef| matches!(s, ModelDef::Observe(o) if is_name(&o.target).is_some_and(|m| m.text == n.text));
        let Some(s) = self.program.model.iter().find(|s| observed(&s.stmt)) else { return Value::Error };
        let ModelDef::Observe(o) = &s.stmt else { return Value::Error };
        let Some(plates) = self.plates_of(s) else { return Value::Error };
        if let Some(p) = plates.iter().find(|p| !scope.plates.contains(p)) {
            return self.outside_plate(n, *p);
        }
        self.lazily(Space::Model, n, |c| match c.observe(s, o) {
            Some(no) => {
                let site = &c.model.sites[no];
                let ty = site_ty(&site.prior, &site.plates, &site.axes);
                Value::Expr(c.push(ExprKind::Site(no), ty, o.target.span))
            }
            None => Value::Error,
        })
    }

    /// A value of a `draw` statement.
    pub(super) fn draw(&mut self, d: &ast::Draw, scope: &Scope, span: Span) -> Value {
        // No plate is open in the objective: there all axes are listed.
        let plates = if scope.block == Block::Objective { vec![] } else { scope.plates.clone() };
        let axes = self.own_axes(&d.axes, &plates);
        let dist = self.dist(&d.dist, &mut Scope::new(scope.block, scope.plates.clone()));
        let (Some(axes), Some(mut dist)) = (axes, dist) else { return Value::Error };
        if !self.fit_to_site(&mut dist, &d.name.text, &axes, &plates, d.name.span) {
            return Value::Error;
        }
        let ty = site_ty(&dist, &plates, &axes);
        let name = d.name.text.clone();
        self.model.draws.push(DrawDecl { name, axes: ty.axes.clone(), dist, span });
        Value::Expr(self.push(ExprKind::Draw(self.model.draws.len() - 1), ty, d.name.span))
    }
}

/// The family of a mean-field guide for values of a support.
fn mean_field(support: Support) -> Option<&'static dyn Family> {
    distributions::find(match support {
        Support::Real => "Normal",
        Support::Positive | Support::Nonneg => "LogNormal",
        Support::Unit => "LogitNormal",
        Support::Simplex => "LogisticNormal",
        Support::Bool => "Bernoulli",
        Support::Category => "Categorical",
        Support::Count => return None,
    })
}

/// E0401 for a rank above the number of elements that it correlates, without its place.
pub(crate) fn rank_too_large(site: &str, elements: usize, rank: usize) -> Diagnostic {
    let what = format!("the rank of `{site}` is {rank}, but it has {elements} elements");
    Diagnostic::new(Code::E0401, what).help(format!("a rank of {elements} correlates them in every way"))
}

fn only(axes: &[AxisNo]) -> Option<AxisNo> {
    match axes {
        [only] => Some(*only),
        _ => None,
    }
}
