//! What each site gives to the bound, and whether its treatment is possible.

use super::graph::GuideGraph;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{DistExpr, ExprKind, Model, SiteNo, Treat};
use crate::objective::Estimator;
use crate::resolve::Program;
use distributions::Support;
use std::collections::BTreeSet;

/// Whether the guide enumerates a site: it has finitely many values and an explicit guide.
pub(super) fn in_guide(m: &Model, site: SiteNo) -> bool {
    let s = &m.sites[site];
    s.treat == Some(Treat::Explicit)
        && s.guide.as_ref().is_some_and(|q| q.family.is_enumerable() && q.mixture.is_none())
}

/// Whether a site is summed in the model.
pub(super) fn in_model(m: &Model, site: SiteNo) -> bool {
    m.sites[site].treat == Some(Treat::Marginal)
}

/// Reports what is wrong with a latent's treatment; false if it gives no term.
pub(super) fn treatment(
    m: &Model,
    site: SiteNo,
    graph: &GuideGraph,
    program: &Program,
    diags: &mut Diagnostics,
) -> bool {
    let s = &m.sites[site];
    match (s.treat, &s.guide) {
        (None, _) => {
            if s.guide_span.is_none() && !program.broken.contains(&s.name) {
                no_guide(m, site, program, diags);
            }
            false
        }
        (Some(Treat::Marginal), _) => {
            if !s.prior.family.is_enumerable() || s.prior.mixture.is_some() {
                let d =
                    Diagnostic::new(Code::E0509, format!("`{}` cannot be summed over its values", s.name));
                let d = d.at(s.guide_span.unwrap_or(s.span), "");
                let d = d.also(s.prior.span, format!("{} has infinitely many", s.prior.name()));
                diags.push(d.help("draw it from a distribution, or take its most probable value: `point`"));
            }
            false
        }
        (Some(Treat::Prior), _) => {
            follows_prior(m, site, diags);
            false
        }
        (Some(Treat::Point(_)), _) => true,
        (Some(_), None) => false,
        (Some(treat), Some(q)) => {
            if !check_pair(m, site, q, diags) {
                return false;
            }
            let passes = q.family.reparameterised() && q.mixture.is_none();
            if treat == Treat::Explicit && !in_guide(m, site) && !passes {
                let drawn = graph.choose(m, site, q).0 == Estimator::MonteCarlo || is_read(m, site);
                if drawn {
                    no_gradient(m, site, q, diags);
                }
            }
            true
        }
    }
}

/// E0501.
fn no_guide(m: &Model, site: SiteNo, program: &Program, diags: &mut Diagnostics) {
    let s = &m.sites[site];
    let d =
        Diagnostic::new(Code::E0501, format!("latent `{}` has no guide", s.name)).at(s.span, "drawn here");
    let inner = format!("{} ~ Normal(mean = …, scale = …)", s.name);
    let edit = match s.plates.last() {
        Some(p) => format!("guide {{ plate {} {{ {inner} }} }}", m.axis_name(*p)),
        None => format!("guide {{ {inner} }}"),
    };
    let d = d.help(format!("say how it is inferred: `{edit}`"));
    diags.push(if program.asleep_treatments.contains(&s.name) {
        d.note("its guide stands in a `when` that the options switch off")
    } else {
        d
    });
}

/// Whether the draw of a site is read by another distribution.
fn is_read(m: &Model, site: SiteNo) -> bool {
    m.sites
        .iter()
        .flat_map(|s| std::iter::once(&s.prior).chain(&s.guide))
        .any(|d| m.sites_read(d.reads()).contains(&site))
}

impl GuideGraph {
    /// The estimator of a drawn site's divergence, and why not the closed form.
    pub(super) fn choose(&self, m: &Model, site: SiteNo, q: &DistExpr) -> (Estimator, String) {
        let s = &m.sites[site];
        let late: Vec<&str> =
            self.late_parents(m, site).into_iter().map(|s| m.sites[s].name.as_str()).collect();
        if !late.is_empty() {
            let (names, verb) = (late.join(", "), if late.len() > 1 { "are" } else { "is" });
            let noun = if late.len() > 1 { "parents" } else { "parent" };
            let why = format!(
                "why not analytic: its model {noun} {names} {verb} drawn after {} in the guide",
                s.name
            );
            return (Estimator::MonteCarlo, why);
        }
        let plain = q.mixture.is_none() && (s.prior.mixture.is_none() || q.family.name() == "Delta");
        if plain && q.family.has_kl_to(s.prior.family.name()) {
            return (Estimator::Analytic, String::new());
        }
        let why = format!("why not analytic: no closed form for {} against {}", q.name(), s.prior.name());
        (Estimator::MonteCarlo, why)
    }

    /// Model parents of a site that the guide draws after it.
    pub(super) fn late_parents(&self, m: &Model, site: SiteNo) -> Vec<SiteNo> {
        let parents = m.sites_read(m.sites[site].prior.reads());
        parents.into_iter().filter(|s| self.descendants[site].contains(s)).collect()
    }
}

