//! The printed form, one node a line: what `svic compile --emit graph` shows and goldens compare.

use super::{Axes, Graph, NodeId};
use crate::op::Op;
use std::fmt::{self, Display, Formatter};

impl Graph {
    /// `[cell, gene]`, by name; an axis that shares its name with an earlier one gets its number.
    pub fn show_axes(&self, axes: &Axes) -> String {
        let name = |a: super::AxisId| {
            let n = &self.axis(a).name;
            let shared = self.axes().iter().position(|x| x.name == *n) != Some(a.index());
            if shared { format!("{n}'{}", a.index()) } else { n.clone() }
        };
        format!("[{}]", axes.iter().map(name).collect::<Vec<_>>().join(", "))
    }
}

fn show_op(g: &Graph, op: &Op) -> String {
    let n = |id: &NodeId| format!("%{}", id.index());
    let list = |ids: &[NodeId]| ids.iter().map(n).collect::<Vec<_>>().join(", ");
    let axis = |a: super::AxisId| g.show_axes(&Axes::from(a)).trim_matches(['[', ']']).to_owned();
    match op {
        Op::Input(id) => format!("input `{}`", g.inputs()[id.index()].name),
        Op::Variable(id) => format!("variable `{}`", g.variables()[id.index()].name),
        Op::Const(c) => format!("const {c:?}"),
        Op::Iota(a) => format!("iota {}", axis(*a)),
        Op::Elem(e, args) => format!("{} {}", e.name(), list(args)),
        Op::ToReal(x) => format!("to_real {}", n(x)),
        Op::Stop(x) => format!("stop {}", n(x)),
        Op::Reduce { kind, input, over } => {
            format!("{} {} over {}", format!("{kind:?}").to_lowercase(), n(input), g.show_axes(over))
        }
        Op::Contract { a, b, over } => format!("contract {}, {} over {}", n(a), n(b), g.show_axes(over)),
        Op::Gather { table, index, axis: a } => {
            format!("gather {} at {} along {}", n(table), n(index), axis(*a))
        }
        Op::ScatterAdd { values, index, axis: a, keep } => {
            format!("scatter_add {} at {} along {} keep {}", n(values), n(index), axis(*a), g.show_axes(keep))
        }
        Op::Rename { input, from, to } => format!("rename {} {} -> {}", n(input), axis(*from), axis(*to)),
        Op::Broadcast { input, .. } => format!("broadcast {}", n(input)),
        Op::Random { kind, params, stream, rows, .. } => {
            let rows = rows.map_or(String::new(), |r| format!(" rows {}", n(&r)));
            format!("random {kind:?}({}) stream {stream}{rows}", list(params))
        }
    }
}

impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, a) in self.axes().iter().enumerate() {
            writeln!(f, "axis a{i} {} = {}", a.name, a.size)?;
        }
        for id in self.node_ids() {
            let node = self.node(id);
            writeln!(f, "%{} : {} = {}", id.index(), self.show_axes(&node.axes), show_op(self, &node.op))?;
        }
        for (name, id) in self.outputs() {
            writeln!(f, "output `{name}` = %{}", id.index())?;
        }
        for (v, id) in self.updates() {
            writeln!(f, "assign `{}` = %{}", self.variables()[v.index()].name, id.index())?;
        }
        Ok(())
    }
}
