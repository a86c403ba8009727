//! Constants folded, and steps that change nothing dropped: x + 0, x − 0, x · 1, x / 1, −(−x). Nothing here can turn a
//! non-finite value into a finite one.

use super::copier::Copier;
use crate::graph::{Graph, NodeId};
use crate::op::{Elem, Op};

/// The graph without idle steps.
pub(super) fn simplify(g: &Graph) -> Graph {
    Copier::new(g).run(|c, id| {
        let op = c.moved(id);
        let Op::Elem(elem, args) = &op else { return c.new.push(op) };
        let constants: Option<Vec<f64>> = args.iter().map(|a| constant(&c.new, *a)).collect();
        match constants {
            Some(values) => c.new.constant(elem.eval(&values)),
            None => idle(&c.new, *elem, args).unwrap_or_else(|| c.new.push(op)),
        }
    })
}

fn constant(g: &Graph, id: NodeId) -> Option<f64> {
    match g.node(id).op {
        Op::Const(c) => Some(c),
        _ => None,
    }
}

/// The operand that the operation returns unchanged. Constants are scalars, so the axes stay.
fn idle(g: &Graph, elem: Elem, args: &[NodeId]) -> Option<NodeId> {
    let is = |i: usize, x: f64| constant(g, args[i]) == Some(x);
    match elem {
        Elem::Add if is(1, 0.0) => Some(args[0]),
        Elem::Add if is(0, 0.0) => Some(args[1]),
        Elem::Sub if is(1, 0.0) => Some(args[0]),
        Elem::Mul if is(1, 1.0) => Some(args[0]),
        Elem::Mul if is(0, 1.0) => Some(args[1]),
        Elem::Div if is(1, 1.0) => Some(args[0]),
        Elem::Neg => match &g.node(args[0]).op {
            Op::Elem(Elem::Neg, inner) => Some(inner[0]),
            _ => None,
        },
        _ => None,
    }
}
