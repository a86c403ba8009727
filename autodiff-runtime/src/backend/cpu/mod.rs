//! Fused tiles over SIMD lanes, matrix products, sparse rows.

use crate::backend::reference::evaluate;
use crate::backend::{Backend, Executable};
use crate::element::Element;
use crate::plan::{StepGraph, step_graph};
use crate::program::Program;
use crate::store::{CsrView, Feed, RunError, StepKey, Variables};

/// The default back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuBackend {
    /// Number of threads that work on a step; results do not depend on it.
    pub threads: usize,
    /// Level of optimisation: 0 takes the graph as written.
    pub level: u8,
}

impl Default for CpuBackend {
    /// All optimisations, one thread for each processor.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads, level: 1 }
    }
}

impl<E: Element> Backend<E> for CpuBackend {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn prepare(&self, program: &Program) -> Result<Box<dyn Executable<E>>, RunError> {
        let step = step_graph(program)?;
        let outputs = vec![vec![]; step.graph.outputs().len()];
        Ok(Box::new(Plain { step, outputs }))
    }
}

/// Evaluates by the reference, in double precision.
struct Plain<E> {
    step: StepGraph,
    outputs: Vec<Vec<E>>,
}

impl<E: Element> Executable<E> for Plain<E> {
    fn run(
        &mut self,
        variables: &mut Variables<E>,
        feeds: &[Feed<'_, E>],
        key: StepKey,
    ) -> Result<(), RunError> {
        let g = &self.step.graph;
        for name in &self.step.moments {
            if variables.get(name).is_none() {
                let v = g.find_variable(name).map_or(0, |v| g.n_elements(&g.variables()[v.index()].axes));
                variables.set(name, vec![E::default(); v]);
            }
        }
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
        let roots = g.outputs().iter().map(|o| o.1).chain(g.updates().iter().map(|u| u.1));
        let wanted: Vec<_> = roots.chain(self.step.loss).collect();
        let values = evaluate(g, &wanted, &wide, &feeds, key)?;
        if self.step.loss.is_some_and(|_| values.last().is_some_and(|v| !v[0].is_finite())) {
            let origin = self.step.loss.map_or_else(Default::default, |l| g.node(l).origin);
            return Err(RunError::NonFinite { what: "the loss".into(), origin });
        }
        let narrow = |x: &Vec<f64>| x.iter().map(|v| E::from_f64(*v)).collect::<Vec<E>>();
        let n = self.outputs.len();
        self.outputs.iter_mut().zip(&values).for_each(|(o, v)| *o = narrow(v));
        for ((v, _), value) in g.updates().iter().zip(&values[n..]) {
            variables.set(&g.variables()[v.index()].name, narrow(value));
        }
        Ok(())
    }

    fn output(&self, name: &str) -> Option<&[E]> {
        let i = self.step.graph.outputs().iter().position(|(n, _)| n == name)?;
        Some(&self.outputs[i])
    }
}
