//! The table of axes: what each value of a program is one of, from its types alone.

use super::table;
use crate::compiled::AxisSource;
use crate::model::{AxisNo, Model, Ty};
use distributions::Support;
use std::collections::BTreeSet;

/// The axes with their sources, then every named value: what it is, the plates it stands in, its own axes, its support.
pub(crate) fn shapes(m: &Model) -> String {
    let plates = plates(m);
    let head = |names: [&str; 2]| names.map(str::to_owned);
    let mut axes = vec![head(["axis", "size"])];
    axes.extend(m.axes.iter().enumerate().map(|(i, a)| {
        let plate = if m.plate == Some(AxisNo(i as u32)) { "; minibatched" } else { "" };
        [a.name.clone(), source(&a.source) + plate]
    }));
    let mut values = vec![["value", "is", "for each", "axes", "holds"].map(str::to_owned)];
    let mut row = |name: &str, is: &str, ty: &Ty| {
        let names = |inside: bool| {
            let of = ty.axes.iter().filter(|a| plates.contains(a) == inside);
            of.map(|a| m.axis_name(*a)).collect::<Vec<_>>().join(", ")
        };
        let own = names(false);
        let own = if own.is_empty() { own } else { format!("[{own}]") };
        values.push([name.to_owned(), is.to_owned(), names(true), own, holds(m, ty)]);
    };
    m.fields.iter().for_each(|f| row(&f.slot.name, "field", &f.ty));
    m.params.iter().for_each(|p| row(&p.name, "parameter", &p.ty));
    m.stats.iter().for_each(|s| row(&s.name, "statistic", &s.ty));
    for site in m.sites.iter().filter(|s| s.observed.is_none()) {
        let axes = site.plates.iter().chain(&site.axes).copied().collect();
        row(&site.name, "latent", &Ty::new(axes, site.prior.family.support()));
    }
    m.definitions.iter().for_each(|(name, id)| row(name, "definition", &m.expr(*id).ty));
    m.outputs.iter().for_each(|o| row(&o.info.name, "output", &m.expr(o.value).ty));
    format!("{}\n{}", table(&axes), table(&values))
}

/// The axes that some site has a plate of.
pub(super) fn plates(m: &Model) -> BTreeSet<AxisNo> {
    m.sites.iter().flat_map(|s| s.plates.iter().copied()).chain(m.plate).collect()
}

pub(super) fn source(source: &AxisSource) -> String {
    match source {
        AxisSource::Data => "of the data".to_owned(),
        AxisSource::Knob(n) | AxisSource::Rank(n) => n.to_string(),
        AxisSource::Formula(f) => f.to_string(),
        AxisSource::Labels(labels) => format!("{}: {}", labels.len(), labels.join(", ")),
        AxisSource::Category(field) => format!("the labels of `{field}`"),
        AxisSource::Within(axis) => format!("some of `{axis}`"),
    }
}

pub(super) fn holds(m: &Model, ty: &Ty) -> String {
    let missing = if ty.may_miss { "?" } else { "" };
    let of = match (ty.support, ty.of) {
        (Support::Simplex, Some(a)) => format!(" over {}", m.axis_name(a)),
        _ => String::new(),
    };
    if ty.covariates { "covariates".to_owned() } else { format!("{}{missing}{of}", ty.support) }
}
