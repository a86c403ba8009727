//! Convolutions and pooling: neighbours are looked up along an axis of taps, then contracted or reduced.

use super::super::Lowerer;
use super::linear::start;
use crate::compiled::{DimRole, FeedSpec, VariableKind};
use crate::model::{ConvBlock, ConvTower};
use crate::source::Span;
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{Axes, AxisId, NodeId, ReduceKind};

/// Which positions each tap of each place sees: `place · step + tap − before`.
struct Window {
    step: usize,
    before: usize,
    /// What is seen before the first position and after the last.
    outside: f64,
}

impl Lowerer<'_> {
    pub(super) fn conv_tower(&mut self, t: &ConvTower, span: Span) -> NodeId {
        let mut x = self.expr(t.arg);
        self.at(span);
        let mut position = self.axis(t.over);
        let mut channels = t.channels.map(|c| self.axis(c));
        for (k, block) in t.blocks.iter().enumerate() {
            let path = format!("{}.{k}", t.path);
            if let Some(a) = t.activation.filter(|_| t.pre_activation) {
                x = self.activation(a, x);
            }
            let out = self.inner_axis(&path, "channel", block.channels);
            x = self.convolved(t, &path, block, x, (position, channels, out));
            if let Some(norm) = t.norm {
                x = self.batch_norm(&format!("{path}.norm"), x, out, norm);
            }
            if let Some(a) = t.activation.filter(|_| !t.pre_activation) {
                x = self.activation(a, x);
            }
            x = self.dropout(&format!("{path}.dropout"), x, t.dropout);
            (x, position) = self.pooled(&path, block, x, position);
            channels = Some(out);
        }
        let x = match channels {
            Some(c) => self.g.rename(x, c, self.axis(t.out)),
            None => x,
        };
        match self.axis(t.place) {
            place if place == position => x,
            place => self.g.rename(x, position, place),
        }
    }

    /// One convolution, over as many positions as before.
    fn convolved(
        &mut self,
        t: &ConvTower,
        path: &str,
        block: &ConvBlock,
        x: NodeId,
        (position, channels, out): (AxisId, Option<AxisId>, AxisId),
    ) -> NodeId {
        let n_channels = channels.map_or(1, |c| self.g.size(c));
        let (weights, biases) = start(t.init, n_channels * block.width, block.channels * block.width);
        let inputs = channels.into_iter();
        let path = format!("{path}.conv");
        let own = (out, DimRole::Out);
        let y = if block.width == 1 {
            let dims: Vec<_> = [own].into_iter().chain(inputs.map(|a| (a, DimRole::In))).collect();
            let w = self.variable(&format!("{path}.weight"), &dims, weights, VariableKind::Trained);
            match channels {
                Some(c) => self.g.contract(x, w, c),
                None => self.g.mul(x, w),
            }
        } else {
            let places = self.inner_axis(&path, "place", self.g.size(position));
            let tap = self.inner_axis(&path, "tap", block.width);
            let dims: Vec<_> =
                [own].into_iter().chain(inputs.chain([tap]).map(|a| (a, DimRole::In))).collect();
            let w = self.variable(&format!("{path}.weight"), &dims, weights, VariableKind::Trained);
            let window = Window { step: 1, before: (block.width - 1) / 2, outside: 0.0 };
            let seen = self.seen(x, position, (places, tap), &window);
            let y = self.g.contract(seen, w, Axes::new(channels.into_iter().chain([tap])));
            self.g.rename(y, places, position)
        };
        if !t.bias {
            return y;
        }
        let b = self.variable(&format!("{path}.bias"), &[own], biases, VariableKind::Trained);
        self.g.add(y, b)
    }

    /// The largest of neighbouring positions, and the axis of what is left.
    fn pooled(&mut self, path: &str, block: &ConvBlock, x: NodeId, position: AxisId) -> (NodeId, AxisId) {
        if block.pool == 1 {
            return (x, position);
        }
        let n = block.places(self.g.size(position)).unwrap_or(1);
        let places = self.inner_axis(&format!("{path}.pool"), "place", n);
        let tap = self.inner_axis(&format!("{path}.pool"), "tap", block.pool);
        let window = Window { step: block.pool, before: block.pool_padding, outside: f64::NEG_INFINITY };
        let seen = self.seen(x, position, (places, tap), &window);
        (self.g.reduce(ReduceKind::Max, seen, tap), places)
    }

    /// x at the positions that each tap of each place sees; the axis of places was made first.
    fn seen(&mut self, x: NodeId, position: AxisId, (places, tap): (AxisId, AxisId), w: &Window) -> NodeId {
        let (n, n_places, width) = (self.g.size(position), self.g.size(places), self.g.size(tap));
        let at = |p: usize, t: usize| (p * w.step + t).checked_sub(w.before).filter(|i| *i < n);
        let all = || (0..n_places).flat_map(|p| (0..width).map(move |t| at(p, t)));
        let table: Vec<u32> = all().map(|i| i.unwrap_or(0) as u32).collect();
        let axes = Axes::from([places, tap]);
        let name = format!("window {n} {n_places} {width} {} {}", w.step, w.before);
        let key = format!("{name} {places} {tap}");
        let index = self.input(&key, FeedSpec::Numbers(table), axes.clone(), Dtype::Index, false);
        let seen = self.g.gather(x, index, position);
        if all().all(|i| i.is_some()) {
            return seen;
        }
        let inside: Vec<u32> = all().map(|i| u32::from(i.is_some())).collect();
        let inside =
            self.input(&format!("inside {key}"), FeedSpec::Numbers(inside), axes, Dtype::Index, false);
        let inside = self.g.to_real(inside);
        let outside = self.g.constant(w.outside);
        self.g.select(inside, seen, outside)
    }
}
