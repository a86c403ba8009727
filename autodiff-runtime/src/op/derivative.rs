//! Partial derivatives of the elementwise operations, as graph.

use super::Elem;
use crate::graph::{Graph, NodeId};

/// The partial derivative of `out = elem(args)` in `args[which]`, as a node; `None` where it is zero everywhere it
/// exists (comparisons, floor, conditions), or where none is provided ([`Elem::Trigamma`], [`Elem::LogGammaSampleGrad`]),
/// which [`crate::autodiff`] reports.
pub fn elementwise_derivative(
    g: &mut Graph,
    elem: Elem,
    args: &[NodeId],
    out: NodeId,
    which: usize,
) -> Option<NodeId> {
    match elem.arity() {
        1 => unary(g, elem, args[0], out),
        2 => binary(g, elem, args[0], args[1], out, which),
        _ => select(g, args[0], which),
    }
}

/// Whether the operation's derivative in `args[which]` is missing rather than zero.
pub(crate) fn derivative_missing(elem: Elem, _which: usize) -> bool {
    matches!(elem, Elem::Trigamma | Elem::LogGammaSampleGrad)
}

fn unary(g: &mut Graph, elem: Elem, x: NodeId, out: NodeId) -> Option<NodeId> {
    use Elem::*;
    Some(match elem {
        Neg => g.constant(-1.0),
        Recip => {
            let s = g.square(out);
            g.neg(s)
        }
        Exp => out,
        Log => g.recip(x),
        Log1p => {
            let d = g.add_const(x, 1.0);
            g.recip(d)
        }
        Expm1 => g.add_const(out, 1.0),
        Sqrt => {
            let r = g.recip(out);
            g.mul_const(r, 0.5)
        }
        Square => g.mul_const(x, 2.0),
        Abs => g.unary(Sign, x),
        Sigmoid => {
            let one = g.constant(1.0);
            let rest = g.sub(one, out);
            g.mul(out, rest)
        }
        Softplus => g.unary(Sigmoid, x),
        Relu => {
            let zero = g.constant(0.0);
            g.binary(Lt, zero, x)
        }
        Tanh => {
            let s = g.square(out);
            let one = g.constant(1.0);
            g.sub(one, s)
        }
        Lgamma => g.unary(Digamma, x),
        Digamma => g.unary(Trigamma, x),
        Erf => {
            let s = g.square(x);
            let n = g.neg(s);
            let e = g.unary(Exp, n);
            g.mul_const(e, std::f64::consts::FRAC_2_SQRT_PI)
        }
        _ => return None,
    })
}

fn binary(g: &mut Graph, elem: Elem, a: NodeId, b: NodeId, out: NodeId, which: usize) -> Option<NodeId> {
    use Elem::*;
    Some(match (elem, which) {
        (Add, _) | (Sub, 0) => g.constant(1.0),
        (Sub, _) => g.constant(-1.0),
        (Mul, 0) => b,
        (Mul, _) => a,
        (Div, 0) => g.recip(b),
        (Div, _) => {
            let q = g.div(out, b);
            g.neg(q)
        }
        (Pow, 0) => {
            let e = g.add_const(b, -1.0);
            let p = g.binary(Pow, a, e);
            g.mul(b, p)
        }
        // d/db aᵇ = aᵇ log a, and 0 where aᵇ is 0 (so that 0ᵇ has derivative 0).
        (Pow, _) => g.binary(XLogY, out, a),
        // At ties the first operand takes the whole gradient.
        (Min, 0) => g.binary(Le, a, b),
        (Min, _) => g.binary(Lt, b, a),
        (Max, 0) => g.binary(Le, b, a),
        (Max, _) => g.binary(Lt, a, b),
        (XLogY, 0) => g.unary(Log, b),
        (XLogY, _) => {
            // Zero where a is, also at b = 0.
            let q = g.div(a, b);
            let zero = g.constant(0.0);
            g.select(a, q, zero)
        }
        (LgammaDelta, 0) => {
            let s = g.add(a, b);
            g.unary(Digamma, s)
        }
        (LgammaDelta, _) => g.binary(DigammaDelta, a, b),
        (DigammaDelta, 0) => {
            let s = g.add(a, b);
            g.unary(Trigamma, s)
        }
        (DigammaDelta, _) => {
            let s = g.add(a, b);
            let far = g.unary(Trigamma, s);
            let near = g.unary(Trigamma, b);
            g.sub(far, near)
        }
        _ => return None,
    })
}

fn select(g: &mut Graph, cond: NodeId, which: usize) -> Option<NodeId> {
    let (yes, no) = match which {
        1 => (1.0, 0.0),
        2 => (0.0, 1.0),
        _ => return None,
    };
    let (yes, no) = (g.constant(yes), g.constant(no));
    Some(g.select(cond, yes, no))
}
