//! Where a value that is not finite comes from, for a run that failed.

use crate::backend::reference::evaluate;
use crate::element::Element;
use crate::graph::{Axes, Dtype, Graph, NodeId, Origin};
use crate::op::{Elem, Op, ReduceKind};
use crate::plan::StepGraph;
use crate::store::{CsrView, Feed, Made, NonFinite, RunError, StepKey, Variables};
use std::collections::BTreeMap;

/// Names the value that makes the loss not finite: by the reference evaluator, from the variables as they were (a failed
/// run leaves them alone).
pub(crate) fn first<E: Element>(
    step: &StepGraph,
    variables: &Variables<E>,
    feeds: &[Feed<'_, E>],
    key: StepKey,
    loss: f64,
) -> RunError {
    let g = &step.graph;
    let widen = |x: &[E]| x.iter().map(|v| v.to_f64()).collect::<Vec<f64>>();
    let mut wide = Variables::new();
    variables.iter().for_each(|(n, v)| wide.set(n, widen(v)));
    let real: Vec<Vec<f64>> = feeds
        .iter()
        .map(|f| match f {
            Feed::Dense(x) => widen(x),
            Feed::Csr(m) => widen(m.values),
            Feed::Index(_) => vec![],
        })
        .collect();
    let feeds: Vec<Feed<'_, f64>> = feeds
        .iter()
        .zip(&real)
        .map(|(f, v)| match f {
            Feed::Dense(_) => Feed::Dense(v),
            Feed::Csr(m) => Feed::Csr(CsrView { offsets: m.offsets, columns: m.columns, values: v }),
            Feed::Index(i) => Feed::Index(i),
        })
        .collect();
    let found = step.loss.as_deref().and_then(|name| g.find_output(name)).and_then(|loss| {
        let wanted = needed(step, loss);
        let values = evaluate(g, &wanted, &wide, &feeds, key).ok()?;
        let values: BTreeMap<NodeId, Vec<f64>> = wanted.into_iter().zip(values).collect();
        let traced = Traced { g, values, rounded: &|x| E::from_f64(x).to_f64() };
        traced.from(loss).or_else(|| traced.vanished())
    });
    let rounded = NonFinite {
        value: loss,
        made: Made::Rounded,
        place: vec![],
        operands: vec![],
        results: vec![],
        origin: Origin::default(),
    };
    RunError::NonFinite(Box::new(found.unwrap_or(rounded)))
}

/// The values of a graph's nodes.
struct Traced<'a> {
    g: &'a Graph,
    values: BTreeMap<NodeId, Vec<f64>>,
    /// To the element type, which can overflow or vanish where double precision does not.
    rounded: &'a dyn Fn(f64) -> f64,
}

