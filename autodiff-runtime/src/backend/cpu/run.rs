//! A prepared program at work: binds feeds and variables to the plan's slots and runs its steps.

use super::jit::Stages;
use super::lanes::{Isa, Lanes};
use super::memory::{Aligned, Memory, Pattern};
use super::pool::Pool;
use super::tiles::{Block, Partials, Scratch, combine, sizes};
use super::{products, walk};
use crate::backend::feeds::{check, index_limits};
use crate::backend::{Executable, misplaced, non_finite};
use crate::graph::{Dtype, Storage};
use crate::plan::{Home, Kernel, Plan, SlotId, Step, StepGraph};
use crate::store::{CsrView, Feed, RunError, StepKey, Variables};
use std::time::Instant;

/// A plan with its memory.
pub(super) struct Prepared<E> {
    step: StepGraph,
    plan: Plan,
    limits: Vec<usize>,
    isa: Isa,
    /// Whether kernels are machine code, and products go the fast ways.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "there are none elsewhere"))]
    compiled: bool,
    pool: Pool,
    memory: Memory<E>,
    reals: Aligned<E>,
    indices: Vec<u32>,
    nonzeros: Vec<Vec<E>>,
    /// How each step's kernel is executed; `None` for other steps.
    stages: Vec<Option<Stages>>,
    /// The processor's matrix unit, if it has one.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    unit: Option<super::matrix::Unit>,
    scratch: Vec<Scratch<E>>,
    partials: Partials<E>,
    /// Partial results of products with a sparse factor.
    ranges: Aligned<E>,
    /// Results of indices as reals; empty for the others.
    converted: Vec<Vec<E>>,
    /// Slot in the store of each variable, and the layout of the store in which they were found.
    stored: Vec<usize>,
    layout: Option<u64>,
    /// Seconds that each step of the last run took; 0 for a kernel that ran with its product.
    seconds: Vec<f64>,
    /// Whether each step of this run was done with an earlier one.
    early: Vec<bool>,
}

impl<E: Lanes> Prepared<E> {
    /// Allocates everything a run needs; with `compile`, kernels become machine code where that is possible.
    pub fn new(step: StepGraph, plan: Plan, threads: usize, compile: bool) -> Self {
        let kernels =
            || plan.steps.iter().filter_map(|s| if let Step::Kernel(k) = s { Some(k) } else { None });
        let most = |f: &dyn Fn(&Kernel) -> usize| kernels().map(f).max().unwrap_or(0);
        let threads = threads.max(1);
        let partials = Partials {
            numbers: Aligned::new(most(&|k| k.n_blocks * k.n_partial[0])),
            doubles: Aligned::new(most(&|k| k.n_blocks * k.n_partial[1])),
        };
        let ranges = plan.steps.iter().map(|s| match s {
            Step::SparseProduct(p) => products::partial_len(p),
            _ => 0,
        });
        let ranges = Aligned::new(ranges.max().unwrap_or(0));
        let mut reals = Aligned::new(plan.arena[0]);
        let mut indices = vec![0; plan.arena[1]];
        for s in &plan.slots {
            match s.home {
                Home::Const(at, c) => reals.as_mut_slice()[at] = E::from_f64(c),
                Home::Iota(at) => (0..s.len).for_each(|i| indices[at + i] = i as u32),
                _ => {}
            }
        }
        let converted = plan.outputs.iter().map(|(_, slot)| match plan.slots[slot.index()].dtype {
            Dtype::Index => vec![E::default(); plan.slots[slot.index()].len],
            Dtype::Real => vec![],
        });
        let isa = Isa::detect();
        let compile = compile && isa == Isa::V4 && E::COMPILED;
        let stages = plan.steps.iter().map(|s| match s {
            Step::Kernel(k) if compile => Some(Stages::compiled(k)),
            Step::Kernel(k) => Some(Stages::interpreted(k)),
            _ => None,
        });
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        let unit = {
            let all = plan.steps.iter().filter_map(|s| if let Step::Product(p) = s { Some(p) } else { None });
            if compile { super::matrix::Unit::new::<E>(all, threads) } else { None }
        };
        Self {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            unit,
            stages: stages.collect(),
            limits: index_limits(&step.graph),
            isa,
            compiled: compile,
            pool: Pool::new(threads),
            memory: Memory::default(),
            nonzeros: vec![vec![]; plan.slots.len()],
            scratch: (0..threads).map(|_| Scratch::for_kernels(kernels())).collect(),
            partials,
            ranges,
            converted: converted.collect(),
            stored: vec![],
            layout: None,
            seconds: vec![0.0; plan.steps.len()],
            early: vec![false; plan.steps.len()],
            reals,
            indices,
            step,
            plan,
        }
    }

