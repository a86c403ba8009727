//! Layers: calls that have parameters, state or noise of their own.
//!
//! | call | result beside the plate | arguments by name, with defaults |
//! |---|---|---|
//! | `linear[out](a, b \| s over k)` | the inputs' other axes, `out` | `bias = true`, `each = axis`: a map for each of its elements, `start` |
//! | `mlp[out](a, b \| s over k)` | the same | those of `linear`, `layers = 1`, `norm = none \| batchnorm \| layernorm \| both`, `affine = false`, `eps`, `momentum = 0.01`, `activation = relu`, `dropout = 0`, `inject = all \| first`, `residual = false` |
//! | `split_mlp[out](z \| s over part)` | `part`, `out` | those of `mlp` but `each`; `split = map \| mask`, `share = true` |
//! | `embed[out](\| c)` | axes of `c`, `out` | `start = normal(0, 1)` |
//! | `attention[out](query, context over token)` | the query's tokens, `out` | `heads = 1`, `depth = 8`, `dropout = 0`, `bias = true` |
//! | `conv[channel, place](x over position)` | `channel`, `place` | `width = 1`, `pool = 1`, `norm = none \| batchnorm`, `eps`, `momentum`, `activation = relu`, `pre_activation = false`, `dropout = 0`, `bias = true`, `start` |
//! | `conv_tower[channel, place](x over position)` | the same | those of `conv`, `layers = 1`, `channels`: of the first block, growing evenly to the size of `channel` |
//! | `gcn[out](x, weights \| source, target over node)` | the input's other axes, `out` | `bias = true`, `start` |
//! | `batchnorm(x over a)`, `layernorm(x over a)` | as `x` | `eps = 1e-3`, `momentum`; `eps = 1e-5`, `affine = true` |
//! | `dropout(x, rate = p)` | as `x` | |
//!
//! `over` names the axes that are summed, looked along or normalised; without it the only axis of an input. `start` is how
//! weights start: `default` (uniform on ±1/√in, bias too), `glorot`, `kaiming`, a number, `normal(m, s)` or
//! `uniform(-b, b)` (bias then 0). A layer in a stack is linear map, batch norm, layer norm, non-linearity, residual sum,
//! dropout; a block of convolutions is convolution, norm, non-linearity, dropout, pooling, or with `pre_activation` the
//! non-linearity first. Convolutions keep the number of positions n by zeros at both ends; pooling by p keeps the largest
//! of p neighbours and leaves ⌊(n + 2q − p)/p⌋ + 1 of them, q = ⌊(p−1)/2⌋.
//!
//! Parameters are called `net.name.kind.tensor`, where a stack numbers its layers (`encoder.h.mlp.0.linear.weight`,
//! `….0.norm.scale`, `….0.layernorm.scale`, `….0.skip.weight`) and an attention names its maps
//! (`….attention.query.weight`, `key`, `value`, `out`).

mod attention;
mod conv;
mod dense;
mod gcn;
mod norm;
mod options;

use super::{Checker, Scope, Value};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::AxisNo;
use crate::model::{ExprId, ExprKind, Layer};
use crate::source::Span;
use crate::syntax::ast::{self, Call};
use options::Options;
use std::collections::BTreeMap;

/// What is called as a layer.
pub const KINDS: [&str; 11] = [
    "mlp",
    "linear",
    "embed",
    "attention",
    "conv",
    "conv_tower",
    "split_mlp",
    "gcn",
    "batchnorm",
    "layernorm",
    "dropout",
];

