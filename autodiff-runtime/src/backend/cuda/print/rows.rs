//! Kernels in which the elements of a row meet: reductions of rows, non-zeros of a sparse input.
//!
//! A team of threads takes a row at a time through the passes of [`Stages`]; each thread has the same columns in every
//! pass, so that most values wait in its registers. What other threads must see waits in shared memory, or, where that
//! is too small, in room of the run's own.

use super::super::form::Place;
use super::entry::{BLOCK, Entry, decompose, offset, power};
use super::flat::is_scalar;
use super::lanes::{Lanes, by_four, declare_dense};
use super::stages::{Over, Stage, Stages, Waits};
use super::{Printer, sums};
use crate::op::ReduceKind;
use crate::plan::{Arg, Instr, Kernel, Reg};
use std::collections::BTreeMap;

/// Columns of a thread for which values wait in its registers.
const IN_REGISTERS: usize = 4;
/// Bytes of shared memory that a kernel may take for waiting values.
const SHARED: usize = 40 << 10;
/// Teams, at most, where each has partial sums of its own; and elements of all partial sums.
const TEAMS: usize = 1 << 10;
const PARTIAL: usize = 1 << 24;

/// The layout of a kernel's work.
struct Work<'a> {
    k: &'a Kernel,
    stages: Stages,
    v: usize,
    /// Threads of a team; teams of a block; teams in all.
    team: usize,
    high: usize,
    n_teams: usize,
    /// Rounds of a pass over the columns.
    rounds: usize,
    /// Room of dense registers that wait for the team.
    rooms: BTreeMap<u16, Home>,
    /// Room of sparse registers that wait.
    kept: BTreeMap<u16, usize>,
}

/// Where a dense register waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    Registers,
    Shared,
    Room(usize),
}

pub(super) fn print(p: &mut Printer<'_>, k: &Kernel, step: usize) {
    let w = Work::of(k, p);
    let grid = w.n_teams / w.high;
    let mut e = Entry::new(format!("k{step}_0"));
    w.text(p, &mut e);
    let accs: Vec<usize> = (0..k.accumulators.len()).collect();
    sums::scalars(&mut e, k, &accs);
    p.launch(step, e, [grid, 1]);
    sums::combine(p, k, step, 0, &accs, [w.n_teams, grid]);
}

impl<'a> Work<'a> {
    fn of(k: &'a Kernel, p: &mut Printer<'_>) -> Self {
        let stages = Stages::of(k);
        let v = if by_four(k) { 4 } else { 1 };
        let team = power(k.cols.div_ceil(v), 32, BLOCK);
        let high = BLOCK / team;
        let most = PARTIAL.checked_div(k.n_partial[0]).map_or(1 << 20, |n| n.min(TEAMS));
        let n_teams = k.rows().min(most.max(high)).next_multiple_of(high);
        let rounds = k.cols.div_ceil(v * team);
        let (mut rooms, mut kept, mut shared) = (BTreeMap::new(), BTreeMap::new(), 0);
        let mut reals = 0;
        for (r, waits) in &stages.waits {
            let size = high * k.cols * p.real_bytes();
            match (r, waits) {
                (Reg::Dense(n), Waits::Thread) if rounds <= IN_REGISTERS => {
                    rooms.insert(*n, Home::Registers);
                }
                (Reg::Dense(n), _) if shared + size <= SHARED => {
                    shared += size;
                    rooms.insert(*n, Home::Shared);
                }
                (Reg::Dense(n), _) => {
                    rooms.insert(*n, Home::Room(reals));
                    reals += (n_teams * k.cols).next_multiple_of(16);
                }
                (Reg::Sparse(n), _) => {
                    let at = kept.len();
                    kept.insert(*n, at);
                }
                (Reg::Row(_), _) => {}
            }
        }
        p.rooms.reals = p.rooms.reals.max(reals);
        if let Some(input) = k.pattern {
            let n = &mut p.rooms.nonzeros[input.index()];
            *n = (*n).max(kept.len());
        }
        Self { k, stages, v, team, high, n_teams, rounds, rooms, kept }
    }

