//! Model → Objective: pair each latent with its guide, choose estimators, attach weights.
//!
//! The analytic rule: a closed form of KL(q ‖ p) may stand for the Monte Carlo term of a site if no model parent of the
//! site is drawn after it in the guide. Given its guide parents the site is then independent under q of its model
//! parents, so the inner expectation is the divergence at the parents' drawn values; otherwise the closed form would hold
//! fixed what moves with the site, and the estimate would be biased.

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{DistExpr, ExprKind, Model, SiteNo, TermKind};
use crate::objective::{Estimator, Objective, Term};
use crate::resolve::{Program, not_compiled};
use std::collections::BTreeSet;

/// Derives the bound; the objective is meaningful only if no error was reported.
pub fn derive(m: &Model, program: &Program, diags: &mut Diagnostics) -> Objective {
    let graph = GuideGraph::new(m);
    graph.check_order(m, diags);
    let mut terms = vec![];
    for (no, site) in m.sites.iter().enumerate() {
        match (&site.observed, &site.guide) {
            (Some(_), _) => {
                conditions_on_itself(m, no, diags);
                terms.push(term(m, no, TermKind::Lik, Estimator::LogDensity, String::new()));
            }
            (None, Some(q)) => {
                if check_pair(m, no, q, diags) {
                    let (estimator, reason) = graph.choose(m, no, q);
                    if !q.family.reparameterised() && (estimator == Estimator::MonteCarlo || is_read(m, no)) {
                        no_gradient(m, no, q, diags);
                    }
                    terms.push(term(m, no, TermKind::Kl, estimator, reason));
                }
            }
            (None, None) => {
                if site.guide_span.is_none() && !program.broken.contains(&site.name) {
                    no_guide(m, no, program, diags);
                }
            }
        }
    }
    terms.sort_by_key(|t| (t.kind, t.site));
    if terms.is_empty() && !diags.has_errors() {
        let d = Diagnostic::new(Code::E0606, "the model has nothing to optimise");
        diags.push(d.help("observe a field: `observe x ~ …`"));
    }
    Objective { terms }
}

fn term(m: &Model, site: SiteNo, kind: TermKind, estimator: Estimator, reason: String) -> Term {
    let s = &m.sites[site];
    let word = if kind == TermKind::Lik { "lik" } else { "kl" };
    let weight = m.weights.iter().find(|w| w.site == site && w.kind == kind).map(|w| w.by);
    let per_row = m.plate.is_some_and(|p| s.plates.contains(&p));
    Term { name: format!("{word}({})", s.name), kind, site, estimator, reason, weight, per_row, span: s.span }
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
        .any(|d| m.sites_read(d.params.iter().copied()).contains(&site))
}

/// Parents and descendants in the guide.
struct GuideGraph {
    parents: Vec<Vec<SiteNo>>,
    /// desc[i]: sites drawn, directly or not, from i.
    descendants: Vec<BTreeSet<SiteNo>>,
}

impl GuideGraph {
    fn new(m: &Model) -> Self {
        let reads = |d: &DistExpr| m.sites_read(d.params.iter().copied());
        let parents: Vec<Vec<SiteNo>> =
            m.sites.iter().map(|s| s.guide.as_ref().map_or(vec![], reads)).collect();
        let mut descendants = vec![BTreeSet::new(); m.sites.len()];
        // Transitive closure, until nothing changes.
        let size = |d: &[BTreeSet<SiteNo>]| d.iter().map(BTreeSet::len).sum::<usize>();
        let mut before = usize::MAX;
        while before != size(&descendants) {
            before = size(&descendants);
            for (child, ps) in parents.iter().enumerate().rev() {
                for &p in ps {
                    let below: Vec<SiteNo> = descendants[child].iter().copied().collect();
                    descendants[p].insert(child);
                    descendants[p].extend(below);
                }
            }
        }
        Self { parents, descendants }
    }

