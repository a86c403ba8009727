//! What was planned, in numbers and in words.

use super::kernel::Kernel;
use super::sparsity::Sparsity;
use super::units::Units;
use super::{Home, Plan, Slot, Step};
use crate::graph::{Graph, NodeId};
use crate::op::{Elem, Op};
use std::fmt::{self, Display, Formatter};

/// Facts that a test or a person may ask of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Steps in all.
    pub n_steps: usize,
    /// Fused kernels among them.
    pub n_kernels: usize,
    /// Dense matrix products.
    pub n_products: usize,
    /// Products with a sparse operand.
    pub n_sparse_products: usize,
    /// Elementwise operations in all kernels.
    pub n_elementwise: usize,
    /// Elements of the arena: the most that is alive at once, variables and inputs apart.
    pub arena_elements: usize,
    /// Elements that would be needed without reuse.
    pub unshared_elements: usize,
    /// Elements that steps read from and write to memory in one run (sparse values counted as dense).
    pub moved_elements: usize,
    /// Multiplications and additions of the dense products.
    pub product_flops: usize,
    /// Operations that run at non-zeros only.
    pub sparse_ops: Vec<Elem>,
    /// Operations that run at every element, of those with a pattern in their kernel.
    pub dense_ops_beside_sparse: Vec<Elem>,
}

impl Facts {
    pub(super) fn of(
        g: &Graph,
        sparsity: &Sparsity,
        units: &Units,
        slots: &[Slot],
        steps: &[Step],
        arena: [usize; 2],
    ) -> Self {
        let _ = (g, sparsity, units);
        let mut f = Self { n_steps: steps.len(), arena_elements: arena[0], ..Self::default() };
        let pooled = slots.iter().filter(|s| matches!(s.home, Home::Arena(_)));
        f.unshared_elements = pooled.map(|s| s.len).sum();
        for step in steps {
            match step {
                Step::Kernel(k) => f.kernel(k, slots),
                Step::Product(p) => {
                    f.n_products += 1;
                    let loops: usize =
                        p.batch.iter().map(|b| b[0]).chain(p.again.iter().map(|a| a[0])).product();
                    f.product_flops += 2 * loops * p.size.iter().product::<usize>();
                    f.moved_elements += [p.a, p.b, p.c].iter().map(|s| slots[s.index()].len).sum::<usize>();
                }
                Step::SparseProduct(p) => {
                    f.n_sparse_products += 1;
                    f.moved_elements += [p.dense, p.to].iter().map(|s| slots[s.index()].len).sum::<usize>();
                }
                _ => {}
            }
        }
        f
    }

    fn kernel(&mut self, k: &Kernel, slots: &[Slot]) {
        use super::kernel::{Instr, Reg};
        self.n_kernels += 1;
        self.moved_elements += k.mems.iter().map(|m| slots[m.slot.index()].len).sum::<usize>();
        for i in &k.instrs {
            let Instr::Elem { f, to, .. } = i else { continue };
            self.n_elementwise += 1;
            match to {
                Reg::Sparse(_) => self.sparse_ops.push(*f),
                Reg::Dense(_) if k.pattern.is_some() => self.dense_ops_beside_sparse.push(*f),
                _ => {}
            }
        }
    }
}

/// What a unit computes, in words.
pub(super) fn note(g: &Graph, units: &Units, u: usize) -> String {
    let unit = &units.list[u];
    let word = |n: &NodeId| match &g.node(*n).op {
        Op::Elem(f, _) => f.name().to_owned(),
        Op::Reduce { kind, over, .. } => {
            format!("{}{}", format!("{kind:?}").to_lowercase(), g.show_axes(over))
        }
        Op::Contract { over, .. } => format!("contract{}", g.show_axes(over)),
        Op::Gather { .. } => "gather".into(),
        Op::ScatterAdd { .. } => "scatter_add".into(),
        Op::Random { kind, .. } => format!("{kind:?}").to_lowercase(),
        Op::Rename { .. } => "rename".into(),
        _ => "copy".into(),
    };
    let words: Vec<String> = unit.nodes.iter().map(word).collect();
    format!("{} {}", g.show_axes(&unit.domain), words.join(" "))
}

impl Plan {
    /// One step in words: how it is executed, and what it computes.
    pub fn line(&self, step: usize) -> String {
        let what = match &self.steps[step] {
            Step::Kernel(k) => {
                let pattern = k.pattern.map_or(String::new(), |p| {
                    format!(" sparse like `{}`", self.graph.inputs()[p.index()].name)
                });
                let size = format!("{}×{}", k.rows(), k.cols);
                let tile = format!("{}×{}", k.tile_rows, k.tile_cols);
                format!("kernel {size} tiles {tile} blocks {} registers {:?}{pattern}", k.n_blocks, k.n_regs)
            }
            Step::Product(p) => format!("product {:?} batch {:?}", p.size, p.batch),
            Step::SparseProduct(p) => format!("sparse product {:?} transposed {}", p.size, p.transposed),
            Step::Reduce(_) => "reduce".into(),
            Step::Copy(_) => "copy".into(),
            Step::Lookup(_) => "lookup".into(),
            Step::Draw(_) => "draw".into(),
        };
        let then = self.followers[step].map_or(String::new(), |j| format!(" then {j} block by block"));
        format!("{what}{then}: {}", self.notes[step])
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let facts = &self.facts;
        writeln!(
            f,
            "{} steps: {} kernels, {} products, {} sparse products; arena {} of {} elements; {} elements moved, {} flops in products",
            facts.n_steps,
            facts.n_kernels,
            facts.n_products,
            facts.n_sparse_products,
            facts.arena_elements,
            facts.unshared_elements,
            facts.moved_elements,
            facts.product_flops
        )?;
        for i in 0..self.steps.len() {
            writeln!(f, "{i}: {}", self.line(i))?;
        }
        for (v, s) in &self.commits {
            writeln!(f, "commit `{}` from slot {}", self.graph.variables()[v.index()].name, s.index())?;
        }
        Ok(())
    }
}