    fn text(&self, p: &mut Printer<'_>, e: &mut Entry) {
        let k = self.k;
        e.line(format!("enum {{ V = {}, TEAM = {} }};", self.v, self.team));
        p.guard(e, Some(k));
        e.line(format!(
            "const idx t = threadIdx.x % TEAM, mine = threadIdx.x / TEAM, team = (idx)blockIdx.x * {} + mine;",
            self.high
        ));
        e.line(format!("__shared__ real reduce_room[{}];", BLOCK / 32));
        e.line("(void)reduce_room; (void)mine;");
        for (n, home) in &self.rooms {
            match home {
                Home::Registers => e.line(format!("real h{n}[{}][V];", self.rounds)),
                Home::Shared => {
                    e.line(format!("__shared__ __align__(16) real shared{n}[{}];", self.high * k.cols));
                    e.line(format!("real *const h{n} = shared{n} + mine * {};", k.cols));
                }
                Home::Room(at) => {
                    let room = e.write(Place::Room(*at));
                    e.line(format!("real *const h{n} = {room} + team * {};", k.cols));
                }
            }
        }
        self.begin_sums(e);
        let n_rounds = k.rows().div_ceil(self.n_teams);
        e.line(format!("for (idx round = 0; round < {n_rounds}; ++round) {{"));
        e.line(format!("const idx wanted = round * {} + team;", self.n_teams));
        e.line(format!(
            "const int active = wanted < {0}; const idx row = active ? wanted : {0} - 1;",
            k.rows()
        ));
        let dims: Vec<(usize, String)> =
            k.outer.iter().enumerate().map(|(i, n)| (*n, format!("i{i}"))).collect();
        decompose(e, "row", &dims);
        if let Some(input) = k.pattern {
            let rows = e.read(Place::Offsets(input));
            e.line(format!("const idx low = {rows}[row], high = {rows}[row + 1];"));
        }
        if k.n_regs[1] > 0 {
            let list: Vec<String> = (0..k.n_regs[1]).map(|i| format!("w{i}")).collect();
            e.line(format!("real {};", list.join(", ")));
        }
        for s in &self.stages.list {
            self.stage(e, s);
        }
        e.line("__syncthreads();");
        e.line("}");
    }

    fn base(&self, outer: &[usize]) -> String {
        offset(outer.iter().enumerate().map(|(i, s)| (*s, format!("i{i}"))))
    }

    /// Zeros for the team's partial sums.
    fn begin_sums(&self, e: &mut Entry) {
        let k = self.k;
        for a in (0..k.accumulators.len()).filter(|a| is_scalar(k, *a)) {
            e.line(format!("double sum{a} = 0;"));
        }
        if k.accumulators.iter().any(|a| !a.scalar) {
            let part = e.write(Place::Partial);
            let n = k.n_partial[0];
            e.line(format!("for (idx c = t; c < {n}; c += TEAM) {part}[team * {n} + c] = 0;"));
            e.line("__syncthreads();");
        }
    }

    fn stage(&self, e: &mut Entry, s: &Stage) {
        for i in &s.before {
            self.row_instr(e, &self.k.instrs[*i]);
        }
        let Some(over) = s.over else { return };
        let instrs = || s.inside.iter().map(|i| &self.k.instrs[*i]);
        let meets = instrs().any(|i| {
            let team = |a: &Arg| matches!(a, Arg::Reg(Reg::Dense(_)));
            match i {
                Instr::Pick { from, .. } => team(from),
                Instr::Spread { .. } | Instr::AddSparse { .. } => true,
                Instr::Accumulate { acc, .. } => {
                    over == Over::NonZeros && !self.k.accumulators[*acc as usize].scalar
                }
                _ => false,
            }
        });
        for i in instrs() {
            if let Instr::Spread { to: Reg::Dense(n), .. } = i {
                e.line(format!("for (idx c = t; c < {}; c += TEAM) h{n}[c] = 0;", self.k.cols));
            }
        }
        if meets {
            e.line("__syncthreads();");
        }
        e.line("{");
        instrs().for_each(|i| self.begin_reduction(e, i));
        match over {
            Over::Columns => self.columns(e, s),
            Over::NonZeros => self.nonzeros(e, s),
        }
        instrs().for_each(|i| self.end_reduction(e, i));
        e.line("}");
        if meets {
            e.line("__syncthreads();");
        }
    }

