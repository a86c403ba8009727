//! Expression words, noise, and truth values that are relaxed.

use super::Lowerer;
use crate::model::{ExprId, ExprKind, SiteNo, SiteWord};
use autodiff_runtime::{Axes, Elem, NodeId};
use distributions::Support;

impl Lowerer<'_> {
    pub(super) fn of_site(&mut self, word: SiteWord, s: SiteNo) -> NodeId {
        match word {
            SiteWord::LogP => {
                let sum = self.o.sums.iter().position(|k| k.factors.contains(&s));
                match sum {
                    // What is summed is summed here too.
                    Some(k) => self.sum_over_plates(k, s),
                    None => {
                        let value = self.factor(s);
                        self.over_plates(s, value)
                    }
                }
            }
            SiteWord::LogQ => self.log_q(s),
            SiteWord::Kl => self.divergence(s),
            SiteWord::Prob => self.probabilities(s),
            SiteWord::Sample if self.enumerated(s).is_some() => self.chosen(s),
            SiteWord::Sample if self.m.is_latent(s) => self.site_value(s),
            SiteWord::Sample => self.sampled(s),
        }
    }

    /// A draw from the model, given the latents.
    fn sampled(&mut self, s: SiteNo) -> NodeId {
        let p = self.prior(s);
        let mut axes = self.site_axes(s);
        for x in p.dist.params.clone() {
            axes = axes.union(&self.extra(x));
        }
        let own = self.axes_of(self.m.sites[s].axes.iter().copied());
        let name = format!("sample({})", self.m.sites[s].name);
        let v = self.draw_over(&p, &name, axes, &own).value;
        if self.m.sites[s].prior.family.support() == Support::Category { v } else { self.expect(v) }
    }

    /// A value of an enumerated site, drawn with its probabilities.
    fn chosen(&mut self, s: SiteNo) -> NodeId {
        let p = self.probabilities(s);
        let axes = self.site_axes(s);
        let (rows, stream) = (self.rows(&axes), self.stream(&format!("sample({})", self.m.sites[s].name)));
        let event = self.m.sites[s].prior.event.map(|a| self.axis(a));
        let name = if event.is_some() { "Categorical" } else { "Bernoulli" };
        let Some(family) = distributions::find(name) else { return p };
        let set = family.parameter_sets().iter().position(|s| s[0].name == "probs").unwrap_or(0);
        let dist = distributions::Dist { family, set, params: vec![p], event };
        dist.sample(&mut self.g, &distributions::Draw { stream, axes, rows }).value
    }

    /// log q at the site's value: of a partly observed one at its data.
    fn log_q(&mut self, s: SiteNo) -> NodeId {
        let at = match self.m.sites[s].observed {
            Some(f) => self.field_value(f).into(),
            None => self.sample(s),
        };
        let value = self.log_guide(s, at);
        self.over_plates(s, value)
    }

    /// A value of a `draw` statement; no gradient passes.
    pub(super) fn noise(&mut self, no: usize) -> NodeId {
        let d = self.m.draws[no].clone();
        let law = self.law(&d.dist);
        let mut axes = self.axes_of(d.axes.iter().copied());
        for p in law.dist.params.clone() {
            axes = axes.union(&self.extra(p));
        }
        self.at(d.span);
        let plates: Axes = self.plate().map_or(Axes::none(), Axes::from);
        let own = axes.minus(&plates);
        let v = self.draw_over(&law, &format!("draw {}", d.name), axes, &own).value;
        self.g.stop(v)
    }

    /// Choices by a relaxed truth value mix what they choose from.
    pub(super) fn soft_logic(&mut self, elem: Elem, args: &[ExprId], nodes: &[NodeId]) -> Option<NodeId> {
        if !matches!(elem, Elem::Select | Elem::Not) || !self.reads_soft(args[0]) {
            return None;
        }
        let one = self.g.constant(1.0);
        let rest = self.g.sub(one, nodes[0]);
        if elem == Elem::Not {
            return Some(rest);
        }
        let (yes, no) = (self.g.mul(nodes[0], nodes[1]), self.g.mul(rest, nodes[2]));
        Some(self.g.add(yes, no))
    }

    fn reads_soft(&self, id: ExprId) -> bool {
        match &self.m.expr(id).kind {
            ExprKind::Site(s) => self.soft(*s),
            ExprKind::Elem(Elem::Not, args) => args.iter().any(|a| self.reads_soft(*a)),
            _ => false,
        }
    }
}
