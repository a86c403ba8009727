//! Expressions to nodes.

use super::{FieldValue, Lowerer};
use crate::compiled::{DimRole, FeedSpec, Init, Purpose, SlotKind, VariableDim, VariableKind, VariableSpec};
use crate::model::{AxisNo, ExprId, ExprKind, FieldNo, Layer, Reduction};
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{Axes, AxisId, Elem, NodeId, ReduceKind};
use distributions::Support;

impl Lowerer<'_> {
    /// The node of an expression. Operands are computed first, on a stack of their own, so that long chains of
    /// definitions do not nest calls.
    pub(super) fn expr(&mut self, id: ExprId) -> NodeId {
        let mut stack = vec![id];
        while let Some(&top) = stack.last() {
            if self.memo.contains_key(&top) {
                stack.pop();
                continue;
            }
            match self.reads(top).into_iter().find(|o| !self.memo.contains_key(o)) {
                Some(operand) => stack.push(operand),
                None => {
                    let node = self.compute(top);
                    self.memo.insert(top, node);
                }
            }
        }
        self.memo[&id]
    }

    /// The operands that computing an expression is sure to need as nodes.
    fn reads(&self, id: ExprId) -> Vec<ExprId> {
        let kind = &self.m.expr(id).kind;
        match kind {
            ExprKind::Elem(..) | ExprKind::Softmax(..) | ExprKind::Average(_) | ExprKind::Stop(_) => {
                self.m.operands(id)
            }
            ExprKind::Layer(Layer::Linear { .. }) => {
                let field = |o: &ExprId| matches!(self.m.expr(*o).kind, ExprKind::Field(_));
                self.m.operands(id).into_iter().filter(|o| !field(o)).collect()
            }
            ExprKind::Layer(Layer::Embed { .. }) => vec![],
            ExprKind::Layer(_) => self.m.operands(id),
            ExprKind::Reduce { arg, .. } if !matches!(self.m.expr(*arg).kind, ExprKind::Field(_)) => {
                vec![*arg]
            }
            _ => vec![],
        }
    }

    fn compute(&mut self, id: ExprId) -> NodeId {
        let e = self.m.expr(id).clone();
        let node = match e.kind {
            ExprKind::Const(c) => self.g.constant(c),
            ExprKind::Field(f) => match self.field(f) {
                FieldValue::Node(n) => n,
                FieldValue::Code(c) => self.g.constant(c as f64),
                FieldValue::Single => self.g.constant(0.0),
            },
            ExprKind::Param(p) => self.param(p),
            ExprKind::Stat(s) => self.stat_input(s),
            ExprKind::Site(s) => self.sample(s).value,
            ExprKind::Elem(elem, args) => {
                let args: Vec<NodeId> = args.iter().map(|a| self.expr(*a)).collect();
                self.at(e.span);
                self.g.push(autodiff_runtime::Op::Elem(elem, args))
            }
            ExprKind::Reduce { kind, arg, over } => self.reduce(kind, arg, &over),
            ExprKind::Softmax(arg, axis) => {
                let x = self.expr(arg);
                let axis = self.axis(axis);
                self.at(e.span);
                self.g.softmax(x, axis)
            }
            ExprKind::Index { base, index, axis } => self.index(base, index, axis),
            ExprKind::Layer(layer) => self.layer(&layer, e.span),
            ExprKind::Ramp { from, to, epochs } => self.ramp(from, to, epochs),
            ExprKind::GuideMean(s) => self.guide_mean(s),
            ExprKind::GuideVar(s) => self.guide_var(s),
            ExprKind::Average(x) => self.expr(x),
            ExprKind::Stop(x) => {
                let x = self.expr(x);
                self.g.stop(x)
            }
        };
        self.at(e.span);
        node
    }

    /// What stands for a field: fed, held by `given`, or drawn in a simulation.
    pub(super) fn field(&mut self, f: FieldNo) -> FieldValue {
        if let Some(v) = self.fields.get(&f) {
            return *v;
        }
        let decl = &self.m.fields[f];
        let name = decl.slot.name.clone();
        let category = decl.slot.kind == SlotKind::Category;
        let single = category && decl.ty.of.is_some_and(|a| self.g.size(self.axis(a)) <= 1);
        let value = if single || !self.bound.present.contains(&name) {
            FieldValue::Single
        } else {
            let axes = self.axes_of(decl.ty.axes.iter().copied());
            let csr = self.bound.sparse.contains(&name) && axes.len() == 2;
            let dtype = if category { Dtype::Index } else { Dtype::Real };
            FieldValue::Node(self.input(&name, FeedSpec::Field(name.clone()), axes, dtype, csr))
        };
        self.fields.insert(f, value);
        value
    }

    /// A variable, declared on first use.
    pub(super) fn variable(
        &mut self,
        name: &str,
        dims: &[(AxisId, DimRole)],
        init: Init,
        kind: VariableKind,
    ) -> NodeId {
        let id = match self.g.find_variable(name) {
            Some(id) => id,
            None => {
                let mut dims = dims.to_vec();
                dims.sort_by_key(|d| d.0);
                let shown = |(a, role): &(AxisId, DimRole)| VariableDim {
                    axis: self.g.axis(*a).name.clone(),
                    size: self.g.size(*a),
                    role: *role,
                };
                let frozen =
                    kind == VariableKind::Trained && self.m.train.freeze.iter().any(|p| is_under(name, p));
                let kind = if frozen { VariableKind::Frozen } else { kind };
                let spec = VariableSpec {
                    name: name.to_owned(),
                    dims: dims.iter().map(shown).collect(),
                    init,
                    kind,
                };
                self.variables.push(spec);
                self.g.declare_variable(name, Axes::new(dims.iter().map(|d| d.0)))
            }
        };
        self.g.read_variable(id)
    }

    fn param(&mut self, no: usize) -> NodeId {
        let p = self.m.params[no].clone();
        self.at(p.span);
        let dims: Vec<(AxisId, DimRole)> = p.ty.axes.iter().map(|a| (self.axis(*a), DimRole::Own)).collect();
        let kind = if p.frozen { VariableKind::Frozen } else { VariableKind::Trained };
        let raw = self.variable(&p.name, &dims, p.init, kind);
        match p.ty.support {
            Support::Positive => self.g.exp(raw),
            Support::Unit => self.g.sigmoid(raw),
            Support::Simplex => match p.ty.of {
                Some(a) => {
                    let axis = self.axis(a);
                    self.g.softmax(raw, axis)
                }
                None => raw,
            },
            _ => raw,
        }
    }

    fn stat_input(&mut self, no: usize) -> NodeId {
        let s = &self.m.stats[no];
        if self.request.purpose == Purpose::Statistics {
            return self.stat_value(no);
        }
        let axes = self.axes_of(s.ty.axes.iter().copied());
        let name = s.name.clone();
        self.input(&format!("stat {name}"), FeedSpec::Stat(name), axes, Dtype::Real, false)
    }

    fn index(&mut self, base: ExprId, index: ExprId, axis: AxisNo) -> NodeId {
        let table = self.expr(base);
        let axis = self.axis(axis);
        match self.m.expr(index).kind {
            ExprKind::Field(f) => {
                let value = self.field(f);
                self.look_up(table, value, axis)
            }
            _ => {
                let index = self.expr(index);
                self.g.gather(table, index, axis)
            }
        }
    }

    /// `table` at the value of a category.
    pub(super) fn look_up(&mut self, table: NodeId, value: FieldValue, axis: AxisId) -> NodeId {
        match value {
            FieldValue::Node(index) => self.g.gather(table, index, axis),
            FieldValue::Code(code) => {
                let hot = self.one_hot(code, axis);
                self.g.contract(table, hot, axis)
            }
            FieldValue::Single => self.g.sum(table, axis),
        }
    }

    /// 1 at one label of an axis, else 0.
    fn one_hot(&mut self, code: usize, axis: AxisId) -> NodeId {
        let places = self.g.iota(axis);
        let places = self.g.to_real(places);
        let code = self.g.constant(code as f64);
        self.g.binary(Elem::Eq, places, code)
    }

    fn reduce(&mut self, kind: Reduction, arg: ExprId, over: &[AxisNo]) -> NodeId {
        if let Some(total) = self.simulated_total(kind, arg, over) {
            return total;
        }
        let x = self.expr(arg);
        self.at(self.m.expr(arg).span);
        if let Some(f) = self.within
            && self.m.plate.is_some_and(|p| over.contains(&p))
        {
            return self.reduce_within(kind, x, f);
        }
        let axes = self.axes_of(over.iter().copied());
        // A value that lost an axis on the way (a constant) still counts once per element.
        let full = self.g.axes_of(x).union(&axes);
        let x = self.g.broadcast(x, &full);
        match kind {
            Reduction::Plain(k) => self.g.reduce(k, x, axes),
            Reduction::Mean => self.g.mean(x, axes),
            Reduction::Var => {
                let mean = self.g.mean(x, axes.clone());
                let gap = self.g.sub(x, mean);
                let square = self.g.square(gap);
                self.g.mean(square, axes)
            }
        }
    }

    /// In a simulation the total of a field that is itself being drawn is given from outside.
    fn simulated_total(&mut self, kind: Reduction, arg: ExprId, over: &[AxisNo]) -> Option<NodeId> {
        if self.request.purpose != Purpose::Simulation || kind != Reduction::Plain(ReduceKind::Sum) {
            return None;
        }
        let ExprKind::Field(f) = self.m.expr(arg).kind else { return None };
        self.m.sites.iter().find(|s| s.observed == Some(f))?;
        let decl = &self.m.fields[f];
        let left = decl.ty.axes.iter().copied().filter(|a| !over.contains(a));
        let axes = self.axes_of(left);
        let name = decl.slot.name.clone();
        Some(self.input(&format!("total {name}"), FeedSpec::Total(name), axes, Dtype::Real, false))
    }

    /// A reduction over the plate, separately within each label of a category.
    fn reduce_within(&mut self, kind: Reduction, x: NodeId, f: FieldNo) -> NodeId {
        let Some(plate) = self.plate() else { return x };
        let FieldValue::Node(codes) = self.field(f) else {
            // One label: everything belongs to it, and the result gets its axis of size one.
            let full = self.g.axes_of(x).with(plate);
            let x = self.g.broadcast(x, &full);
            let whole = match kind {
                Reduction::Plain(k) => self.g.reduce(k, x, plate),
                Reduction::Mean => self.g.mean(x, plate),
                Reduction::Var => {
                    let mean = self.g.mean(x, plate);
                    let gap = self.g.sub(x, mean);
                    let square = self.g.square(gap);
                    self.g.mean(square, plate)
                }
            };
            return self.spread_label(whole, f);
        };
        let Some(axis) = self.m.fields[f].ty.of.map(|a| self.axis(a)) else { return x };
        let places = self.g.iota(axis);
        let member = self.g.binary(Elem::Eq, codes, places);
        let sum = self.g.contract(member, x, plate);
        if kind == Reduction::Plain(ReduceKind::Sum) {
            return sum;
        }
        let count = self.g.sum(member, plate);
        let one = self.g.constant(1.0);
        let count = self.g.binary(Elem::Max, count, one);
        let mean = self.g.div(sum, count);
        if kind == Reduction::Mean {
            return mean;
        }
        let gap = self.g.sub(x, mean);
        let square = self.g.square(gap);
        let total = self.g.contract(member, square, plate);
        self.g.div(total, count)
    }

    fn spread_label(&mut self, x: NodeId, f: FieldNo) -> NodeId {
        match self.m.fields[f].ty.of {
            Some(a) => {
                let axes = self.g.axes_of(x).with(self.axis(a));
                self.g.broadcast(x, &axes)
            }
            None => x,
        }
    }

    /// from + (to − from) · min(epoch / epochs, 1).
    fn ramp(&mut self, from: f64, to: f64, epochs: f64) -> NodeId {
        if epochs <= 0.0 {
            return self.g.constant(to);
        }
        let epoch = self.input("epoch", FeedSpec::Epoch, Axes::none(), Dtype::Real, false);
        let done = self.g.mul_const(epoch, 1.0 / epochs);
        let one = self.g.constant(1.0);
        let done = self.g.binary(Elem::Min, done, one);
        let rise = self.g.mul_const(done, to - from);
        self.g.add_const(rise, from)
    }
}

/// Whether a parameter path is `prefix` or below it.
fn is_under(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
