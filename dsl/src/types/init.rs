//! Parameters: their supports and where they start.

use super::{Block, Checker, Scope, Value, is_name};
use crate::compiled::{Init, Origin};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::Ty;
use crate::model::{ExprKind, ParamDecl};
use crate::source::Span;
use crate::syntax::ast;
use distributions::Support;

impl Checker<'_> {
    /// A read of a parameter; it is declared in the model on first use.
    pub(super) fn param(&mut self, name: &str, span: Span) -> Option<Value> {
        let no = match self.params.get(name) {
            Some(&no) => no,
            None => {
                let p = self.program.params.iter().find(|p| p.name.text == name)?;
                if self.poisoned.contains(name) {
                    return Some(Value::Error);
                }
                let Some(decl) = self.param_decl(p) else {
                    self.poisoned.insert(name.to_owned());
                    return Some(Value::Error);
                };
                self.params.insert(name.to_owned(), self.model.params.len());
                self.model.params.push(decl);
                self.model.params.len() - 1
            }
        };
        let ty = self.model.params[no].ty.clone();
        Some(Value::Expr(self.push(ExprKind::Param(no), ty, span)))
    }

    pub(super) fn param_decl(&mut self, p: &ast::Param) -> Option<ParamDecl> {
        let scope = Scope::new(Block::Model, vec![]);
        let axes = self.all_axes(&p.axes, &scope)?;
        if !self.param_form(p) {
            return None;
        }
        let (support, of) = match &p.ty {
            None => (Support::Real, None),
            Some(t) => match t.name.text.as_str() {
                "real" => (Support::Real, None),
                "positive" | "nonneg" => (Support::Positive, None),
                "unit" => (Support::Unit, None),
                "simplex" => (Support::Simplex, Some(self.simplex_axis(t, &axes, &scope)?)),
                other => {
                    let known = ["real", "positive", "nonneg", "unit", "simplex"];
                    let d = Diagnostic::new(Code::E0401, format!("a parameter cannot be `{other}`"))
                        .at(t.name.span, "");
                    self.diags.push(
                        d.did_you_mean(other, known).help(format!("parameters are {}", known.join(", "))),
                    );
                    return None;
                }
            },
        };
        let from = p.init.as_ref().and_then(|e| self.loaded(e));
        let init = match &p.init {
            Some(e) if from.is_none() => self.init(e, support)?,
            _ => Init::Normal { mean: 0.0, sd: 1.0 },
        };
        if let Some(a) = of.filter(|a| Some(*a) == self.model.plate) {
            let what = format!("`{}` would sum to 1 over every `{}`", p.name.text, self.model.axis_name(a));
            self.report(Code::E0313, what, p.name.span, "a minibatch has some of them only");
            return None;
        }
        let ty = Ty { of, ..Ty::new(axes.into_iter().collect(), support) };
        Some(ParamDecl { name: p.name.text.clone(), ty, init, from, frozen: p.frozen, span: p.name.span })
    }

    /// `ref.theta`, if `ref` is a loaded model.
    fn loaded(&self, e: &ast::Expr) -> Option<Origin> {
        let (mut at, mut parts) = (e, vec![]);
        while let ast::ExprKind::Field { base, name } = &at.kind {
            parts.insert(0, name.text.as_str());
            at = base;
        }
        let load = is_name(at).filter(|n| self.program.loads.iter().any(|l| l.name.text == n.text))?;
        (!parts.is_empty()).then(|| Origin { load: load.text.clone(), path: parts.join(".") })
    }

    /// The nets whose parameters are those of loaded models.
    pub(super) fn loaded_nets(&mut self) {
        for net in &self.program.nets {
            let Some(from) = &net.from else { continue };
            let [load, rest @ ..] = &from.parts[..] else { continue };
            if rest.is_empty() || !self.program.loads.iter().any(|l| l.name.text == load.text) {
                let known = self.program.loads.iter().map(|l| l.name.text.as_str());
                let what = format!("`{}` is no net of a loaded model", from.dotted());
                let d = Diagnostic::new(Code::E0201, what).at(from.span, "").did_you_mean(&load.text, known);
                self.diags
                    .push(d.help("load the model first, `load ref : condscvi`; then `from ref.decoder`"));
                continue;
            }
            let path = rest.iter().map(|n| n.text.as_str()).collect::<Vec<_>>().join(".");
            self.model.loaded_nets.insert(net.name.text.clone(), Origin { load: load.text.clone(), path });
        }
    }

    /// What a type of a parameter cannot have.
    fn param_form(&mut self, p: &ast::Param) -> bool {
        if let Some(t) = p.ty.as_ref().filter(|t| t.may_miss || !t.axes.is_empty()) {
            let d = Diagnostic::new(Code::E0401, "the type of a parameter has no brackets and no `?`")
                .at(t.span, "");
            self.diags.push(d.help(format!(
                "write the axes after the name: `param {}[axis] : {}`",
                p.name.text, t.name.text
            )));
            return false;
        }
        true
    }

    fn simplex_axis(
        &mut self,
        t: &ast::Type,
        axes: &[crate::model::AxisNo],
        scope: &Scope,
    ) -> Option<crate::model::AxisNo> {
        // `over` is part of the type's own syntax; without it the only axis serves.
        match (&t.over, axes) {
            (Some(name), _) => {
                let axis = self.resolve_axis(name, scope)?;
                if axes.contains(&axis) {
                    return Some(axis);
                }
                let d = Diagnostic::new(Code::E0303, format!("the parameter has no axis `{}`", name.text));
                self.diags.push(d.at(name.span, format!("it has {}", self.show_axes(axes))));
                None
            }
            (None, [only]) => Some(*only),
            _ => {
                let shown = self.show_axes(axes);
                let d = Diagnostic::new(Code::E0409, "a simplex sums to 1 along one axis: say which");
                let d = d.at(t.span, format!("could be any of {shown}"));
                self.diags.push(match axes.first() {
                    Some(a) => d.help(format!("write `simplex over {}`", self.model.axis_name(*a))),
                    None => d.help("give it an axis: `param w[axis] : simplex`"),
                });
                None
            }
        }
    }

    /// A value in the declared support (mapped to the unconstrained scale), or a sampler on that scale.
    pub(super) fn init(&mut self, e: &ast::Expr, support: Support) -> Option<Init> {
        if let ast::ExprKind::Call(call) = &e.kind
            && let Some(name) = is_name(&call.callee)
        {
            let args: Option<Vec<f64>> = call.args.iter().map(|a| self.static_number(&a.value)).collect();
            return match (name.text.as_str(), args?.as_slice()) {
                ("normal", &[mean, sd]) if sd >= 0.0 => Some(Init::Normal { mean, sd }),
                ("uniform", &[low, high]) if low <= high => Some(Init::Uniform { low, high }),
                _ => {
                    let d = Diagnostic::new(Code::E0413, "not a way to initialise").at(e.span, "");
                    self.diags.push(d.help("a value, `normal(mean, sd)` or `uniform(low, high)`, the last two before the support's map"));
                    None
                }
            };
        }
        let x = self.static_number(e)?;
        let unconstrained = match support {
            Support::Positive if x > 0.0 => x.ln(),
            Support::Unit if x > 0.0 && x < 1.0 => (x / (1.0 - x)).ln(),
            Support::Simplex if x > 0.0 => x.ln(),
            Support::Real => x,
            _ => {
                let d = Diagnostic::new(
                    Code::E0413,
                    format!("`init` is outside the support of a {support} parameter"),
                );
                let range = match support {
                    Support::Unit => "a number between 0 and 1, both excluded",
                    _ => "a number above 0",
                };
                self.diags.push(d.at(e.span, format!("this is {x}")).help(format!("give {range}")));
                return None;
            }
        };
        Some(Init::Constant(unconstrained))
    }
}