    fn begin_reduction(&self, e: &mut Entry, i: &Instr) {
        let Instr::RowReduce { kind, to: Reg::Row(n), .. } = i else { return };
        e.line(match kind {
            ReduceKind::Sum => format!("real a{n} = 0;"),
            ReduceKind::Prod => format!("real a{n} = 1;"),
            ReduceKind::Max | ReduceKind::ArgMax => format!("real a{n} = -REAL_INF;"),
            ReduceKind::Min => format!("real a{n} = REAL_INF;"),
            ReduceKind::LogSumExp => format!("lse a{n}; a{n}.top = -REAL_INF; a{n}.sum = 0;"),
        });
    }

    fn end_reduction(&self, e: &mut Entry, i: &Instr) {
        let Instr::RowReduce { kind, to: Reg::Row(n), .. } = i else { return };
        let f = match kind {
            ReduceKind::Sum => "sum",
            ReduceKind::Prod => "prod",
            ReduceKind::Max | ReduceKind::ArgMax => "max",
            ReduceKind::Min => "min",
            ReduceKind::LogSumExp => "lse",
        };
        e.line(format!("w{n} = team_{f}(a{n}, TEAM, reduce_room);"));
    }

    fn add_to(kind: ReduceKind, n: u16, x: &str) -> String {
        match kind {
            ReduceKind::Sum => format!("a{n} += {x};"),
            ReduceKind::Prod => format!("a{n} *= {x};"),
            ReduceKind::Max | ReduceKind::ArgMax => format!("a{n} = op_max(a{n}, {x});"),
            ReduceKind::Min => format!("a{n} = op_min(a{n}, {x});"),
            ReduceKind::LogSumExp => format!("a{n} = lse_add(a{n}, {x});"),
        }
    }

    /// A pass over the columns of the row.
    fn columns(&self, e: &mut Entry, s: &Stage) {
        let k = self.k;
        let unroll = if self.rounds <= IN_REGISTERS { "_Pragma(\"unroll\") " } else { "" };
        e.line(format!("{unroll}for (int it = 0; it < {}; ++it) {{", self.rounds));
        e.line("const idx c = ((idx)it * TEAM + t) * V;");
        e.line(format!("if (c < {}) {{", k.cols));
        let at = k.mems.iter().map(|m| {
            let own = if m.col == 0 { String::new() } else { offset([(m.col, "c".into())].into_iter()) };
            let base = self.base(&m.outer);
            match (base.as_str(), own.is_empty()) {
                (_, true) => base,
                ("0", false) => own,
                _ => format!("{base} + {own}"),
            }
        });
        let mut lanes = Lanes::new(k, self.v, at.collect());
        declare_dense(e, s.inside.iter().map(|i| &k.instrs[*i]));
        let mut fetched = std::collections::BTreeSet::new();
        for at in &s.inside {
            let i = &k.instrs[*at];
            for r in i.reads() {
                if let Reg::Dense(n) = r
                    && self.stages.fetches.contains(&(*at, r))
                    && fetched.insert(n)
                {
                    self.fetch(e, n);
                }
            }
            self.column_instr(e, &mut lanes, i);
            if let Some(Reg::Dense(n)) = i.writes() {
                fetched.insert(n);
                if self.stages.keeps.contains(at) {
                    self.keep(e, n);
                }
            }
        }
        e.line("}");
        e.line("}");
    }

