//! Score-function gradients: a draw that passes no gradient teaches its guide by the terms that depend on it.
//!
//! The surrogate stop(f − b) · (log q − stop(log q)) is 0 and has the gradient (f − b) ∇ log q, where f is what the terms
//! give and b a running mean of it, which changes no expectation and takes most of the variance.

use super::Lowerer;
use crate::compiled::{Init, VariableKind};
use crate::model::SiteNo;
use autodiff_runtime::{Axes, NodeId};

/// Share of the new value in a running baseline.
const MOMENTUM: f64 = 0.1;

impl Lowerer<'_> {
    /// The surrogates of every such site, scaled as the bound is. `values` are the terms, signed and weighted: one number
    /// a row, or one for all.
    pub(super) fn surrogates(&mut self, values: &[NodeId]) -> Option<NodeId> {
        let mut sum: Option<NodeId> = None;
        for k in 0..self.o.scores.len() {
            let score = &self.o.scores[k];
            let of_rows = self.m.plate.is_some_and(|p| self.m.sites[score.site].plates.contains(&p));
            let mut f: Option<NodeId> = None;
            for &t in &score.terms {
                let rowwise = self.o.terms[t].per_row;
                let x = if of_rows || !rowwise { values[t] } else { self.over_rows(values[t]) };
                f = Some(match f {
                    Some(f) => self.g.add(f, x),
                    None => x,
                });
            }
            let (Some(f), site) = (f, score.site) else { continue };
            let s = self.surrogate(site, f);
            let scaled = self.scale(site, of_rows, s);
            sum = Some(match sum {
                Some(x) => self.g.add(x, scaled),
                None => scaled,
            });
        }
        sum
    }

    /// The sum over the minibatch, and N/B times that, for each draw: what a global draw is judged by.
    fn over_rows(&mut self, x: NodeId) -> NodeId {
        let axes = self.g.axes_of(x).minus(&self.repeats.map_or(Axes::none(), Axes::from));
        let total = if axes.is_empty() { x } else { self.g.sum(x, axes) };
        let (n, b) = (self.bound.n_rows.max(1) as f64, self.request.n_batch.max(1) as f64);
        self.g.mul_const(total, n / b)
    }

    fn surrogate(&mut self, s: SiteNo, f: NodeId) -> NodeId {
        let q = self.guide(s);
        let at = self.sample(s);
        let log_q = self.density(&q, s, at);
        let log_q = self.over_plates(s, log_q);
        let name = format!("{}.baseline", self.m.sites[s].name);
        let b = self.variable(&name, &[], Init::Constant(0.0), VariableKind::Running);
        let axes = self.g.axes_of(f).clone();
        let mean = if axes.is_empty() { f } else { self.g.mean(f, axes) };
        if self.training() {
            let (kept, new) = (self.g.mul_const(b, 1.0 - MOMENTUM), self.g.stop(mean));
            let new = self.g.mul_const(new, MOMENTUM);
            let moved = self.g.add(kept, new);
            self.pending.insert(name, moved);
        }
        let gain = self.g.sub(f, b);
        let (gain, fixed) = (self.g.stop(gain), self.g.stop(log_q));
        let moving = self.g.sub(log_q, fixed);
        let each = self.g.mul(gain, moving);
        let each = self.over_repeats(each);
        let axes = self.g.axes_of(each).clone();
        if axes.is_empty() { each } else { self.g.sum(each, axes) }
    }
}