/// E0503 and W0516.
fn check_pair(m: &Model, site: SiteNo, q: &DistExpr, diags: &mut Diagnostics) -> bool {
    let s = &m.sites[site];
    let (qs, ps) = (q.family.support(), s.prior.family.support());
    // Values above 0 are values from 0 on: only the point 0 is never drawn.
    let point = (q.family.name() == "Delta").then(|| m.expr(q.params[0]).ty.support);
    let fits = match point {
        Some(at) => at.is_within(ps),
        None => qs == ps || (qs, ps) == (Support::Positive, Support::Nonneg),
    };
    let qs = point.unwrap_or(qs);
    if !fits {
        let d =
            Diagnostic::new(Code::E0503, format!("guide and model of `{}` have different supports", s.name));
        let d = d
            .at(q.span, format!("{}: {qs}", q.name()))
            .also(s.prior.span, format!("{}: {ps}", s.prior.name()));
        diags.push(d);
        return false;
    }
    let observed: Vec<usize> = m.sites.iter().filter_map(|s| s.observed).collect();
    let data_plate = m.plate.is_some_and(|p| s.plates.contains(&p));
    let mut reads_data = false;
    m.walk(q.reads(), |id| match &m.expr(id).kind {
        ExprKind::Field(_) | ExprKind::Site(_) => reads_data = true,
        // A row for each row of the data.
        ExprKind::Param(p) => reads_data |= m.plate.is_some_and(|a| m.params[*p].ty.axes.contains(&a)),
        _ => {}
    });
    if data_plate && !reads_data && !observed.is_empty() {
        let d = Diagnostic::new(Code::W0516, format!("the guide of `{}` does not read any data", s.name))
            .at(q.span, "one distribution for all");
        diags.push(d.help("let a net read the data: `z ~ encoder(x)`"));
    }
    true
}

/// E0504.
fn no_gradient(m: &Model, site: SiteNo, q: &DistExpr, diags: &mut Diagnostics) {
    let name = &m.sites[site].name;
    let d = Diagnostic::new(Code::E0504, format!("draws of `{name}` from `{}` pass no gradient", q.name()));
    diags.push(
        d.at(q.span, "")
            .help("use a reparameterised family, or ask for a score-function gradient: `score(…)`"),
    );
}

/// E0504: a score-function gradient weighs whole rows, and a latent that is drawn once for each value of another has no
/// row of its own.
pub(super) fn score_inside(m: &Model, site: SiteNo, carried: &BTreeSet<SiteNo>, diags: &mut Diagnostics) {
    let s = &m.sites[site];
    let Some(&c) = carried.iter().next().filter(|_| s.treat == Some(Treat::Score)) else { return };
    let c = &m.sites[c];
    let what = format!(
        "`{}` is drawn once for each value of `{}` and has no score-function gradient there",
        s.name, c.name
    );
    let d = Diagnostic::new(Code::E0504, what).at(s.guide_span.unwrap_or(s.span), "");
    let d = d.also(c.guide_span.unwrap_or(c.span), "every value at once");
    diags.push(d.help(format!("draw `{}` too: `score(…)`, or relax `{}`", c.name, s.name)));
}

/// E0504 and W0513 for a site drawn from its prior.
fn follows_prior(m: &Model, site: SiteNo, diags: &mut Diagnostics) {
    let s = &m.sites[site];
    let (mut learned, mut informed) = (false, false);
    m.walk(s.prior.reads(), |id| match m.expr(id).kind {
        ExprKind::Param(_) | ExprKind::Layer(_) => learned = true,
        ExprKind::Site(_) | ExprKind::Field(_) => informed = true,
        _ => {}
    });
    let at = s.guide_span.unwrap_or(s.span);
    if (learned || informed) && !s.prior.family.reparameterised() {
        let what = format!("draws of `{}` from `{}` pass no gradient", s.name, s.prior.name());
        let d = Diagnostic::new(Code::E0504, what).at(at, "drawn from its prior");
        diags.push(
            d.also(s.prior.span, "its parameters could not be learned from it").help("sum it: `marginal`"),
        );
        return;
    }
    let scored =
        m.sites.iter().find(|o| o.observed.is_some() && m.sites_read(o.prior.reads()).contains(&site));
    if let Some(o) = scored.filter(|_| !informed) {
        let what = format!("`{}` follows its prior and learns nothing from `{}`", s.name, o.name);
        let d =
            Diagnostic::new(Code::W0513, what).at(at, "noise, whatever the data").also(o.span, "read here");
        diags.push(d.help("give it a distribution in the guide, or `draw` it if it is meant as noise"));
    }
}

/// E0517: the likelihood of a field reads that field (library sizes do).
pub(super) fn conditions_on_itself(m: &Model, site: SiteNo, diags: &mut Diagnostics) {
    let s = &m.sites[site];
    let mut at = None;
    m.walk(s.prior.reads(), |id| {
        if matches!(m.expr(id).kind, ExprKind::Field(f) if Some(f) == s.observed) {
            at = Some(m.expr(id).span);
        }
    });
    if let Some(at) = at {
        let d = Diagnostic::new(
            Code::E0517,
            format!("the likelihood of `{}` conditions on `{}` itself", s.name, s.name),
        );
        diags.push(
            d.at(at, "read here")
                .note("usual for library sizes; the bound is then conditional on that statistic"),
        );
    }
}

/// E0515: labels that may be missing are scored and read, and nothing says what they are where they are missing.
pub(super) fn missing_labels(m: &Model, site: SiteNo, diags: &mut Diagnostics) {
    let s = &m.sites[site];
    let Some(f) = s.observed.filter(|f| m.fields[*f].ty.may_miss && s.treat.is_none()) else { return };
    if s.guide_span.is_some() || m.fields[f].ty.support != Support::Category {
        return;
    }
    let mut at = None;
    m.walk(m.roots(), |id| {
        if matches!(m.expr(id).kind, ExprKind::Field(g) if g == f) {
            at = Some(m.expr(id).span);
        }
    });
    if let Some(at) = at {
        let what = format!("`{}` is missing for some, and the guide does not say what it is there", s.name);
        let d = Diagnostic::new(Code::E0515, what).at(at, "read here").also(s.span, "observed here");
        diags.push(d.help(format!(
            "infer it where it is missing: `guide {{ … {} ~ Categorical(logits = …) }}`",
            s.name
        )));
    }
}
