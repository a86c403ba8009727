//! From a plan to the text of its kernels and the calls that run them.
//!
//! The text is CUDA C that needs no header, and plain enough for a C compiler, so that tests can build the same text for
//! the host. Every size is a constant of the text. Sums keep a fixed order: no atomics on floating-point numbers.

mod draws;
mod entry;
mod flat;
mod lanes;
mod products;
mod rows;
mod stages;
mod sums;
mod walks;

use super::form::{Call, Module, Place, Rooms};
use crate::graph::Dtype;
use crate::plan::{Home, Instr, Kernel, Plan, SlotId, Step};
use entry::Entry;
use std::fmt::Write;

/// The functions that every module begins with.
const PRELUDE: &str = include_str!("../prelude.cu");

/// Prints a plan for numbers of 4 or 8 bytes.
pub fn print(plan: &Plan, real_bytes: usize) -> Module {
    let longest = plan.slots.iter().map(|s| s.len).max().unwrap_or(0);
    let index = if longest < 1 << 28 { "unsigned" } else { "unsigned long long" };
    let mut p = Printer {
        plan,
        real_bytes,
        source: format!(
            "#define REAL_IS_DOUBLE {}\n#define INDEX_TYPE {index}\n{LINKAGE}{PRELUDE}",
            u8::from(real_bytes == 8)
        ),
        calls: vec![],
        rooms: Rooms { nonzeros: vec![0; plan.graph.inputs().len()], ..Rooms::default() },
    };
    p.begin();
    for (i, step) in plan.steps.iter().enumerate() {
        p.check_loss(i);
        p.step(i, step);
    }
    p.check_loss(plan.steps.len());
    p.commits();
    Module { source: p.source, calls: p.calls, rooms: p.rooms }
}

/// How kernels are declared: by their own name, without a host's way to call them.
const LINKAGE: &str =
    "#ifndef KERNEL\n#define KERNEL extern \"C\" __global__\n#define HOST_CALL(...)\n#endif\n";

struct Printer<'a> {
    plan: &'a Plan,
    real_bytes: usize,
    source: String,
    calls: Vec<(usize, Call)>,
    rooms: Rooms,
}

impl Printer<'_> {
    fn real_bytes(&self) -> usize {
        self.real_bytes
    }

    fn launch(&mut self, step: usize, e: Entry, grid: [usize; 2]) {
        let launch = e.finish(&mut self.source, grid);
        self.calls.push((step, Call::Launch(launch)));
    }

    fn is_index(&self, s: SlotId) -> bool {
        self.plan.slots[s.index()].dtype == Dtype::Index
    }

    /// A slot as a parameter.
    fn place(&self, s: SlotId) -> Place {
        if self.is_index(s) { Place::Index(s) } else { Place::Real(s) }
    }

    fn is_variable(&self, s: SlotId) -> bool {
        matches!(self.plan.slots[s.index()].home, Home::Variable(_))
    }

    /// A kernel that overwrites variables does nothing once a run has failed.
    fn guard(&self, e: &mut Entry, storing: Option<&Kernel>) {
        let Some(k) = storing else { return };
        let writes = k.instrs.iter().any(|i| match i {
            Instr::Store { mem, .. } => self.is_variable(k.mems[*mem as usize].slot),
            _ => false,
        });
        if writes {
            stop_if_failed(e);
        }
    }

    fn begin(&mut self) {
        let mut e = Entry::new("begin".into());
        let failed = e.write(Place::Failed);
        e.line(format!("if (blockIdx.x == 0 && threadIdx.x == 0) {failed}[0] = 0;"));
        self.launch(0, e, [1, 1]);
    }

    /// Notes a loss that is not finite, once it is there.
    fn check_loss(&mut self, done: usize) {
        let Some((slot, after)) = self.plan.loss else { return };
        if after != done {
            return;
        }
        let mut e = Entry::new("check_loss".into());
        let (loss, failed) = (e.read(Place::Real(slot)), e.write(Place::Failed));
        e.line(format!("const real loss = {loss}[0];"));
        e.line(format!("if (blockIdx.x == 0 && threadIdx.x == 0 && !(loss - loss == 0)) {failed}[0] = 1;"));
        self.launch(done, e, [1, 1]);
    }

    fn step(&mut self, i: usize, step: &Step) {
        match step {
            Step::Kernel(k) if flat::is_flat(k) => flat::print(self, k, i),
            Step::Kernel(k) => rows::print(self, k, i),
            Step::Product(x) => products::dense(self, x, i),
            Step::SparseProduct(x) => products::sparse(self, x, i),
            Step::Reduce(x) => walks::reduce(self, x, i),
            Step::Copy(x) => walks::copy(self, x, i),
            Step::Lookup(x) => walks::lookup(self, x, i),
            Step::Draw(x) => draws::print(self, x, i),
        }
    }

    /// Updates that were not made in place.
    fn commits(&mut self) {
        let n_steps = self.plan.steps.len();
        let inputs = self.plan.graph.inputs().len();
        for (i, (v, slot)) in self.plan.commits.iter().enumerate() {
            let variable = SlotId((inputs + v.index()) as u32);
            let n = self.plan.slots[variable.index()].len;
            let mut e = Entry::new(format!("commit{i}"));
            let (from, to) = (e.read(Place::Real(*slot)), e.write(Place::Real(variable)));
            stop_if_failed(&mut e);
            e.line(format!("const idx i = (idx)blockIdx.x * {} + threadIdx.x;", entry::BLOCK));
            e.line(format!("if (i < {n}) {to}[i] = {from}[i];"));
            self.launch(n_steps, e, [n.div_ceil(entry::BLOCK), 1]);
        }
    }
}

fn stop_if_failed(e: &mut Entry) {
    let failed = e.read(Place::Failed);
    e.line(format!("if ({failed}[0]) return;"));
}

/// How many kernels a module has, and how long its text is: for people.
pub fn summary(m: &Module) -> String {
    let launches = m.calls.iter().filter(|c| matches!(c.1, Call::Launch(_))).count();
    let mut text = String::new();
    let _ = write!(
        text,
        "{launches} kernels, {} matrix products, {} bytes of source",
        m.calls.len() - launches,
        m.source.len()
    );
    text
}
