//! What holds only in places: missing values, `where` on sites and in reductions, weights of plates.

use super::{Block, Checker, Scope, Value, is_name, numeric};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{self, AxisNo, Ty};
use crate::model::{Cond, ExprId, ExprKind, Reduction};
use crate::source::Span;
use crate::syntax::ast::{self, BinaryOp, Call};
use autodiff_runtime::{Elem, ReduceKind};
use distributions::Support;

/// Whether a setting `labelled FIELD` is about a filter: `observed(FIELD)`, alone or joined by `and`.
fn asks_for_labelled(setting: &ast::Setting, filter: &ast::Expr) -> bool {
    if setting.key.text != "labelled" {
        return false;
    }
    let field = setting.target.as_ref().map(ast::Path::dotted);
    match &filter.kind {
        ast::ExprKind::Call(call) => {
            let asked = is_name(&call.callee).is_some_and(|n| n.text == "observed");
            let of = call.args.first().and_then(|a| is_name(&a.value)).map(|n| n.text.clone());
            asked && of.is_some() && of == field
        }
        ast::ExprKind::Binary { op: BinaryOp::And, left, right } => {
            asks_for_labelled(setting, left) || asks_for_labelled(setting, right)
        }
        _ => false,
    }
}

impl Checker<'_> {
    /// Whether each element of a field, or of a part of one, is known; none for a value that cannot miss.
    pub(super) fn known(&mut self, id: ExprId) -> Option<ExprId> {
        let e = self.model.expr(id).clone();
        // A site that the guide infers where its field is missing.
        if let ExprKind::Site(s) = e.kind
            && let Some(f) = self.model.sites[s].observed
        {
            let t = Ty::new(self.model.fields[f].ty.axes.clone(), Support::Bool);
            return Some(self.push(ExprKind::Known(f), t, e.span));
        }
        if !e.ty.may_miss {
            return None;
        }
        let of_base = |c: &mut Self, base, kind: &dyn Fn(ExprId) -> ExprKind| {
            let known = c.known(base)?;
            let t = Ty::new(e.ty.axes.clone(), Support::Bool);
            Some(c.push(kind(known), t, e.span))
        };
        match e.kind {
            ExprKind::Field(f) => {
                let t = Ty::new(e.ty.axes, Support::Bool);
                Some(self.push(ExprKind::Known(f), t, e.span))
            }
            ExprKind::Index { base, index, axis } => {
                of_base(self, base, &|base| ExprKind::Index { base, index, axis })
            }
            _ => None,
        }
    }

    /// `observed(y)`: true where the value is known.
    pub(super) fn observed_call(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let Some(x) = self.one_value(call, span, scope) else { return Value::Error };
        match self.known(x) {
            Some(known) => Value::Expr(known),
            None => {
                let t = self.ty(x).clone();
                let d = Diagnostic::new(Code::E0406, "no value is missing here").at(span, self.show_ty(&t));
                self.diags.push(d.help("`observed` is about a field of type `T?`: `y : count?[cell, gene]`"));
                Value::Error
            }
        }
    }

    /// `fill(y, v)`: y where it is known, else v.
    pub(super) fn fill(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let [first, other] = &call.args[..] else {
            return self.report(Code::E0405, "`fill` takes a field and a number", span, "");
        };
        let Some(x) = self.eval_expr(&first.value, scope) else { return Value::Error };
        let Some(v) = self.eval_number(&other.value, scope) else { return Value::Error };
        let t = self.ty(x).clone();
        if t.support == Support::Category {
            let d =
                Diagnostic::new(Code::E0410, "a category is not a number").at(first.span, self.show_ty(&t));
            self.diags
                .push(d.help("where a label is missing, let the guide draw it, or ask `observed(label)`"));
            return Value::Error;
        }
        let Some(known) = self.known(x) else { return Value::Expr(x) };
        let support = ty::join(numeric(t.support), numeric(self.ty(v).support));
        let axes = t.axes.union(&self.ty(v).axes).copied().collect();
        Value::Expr(self.push(ExprKind::Elem(Elem::Select, vec![known, x, v]), Ty::new(axes, support), span))
    }

    /// The only argument by position, which may be missing or a category.
    fn one_value(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Option<ExprId> {
        match &call.args[..] {
            [arg] if arg.name.is_none() && call.conditions.is_empty() && call.over.is_empty() => {
                self.eval_expr(&arg.value, scope)
            }
            _ => {
                self.report(Code::E0405, "this function takes 1 argument", span, "");
                None
            }
        }
    }

    /// A truth value with none but the given axes.
    fn condition(&mut self, e: &ast::Expr, allowed: Option<&[AxisNo]>, scope: &mut Scope) -> Option<ExprId> {
        let id = self.eval_number(e, scope)?;
        let t = self.ty(id).clone();
        if t.support != Support::Bool {
            self.report(Code::E0411, "`where` needs a truth value", e.span, self.show_ty(&t));
            return None;
        }
        if let Some(extra) = allowed.and_then(|all| t.axes.iter().find(|a| !all.contains(a))) {
            let extra = self.model.axis_name(*extra).to_owned();
            let d = Diagnostic::new(Code::E0306, format!("the condition has an unexpected axis `{extra}`"));
            self.diags.push(d.at(e.span, self.show_ty(&t)).help(format!("reduce `{extra}`")));
            return None;
        }
        Some(id)
    }

    /// `where c else v` of a site: its condition, and its value where that is false (0 if none is written).
    pub(super) fn site_cond(
        &mut self,
        cond: Option<&ast::Cond>,
        block: Block,
        plates: &[AxisNo],
        axes: &[AxisNo],
    ) -> Option<Cond> {
        let cond = cond?;
        let mut scope = Scope::new(block, plates.to_vec());
        let allowed: Vec<AxisNo> = plates.iter().chain(axes).copied().collect();
        let holds = self.condition(&cond.condition, Some(&allowed), &mut scope)?;
        let otherwise = match &cond.otherwise {
            Some(e) => {
                let id = self.eval_number(e, &mut scope)?;
                if let Some(extra) = self.ty(id).axes.iter().find(|a| !allowed.contains(a)) {
                    let extra = self.model.axis_name(*extra).to_owned();
                    self.report(
                        Code::E0306,
                        format!("the value after `else` has an unexpected axis `{extra}`"),
                        e.span,
                        "",
                    );
                    return None;
                }
                id
            }
            None => self.constant(0.0, cond.span),
        };
        Some(Cond { holds, otherwise: Some(otherwise) })
    }

    /// `where c` of a likelihood.
    pub(super) fn likelihood_cond(
        &mut self,
        cond: Option<&ast::Cond>,
        plates: &[AxisNo],
        axes: &[AxisNo],
    ) -> Option<Cond> {
        let cond = cond?;
        if let Some(e) = &cond.otherwise {
            let d = Diagnostic::new(Code::E0203, "a likelihood has no `else`: the data are what they are");
            self.diags.push(d.at(e.span, "leave this out"));
            return None;
        }
        let allowed: Vec<AxisNo> = plates.iter().chain(axes).copied().collect();
        let holds =
            self.condition(&cond.condition, Some(&allowed), &mut Scope::new(Block::Model, plates.to_vec()))?;
        Some(Cond { holds, otherwise: None })
    }

    /// The product of the weights of the plates around a statement.
    pub(super) fn plate_weight(&mut self, statement: Span, plates: &[AxisNo]) -> Option<ExprId> {
        let written = self.program.plate_weights.get(&statement)?;
        let mut product: Option<ExprId> = None;
        for e in written {
            let mut scope = Scope::new(Block::Model, plates.to_vec());
            let w = self.eval_number(e, &mut scope)?;
            let t = self.ty(w).clone();
            if t.axes.iter().any(|a| !plates.contains(a)) || !numeric(t.support).is_within(Support::Nonneg) {
                let d = Diagnostic::new(
                    Code::E0401,
                    "the weight of a plate is one number from 0 for each element",
                );
                self.diags.push(d.at(e.span, self.show_ty(&t)));
                return None;
            }
            product = Some(match product {
                Some(p) => self.operator(BinaryOp::Mul, p, w, e.span),
                None => w,
            });
        }
        product
    }

    /// A reduction over the elements where `filter` holds. Where none is left, a mean or variance is 0, and the others
    /// are what they are of nothing.
    pub(super) fn filtered(
        &mut self,
        kind: Reduction,
        x: ExprId,
        filter: &ast::Expr,
        over: &[AxisNo],
        span: Span,
        scope: &mut Scope,
    ) -> Option<ExprId> {
        let keep = self.condition(filter, None, scope)?;
        if let Some(a) = self.ty(keep).axes.iter().find(|a| !self.ty(x).axes.contains(a)) {
            let a = self.model.axis_name(*a).to_owned();
            let t = self.ty(x).clone();
            let d = Diagnostic::new(
                Code::E0304,
                format!("the filter has axis `{a}`, and what is reduced has not"),
            );
            self.diags.push(d.at(filter.span, "").note(format!("it is {}", self.show_ty(&t))));
            return None;
        }
        let nothing = match kind {
            Reduction::Plain(ReduceKind::Prod) => 1.0,
            Reduction::Plain(ReduceKind::Max | ReduceKind::LogSumExp) => f64::NEG_INFINITY,
            Reduction::Plain(ReduceKind::Min) => f64::INFINITY,
            _ => 0.0,
        };
        let support = self.ty(x).support;
        let kept = self.kept(keep, x, nothing, span);
        if let Reduction::Plain(_) = kind {
            let id = self.reduce_expr(kind, kept, over, span);
            self.model.exprs[id.0 as usize].ty.support = self.reduced_support(kind, x);
            return Some(id);
        }
        let mean = self.mean_where(keep, kept, over, span);
        if kind == Reduction::Mean {
            self.model.exprs[mean.0 as usize].ty.support =
                if numeric(support).is_within(Support::Unit) { Support::Unit } else { self.ty(mean).support };
            let of_rows =
                scope.block == Block::Objective && self.model.plate.is_some_and(|p| over.contains(&p));
            if of_rows && self.program.settings.iter().any(|s| asks_for_labelled(s, filter)) {
                let t = self.ty(mean).clone();
                return Some(self.push(ExprKind::OfLabelled(mean), t, span));
            }
            return Some(mean);
        }
        let gap = self.operator(BinaryOp::Sub, x, mean, span);
        let square = self.operator(BinaryOp::Mul, gap, gap, span);
        let square = self.kept(keep, square, 0.0, span);
        Some(self.mean_where(keep, square, over, span))
    }

    fn kept(&mut self, keep: ExprId, x: ExprId, nothing: f64, span: Span) -> ExprId {
        let zero = self.constant(nothing, span);
        let t =
            Ty::new(self.ty(x).axes.clone(), ty::join(numeric(self.ty(x).support), ty::of_number(nothing)));
        self.push(ExprKind::Elem(Elem::Select, vec![keep, x, zero]), t, span)
    }

    /// Sum of what was kept over how many, at least 1.
    fn mean_where(&mut self, keep: ExprId, kept: ExprId, over: &[AxisNo], span: Span) -> ExprId {
        let sum = Reduction::Plain(ReduceKind::Sum);
        let total = self.reduce_expr(sum, kept, over, span);
        let (one, zero) = (self.constant(1.0, span), self.constant(0.0, span));
        // The filter may lack axes of the value: an element counts for each of them.
        let t = Ty::new(self.ty(kept).axes.clone(), Support::Nonneg);
        let ones = self.push(ExprKind::Elem(Elem::Select, vec![keep, one, zero]), t, span);
        let n = self.reduce_expr(sum, ones, over, span);
        let n = self.binary_elem(Elem::Max, n, one, span);
        self.operator(BinaryOp::Div, total, n, span)
    }

    fn reduce_expr(&mut self, kind: Reduction, arg: ExprId, over: &[AxisNo], span: Span) -> ExprId {
        let left = self.ty(arg).axes.iter().copied().filter(|a| !over.contains(a)).collect();
        let t = Ty::new(left, self.reduced_support(kind, arg));
        self.push(ExprKind::Reduce { kind, arg, over: over.to_vec() }, t, span)
    }

    /// `group == "control"`: a category against one of its labels, given as a text or by an option that holds one.
    pub(super) fn label_comparison(
        &mut self,
        op: BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
        span: Span,
        scope: &mut Scope,
    ) -> Option<Value> {
        if !matches!(op, BinaryOp::Eq | BinaryOp::Ne) {
            return None;
        }
        let (category, label) = match (self.label_text(left), self.label_text(right)) {
            (None, Some(label)) => (left, label),
            (Some(label), None) => (right, label),
            _ => return None,
        };
        let name = is_name(category)?;
        let field = *self.fields.get(&name.text)?;
        if self.model.fields[field].ty.support != Support::Category || scope.in_net {
            return None;
        }
        let id = self.eval_expr(category, scope)?;
        let axes = self.ty(id).axes.clone();
        let known = self.known(id);
        let code = self.push(ExprKind::Label(field, label), Ty::scalar(Support::Real), span);
        let t = Ty::new(axes, Support::Bool);
        let mut same = self.push(ExprKind::Elem(Elem::Eq, vec![id, code]), t.clone(), span);
        if op == BinaryOp::Ne {
            same = self.push(ExprKind::Elem(Elem::Not, vec![same]), t.clone(), span);
        }
        // Of a missing label nothing holds.
        if let Some(known) = known {
            same = self.push(ExprKind::Elem(Elem::And, vec![known, same]), t, span);
        }
        Some(Value::Expr(same))
    }

    /// A text, or an option that holds one.
    fn label_text(&self, e: &ast::Expr) -> Option<String> {
        use crate::resolve::{Static, StaticEnv};
        match StaticEnv(self.program).eval(e) {
            Some(Static::Text(t) | Static::Word(t)) => Some(t),
            _ => None,
        }
    }
}
