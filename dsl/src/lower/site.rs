//! Sites: distributions, draws, moments of the guide.

use super::Lowerer;
use crate::compiled::Purpose;
use crate::model::{DistExpr, SiteNo};
use autodiff_runtime::{Axes, NodeId};
use distributions::{Dist, Draw, Sample};

/// Draws that stand for the mean of a latent without closed form.
const MEAN_DRAWS: usize = 5000;

impl Lowerer<'_> {
    /// A distribution with its parameters as nodes.
    pub(super) fn dist(&mut self, d: &DistExpr) -> Dist {
        let params = d.params.iter().map(|p| self.expr(*p)).collect();
        self.at(d.span);
        Dist { family: d.family, set: d.set, params, event: d.event.map(|a| self.axis(a)) }
    }

    /// The guide of a latent.
    pub(super) fn guide(&mut self, s: SiteNo) -> Dist {
        if let Some(d) = self.guides.get(&s) {
            return d.clone();
        }
        let site = &self.m.sites[s];
        let d = self.dist(&site.guide.clone().unwrap_or_else(|| site.prior.clone()));
        self.guides.insert(s, d.clone());
        d
    }

    /// All axes of a site's value.
    pub(super) fn site_axes(&self, s: SiteNo) -> Axes {
        let site = &self.m.sites[s];
        self.axes_of(site.plates.iter().chain(&site.axes).copied())
    }

    /// The value of a latent: drawn from its guide, or in a simulation from its prior.
    pub(super) fn sample(&mut self, s: SiteNo) -> Sample {
        if let Some(v) = self.samples.get(&s) {
            return *v;
        }
        let d = match self.request.purpose {
            Purpose::Simulation => self.dist(&self.m.sites[s].prior.clone()),
            _ => self.guide(s),
        };
        let axes = self.site_axes(s);
        let v = self.draw(&d, s, axes);
        self.samples.insert(s, v);
        v
    }

    /// What others read of a latent: its draw where it exists, else what the source says.
    pub(super) fn site_value(&mut self, s: SiteNo) -> NodeId {
        let value = self.sample(s).value;
        if self.held(s) { value } else { self.settled(s, value) }
    }

    /// A fresh draw over the given axes under the site's own stream.
    pub(super) fn draw(&mut self, d: &Dist, s: SiteNo, axes: Axes) -> Sample {
        let rows = self.rows(&axes);
        let stream = self.stream(&self.m.sites[s].name.clone());
        self.at(self.m.sites[s].guide_span.unwrap_or(self.m.sites[s].span));
        d.sample(&mut self.g, &Draw { stream, axes, rows })
    }

    pub(super) fn guide_mean(&mut self, s: SiteNo) -> NodeId {
        if let Some(held) = self.samples.get(&s).filter(|_| self.held(s)) {
            return held.value;
        }
        let d = self.guide(s);
        if let Some(mean) = d.mean(&mut self.g) {
            let axes = self.site_axes(s);
            let mean = self.settled(s, mean);
            return self.g.broadcast(mean, &axes);
        }
        let draws = self.g.add_axis("draw", MEAN_DRAWS);
        let axes = self.site_axes(s).with(draws);
        let v = self.draw(&d, s, axes);
        let mean = self.g.mean(v.value, draws);
        self.settled(s, mean)
    }

    pub(super) fn guide_var(&mut self, s: SiteNo) -> NodeId {
        let d = self.guide(s);
        let axes = self.site_axes(s);
        if let Some(var) = d.variance(&mut self.g) {
            return self.g.broadcast(var, &axes);
        }
        let draws = self.g.add_axis("draw", MEAN_DRAWS);
        let v = self.draw(&d, s, axes.with(draws)).value;
        let mean = self.g.mean(v, draws);
        let gap = self.g.sub(v, mean);
        let square = self.g.square(gap);
        self.g.mean(square, draws)
    }

    /// Whether a latent is held at a value by `given`.
    fn held(&self, s: SiteNo) -> bool {
        match &self.request.purpose {
            Purpose::Outputs { given, .. } => given.iter().any(|g| g.0 == self.m.sites[s].name),
            _ => false,
        }
    }
}
