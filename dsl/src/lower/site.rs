//! Sites: distributions, draws, densities, moments of the guide.

use super::{FieldValue, Lowerer};
use crate::compiled::Purpose;
use crate::model::{DistExpr, SiteNo, Treat};
use autodiff_runtime::{Axes, AxisId, Elem, NodeId};
use distributions::{Dist, Draw, LowRank, Sample, Support};

/// Draws that stand for the mean of a latent without closed form.
const MEAN_DRAWS: usize = 5000;

/// A distribution with its parameters as nodes.
#[derive(Clone, Debug)]
pub(super) struct Law {
    /// The family, or that of each component.
    pub(super) dist: Dist,
    /// The axis of a mixture's components and their log weights.
    pub(super) mixture: Option<(AxisId, NodeId)>,
    /// `dist` with its elements correlated.
    pub(super) low_rank: Option<LowRank>,
}

impl Lowerer<'_> {
    /// A distribution with its parameters as nodes.
    pub(super) fn law(&mut self, d: &DistExpr) -> Law {
        let params = d.params.iter().map(|p| self.expr(*p)).collect();
        let mixture = d.mixture.map(|m| {
            let (w, axis) = (self.expr(m.weights), self.axis(m.axis));
            let w = self.along(w, axis);
            (axis, if m.logits { self.g.log_softmax(w, axis) } else { self.g.log(w) })
        });
        self.at(d.span);
        let dist = Dist { family: d.family, set: d.set, params, event: d.event.map(|a| self.axis(a)) };
        Law { dist, mixture, low_rank: None }
    }

    /// The value with an axis that it may lack.
    pub(super) fn along(&mut self, x: NodeId, axis: AxisId) -> NodeId {
        let axes = self.g.axes_of(x).with(axis);
        self.g.broadcast(x, &axes)
    }

    /// The guide of a latent; of one that has none, its prior.
    pub(super) fn guide(&mut self, s: SiteNo) -> Law {
        let key = (self.home_of_site(s), s);
        if let Some(d) = self.guides.get(&key) {
            return d.clone();
        }
        let site = &self.m.sites[s];
        let q = site.guide.clone().unwrap_or_else(|| site.prior.clone());
        let mut d = self.law(&q);
        d.low_rank = q.low_rank.map(|l| LowRank {
            diagonal: d.dist.clone(),
            factor: self.expr(l.factor),
            rank: self.axis(l.axis),
            elements: self.axes_of(self.m.sites[s].axes.iter().copied()),
        });
        self.guides.insert(key, d.clone());
        d
    }

    pub(super) fn prior(&mut self, s: SiteNo) -> Law {
        self.law(&self.m.sites[s].prior.clone())
    }

    /// All axes of a site's value.
    pub(super) fn site_axes(&self, s: SiteNo) -> Axes {
        let site = &self.m.sites[s];
        self.axes_of(site.plates.iter().chain(&site.axes).copied())
    }

    /// Axes that enumeration and repeated draws have brought into a value.
    pub(super) fn extra(&self, x: NodeId) -> Axes {
        let axes = self.g.axes_of(x);
        Axes::new(axes.iter().filter(|a| self.fresh.contains(&Some(*a)) || self.draw_axes.contains(a)))
    }

    /// The axis along which an enumerated site stands for all its values. In a simulation everything is drawn.
    pub(super) fn enumerated(&self, s: SiteNo) -> Option<AxisId> {
        self.fresh[s].filter(|_| self.request.purpose != Purpose::Simulation)
    }

    /// The value of a site: data, a draw from its guide (in a simulation from its prior), a parameter, or all values at
    /// once.
    pub(super) fn sample(&mut self, s: SiteNo) -> Sample {
        let key = (self.home_of_site(s), s);
        if let Some(v) = self.samples.get(&key) {
            return *v;
        }
        let treat = self.m.sites[s].treat;
        let v = match (treat, self.enumerated(s)) {
            _ if self.request.purpose == Purpose::Simulation => {
                self.drawing.push(s);
                let p = self.prior(s);
                let drawn = self.draw(&p, s);
                self.drawing.pop();
                drawn
            }
            (Some(Treat::Point(p)), _) => self.param(p).into(),
            (_, Some(axis)) => {
                let values = self.g.iota(axis);
                let finite = self.m.sites[s].prior.family.support() == Support::Category;
                (if finite { values } else { self.g.to_real(values) }).into()
            }
            (Some(Treat::Score), _) => {
                let q = self.guide(s);
                let v = self.draw(&q, s).value;
                self.g.stop(v).into()
            }
            (Some(Treat::Relaxed(t)), _) => {
                let t = self.expr(t);
                self.relaxed(s, t).into()
            }
            _ => {
                let q = self.guide(s);
                self.draw(&q, s)
            }
        };
        let v = self.where_unknown(s, v);
        self.samples.insert(key, v);
        v
    }

    /// What others read of a latent: its draw where it exists, else what the source says.
    pub(super) fn site_value(&mut self, s: SiteNo) -> NodeId {
        let value = self.sample(s).value;
        if self.held(s).is_some() { value } else { self.settled(s, value) }
    }

    /// A partly observed site that is drawn takes its data where they are known.
    fn where_unknown(&mut self, s: SiteNo, drawn: Sample) -> Sample {
        let site = &self.m.sites[s];
        let Some(f) = site.observed.filter(|_| self.enumerated(s).is_none() && !site.ignored) else {
            return drawn;
        };
        if self.request.purpose == Purpose::Simulation {
            return drawn;
        }
        match (self.known(f), self.field(f)) {
            (Some(known), FieldValue::Node(x)) => {
                let x = self.as_real(x);
                self.g.select(known, x, drawn.value).into()
            }
            _ => drawn,
        }
    }

    pub(super) fn as_real(&mut self, x: NodeId) -> NodeId {
        use autodiff_runtime::graph::Dtype;
        if self.g.node(x).dtype == Dtype::Index { self.g.to_real(x) } else { x }
    }

    /// A fresh draw under the site's own stream; along the axes of values and draws that its parameters have.
    pub(super) fn draw(&mut self, d: &Law, s: SiteNo) -> Sample {
        let mut axes = self.site_axes(s);
        for p in d.dist.params.clone() {
            axes = axes.union(&self.extra(p));
        }
        axes = axes.union(&self.draws_of(s));
        self.at(self.m.sites[s].guide_span.unwrap_or(self.m.sites[s].span));
        let own = self.axes_of(self.m.sites[s].axes.iter().copied());
        self.draw_over(d, &self.m.sites[s].name.clone(), axes, &own)
    }

    /// A draw over the given axes; the own axes that a mixture's weights lack share its component.
    pub(super) fn draw_over(&mut self, d: &Law, name: &str, axes: Axes, own: &Axes) -> Sample {
        let rows = self.rows(&axes);
        let stream = self.stream(name);
        let Some((k, log_w)) = d.mixture else {
            let draw = Draw { stream, axes, rows };
            return match &d.low_rank {
                Some(low) => low.sample(&mut self.g, &draw),
                None => d.dist.sample(&mut self.g, &draw),
            };
        };
        let categorical = distributions::find("Categorical").map(|family| {
            let set = family.parameter_sets().iter().position(|s| s[0].name == "logits").unwrap_or(0);
            Dist { family, set, params: vec![log_w], event: Some(k) }
        });
        let Some(categorical) = categorical else { return d.dist.params[0].into() };
        let shared = own.minus(self.g.axes_of(log_w));
        let each = axes.minus(&shared);
        let of_component = self.stream(&format!("{name} component"));
        let each_rows = self.rows(&each);
        let which = categorical
            .sample(&mut self.g, &Draw { stream: of_component, axes: each, rows: each_rows })
            .value;
        let pick = |l: &mut Self, p: NodeId| {
            if l.g.axes_of(p).contains(k) { l.g.gather(p, which, k) } else { p }
        };
        let params = d.dist.params.iter().map(|p| pick(self, *p)).collect();
        let chosen = Dist { params, ..d.dist.clone() };
        chosen.sample(&mut self.g, &Draw { stream, axes, rows })
    }

    /// log density of a site's law at a value: over plates and own axes; a vector family has consumed its event axis,
    /// a mixture the own axes that its weights lack: along the others each element has a mixture of its own.
    pub(super) fn density(&mut self, d: &Law, s: SiteNo, at: Sample) -> NodeId {
        let own = self.axes_of(self.m.sites[s].axes.iter().copied());
        let event = d.dist.event.map_or(Axes::none(), Axes::from);
        let value =
            if self.soft(s) { self.soft_density(d, at.value) } else { d.dist.log_prob(&mut self.g, at) };
        let full = self.site_axes(s).minus(&event).union(self.g.axes_of(value));
        let value = self.g.broadcast(value, &full);
        let Some((k, log_w)) = d.mixture else { return value };
        let rest = own.minus(&event).minus(self.g.axes_of(log_w));
        let each = if rest.is_empty() { value } else { self.g.sum(value, rest) };
        let joint = self.g.add(each, log_w);
        self.g.logsumexp(joint, k)
    }

    /// log q of a site, 0 where it does not exist, over its plates and, unless they are correlated, its own axes.
    pub(super) fn log_guide(&mut self, s: SiteNo, at: Sample) -> NodeId {
        let q = self.guide(s);
        let Some(low) = &q.low_rank else {
            let value = self.density(&q, s, at);
            return self.where_present(s, value);
        };
        let exists = self.exists(s);
        let value = low.log_prob(&mut self.g, at, exists);
        let full = self.site_axes(s).minus(&low.elements).union(self.g.axes_of(value));
        self.g.broadcast(value, &full)
    }

    /// The law of each element of a guide by itself.
    fn marginal(&mut self, d: &Law) -> Dist {
        match &d.low_rank {
            Some(low) => low.marginal(&mut self.g),
            None => d.dist.clone(),
        }
    }

    /// Where the prior and the guide of a draw are densities over different spaces (one over the value, one over the
    /// base that the softmax maps to it): what brings the prior's to the guide's.
    pub(super) fn volume(&mut self, s: SiteNo, at: Sample) -> Option<NodeId> {
        let site = &self.m.sites[s];
        let (q, p) = (site.guide.as_ref()?, &site.prior);
        let differ = q.family.name() != p.family.name() || p.mixture.is_some();
        let base = at.base.filter(|_| q.family.density_of_base() && differ)?;
        let event = q.event.map(|a| self.axis(a));
        let map = distributions::transform::Bijection::onto(q.family.support(), event)?;
        let jacobian = map.log_jacobian(&mut self.g, base);
        Some(match map.free_log_prob(&mut self.g, base) {
            Some(free) => self.g.add(jacobian, free),
            None => jacobian,
        })
    }

    pub(super) fn guide_mean(&mut self, s: SiteNo) -> NodeId {
        if let Some(held) = self.held(s) {
            return held;
        }
        if self.enumerated(s).is_some() || matches!(self.m.sites[s].treat, Some(Treat::Point(_))) {
            let v = self.sample(s).value;
            let v = self.as_real(v);
            return self.expect(v);
        }
        let d = self.guide(s);
        let axes = self.site_axes(s);
        let alone = self.marginal(&d);
        if let Some(mean) = alone.mean(&mut self.g).filter(|_| d.mixture.is_none()) {
            let full = axes.union(&self.extra(mean));
            let mean = self.where_unknown(s, mean.into()).value;
            let mean = self.settled(s, mean);
            let mean = self.g.broadcast(mean, &full);
            return self.expect(mean);
        }
        let (v, draws) = self.many_draws(&d, s);
        let mean = self.g.mean(v, draws);
        let mean = self.where_unknown(s, mean.into()).value;
        let mean = self.settled(s, mean);
        self.expect(mean)
    }

    /// Of a latent that depends on enumerated ones: the variance of the mixture.
    pub(super) fn guide_var(&mut self, s: SiteNo) -> NodeId {
        let axes = self.site_axes(s);
        if self.held(s).is_some() || matches!(self.m.sites[s].treat, Some(Treat::Point(_))) {
            let zero = self.g.constant(0.0);
            return self.g.broadcast(zero, &axes);
        }
        let d = self.guide(s);
        let alone = self.marginal(&d);
        if self.enumerated(s).is_none()
            && d.mixture.is_none()
            && let (Some(mean), Some(var)) = (alone.mean(&mut self.g), alone.variance(&mut self.g))
        {
            if self.extra(mean).is_empty() && self.extra(var).is_empty() {
                return self.g.broadcast(var, &axes);
            }
            let square = self.g.square(mean);
            let second = self.g.add(var, square);
            return self.spread(second, mean, &axes);
        }
        if self.enumerated(s).is_some() {
            let v = self.sample(s).value;
            let v = self.as_real(v);
            let square = self.g.square(v);
            return self.spread(square, v, &axes);
        }
        let (v, draws) = self.many_draws(&d, s);
        let square = self.g.square(v);
        let (second, mean) = (self.g.mean(square, draws), self.g.mean(v, draws));
        self.spread(second, mean, &axes)
    }

    /// E[v²] − (E v)², over the values of enumerated sites.
    fn spread(&mut self, second: NodeId, mean: NodeId, axes: &Axes) -> NodeId {
        let (second, mean) = (self.expect(second), self.expect(mean));
        let square = self.g.square(mean);
        let var = self.g.sub(second, square);
        let zero = self.g.constant(0.0);
        let var = self.g.binary(Elem::Max, var, zero);
        let full = axes.union(self.g.axes_of(var));
        self.g.broadcast(var, &full)
    }

    fn many_draws(&mut self, d: &Law, s: SiteNo) -> (NodeId, AxisId) {
        let draws = self.g.add_axis("draw", MEAN_DRAWS);
        self.draw_axes.push(draws);
        let mut axes = self.site_axes(s).with(draws);
        for p in d.dist.params.clone() {
            axes = axes.union(&self.extra(p));
        }
        let own = self.axes_of(self.m.sites[s].axes.iter().copied());
        (self.draw_over(d, &self.m.sites[s].name.clone(), axes, &own).value, draws)
    }

    /// The value of a latent that an intervention holds.
    fn held(&self, s: SiteNo) -> Option<NodeId> {
        let home = self.home_of_site(s);
        let asked = match &self.request.purpose {
            Purpose::Outputs { given, .. } if home == 0 => given.iter().any(|g| g.0 == self.m.sites[s].name),
            _ => self.contexts[home].held.contains(&s),
        };
        self.samples.get(&(home, s)).filter(|_| asked).map(|v| v.value)
    }
}
