//! Layers to nodes and variables. Initial values follow `U(−1/√in, 1/√in)` for linear maps, where `in` counts every
//! column, those of conditions included.

use super::{FieldValue, Lowerer};
use crate::compiled::{DimRole, FeedSpec, Init, VariableKind};
use crate::model::{AxisNo, ExprId, ExprKind, Layer};
use crate::source::Span;
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{Axes, AxisId, Elem, NodeId, RandomKind};
use distributions::Support;

/// Batch norm: added to the variance; share of the new value in a running one.
const BATCH_NORM_EPS: f64 = 1e-3;
const MOMENTUM: f64 = 0.01;
/// Layer norm: added to the variance.
const LAYER_NORM_EPS: f64 = 1e-5;

/// One block of columns of a linear map.
enum Part {
    /// A vector along an axis.
    Vector { node: NodeId, axis: AxisId, label: String },
    /// One number.
    Scalar { node: NodeId, label: String },
    /// A category, one-hot.
    Label { value: FieldValue, axis: AxisId, label: String },
}

impl Part {
    fn width(&self, l: &Lowerer<'_>) -> usize {
        match self {
            Part::Vector { axis, .. } | Part::Label { axis, .. } => l.g.size(*axis),
            Part::Scalar { .. } => 1,
        }
    }

    fn label(&self) -> &str {
        match self {
            Part::Vector { label, .. } | Part::Scalar { label, .. } | Part::Label { label, .. } => label,
        }
    }
}

