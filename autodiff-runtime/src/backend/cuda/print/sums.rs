//! Sums over rows: partial ones of each team, added up by a second kernel in the order of the teams.

use super::super::form::Place;
use super::Printer;
use super::entry::{BLOCK, Entry};
use super::flat::is_scalar;
use crate::plan::Kernel;

/// Columns and teams that a block of the second kernel handles side by side.
const SIDE: [usize; 2] = [32, BLOCK / 32];

/// At the end of a kernel: each block's sums of scalars, held by its threads in `sum…`.
pub(super) fn scalars(e: &mut Entry, k: &Kernel, accs: &[usize]) {
    let list: Vec<usize> = accs.iter().copied().filter(|a| is_scalar(k, *a)).collect();
    if list.is_empty() {
        return;
    }
    let doubles = e.write(Place::Doubles);
    e.line(format!("__shared__ double sums_room[{}];", BLOCK / 32));
    e.line("const idx block = (idx)blockIdx.y * gridDim.x + blockIdx.x;");
    for a in list {
        e.line(format!("sum{a} = team_sum_double(sum{a}, {BLOCK}, sums_room);"));
        let at = k.accumulators[a].offset;
        e.line(format!("if (threadIdx.x == 0) {doubles}[block * {} + {at}] = sum{a};", k.n_partial[1]));
    }
}

/// Prints the kernel that adds up the partial sums of `[teams, blocks]`.
pub(super) fn combine(
    p: &mut Printer<'_>,
    k: &Kernel,
    step: usize,
    group: usize,
    accs: &[usize],
    [teams, blocks]: [usize; 2],
) {
    if accs.is_empty() {
        return;
    }
    let [n, doubles] = k.n_partial;
    let parts: Vec<usize> = accs.iter().copied().filter(|a| !is_scalar(k, *a)).collect();
    if !parts.is_empty() {
        p.rooms.partial = p.rooms.partial.max(teams * n);
    }
    p.rooms.doubles = p.rooms.doubles.max(blocks * doubles);
    let mut e = Entry::new(format!("k{step}_{group}_sum"));
    let mut first = 0;
    for a in accs {
        let acc = &k.accumulators[*a];
        let to = e.write(Place::Real(acc.slot));
        let n_blocks = if is_scalar(k, *a) { 1 } else { acc.len.div_ceil(SIDE[0]) };
        e.line(format!("if (blockIdx.x >= {first} && blockIdx.x < {}) {{", first + n_blocks));
        if is_scalar(k, *a) {
            let from = e.read(Place::Doubles);
            e.line(format!("__shared__ double room{a}[{}];", BLOCK / 32));
            e.line("double s = 0;");
            e.line(format!(
                "for (idx b = threadIdx.x; b < {blocks}; b += {BLOCK}) s += {from}[b * {doubles} + {}];",
                acc.offset
            ));
            e.line(format!("s = team_sum_double(s, {BLOCK}, room{a});"));
            e.line(format!("if (threadIdx.x == 0) {to}[0] = (real)s;"));
        } else {
            let from = e.read(Place::Partial);
            e.line(format!("__shared__ real side{a}[{BLOCK}];"));
            e.line(format!(
                "const idx at = (idx)(blockIdx.x - {first}) * {} + threadIdx.x % {0}, row = threadIdx.x / {0};",
                SIDE[0]
            ));
            e.line("real s = 0;");
            e.line(format!(
                "if (at < {}) for (idx t = row; t < {teams}; t += {}) s += {from}[t * {n} + {} + at];",
                acc.len, SIDE[1], acc.offset
            ));
            e.line(format!("side{a}[threadIdx.x] = s;"));
            e.line("__syncthreads();");
            e.line(format!("if (row == 0 && at < {}) {{", acc.len));
            e.line(format!(
                "for (int t = 1; t < {}; ++t) s += side{a}[t * {} + threadIdx.x];",
                SIDE[1], SIDE[0]
            ));
            e.line(format!("{to}[at] = s;"));
            e.line("}");
        }
        e.line("}");
        first += n_blocks;
    }
    p.launch(step, e, [first, 1]);
}
