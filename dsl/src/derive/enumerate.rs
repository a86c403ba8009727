//! Sums over finitely many values: which sites carry them, and where a sum would couple elements.
//!
//! An enumerated site stands for all its values at once, along an axis of its own. What is drawn from it is drawn once
//! for each value; a term that depends on it is averaged with the guide's probabilities. A site with axes of its own is
//! summed element by element, which is right only if whatever depends on it does so element by element.

use super::classify::{in_guide, in_model};
use super::graph::{GuideGraph, drawn_from};
use crate::compiled::AxisSource;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{AxisNo, AxisSet, ExprId, ExprKind, Layer, Model, SiteNo};
use crate::objective::Objective;
use crate::source::Span;
use std::collections::BTreeSet;

/// For each site, the sites enumerated in the guide whose values its own value depends on, itself included.
pub(super) fn carried(m: &Model, graph: &GuideGraph) -> Vec<BTreeSet<SiteNo>> {
    let mut carried = vec![BTreeSet::new(); m.sites.len()];
    for s in graph.order() {
        let mut own: BTreeSet<SiteNo> =
            graph.parents[s].iter().flat_map(|p| carried[*p].iter().copied()).collect();
        if in_guide(m, s) {
            own.insert(s);
        }
        carried[s] = own;
    }
    carried
}

/// E0506, as far as sizes are known from the source.
pub(super) fn too_many(m: &Model, o: &Objective, diags: &mut Diagnostics) {
    let known = |a: AxisNo| match &m.axes[a.0 as usize].source {
        AxisSource::Knob(n) | AxisSource::Rank(n) => *n,
        AxisSource::Labels(l) => l.len(),
        AxisSource::Data | AxisSource::Formula(_) | AxisSource::Category(_) | AxisSource::Within(_) => 1,
    };
    diags.extend(o.too_many(m, known));
}

/// How a value depends on one enumerated site: along which of the site's own axes element by element, and where the
/// first of the others was mixed.
#[derive(Clone, Debug)]
struct Dependence {
    apart: AxisSet,
    mixed_at: Option<Span>,
}

/// E0507: own axes of an enumerated site that are mixed before they reach a factor.
pub(super) fn check_coupling(m: &Model, graph: &GuideGraph, diags: &mut Diagnostics) {
    let order = graph.order();
    for c in 0..m.sites.len() {
        if (in_guide(m, c) || in_model(m, c)) && !m.sites[c].axes.is_empty() {
            let own = m.sites[c].axes.iter().copied().collect();
            Coupling { m, site: c, own, exprs: vec![None; m.exprs.len()], sites: vec![None; m.sites.len()] }
                .check(&order, diags);
        }
    }
}

impl Dependence {
    fn both(self, other: Dependence) -> Dependence {
        Dependence {
            apart: self.apart.intersection(&other.apart).copied().collect(),
            mixed_at: self.mixed_at.or(other.mixed_at),
        }
    }
}

struct Coupling<'a> {
    m: &'a Model,
    site: SiteNo,
    own: AxisSet,
    /// What is known of each expression; the inner option is whether it depends on the site at all.
    exprs: Vec<Option<Option<Dependence>>>,
    sites: Vec<Option<Dependence>>,
}

impl Coupling<'_> {
    fn check(mut self, order: &[SiteNo], diags: &mut Diagnostics) {
        self.sites[self.site] = Some(Dependence { apart: self.own.clone(), mixed_at: None });
        for &s in order {
            if s != self.site {
                self.sites[s] = self.of_all(drawn_from(self.m, s));
            }
        }
        for (i, site) in self.m.sites.iter().enumerate() {
            let dists = std::iter::once(&site.prior).chain(&site.guide);
            for d in dists {
                let mut found = self.of_all(d.reads().collect());
                if let (Some(f), Some(e)) = (&mut found, d.event.filter(|e| self.own.contains(e))) {
                    f.apart.remove(&e);
                    f.mixed_at.get_or_insert(d.span);
                }
                let Some(f) = found.filter(|f| f.apart != self.own) else { continue };
                let c = &self.m.sites[self.site];
                let lost = self.own.iter().find(|a| !f.apart.contains(a));
                let axis = lost.map_or("", |a| self.m.axis_name(*a));
                let what = format!("summing over `{}` would couple the elements along `{axis}`", c.name);
                let at = f.mixed_at.unwrap_or(d.span);
                let diag = Diagnostic::new(Code::E0507, what).at(at, format!("`{axis}` is mixed here"));
                let diag = diag.also(c.span, "has a value for each element");
                let help = format!(
                    "let `{}` depend on `{}` element by element, or give it one value for all",
                    self.m.sites[i].name, c.name
                );
                diags.push(diag.help(help));
                return;
            }
        }
    }

    /// Of all expressions together; each after its operands.
    fn of_all(&mut self, roots: Vec<ExprId>) -> Option<Dependence> {
        let mut reached = vec![];
        self.m.walk(roots.iter().copied(), |id| reached.push(id));
        reached.sort_unstable();
        for id in reached {
            if self.exprs[id.0 as usize].is_none() {
                self.exprs[id.0 as usize] = Some(self.one(id));
            }
        }
        self.meet(roots)
    }

    fn meet(&self, ids: impl IntoIterator<Item = ExprId>) -> Option<Dependence> {
        let found = ids.into_iter().filter_map(|id| self.exprs[id.0 as usize].clone().flatten());
        found.reduce(Dependence::both)
    }

    fn one(&self, id: ExprId) -> Option<Dependence> {
        let e = self.m.expr(id);
        if let ExprKind::Site(s) = e.kind {
            return self.sites[s].clone();
        }
        let mixed = |operand: ExprId| {
            let mut found = self.exprs[operand.0 as usize].clone().flatten()?;
            for a in self.mixes(&e.kind, operand, &found.apart) {
                if found.apart.remove(&a) {
                    found.mixed_at.get_or_insert(e.span);
                }
            }
            Some(found)
        };
        self.m.operands(id).into_iter().filter_map(mixed).reduce(Dependence::both)
    }

    /// Of some axes of an operand those whose elements come together in the expression.
    fn mixes(&self, kind: &ExprKind, operand: ExprId, apart: &AxisSet) -> Vec<AxisNo> {
        let some = |axes: &[Option<AxisNo>]| axes.iter().flatten().copied().collect();
        match kind {
            ExprKind::Reduce { over, .. } => over.clone(),
            ExprKind::Softmax(_, a) | ExprKind::ArgMax(_, a) => vec![*a],
            ExprKind::Index { axis, .. } => vec![*axis],
            ExprKind::Host(call) => some(&[call.axis]),
            ExprKind::Layer(layer) => match layer {
                Layer::LayerNorm { axis, .. } | Layer::Split { path: Some(_), axis, .. } => vec![*axis],
                // Inputs of a linear map lose their own axes, unless it says which.
                Layer::Linear(l) if l.inputs.contains(&operand) && !l.over.is_empty() => l.over.clone(),
                Layer::Linear(l) => apart.iter().copied().filter(|a| !l.plates.contains(a)).collect(),
                Layer::Conv(c) => some(&[Some(c.over), c.channels]),
                Layer::Gcn(g) => some(&[Some(g.node), g.features, Some(g.edge)]),
                Layer::Attention(a) => {
                    let asks = if a.query == operand { a.query_features } else { None };
                    let asked =
                        if a.context == operand { [Some(a.tokens), a.token_features] } else { [None; 2] };
                    some(&[asks, asked[0], asked[1]])
                }
                _ => vec![],
            },
            _ => vec![],
        }
    }
}
