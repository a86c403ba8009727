//! Steps that walk arrays by strides: a thread (or a block) for each element of the result.

use super::Printer;
use super::entry::{BLOCK, Entry, decompose, offset};
use crate::op::ReduceKind;
use crate::plan::{Lookup, StridedCopy, StridedReduce, WalkDims};

/// Elements that one thread reduces; more take a block.
const BY_THREAD: usize = 64;

pub(super) fn count(dims: &WalkDims) -> usize {
    dims.iter().map(|d| d.0).product()
}

/// Positions along the dimensions, from a running number, as `{prefix}0`, `{prefix}1`, ….
pub(super) fn positions(e: &mut Entry, from: &str, dims: &WalkDims, prefix: &str) {
    let list: Vec<(usize, String)> =
        dims.iter().enumerate().map(|(i, d)| (d.0, format!("{prefix}{i}"))).collect();
    decompose(e, from, &list);
}

/// Text of a value's offset at these positions.
pub(super) fn at(dims: &WalkDims, prefix: &str, value: usize) -> String {
    offset(
        dims.iter().enumerate().map(|(i, d)| (d.1.get(value).copied().unwrap_or(0), format!("{prefix}{i}"))),
    )
}

/// Begins a kernel with a thread for each of `n` elements, numbered `i`.
pub(super) fn each(e: &mut Entry, n: usize) -> [usize; 2] {
    e.line(format!("const idx i = (idx)blockIdx.x * {BLOCK} + threadIdx.x;"));
    e.line(format!("if (i >= {n}) return;"));
    [n.div_ceil(BLOCK), 1]
}

pub(super) fn reduce(p: &mut Printer<'_>, s: &StridedReduce, step: usize) {
    let (n_out, n_over) = (count(&s.outer), count(&s.over));
    let mut e = Entry::new(format!("reduce{step}"));
    let (from, to) = (e.read(p.place(s.from)), e.write(p.place(s.to)));
    let by_thread = n_over <= BY_THREAD || s.kind == ReduceKind::ArgMax || n_out > 1 << 22;
    let grid = if by_thread {
        each(&mut e, n_out)
    } else {
        e.line("const idx i = blockIdx.x;");
        [n_out, 1]
    };
    positions(&mut e, "i", &s.outer, "o");
    let begin = match s.kind {
        ReduceKind::Sum => "real a = 0;",
        ReduceKind::Prod => "real a = 1;",
        ReduceKind::Max => "real a = -REAL_INF;",
        ReduceKind::Min => "real a = REAL_INF;",
        ReduceKind::ArgMax => "real a = -REAL_INF; unsigned best = 0;",
        ReduceKind::LogSumExp => "lse a; a.top = -REAL_INF; a.sum = 0;",
    };
    e.line(begin);
    let (first, stride) = if by_thread { ("0", "1".to_owned()) } else { ("threadIdx.x", BLOCK.to_string()) };
    e.line(format!("for (idx n = {first}; n < {n_over}; n += {stride}) {{"));
    positions(&mut e, "n", &s.over, "v");
    e.line(format!("const real x = {from}[{} + {}];", at(&s.outer, "o", 0), at(&s.over, "v", 0)));
    e.line(match s.kind {
        ReduceKind::Sum => "a += x;",
        ReduceKind::Prod => "a *= x;",
        ReduceKind::Max => "a = op_max(a, x);",
        ReduceKind::Min => "a = op_min(a, x);",
        ReduceKind::ArgMax => "if (a == a && (x > a || x != x)) { a = x; best = (unsigned)n; }",
        ReduceKind::LogSumExp => "a = lse_add(a, x);",
    });
    e.line("}");
    if s.kind == ReduceKind::ArgMax {
        e.line(format!("{to}[i] = a == a ? best : 0;"));
    } else if by_thread {
        let value = if s.kind == ReduceKind::LogSumExp { "lse_value(a)" } else { "a" };
        e.line(format!("{to}[i] = {value};"));
    } else {
        let f = match s.kind {
            ReduceKind::Prod => "prod",
            ReduceKind::Max => "max",
            ReduceKind::Min => "min",
            ReduceKind::LogSumExp => "lse",
            _ => "sum",
        };
        e.line(format!("__shared__ real room[{}];", BLOCK / 32));
        e.line(format!("const real all = team_{f}(a, {BLOCK}, room);"));
        e.line(format!("if (threadIdx.x == 0) {to}[i] = all;"));
    }
    p.launch(step, e, grid);
}

pub(super) fn copy(p: &mut Printer<'_>, s: &StridedCopy, step: usize) {
    let mut e = Entry::new(format!("copy{step}"));
    let (from, to) = (e.read(p.place(s.from)), e.write(p.place(s.to)));
    let grid = each(&mut e, count(&s.dims));
    positions(&mut e, "i", &s.dims, "o");
    e.line(format!("{to}[i] = {from}[{}];", at(&s.dims, "o", 0)));
    p.launch(step, e, grid);
}

pub(super) fn lookup(p: &mut Printer<'_>, s: &Lookup, step: usize) {
    if s.add {
        return scatter(p, s, step);
    }
    let mut e = Entry::new(format!("lookup{step}"));
    let (data, index, to) = (e.read(p.place(s.data)), e.read(p.place(s.index)), e.write(p.place(s.to)));
    let grid = each(&mut e, count(&s.dims));
    positions(&mut e, "i", &s.dims, "o");
    e.line(format!("unsigned k = {index}[{}];", at(&s.dims, "o", 1)));
    e.line(format!("if (k >= {0}) k = {0} - 1;", s.axis_size));
    e.line(format!("{to}[i] = {data}[{} + (idx)k * {}];", at(&s.dims, "o", 0), s.axis_step));
    p.launch(step, e, grid);
}

/// A thread for each element of the result adds up, in order, what belongs there.
fn scatter(p: &mut Printer<'_>, s: &Lookup, step: usize) {
    let (kept, summed): (WalkDims, WalkDims) = s.dims.iter().cloned().partition(|d| d.1[2] != 0);
    let n_out = count(&kept) * s.axis_size;
    let mut e = Entry::new(format!("scatter{step}"));
    let (data, index, to) = (e.read(p.place(s.data)), e.read(p.place(s.index)), e.write(p.place(s.to)));
    let grid = each(&mut e, n_out);
    // The last dimension runs fastest, so that neighbours read neighbours.
    e.line(format!("const idx all = i, c = all / {} % {};", count(&kept), s.axis_size));
    e.line(format!("const idx rest = all % {};", count(&kept)));
    positions(&mut e, "rest", &kept, "o");
    e.line("real a = 0;");
    e.line(format!("for (idx n = 0; n < {}; ++n) {{", count(&summed)));
    positions(&mut e, "n", &summed, "v");
    let both = |value: usize| format!("{} + {}", at(&kept, "o", value), at(&summed, "v", value));
    e.line(format!("unsigned k = {index}[{}];", both(1)));
    e.line(format!("if (k >= {0}) k = {0} - 1;", s.axis_size));
    e.line(format!("if (k == c) a += {data}[{}];", both(0)));
    e.line("}");
    e.line(format!("{to}[{} + c * {}] = a;", at(&kept, "o", 2), s.axis_step));
    p.launch(step, e, grid);
}
