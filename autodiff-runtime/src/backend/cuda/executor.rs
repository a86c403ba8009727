//! A printed plan at work on a machine.

use super::form::{Call, Launch, Module, Place};
use super::machine::{Kernels, Machine, Recorded};
use super::memory::{Array, Mirror, Plain};
use super::print::{print, summary};
use crate::backend::Executable;
use crate::backend::feeds::{check, index_limits};
use crate::element::Element;
use crate::graph::{Dtype, InputId, Storage};
use crate::plan::{Home, Plan, SlotId, StepGraph};
use crate::store::{CsrView, Feed, RunError, StepKey, Variables};
use std::cell::OnceCell;
use std::sync::{Arc, Mutex, PoisonError};

/// Arrays of a CSR feed beside its values.
struct Sparse {
    offsets: Array,
    columns: Array,
    /// Non-zeros for which all arrays of this input have room.
    capacity: usize,
}

/// A plan with its memory on a machine.
pub(super) struct Prepared<E> {
    step: StepGraph,
    plan: Plan,
    module: Module,
    machine: Arc<dyn Machine>,
    kernels: Box<dyn Kernels>,
    mirror: Arc<Mutex<Mirror>>,
    limits: Vec<usize>,
    reals: Array,
    indices: Array,
    /// Feeds: values, or indices.
    feeds: Vec<Array>,
    sparse: Vec<Option<Sparse>>,
    /// Values per non-zero, by slot; and rooms of the same kind, by input.
    nonzeros: Vec<Option<Array>>,
    nonzero_rooms: Vec<Vec<Array>>,
    partial: Array,
    doubles: Array,
    rooms: Array,
    key: Array,
    failed: Array,
    /// Addresses of all calls' parameters, and the generation of the mirror for which they hold.
    bound: Option<(u64, Vec<Vec<u64>>)>,
    recorded: Option<Box<dyn Recorded>>,
    results: Vec<OnceCell<Vec<E>>>,
}

impl<E: Element + Plain> Prepared<E> {
    pub fn new(
        step: StepGraph,
        plan: Plan,
        machine: Arc<dyn Machine>,
        mirror: Arc<Mutex<Mirror>>,
    ) -> Result<Self, RunError> {
        let size = std::mem::size_of::<E>();
        let module = print(&plan, size);
        let kernels = machine.load(&module.source)?;
        let array = |bytes: usize| Array::new(&machine, bytes);
        let reals = array(plan.arena[0] * size)?;
        let indices = array(plan.arena[1] * 4)?;
        for s in &plan.slots {
            match s.home {
                Home::Const(at, c) if s.dtype == Dtype::Real => reals.upload(at * size, &[E::from_f64(c)])?,
                Home::Iota(at) => {
                    let all: Vec<u32> = (0..s.len as u32).collect();
                    indices.upload(at * 4, &all)?;
                }
                _ => {}
            }
        }
        let g = &plan.graph;
        let mut feeds = vec![];
        let mut sparse = vec![];
        for decl in g.inputs() {
            let n = g.n_elements(&decl.axes);
            let csr = decl.storage == Storage::Csr;
            feeds.push(array(if csr { 0 } else { n * if decl.dtype == Dtype::Index { 4 } else { size } })?);
            sparse.push(if csr {
                let rows = g.size(decl.axes.as_slice()[0]);
                Some(Sparse { offsets: array((rows + 1) * 4)?, columns: array(0)?, capacity: 0 })
            } else {
                None
            });
        }
        let nonzeros = plan.slots.iter().map(|s| match s.home {
            Home::NonZeros(_) => array(0).map(Some),
            _ => Ok(None),
        });
        let nonzeros = nonzeros.collect::<Result<_, _>>()?;
        let rooms = &module.rooms;
        let nonzero_rooms = rooms.nonzeros.iter().map(|n| (0..*n).map(|_| array(0)).collect());
        Ok(Self {
            nonzero_rooms: nonzero_rooms.collect::<Result<_, _>>()?,
            partial: array(rooms.partial * size)?,
            doubles: array(rooms.doubles * 8)?,
            rooms: array(rooms.reals * size)?,
            key: array(16)?,
            failed: array(4)?,
            limits: index_limits(&step.graph),
            bound: None,
            recorded: None,
            results: plan.outputs.iter().map(|_| OnceCell::new()).collect(),
            step,
            module,
            machine,
            kernels,
            mirror,
            reals,
            indices,
            feeds,
            sparse,
            nonzeros,
            plan,
        })
    }

