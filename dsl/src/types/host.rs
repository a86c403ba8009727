//! Calls of a host's primitives.

use super::layer::layer_name;
use super::{Checker, Scope, Value};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisSet, Ty};
use crate::model::{ExprId, ExprKind, HostCall};
use crate::primitive::{Form, Primitive};
use crate::source::Span;
use crate::syntax::ast::{self, Call};
use std::sync::Arc;

impl Checker<'_> {
    pub(super) fn primitive(
        &mut self,
        p: Arc<dyn Primitive>,
        callee: &ast::Name,
        call: &Call,
        span: Span,
        scope: &mut Scope,
    ) -> Value {
        let path = match &scope.path {
            Some(path) => path.clone(),
            None if p.has_parameters() => {
                let what = format!("`{}` has parameters and stands only inside a `net`", callee.text);
                let d = Diagnostic::new(Code::E0209, what).at(callee.span, "");
                self.diags.push(d.help("define `net f(v[axis]) { return … }` and call it here"));
                return Value::Error;
            }
            None => String::new(),
        };
        let path = format!("{path}.{}", layer_name(&callee.text, scope));
        let Some(inputs) = self.primitive_inputs(p.as_ref(), callee, call, span, scope) else {
            return Value::Error;
        };
        let axes: AxisSet = inputs.iter().flat_map(|x| self.ty(*x).axes.iter().copied()).collect();
        let Some(axis) = self.primitive_axis(p.as_ref(), &axes, callee, call, span, scope) else {
            return Value::Error;
        };
        let kept = axes.into_iter().filter(|a| p.form() != Form::Reduces || Some(*a) != axis).collect();
        let t = Ty::new(kept, p.support());
        Value::Expr(self.push(ExprKind::Host(HostCall { primitive: p, path, inputs, axis }), t, span))
    }

    /// The inputs, as many as it takes and where they may lie.
    fn primitive_inputs(
        &mut self,
        p: &dyn Primitive,
        callee: &ast::Name,
        call: &Call,
        span: Span,
        scope: &mut Scope,
    ) -> Option<Vec<ExprId>> {
        let named = call.args.iter().chain(&call.conditions).find(|a| a.name.is_some());
        if named.is_some() || !call.conditions.is_empty() || call.args.len() != p.n_inputs() {
            let n = p.n_inputs();
            let what =
                format!("`{}` takes {n} input{} by position", callee.text, if n == 1 { "" } else { "s" });
            self.report(Code::E0405, what, span, format!("{} given", call.args.len()));
            return None;
        }
        let mut inputs = vec![];
        for (i, arg) in call.args.iter().enumerate() {
            let x = self.eval_number(&arg.value, scope)?;
            let (needed, found) = (p.accepts(i), super::numeric(self.ty(x).support));
            if !found.is_within(needed) {
                let shown = self.show_ty(&self.ty(x).clone());
                let what = format!("`{}` needs {needed}, got {found}", callee.text);
                self.report(Code::E0401, what, arg.span, format!("this is {shown}"));
                return None;
            }
            inputs.push(x);
        }
        Some(inputs)
    }

    /// The axis that it runs along: the one after `over`, or the only one of the inputs' own.
    fn primitive_axis(
        &mut self,
        p: &dyn Primitive,
        axes: &AxisSet,
        callee: &ast::Name,
        call: &Call,
        span: Span,
        scope: &Scope,
    ) -> Option<Option<crate::model::AxisNo>> {
        if p.form() == Form::Elementwise {
            if let Some(over) = call.over.first() {
                let what = format!("`{}` takes no `over`", callee.text);
                self.report(Code::E0405, what, over.span, "works on each element");
                return None;
            }
            return Some(None);
        }
        let named: Vec<_> = self.over(call, scope).into_iter().map(|o| o.0).collect();
        let local: Vec<_> = axes.iter().copied().filter(|a| !scope.plates.contains(a)).collect();
        let choice = if call.over.is_empty() { &local } else { &named };
        match choice[..] {
            [a] if local.contains(&a) => Some(Some(a)),
            [a] => {
                let what = format!("the inputs have no axis `{}` of their own", self.model.axis_name(a));
                let shown = self.has_axes(&local);
                self.report(Code::E0304, what, span, shown);
                None
            }
            _ => {
                let shown = self.has_axes(&local);
                let d = Diagnostic::new(Code::E0305, format!("`{}` runs along one axis", callee.text));
                let d = d.at(span, shown);
                self.diags.push(d.help(format!("name it: `{}(… over axis)`", callee.text)));
                None
            }
        }
    }
}
