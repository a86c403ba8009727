//! `svic explain`: each term with its estimator, reason, scale and weight.

use super::{Estimator, Objective, Term};
use crate::compiled::AxisSource;
use crate::model::{AxisNo, DistExpr, ExprKind, Model, Site, SiteNo, TermKind, Treat};
use std::fmt::Write;

/// The generative story, the guide and the terms, for people.
pub fn explain(m: &Model, o: &Objective) -> String {
    let mut out = String::new();
    for line in m.title.lines() {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "\nmodel");
    for s in &m.sites {
        let verb = if s.observed.is_some() { "observe " } else { "" };
        let note = if s.ignored { "   (ignored as an observation)" } else { "" };
        let _ = writeln!(
            out,
            "  {verb}{}{} ~ {}{}{}{}{note}",
            s.name,
            axes(m, &s.axes),
            s.prior.name(),
            given(m, &s.prior),
            plates(m, &s.plates),
            places(m, s)
        );
    }
    for d in &m.draws {
        let _ = writeln!(out, "  draw {} ~ {}{}", d.name, d.dist.name(), given(m, &d.dist));
    }
    let _ = writeln!(out, "guide");
    for (no, s) in m.sites.iter().enumerate() {
        let Some(how) = treatment(m, o, no) else { continue };
        let _ = writeln!(out, "  {}{} ~ {how}{}", s.name, axes(m, &s.axes), plates(m, &s.plates));
    }
    let scale = match m.plate {
        Some(p) if m.train.reduce_total => {
            format!("per {0}, × N/B, summed over the N training {0}s", m.axis_name(p))
        }
        Some(p) => format!("per {}, × N/B, loss ÷ N", m.axis_name(p)),
        None => "as is (no minibatched plate)".to_owned(),
    };
    let draws = match m.train.samples {
        1 => String::new(),
        n => format!(", mean over {n} draws"),
    };
    let _ = writeln!(out, "objective, to be maximised: {scale}{draws}");
    for t in &o.terms {
        let _ = writeln!(out, "{}", line(m, o, t));
        if !t.reason.is_empty() {
            let _ = writeln!(out, "      {}", t.reason);
        }
        if let Some(times) = multiplicity(m, o, t) {
            let _ = writeln!(out, "      {times}");
        }
    }
    for (i, t) in m.free.iter().enumerate() {
        let sign = if t.maximised { '+' } else { '−' };
        let name = format!("term {}", i + 1);
        let _ = writeln!(out, "  {sign} {name:<12} {}", t.text);
    }
    for a in &m.adversaries {
        let strength = weight(m, a.strength);
        let what = format!("  against {:<9} net {} tells labels apart, the model hides them", a.name, a.net);
        let _ = writeln!(out, "{what:<61} × {strength}  minibatch mean; the net minimises its own error");
    }
    options(m, &mut out);
    out
}

/// How the guide treats a latent.
fn treatment(m: &Model, o: &Objective, no: SiteNo) -> Option<String> {
    let s = &m.sites[no];
    let drawn = s.guide.as_ref().map(|q| format!("{}{}", q.name(), given(m, q)));
    Some(match s.treat? {
        Treat::Explicit if o.enumerated.contains(&no) => {
            let missing = if s.observed.is_some() && !s.ignored { " where it is missing" } else { "" };
            format!("{}   every value at once{missing}", drawn?)
        }
        Treat::Explicit => drawn?,
        Treat::Point(_) => "point   its most probable value, a parameter".into(),
        Treat::Marginal => "marginal   summed in the model".into(),
        Treat::Prior => "prior   drawn as in the model".into(),
        Treat::Score => format!("score of {}", drawn?),
        Treat::Relaxed(_) => format!("relaxed {}", drawn?),
    })
}

/// `a · b` of the probabilities that a term is averaged with.
fn averaged(m: &Model, over: &[SiteNo]) -> String {
    over.iter().map(|c| format!("Σ_{0} q({0}) ", m.sites[*c].name)).collect()
}

fn names(m: &Model, sites: impl IntoIterator<Item = SiteNo>) -> String {
    sites.into_iter().map(|s| m.sites[s].name.as_str()).collect::<Vec<_>>().join(", ")
}

