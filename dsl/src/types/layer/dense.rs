//! Linear maps, stacks of them, maps of blocks, and tables of rows.

use super::super::{Checker, Scope};
use super::Layered;
use crate::compiled::Init;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, AxisSet, Ty};
use crate::model::{ExprId, ExprKind, Layer, Linear, Weights};
use distributions::Support;

impl Checker<'_> {
    pub(super) fn linear_call(&mut self, l: Layered<'_>, scope: &Scope) -> Option<ExprId> {
        // Of several output axes, the map is another one for each element of all but the last.
        let (out, apart) = l.out.split_last().map_or((None, &[][..]), |(last, rest)| (Some(*last), rest));
        let map = Linear {
            path: l.path.clone(),
            out,
            inputs: l.inputs.clone(),
            conditions: l.conditions.clone(),
            plates: scope.plates.clone(),
            over: l.over.clone(),
            each: l.options.each.into_iter().chain(apart.iter().copied()).collect(),
            bias: l.options.bias,
            first: true,
            init: l.options.init,
        };
        self.linear(map, &l, scope)
    }

    /// A linear map, its inputs' axes checked.
    fn linear(&mut self, map: Linear, l: &Layered<'_>, scope: &Scope) -> Option<ExprId> {
        if map.inputs.is_empty() && map.conditions.is_empty() {
            self.report(Code::E0403, "a layer needs an input", l.span, "");
            return None;
        }
        let mut axes = AxisSet::new();
        for id in &map.inputs {
            axes.extend(self.kept_axes(*id, &map.over, scope)?);
        }
        for id in &map.conditions {
            self.check_condition(*id, scope)?;
            let kept = self.ty(*id).axes.iter().filter(|a| scope.plates.contains(a)).copied();
            axes.extend(kept.collect::<Vec<_>>());
        }
        let given = |a: &AxisNo| axes.contains(a) || map.each.iter().filter(|e| *e == a).count() > 0;
        if let Some(a) = map.out.filter(given) {
            return self.twice(a, l);
        }
        let repeated = |(i, a): &(usize, &AxisNo)| {
            let bracketed = l.out.contains(a) && axes.contains(a);
            bracketed || map.over.contains(a) || map.each[..*i].contains(a)
        };
        if let Some((_, a)) = map.each.iter().enumerate().find(repeated) {
            return self.twice(*a, l);
        }
        axes.extend(map.each.iter().chain(&map.out));
        let t = Ty::new(axes, Support::Real);
        Some(self.push(ExprKind::Layer(Layer::Linear(map)), t, l.span))
    }

    /// E0302: an axis with two parts to play.
    fn twice(&mut self, a: AxisNo, l: &Layered<'_>) -> Option<ExprId> {
        let a = self.model.axis_name(a).to_owned();
        let d = Diagnostic::new(Code::E0302, format!("axis `{a}` is given twice to `{}`", l.name.text));
        let d = d.at(l.span, "as an output axis, and as one that an input keeps or that has maps of its own");
        self.diags.push(d.help("an output along an axis of its own: `dim` another"));
        None
    }

    /// The axes of an input that a map leaves alone: all but its only own axis, or but those after `over`.
    fn kept_axes(&mut self, id: ExprId, over: &[AxisNo], scope: &Scope) -> Option<AxisSet> {
        let t = self.ty(id).clone();
        let local = t.local(&scope.plates);
        let at = self.model.expr(id).span;
        if over.is_empty() && local.len() > 1 {
            let shown = self.show_axes(&local);
            let d = Diagnostic::new(Code::E0305, "an input of a layer has one axis of its own");
            let d = d.at(at, format!("has {shown}"));
            let last = self.model.axis_name(local[local.len() - 1]).to_owned();
            self.diags
                .push(d.help(format!("say which axes to sum over, the others staying: `(… over {last})`")));
            return None;
        }
        if !over.is_empty() && !local.is_empty() && !local.iter().any(|a| over.contains(a)) {
            let shown = self.show_axes(&local);
            let named = self.show_axes(over);
            let d = Diagnostic::new(Code::E0303, format!("an input has none of the axes {named}"));
            self.diags.push(d.at(at, format!("has {shown}")));
            return None;
        }
        let gone = |a: &AxisNo| if over.is_empty() { local.contains(a) } else { over.contains(a) };
        Some(t.axes.iter().copied().filter(|a| !gone(a)).collect())
    }

    /// Labels that condition have one value for each element of the plate, vectors one axis of their own.
    fn check_condition(&mut self, id: ExprId, scope: &Scope) -> Option<()> {
        let t = self.ty(id).clone();
        let local = t.local(&scope.plates);
        let labels = t.support == Support::Category || t.covariates;
        let (code, what) = match labels {
            true if !local.is_empty() => {
                (Code::E0306, "labels that condition a layer have one value for each element of the plate")
            }
            false if local.len() > 1 => (Code::E0305, "an input of a layer has one axis of its own"),
            _ => return Some(()),
        };
        let at = self.model.expr(id).span;
        let label = format!("has {}", self.show_axes(&local));
        self.report(code, what, at, label);
        None
    }

    pub(super) fn mlp_call(&mut self, l: Layered<'_>, scope: &Scope) -> Option<ExprId> {
        let (inputs, over) = (l.inputs.clone(), l.over.clone());
        self.mlp(&l, inputs, over, l.options.each.into_iter().collect(), scope)
    }

    /// Layers of linear map, norms, non-linearity, residual sum and dropout.
    fn mlp(
        &mut self,
        l: &Layered<'_>,
        mut h: Vec<ExprId>,
        mut over: Vec<AxisNo>,
        each: Vec<AxisNo>,
        scope: &Scope,
    ) -> Option<ExprId> {
        let (o, out) = (&l.options, *l.out.first()?);
        for k in 0..o.layers {
            let path = format!("{}.{k}", l.path);
            let conditions = if k == 0 || o.inject_all { l.conditions.clone() } else { vec![] };
            let map = Linear {
                path: format!("{path}.linear"),
                out: Some(out),
                inputs: h.clone(),
                conditions,
                plates: scope.plates.clone(),
                over: over.clone(),
                each: each.clone(),
                bias: o.bias,
                first: k == 0,
                init: o.init,
            };
            let mut x = self.linear(map.clone(), l, scope)?;
            x = self.norms(&format!("{path}.norm"), &format!("{path}.layernorm"), x, out, o, l.span);
            if let Some(a) = o.activation {
                x = self.activated(a, x, l.span);
            }
            if o.residual {
                x = self.residual(x, map, &path, l, scope)?;
            }
            x = self.dropped(&format!("{path}.dropout"), x, o.dropout, l.span);
            h = vec![x];
            over = vec![out];
        }
        h.first().copied()
    }

    /// x + the layer's input, through a map of its own where that runs along another axis.
    fn residual(
        &mut self,
        x: ExprId,
        map: Linear,
        path: &str,
        l: &Layered<'_>,
        scope: &Scope,
    ) -> Option<ExprId> {
        let out = *l.out.first()?;
        let as_is = match map.inputs[..] {
            [only] => {
                let local = self.ty(only).local(&scope.plates);
                let gone = if map.over.is_empty() { &local } else { &map.over };
                (gone[..] == [out] && local.contains(&out)).then_some(only)
            }
            _ => None,
        };
        let skip = match as_is {
            Some(input) => input,
            None if map.inputs.is_empty() => return Some(x),
            None => {
                let skip = Linear {
                    path: format!("{path}.skip"),
                    conditions: vec![],
                    first: true,
                    bias: true,
                    ..map
                };
                self.linear(skip, l, scope)?
            }
        };
        let axes = self.ty(x).axes.union(&self.ty(skip).axes).copied().collect();
        let kind = ExprKind::Elem(autodiff_runtime::Elem::Add, vec![x, skip]);
        Some(self.push(kind, Ty::new(axes, Support::Real), l.span))
    }

    /// Blocks of the input's axis, along the axis after `over`, each through the same stack (or one of its own).
    pub(super) fn split_mlp(&mut self, l: Layered<'_>, scope: &Scope) -> Option<ExprId> {
        let [split] = l.over[..] else {
            let d = Diagnostic::new(Code::E0305, "`split_mlp` cuts its input along one axis").at(l.span, "");
            self.diags.push(d.help("name it: `split_mlp[hidden](z over part)`, with `dim part = 4`"));
            return None;
        };
        let [input] = l.inputs[..] else {
            let label = format!("{} given", l.inputs.len());
            self.report(Code::E0403, "`split_mlp` takes one input before the bar", l.span, label);
            return None;
        };
        let axis = self.rest_axis(input, &[], "an input of a layer has one axis of its own", scope)?;
        let Some(axis) = axis.filter(|a| *a != split) else {
            let at = self.model.expr(input).span;
            self.report(Code::E0303, "`split_mlp` needs an input with an axis to cut", at, "");
            return None;
        };
        let (whole, parts) = (self.needs_size(axis, l.name)?, self.needs_size(split, l.name)?);
        if !whole.is_multiple_of(parts) {
            let (axis, split) = (self.model.axis_name(axis), self.model.axis_name(split));
            let what = format!("`{axis}` of {whole} cannot be cut into `{split}` of {parts} equal parts");
            self.report(Code::E0308, what, l.span, format!("{whole} / {parts} is not whole"));
            return None;
        }
        let path = l.options.split_by_map.then(|| format!("{}.split", l.path));
        let axes = self.ty(input).axes.iter().copied().chain([split]).collect();
        let layer = Layer::Split { path, arg: input, axis, split };
        let blocks = self.push(ExprKind::Layer(layer), Ty::new(axes, Support::Real), l.span);
        let each = if l.options.share { vec![] } else { vec![split] };
        self.mlp(&l, vec![blocks], vec![axis], each, scope)
    }

    /// A learned row for each label.
    pub(super) fn embed(&mut self, l: Layered<'_>) -> Option<ExprId> {
        let all: Vec<ExprId> = l.inputs.iter().chain(&l.conditions).copied().collect();
        let [index] = all[..] else {
            self.report(Code::E0403, "`embed` takes one category", l.span, format!("{} given", all.len()));
            return None;
        };
        let t = self.ty(index).clone();
        if t.support != Support::Category || t.of.is_none() {
            let shown = self.show_ty(&t);
            self.report(Code::E0401, "`embed` takes a category", l.span, shown);
            return None;
        }
        if t.may_miss {
            self.report(Code::E0406, "values may be missing here", l.span, "a missing label has no row");
            return None;
        }
        let init = match l.options.init {
            Weights::Default => Init::Normal { mean: 0.0, sd: 1.0 },
            Weights::Given(init) => init,
            Weights::Glorot | Weights::Kaiming => {
                let d = Diagnostic::new(Code::E0413, "a table is no map: it has no number of inputs");
                self.diags.push(d.at(l.span, "").help("write `start = normal(0, 0.1)` or a number"));
                return None;
            }
        };
        let out = *l.out.first()?;
        if t.axes.contains(&out) {
            return self.twice(out, &l);
        }
        let axes = t.axes.iter().copied().chain([out]).collect();
        let layer = Layer::Embed { path: l.path, index, out, init };
        Some(self.push(ExprKind::Layer(layer), Ty::new(axes, Support::Real), l.span))
    }
}