    fn size() -> usize {
        std::mem::size_of::<E>()
    }

    /// Adds moments that are missing and checks the others.
    fn check_variables(&self, variables: &mut Variables<E>) -> Result<(), RunError> {
        for decl in self.plan.graph.variables() {
            let expected = self.plan.graph.n_elements(&decl.axes);
            let found = variables.len_of(&decl.name);
            if found.is_none() && self.step.moments.contains(&decl.name) {
                variables.set(&decl.name, vec![E::default(); expected]);
            } else if found != Some(expected) {
                let found = found.unwrap_or(0);
                return Err(RunError::Variable { name: decl.name.clone(), expected, found });
            }
        }
        Ok(())
    }

    fn upload(&mut self, feeds: &[Feed<'_, E>], key: StepKey) -> Result<(), RunError> {
        for (i, feed) in feeds.iter().enumerate() {
            match feed {
                Feed::Dense(x) => self.feeds[i].upload(0, x)?,
                Feed::Index(x) => self.feeds[i].upload(0, x)?,
                Feed::Csr(m) => self.upload_csr(i, m)?,
            }
        }
        let low = |x: u64| x as u32;
        self.key.upload(0, &[low(key.seed), low(key.seed >> 32), low(key.step), low(key.step >> 32)])
    }

    fn upload_csr(&mut self, i: usize, m: &CsrView<'_, E>) -> Result<(), RunError> {
        let (begin, end) = (m.offsets[0], m.offsets[m.offsets.len() - 1]);
        let n = end - begin;
        let Some(s) = self.sparse[i].as_mut() else { return Ok(()) };
        if n > s.capacity {
            let capacity = n + n / 2;
            let bytes = capacity * Self::size();
            s.columns.reserve(capacity * 4)?;
            self.feeds[i].reserve(bytes)?;
            for (slot, array) in self.plan.slots.iter().zip(&mut self.nonzeros) {
                if let (Home::NonZeros(input), Some(array)) = (slot.home, array)
                    && input.index() == i
                {
                    array.reserve(bytes)?;
                }
            }
            for room in &mut self.nonzero_rooms[i] {
                room.reserve(bytes)?;
            }
            s.capacity = capacity;
            self.bound = None;
        }
        let offsets: Vec<u32> = m.offsets.iter().map(|o| (o - begin) as u32).collect();
        s.offsets.upload(0, &offsets)?;
        s.columns.upload(0, &m.columns[begin..end])?;
        self.feeds[i].upload(0, &m.values[begin..end])
    }

    fn slot(&self, mirror: &Mirror, slot: SlotId) -> u64 {
        let s = &self.plan.slots[slot.index()];
        match s.home {
            Home::Input(i) => self.feeds[i.index()].address(),
            Home::Variable(v) => {
                mirror.address(&self.plan.graph.variables()[v.index()].name).unwrap_or_default()
            }
            Home::Arena(at) | Home::Const(at, _) if s.dtype == Dtype::Real => {
                self.reals.address() + (at * Self::size()) as u64
            }
            Home::Arena(at) | Home::Const(at, _) | Home::Iota(at) => self.indices.address() + 4 * at as u64,
            Home::NonZeros(_) => self.nonzeros[slot.index()].as_ref().map_or(0, Array::address),
        }
    }

    fn address(&self, mirror: &Mirror, place: Place) -> u64 {
        let sparse = |i: InputId, f: fn(&Sparse) -> &Array| {
            self.sparse[i.index()].as_ref().map_or(0, |s| f(s).address())
        };
        match place {
            Place::Real(s) | Place::Index(s) => self.slot(mirror, s),
            Place::Offsets(i) => sparse(i, |s| &s.offsets),
            Place::Columns(i) => sparse(i, |s| &s.columns),
            Place::Partial => self.partial.address(),
            Place::Doubles => self.doubles.address(),
            Place::Room(at) => self.rooms.address() + (at * Self::size()) as u64,
            Place::NonZeroRoom(i, n) => self.nonzero_rooms[i.index()][n].address(),
            Place::Key => self.key.address(),
            Place::Failed => self.failed.address(),
        }
    }

    /// Finds every parameter's address, and records the work where the machine can.
    fn bind(&mut self) -> Result<(), RunError> {
        let mirror = self.mirror.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = mirror.generation();
        if self.bound.as_ref().is_some_and(|b| b.0 == generation) {
            return Ok(());
        }
        let addresses = self.module.calls.iter().map(|(_, call)| match call {
            Call::Launch(l) => l.places.iter().map(|p| self.address(&mirror, *p)).collect(),
            Call::Gemm(p) => [p.a, p.b, p.c].iter().map(|s| self.slot(&mirror, *s)).collect(),
        });
        let bound = (generation, addresses.collect());
        drop(mirror);
        self.bound = Some(bound);
        self.recorded = self.machine.record(&mut || self.work())?;
        Ok(())
    }

    fn work(&self) -> Result<(), RunError> {
        let Some((_, addresses)) = &self.bound else { return Ok(()) };
        for ((_, call), at) in self.module.calls.iter().zip(addresses) {
            match call {
                Call::Launch(Launch { entry, grid, block, .. }) => {
                    self.kernels.launch(entry, *grid, *block, at)?;
                }
                Call::Gemm(p) => self.machine.multiply(p, Self::size(), [at[0], at[1], at[2]])?,
            }
        }
        Ok(())
    }

    fn has_failed(&self) -> Result<bool, RunError> {
        let mut word = [0_u32];
        self.failed.download(0, &mut word)?;
        Ok(word[0] != 0)
    }

    /// Copies a result to the host.
    fn fetch(&self, output: usize) -> Option<Vec<E>> {
        let slot = &self.plan.slots[self.plan.outputs[output].1.index()];
        match (slot.home, slot.dtype) {
            (Home::Arena(at), Dtype::Real) => {
                let mut all = vec![E::default(); slot.len];
                self.reals.download(at * Self::size(), &mut all).ok()?;
                Some(all)
            }
            (Home::Arena(at) | Home::Iota(at), Dtype::Index) => {
                let mut all = vec![0_u32; slot.len];
                self.indices.download(4 * at, &mut all).ok()?;
                Some(all.into_iter().map(|x| E::from_f64(f64::from(x))).collect())
            }
            _ => None,
        }
    }
}

impl<E: Element + Plain> Executable<E> for Prepared<E> {
    fn run(
        &mut self,
        variables: &mut Variables<E>,
        feeds: &[Feed<'_, E>],
        key: StepKey,
    ) -> Result<(), RunError> {
        check(&self.plan.graph, &self.limits, feeds)?;
        self.check_variables(variables)?;
        let mirror = self.mirror.clone();
        mirror.lock().unwrap_or_else(PoisonError::into_inner).follow(&self.machine, variables)?;
        self.upload(feeds, key)?;
        self.bind()?;
        self.results.iter_mut().for_each(|r| *r = OnceCell::new());
        match &self.recorded {
            Some(recorded) => recorded.replay()?,
            None => self.work()?,
        }
        if self.plan.loss.is_some() && self.has_failed()? {
            let (slot, _) = self.plan.loss.unwrap_or((SlotId(0), 0));
            let output = self.plan.outputs.iter().position(|o| o.1 == slot);
            let loss = output.and_then(|o| self.fetch(o)).map_or(f64::NAN, |v| v[0].to_f64());
            let mut mirror = mirror.lock().unwrap_or_else(PoisonError::into_inner);
            mirror.settle(variables)?;
            return Err(crate::backend::non_finite::first(&self.step, variables, feeds, key, loss));
        }
        if !self.plan.graph.updates().is_empty() {
            mirror.lock().unwrap_or_else(PoisonError::into_inner).lead(variables);
        }
        Ok(())
    }

    fn settle(&mut self, variables: &mut Variables<E>) -> Result<(), RunError> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner).settle(variables)
    }

    fn output(&self, name: &str) -> Option<&[E]> {
        let i = self.plan.outputs.iter().position(|(n, _)| n == name)?;
        if self.results[i].get().is_none() {
            let value = self.fetch(i)?;
            let _ = self.results[i].set(value);
        }
        self.results[i].get().map(Vec::as_slice)
    }

    fn describe(&self) -> String {
        format!("{}\n{}\n{}", self.machine.describe(), summary(&self.module), self.plan)
    }
}