    fn fetch(&self, e: &mut Entry, n: u16) {
        match (self.rooms.get(&n), self.v) {
            (Some(Home::Registers), _) => e.line(format!("EACH d{n}[j] = h{n}[it][j];")),
            (_, 4) => e.line(format!("load4(d{n}, h{n} + c);")),
            _ => e.line(format!("EACH d{n}[j] = h{n}[c + j];")),
        }
    }

    fn keep(&self, e: &mut Entry, n: u16) {
        match (self.rooms.get(&n), self.v) {
            (Some(Home::Registers), _) => e.line(format!("EACH h{n}[it][j] = d{n}[j];")),
            (_, 4) => e.line(format!("store4(h{n} + c, d{n});")),
            _ => e.line(format!("EACH h{n}[c + j] = d{n}[j];")),
        }
    }

    fn column_instr(&self, e: &mut Entry, lanes: &mut Lanes<'_>, i: &Instr) {
        let k = self.k;
        match i {
            Instr::RowReduce { kind, to: Reg::Row(n), from, .. } => {
                let x = lanes.arg(e, *from);
                e.line(format!("EACH {}", Self::add_to(*kind, *n, &x)));
            }
            Instr::Accumulate { acc, from, .. } => {
                let x = lanes.arg(e, *from);
                let a = &k.accumulators[*acc as usize];
                if a.scalar {
                    e.line(format!("EACH sum{acc} += active ? {x} : (real)0;"));
                } else {
                    let part = e.write(Place::Partial);
                    let base = self.base(&a.outer);
                    let (n, from) = (k.n_partial[0], a.offset);
                    let step = a.col;
                    e.line(format!(
                        "if (active) {{ EACH {part}[team * {n} + {from} + {base} + (c + j) * {step}] += {x}; }}"
                    ));
                }
            }
            Instr::Store { mem, from, .. } => {
                let to = e.write(Lanes::place(&k.mems[*mem as usize]));
                e.line("if (active) {");
                lanes.store(e, &to, &format!("row * {} + c", k.cols), *from);
                e.line("}");
            }
            _ => {
                lanes.fill(e, i);
            }
        }
    }

    fn nonzeros(&self, e: &mut Entry, s: &Stage) {
        let Some(input) = self.k.pattern else { return };
        let columns = e.read(Place::Columns(input));
        e.line("for (idx p = low + t; p < high; p += TEAM) {");
        e.line(format!("const idx c = {columns}[p];"));
        let mut declared: Vec<u16> = vec![];
        for at in &s.inside {
            for r in self.k.instrs[*at].reads().into_iter().chain(self.k.instrs[*at].writes()) {
                if let Reg::Sparse(n) = r
                    && !declared.contains(&n)
                {
                    declared.push(n);
                }
            }
        }
        if !declared.is_empty() {
            let list: Vec<String> = declared.iter().map(|n| format!("z{n}")).collect();
            e.line(format!("real {};", list.join(", ")));
        }
        let mut fetched: Vec<u16> = vec![];
        for at in &s.inside {
            let i = &self.k.instrs[*at];
            for r in i.reads() {
                if let Reg::Sparse(n) = r
                    && self.stages.fetches.contains(&(*at, r))
                    && !fetched.contains(&n)
                {
                    let kept = e.write(Place::NonZeroRoom(input, self.kept[&n]));
                    e.line(format!("z{n} = {kept}[p];"));
                    fetched.push(n);
                }
            }
            self.nonzero_instr(e, i);
            if let Some(Reg::Sparse(n)) = i.writes() {
                fetched.push(n);
                if self.stages.keeps.contains(at) {
                    let kept = e.write(Place::NonZeroRoom(input, self.kept[&n]));
                    e.line(format!("if (active) {kept}[p] = z{n};"));
                }
            }
        }
        e.line("}");
    }