impl Traced<'_> {
    /// Follows what is not finite from the loss to where it begins: an infinity that does no harm, such as the logarithm of
    /// a weight of 0, is not on the way.
    fn from(&self, loss: NodeId) -> Option<NonFinite> {
        let (mut id, mut at) = (loss, self.worst(loss)?);
        loop {
            let guilty = self.g.node(id).op.operands().into_iter().filter_map(|o| Some((o, self.worst(o)?)));
            // What is not a number comes from what is not, if anything is.
            let nan = |x: &(NodeId, usize)| self.values[&x.0][x.1].is_nan();
            let guilty: Vec<(NodeId, usize)> = guilty.collect();
            match guilty.iter().find(|x| nan(x)).or(guilty.first()) {
                Some(next) if self.values[&id][at].is_nan() || !nan(next) => (id, at) = *next,
                _ => return Some(self.described(id, at)),
            }
        }
    }

    /// The first value of a node that is not a number, else the first that is not finite.
    fn worst(&self, id: NodeId) -> Option<usize> {
        let values = self.values.get(&id)?;
        let first = |f: &dyn Fn(f64) -> bool| values.iter().position(|x| f(*x));
        first(&f64::is_nan).or_else(|| first(&|x| !(self.rounded)(x).is_finite()))
    }

    /// The first division by a value that vanishes in the element type, or logarithm of one.
    fn vanished(&self) -> Option<NonFinite> {
        self.values.keys().find_map(|id| {
            let node = self.g.node(*id);
            let by = match &node.op {
                Op::Elem(Elem::Div | Elem::XLogY, args) => args[1],
                Op::Elem(Elem::Recip | Elem::Log, args) => args[0],
                _ => return None,
            };
            let at = self.values.get(&by)?.iter().position(|x| *x != 0.0 && (self.rounded)(*x) == 0.0)?;
            let (made, operands) = (Made::Vanished(words(self.g, &node.op)), vec![self.range(by)]);
            Some(NonFinite { made, operands, origin: node.origin, ..self.described(by, at) })
        })
    }

    /// The least and the largest number that a node has.
    fn range(&self, id: NodeId) -> (f64, f64) {
        let of = |f: fn(f64, f64) -> f64| self.values[&id].iter().copied().fold(f64::NAN, f);
        (of(f64::min), of(f64::max))
    }

    fn described(&self, id: NodeId, at: usize) -> NonFinite {
        let (g, node) = (self.g, self.g.node(id));
        let made = match &node.op {
            Op::Input(i) => Made::Input(g.inputs()[i.index()].name.clone()),
            Op::Variable(v) => Made::Variable(g.variables()[v.index()].name.clone()),
            op => Made::Computed(words(g, op)),
        };
        let (mut place, mut rest) = (vec![], at);
        for axis in node.axes.iter().collect::<Vec<_>>().into_iter().rev() {
            place.insert(0, (g.axis(axis).name.clone(), rest % g.size(axis)));
            rest /= g.size(axis);
        }
        let real = |o: &NodeId| g.node(*o).dtype == Dtype::Real;
        let wrong = |(_, o): &&(String, NodeId)| self.worst(*o).is_some();
        NonFinite {
            value: self.values[&id][at],
            made,
            place,
            operands: node.op.operands().into_iter().filter(real).map(|o| self.range(o)).collect(),
            results: g.outputs().iter().filter(wrong).map(|(name, _)| name.clone()).collect(),
            origin: node.origin,
        }
    }
}

/// An operation as people call it.
fn words(g: &Graph, op: &Op) -> String {
    let along = |axes: &Axes| {
        let names: Vec<&str> = axes.iter().map(|a| g.axis(a).name.as_str()).collect();
        names.join(", ")
    };
    match op {
        Op::Const(_) => "a constant".to_owned(),
        Op::Elem(Elem::Add, _) => "a sum".to_owned(),
        Op::Elem(Elem::Sub, _) => "a difference".to_owned(),
        Op::Elem(Elem::Mul, _) => "a product".to_owned(),
        Op::Elem(Elem::Div | Elem::Recip, _) => "a quotient".to_owned(),
        Op::Elem(Elem::Pow | Elem::Square, _) => "a power".to_owned(),
        Op::Elem(Elem::Select, _) => "a choice".to_owned(),
        Op::Elem(Elem::XLogY, _) => "`log`".to_owned(),
        Op::Elem(Elem::LgammaDelta, _) => "`lgamma`".to_owned(),
        Op::Elem(e, _) => format!("`{}`", e.name()),
        Op::Reduce { kind: ReduceKind::Sum, over, .. } => format!("a sum over {}", along(over)),
        Op::Reduce { kind: ReduceKind::Prod, over, .. } => format!("a product over {}", along(over)),
        Op::Reduce { kind: ReduceKind::LogSumExp, over, .. } => format!("`logsumexp` over {}", along(over)),
        Op::Reduce { over, .. } => format!("an extreme over {}", along(over)),
        Op::Contract { over, .. } => format!("a sum of products over {}", along(over)),
        Op::Gather { axis, .. } => format!("a lookup along {}", g.axis(*axis).name),
        Op::Random { .. } => "a draw".to_owned(),
        _ => "a value".to_owned(),
    }
}

/// The nodes that the loss depends on, in evaluation order.
fn needed(step: &StepGraph, loss: NodeId) -> Vec<NodeId> {
    let g = &step.graph;
    let mut live = vec![false; g.nodes().len()];
    live[loss.index()] = true;
    for id in g.node_ids().rev() {
        if live[id.index()] {
            g.node(id).op.operands().iter().for_each(|o| live[o.index()] = true);
        }
    }
    g.node_ids().filter(|id| live[id.index()]).collect()
}
