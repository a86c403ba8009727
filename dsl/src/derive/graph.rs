//! Who is drawn from whom in the guide.

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{ExprId, Model, SiteNo, Treat};
use std::collections::BTreeSet;

/// Parents and descendants in the guide. A site that follows its prior is drawn there as in the model; a site that is
/// summed in the model is not drawn at all.
pub(super) struct GuideGraph {
    pub(super) parents: Vec<Vec<SiteNo>>,
    /// desc[i]: sites drawn, directly or not, from i.
    pub(super) descendants: Vec<BTreeSet<SiteNo>>,
}

/// The expressions that a site's draw reads.
pub(crate) fn drawn_from(m: &Model, site: SiteNo) -> Vec<ExprId> {
    let s = &m.sites[site];
    match (&s.guide, s.treat) {
        (Some(q), _) => q.reads().collect(),
        (None, Some(Treat::Prior)) => s.prior.reads().collect(),
        _ => vec![],
    }
}

impl GuideGraph {
    pub(super) fn new(m: &Model) -> Self {
        let parents: Vec<Vec<SiteNo>> = (0..m.sites.len()).map(|s| m.sites_read(drawn_from(m, s))).collect();
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

    /// Sites in an order of drawing: each after those that it is drawn from.
    pub(super) fn order(&self) -> Vec<SiteNo> {
        let mut order: Vec<SiteNo> = vec![];
        let mut left: Vec<SiteNo> = (0..self.parents.len()).collect();
        while !left.is_empty() {
            let ready = |s: &SiteNo| self.parents[*s].iter().all(|p| order.contains(p));
            let (now, later): (Vec<SiteNo>, Vec<SiteNo>) = left.iter().copied().partition(ready);
            // A circle, which is reported elsewhere: any order will do.
            let now = if now.is_empty() { later.clone() } else { now };
            left.retain(|s| !now.contains(s));
            order.extend(now);
        }
        order
    }

    /// E0505: guides that read latents which are drawn from them, one message for each circle; and guides that read
    /// what is summed in the model.
    pub(super) fn check_order(&self, m: &Model, diags: &mut Diagnostics) {
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
        self.check_marginal(m, diags);
    }

    fn check_marginal(&self, m: &Model, diags: &mut Diagnostics) {
        for (s, parents) in self.parents.iter().enumerate() {
            let Some(&p) = parents.iter().find(|p| m.sites[**p].treat == Some(Treat::Marginal)) else {
                continue;
            };
            let (site, parent) = (&m.sites[s], &m.sites[p]);
            let what =
                format!("the guide of `{}` reads `{}`, which has no value there", site.name, parent.name);
            let d = Diagnostic::new(Code::E0505, what).at(site.guide_span.unwrap_or(site.span), "read here");
            let d = d.also(parent.guide_span.unwrap_or(parent.span), "summed in the model");
            diags.push(
                d.help(format!("give `{}` a distribution in the guide, or read something else", parent.name)),
            );
        }
    }
}
