//! `svic explain`: each term with its estimator, reason, scale and weight.

use super::{Estimator, Objective, Term};
use crate::compiled::AxisSource;
use crate::model::{DistExpr, ExprKind, Model, Site, TermKind};
use std::fmt::Write;

/// The generative story, the guide and the terms, for people.
pub fn explain(m: &Model, o: &Objective) -> String {
    let mut out = String::new();
    for line in m.title.lines() {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "\nmodel");
    for s in &m.sites {
        let given = given(m, &s.prior);
        let verb = if s.observed.is_some() { "observe " } else { "" };
        let _ = writeln!(
            out,
            "  {verb}{}{} ~ {}{given}{}{}",
            s.name,
            axes(m, &s.axes),
            s.prior.family.name(),
            plates(m, &s.plates),
            places(m, s)
        );
    }
    let _ = writeln!(out, "guide");
    for s in m.sites.iter().filter(|s| s.guide.is_some()) {
        if let Some(q) = &s.guide {
            let _ = writeln!(
                out,
                "  {}{} ~ {}{}{}",
                s.name,
                axes(m, &s.axes),
                q.family.name(),
                given(m, q),
                plates(m, &s.plates)
            );
        }
    }
    let scale = match m.plate {
        Some(p) if m.train.reduce_total => {
            format!("per {0}, × N/B, summed over the N training {0}s", m.axis_name(p))
        }
        Some(p) => format!("per {}, × N/B, loss ÷ N", m.axis_name(p)),
        None => "as is (no minibatched plate)".to_owned(),
    };
    let _ = writeln!(out, "objective, to be maximised: {scale}");
    for t in &o.terms {
        let _ = writeln!(out, "{}", line(m, t));
        if !t.reason.is_empty() {
            let _ = writeln!(out, "      {}", t.reason);
        }
    }
    for a in &m.adversaries {
        let strength = weight(m, a.strength);
        let what = format!("  against {:<9} net {} tells labels apart, the model hides them", a.name, a.net);
        let _ = writeln!(out, "{what:<61} × {strength}  minibatch mean; the net minimises its own error");
    }
    options(m, &mut out);
    out
}

fn line(m: &Model, t: &Term) -> String {
    let s = &m.sites[t.site];
    let (sign, how) = match (t.kind, t.estimator, &s.guide) {
        (TermKind::Lik, ..) => ('+', format!("log {}({} | …)", s.prior.family.name(), s.name)),
        (_, Estimator::Analytic, Some(q)) => {
            ('−', format!("analytic KL({} ‖ {})", q.family.name(), s.prior.family.name()))
        }
        _ => ('−', format!("Monte Carlo: log q({0}) − log p({0})", s.name)),
    };
    let scope = if t.per_row { "" } else { "  global: counted once" };
    format!("  {sign} {:<12} {how:<46} × {}{scope}", t.name, weight(m, t.weight))
}

/// `1`, a number, or `ramp(0→1, 400 epochs)`.
fn weight(m: &Model, by: Option<crate::model::ExprId>) -> String {
    let Some(id) = by else { return "1".into() };
    match m.expr(id).kind {
        ExprKind::Const(c) => format!("{c}"),
        ExprKind::Ramp { from, to, epochs } => format!("ramp({from}→{to}, {epochs} epochs)"),
        _ => "an expression".into(),
    }
}

fn given(m: &Model, d: &DistExpr) -> String {
    let mut reads: Vec<String> =
        m.sites_read(d.params.iter().copied()).iter().map(|s| m.sites[*s].name.clone()).collect();
    m.walk(d.params.iter().copied(), |id| match &m.expr(id).kind {
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
    if s.part.is_some() {
        out.push_str(", in part");
    }
    if s.weight.is_some() {
        out.push_str(", weighted");
    }
    out
}

fn options(m: &Model, out: &mut String) {
    let sizes = m.axes.iter().filter_map(|a| match a.source {
        AxisSource::Knob(n) => Some(format!("{} = {n}", a.name)),
        _ => None,
    });
    let all: Vec<String> =
        m.options.iter().map(|o| format!("{} = {}", o.name, o.value)).chain(sizes).collect();
    if !all.is_empty() {
        let _ = writeln!(out, "options in force: {}", all.join(", "));
    }
}
