//! Random nodes: the draws of [`crate::random`], as constants; the logarithm of a Gamma draw carries its implicit gradient.

use super::layout;
use crate::graph::{Axes, AxisId, Graph};
use crate::op::RandomKind;
use crate::random::{self, SiteKey};

/// What a site draws over which axes.
pub(super) struct Site<'a> {
    /// Which distribution.
    pub(super) kind: RandomKind,
    /// All axes of the result.
    pub(super) axes: &'a Axes,
    /// Global row numbers along one of these axes.
    pub(super) rows: Option<(AxisId, Vec<u32>)>,
    /// The site's randomness in this step.
    pub(super) key: SiteKey,
}

impl Site<'_> {
    /// All draws; every parameter is given over all axes of the site.
    pub(super) fn draw(&self, g: &Graph, params: &[Vec<f64>]) -> Vec<f64> {
        let axes = self.axes.as_slice();
        // A multinomial draws all its categories from the stream of their first position.
        let event = match self.kind {
            RandomKind::Multinomial(a) => Axes::from(a),
            _ => Axes::none(),
        };
        let outer = self.axes.minus(&event);
        let own = match &self.rows {
            Some((axis, _)) => self.axes.without(*axis),
            None => self.axes.clone(),
        };
        let bases = layout::offsets(g, axes, outer.as_slice());
        let positions = layout::offsets(g, own.as_slice(), outer.as_slice());
        let rows: Vec<u32> = match &self.rows {
            Some((axis, rows)) => {
                layout::offsets(g, &[*axis], outer.as_slice()).into_iter().map(|i| rows[i]).collect()
            }
            None => vec![0; bases.len()],
        };
        let mut out = vec![0.0; layout::n_elements(g, axes)];
        for ((base, position), row) in bases.into_iter().zip(positions).zip(rows) {
            let mut words = self.key.element(row, position as u64);
            if let RandomKind::Multinomial(a) = self.kind {
                let at = |k: usize| base + k * layout::stride(g, axes, a);
                let weights: Vec<f64> = (0..g.size(a)).map(|k| params[1][at(k)]).collect();
                let counts = random::multinomial(&mut words, params[0][base], &weights);
                counts.into_iter().enumerate().for_each(|(k, x)| out[at(k)] = x);
            } else {
                let params: Vec<f64> = params.iter().map(|p| p[base]).collect();
                out[base] = random::draw(self.kind, &params, &mut words);
            }
        }
        out
    }
}
