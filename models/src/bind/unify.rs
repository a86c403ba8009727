//! One set of labels for every axis: fields of several sources are brought to what all of them have.
//!
//! The first field that has an axis gives the order. Labels of a trained model, of the source text and of a category
//! rule over those of the data. What is dropped is reported; nothing in common is an error.

use super::found::Found;
use crate::registry::SlotData;
use dsl::diagnostic::{Code, Diagnostic, Diagnostics};
use dsl::{AxisInfo, AxisSource, Slot, SlotKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many labels a message shows.
const SHOWN: usize = 5;

/// Brings the fields together. `known` are labels that rule; gives the labels of every axis with data.
pub(super) fn unify(
    axes: &[AxisInfo],
    slots: &[Slot],
    known: &BTreeMap<String, Vec<String>>,
    found: &mut [Found],
    said: &mut Diagnostics,
) -> BTreeMap<String, Arc<Vec<String>>> {
    let mut labels: BTreeMap<String, Arc<Vec<String>>> = BTreeMap::new();
    let subset = |a: &&AxisInfo| matches!(a.source, AxisSource::Within(_));
    for axis in axes.iter().filter(|a| !subset(a)).chain(axes.iter().filter(subset)) {
        let mut one = Axis { axis, slots, labels: &labels, found, said };
        if let Some(settled) = one.settle(known.get(&axis.name)) {
            labels.insert(axis.name.clone(), settled);
        }
    }
    labels
}

struct Axis<'a> {
    axis: &'a AxisInfo,
    slots: &'a [Slot],
    labels: &'a BTreeMap<String, Arc<Vec<String>>>,
    found: &'a mut [Found],
    said: &'a mut Diagnostics,
}