/// Counts the layers of an expression by kind, for the numbers in parameter paths. Record fields and named arguments
/// of distributions start paths of their own and are counted there.
pub(super) fn count_layers(e: &ast::Expr, counts: &mut BTreeMap<String, (usize, usize)>) {
    let mut visit = |e: &ast::Expr| count_layers(e, counts);
    match &e.kind {
        ast::ExprKind::Call(call) => {
            let callee = match &call.callee.kind {
                ast::ExprKind::Index { base, .. } => base,
                _ => &call.callee,
            };
            let family = super::is_name(callee).is_some_and(|n| distributions::find(&n.text).is_some());
            for arg in call.args.iter().chain(&call.conditions).filter(|a| !(family && a.name.is_some())) {
                visit(&arg.value);
            }
            if let Some(n) = super::is_name(callee).filter(|n| KINDS.contains(&n.text.as_str())) {
                counts.entry(n.text.clone()).or_default().0 += 1;
            }
        }
        ast::ExprKind::Unary { operand, .. } => visit(operand),
        ast::ExprKind::Binary { left, right, .. } => {
            visit(left);
            visit(right);
        }
        ast::ExprKind::Field { base, .. } => visit(base),
        ast::ExprKind::Index { base, indices } => {
            visit(base);
            indices.iter().for_each(visit);
        }
        // Only one arm lives: they share numbers, so the longest counts.
        ast::ExprKind::Match { arms, .. } => arms.iter().for_each(|a| {
            let mut own = BTreeMap::new();
            count_layers(&a.value, &mut own);
            for (k, (n, _)) in own {
                let c = counts.entry(k).or_default();
                c.0 = c.0.max(n);
            }
        }),
        _ => {}
    }
}

/// A call of a layer, with its arguments evaluated.
struct Layered<'a> {
    name: &'a ast::Name,
    call: &'a Call,
    /// Path of its parameters.
    path: String,
    /// Axes in brackets.
    out: Vec<AxisNo>,
    /// What stands before the bar without a name.
    inputs: Vec<ExprId>,
    /// What stands after it.
    conditions: Vec<ExprId>,
    /// Axes after `over`.
    over: Vec<AxisNo>,
    options: Options,
    span: Span,
}