    /// Finds the variables, adding moments that are missing.
    fn bind_variables(&mut self, variables: &mut Variables<E>) -> Result<(), RunError> {
        let g = &self.plan.graph;
        if self.layout == Some(variables.layout()) {
            let mut both = g.variables().iter().zip(&self.stored);
            if both.all(|(decl, s)| variables.slot(*s).len() == g.n_elements(&decl.axes)) {
                return Ok(());
            }
        }
        self.layout = None;
        self.stored.clear();
        for decl in g.variables() {
            let expected = g.n_elements(&decl.axes);
            if variables.get(&decl.name).is_none() && self.step.moments.contains(&decl.name) {
                variables.set(&decl.name, vec![E::default(); expected]);
            }
            let slot = variables.slot_of(&decl.name);
            let found = slot.map_or(0, |s| variables.slot(s).len());
            match slot {
                Some(s) if found == expected => self.stored.push(s),
                _ => return Err(RunError::Variable { name: decl.name.clone(), expected, found }),
            }
        }
        self.layout = Some(variables.layout());
        Ok(())
    }

    /// Points every slot at its memory.
    fn bind_memory(&mut self, variables: &mut Variables<E>, feeds: &[Feed<'_, E>]) {
        let g = &self.plan.graph;
        let mem = &mut self.memory;
        mem.clear(self.plan.slots.len(), g.inputs().len());
        for (i, (decl, feed)) in g.inputs().iter().zip(feeds).enumerate() {
            if let (Storage::Csr, Feed::Csr(m)) = (decl.storage, feed) {
                mem.set_pattern(i, pattern(m));
            }
        }
        let nnz = |i: usize| match feeds.get(i) {
            Some(Feed::Csr(m)) => m.offsets[m.offsets.len() - 1] - m.offsets[0],
            _ => 0,
        };
        for (at, slot) in self.plan.slots.iter().enumerate() {
            match slot.home {
                Home::Input(i) => match feeds[i.index()] {
                    Feed::Dense(x) => mem.set_shared(at, x),
                    Feed::Index(x) => mem.set_shared_index(at, x),
                    Feed::Csr(m) => {
                        mem.set_shared(at, &m.values[m.offsets[0]..m.offsets[m.offsets.len() - 1]]);
                    }
                },
                Home::Variable(v) => mem.set(at, variables.slot_mut(self.stored[v.index()])),
                Home::Arena(from) | Home::Const(from, _) if slot.dtype == Dtype::Real => {
                    mem.set(at, self.reals.part(from, slot.len));
                }
                Home::Arena(from) | Home::Iota(from) => {
                    mem.set_index(at, &mut self.indices[from..from + slot.len]);
                }
                Home::Const(..) => {}
                Home::NonZeros(i) => {
                    let n = nnz(i.index());
                    if self.nonzeros[at].len() < n {
                        self.nonzeros[at].resize(n, E::default());
                    }
                    mem.set(at, &mut self.nonzeros[at]);
                }
            }
        }
    }

    fn execute(&mut self, key: StepKey) -> Result<(), NotFinite> {
        self.check_loss(0)?;
        let mut begin = Instant::now();
        self.early.fill(false);
        for (i, step) in self.plan.steps.iter().enumerate() {
            if !self.early[i]
                && self.one(i, step, key)
                && let Some(j) = self.plan.followers[i]
            {
                self.early[j] = true;
            }
            let end = Instant::now();
            self.seconds[i] = (end - begin).as_secs_f64();
            begin = end;
            self.check_loss(i + 1)?;
        }
        Ok(())
    }

    /// The kernel that follows a product block by block, if it is compiled to one pass.
    fn follower(&self, i: usize) -> Option<(&Kernel, &Stages)> {
        let j = self.plan.followers[i]?;
        match (&self.plan.steps[j], &self.stages[j]) {
            (Step::Kernel(k), Some(stages)) if stages.is_one_pass() => Some((k, stages)),
            _ => None,
        }
    }

    /// Runs a step; whether its follower was run with it.
    fn one(&self, i: usize, step: &Step, key: StepKey) -> bool {
        let (mem, pool) = (&self.memory, &self.pool);
        let follower = self.follower(i).map(|(k, stages)| {
            let sizes = sizes(k);
            move |range: std::ops::Range<usize>, worker: usize| {
                let (isa, kernel) = (self.isa, k);
                let (scratch, partials) = (&self.scratch[worker], &self.partials);
                Block { isa, kernel, stages, sizes, mem, scratch, partials, index: 0 }.columns(range);
            }
        });
        let then = follower.as_ref().map(|f| -> &products::Then<'_> { f });
        let index = |s: SlotId| self.plan.slots[s.index()].dtype == Dtype::Index;
        match step {
            Step::Kernel(k) => {
                let Some(stages) = &self.stages[i] else { return false };
                let sizes = sizes(k);
                pool.run(k.n_blocks, &|index, worker| {
                    let scratch = &self.scratch[worker];
                    let partials = &self.partials;
                    Block { isa: self.isa, kernel: k, stages, sizes, mem, scratch, partials, index }.run();
                });
                combine(self.isa, k, mem, &self.partials, pool);
            }
            Step::Product(p) => {
                #[cfg(target_arch = "x86_64")]
                if self.compiled && super::slim::multiply(p, mem, pool) {
                    return false;
                }
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                if let Some(ran) = self.unit.as_ref().and_then(|u| u.multiply(p, mem, pool, then)) {
                    return ran;
                }
                products::dense(p, mem, pool);
            }
            Step::SparseProduct(p) => {
                products::sparse(p, mem, pool, self.isa, &self.ranges, then);
                return then.is_some();
            }
            Step::Reduce(r) => walk::reduce(r, mem, pool),
            Step::Copy(c) => walk::copy(c, index(c.to), mem, pool),
            Step::Lookup(l) => walk::lookup(l, index(l.data), mem, pool, self.isa),
            Step::Draw(d) => walk::random(d, key, mem, pool, self.isa),
        }
        false
    }

    /// Once the loss is there, whether it is finite.
    fn check_loss(&self, done: usize) -> Result<(), NotFinite> {
        match self.plan.loss {
            Some((slot, after)) if after == done => {
                let loss = self.memory.read(slot, 0, 1)[0].to_f64();
                if loss.is_finite() { Ok(()) } else { Err(NotFinite(loss)) }
            }
            _ => Ok(()),
        }
    }

    /// Updates that could not be made in place, and results of indices.
    fn commit(&mut self, variables: &mut Variables<E>) {
        for (v, slot) in &self.plan.commits {
            let to = variables.slot_mut(self.stored[v.index()]);
            let n = to.len();
            to.copy_from_slice(self.memory.read(*slot, 0, n));
        }
        for ((_, slot), to) in self.plan.outputs.iter().zip(&mut self.converted) {
            if !to.is_empty() {
                let from = self.memory.read_index(*slot);
                to.iter_mut().zip(from).for_each(|(t, f)| *t = E::from_f64(f64::from(*f)));
            }
        }
    }
}

/// The loss is not finite.
struct NotFinite(f64);

fn pattern<'a, E>(m: &CsrView<'a, E>) -> Pattern<'a> {
    let base = m.offsets[0];
    Pattern { offsets: m.offsets, columns: &m.columns[base..m.offsets[m.offsets.len() - 1]] }
}