impl Axis<'_> {
    /// The labels of the axis; the fields that have it then follow them.
    fn settle(&mut self, known: Option<&Vec<String>>) -> Option<Arc<Vec<String>>> {
        let name = &self.axis.name;
        let places: Vec<(usize, usize)> = self
            .found
            .iter()
            .enumerate()
            .flat_map(|(f, x)| x.axes.iter().enumerate().map(move |(k, a)| (f, k, a.clone())))
            .filter(|(_, _, a)| a == name)
            .map(|(f, k, _)| (f, k))
            .collect();
        let mut wanted = match &self.axis.source {
            AxisSource::Knob(n) => {
                places.iter().for_each(|(f, k)| self.same_size(*f, *k, *n));
                return None;
            }
            // No field has it.
            AxisSource::Rank(_) => return None,
            AxisSource::Labels(labels) => labels.clone().into(),
            AxisSource::Category(field) => self.category_labels(field)?.into(),
            AxisSource::Data | AxisSource::Formula(_) | AxisSource::Within(_) => match known {
                Some(labels) => labels.clone().into(),
                None => self.common(&places)?,
            },
        };
        if let (AxisSource::Within(whole), None) = (&self.axis.source, known) {
            wanted = self.within(whole, Arc::unwrap_or_clone(wanted))?.into();
        }
        let rule = !matches!(self.axis.source, AxisSource::Data | AxisSource::Within(_)) || known.is_some();
        for (f, k) in places {
            self.follow(f, k, &wanted, rule);
        }
        Some(wanted)
    }

    fn category_labels(&self, field: &str) -> Option<Vec<String>> {
        self.found.iter().find(|f| f.slot == field).and_then(|f| match &f.data {
            SlotData::Codes(codes) => Some(codes.labels.clone()),
            _ => None,
        })
    }

    /// What every field with the axis has, in the order of the first that has names.
    fn common(&mut self, places: &[(usize, usize)]) -> Option<Arc<Vec<String>>> {
        let named = |p: &&(usize, usize)| !self.found[p.0].is_numbered(p.1);
        let &(f, k) = places.iter().find(named).or(places.first())?;
        let mut all = self.found[f].labels[k].clone();
        if self.found[f].is_numbered(k) {
            return Some(all);
        }
        let mut differ = vec![];
        for &(g, j) in places.iter().filter(|p| **p != (f, k)) {
            let other = &self.found[g];
            if other.is_numbered(j) || other.labels[j] == self.found[f].labels[k] {
                continue;
            }
            let has: std::collections::BTreeSet<&str> = other.labels[j].iter().map(String::as_str).collect();
            Arc::make_mut(&mut all).retain(|l| has.contains(l.as_str()));
            differ.push(g);
        }
        if differ.is_empty() {
            return Some(all);
        }
        let (first, other) = (&self.found[f], &self.found[differ[0]]);
        let name = &self.axis.name;
        if all.is_empty() {
            let j = other.axes.iter().position(|a| a == name).unwrap_or(0);
            let text =
                format!("axis `{name}`: `{}` and `{}` have no label in common", first.slot, other.slot);
            let d = Diagnostic::new(Code::E0308, text)
                .note(format!("{} has {}", first.described(), listed(&first.labels[k])))
                .note(format!("{} has {}", other.described(), listed(&other.labels[j])));
            self.said.push(d.help(match_help(first, other, name)));
            return None;
        }
        let sizes: Vec<String> = std::iter::once((f, k))
            .chain(
                differ.iter().map(|g| (*g, self.found[*g].axes.iter().position(|a| a == name).unwrap_or(0))),
            )
            .map(|(g, j)| {
                let n = self.found[g].labels[j].len();
                format!("{} of {n} in `{}` dropped", n - all.len().min(n), self.found[g].place)
            })
            .collect();
        let text =
            format!("axis `{name}`: the {} labels that all have are kept; {}", all.len(), sizes.join(", "));
        self.said.push(Diagnostic::new(Code::W0706, text));
        Some(all)
    }

    /// The labels of a subset axis that the whole has.
    fn within(&mut self, whole: &str, all: Vec<String>) -> Option<Vec<String>> {
        let Some(whole_labels) = self.labels.get(whole) else { return Some(all) };
        let name = &self.axis.name;
        let has: std::collections::BTreeSet<&str> = whole_labels.iter().map(String::as_str).collect();
        let (kept, dropped): (Vec<String>, Vec<String>) =
            all.into_iter().partition(|l| has.contains(l.as_str()));
        if kept.is_empty() {
            let text = format!("axis `{name}` lies within `{whole}`, but they have no label in common");
            let d = Diagnostic::new(Code::E0308, text).note(format!("`{name}` has {}", listed(&dropped)));
            self.said.push(d.note(format!("`{whole}` has {}", listed(whole_labels))));
            return None;
        }
        if !dropped.is_empty() {
            let text = format!(
                "axis `{name}`: {} labels are kept, {} that `{whole}` lacks are dropped: {}",
                kept.len(),
                dropped.len(),
                listed(&dropped)
            );
            self.said.push(Diagnostic::new(Code::W0706, text));
        }
        Some(kept)
    }

    /// E0308 for a table whose columns are not as many as the model says.
    fn same_size(&mut self, f: usize, k: usize, n: usize) {
        let (found, name) = (&self.found[f], &self.axis.name);
        let m = found.labels[k].len();
        if m != n {
            let text = format!("axis `{name}` has size {n}, but `{}` has {m} along it", found.place);
            let d = at_slot(self.slots, &found.slot, Diagnostic::new(Code::E0308, text));
            self.said.push(d.help(format!("set its size: --set {name}={m}")));
        }
    }

    /// Brings one axis of one field into the order of `wanted`, every label of which it must have.
    fn follow(&mut self, f: usize, k: usize, wanted: &Arc<Vec<String>>, rules: bool) {
        let found = &mut self.found[f];
        if found.labels[k] == *wanted {
            return;
        }
        let name = &self.axis.name;
        if found.is_numbered(k) {
            if found.labels[k].len() == wanted.len() {
                found.labels[k] = Arc::clone(wanted);
                return;
            }
            let text = format!(
                "axis `{name}` has {} labels, but `{}` has {} along it and no names to match",
                wanted.len(),
                found.place,
                found.labels[k].len()
            );
            self.said.push(at_slot(self.slots, &found.slot, Diagnostic::new(Code::E0308, text)));
            return;
        }
        let mut position: BTreeMap<&str, usize> = BTreeMap::new();
        let mut twice = vec![];
        for (i, l) in found.labels[k].iter().enumerate() {
            if position.insert(l, i).is_some() {
                twice.push(l.clone());
            }
        }
        let lacking: Vec<String> =
            wanted.iter().filter(|l| !position.contains_key(l.as_str())).cloned().collect();
        let asked: std::collections::BTreeSet<&String> = wanted.iter().collect();
        twice.retain(|l| asked.contains(l));
        if !lacking.is_empty() || !twice.is_empty() {
            let (what, which) = match lacking.is_empty() {
                true => ("has more than once", &twice),
                false => ("lacks", &lacking),
            };
            let text = format!("`{}` {what} labels of axis `{name}`: {}", found.place, listed(which));
            self.said.push(at_slot(self.slots, &found.slot, Diagnostic::new(Code::E0308, text)));
            return;
        }
        let places: Vec<usize> = wanted.iter().map(|l| position[l.as_str()]).collect();
        let extra = found.labels[k].len() - wanted.len();
        if rules && extra > 0 {
            let text = format!(
                "axis `{name}`: {extra} labels of `{}` are not of the model and are dropped",
                found.place
            );
            self.said.push(Diagnostic::new(Code::W0706, text));
        }
        found.take(k, &places);
        let over = self.slots.iter().find(|s| s.kind == SlotKind::Index && s.over.as_ref() == Some(name));
        if let Some(slot) = over {
            let text =
                format!("`{}` numbers the labels of axis `{name}`, some of which were dropped", slot.name);
            let d = Diagnostic::new(Code::E0706, text).at(slot.span, "declared here");
            self.said.push(d.help("bring the sources to the same labels before the numbers are made"));
        }
    }
}

