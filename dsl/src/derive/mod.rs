//! Model → Objective: each latent with its treatment, each term with its estimator.
//!
//! | file | what it settles |
//! |---|---|
//! | `graph` | who is drawn from whom in the guide, and in which order |
//! | `classify` | whether a treatment is possible, and the estimator of a divergence |
//! | `enumerate` | which sites are summed over their values, and whether elements stay apart |
//! | `eliminate` | which factors stand inside one sum in the model |
//!
//! The analytic rule: a closed form of KL(q ‖ p) may stand for the Monte Carlo term of a site if no model parent of the
//! site is drawn after it in the guide. Given its guide parents the site is then independent under q of its model
//! parents, so the inner expectation is the divergence at the parents' drawn values; otherwise the closed form would hold
//! fixed what moves with the site, and the estimate would be biased.

mod classify;
mod eliminate;
mod enumerate;
mod graph;

pub(crate) use graph::drawn_from;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{Model, SiteNo, TermKind, Treat, Wish};
use crate::objective::{Estimator, Objective, Score, Sum, Term};
use crate::resolve::Program;
use graph::GuideGraph;
use std::collections::BTreeSet;

/// Derives the bound; the objective is meaningful only if no error was reported.
pub fn derive(m: &Model, program: &Program, diags: &mut Diagnostics) -> Objective {
    let graph = GuideGraph::new(m);
    graph.check_order(m, diags);
    let carried = enumerate::carried(m, &graph);
    let sums = eliminate::sums(m);
    let mut d = Deriver { m, graph, carried, sums, terms: vec![] };
    for (no, site) in m.sites.iter().enumerate() {
        if site.observed.is_some() {
            classify::missing_labels(m, no, diags);
        }
        if site.observed.is_some() && site.treat.is_none() {
            classify::conditions_on_itself(m, no, diags);
            d.likelihood(no);
        } else if classify::treatment(m, no, &d.graph, program, diags) {
            classify::score_inside(m, no, &d.carried[no], diags);
            d.latent(no);
        } else if site.observed.is_some() && site.treat == Some(Treat::Marginal) {
            d.likelihood(no);
        }
    }
    d.estimates(diags);
    d.terms.sort_by_key(|t| (t.kind, t.site));
    if d.terms.is_empty() && m.free.is_empty() && !diags.has_errors() {
        let d = Diagnostic::new(Code::E0606, "the model has nothing to optimise");
        diags.push(d.help("observe a field: `observe x ~ …`"));
    }
    if !diags.has_errors() {
        enumerate::check_coupling(m, &d.graph, diags);
        eliminate::check(m, &d.graph, &d.sums, diags);
    }
    let order = d.graph.order();
    let enumerated = order.into_iter().filter(|s| classify::in_guide(m, *s)).collect();
    let scores = d.scores();
    let objective = Objective { terms: d.terms, enumerated, sums: d.sums, scores };
    enumerate::too_many(m, &objective, diags);
    objective
}

struct Deriver<'a> {
    m: &'a Model,
    graph: GuideGraph,
    /// See [`enumerate::carried`].
    carried: Vec<BTreeSet<SiteNo>>,
    sums: Vec<Sum>,
    terms: Vec<Term>,
}

