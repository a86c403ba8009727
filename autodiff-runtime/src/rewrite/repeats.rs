//! A sum along axes on which its operand only repeats is a multiple: Σ over n equal values = n · value.

use super::copier::Copier;
use crate::graph::{Graph, NodeId};
use crate::op::{Op, ReduceKind};

/// The graph without sums of repeated values.
pub(super) fn repeats(g: &Graph) -> Graph {
    Copier::new(g).run(|c, id| {
        let op = c.moved(id);
        match multiple(&mut c.new, &op) {
            Some(new) => new,
            None => c.new.push(op),
        }
    })
}

fn multiple(g: &mut Graph, op: &Op) -> Option<NodeId> {
    let Op::Reduce { kind: ReduceKind::Sum, input, over } = op else { return None };
    let Op::Broadcast { input: value, axes } = g.node(*input).op.clone() else { return None };
    let repeated = over.minus(g.axes_of(value));
    if repeated.is_empty() {
        return None;
    }
    let n = g.n_elements(&repeated) as f64;
    let rest = over.minus(&repeated);
    let sum = if rest.is_empty() { value } else { g.sum(value, rest) };
    let multiple = g.mul_const(sum, n);
    let kept = axes.minus(over);
    Some(g.broadcast(multiple, &kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::evaluate;
    use crate::graph::Axes;
    use crate::store::{Feed, StepKey, Variables};

    #[test]
    fn repeated_values_are_multiplied() {
        let mut g = Graph::new();
        let (a, b, c) = (g.add_axis("a", 2), g.add_axis("b", 3), g.add_axis("c", 5));
        let x = g.input("x", Axes::from([a, b]));
        let wide = g.broadcast(x, &Axes::from([a, b, c]));
        for (name, over) in [("c", Axes::from(c)), ("bc", Axes::from([b, c])), ("b", Axes::from(b))] {
            let sum = g.sum(wide, over);
            g.output(name, sum);
        }
        let new = repeats(&g);
        let data = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let run = |g: &Graph| {
            let wanted: Vec<NodeId> = g.outputs().iter().map(|o| o.1).collect();
            let g = g.clone().verify().expect("valid");
            evaluate(&g, &wanted, &Variables::new(), &[Feed::Dense(&data)], StepKey::default()).expect("runs")
        };
        assert_eq!(run(&g), run(&new));
        let reductions = |g: &Graph| g.nodes().iter().filter(|n| matches!(n.op, Op::Reduce { .. })).count();
        assert_eq!((reductions(&g), reductions(&new)), (3, 2));
    }
}
