//! Indexing: by a category or an index, by a subset axis, by a label or number.

use super::{Checker, Scope, Value, is_name, numeric};
use crate::compiled::AxisSource;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{ExprId, ExprKind};
use crate::source::Span;
use crate::syntax::ast;
use distributions::Support;
use std::collections::BTreeMap;

impl Checker<'_> {
    pub(super) fn index(
        &mut self,
        base: &ast::Expr,
        indices: &[ast::Expr],
        span: Span,
        scope: &mut Scope,
    ) -> Value {
        let Some(mut value) = self.eval_expr(base, scope) else { return Value::Error };
        for i in indices {
            match self.index_one(base, value, i, span, scope) {
                Some(id) => value = id,
                None => return Value::Error,
            }
        }
        Value::Expr(value)
    }

    fn index_one(
        &mut self,
        base: &ast::Expr,
        value: ExprId,
        i: &ast::Expr,
        span: Span,
        scope: &mut Scope,
    ) -> Option<ExprId> {
        if let Some((axis, whole)) = is_name(i).and_then(|n| self.subset_axis(n, scope)) {
            let t = Ty { of: Some(whole), ..Ty::new([axis].into(), Support::Category) };
            let index = self.push(ExprKind::Within(axis), t, i.span);
            return self.indexed(base, value, index, whole, i, span);
        }
        if let Some((axis, at)) = is_name(i).and_then(|n| self.label_of(value, &n.text, scope)) {
            let index = self.constant(at as f64, i.span);
            return self.indexed(base, value, index, axis, i, span);
        }
        let index = self.eval_expr(i, scope)?;
        if let ExprKind::Const(c) = self.model.expr(index).kind {
            return self.numbered(base, value, (index, c), i, span, scope);
        }
        let t = self.ty(index).clone();
        let Some(axis) = t.of.filter(|_| t.support == Support::Category) else {
            let d = Diagnostic::new(Code::E0307, "this is no index").at(i.span, self.show_ty(&t));
            self.diags.push(
                d.help("an index is a category, a field of type `index`, a subset axis, a label or a number"),
            );
            return None;
        };
        if t.may_miss {
            let d =
                Diagnostic::new(Code::E0406, "the index may be missing here").at(i.span, self.show_ty(&t));
            self.diags.push(d.help("let the guide draw it where it is missing"));
            return None;
        }
        self.indexed(base, value, index, axis, i, span)
    }

    /// The value at an index; its elements stay labels if they were.
    fn indexed(
        &mut self,
        base: &ast::Expr,
        value: ExprId,
        index: ExprId,
        axis: AxisNo,
        i: &ast::Expr,
        span: Span,
    ) -> Option<ExprId> {
        let base_ty = self.ty(value).clone();
        if !base_ty.axes.contains(&axis) {
            let name = self.model.axis_name(axis).to_owned();
            let d = Diagnostic::new(Code::E0307, format!("this value has no axis `{name}` to index"));
            self.diags
                .push(d.at(base.span, self.show_ty(&base_ty)).also(i.span, format!("an index of `{name}`")));
            return None;
        }
        let rows = self.model.plate == Some(axis);
        if rows && !self.is_rows(value, index) {
            let name = self.model.axis_name(axis).to_owned();
            let d = Diagnostic::new(Code::E0307, format!("other rows of `{name}` are rows of a field"));
            let d = d.at(base.span, "not a field").also(i.span, "names rows");
            self.diags.push(d.help("index the field first: `log1p(x[near])`"));
            return None;
        }
        let of_index = self.ty(index).axes.clone();
        let axes = base_ty.axes.iter().copied().filter(|a| *a != axis).chain(of_index).collect();
        let labels = base_ty.support == Support::Category;
        let ty = Ty {
            of: base_ty.of.filter(|_| labels),
            may_miss: base_ty.may_miss,
            ..Ty::new(axes, if labels { base_ty.support } else { numeric(base_ty.support) })
        };
        Some(self.push(ExprKind::Index { base: value, index, axis }, ty, span))
    }

    /// Whether a value is a field and the index a field of row numbers.
    fn is_rows(&self, value: ExprId, index: ExprId) -> bool {
        let field = |id: ExprId| matches!(self.model.expr(id).kind, ExprKind::Field(_) | ExprKind::Known(_));
        field(value) && field(index)
    }

    /// `v[2]`: along the only axis of its own.
    fn numbered(
        &mut self,
        base: &ast::Expr,
        value: ExprId,
        (index, at): (ExprId, f64),
        i: &ast::Expr,
        span: Span,
        scope: &Scope,
    ) -> Option<ExprId> {
        let mut own = self.ty(value).local(&scope.plates);
        own.retain(|a| Some(*a) != self.model.plate);
        let [axis] = own[..] else {
            let shown = self.has_axes(&own);
            self.report(Code::E0307, "a number indexes a value with one axis", i.span, shown);
            return None;
        };
        let size = match &self.model.axes[axis.0 as usize].source {
            AxisSource::Knob(n) => Some(*n),
            AxisSource::Labels(labels) => Some(labels.len()),
            _ => None,
        };
        if at < 0.0 || at.fract() != 0.0 || size.is_some_and(|n| at >= n as f64) {
            let name = self.model.axis_name(axis).to_owned();
            let d =
                Diagnostic::new(Code::E0307, format!("`{at}` is no place on axis `{name}`")).at(i.span, "");
            self.diags.push(match size {
                Some(n) => d.help(format!("places count from 0 to {}", n - 1)),
                None => d.help("places are whole numbers from 0"),
            });
            return None;
        }
        self.indexed(base, value, index, axis, i, span)
    }

    /// A subset axis and the axis that it lies within, if nothing nearer has that name.
    fn subset_axis(&self, n: &ast::Name, scope: &Scope) -> Option<(AxisNo, AxisNo)> {
        if scope.locals.iter().any(|l| l.0 == n.text) {
            return None;
        }
        let axis = self.model.find_axis(&n.text)?;
        let AxisSource::Within(whole) = &self.model.axes[axis.0 as usize].source else { return None };
        Some((axis, self.model.find_axis(whole)?))
    }

    /// The axis of `value` that has a label of that name, and its place.
    fn label_of(&self, value: ExprId, name: &str, scope: &Scope) -> Option<(AxisNo, usize)> {
        if scope.locals.iter().any(|l| l.0 == name) {
            return None;
        }
        self.ty(value).axes.iter().find_map(|a| match &self.model.axes[a.0 as usize].source {
            AxisSource::Labels(labels) => labels.iter().position(|l| l == name).map(|at| (*a, at)),
            _ => None,
        })
    }

    /// `v.induction`: a value of a labelled axis by its label.
    pub(super) fn labelled_part(
        &mut self,
        value: ExprId,
        name: &ast::Name,
        span: Span,
        scope: &Scope,
    ) -> Option<ExprId> {
        let (axis, at) = self.label_of(value, &name.text, scope)?;
        let index = self.constant(at as f64, name.span);
        let t = self.ty(value).clone();
        let axes = t.axes.iter().copied().filter(|a| *a != axis).collect();
        let ty = Ty::new(axes, numeric(t.support));
        Some(self.push(ExprKind::Index { base: value, index, axis }, ty, span))
    }

    /// E0402 for a record that is no value on a labelled axis, with the axis whose labels come nearest.
    pub(super) fn no_number(&mut self, parts: &BTreeMap<String, Value>, span: Span) {
        let d = Diagnostic::new(Code::E0402, "a number is needed here, not a record")
            .at(span, "this is a record");
        let shared = |a: &crate::compiled::AxisInfo| match &a.source {
            AxisSource::Labels(l) => l.iter().filter(|x| parts.contains_key(*x)).count(),
            _ => 0,
        };
        let near = self.model.axes.iter().filter(|a| shared(a) > 0).max_by_key(|a| shared(a));
        let d = match near.map(|a| (&a.name, &a.source)) {
            Some((name, AxisSource::Labels(labels))) => d.note(format!(
                "a record with the labels of an axis is a value on it: `{name}` has {}, the record {}",
                labels.join(", "),
                parts.keys().cloned().collect::<Vec<_>>().join(", ")
            )),
            _ => d,
        };
        self.diags.push(d);
    }

    /// A record whose names are the labels of an axis, as a value on that axis.
    pub(super) fn stacked(&mut self, parts: &BTreeMap<String, Value>, span: Span) -> Option<ExprId> {
        let (axis, labels) = self.model.axes.iter().enumerate().find_map(|(i, a)| match &a.source {
            AxisSource::Labels(l) if l.len() == parts.len() && l.iter().all(|x| parts.contains_key(x)) => {
                Some((AxisNo(i as u32), l.clone()))
            }
            _ => None,
        })?;
        let values: Option<Vec<ExprId>> = labels
            .iter()
            .map(|l| match parts.get(l) {
                Some(Value::Expr(id)) => Some(*id),
                _ => None,
            })
            .collect();
        let values = values?;
        let mut t = Ty::new([axis].into(), Support::Bool);
        for (i, v) in values.iter().enumerate() {
            let one = self.ty(*v).clone();
            let support = numeric(one.support);
            t.axes.extend(one.axes);
            t.support = if i == 0 { support } else { crate::model::ty::join(t.support, support) };
        }
        if values.iter().all(|v| self.sign(*v).positive) {
            t.support = Support::Positive;
        }
        Some(self.push(ExprKind::Stack(axis, values), t, span))
    }
}
