//! Linear maps: a variable for each block of columns.

use super::super::{FieldValue, Lowerer};
use crate::compiled::{DimRole, FeedSpec, Init, VariableKind};
use crate::model::{AxisNo, ExprId, ExprKind, Linear, Weights};
use crate::source::Span;
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{Axes, AxisId, NodeId};
use distributions::Support;

/// One block of columns of a linear map.
enum Part {
    /// Numbers along axes, which are summed over.
    Vector { node: NodeId, over: Vec<AxisId>, label: String },
    /// One number.
    Scalar { node: NodeId, label: String },
    /// A category, one-hot.
    Label { value: FieldValue, axis: AxisId, label: String },
}

impl Part {
    fn width(&self, l: &Lowerer<'_>) -> usize {
        match self {
            Part::Vector { over, .. } => over.iter().map(|a| l.g.size(*a)).product(),
            Part::Label { axis, .. } => l.g.size(*axis),
            Part::Scalar { .. } => 1,
        }
    }

    fn label(&self) -> &str {
        match self {
            Part::Vector { label, .. } | Part::Scalar { label, .. } | Part::Label { label, .. } => label,
        }
    }
}

/// Where weights and biases of a map start: `inputs` numbers feed one, one feeds `outputs`.
pub(super) fn start(init: Weights, inputs: usize, outputs: usize) -> (Init, Init) {
    let (inputs, outputs) = (inputs.max(1) as f64, outputs as f64);
    let zero = Init::Constant(0.0);
    match init {
        Weights::Default => {
            let uniform = Init::within(1.0 / inputs.sqrt());
            (uniform, uniform)
        }
        Weights::Glorot => (Init::within((6.0 / (inputs + outputs)).sqrt()), zero),
        Weights::Kaiming => (Init::Normal { mean: 0.0, sd: (2.0 / inputs).sqrt() }, zero),
        Weights::Given(init) => (init, zero),
    }
}