    /// An operand at a non-zero, or (without `c`) of the row.
    fn number(&self, e: &mut Entry, arg: Arg, at_row: bool) -> String {
        match arg {
            Arg::Const(c) => super::entry::number(c),
            Arg::Reg(Reg::Row(n)) => format!("w{n}"),
            Arg::Reg(Reg::Sparse(n)) => format!("z{n}"),
            Arg::Reg(Reg::Dense(n)) => format!("h{n}[c]"),
            Arg::Mem(m) => self.memory(e, m, at_row),
        }
    }

    fn memory(&self, e: &mut Entry, m: u16, at_row: bool) -> String {
        let mem = &self.k.mems[m as usize];
        let from = e.read(Lanes::place(mem));
        let cast = if mem.index { "(real)" } else { "" };
        if mem.sparse {
            return format!("{cast}{from}[p]");
        }
        let base = self.base(&mem.outer);
        if at_row || mem.col == 0 {
            format!("{cast}{from}[{base}]")
        } else {
            format!("{cast}{from}[{base} + c * {}]", mem.col)
        }
    }

    fn nonzero_instr(&self, e: &mut Entry, i: &Instr) {
        let k = self.k;
        match i {
            Instr::Elem { f, to: Reg::Sparse(n), args } => {
                let args: Vec<String> = args.iter().map(|a| self.number(e, *a, false)).collect();
                e.line(format!("z{n} = op_{}({});", f.name(), args.join(", ")));
            }
            Instr::Load { to: Reg::Sparse(n), mem } => {
                let x = self.memory(e, *mem, false);
                e.line(format!("z{n} = {x};"));
            }
            Instr::Copy { to: Reg::Sparse(n), from }
            | Instr::Repeat { to: Reg::Sparse(n), from }
            | Instr::Pick { to: Reg::Sparse(n), from } => {
                let x = self.number(e, *from, false);
                e.line(format!("z{n} = {x};"));
            }
            Instr::Spread { to: Reg::Dense(n), from: Reg::Sparse(z) } => e.line(format!("h{n}[c] = z{z};")),
            Instr::AddSparse { to: Reg::Dense(n), from: Reg::Sparse(z), scale } => {
                let scale = super::entry::number(*scale);
                e.line(format!("h{n}[c] += {scale} * z{z};"));
            }
            Instr::RowReduce { kind, to: Reg::Row(n), from, .. } => {
                let x = self.number(e, *from, false);
                e.line(Self::add_to(*kind, *n, &x));
            }
            Instr::Accumulate { acc, from, .. } => {
                let x = self.number(e, *from, false);
                let a = &k.accumulators[*acc as usize];
                if a.scalar {
                    e.line(format!("if (active) sum{acc} += {x};"));
                } else {
                    let part = e.write(Place::Partial);
                    let base = self.base(&a.outer);
                    let (n, from, step) = (k.n_partial[0], a.offset, a.col);
                    e.line(format!("if (active) {part}[team * {n} + {from} + {base} + c * {step}] += {x};"));
                }
            }
            Instr::Store { mem, from, .. } => {
                let x = self.number(e, *from, false);
                let to = e.write(Place::Real(k.mems[*mem as usize].slot));
                e.line(format!("if (active) {to}[p] = {x};"));
            }
            _ => {}
        }
    }

    fn row_instr(&self, e: &mut Entry, i: &Instr) {
        match i {
            Instr::Elem { f, to: Reg::Row(n), args } => {
                let args: Vec<String> = args.iter().map(|a| self.number(e, *a, true)).collect();
                e.line(format!("w{n} = op_{}({});", f.name(), args.join(", ")));
            }
            Instr::Load { to: Reg::Row(n), mem } => {
                let x = self.memory(e, *mem, true);
                e.line(format!("w{n} = {x};"));
            }
            Instr::Copy { to: Reg::Row(n), from } => {
                let x = self.number(e, *from, true);
                e.line(format!("w{n} = {x};"));
            }
            Instr::Store { mem, from, .. } => {
                let x = self.number(e, *from, true);
                let to = e.write(Place::Real(self.k.mems[*mem as usize].slot));
                e.line(format!("if (active && t == 0) {to}[row] = {x};"));
            }
            _ => {}
        }
    }
}
