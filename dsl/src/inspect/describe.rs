//! What one name of a program is, for hovers and hints.

use super::shapes::{holds, plates};
use crate::compile::Compiled;
use crate::model::{Model, Ty};

impl Compiled {
    /// Support and own axes of a named value: `positive[gene]`.
    pub fn type_of(&self, name: &str) -> Option<String> {
        let m = self.model();
        find(m, name).map(|(_, ty)| shown(m, &ty))
    }

    /// What a name is, in Markdown paragraphs: kind, type and plates; for a site its terms of the bound; for an axis or
    /// option its source or value. Empty for a name that the model does not have.
    pub fn describe(&self, name: &str) -> Vec<String> {
        let m = self.model();
        let mut out = vec![];
        if let Some((kind, ty)) = find(m, name) {
            let each: Vec<&str> =
                plates(m).into_iter().filter(|a| ty.axes.contains(a)).map(|a| m.axis_name(a)).collect();
            let each =
                if each.is_empty() { String::new() } else { format!(", for each {}", each.join(", ")) };
            out.push(format!("{kind} `{name}` : `{}`{each}", shown(m, &ty)));
        }
        if let Some(axis) = m.axes.iter().find(|a| a.name == name) {
            out.push(format!("axis `{name}`: {}", super::shapes::source(&axis.source)));
        }
        if let Some(option) = m.options.iter().find(|o| o.name == name) {
            out.push(format!("option `{name}` = `{}`", option.value));
        }
        let terms = self.terms_of(name);
        if !terms.is_empty() {
            out.push(format!("```text\n{}\n```", terms.join("\n")));
        }
        out
    }

    /// The lines of the explanation that are about the terms of a site.
    fn terms_of(&self, site: &str) -> Vec<String> {
        let heads = ["lik", "kl", "prior"].map(|kind| format!("{kind}({site})"));
        let text = self.explain();
        let mut lines = vec![];
        let mut taking = false;
        for line in text.lines() {
            let term = line.strip_prefix("  ").and_then(|l| l.split_whitespace().nth(1));
            taking =
                term.is_some_and(|t| heads.iter().any(|h| h == t)) || (taking && line.starts_with("      "));
            if taking {
                lines.push(line.trim_start().to_owned());
            }
        }
        lines
    }
}

fn shown(m: &Model, ty: &Ty) -> String {
    let plates = plates(m);
    let own: Vec<&str> = ty.axes.iter().filter(|a| !plates.contains(a)).map(|a| m.axis_name(*a)).collect();
    let own = if own.is_empty() { String::new() } else { format!("[{}]", own.join(", ")) };
    format!("{}{own}", holds(m, ty))
}

/// Kind and type of a named value.
fn find(m: &Model, name: &str) -> Option<(&'static str, Ty)> {
    let latent = |s: &&crate::model::Site| s.name == name && s.observed.is_none();
    if let Some(site) = m.sites.iter().find(latent) {
        let axes = site.plates.iter().chain(&site.axes).copied().collect();
        return Some(("latent", Ty::new(axes, site.prior.family.support())));
    }
    if let Some(f) = m.fields.iter().find(|f| f.slot.name == name) {
        return Some(("field", f.ty.clone()));
    }
    if let Some(p) = m.params.iter().find(|p| p.name == name) {
        return Some(("parameter", p.ty.clone()));
    }
    if let Some(s) = m.stats.iter().find(|s| s.name == name) {
        return Some(("statistic", s.ty.clone()));
    }
    m.definitions.get(name).map(|id| ("definition", m.expr(*id).ty.clone()))
}
