//! exp(x − log Σ exp x) shares its exponentials with the sum: with m = max x and e = exp(x − m), it is e / Σ e, and the
//! log of the sum is m + log Σ e. One exponential per element instead of two.

use super::copier::Copier;
use crate::graph::{Axes, Graph, NodeId};
use crate::op::{Elem, Op, ReduceKind};
use std::collections::BTreeMap;

/// The parts of one normaliser, in the new graph.
#[derive(Clone, Copy)]
struct Parts {
    exps: NodeId,
    inverse: NodeId,
}

/// The graph with shared exponentials.
pub(super) fn softmax(g: &Graph) -> Graph {
    let normalised: Vec<NodeId> = g.node_ids().filter_map(|id| normaliser(g, id)).collect();
    let mut parts: BTreeMap<NodeId, Parts> = BTreeMap::new();
    Copier::new(g).run(|c, id| match &c.old.node(id).op {
        Op::Reduce { kind: ReduceKind::LogSumExp, input, over } if normalised.contains(&id) => {
            let (x, over) = (c.at(*input), over.clone());
            let (log, p) = decompose(&mut c.new, x, &over);
            parts.insert(id, p);
            log
        }
        _ => match normaliser(c.old, id).and_then(|n| parts.get(&n)) {
            Some(p) => c.new.mul(p.exps, p.inverse),
            None => {
                let op = c.moved(id);
                c.new.push(op)
            }
        },
    })
}

/// The normaliser n, if the node is exp(x − n) with n = log Σ exp x.
fn normaliser(g: &Graph, id: NodeId) -> Option<NodeId> {
    let Op::Elem(Elem::Exp, args) = &g.node(id).op else { return None };
    let Op::Elem(Elem::Sub, args) = &g.node(args[0]).op else { return None };
    match &g.node(args[1]).op {
        Op::Reduce { kind: ReduceKind::LogSumExp, input, .. } if *input == args[0] => Some(args[1]),
        _ => None,
    }
}

fn decompose(g: &mut Graph, x: NodeId, over: &Axes) -> (NodeId, Parts) {
    let max = g.reduce(ReduceKind::Max, x, over.clone());
    // Where everything is −∞ the sum is 0, whatever is subtracted.
    let (lowest, zero) = (g.constant(f64::NEG_INFINITY), g.constant(0.0));
    let empty = g.binary(Elem::Eq, max, lowest);
    let max = g.select(empty, zero, max);
    let shifted = g.sub(x, max);
    let exps = g.exp(shifted);
    let sum = g.sum(exps, over.clone());
    let log = g.log(sum);
    let log = g.add(max, log);
    (log, Parts { exps, inverse: g.recip(sum) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::evaluate;
    use crate::store::{Feed, StepKey, Variables};

    #[test]
    fn the_parts_give_the_softmax_also_of_extreme_rows() {
        let mut g = Graph::new();
        let (a, b) = (g.add_axis("a", 3), g.add_axis("b", 3));
        let x = g.input("x", Axes::from([a, b]));
        let n = g.reduce(ReduceKind::LogSumExp, x, b);
        let shifted = g.sub(x, n);
        let p = g.exp(shifted);
        g.output("n", n);
        g.output("p", p);
        let new = softmax(&g);
        assert!(!new.nodes().iter().any(|n| matches!(n.op, Op::Reduce { kind: ReduceKind::LogSumExp, .. })));
        let low = f64::NEG_INFINITY;
        let data = [900.0, 0.0, -900.0, low, low, low, 1.0, low, 2.0];
        let run = |g: &Graph| {
            let wanted: Vec<NodeId> = g.outputs().iter().map(|o| o.1).collect();
            let g = g.clone().verify().expect("valid");
            evaluate(&g, &wanted, &Variables::new(), &[Feed::Dense(&data)], StepKey::default()).expect("runs")
        };
        for (old, new) in run(&g).iter().flatten().zip(run(&new).iter().flatten()) {
            let same = old == new || (old.is_nan() && new.is_nan()) || (old - new).abs() < 1e-14;
            assert!(same, "{old} {new}");
        }
    }
}
