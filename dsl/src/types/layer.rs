//! Layers: `mlp`, `linear`, `embed`.

use super::{Checker, Scope, Value};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{ExprId, ExprKind, Layer};
use crate::source::Span;
use crate::syntax::ast::{self, Call};
use autodiff_runtime::Elem;
use distributions::Support;
use std::collections::BTreeMap;

const KINDS: [&str; 3] = ["mlp", "linear", "embed"];

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

/// Arguments of a layer that are not inputs.
struct Options {
    layers: usize,
    batch_norm: bool,
    layer_norm: bool,
    dropout: f64,
    activation: Option<Elem>,
    bias: bool,
    inject_all: bool,
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
        if let Some(over) = call.over.first() {
            return self.report(Code::E0405, format!("`{}` takes no `over`", name.text), over.span, "");
        }
        let mut out = None;
        for index in indices {
            let Some(axis) = super::is_name(index) else {
                return self.report(Code::E0301, "an axis name is needed here", index.span, "");
            };
            let Some(axis) = self.resolve_axis(axis, scope) else { return Value::Error };
            if out.replace(axis).is_some() {
                return self.report(Code::E0302, "a layer has one output axis", index.span, "one too many");
            }
        }
        let path = format!("{path}.{}", layer_name(&name.text, scope));
        let Some((inputs, options)) = self.layer_args(name, call, scope) else { return Value::Error };
        let conditions = self.conditions(&call.conditions, scope);
        match (name.text.as_str(), out) {
            ("linear", _) => self
                .linear(path, out, inputs, conditions, options.bias, true, span, scope)
                .map_or(Value::Error, Value::Expr),
            ("mlp", Some(out)) => self.mlp(&path, out, inputs, conditions, &options, span, scope),
            ("embed", Some(out)) => self.embed(path, out, inputs, conditions, span),
            _ => self.report(
                Code::E0303,
                format!("`{}` needs an output axis", name.text),
                name.span,
                format!("write `{}[axis](…)`", name.text),
            ),
        }
    }

    fn layer_args(
        &mut self,
        name: &ast::Name,
        call: &Call,
        scope: &mut Scope,
    ) -> Option<(Vec<ExprId>, Options)> {
        let mut o = Options {
            layers: 1,
            batch_norm: false,
            layer_norm: false,
            dropout: 0.0,
            activation: Some(Elem::Relu),
            bias: true,
            inject_all: true,
        };
        let mut inputs = vec![];
        let mut fine = true;
        // Settings may stand before or after the bar; what has no name is an input here, a condition there.
        let settings = call.conditions.iter().filter(|a| a.name.is_some());
        for arg in call.args.iter().chain(settings) {
            let Some(key) = &arg.name else {
                match if name.text == "embed" {
                    self.eval_expr(&arg.value, scope)
                } else {
                    self.eval_number(&arg.value, scope)
                } {
                    Some(id) => inputs.push(id),
                    None => fine = false,
                }
                continue;
            };
            fine &= self.layer_option(&name.text, key, &arg.value, &mut o).is_some();
        }
        fine.then_some((inputs, o))
    }

    fn layer_option(&mut self, layer: &str, key: &ast::Name, e: &ast::Expr, o: &mut Options) -> Option<()> {
        let known: &[&str] = match layer {
            "mlp" => &["layers", "norm", "dropout", "activation", "bias", "inject"],
            "linear" => &["bias"],
            _ => &[],
        };
        if !known.contains(&key.text.as_str()) {
            let d = Diagnostic::new(Code::E0405, format!("`{layer}` has no argument called `{}`", key.text))
                .at(key.span, "");
            self.diags.push(d.did_you_mean(&key.text, known.iter().copied()));
            return None;
        }
        match key.text.as_str() {
            "layers" => {
                let n = self.static_number(e)?;
                if !(1.0..=64.0).contains(&n) || n.fract() != 0.0 {
                    self.report(
                        Code::E0401,
                        "`layers` is a whole number from 1 to 64",
                        e.span,
                        format!("this is {n}"),
                    );
                    return None;
                }
                o.layers = n as usize;
            }
            "dropout" => {
                let p = self.static_number(e)?;
                if !(0.0..1.0).contains(&p) {
                    self.report(
                        Code::E0401,
                        "`dropout` is a probability below 1",
                        e.span,
                        format!("this is {p}"),
                    );
                    return None;
                }
                o.dropout = p;
            }
            "norm" => {
                let w = self.static_word(e, &["batchnorm", "layernorm", "both", "none"])?;
                o.batch_norm = w == "batchnorm" || w == "both";
                o.layer_norm = w == "layernorm" || w == "both";
            }
            "activation" => {
                let w = self.static_word(e, &["relu", "tanh", "sigmoid", "softplus", "none"])?;
                o.activation = match w.as_str() {
                    "relu" => Some(Elem::Relu),
                    "tanh" => Some(Elem::Tanh),
                    "sigmoid" => Some(Elem::Sigmoid),
                    "softplus" => Some(Elem::Softplus),
                    _ => None,
                };
            }
            "inject" => o.inject_all = self.static_word(e, &["all", "first"])? == "all",
            _ => o.bias = self.static_bool(e)?,
        }
        Some(())
    }

    fn linear(
        &mut self,
        path: String,
        out: Option<AxisNo>,
        inputs: Vec<ExprId>,
        conditions: Vec<ExprId>,
        bias: bool,
        first: bool,
        span: Span,
        scope: &Scope,
    ) -> Option<ExprId> {
        if inputs.is_empty() && conditions.is_empty() {
            self.report(Code::E0403, "a layer needs an input", span, "");
            return None;
        }
        let mut axes = crate::model::AxisSet::new();
        for id in inputs.iter().chain(&conditions) {
            let t = self.ty(*id).clone();
            let local = t.local(&scope.plates);
            if (t.support == Support::Category || t.covariates) && !local.is_empty() {
                let at = self.model.expr(*id).span;
                let what = "labels that condition a layer have one value for each element of the plate";
                let label = format!("has {}", self.show_axes(&local));
                self.report(Code::E0306, what, at, label);
                return None;
            }
            if local.len() > 1 {
                let at = self.model.expr(*id).span;
                let shown = self.show_axes(&local);
                self.report(
                    Code::E0305,
                    "an input of a layer has one axis of its own",
                    at,
                    format!("has {shown}"),
                );
                return None;
            }
            axes.extend(t.axes.iter().filter(|a| scope.plates.contains(a)));
        }
        axes.extend(out);
        let t = Ty::new(axes, Support::Real);
        let plates = scope.plates.clone();
        let layer = Layer::Linear { path, out, inputs, conditions, plates, bias, first };
        Some(self.push(ExprKind::Layer(layer), t, span))
    }

    fn mlp(
        &mut self,
        path: &str,
        out: AxisNo,
        inputs: Vec<ExprId>,
        conditions: Vec<ExprId>,
        o: &Options,
        span: Span,
        scope: &Scope,
    ) -> Value {
        let mut h = inputs;
        for k in 0..o.layers {
            let here = if k == 0 || o.inject_all { conditions.clone() } else { vec![] };
            let Some(mut x) =
                self.linear(format!("{path}.{k}.linear"), Some(out), h, here, o.bias, k == 0, span, scope)
            else {
                return Value::Error;
            };
            let t = self.ty(x).clone();
            if o.batch_norm {
                let layer = Layer::BatchNorm { path: format!("{path}.{k}.norm"), arg: x, axis: out };
                x = self.push(ExprKind::Layer(layer), t.clone(), span);
            }
            if o.layer_norm {
                x = self.push(ExprKind::Layer(Layer::LayerNorm { arg: x, axis: out }), t.clone(), span);
            }
            if let Some(elem) = o.activation {
                x = self.push(ExprKind::Elem(elem, vec![x]), t.clone(), span);
            }
            if o.dropout > 0.0 {
                let layer = Layer::Dropout { path: format!("{path}.{k}.dropout"), arg: x, rate: o.dropout };
                x = self.push(ExprKind::Layer(layer), t, span);
            }
            h = vec![x];
        }
        Value::Expr(h[0])
    }

    fn embed(
        &mut self,
        path: String,
        out: AxisNo,
        inputs: Vec<ExprId>,
        conditions: Vec<ExprId>,
        span: Span,
    ) -> Value {
        let all: Vec<ExprId> = inputs.into_iter().chain(conditions).collect();
        let [index] = all[..] else {
            return self.report(
                Code::E0403,
                "`embed` takes one category",
                span,
                format!("{} given", all.len()),
            );
        };
        let t = self.ty(index).clone();
        if t.support != Support::Category {
            return self.report(Code::E0401, "`embed` takes a category", span, self.show_ty(&t));
        }
        let axes = t.axes.iter().copied().chain([out]).collect();
        let layer = Layer::Embed { path, index, out };
        Value::Expr(self.push(ExprKind::Layer(layer), Ty::new(axes, Support::Real), span))
    }
}

/// `linear`, or `linear.1` if the kind stands several times in the expression.
fn layer_name(kind: &str, scope: &mut Scope) -> String {
    let (total, seen) = scope.repeats.entry(kind.to_owned()).or_insert((1, 0));
    *seen += 1;
    if *total > 1 { format!("{kind}.{}", *seen - 1) } else { kind.to_owned() }
}
