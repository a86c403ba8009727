//! What each purpose asks of the graph.

use super::{FieldValue, Lowerer};
use crate::compiled::{Purpose, SlotKind, TermInfo};
use crate::model::{SiteNo, TermKind};
use crate::objective::{Estimator, Term};
use autodiff_runtime::{Axes, NodeId};

impl Lowerer<'_> {
    /// The loss and every term.
    pub(super) fn objective(&mut self) {
        let mut bound: Option<NodeId> = None;
        for term in &self.o.terms {
            let value = self.term(term);
            let scaled = self.scaled(term, value);
            bound = Some(match bound {
                Some(b) => self.g.add(b, scaled),
                None => scaled,
            });
        }
        let Some(bound) = bound else { return };
        let mut loss = self.g.neg(bound);
        let mut minimised = loss;
        if let Some((fool, tell)) = self.adversaries() {
            loss = self.g.add(loss, fool);
            minimised = self.g.add(loss, tell);
            self.name_output("adversaries".into(), tell);
        }
        self.g.output("loss", loss);
        self.output_axes.insert("loss".into(), vec![]);
        self.loss = Some(minimised);
    }

    /// The term, unweighted: one number a row, or a global one. Declares its outputs and gives its total.
    fn term(&mut self, term: &Term) -> NodeId {
        let site = &self.m.sites[term.site];
        let value = match (term.kind, term.estimator) {
            (TermKind::Lik, _) => self.likelihood(term.site),
            (TermKind::Kl, Estimator::Analytic) => {
                let (q, p) = (self.guide(term.site), self.dist(&site.prior.clone()));
                match q.kl(&mut self.g, &p) {
                    Some(kl) => kl,
                    // The registry said yes and the family no: the draw still gives the right value.
                    None => self.monte_carlo(term.site),
                }
            }
            (TermKind::Kl, _) => self.monte_carlo(term.site),
        };
        self.at(term.span);
        let event = site.prior.event.map_or(Axes::none(), |a| Axes::from(self.axis(a)));
        let full = self.site_axes(term.site).minus(&event);
        let value = self.masked(term.site, value);
        let value = self.g.broadcast(value, &full);
        let plates = self.axes_of(site.plates.iter().copied());
        let own = full.minus(&plates);
        let value = if own.is_empty() { value } else { self.g.sum(value, own) };
        if term.per_row {
            let rest = plates.minus(&self.plate().map_or(Axes::none(), Axes::from));
            let row = if rest.is_empty() { value } else { self.g.sum(value, rest) };
            self.name_output(format!("row:{}", term.name), row);
        }
        let total = if plates.is_empty() { value } else { self.g.sum(value, plates) };
        self.name_output(format!("term:{}", term.name), total);
        let sign = if term.kind == TermKind::Lik { 1 } else { -1 };
        self.terms.push(TermInfo { name: term.name.clone(), per_row: term.per_row, sign });
        total
    }

    /// ± weight · scale · term: N/B for a term of the minibatched plate, divided by N if the objective is a mean.
    fn scaled(&mut self, term: &Term, value: NodeId) -> NodeId {
        let (n, b) = (self.bound.n_rows.max(1) as f64, self.request.n_batch.max(1) as f64);
        let paired = self.paired.filter(|p| self.m.sites[term.site].plates.contains(p));
        let value = match paired.and_then(|p| self.bound.sizes.get(self.m.axis_name(p))) {
            Some(n) => self.g.mul_const(value, *n as f64 / b),
            None => value,
        };
        let scale = match (term.per_row, self.m.train.reduce_total) {
            (true, false) => 1.0 / b,
            (true, true) => n / b,
            (false, false) => 1.0 / n,
            (false, true) => 1.0,
        };
        let sign = if term.kind == TermKind::Lik { 1.0 } else { -1.0 };
        let scaled = self.g.mul_const(value, sign * scale);
        match term.weight {
            Some(w) => {
                let w = self.expr(w);
                self.g.mul(scaled, w)
            }
            None => scaled,
        }
    }

    fn likelihood(&mut self, s: SiteNo) -> NodeId {
        let site = &self.m.sites[s];
        let p = self.dist(&site.prior.clone());
        let value = match (site.part, site.observed.map(|f| self.field(f))) {
            (Some(part), _) => self.expr(part),
            (None, Some(FieldValue::Node(n))) => n,
            _ => self.g.constant(0.0),
        };
        self.at(site.span);
        p.log_prob(&mut self.g, value.into())
    }

    /// log q(z) − log p(z) at the draw.
    fn monte_carlo(&mut self, s: SiteNo) -> NodeId {
        let v = self.sample(s);
        let (q, p) = (self.guide(s), self.dist(&self.m.sites[s].prior.clone()));
        let (lq, lp) = (q.log_prob(&mut self.g, v), p.log_prob(&mut self.g, v));
        self.g.sub(lq, lp)
    }

    fn name_output(&mut self, name: String, node: NodeId) {
        let axes = self.g.axes_of(node).iter().map(|a| self.g.axis(a).name.clone()).collect();
        self.output_axes.insert(name.clone(), axes);
        self.g.output(name, node);
    }

    /// Named outputs under interventions.
    pub(super) fn outputs(&mut self, names: &[String], given: &[(String, String)]) {
        for (name, value) in given {
            self.hold(name, value);
        }
        for name in names {
            let Some(o) = self.m.outputs.iter().find(|o| o.info.name == *name) else { continue };
            let node = self.expr(o.value);
            let axes = self.axes_of(self.m.expr(o.value).ty.axes.iter().copied());
            let node = self.g.broadcast(node, &axes);
            self.name_output(name.clone(), node);
        }
    }

    /// Holds a field (a category at the number of a label) or a latent at a value.
    fn hold(&mut self, name: &str, value: &str) {
        let number: f64 = value.parse().unwrap_or(f64::NAN);
        if let Some(f) = self.m.fields.iter().position(|f| f.slot.name == name) {
            let value = if self.m.fields[f].slot.kind == SlotKind::Category {
                let single = self.m.fields[f].ty.of.is_none_or(|a| self.g.size(self.axis(a)) <= 1);
                if single { FieldValue::Single } else { FieldValue::Code(number.max(0.0) as usize) }
            } else {
                FieldValue::Node(self.g.constant(number))
            };
            self.fields.insert(f, value);
            self.fields_held.insert(f);
        } else if let Some(s) = self.m.find_site(name) {
            let axes = self.site_axes(s);
            let constant = self.g.constant(number);
            let node = self.g.broadcast(constant, &axes);
            self.samples.insert(s, node.into());
        }
    }

    /// Every latent from its prior, every observed field from its likelihood.
    pub(super) fn simulation(&mut self) {
        for s in 0..self.m.sites.len() {
            let name = self.m.sites[s].name.clone();
            let node = match self.m.sites[s].observed {
                None => self.site_value(s),
                Some(_) => {
                    let d = self.dist(&self.m.sites[s].prior.clone());
                    let axes = self.site_axes(s);
                    self.draw(&d, s, axes).value
                }
            };
            self.name_output(name, node);
        }
    }

    /// Every statistic that the model reads.
    pub(super) fn statistics(&mut self) {
        for no in 0..self.m.stats.len() {
            let node = self.stat_value(no);
            let axes = self.axes_of(self.m.stats[no].ty.axes.iter().copied());
            let node = self.g.broadcast(node, &axes);
            self.name_output(self.m.stats[no].name.clone(), node);
        }
    }

    /// The value of a statistic, over the rows of this graph.
    pub(super) fn stat_value(&mut self, no: usize) -> NodeId {
        debug_assert!(self.request.purpose == Purpose::Statistics);
        let stat = &self.m.stats[no];
        let outer = std::mem::replace(&mut self.within, stat.within);
        let memo = std::mem::take(&mut self.memo);
        let node = self.expr(stat.value);
        self.memo = memo;
        self.within = outer;
        node
    }
}
