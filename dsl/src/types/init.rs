//! Parameters: their supports and where they start.

use super::{Block, Checker, Scope, Value, is_name};
use crate::compiled::Init;
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
                let decl = self.param_decl(p)?;
                self.params.insert(name.to_owned(), self.model.params.len());
                self.model.params.push(decl);
                self.model.params.len() - 1
            }
        };
        let ty = self.model.params[no].ty.clone();
        Some(Value::Expr(self.push(ExprKind::Param(no), ty, span)))
    }

    fn param_decl(&mut self, p: &ast::Param) -> Option<ParamDecl> {
        let scope = Scope::new(Block::Model, vec![]);
        let axes = self.resolve_axes(&p.axes, &scope);
        let (support, of) = match &p.ty {
            None => (Support::Real, None),
            Some(t) => match t.name.text.as_str() {
                "real" => (Support::Real, None),
                "positive" | "nonneg" => (Support::Positive, None),
                "unit" => (Support::Unit, None),
                "simplex" => (Support::Simplex, self.simplex_axis(t, &axes, &scope)),
                other => {
                    let known = ["real", "positive", "nonneg", "unit", "simplex"];
                    let d = Diagnostic::new(Code::E0401, format!("a parameter cannot be `{other}`"))
                        .at(t.name.span, "");
                    self.diags.push(
                        d.did_you_mean(other, known).note(format!("parameters are {}", known.join(", "))),
                    );
                    (Support::Real, None)
                }
            },
        };
        let init = match &p.init {
            None => Init::Normal { mean: 0.0, sd: 1.0 },
            Some(e) => self.init(e, support)?,
        };
        let ty = Ty { of, ..Ty::new(axes.into_iter().collect(), support) };
        Some(ParamDecl { name: p.name.text.clone(), ty, init, frozen: p.frozen, span: p.name.span })
    }

    fn simplex_axis(
        &mut self,
        t: &ast::Type,
        axes: &[crate::model::AxisNo],
        scope: &Scope,
    ) -> Option<crate::model::AxisNo> {
        // `over` is part of the type's own syntax; without it the only axis serves.
        match (&t.over, axes) {
            (Some(name), _) => self.resolve_axis(name, scope),
            (None, [only]) => Some(*only),
            _ => {
                self.report(
                    Code::E0409,
                    "a simplex runs along one axis",
                    t.span,
                    "write `simplex over axis`",
                );
                None
            }
        }
    }

    /// A value in the declared support (mapped to the unconstrained scale), or a sampler on that scale.
    fn init(&mut self, e: &ast::Expr, support: Support) -> Option<Init> {
        if let ast::ExprKind::Call(call) = &e.kind
            && let Some(name) = is_name(&call.callee)
        {
            let args: Option<Vec<f64>> = call.args.iter().map(|a| self.static_number(&a.value)).collect();
            return match (name.text.as_str(), args?.as_slice()) {
                ("normal", &[mean, sd]) if sd >= 0.0 => Some(Init::Normal { mean, sd }),
                ("uniform", &[low, high]) if low == -high && high >= 0.0 => {
                    Some(Init::Uniform { bound: high })
                }
                _ => {
                    let d = Diagnostic::new(Code::E0413, "not a way to initialise").at(e.span, "");
                    self.diags.push(d.help("a value, `normal(mean, sd)` or `uniform(-b, b)`, the last two before the support's map"));
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
                self.diags.push(d.at(e.span, format!("this is {x}")));
                return None;
            }
        };
        Some(Init::Constant(unconstrained))
    }
}
