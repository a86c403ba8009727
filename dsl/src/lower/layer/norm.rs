//! Norms, dropout and activations.

use super::super::Lowerer;
use crate::compiled::{DimRole, Init, VariableKind};
use crate::model::Activation;
use autodiff_runtime::{Axes, AxisId, Elem, NodeId, RandomKind};

/// Slope of a leaky unit below zero.
const LEAK: f64 = 0.01;

impl Lowerer<'_> {
    /// (x − mean) / √(var + ε) · scale + shift, over everything but the feature axis. In training the statistics are
    /// those of the minibatch (variance divided by n), and the running ones move towards them (variance divided by
    /// n − 1); afterwards the running ones serve.
    pub(super) fn batch_norm(
        &mut self,
        path: &str,
        x: NodeId,
        axis: AxisId,
        (eps, momentum): (f64, f64),
    ) -> NodeId {
        let own = [(axis, DimRole::Own)];
        // Each of several draws has its own statistics.
        let draws = Axes::new(self.draw_axes.iter().copied()).intersect(self.g.axes_of(x));
        let rest = self.g.axes_of(x).without(axis).minus(&draws);
        let running_mean =
            self.variable(&format!("{path}.running_mean"), &own, Init::Constant(0.0), VariableKind::Running);
        let running_var =
            self.variable(&format!("{path}.running_var"), &own, Init::Constant(1.0), VariableKind::Running);
        let (mean, var) = if self.training() && !rest.is_empty() {
            let mean = self.g.mean(x, rest.clone());
            let gap = self.g.sub(x, mean);
            let square = self.g.square(gap);
            let var = self.g.mean(square, rest.clone());
            let n = self.g.n_elements(&rest) as f64;
            let unbiased = self.g.mul_const(var, n / (n - 1.0).max(1.0));
            let averaged = |l: &mut Self, x| if draws.is_empty() { x } else { l.g.mean(x, draws.clone()) };
            let (new_mean, new_var) = (averaged(self, mean), averaged(self, unbiased));
            self.move_running(&format!("{path}.running_mean"), running_mean, new_mean, momentum);
            self.move_running(&format!("{path}.running_var"), running_var, new_var, momentum);
            (mean, var)
        } else {
            (running_mean, running_var)
        };
        let scale = self.variable(&format!("{path}.scale"), &own, Init::Constant(1.0), VariableKind::Trained);
        let shift = self.variable(&format!("{path}.shift"), &own, Init::Constant(0.0), VariableKind::Trained);
        let spread = self.g.add_const(var, eps);
        let spread = self.g.sqrt(spread);
        let gain = self.g.div(scale, spread);
        let gap = self.g.sub(x, mean);
        let scaled = self.g.mul(gap, gain);
        self.g.add(scaled, shift)
    }

    /// running ← (1 − momentum) · running + momentum · new. A layer that is used twice moves it twice.
    fn move_running(&mut self, name: &str, running: NodeId, new: NodeId, momentum: f64) {
        let old = self.pending.get(name).copied().unwrap_or(running);
        let kept = self.g.mul_const(old, 1.0 - momentum);
        let new = self.g.stop(new);
        let moved = self.g.mul_const(new, momentum);
        let value = self.g.add(kept, moved);
        self.pending.insert(name.to_owned(), value);
    }

    /// (x − mean) / √(var + ε) along the axis, then scale and shift if it has a path.
    pub(super) fn layer_norm(&mut self, path: Option<&str>, x: NodeId, axis: AxisId, eps: f64) -> NodeId {
        let mean = self.g.mean(x, axis);
        let gap = self.g.sub(x, mean);
        let square = self.g.square(gap);
        let var = self.g.mean(square, axis);
        let spread = self.g.add_const(var, eps);
        let spread = self.g.sqrt(spread);
        let y = self.g.div(gap, spread);
        let Some(path) = path else { return y };
        let own = [(axis, DimRole::Own)];
        let scale = self.variable(&format!("{path}.scale"), &own, Init::Constant(1.0), VariableKind::Trained);
        let shift = self.variable(&format!("{path}.shift"), &own, Init::Constant(0.0), VariableKind::Trained);
        let y = self.g.mul(y, scale);
        self.g.add(y, shift)
    }

    /// x · [u > rate] / (1 − rate) in training, x otherwise.
    pub(super) fn dropout(&mut self, path: &str, x: NodeId, rate: f64) -> NodeId {
        if !self.training() || rate == 0.0 {
            return x;
        }
        let axes: Axes = self.g.axes_of(x).clone();
        let rows = self.rows(&axes);
        let stream = self.stream(path);
        let u = self.g.random(RandomKind::Uniform, &[], stream, axes, rows);
        let rate_node = self.g.constant(rate);
        let keep = self.g.binary(Elem::Lt, rate_node, u);
        let keep = self.g.mul_const(keep, 1.0 / (1.0 - rate));
        self.g.mul(x, keep)
    }

    /// The non-linearity of x.
    pub(super) fn activation(&mut self, a: Activation, x: NodeId) -> NodeId {
        let g = &mut self.g;
        match a {
            Activation::Relu => g.unary(Elem::Relu, x),
            Activation::Tanh => g.unary(Elem::Tanh, x),
            Activation::Sigmoid => g.sigmoid(x),
            Activation::Softplus => g.softplus(x),
            Activation::LeakyRelu => {
                let zero = g.constant(0.0);
                let above = g.binary(Elem::Lt, zero, x);
                let below = g.mul_const(x, LEAK);
                g.select(above, x, below)
            }
            Activation::Elu => {
                // The exponential never sees a large number: its slope would turn an unused branch into NaN.
                let zero = g.constant(0.0);
                let low = g.binary(Elem::Min, x, zero);
                let (below, above) = (g.unary(Elem::Expm1, low), g.unary(Elem::Relu, x));
                g.add(above, below)
            }
            Activation::Gelu => {
                let scaled = g.mul_const(x, std::f64::consts::FRAC_1_SQRT_2);
                let erf = g.unary(Elem::Erf, scaled);
                self.gate(x, erf)
            }
            Activation::GeluTanh => {
                let square = g.square(x);
                let cubic = g.mul_const(square, 0.044_715);
                let factor = g.add_const(cubic, 1.0);
                let inner = g.mul(x, factor);
                let inner = g.mul_const(inner, (2.0 / std::f64::consts::PI).sqrt());
                let tanh = g.unary(Elem::Tanh, inner);
                self.gate(x, tanh)
            }
            Activation::QuickGelu => {
                let scaled = g.mul_const(x, 1.702);
                let gate = g.sigmoid(scaled);
                g.mul(x, gate)
            }
            Activation::Silu => {
                let gate = g.sigmoid(x);
                g.mul(x, gate)
            }
        }
    }

    /// x (1 + gate) / 2.
    fn gate(&mut self, x: NodeId, gate: NodeId) -> NodeId {
        let gate = self.g.add_const(gate, 1.0);
        let gate = self.g.mul_const(gate, 0.5);
        self.g.mul(x, gate)
    }
}