impl Deriver<'_> {
    /// The sum that a site's factor stands in, and whether the term of that factor carries it.
    fn sum_of(&self, site: SiteNo) -> (Option<usize>, bool) {
        let at = self.sums.iter().position(|s| s.factors.contains(&site));
        (at, at.is_some_and(|k| self.sums[k].carrier.is_some_and(|c| c.1 == site)))
    }

    fn likelihood(&mut self, site: SiteNo) {
        if self.m.sites[site].ignored && self.m.sites[site].treat.is_none() {
            return;
        }
        match self.sum_of(site) {
            (Some(k), true) => self.push(site, TermKind::Lik, Estimator::Sum, String::new(), Some(k)),
            (Some(_), false) => {}
            (None, _) => self.push(site, TermKind::Lik, Estimator::LogDensity, String::new(), None),
        }
    }

    fn latent(&mut self, site: SiteNo) {
        let m = self.m;
        let s = &m.sites[site];
        let (sum, carries) = self.sum_of(site);
        if let Some(Treat::Point(_)) = s.treat {
            return match (sum, carries) {
                (Some(k), true) => self.push(site, TermKind::Prior, Estimator::Sum, String::new(), Some(k)),
                (Some(_), false) => {}
                (None, _) => self.push(site, TermKind::Prior, Estimator::LogDensity, String::new(), None),
            };
        }
        let Some(q) = &s.guide else { return };
        if let Some(k) = sum {
            let names: Vec<&str> = self.sums[k].sites.iter().map(|c| m.sites[*c].name.as_str()).collect();
            let why = format!("its prior stands in the sum over {}", names.join(", "));
            return self.push(site, TermKind::Kl, Estimator::MonteCarlo, why, Some(k));
        }
        let (estimator, reason) = if classify::in_guide(m, site) {
            (Estimator::Exact, String::new())
        } else {
            self.graph.choose(m, site, q)
        };
        let (estimator, reason) = match s.treat {
            _ if estimator == Estimator::Analytic && s.observed.is_some() => {
                (Estimator::MonteCarlo, "why not analytic: some of its values are data".to_owned())
            }
            Some(Treat::Score) => {
                (estimator, join(reason, "score-function gradient, with a running baseline"))
            }
            Some(Treat::Relaxed(_)) => {
                (estimator, join(reason, "biased: its values are relaxed, and the likelihood reads them so"))
            }
            _ => (estimator, reason),
        };
        self.push(site, TermKind::Kl, estimator, reason, None);
    }

    fn push(
        &mut self,
        site: SiteNo,
        kind: TermKind,
        estimator: Estimator,
        reason: String,
        sum: Option<usize>,
    ) {
        let m = self.m;
        let s = &m.sites[site];
        let weight = m.weights.iter().find(|w| w.site == site && w.kind == kind).map(|w| w.by);
        let per_row = m.plate.is_some_and(|p| s.plates.contains(&p));
        // In guide order, so that those drawn later are averaged first.
        let mut reads = m.sites_read(s.prior.reads());
        if estimator == Estimator::Sum {
            let factors = sum.iter().flat_map(|k| self.sums[*k].factors.iter().copied());
            reads.extend(factors.flat_map(|i| m.sites_read(m.sites[i].prior.reads()).into_iter().chain([i])));
        }
        reads.push(site);
        let over: BTreeSet<SiteNo> = reads.iter().flat_map(|s| self.carried[*s].iter().copied()).collect();
        let over = self.graph.order().into_iter().filter(|s| over.contains(s)).collect();
        let name = format!("{}({})", kind.word(), s.name);
        self.terms.push(Term {
            name,
            kind,
            site,
            estimator,
            reason,
            weight,
            per_row,
            over,
            sum,
            draws: 1,
            span: s.span,
        });
    }

    /// Sites with a score-function gradient, each with the terms that depend on its draw.
    fn scores(&self) -> Vec<Score> {
        let m = self.m;
        let scored = (0..m.sites.len()).filter(|s| m.sites[*s].treat == Some(Treat::Score));
        let depends = |site: SiteNo, t: &Term| {
            let factors = t.sum.map_or(vec![], |k| self.sums[k].factors.clone());
            let all = factors.into_iter().chain([t.site]);
            let read = all.flat_map(|i| {
                let s = &m.sites[i];
                let guide = s.guide.iter().flat_map(|q| q.reads());
                m.sites_read(s.prior.reads().chain(guide)).into_iter().chain([i]).collect::<Vec<_>>()
            });
            read.into_iter().any(|r| r == site || self.graph.descendants[site].contains(&r))
        };
        scored
            .map(|site| {
                let terms = (0..self.terms.len()).filter(|i| depends(site, &self.terms[*i])).collect();
                Score { site, terms }
            })
            .collect()
    }

    /// Wishes of `estimate` statements; E0511 where one cannot be.
    fn estimates(&mut self, diags: &mut Diagnostics) {
        for e in &self.m.estimates {
            let Some(i) = self.terms.iter().position(|t| t.kind == e.kind && t.site == e.site) else {
                continue;
            };
            let term = &mut self.terms[i];
            match e.by {
                Wish::Draws(n) => {
                    term.draws = n;
                    if term.estimator == Estimator::Analytic {
                        term.estimator = Estimator::MonteCarlo;
                        term.reason = "asked for".into();
                    }
                }
                Wish::Analytic if matches!(term.estimator, Estimator::Analytic | Estimator::Exact) => {}
                Wish::Analytic => {
                    let site = e.site;
                    let s = &self.m.sites[site];
                    let what = match e.kind {
                        TermKind::Kl => format!("the KL of `{}` has no closed form here", s.name),
                        _ => format!("`{}` has no closed form", term.name),
                    };
                    let mut d = Diagnostic::new(Code::E0511, what).at(e.span, "asked for here");
                    let late = self.graph.late_parents(self.m, site);
                    let names: Vec<&str> = late.iter().map(|p| self.m.sites[*p].name.as_str()).collect();
                    let names = names.join("` and `");
                    d = match (late.is_empty(), &s.guide) {
                        (false, _) => {
                            d = d.also(s.prior.span, format!("its prior needs `{names}` …"));
                            for p in &late {
                                let at = self.m.sites[*p].guide_span.unwrap_or(self.m.sites[*p].span);
                                d = d.also(at, format!("… but the guide draws this after `{}`", s.name));
                            }
                            d.help(format!(
                                "leave it to Monte Carlo, or draw `{names}` before `{}` in the guide",
                                s.name
                            ))
                        }
                        (true, Some(q)) => d
                            .also(q.span, format!("guide: {}", q.name()))
                            .also(s.prior.span, format!("prior: {}", s.prior.name()))
                            .help("leave it to Monte Carlo"),
                        (true, None) => d.help("leave it to draws: `estimate … by mc(n)`"),
                    };
                    diags.push(d);
                }
            }
        }
    }
}

/// Two reasons on one line.
fn join(a: String, b: &str) -> String {
    if a.is_empty() { b.to_owned() } else { format!("{a}; {b}") }
}