/// `p(x)`, or `p(x | u)` with the latents that it depends on.
fn density(m: &Model, s: SiteNo) -> String {
    let read = m.sites_read(m.sites[s].prior.reads());
    let mut reads: Vec<&str> = read.into_iter().map(|r| m.sites[r].name.as_str()).collect();
    reads.sort_unstable();
    let bar = if reads.is_empty() { String::new() } else { format!(" | {}", reads.join(", ")) };
    format!("p({}{bar})", m.sites[s].name)
}

fn line(m: &Model, o: &Objective, t: &Term) -> String {
    let s = &m.sites[t.site];
    let sign = if t.kind == TermKind::Kl { '−' } else { '+' };
    let others: Vec<SiteNo> = t.over.iter().copied().filter(|c| *c != t.site).collect();
    let q = s.guide.as_ref().map_or(String::new(), DistExpr::name);
    let draws = if t.draws > 1 { format!("Monte Carlo ({} draws)", t.draws) } else { "Monte Carlo".into() };
    let how = match (t.kind, t.estimator) {
        (_, Estimator::Sum) => format!("{}log {}", averaged(m, &t.over), inside(m, o, t)),
        (TermKind::Lik, _) if t.draws > 1 => {
            format!("{draws}: {}log {}({} | …)", averaged(m, &t.over), s.prior.name(), s.name)
        }
        (TermKind::Lik, _) => format!("{}log {}({} | …)", averaged(m, &t.over), s.prior.name(), s.name),
        (TermKind::Prior, _) => format!("log {}({}) at its point estimate", s.prior.name(), s.name),
        (_, Estimator::Analytic) if others.is_empty() => format!("analytic KL({q} ‖ {})", s.prior.name()),
        (_, Estimator::Analytic) => {
            format!("{}· analytic KL({q} ‖ {})", averaged(m, &others), s.prior.name())
        }
        (_, Estimator::Exact) if others.is_empty() => "exact over its values".to_owned(),
        (_, Estimator::Exact) => format!("{}· exact over its values", averaged(m, &others)),
        _ if t.sum.is_some_and(|k| o.sums[k].carrier != Some((TermKind::Kl, t.site))) => {
            format!("{draws}: log q({})", s.name)
        }
        _ if t.sum.is_some() => format!("{draws}: log q({}) − log {}", s.name, inside(m, o, t)),
        _ if t.over.is_empty() => format!("{draws}: log q({0}) − log p({0})", s.name),
        _ => format!("{draws}: log q({}) − {}log {}", s.name, averaged(m, &t.over), density(m, t.site)),
    };
    let scope = scope(m, t);
    format!("  {sign} {:<12} {how:<46} × {}{scope}", t.name, weight(m, t.weight))
}

/// How often a term counts, if not once for each row of the minibatch.
fn scope(m: &Model, t: &Term) -> String {
    if t.per_row || m.plate.is_none() {
        return String::new();
    }
    match m.sites[t.site].plates.first().map(|p| m.axis_name(*p)) {
        None => "  global: counted once".into(),
        Some(p) if m.train.pair.as_deref() == Some(p) => format!("  per {p}, × M/B of its M {p}s"),
        Some(p) => format!("  summed over every {p}"),
    }
}

/// `Σ_c p(c) Π_gene p(x | c)`.
fn inside(m: &Model, o: &Objective, t: &Term) -> String {
    let Some(sum) = t.sum.map(|k| &o.sums[k]) else { return String::new() };
    let sums: String = sum.sites.iter().map(|c| format!("Σ_{} ", m.sites[*c].name)).collect();
    // Those with most axes stand outermost only as factors: the product runs over what a site lacks.
    let factor = |i: &SiteNo| {
        let inner = |a: &&AxisNo| {
            sum.sites.iter().all(|c| !m.sites[*c].axes.contains(a) && !m.sites[*c].plates.contains(a))
        };
        let product: String = m.sites[*i]
            .axes
            .iter()
            .filter(inner)
            .filter(|a| m.sites[*i].prior.event != Some(**a))
            .map(|a| format!("Π_{} ", m.axis_name(*a)))
            .collect();
        format!("{product}{}", density(m, *i))
    };
    let (own, rest): (Vec<&SiteNo>, Vec<&SiteNo>) = sum.factors.iter().partition(|i| sum.sites.contains(i));
    let factors: Vec<String> = own.into_iter().chain(rest).map(factor).collect();
    let each: Vec<&str> = sum.sites.iter().flat_map(|c| &m.sites[*c].axes).map(|a| m.axis_name(*a)).collect();
    let each = if each.is_empty() { String::new() } else { format!(", for each {}", each.join(", ")) };
    format!("{sums}{}{each}", factors.join(" "))
}

