//! Expressions to nodes.

use super::{FieldValue, Lowerer};
use crate::compiled::{
    DimRole, FeedSpec, Init, Origin, Purpose, SlotKind, VariableDim, VariableKind, VariableSpec,
};
use crate::model::{AxisNo, DistExpr, ExprId, ExprKind, FieldNo, Layer, Reduction, SiteNo, StoredDecl};
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{Axes, AxisId, Elem, NodeId, ReduceKind};
use distributions::Support;

impl Lowerer<'_> {
    /// The node of an expression. Operands are computed first, on a stack of their own, so that long chains of
    /// definitions do not nest calls.
    pub(super) fn expr(&mut self, id: ExprId) -> NodeId {
        let mut stack = vec![id];
        while let Some(&top) = stack.last() {
            if self.memo.contains_key(&(self.home(top), top)) {
                stack.pop();
                continue;
            }
            match self.reads(top).into_iter().find(|o| !self.memo.contains_key(&(self.home(*o), *o))) {
                Some(operand) => stack.push(operand),
                None => {
                    let node = self.compute(top);
                    self.memo.insert((self.home(top), top), node);
                }
            }
        }
        self.memo[&(self.home(id), id)]
    }

    /// The operands that computing an expression is sure to need as nodes.
    fn reads(&self, id: ExprId) -> Vec<ExprId> {
        let kind = &self.m.expr(id).kind;
        match kind {
            ExprKind::Elem(elem, args) if let Some(arm) = self.arm(*elem, args) => vec![arm],
            ExprKind::Elem(..)
            | ExprKind::Softmax(..)
            | ExprKind::ArgMax(..)
            | ExprKind::Average(_)
            | ExprKind::Stop(_)
            | ExprKind::Host(_)
            | ExprKind::Stack(..) => self.m.operands(id),
            ExprKind::Layer(Layer::Linear(_)) => {
                let label = |o: &ExprId| {
                    let e = self.m.expr(*o);
                    matches!(e.kind, ExprKind::Field(_)) || e.ty.support == Support::Category
                };
                self.m.operands(id).into_iter().filter(|o| !label(o)).collect()
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
            ref leaf @ (ExprKind::Ramp { .. }
            | ExprKind::Place(_)
            | ExprKind::Size(_)
            | ExprKind::Labels(_)
            | ExprKind::Training
            | ExprKind::RowScale) => self.of_request(leaf),
            ExprKind::Stored(s) => self.stored(&s),
            ExprKind::Field(f) => self.field_value(f),
            ExprKind::Known(f) => self.known(f).unwrap_or_else(|| self.g.constant(1.0)),
            ExprKind::Within(a) => self.positions(a),
            ExprKind::Label(f, label) => self.label(f, label),
            ExprKind::Stack(axis, parts) => self.stack(axis, &parts, e.span),
            ExprKind::Param(p) => self.param(p),
            ExprKind::Stat(s) => self.stat_input(s),
            ExprKind::Site(s) => self.site_value(s),
            ExprKind::Elem(elem, args) if let Some(arm) = self.arm(elem, &args) => {
                let arm = self.expr(arm);
                self.as_real(arm)
            }
            ExprKind::Elem(elem, args) => {
                let mut nodes: Vec<NodeId> = args.iter().map(|a| self.expr(*a)).collect();
                for a in &mut nodes {
                    *a = self.as_real(*a);
                }
                self.at(e.span);
                match self.soft_logic(elem, &args, &nodes) {
                    Some(node) => node,
                    None => self.g.push(autodiff_runtime::Op::Elem(elem, nodes)),
                }
            }
            ExprKind::Reduce { kind, arg, over } => self.reduce(kind, arg, &over),
            ExprKind::Softmax(arg, axis) => {
                let x = self.expr(arg);
                let axis = self.axis(axis);
                self.at(e.span);
                let x = self.along(x, axis);
                self.g.softmax(x, axis)
            }
            ExprKind::Index { base, index, axis } => self.index(base, index, axis),
            ExprKind::Host(call) => self.host(&call, e.span),
            ExprKind::OneHot(x, axis) => self.label_hot(x, axis, e.span),
            ExprKind::Layer(layer) => self.layer(&layer, e.span),
            ExprKind::GuideMean(s) => self.guide_mean(s),
            ExprKind::GuideVar(s) => self.guide_var(s),
            ExprKind::Average(x) => {
                let x = self.expr(x);
                self.expect(x)
            }
            ExprKind::Stop(x) => {
                let x = self.expr(x);
                self.g.stop(x)
            }
            ExprKind::OfLabelled(x) if self.training() && self.m.train.labelled.is_some() => self
                .of_labelled(|l| {
                    let x = l.expr(x);
                    l.expect(x)
                }),
            ExprKind::OfLabelled(x) => self.expr(x),
            ExprKind::ArgMax(x, a) => {
                let (x, a) = (self.expr(x), self.axis(a));
                let x = self.along(x, a);
                self.g.reduce(ReduceKind::ArgMax, x, a)
            }
            ExprKind::Draw(no) => self.noise(no),
            ExprKind::Density(dist, at) => self.density_at(&dist, at),
            ExprKind::OfSite(word, s) => self.of_site(word, s),
            ExprKind::Given { body, held } => {
                let held: Vec<_> = held.into_iter().map(|(what, v)| (what, self.expr(v))).collect();
                self.holding(&held, |l| l.expr(body))
            }
        };
        self.at(e.span);
        node
    }

    fn stored(&mut self, s: &StoredDecl) -> NodeId {
        let dims: Vec<_> = s.dims.iter().map(|(a, role)| (self.axis(*a), *role)).collect();
        self.variable(&s.path, &dims, Init::Constant(0.0), s.kind)
    }

    fn density_at(&mut self, dist: &DistExpr, at: ExprId) -> NodeId {
        let (law, at) = (self.law(dist), self.expr(at));
        self.at(dist.span);
        law.dist.log_prob(&mut self.g, at.into())
    }

    /// What the request, the sizes and the epoch alone say.
    fn of_request(&mut self, kind: &ExprKind) -> NodeId {
        let value = match kind {
            ExprKind::Ramp { from, to, epochs } => return self.ramp(*from, *to, *epochs),
            ExprKind::Labels(a) => return self.g.iota(self.axis(*a)),
            ExprKind::Place(a) => {
                let places = self.g.iota(self.axis(*a));
                return self.g.to_real(places);
            }
            ExprKind::Size(a) => self.g.size(self.axis(*a)) as f64,
            ExprKind::RowScale => self.bound.n_rows.max(1) as f64 / self.request.n_batch.max(1) as f64,
            _ => f64::from(u8::from(self.training())),
        };
        self.g.constant(value)
    }

    /// What `select(training, …, …)` chooses: the other one is left out of the graph.
    fn arm(&self, elem: Elem, args: &[ExprId]) -> Option<ExprId> {
        let decided = elem == Elem::Select && matches!(self.m.expr(args[0]).kind, ExprKind::Training);
        decided.then(|| args[if self.training() { 1 } else { 2 }])
    }

    /// In a simulation, the site whose draw a field is; none while that site itself is being drawn.
    fn drawn_field(&self, f: FieldNo) -> Option<SiteNo> {
        if self.request.purpose != Purpose::Simulation {
            return None;
        }
        let s = self.m.sites.iter().position(|s| s.observed == Some(f) && s.part.is_none())?;
        (!self.drawing.contains(&s)).then_some(s)
    }

    /// What stands for a field: fed, held by `given`, or drawn in a simulation.
    pub(super) fn field(&mut self, f: FieldNo) -> FieldValue {
        let key = (self.home_of_field(f), f);
        if let Some(v) = self.fields.get(&key) {
            return *v;
        }
        if let Some(s) = self.drawn_field(f) {
            return FieldValue::Node(self.sample(s).value);
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
            let index = category || decl.slot.kind == SlotKind::Index;
            let dtype = if index { Dtype::Index } else { Dtype::Real };
            FieldValue::Node(self.input(&name, FeedSpec::Field(name.clone()), axes, dtype, csr))
        };
        self.fields.insert(key, value);
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
        if let Some(&node) = self.reads.get(name) {
            return node;
        }
        let id = match self.g.find_variable(name) {
            Some(id) => id,
            None => {
                let mut dims = dims.to_vec();
                dims.sort_by_key(|d| d.0);
                debug_assert!(dims.windows(2).all(|d| d[0].0 != d[1].0), "{name} has an axis twice");
                let shown = |(a, role): &(AxisId, DimRole)| VariableDim {
                    axis: self.g.axis(*a).name.clone(),
                    size: self.g.size(*a),
                    role: *role,
                };
                let from = self.origin(name);
                // What a net of another model has learnt stays; a parameter only starts there.
                let held = from.is_some() && !self.m.params.iter().any(|p| p.name == name)
                    || self.m.train.freeze.iter().any(|p| is_under(name, p));
                let frozen = kind == VariableKind::Trained && held;
                let kind = if frozen { VariableKind::Frozen } else { kind };
                let spec = VariableSpec {
                    name: name.to_owned(),
                    dims: dims.iter().map(shown).collect(),
                    init,
                    from,
                    kind,
                };
                self.variables.push(spec);
                self.g.declare_variable(name, Axes::new(dims.iter().map(|d| d.0)))
            }
        };
        // Read once, however often it is used.
        let value = match self.reads.get(name) {
            Some(&node) => node,
            None => {
                let node = self.g.read_variable(id);
                self.reads.insert(name.to_owned(), node);
                node
            }
        };
        if self.hold_parameters { self.g.stop(value) } else { value }
    }

    /// Where in a loaded model the values of a variable are.
    fn origin(&self, name: &str) -> Option<Origin> {
        if let Some(p) = self.m.params.iter().find(|p| p.name == name) {
            return p.from.clone();
        }
        let (net, rest) = name.split_once('.')?;
        let there = self.m.loaded_nets.get(net)?;
        Some(Origin { load: there.load.clone(), path: format!("{}.{rest}", there.path) })
    }

    pub(super) fn param(&mut self, no: usize) -> NodeId {
        let p = self.m.params[no].clone();
        self.at(p.span);
        let dim = |a: &AxisNo| self.table_rows.get(a).copied().unwrap_or_else(|| self.axis(*a));
        let dims: Vec<AxisId> = p.ty.axes.iter().map(dim).collect();
        let by_row: Vec<AxisNo> =
            p.ty.axes.iter().copied().filter(|a| self.table_rows.contains_key(a)).collect();
        let dims: Vec<(AxisId, DimRole)> = dims.into_iter().map(|a| (a, DimRole::Own)).collect();
        let kind = if p.frozen { VariableKind::Frozen } else { VariableKind::Trained };
        let mut raw = self.variable(&p.name, &dims, p.init, kind);
        // A table with a row for each row of the data set: those of this minibatch.
        for plate in by_row {
            let (table, here) = (self.table_rows[&plate], Axes::from(self.axis(plate)));
            if let Some(rows) = self.rows(&here) {
                raw = self.g.gather(raw, rows, table);
            }
        }
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

    fn reduce(&mut self, kind: Reduction, arg: ExprId, over: &[AxisNo]) -> NodeId {
        if let Some(total) = self.simulated_total(kind, arg, over) {
            return total;
        }
        let x = self.expr(arg);
        self.at(self.m.expr(arg).span);
        let axes = self.axes_of(over.iter().copied());
        // What differs between the elements reduced is averaged over before they meet.
        let x = match (0..self.m.sites.len()).any(|s| {
            let there = self.enumerated(s).is_some_and(|a| self.g.axes_of(x).contains(a));
            there && !self.site_axes(s).intersect(&axes).is_empty()
        }) {
            true => self.expect(x),
            false => x,
        };
        // A value that lost an axis on the way (a constant) still counts once per element.
        let full = self.g.axes_of(x).union(&axes);
        let x = self.g.broadcast(x, &full);
        match self.within.filter(|_| self.m.plate.is_some_and(|p| over.contains(&p))) {
            Some(f) => self.reduce_within(kind, x, axes, f),
            None => self.reduced(kind, x, axes),
        }
    }

    fn reduced(&mut self, kind: Reduction, x: NodeId, axes: Axes) -> NodeId {
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
        if self.drawn_field(f).is_some() {
            return None;
        }
        let decl = &self.m.fields[f];
        let left = decl.ty.axes.iter().copied().filter(|a| !over.contains(a));
        let axes = self.axes_of(left);
        let name = decl.slot.name.clone();
        Some(self.input(&format!("total {name}"), FeedSpec::Total(name), axes, Dtype::Real, false))
    }

    /// A reduction over the plate and perhaps other axes, separately within each label of a category.
    fn reduce_within(&mut self, kind: Reduction, x: NodeId, axes: Axes, f: FieldNo) -> NodeId {
        let (Some(plate), FieldValue::Node(codes)) = (self.plate(), self.field(f)) else {
            // One label: everything belongs to it, and the result gets its axis of size one.
            let whole = self.reduced(kind, x, axes);
            return self.spread_label(whole, f);
        };
        let Some(label) = self.m.fields[f].ty.of.map(|a| self.axis(a)) else { return x };
        let places = self.g.iota(label);
        let mut member = self.g.binary(Elem::Eq, codes, places);
        if let Some(known) = self.known(f) {
            member = self.g.mul(member, known);
        }
        let rest = axes.without(plate);
        let n_rest: usize = rest.iter().map(|a| self.g.size(a)).product();
        let others = |l: &mut Self, x, k| if rest.is_empty() { x } else { l.g.reduce(k, x, rest.clone()) };
        if let Reduction::Plain(k) = kind {
            let x = others(self, x, k);
            let nothing = match k {
                ReduceKind::Sum => return self.g.contract(member, x, plate),
                ReduceKind::Prod => 1.0,
                ReduceKind::Min => f64::INFINITY,
                _ => f64::NEG_INFINITY,
            };
            let nothing = self.g.constant(nothing);
            let own = self.g.push(autodiff_runtime::Op::Elem(Elem::Select, vec![member, x, nothing]));
            return self.g.reduce(k, own, plate);
        }
        let count = self.g.sum(member, plate);
        let one = self.g.constant(1.0);
        let count = self.g.binary(Elem::Max, count, one);
        let count = self.g.mul_const(count, n_rest as f64);
        let mean_of = |l: &mut Self, x| {
            let x = others(l, x, ReduceKind::Sum);
            let total = l.g.contract(member, x, plate);
            l.g.div(total, count)
        };
        let mean = mean_of(self, x);
        if kind == Reduction::Mean {
            return mean;
        }
        let gap = self.g.sub(x, mean);
        let square = self.g.square(gap);
        mean_of(self, square)
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