fn at_slot(slots: &[Slot], name: &str, d: Diagnostic) -> Diagnostic {
    match slots.iter().find(|s| s.name == name) {
        Some(slot) => d.at(slot.span, "declared here"),
        None => d,
    }
}

/// What would bring the labels of an axis of two fields together.
fn match_help(first: &Found, other: &Found, axis: &str) -> String {
    let labels = |f: &Found, at: Option<usize>| at.map(|k| f.labels[k].to_vec()).unwrap_or_default();
    let own = |f: &Found| labels(f, f.axes.iter().position(|a| a == axis));
    let across = |f: &Found| labels(f, f.axes.iter().position(|a| a != axis));
    let meet = |a: &[String], b: &[String]| {
        let has: std::collections::BTreeSet<&String> = a.iter().collect();
        b.iter().any(|l| has.contains(l))
    };
    let upper = |all: Vec<String>| all.iter().map(|l| l.to_uppercase()).collect::<Vec<_>>();
    let stem = |all: Vec<String>| {
        all.iter().map(|l| l.split('.').next().unwrap_or(l).to_owned()).collect::<Vec<_>>()
    };
    let (a, b) = (own(first), own(other));
    if meet(&across(other), &a) {
        return format!(
            "the other axis of {} has such labels: exchange its rows and columns",
            other.described()
        );
    }
    if meet(&upper(a.clone()), &upper(b.clone())) {
        return "they meet where letter case is left aside: bring both to one spelling".to_owned();
    }
    if meet(&stem(a), &stem(b)) {
        return "they meet without what follows the dot: leave the versions out".to_owned();
    }
    "check that both use the same names, such as gene symbols".to_owned()
}

/// Some names in quotes.
fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