impl<E: Lanes> Prepared<E> {
    /// Points the slots of outputs at the caller's memory where that can be; which of them.
    fn redirect(&mut self, to: &mut [(&str, &mut [E])]) -> Result<Vec<bool>, RunError> {
        let mut taken: Vec<SlotId> = vec![];
        let mut direct = vec![];
        for (name, to) in to {
            let found = self.plan.outputs.iter().find(|(n, _)| n == name).map(|o| o.1);
            let slot = found.map(|s| &self.plan.slots[s.index()]);
            let (Some(id), Some(slot)) = (found, slot.filter(|s| s.len == to.len())) else {
                return Err(misplaced(name, to.len(), slot.map(|s| s.len)));
            };
            let fits = matches!(slot.home, Home::Arena(_)) && slot.dtype == Dtype::Real;
            let first = fits && !taken.contains(&id);
            if first {
                self.memory.set(id.index(), to);
                taken.push(id);
            }
            direct.push(first);
        }
        Ok(direct)
    }

    /// An output of this run, wherever it lies.
    fn copy_result(&self, name: &str, to: &mut [E]) {
        let found = self.plan.outputs.iter().zip(&self.converted).find(|((n, _), _)| n == name);
        if let Some(((_, slot), converted)) = found {
            let real = converted.is_empty();
            to.copy_from_slice(if real { self.memory.read(*slot, 0, to.len()) } else { converted });
        }
    }
}

impl<E: Lanes> Executable<E> for Prepared<E> {
    fn run(
        &mut self,
        variables: &mut Variables<E>,
        feeds: &[Feed<'_, E>],
        key: StepKey,
    ) -> Result<(), RunError> {
        self.run_into(variables, feeds, key, &mut [])
    }

    fn run_into(
        &mut self,
        variables: &mut Variables<E>,
        feeds: &[Feed<'_, E>],
        key: StepKey,
        to: &mut [(&str, &mut [E])],
    ) -> Result<(), RunError> {
        check(&self.plan.graph, &self.limits, feeds)?;
        self.bind_variables(variables)?;
        self.bind_memory(variables, feeds);
        let direct = self.redirect(to)?;
        self.pool.wake();
        let outcome = self.execute(key);
        self.pool.rest();
        match outcome {
            Ok(()) => {
                self.commit(variables);
                let copied = to.iter_mut().zip(direct).filter_map(|(to, direct)| (!direct).then_some(to));
                copied.for_each(|(name, to)| self.copy_result(name, to));
                Ok(())
            }
            Err(NotFinite(loss)) => Err(non_finite::first(&self.step, variables, feeds, key, loss)),
        }
    }

    fn output(&self, name: &str) -> Option<&[E]> {
        let i = self.plan.outputs.iter().position(|(n, _)| n == name)?;
        let slot = &self.plan.slots[self.plan.outputs[i].1.index()];
        Some(match slot.home {
            Home::Arena(from) if slot.dtype == Dtype::Real => self.reals.part(from, slot.len),
            _ => &self.converted[i],
        })
    }

    fn describe(&self) -> String {
        self.plan.to_string()
    }

    fn timings(&self) -> Vec<(f64, String)> {
        self.seconds.iter().enumerate().map(|(i, s)| (*s, self.plan.line(i))).collect()
    }
}
