//! (x · a) · b = x · (a · b) where a and b lack axes of x: the small factors are multiplied first.

use super::copier::Copier;
use crate::graph::{Graph, NodeId};
use crate::op::{Elem, Op};

/// The graph with small factors gathered.
pub(super) fn factors(g: &Graph) -> Graph {
    Copier::new(g).run(|c, id| {
        let op = c.moved(id);
        match regrouped(&mut c.new, &op) {
            Some(new) => new,
            None => c.new.push(op),
        }
    })
}

fn regrouped(g: &mut Graph, op: &Op) -> Option<NodeId> {
    let Op::Elem(Elem::Mul, args) = op else { return None };
    let all = g.axes_of(args[0]).union(g.axes_of(args[1]));
    for (product, outer) in [(args[0], args[1]), (args[1], args[0])] {
        let Op::Elem(Elem::Mul, inner) = g.node(product).op.clone() else { continue };
        for (large, small) in [(inner[0], inner[1]), (inner[1], inner[0])] {
            let both = g.axes_of(small).union(g.axes_of(outer));
            let gains = both.len() < all.len() && g.axes_of(large) == &all && *g.axes_of(product) == all;
            if gains {
                let factor = g.mul(small, outer);
                return Some(g.mul(large, factor));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Axes;

    #[test]
    fn row_factors_meet_before_the_matrix() {
        let mut g = Graph::new();
        let (a, b) = (g.add_axis("a", 3), g.add_axis("b", 4));
        let x = g.input("x", Axes::from([a, b]));
        let (r, s, c) = (g.input("r", a), g.input("s", a), g.input("c", b));
        let xr = g.mul(x, r);
        let y = g.mul(s, xr);
        let z = g.mul(xr, c);
        g.output("y", y);
        g.output("z", z);
        let new = factors(&g);
        let of = |name: &str| new.node(new.find_output(name).expect("an output")).op.clone();
        let Op::Elem(Elem::Mul, args) = of("y") else { panic!("a product") };
        assert_eq!(new.axes_of(args[1]).len(), 1, "x · (r · s)");
        let Op::Elem(Elem::Mul, args) = of("z") else { panic!("a product") };
        assert_eq!(new.axes_of(args[0]).len(), 2, "nothing to gain for (x · r) · c");
    }
}