impl Lowerer<'_> {
    pub(super) fn layer(&mut self, layer: &Layer, span: Span) -> NodeId {
        match layer {
            Layer::Linear { path, out, inputs, conditions, plates, bias, first } => {
                self.linear(path, *out, (inputs, conditions), plates, (*bias, *first), span)
            }
            Layer::BatchNorm { path, arg, axis } => self.batch_norm(path, *arg, *axis, span),
            Layer::LayerNorm { arg, axis } => self.layer_norm(*arg, *axis, span),
            Layer::Dropout { path, arg, rate } => self.dropout(path, *arg, *rate, span),
            Layer::Embed { path, index, out } => self.embed(path, *index, *out, span),
        }
    }

    fn linear(
        &mut self,
        path: &str,
        out: Option<AxisNo>,
        (inputs, conditions): (&[ExprId], &[ExprId]),
        plates: &[AxisNo],
        (bias, first): (bool, bool),
        span: Span,
    ) -> NodeId {
        let mut parts = vec![];
        inputs.iter().for_each(|id| self.parts(*id, plates, &mut parts));
        let mut conditioning = vec![];
        conditions.iter().for_each(|id| self.parts(*id, plates, &mut conditioning));
        parts.extend(conditioning.into_iter().filter(|p| first || matches!(p, Part::Label { .. })));
        self.at(span);
        let width: usize = parts.iter().map(|p| p.width(self)).sum();
        let init = Init::Uniform { bound: 1.0 / (width.max(1) as f64).sqrt() };
        let out_axis = out.map(|a| self.axis(a));
        let mut sum: Option<NodeId> = None;
        let mut names = vec![];
        for (i, part) in parts.iter().enumerate() {
            let name = part_name(path, i, part.label(), &mut names);
            let y = self.apply(&name, part, out, init);
            sum = Some(match sum {
                Some(s) => self.g.add(s, y),
                None => y,
            });
        }
        if bias {
            let dims: Vec<(AxisId, DimRole)> = out_axis.map(|a| (a, DimRole::Out)).into_iter().collect();
            let b = self.variable(&format!("{path}.bias"), &dims, init, VariableKind::Trained);
            sum = Some(match sum {
                Some(s) => self.g.add(s, b),
                None => b,
            });
        }
        match sum {
            Some(node) => node,
            None => self.g.constant(0.0),
        }
    }

    /// The columns that an input or condition contributes; a category with one label contributes none.
    fn parts(&mut self, id: ExprId, plates: &[AxisNo], parts: &mut Vec<Part>) {
        let e = self.m.expr(id).clone();
        if e.ty.covariates
            && let ExprKind::Field(f) = e.kind
        {
            let name = self.m.fields[f].slot.name.clone();
            return self.covariate_parts(&name, parts);
        }
        if let Some(a) = e.ty.of.filter(|_| e.ty.support == Support::Category) {
            let (axis, label) = (self.axis(a), self.m.axis_name(a).to_owned());
            match self.code(id) {
                FieldValue::Single => {}
                FieldValue::Soft(node) => parts.push(Part::Vector { node, axis, label }),
                _ if self.g.size(axis) <= 1 => {}
                value => parts.push(Part::Label { value, axis, label }),
            }
            return;
        }
        let node = self.expr(id);
        match e.ty.local(plates)[..] {
            [a] => {
                parts.push(Part::Vector { node, axis: self.axis(a), label: self.m.axis_name(a).to_owned() })
            }
            _ => parts.push(Part::Scalar { node, label: "scalar".into() }),
        }
    }

    fn covariate_parts(&mut self, field: &str, parts: &mut Vec<Part>) {
        let Some(shape) = self.bound.covariates.get(field).cloned() else { return };
        let Some(plate) = self.plate() else { return };
        if let Some(&axis) = self.covariate_axes.get(field) {
            let spec = FeedSpec::CovariateReals(field.to_owned());
            let node = self.input(field, spec, Axes::from([plate, axis]), Dtype::Real, false);
            parts.push(Part::Vector { node, axis, label: field.to_owned() });
        }
        for (column, _) in shape.categorical.iter().filter(|c| c.1 > 1) {
            let key = format!("{field}.{column}");
            let Some(&axis) = self.covariate_axes.get(&key) else { continue };
            let spec = FeedSpec::CovariateCategory { field: field.to_owned(), column: column.clone() };
            let node = self.input(&key, spec, Axes::from(plate), Dtype::Index, false);
            parts.push(Part::Label { value: FieldValue::Node(node), axis, label: column.clone() });
        }
    }

    /// W · part, along the output axis.
    fn apply(&mut self, name: &str, part: &Part, out: Option<AxisNo>, init: Init) -> NodeId {
        let out_axis = out.map(|a| self.axis(a));
        let own: Vec<(AxisId, DimRole)> = out_axis.map(|a| (a, DimRole::Out)).into_iter().collect();
        match part {
            Part::Scalar { node, .. } => {
                let w = self.variable(name, &own, init, VariableKind::Trained);
                self.g.mul(*node, w)
            }
            Part::Label { value, axis, .. } => {
                let dims: Vec<_> = own.into_iter().chain([(*axis, DimRole::In)]).collect();
                let w = self.variable(name, &dims, init, VariableKind::Trained);
                self.look_up(w, *value, *axis)
            }
            Part::Vector { node, axis, .. } => match (out, out_axis) {
                // From an axis to itself: the output runs along a twin, which then takes the axis's name.
                (Some(no), Some(o)) if o == *axis => {
                    let twin = self.twin(no);
                    let dims = [(*axis, DimRole::In), (twin, DimRole::Out)];
                    let w = self.variable(name, &dims, init, VariableKind::Trained);
                    let y = self.g.contract(*node, w, *axis);
                    self.g.rename(y, twin, o)
                }
                _ => {
                    let dims: Vec<_> = own.into_iter().chain([(*axis, DimRole::In)]).collect();
                    let w = self.variable(name, &dims, init, VariableKind::Trained);
                    self.g.contract(*node, w, *axis)
                }
            },
        }
    }

    fn twin(&mut self, a: AxisNo) -> AxisId {
        if let Some(&t) = self.twins.get(&a) {
            return t;
        }
        let id = self.g.add_axis(self.m.axis_name(a), self.g.size(self.axis(a)));
        self.twins.insert(a, id);
        id
    }

    /// (x − mean) / √(var + ε) · scale + shift, over everything but the feature axis. In training the statistics are
    /// those of the minibatch (variance divided by n), and the running ones move towards them (variance divided by
    /// n − 1); afterwards the running ones serve.
    fn batch_norm(&mut self, path: &str, arg: ExprId, axis: AxisNo, span: Span) -> NodeId {
        let x = self.expr(arg);
        self.at(span);
        let axis = self.axis(axis);
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
            self.move_running(&format!("{path}.running_mean"), running_mean, new_mean);
            self.move_running(&format!("{path}.running_var"), running_var, new_var);
            (mean, var)
        } else {
            (running_mean, running_var)
        };
        let scale = self.variable(&format!("{path}.scale"), &own, Init::Constant(1.0), VariableKind::Trained);
        let shift = self.variable(&format!("{path}.shift"), &own, Init::Constant(0.0), VariableKind::Trained);
        let spread = self.g.add_const(var, BATCH_NORM_EPS);
        let spread = self.g.sqrt(spread);
        let gain = self.g.div(scale, spread);
        let gap = self.g.sub(x, mean);
        let scaled = self.g.mul(gap, gain);
        self.g.add(scaled, shift)
    }

    /// running ← 0.99 · running + 0.01 · new. A layer that is used twice moves it twice.
    fn move_running(&mut self, name: &str, running: NodeId, new: NodeId) {
        let old = self.pending.get(name).copied().unwrap_or(running);
        let kept = self.g.mul_const(old, 1.0 - MOMENTUM);
        let new = self.g.stop(new);
        let moved = self.g.mul_const(new, MOMENTUM);
        let value = self.g.add(kept, moved);
        self.pending.insert(name.to_owned(), value);
    }

    fn layer_norm(&mut self, arg: ExprId, axis: AxisNo, span: Span) -> NodeId {
        let x = self.expr(arg);
        self.at(span);
        let axis = self.axis(axis);
        let mean = self.g.mean(x, axis);
        let gap = self.g.sub(x, mean);
        let square = self.g.square(gap);
        let var = self.g.mean(square, axis);
        let spread = self.g.add_const(var, LAYER_NORM_EPS);
        let spread = self.g.sqrt(spread);
        self.g.div(gap, spread)
    }

    /// x · [u > rate] / (1 − rate) in training, x otherwise.
    fn dropout(&mut self, path: &str, arg: ExprId, rate: f64, span: Span) -> NodeId {
        let x = self.expr(arg);
        if !self.training() {
            return x;
        }
        self.at(span);
        let axes = self.g.axes_of(x).clone();
        let rows = self.rows(&axes);
        let stream = self.stream(path);
        let u = self.g.random(RandomKind::Uniform, &[], stream, axes, rows);
        let rate_node = self.g.constant(rate);
        let keep = self.g.binary(Elem::Lt, rate_node, u);
        let keep = self.g.mul_const(keep, 1.0 / (1.0 - rate));
        self.g.mul(x, keep)
    }

    fn embed(&mut self, path: &str, index: ExprId, out: AxisNo, span: Span) -> NodeId {
        self.at(span);
        let out = self.axis(out);
        let init = Init::Normal { mean: 0.0, sd: 1.0 };
        let axis = self.m.expr(index).ty.of.map_or(out, |a| self.axis(a));
        let dims = [(axis, DimRole::In), (out, DimRole::Out)];
        let table = self.variable(&format!("{path}.weight"), &dims, init, VariableKind::Trained);
        let value = self.code(index);
        self.look_up(table, value, axis)
    }
}

/// `….weight` for the first block of columns, `….weight.<label>` for the others; a repeated label is numbered.
fn part_name(path: &str, i: usize, label: &str, names: &mut Vec<String>) -> String {
    let base = if i == 0 { format!("{path}.weight") } else { format!("{path}.weight.{label}") };
    let mut name = base.clone();
    let mut k = 1;
    while names.contains(&name) {
        name = format!("{base}.{k}");
        k += 1;
    }
    names.push(name.clone());
    name
}