/// How often a term is computed because of the values that it is summed over.
fn multiplicity(m: &Model, o: &Objective, t: &Term) -> Option<String> {
    let sites = o.sites_of(t);
    let size = |s: &SiteNo| match m.sites[*s].prior.event {
        None => "2".to_owned(),
        Some(a) => match &m.axes[a.0 as usize].source {
            AxisSource::Knob(n) => n.to_string(),
            AxisSource::Labels(l) => l.len().to_string(),
            _ => format!("|{}|", m.axis_name(a)),
        },
    };
    let sizes: Vec<String> = sites.iter().map(size).collect();
    (!sites.is_empty())
        .then(|| format!("computed for {} combinations: {}", sizes.join(" · "), names(m, sites)))
}

/// `1`, a number, or `ramp(0→1, 400 epochs)`.
fn weight(m: &Model, by: Option<crate::model::ExprId>) -> String {
    let Some(id) = by else { return "1".into() };
    match m.expr(id).kind {
        ExprKind::Const(c) => format!("{c}"),
        ExprKind::Ramp { from, to, epochs } => format!("ramp({from}→{to}, {epochs} epochs)"),
        _ => m.text(id),
    }
}

fn given(m: &Model, d: &DistExpr) -> String {
    let mut reads: Vec<String> = m.sites_read(d.reads()).iter().map(|s| m.sites[*s].name.clone()).collect();
    m.walk(d.reads(), |id| match &m.expr(id).kind {
        ExprKind::Field(f) => reads.push(m.fields[*f].slot.name.clone()),
        ExprKind::Param(p) => reads.push(m.params[*p].name.clone()),
        ExprKind::Stat(s) => reads.push(m.stats[*s].name.clone()),
        _ => {}
    });
    reads.sort();
    reads.dedup();
    if reads.is_empty() { String::new() } else { format!("(… {})", reads.join(", ")) }
}

fn axes(m: &Model, axes: &[crate::model::AxisNo]) -> String {
    if axes.is_empty() {
        return String::new();
    }
    format!("[{}]", axes.iter().map(|a| m.axis_name(*a)).collect::<Vec<_>>().join(", "))
}

fn plates(m: &Model, plates: &[crate::model::AxisNo]) -> String {
    plates.iter().map(|p| format!("   for each {}", m.axis_name(*p))).collect()
}

/// Where a site has a term, if not everywhere, and what weighs its elements.
fn places(m: &Model, s: &Site) -> String {
    let mut out = String::new();
    if s.cond.or(s.guide_cond).is_some() {
        out.push_str(", where its condition holds");
    }
    if s.observed.is_some_and(|f| m.fields[f].ty.may_miss) {
        out.push_str(", where it is known");
    }
    match s.part.map(|p| &m.expr(p).kind) {
        Some(ExprKind::Elem(..)) => out.push_str(", whether it is above 0"),
        Some(_) => out.push_str(", in part"),
        None => {}
    }
    if s.weight.is_some() {
        out.push_str(", weighted");
    }
    out
}

fn options(m: &Model, out: &mut String) {
    let sizes = m.axes.iter().filter_map(|a| match &a.source {
        AxisSource::Knob(n) => Some(format!("{} = {n}", a.name)),
        AxisSource::Formula(f) => Some(format!("{} = {f}", a.name)),
        _ => None,
    });
    let all: Vec<String> =
        m.options.iter().map(|o| format!("{} = {}", o.name, o.value)).chain(sizes).collect();
    if !all.is_empty() {
        let _ = writeln!(out, "options in force: {}", all.join(", "));
    }
}