impl Checker<'_> {
    pub(super) fn layer(
        &mut self,
        name: &ast::Name,
        indices: &[ast::Expr],
        call: &Call,
        span: Span,
        scope: &mut Scope,
    ) -> Value {
        let Some(path) = scope.path.clone() else {
            let d = Diagnostic::new(
                Code::E0209,
                format!("`{}` has parameters and stands only inside a `net`", name.text),
            );
            self.diags
                .push(d.at(name.span, "").help("define `net f(v[axis]) { return … }` and call it here"));
            return Value::Error;
        };
        let Some(out) = self.output_axes(name, indices, scope) else { return Value::Error };
        let path = format!("{path}.{}", layer_name(&name.text, scope));
        let takes_over = !matches!(name.text.as_str(), "embed" | "dropout");
        if let Some(over) = call.over.first().filter(|_| !takes_over) {
            return self.report(Code::E0405, format!("`{}` takes no `over`", name.text), over.span, "");
        }
        let over: Vec<AxisNo> = self.over(call, scope).into_iter().map(|o| o.0).collect();
        if over.len() != call.over.len() {
            return Value::Error;
        }
        let Some((inputs, options)) = self.layer_args(name, call, scope) else { return Value::Error };
        let conditions = self.conditions(&call.conditions, scope);
        let l = Layered { name, call, path, out, inputs, conditions, over, options, span };
        let made = match name.text.as_str() {
            "linear" => self.linear_call(l, scope),
            "mlp" => self.mlp_call(l, scope),
            "split_mlp" => self.split_mlp(l, scope),
            "embed" => self.embed(l),
            "attention" => self.attention(l, scope),
            "conv" | "conv_tower" => self.conv(l, scope),
            "gcn" => self.gcn(l, scope),
            "dropout" => self.dropout_call(l),
            _ => self.norm_call(l, scope),
        };
        made.map_or(Value::Error, Value::Expr)
    }

    /// The axes in brackets, as many as the layer can have.
    fn output_axes(
        &mut self,
        name: &ast::Name,
        indices: &[ast::Expr],
        scope: &mut Scope,
    ) -> Option<Vec<AxisNo>> {
        let (least, most) = match name.text.as_str() {
            "linear" => (0, usize::MAX),
            "attention" => (0, 1),
            "conv" | "conv_tower" => (2, 2),
            "batchnorm" | "layernorm" | "dropout" => (0, 0),
            _ => (1, 1),
        };
        let mut out = vec![];
        for index in indices {
            let Some(axis) = super::is_name(index) else {
                self.report(Code::E0301, "an axis name is needed here", index.span, "");
                return None;
            };
            let axis = self.resolve_axis(axis, scope)?;
            if out.len() == most || out.contains(&axis) {
                let what = match most {
                    0 => format!("`{}` has no output axis", name.text),
                    1 => "a layer has one output axis".to_owned(),
                    usize::MAX => "an output axis stands twice".to_owned(),
                    _ => format!("`{}` has two output axes, channels and positions", name.text),
                };
                self.report(Code::E0302, what, index.span, "one too many");
                return None;
            }
            out.push(axis);
        }
        if out.len() >= least {
            return Some(out);
        }
        let (what, form) = match least {
            1 => ("an output axis", "axis"),
            _ => ("two output axes", "channels, positions"),
        };
        let form = format!("write `{}[{form}](…)`", name.text);
        self.report(Code::E0303, format!("`{}` needs {what}", name.text), name.span, form);
        None
    }

    /// The only input of a layer that takes one and no conditions.
    fn only_input(&mut self, l: &Layered<'_>) -> Option<ExprId> {
        match (&l.inputs[..], l.conditions.first()) {
            ([x], None) => Some(*x),
            ([_], Some(c)) => {
                let at = self.model.expr(*c).span;
                self.report(Code::E0405, format!("`{}` takes no conditions", l.name.text), at, "");
                None
            }
            (many, _) => {
                let label = format!("{} given", many.len());
                self.report(Code::E0403, format!("`{}` takes one input", l.name.text), l.span, label);
                None
            }
        }
    }

    /// The only axis of a value that is not a plate nor one of `but`; E0305 if there are several.
    fn rest_axis(&mut self, x: ExprId, but: &[AxisNo], what: &str, scope: &Scope) -> Option<Option<AxisNo>> {
        let rest: Vec<AxisNo> =
            self.ty(x).local(&scope.plates).into_iter().filter(|a| !but.contains(a)).collect();
        match rest[..] {
            [] => Some(None),
            [a] => Some(Some(a)),
            _ => {
                let at = self.model.expr(x).span;
                let label = format!("has {}", self.show_axes(&rest));
                self.report(Code::E0305, what, at, label);
                None
            }
        }
    }

    /// The size of an axis, if the source says it.
    pub(super) fn known_size(&self, a: AxisNo) -> Option<usize> {
        match &self.model.axes[a.0 as usize].source {
            crate::compiled::AxisSource::Knob(n) => Some(*n),
            crate::compiled::AxisSource::Labels(labels) => Some(labels.len()),
            _ => None,
        }
    }

    /// [`Checker::known_size`], or E0303.
    fn needs_size(&mut self, a: AxisNo, layer: &ast::Name) -> Option<usize> {
        let size = self.known_size(a);
        if size.is_none() {
            let axis = self.model.axis_name(a).to_owned();
            let what = format!("`{}` needs the size of axis `{axis}` beforehand", layer.text);
            let d = Diagnostic::new(Code::E0303, what).at(layer.span, "its size comes from the data");
            self.diags.push(d.help(format!("declare it with a number: `dim {axis} = 64`")));
        }
        size
    }

    fn push_layer(&mut self, layer: Layer, like: ExprId, span: Span) -> ExprId {
        let t = super::Ty::new(self.ty(like).axes.clone(), distributions::Support::Real);
        self.push(ExprKind::Layer(layer), t, span)
    }
}

/// `linear`, or `linear.1` if the kind stands several times in the expression.
pub(super) fn layer_name(kind: &str, scope: &mut Scope) -> String {
    let (total, seen) = scope.repeats.entry(kind.to_owned()).or_insert((1, 0));
    *seen += 1;
    if *total > 1 { format!("{kind}.{}", *seen - 1) } else { kind.to_owned() }
}