impl Lowerer<'_> {
    pub(super) fn linear(&mut self, l: &Linear, span: Span) -> NodeId {
        let mut parts = vec![];
        l.inputs.iter().for_each(|id| self.parts(*id, l, &l.over, &mut parts));
        let mut conditioning = vec![];
        l.conditions.iter().for_each(|id| self.parts(*id, l, &[], &mut conditioning));
        parts.extend(conditioning.into_iter().filter(|p| l.first || matches!(p, Part::Label { .. })));
        self.at(span);
        let width: usize = parts.iter().map(|p| p.width(self)).sum();
        let outputs = l.out.map_or(1, |a| self.g.size(self.axis(a)));
        let (weights, biases) = start(l.init, width, outputs);
        let mut sum: Option<NodeId> = None;
        let mut names = vec![];
        for (i, part) in parts.iter().enumerate() {
            let name = part_name(&l.path, i, part.label(), &mut names);
            let y = self.apply(&name, part, l, weights);
            sum = Some(match sum {
                Some(s) => self.g.add(s, y),
                None => y,
            });
        }
        if l.bias {
            let b =
                self.variable(&format!("{}.bias", l.path), &self.own_dims(l), biases, VariableKind::Trained);
            sum = Some(match sum {
                Some(s) => self.g.add(s, b),
                None => b,
            });
        }
        match sum {
            Some(node) => node,
            None => self.g.constant(0.0),
        }
    }

    /// The axes that all variables of a map have: its output, and those along which it differs.
    fn own_dims(&self, l: &Linear) -> Vec<(AxisId, DimRole)> {
        let each = l.each.iter().map(|a| (self.axis(*a), DimRole::Own));
        each.chain(l.out.map(|a| (self.axis(a), DimRole::Out))).collect()
    }

    /// The columns that an input or condition contributes; a category with one label contributes none.
    fn parts(&mut self, id: ExprId, l: &Linear, over: &[AxisNo], parts: &mut Vec<Part>) {
        let e = self.m.expr(id).clone();
        if e.ty.covariates
            && let ExprKind::Field(f) = e.kind
        {
            let name = self.m.fields[f].slot.name.clone();
            return self.covariate_parts(&name, parts);
        }
        if let Some(a) = e.ty.of.filter(|_| e.ty.support == Support::Category) {
            let (axis, label) = (self.axis(a), self.m.axis_name(a).to_owned());
            match self.code(id) {
                FieldValue::Single => {}
                FieldValue::Soft(node) => parts.push(Part::Vector { node, over: vec![axis], label }),
                _ if self.g.size(axis) <= 1 => {}
                value => parts.push(Part::Label { value, axis, label }),
            }
            return;
        }
        let node = self.expr(id);
        let local = e.ty.local(&l.plates);
        let gone: Vec<AxisNo> = match over {
            [] => local,
            _ => local.into_iter().filter(|a| over.contains(a)).collect(),
        };
        match gone.last() {
            Some(last) => {
                let label = self.m.axis_name(*last).to_owned();
                let over = gone.iter().map(|a| self.axis(*a)).collect();
                parts.push(Part::Vector { node, over, label });
            }
            None => parts.push(Part::Scalar { node, label: "scalar".into() }),
        }
    }

    fn covariate_parts(&mut self, field: &str, parts: &mut Vec<Part>) {
        let Some(shape) = self.bound.covariates.get(field).cloned() else { return };
        let Some(plate) = self.plate() else { return };
        if let Some(&axis) = self.covariate_axes.get(field) {
            let spec = FeedSpec::CovariateReals(field.to_owned());
            let node = self.input(field, spec, Axes::from([plate, axis]), Dtype::Real, false);
            parts.push(Part::Vector { node, over: vec![axis], label: field.to_owned() });
        }
        for (column, _) in shape.categorical.iter().filter(|c| c.1 > 1) {
            let key = format!("{field}.{column}");
            let Some(&axis) = self.covariate_axes.get(&key) else { continue };
            let spec = FeedSpec::CovariateCategory { field: field.to_owned(), column: column.clone() };
            let node = self.input(&key, spec, Axes::from(plate), Dtype::Index, false);
            parts.push(Part::Label { value: FieldValue::Node(node), axis, label: column.clone() });
        }
    }

    /// W · part, along the output axis.
    fn apply(&mut self, name: &str, part: &Part, l: &Linear, init: Init) -> NodeId {
        let own = self.own_dims(l);
        match part {
            Part::Scalar { node, .. } => {
                let w = self.variable(name, &own, init, VariableKind::Trained);
                self.g.mul(*node, w)
            }
            Part::Label { value, axis, .. } => {
                let labels = self.beside(*axis, own.iter().map(|d| d.0));
                let dims: Vec<_> = own.into_iter().chain([(labels, DimRole::In)]).collect();
                let w = self.variable(name, &dims, init, VariableKind::Trained);
                self.look_up(w, *value, labels)
            }
            Part::Vector { node, over, .. } => {
                let inputs = over.iter().map(|a| (*a, DimRole::In));
                match l.out.filter(|o| over.contains(&self.axis(*o))) {
                    // From an axis to itself: the output runs along a twin, which then takes the axis's name.
                    Some(no) => {
                        let out = self.axis(no);
                        let twin = self.twin(out);
                        let rest = own.into_iter().filter(|d| d.0 != out);
                        let dims: Vec<_> = rest.chain([(twin, DimRole::Out)]).chain(inputs).collect();
                        let w = self.variable(name, &dims, init, VariableKind::Trained);
                        let y = self.g.contract(*node, w, Axes::new(over.iter().copied()));
                        self.g.rename(y, twin, out)
                    }
                    None => {
                        let dims: Vec<_> = own.into_iter().chain(inputs).collect();
                        let w = self.variable(name, &dims, init, VariableKind::Trained);
                        self.g.contract(*node, w, Axes::new(over.iter().copied()))
                    }
                }
            }
        }
    }

    /// A second axis of an axis's name and size, for a variable that has it twice.
    pub(super) fn twin(&mut self, a: AxisId) -> AxisId {
        if let Some(&t) = self.twins.get(&a) {
            return t;
        }
        let name = self.g.axis(a).name.clone();
        let id = self.g.add_axis(&name, self.g.size(a));
        self.twins.insert(a, id);
        id
    }

    /// An axis to look up labels along, in a table that has the axes `taken` too.
    pub(super) fn beside(&mut self, axis: AxisId, taken: impl IntoIterator<Item = AxisId>) -> AxisId {
        if taken.into_iter().any(|a| a == axis) { self.twin(axis) } else { axis }
    }
}

/// `….weight` for the first block of columns, `….weight.<label>` for the others; a repeated label is numbered.
fn part_name(path: &str, i: usize, label: &str, names: &mut Vec<String>) -> String {
    let base = if i == 0 { format!("{path}.weight") } else { format!("{path}.weight.{label}") };
    let mut name = base.clone();
    let mut k = 1;
    while names.contains(&name) {
        name = format!("{base}.{k}");
        k += 1;
    }
    names.push(name.clone());
    name
}
