//! What each purpose asks of the graph.

use super::{FieldValue, Lowerer};
use crate::compiled::{Purpose, SlotKind, TermInfo};
use crate::model::{SiteNo, TermKind, Treat};
use crate::objective::{Estimator, Term};
use autodiff_runtime::{Axes, NodeId, ReduceKind};
use distributions::Support;

impl Lowerer<'_> {
    /// The loss and every term: with `samples`, means over that many draws of the latents.
    pub(super) fn objective(&mut self) {
        match self.repeats {
            Some(axis) => {
                let drawn = (0..self.m.sites.len()).filter(|s| self.is_drawn(*s)).collect();
                self.drawing(drawn, axis, Self::loss_and_terms);
            }
            None => self.loss_and_terms(),
        }
    }

    /// The mean over the draws of the whole objective.
    pub(super) fn over_repeats(&mut self, x: NodeId) -> NodeId {
        match self.repeats {
            Some(axis) => self.mean_along(x, axis),
            None => x,
        }
    }

    fn loss_and_terms(&mut self) {
        let mut bound: Option<NodeId> = None;
        let mut values = vec![];
        for term in &self.o.terms {
            let (value, total) = self.term(term);
            values.push(self.weighted(term, value));
            let scaled = self.weighted(term, total);
            let scaled = self.over_repeats(scaled);
            let scaled = self.scale(term.site, term.per_row, scaled);
            bound = Some(self.plus(bound, scaled));
        }
        if self.training()
            && let Some(s) = self.surrogates(&values)
        {
            bound = Some(self.plus(bound, s));
        }
        for (i, free) in self.m.free.iter().enumerate() {
            let value = self.expr(free.value);
            let value = self.expect(value);
            let value = self.over_repeats(value);
            let name = format!("term {}", i + 1);
            self.at(free.span);
            self.name_output(format!("term:{name}"), value);
            let sign = if free.maximised { 1 } else { -1 };
            self.terms.push(TermInfo { name, per_row: false, sign, free: true });
            let signed = if free.maximised { value } else { self.g.neg(value) };
            bound = Some(self.plus(bound, signed));
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

    fn plus(&mut self, sum: Option<NodeId>, x: NodeId) -> NodeId {
        match sum {
            Some(s) => self.g.add(s, x),
            None => x,
        }
    }

    /// The term, unweighted: one number a row (or a global one), and its total, for each draw. Declares its outputs,
    /// which are means over the draws.
    fn term(&mut self, term: &Term) -> (NodeId, NodeId) {
        let site = &self.m.sites[term.site];
        let value = match term.draws {
            1 => self.estimate(term),
            n => {
                // Everything that the term reads is drawn anew.
                let mut drawn = self.m.sites_read(site.prior.reads());
                drawn.push(term.site);
                let freely = |s: &SiteNo| self.is_drawn(*s) && !self.is_scored(*s);
                let drawn = drawn.into_iter().filter(freely).collect();
                self.averaging(drawn, n, |l| l.estimate(term))
            }
        };
        self.at(term.span);
        let value = self.plate_weighted(term.site, value);
        let plates = self.axes_of(site.plates.iter().copied());
        let full = plates.union(self.g.axes_of(value));
        let value = self.g.broadcast(value, &full);
        let rest = plates.minus(&self.plate().map_or(Axes::none(), Axes::from));
        let row = if rest.is_empty() { value } else { self.g.sum(value, rest) };
        if term.per_row {
            let mean = self.over_repeats(row);
            self.name_output(format!("row:{}", term.name), mean);
        }
        let total = if plates.is_empty() { value } else { self.g.sum(value, plates) };
        let mean = self.over_repeats(total);
        self.name_output(format!("term:{}", term.name), mean);
        let sign = if term.kind == TermKind::Kl { -1 } else { 1 };
        self.terms.push(TermInfo { name: term.name.clone(), per_row: term.per_row, sign, free: false });
        (row, total)
    }

    fn is_drawn(&self, s: SiteNo) -> bool {
        let summed = matches!(self.m.sites[s].treat, None | Some(Treat::Point(_) | Treat::Marginal));
        !summed && self.enumerated(s).is_none()
    }

    /// Whether gradients of a site are those of its draw or of a score, which must be that of every term.
    fn is_scored(&self, s: SiteNo) -> bool {
        matches!(self.m.sites[s].treat, Some(Treat::Score | Treat::Relaxed(_)))
    }

    /// A term over the plates of its site.
    fn estimate(&mut self, term: &Term) -> NodeId {
        match (term.kind, term.estimator) {
            (_, Estimator::Sum) => match term.sum {
                Some(k) => self.sum_over_plates(k, term.site),
                None => self.g.constant(0.0),
            },
            (TermKind::Lik | TermKind::Prior, _) => {
                let value = self.factor(term.site);
                self.over_plates(term.site, value)
            }
            (TermKind::Kl, Estimator::Analytic) => self.closed_form(term.site),
            (TermKind::Kl, _) => self.monte_carlo(term.site, term.sum),
        }
    }

    /// ± weight · value.
    fn weighted(&mut self, term: &Term, value: NodeId) -> NodeId {
        let signed = if term.kind == TermKind::Kl { self.g.neg(value) } else { value };
        match term.weight {
            Some(w) => {
                let w = self.expr(w);
                let w = self.expect(w);
                self.g.mul(signed, w)
            }
            None => signed,
        }
    }

    /// N/B for each minibatched plate of a term's site, divided by N if the objective is a mean.
    pub(super) fn scale(&mut self, site: SiteNo, per_row: bool, value: NodeId) -> NodeId {
        let (n, b) = (self.bound.n_rows.max(1) as f64, self.request.n_batch.max(1) as f64);
        let paired = self.paired.filter(|p| self.m.sites[site].plates.contains(p));
        let paired = paired.and_then(|p| self.bound.sizes.get(self.m.axis_name(p)));
        let value = match paired {
            Some(n) => self.g.mul_const(value, *n as f64 / b),
            None => value,
        };
        let scale = match (per_row, self.m.train.reduce_total) {
            (true, false) => 1.0 / b,
            (true, true) => n / b,
            (false, false) => 1.0 / n,
            (false, true) => 1.0,
        };
        self.g.mul_const(value, scale)
    }

    /// KL(q ‖ p) in closed form; the registry said that there is one.
    fn closed_form(&mut self, s: SiteNo) -> NodeId {
        let (q, p) = (self.guide(s), self.prior(s));
        if let Some(low) = &q.low_rank {
            let exists = self.exists(s);
            return match low.kl(&mut self.g, &p.dist, exists) {
                Some(kl) => {
                    let full = self.site_axes(s).minus(&low.elements).union(self.g.axes_of(kl));
                    let kl = self.g.broadcast(kl, &full);
                    self.over_plates(s, kl)
                }
                None => self.monte_carlo(s, None),
            };
        }
        let value = if p.mixture.is_some() {
            // Only of a point mass: −log p there.
            let at = self.sample(s);
            let log_p = self.density(&p, s, at);
            self.g.neg(log_p)
        } else {
            match q.dist.kl(&mut self.g, &p.dist) {
                Some(kl) => kl,
                None => return self.monte_carlo(s, None),
            }
        };
        let event = self.m.sites[s].prior.event.map_or(Axes::none(), |a| Axes::from(self.axis(a)));
        let own = if p.mixture.is_some() { self.site_axes(s) } else { Axes::none() };
        let full = self.site_axes(s).minus(&event).minus(&own).union(self.g.axes_of(value));
        let value = self.g.broadcast(value, &full);
        let value = self.where_present(s, value);
        self.over_plates(s, value)
    }

    /// log q − log p at the draw, or over all values. A prior that stands in a sum counts there. Where the site is data
    /// there is nothing to draw: only −log p.
    fn monte_carlo(&mut self, s: SiteNo, sum: Option<usize>) -> NodeId {
        let at = self.sample(s);
        let mut log_q = self.log_guide(s, at);
        let site = &self.m.sites[s];
        if let Some(known) = site.observed.filter(|_| !site.ignored).and_then(|f| self.known(f)) {
            let zero = self.g.constant(0.0);
            log_q = self.g.select(known, zero, log_q);
        }
        let log_q = self.over_plates(s, log_q);
        let log_p = match sum {
            None => {
                let log_p = self.factor(s);
                self.over_plates(s, log_p)
            }
            Some(k) if self.o.sums[k].carrier == Some((TermKind::Kl, s)) => self.sum_over_plates(k, s),
            Some(_) => self.g.constant(0.0),
        };
        let kl = self.g.sub(log_q, log_p);
        match self.volume(s, at) {
            Some(v) => {
                let v = self.where_present(s, v);
                let v = self.over_plates(s, v);
                self.g.sub(kl, v)
            }
            None => kl,
        }
    }

    /// `kl(site)`: as its term has it.
    pub(super) fn divergence(&mut self, s: SiteNo) -> NodeId {
        let term = self.o.terms.iter().find(|t| t.kind == TermKind::Kl && t.site == s).cloned();
        match term {
            Some(t) => self.estimate(&t),
            None => self.monte_carlo(s, None),
        }
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
            let ty = &self.m.expr(o.value).ty;
            if let Some(a) = ty.of.filter(|_| ty.support == Support::Category) {
                self.output_labels.insert(name.clone(), self.m.axis_name(a).to_owned());
            }
            let node = self.expr(o.value);
            let node = self.as_real(node);
            let node = self.expect(node);
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
            self.fields.insert((0, f), value);
            self.fields_held.insert(f);
        } else if let Some(s) = self.m.find_site(name) {
            let axes = self.site_axes(s);
            let label = self.m.sites[s]
                .prior
                .event
                .filter(|_| self.m.sites[s].prior.family.support() == Support::Category);
            let constant = match label {
                Some(a) => {
                    let axis = self.axis(a);
                    let hot = self.one_hot(number.max(0.0) as usize, axis);
                    self.g.reduce(ReduceKind::ArgMax, hot, axis)
                }
                None => self.g.constant(number),
            };
            let node = self.g.broadcast(constant, &axes);
            self.samples.insert((0, s), node.into());
        }
    }

    /// Every latent from its prior, every observed field from its likelihood.
    pub(super) fn simulation(&mut self) {
        for s in 0..self.m.sites.len() {
            let name = self.m.sites[s].name.clone();
            let node = self.site_value(s);
            let node = self.as_real(node);
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
