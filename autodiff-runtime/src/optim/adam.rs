//! Adam with L2 or decoupled weight decay.

use super::SCHEDULE_INPUTS;
use crate::graph::{Axes, Graph, NodeId, VariableId};
use crate::op::Elem;

/// Constants of Adam (Kingma and Ba, 2015); with `decoupled`, AdamW (Loshchilov and Hutter, 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment, after bias correction.
    pub eps: f64,
    /// Strength of the weight decay.
    pub weight_decay: f64,
    /// Whether decay acts on the weights directly instead of being added to the gradient.
    pub decoupled: bool,
    /// Largest Euclidean norm of all gradients together; a longer gradient is scaled down to it.
    pub clip: Option<f64>,
}

impl Default for Adam {
    /// The usual constants; no decay.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false, clip: None }
    }
}

impl Adam {
    pub(super) fn apply(&self, g: &mut Graph, trained: &[(VariableId, NodeId)]) {
        let [lr, step] = SCHEDULE_INPUTS.map(|name| g.input(name, Axes::none()));
        let correction = |g: &mut Graph, beta: f64| {
            // 1 − βᵗ, as −expm1(t log β): exact to rounding for β near 1.
            let log_beta = g.mul_const(step, beta.ln());
            let power = g.unary(Elem::Expm1, log_beta);
            g.neg(power)
        };
        let first = correction(g, self.beta1);
        let second = correction(g, self.beta2);
        let rate = g.div(lr, first);
        let root_scale = {
            let root = g.sqrt(second);
            g.recip(root)
        };
        let scale = self.clip.filter(|_| !trained.is_empty()).map(|most| shortened(g, trained, most));
        for &(variable, gradient) in trained {
            let gradient = scale.map_or(gradient, |s| g.mul(gradient, s));
            self.update(g, variable, gradient, Scalars { lr, rate, root_scale });
        }
    }

    fn update(&self, g: &mut Graph, variable: VariableId, gradient: NodeId, s: Scalars) {
        let decl = g.variables()[variable.index()].clone();
        let m = g.declare_variable(format!("adam.m:{}", decl.name), decl.axes.clone());
        let v = g.declare_variable(format!("adam.v:{}", decl.name), decl.axes);
        let value = g.read_variable(variable);
        let decayed = |g: &mut Graph, by: f64| g.mul_const(value, by);
        let grad = if self.weight_decay != 0.0 && !self.decoupled {
            let d = decayed(g, self.weight_decay);
            g.add(gradient, d)
        } else {
            gradient
        };
        let square = g.square(grad);
        let m_new = self.blend(g, m, grad, self.beta1);
        let v_new = self.blend(g, v, square, self.beta2);
        let root = g.sqrt(v_new);
        let root = g.mul(root, s.root_scale);
        let denominator = g.add_const(root, self.eps);
        let direction = g.div(m_new, denominator);
        let change = g.mul(direction, s.rate);
        let mut new = g.sub(value, change);
        if self.weight_decay != 0.0 && self.decoupled {
            let d = decayed(g, self.weight_decay);
            let d = g.mul(d, s.lr);
            new = g.sub(new, d);
        }
        g.assign(m, m_new);
        g.assign(v, v_new);
        g.assign(variable, new);
    }

    /// Moment ← β · moment + (1 − β) · x.
    fn blend(&self, g: &mut Graph, moment: VariableId, x: NodeId, beta: f64) -> NodeId {
        let old = g.read_variable(moment);
        let old = g.mul_const(old, beta);
        let new = g.mul_const(x, 1.0 - beta);
        g.add(old, new)
    }
}

/// min(1, most ÷ (‖gradients‖ + 10⁻⁶)).
fn shortened(g: &mut Graph, trained: &[(VariableId, NodeId)], most: f64) -> NodeId {
    let mut total = g.constant(0.0);
    for (_, gradient) in trained {
        let square = g.square(*gradient);
        let axes = g.axes_of(square).clone();
        let sum = if axes.is_empty() { square } else { g.sum(square, axes) };
        total = g.add(total, sum);
    }
    let norm = g.sqrt(total);
    let norm = g.add_const(norm, 1e-6);
    let most = g.constant(most);
    let ratio = g.div(most, norm);
    let one = g.constant(1.0);
    g.binary(Elem::Min, ratio, one)
}

#[derive(Clone, Copy)]
struct Scalars {
    lr: NodeId,
    rate: NodeId,
    root_scale: NodeId,
}
