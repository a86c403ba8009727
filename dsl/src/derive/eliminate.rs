//! Sites that are summed in the model: which factors stand inside one sum, and whether that sum has a meaning.
//!
//! Factors that read a summed site are connected; each connected set becomes one log-sum-exp, which takes the place of
//! its factors in the bound.

use super::classify::{in_guide, in_model};
use super::enumerate::carried;
use super::graph::GuideGraph;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{AxisSet, Model, SiteNo, TermKind, Treat};
use crate::objective::Sum;
use std::collections::BTreeSet;

/// The sums of a model, in order of their first site.
pub(super) fn sums(m: &Model) -> Vec<Sum> {
    let mut sums: Vec<Sum> = vec![];
    for i in 0..m.sites.len() {
        let site = &m.sites[i];
        if site.ignored && site.guide.is_none() || site.treat == Some(Treat::Prior) {
            continue;
        }
        let mut read: BTreeSet<SiteNo> =
            m.sites_read(site.prior.reads()).into_iter().filter(|s| in_model(m, *s)).collect();
        read.extend(in_model(m, i).then_some(i));
        if read.is_empty() {
            continue;
        }
        let (joined, rest): (Vec<Sum>, Vec<Sum>) =
            sums.into_iter().partition(|s| s.sites.iter().any(|c| read.contains(c)));
        let mut sum = Sum { sites: read.into_iter().collect(), factors: vec![i], carrier: None };
        for s in joined {
            sum.sites.extend(s.sites);
            sum.factors.extend(s.factors);
        }
        sum.sites.sort_unstable();
        sum.sites.dedup();
        sum.factors.sort_unstable();
        sums = rest;
        sums.push(sum);
    }
    for sum in &mut sums {
        sum.carrier = carrier(m, sum);
    }
    sums.sort_by_key(|s| s.sites.first().copied());
    sums
}

/// The factor under whose name the sum is a term: a likelihood, else a point estimate, else a drawn latent.
fn carrier(m: &Model, sum: &Sum) -> Option<(TermKind, SiteNo)> {
    let find = |kind: TermKind, test: &dyn Fn(SiteNo) -> bool| {
        sum.factors.iter().copied().find(|i| test(*i)).map(|i| (kind, i))
    };
    let observed = |i: SiteNo| m.sites[i].observed.is_some() && m.sites[i].guide.is_none();
    find(TermKind::Lik, &|i| observed(i) && !in_model(m, i))
        .or_else(|| find(TermKind::Prior, &|i| matches!(m.sites[i].treat, Some(Treat::Point(_)))))
        .or_else(|| find(TermKind::Kl, &|i| m.sites[i].guide.is_some()))
        // Labels that are known for some count by themselves.
        .or_else(|| find(TermKind::Lik, &observed))
}

/// All axes of a site: of its plates and its own.
fn extent(m: &Model, s: SiteNo) -> AxisSet {
    m.sites[s].plates.iter().chain(&m.sites[s].axes).copied().collect()
}

/// E0507 and E0508.
pub(super) fn check(m: &Model, graph: &GuideGraph, sums: &[Sum], diags: &mut Diagnostics) {
    let carried = carried(m, graph);
    for sum in sums {
        scales(m, sum, diags);
        for &i in &sum.factors {
            nesting(m, i, &carried, diags);
        }
    }
}

/// What stands in one sum must be counted alike: no minibatch inside a global sum, no two weights.
fn scales(m: &Model, sum: &Sum, diags: &mut Diagnostics) {
    let per_row = |s: SiteNo| m.plate.is_some_and(|p| m.sites[s].plates.contains(&p));
    let global = sum.sites.iter().copied().find(|c| !per_row(*c));
    let rowwise = sum.factors.iter().copied().find(|i| per_row(*i));
    if let (Some(c), Some(i), Some(p)) = (global, rowwise, m.plate) {
        let (c, i, p) = (&m.sites[c], &m.sites[i], m.axis_name(p));
        let what = format!("the sum over `{}` would hold every `{p}`, and a minibatch holds some", c.name);
        let d = Diagnostic::new(Code::E0508, what).at(c.span, format!("one value for all `{p}`s"));
        let d = d.also(i.span, format!("`{}` has a factor for each `{p}`", i.name));
        diags.push(d.help(format!("draw it inside the plate, one for each {p}, or in the guide")));
        return;
    }
    let weight = |i: SiteNo| m.weights.iter().find(|w| w.site == i);
    let Some((_, named)) = sum.carrier else { return };
    let first = weight(named);
    let key = |w: Option<&crate::model::WeightDecl>| w.map(|w| w.by);
    for &i in &sum.factors {
        let other = weight(i);
        if in_model(m, i) || key(other) == key(first) {
            continue;
        }
        let (Some(a), b) = (other.or(first), &m.sites[i]) else { continue };
        let what =
            format!("`{}` and `{}` stand in one sum and have different weights", m.sites[named].name, b.name);
        let d = Diagnostic::new(Code::E0508, what).at(a.span, "weighted here");
        diags.push(d.also(b.span, "in the sum").help("give them one weight: `weight lik(a), lik(b) by …`"));
        return;
    }
}

/// Sums are taken one inside another. Two sites in one factor, neither of which has all axes of the other, would couple
/// their elements; so would a site averaged outside a sum that has not all its axes.
fn nesting(m: &Model, i: SiteNo, carried: &[BTreeSet<SiteNo>], diags: &mut Diagnostics) {
    let read = m.sites_read(m.sites[i].prior.reads());
    let mut inside: BTreeSet<SiteNo> = read.iter().copied().filter(|s| in_model(m, *s)).collect();
    inside.extend(in_model(m, i).then_some(i));
    let outside: BTreeSet<SiteNo> = read
        .iter()
        .chain([&i])
        .flat_map(|s| carried[*s].iter().copied())
        .filter(|s| in_guide(m, *s))
        .collect();
    let couple = |a: SiteNo, b: SiteNo, diags: &mut Diagnostics| {
        let lost = extent(m, a).difference(&extent(m, b)).next().copied();
        let axis = lost.map_or("", |x| m.axis_name(x));
        let what = format!(
            "summing over `{}` would couple the values of `{}` along `{axis}`",
            m.sites[b].name, m.sites[a].name
        );
        let d = Diagnostic::new(Code::E0507, what).at(m.sites[i].span, "depends on both");
        diags.push(d.also(m.sites[a].span, "has this axis").also(m.sites[b].span, "has not"));
    };
    for &a in &inside {
        for &b in inside.iter().filter(|b| **b > a) {
            let (x, y) = (extent(m, a), extent(m, b));
            if !x.is_subset(&y) && !y.is_subset(&x) {
                return couple(a, b, diags);
            }
        }
        if let Some(&b) = outside.iter().find(|b| !extent(m, **b).is_subset(&extent(m, a))) {
            return couple(b, a, diags);
        }
    }
}
