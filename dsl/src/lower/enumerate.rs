//! Enumerated sites: probabilities of their values, averages over them, and sums in the model.

use super::{FieldValue, Lowerer};
use crate::model::{SiteNo, Treat};
use autodiff_runtime::{Axes, AxisId, Elem, NodeId};
use distributions::Support;

/// Log weight of a value that the data rule out.
const NEVER: f64 = f64::NEG_INFINITY;

impl Lowerer<'_> {
    /// Probabilities of an enumerated site along its axis: of the guide, or, for a site summed in the model, given
    /// everything that stands in its sum. A known value has probability 1.
    pub(super) fn weights(&mut self, s: SiteNo) -> Option<NodeId> {
        let axis = self.enumerated(s)?;
        let key = (self.home_of_site(s), s);
        if let Some(w) = self.weights.get(&key) {
            return Some(*w);
        }
        if self.m.sites[s].treat == Some(Treat::Marginal) {
            let k = self.o.sums.iter().position(|sum| sum.sites.contains(&s))?;
            self.summed(k);
            return self.weights.get(&key).copied();
        }
        let q = self.guide(s);
        let at = self.sample(s);
        let log_q = q.dist.log_prob(&mut self.g, at);
        let log_q = self.along(log_q, axis);
        let w = self.g.exp(log_q);
        let w = match self.hot(s, axis) {
            Some((known, hot)) => self.g.select(known, hot, w),
            None => w,
        };
        self.weights.insert(key, w);
        Some(w)
    }

    /// Where the value of a partly observed site is known, and 1 at that value along the axis.
    pub(super) fn hot(&mut self, s: SiteNo, axis: AxisId) -> Option<(NodeId, NodeId)> {
        let site = &self.m.sites[s];
        let f = site.observed.filter(|_| !site.ignored)?;
        let known = self.known(f)?;
        let FieldValue::Node(code) = self.field(f) else { return None };
        let places = self.g.iota(axis);
        let hot = self.g.binary(Elem::Eq, code, places);
        Some((known, hot))
    }

    /// The average over the values of every enumerated site that a value depends on; those drawn last come first.
    pub(super) fn expect(&mut self, x: NodeId) -> NodeId {
        if self.extra(x).is_empty() {
            return x;
        }
        let mut x = x;
        for s in self.averaged_in_order(x) {
            x = self.expect_one(x, s);
        }
        x
    }

    fn expect_one(&mut self, x: NodeId, s: SiteNo) -> NodeId {
        let Some(axis) = self.enumerated(s).filter(|a| self.g.axes_of(x).contains(*a)) else { return x };
        match self.weights(s) {
            Some(w) => self.g.contract(x, w, axis),
            None => x,
        }
    }

    /// Enumerated sites, each before those that its probabilities depend on: sites summed in the model in the order of
    /// elimination, then those of the guide, last drawn first.
    fn averaged_in_order(&mut self, x: NodeId) -> Vec<SiteNo> {
        let mut order = vec![];
        for k in 0..self.o.sums.len() {
            let present = |l: &Self, s: SiteNo| l.enumerated(s).is_some_and(|a| l.g.axes_of(x).contains(a));
            if self.o.sums[k].sites.iter().any(|s| present(self, *s)) {
                self.summed(k);
                order.extend(self.eliminated.get(&k).cloned().unwrap_or_default());
            }
        }
        order.extend(self.o.enumerated.iter().rev());
        order
    }

    /// The factor of a site: log p at its value, over its axes and those of enumeration. Missing values give 0.
    pub(super) fn factor(&mut self, s: SiteNo) -> NodeId {
        let site = &self.m.sites[s];
        let p = self.prior(s);
        let observed = site.observed.filter(|_| site.treat.is_none());
        let at = match (site.part, observed) {
            (Some(part), _) => self.expr(part).into(),
            (None, Some(f)) => self.field_value(f).into(),
            (None, None) => self.sample(s),
        };
        self.at(site.span);
        let value = self.density(&p, s, at);
        self.where_present(s, value)
    }

    /// A quantity of a site over its plates: averaged over enumerated values and summed over all other axes.
    pub(super) fn over_plates(&mut self, s: SiteNo, x: NodeId) -> NodeId {
        let plates = self.axes_of(self.m.sites[s].plates.iter().copied());
        let own = self.g.axes_of(x).minus(&plates).minus(&self.extra(x));
        let mut x = x;
        // Axes that no probability has are summed first, which is cheaper.
        let mut keep = Axes::none();
        for c in 0..self.m.sites.len() {
            if self.enumerated(c).is_some_and(|a| self.g.axes_of(x).contains(a)) {
                keep = keep.union(&self.site_axes(c));
            }
        }
        let first = own.minus(&keep).intersect(self.g.axes_of(x));
        if !first.is_empty() {
            x = self.g.sum(x, first);
        }
        x = self.expect(x);
        let rest = own.intersect(self.g.axes_of(x));
        if rest.is_empty() { x } else { self.g.sum(x, rest) }
    }

    /// A sum of the model over the plates of a site.
    pub(super) fn sum_over_plates(&mut self, k: usize, s: SiteNo) -> NodeId {
        let mut total = self.g.constant(0.0);
        for part in self.summed(k) {
            let part = self.over_plates(s, part);
            total = self.g.add(total, part);
        }
        total
    }

    /// The log of a sum in the model: factors that add up, each with the axes that it has left. Keeps the probabilities
    /// of the summed sites.
    fn summed(&mut self, k: usize) -> Vec<NodeId> {
        let sum = &self.o.sums[k];
        let home = sum.sites.first().map_or(0, |s| self.home_of_site(*s));
        if let Some(x) = self.sums.get(&(home, k)) {
            return x.clone();
        }
        let mut factors: Vec<NodeId> = sum.factors.iter().map(|i| self.factor(*i)).collect();
        for &c in &sum.sites {
            // A value that is known is the only one.
            if let Some(axis) = self.enumerated(c)
                && let Some((known, hot)) = self.hot(c, axis)
            {
                let (zero, never) = (self.g.constant(0.0), self.g.constant(NEVER));
                let out = self.g.select(hot, zero, never);
                factors.push(self.g.select(known, out, zero));
            }
        }
        let mut left = sum.sites.clone();
        let mut order = vec![];
        while let Some(c) = self.next(&left, &factors) {
            left.retain(|s| *s != c);
            self.eliminate(c, home, &mut factors);
            order.push(c);
        }
        self.eliminated.insert(k, order);
        self.sums.insert((home, k), factors.clone());
        factors
    }

    /// The site to sum next: one whose factors depend on no other with more axes; of several the cheapest.
    fn next(&self, left: &[SiteNo], factors: &[NodeId]) -> Option<SiteNo> {
        let cost = |c: SiteNo| {
            let axis = self.enumerated(c)?;
            let mine = factors.iter().filter(|f| self.g.axes_of(**f).contains(axis));
            let axes = mine.fold(Axes::none(), |all, f| all.union(self.g.axes_of(*f)));
            let nested = left.iter().all(|d| {
                let there = self.enumerated(*d).is_some_and(|a| axes.contains(a));
                *d == c || !there || self.site_axes(*d).is_subset(&self.site_axes(c))
            });
            nested.then(|| self.g.n_elements(&axes))
        };
        left.iter().copied().filter_map(|c| cost(c).map(|n| (n, c))).min().map(|x| x.1)
    }

    /// Replaces the factors that depend on a site by the log of their sum over its values.
    fn eliminate(&mut self, c: SiteNo, home: usize, factors: &mut Vec<NodeId>) {
        let Some(axis) = self.enumerated(c) else { return };
        let extent = self.site_axes(c);
        let (mine, rest): (Vec<NodeId>, Vec<NodeId>) =
            factors.iter().partition(|f| self.g.axes_of(**f).contains(axis));
        let mut joint: Option<NodeId> = None;
        for f in mine {
            let inside = self.g.axes_of(f).minus(&extent).minus(&self.extra(f));
            let f = if inside.is_empty() { f } else { self.g.sum(f, inside) };
            joint = Some(match joint {
                Some(j) => self.g.add(j, f),
                None => f,
            });
        }
        *factors = rest;
        let Some(joint) = joint else { return };
        let w = self.g.softmax(joint, axis);
        self.weights.insert((home, c), w);
        factors.push(self.g.logsumexp(joint, axis));
    }

    /// `prob(site)`: along the axis of its labels, or of being true.
    pub(super) fn probabilities(&mut self, s: SiteNo) -> NodeId {
        let event = self.m.sites[s].prior.event.map(|a| self.axis(a));
        let Some(axis) = self.enumerated(s) else {
            // Drawn with a score-function gradient, or relaxed: the guide's own.
            let q = self.guide(s);
            return match q.dist.mean(&mut self.g) {
                Some(p) => p,
                None => self.g.constant(f64::NAN),
            };
        };
        let Some(w) = self.weights(s) else { return self.g.constant(f64::NAN) };
        // Averaged over the values that others take.
        let mut x = w;
        for other in self.averaged_in_order(w).into_iter().filter(|o| *o != s) {
            x = self.expect_one(x, other);
        }
        match event {
            Some(labels) => self.g.rename(x, axis, labels),
            None => {
                let places = self.g.iota(axis);
                let places = self.g.to_real(places);
                self.g.contract(x, places, axis)
            }
        }
    }

    /// Whether a site's value is a relaxation.
    pub(super) fn soft(&self, s: SiteNo) -> bool {
        matches!(self.m.sites[s].treat, Some(Treat::Relaxed(_)))
            && self.request.purpose != crate::compiled::Purpose::Simulation
            && !self.contexts[self.home_of_site(s)].held.contains(&s)
    }

    /// A label as weights along its axis: softmax((logits + Gumbel noise) / temperature); a truth value as
    /// σ((logit + logistic noise) / temperature).
    pub(super) fn relaxed(&mut self, s: SiteNo, temperature: NodeId) -> NodeId {
        use autodiff_runtime::RandomKind;
        let q = self.guide(s);
        let name = self.m.sites[s].name.clone();
        let mut axes = self.site_axes(s);
        if let Some(e) = q.dist.event {
            axes = axes.with(e);
        }
        for p in q.dist.params.clone() {
            axes = axes.union(&self.extra(p));
        }
        axes = axes.union(&self.draws_of(s));
        let (rows, stream) = (self.rows(&axes), self.stream(&name));
        let u = self.g.random(RandomKind::Uniform, &[], stream, axes, rows);
        let log_u = self.g.log(u);
        match q.dist.event {
            Some(e) => {
                let logits = self.log_table(&q.dist);
                let minus = self.g.neg(log_u);
                let minus = self.g.log(minus);
                let noisy = self.g.sub(logits, minus);
                let scaled = self.g.div(noisy, temperature);
                self.g.softmax(scaled, e)
            }
            None => {
                let logit = self.log_odds(&q.dist);
                let minus = self.g.neg(u);
                let rest = self.g.log1p(minus);
                let noise = self.g.sub(log_u, rest);
                let noisy = self.g.add(logit, noise);
                let scaled = self.g.div(noisy, temperature);
                self.g.sigmoid(scaled)
            }
        }
    }

    /// log p of a relaxed value: linear between those of the exact values.
    pub(super) fn soft_density(&mut self, d: &super::site::Law, value: NodeId) -> NodeId {
        match d.dist.event.filter(|_| d.dist.family.support() == Support::Category) {
            Some(e) => {
                let table = self.log_table(&d.dist);
                self.g.contract(value, table, e)
            }
            None => d.dist.log_prob(&mut self.g, value.into()),
        }
    }

    /// Log probabilities along the axis of the labels: the log density at each of them.
    fn log_table(&mut self, d: &distributions::Dist) -> NodeId {
        let Some(e) = d.event else { return d.params[0] };
        let twin = self.g.add_axis(self.g.axis(e).name.clone(), self.g.size(e));
        let places = self.g.iota(twin);
        let table = d.log_prob(&mut self.g, places.into());
        let table = self.along(table, twin);
        self.g.rename(table, twin, e)
    }

    /// log p(1) − log p(0).
    fn log_odds(&mut self, d: &distributions::Dist) -> NodeId {
        let (one, zero) = (self.g.constant(1.0), self.g.constant(0.0));
        let (yes, no) = (d.log_prob(&mut self.g, one.into()), d.log_prob(&mut self.g, zero.into()));
        self.g.sub(yes, no)
    }
}