    /// E0505: guides that read latents which are drawn from them; one message for each circle.
    fn check_order(&self, m: &Model, diags: &mut Diagnostics) {
        let mut told: BTreeSet<SiteNo> = BTreeSet::new();
        for i in (0..m.sites.len()).filter(|i| self.descendants[*i].contains(i)) {
            if told.contains(&i) {
                continue;
            }
            let circle: Vec<SiteNo> =
                self.descendants[i].iter().copied().filter(|j| self.descendants[*j].contains(&i)).collect();
            told.extend(&circle);
            let reads = |s: SiteNo| {
                let names: Vec<&str> = self.parents[s]
                    .iter()
                    .filter(|p| circle.contains(p))
                    .map(|p| m.sites[*p].name.as_str())
                    .collect();
                format!("needs `{}` to be drawn before", names.join("`, `"))
            };
            let at = |s: SiteNo| m.sites[s].guide_span.unwrap_or(m.sites[s].span);
            let what = format!("the guide of `{}` depends on itself", m.sites[i].name);
            let mut d = Diagnostic::new(Code::E0505, what).at(at(i), reads(i));
            for &j in circle.iter().filter(|j| **j != i) {
                d = d.also(at(j), reads(j));
            }
            diags.push(d.help("the guide draws latents one after another; let one of them read only data"));
        }
    }

    fn choose(&self, m: &Model, site: SiteNo, q: &DistExpr) -> (Estimator, String) {
        let p = &m.sites[site].prior;
        let late: Vec<&str> = m
            .sites_read(p.params.iter().copied())
            .into_iter()
            .filter(|s| self.descendants[site].contains(s))
            .map(|s| m.sites[s].name.as_str())
            .collect();
        if !late.is_empty() {
            let names = late.join(", ");
            let why = format!(
                "why not analytic: its model parent {names} is drawn after {} in the guide",
                m.sites[site].name
            );
            return (Estimator::MonteCarlo, why);
        }
        if q.family.has_kl_to(p.family.name()) {
            return (Estimator::Analytic, String::new());
        }
        let why =
            format!("why not analytic: no closed form for {} against {}", q.family.name(), p.family.name());
        (Estimator::MonteCarlo, why)
    }
}

/// E0503 and W0516.
fn check_pair(m: &Model, site: SiteNo, q: &DistExpr, diags: &mut Diagnostics) -> bool {
    let s = &m.sites[site];
    let (qs, ps) = (q.family.support(), s.prior.family.support());
    if qs != ps {
        let d =
            Diagnostic::new(Code::E0503, format!("guide and model of `{}` have different supports", s.name));
        let d = d
            .at(q.span, format!("{}: {qs}", q.family.name()))
            .also(s.prior.span, format!("{}: {ps}", s.prior.family.name()));
        diags.push(d);
        return false;
    }
    let observed: Vec<usize> = m.sites.iter().filter_map(|s| s.observed).collect();
    let data_plate = m.plate.is_some_and(|p| s.plates.contains(&p));
    let mut reads_data = false;
    m.walk(q.params.iter().copied(), |id| match m.expr(id).kind {
        ExprKind::Field(_) | ExprKind::Site(_) => reads_data = true,
        _ => {}
    });
    if data_plate && !reads_data && !observed.is_empty() {
        let d = Diagnostic::new(Code::W0516, format!("the guide of `{}` does not read any data", s.name))
            .at(q.span, "one distribution for all");
        diags.push(d.help("let a net read the data: `z ~ encoder(x)`"));
    }
    true
}

fn no_gradient(m: &Model, site: SiteNo, q: &DistExpr, diags: &mut Diagnostics) {
    let name = &m.sites[site].name;
    if q.family.is_enumerable() {
        let what = format!("a latent with finitely many values (`{name}`), summed exactly,");
        diags.push(not_compiled(q.span, &what));
        return;
    }
    let d = Diagnostic::new(
        Code::E0504,
        format!("draws of `{name}` from `{}` pass no gradient", q.family.name()),
    );
    diags.push(
        d.at(q.span, "").help("use a reparameterised family, or one with a closed form against its prior"),
    );
}

/// E0517: the likelihood of a field reads that field (library sizes do).
fn conditions_on_itself(m: &Model, site: SiteNo, diags: &mut Diagnostics) {
    let s = &m.sites[site];
    let mut at = None;
    m.walk(s.prior.params.iter().copied(), |id| {
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
