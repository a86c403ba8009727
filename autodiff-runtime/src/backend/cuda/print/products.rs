//! Products of matrices: small or oddly strided dense ones, and those with a sparse operand. Large dense ones are left to
//! the vendor's library.

use super::super::form::{Call, Place};
use super::Printer;
use super::entry::{BLOCK, Entry, decompose};
use crate::plan::{Product, SparseProduct};

/// Multiplications below which a printed kernel is launched instead of the library's.
const SMALL: usize = 1 << 16;

/// Rows of a sparse matrix whose entries in one column are looked for together.
const SOUGHT: usize = BLOCK;

/// Whether the library takes it: one step of each operand is 1, and outer loops are few.
pub(super) fn suits_library(x: &Product) -> bool {
    let unit = |s: &[usize; 2], n: [usize; 2]| (s[0] == 1 || n[0] == 1) || (s[1] == 1 || n[1] == 1);
    let [m, n, k] = x.size;
    let calls: usize = x.batch.iter().skip(1).map(|b| b[0]).chain(x.again.iter().map(|a| a[0])).product();
    let c = x.c_step[1] == 1 || x.c_step[0] == 1;
    m * n * k >= SMALL && calls <= 16 && unit(&x.a_step, [m, k]) && unit(&x.b_step, [k, n]) && c
}

pub(super) fn dense(p: &mut Printer<'_>, x: &Product, step: usize) {
    if suits_library(x) {
        p.calls.push((step, Call::Gemm(x.clone())));
        return;
    }
    let [m, n, k] = x.size;
    let batch: usize = x.batch.iter().map(|b| b[0]).product();
    let again: usize = x.again.iter().map(|a| a[0]).product();
    let n_out = m * n * batch;
    let mut e = Entry::new(format!("product{step}"));
    let [a, b, c] = [e.read(Place::Real(x.a)), e.read(Place::Real(x.b)), e.write(Place::Real(x.c))];
    // A result in few threads with much to add takes a warp each.
    let warp = n_out < 1 << 14 && k * again >= 64;
    let lanes = if warp { 32 } else { 1 };
    e.line(format!(
        "const idx o = ((idx)blockIdx.x * {BLOCK} + threadIdx.x) / {lanes}, lane = threadIdx.x % {lanes};"
    ));
    e.line(format!("const idx i = o < {n_out} ? o : {n_out} - 1;"));
    let mut dims: Vec<(usize, String)> =
        x.batch.iter().enumerate().map(|(d, b)| (b[0], format!("b{d}"))).collect();
    dims.extend([(m, "row".into()), (n, "col".into())]);
    decompose(&mut e, "i", &dims);
    let along = |which: usize, inner: [(usize, &str); 2]| {
        let outer = x.batch.iter().enumerate().map(|(d, b)| (b[which + 1], format!("b{d}")));
        super::entry::offset(outer.chain(inner.into_iter().map(|(s, t)| (s, t.to_owned()))))
    };
    e.line(format!("const real *pa = {a} + {};", along(0, [(x.a_step[0], "row"), (0, "")])));
    e.line(format!("const real *pb = {b} + {};", along(1, [(x.b_step[1], "col"), (0, "")])));
    e.line("real s = 0;");
    e.line(format!("for (idx g = 0; g < {again}; ++g) {{"));
    let loops: Vec<(usize, String)> =
        x.again.iter().enumerate().map(|(d, a)| (a[0], format!("g{d}"))).collect();
    decompose(&mut e, "g", &loops);
    let more = |which: usize| {
        super::entry::offset(x.again.iter().enumerate().map(|(d, a)| (a[which], format!("g{d}"))))
    };
    e.line(format!("const real *qa = pa + {}, *qb = pb + {};", more(1), more(2)));
    e.line(format!(
        "for (idx q = lane; q < {k}; q += {lanes}) s += qa[q * {}] * qb[q * {}];",
        x.a_step[1], x.b_step[0]
    ));
    e.line("}");
    if warp {
        e.line("s = team_sum(s, 32, (real *)0);");
    }
    let to = along(2, [(x.c_step[0], "row"), (x.c_step[1], "col")]);
    e.line(format!("if (o < {n_out} && lane == 0) {c}[{to}] = s;"));
    p.launch(step, e, [(n_out * lanes).div_ceil(BLOCK), 1]);
}

pub(super) fn sparse(p: &mut Printer<'_>, x: &SparseProduct, step: usize) {
    if x.transposed { columns(p, x, step) } else { rows(p, x, step) }
}

/// A block for each row; its threads share the non-zeros and have a column of the result each.
fn rows(p: &mut Printer<'_>, x: &SparseProduct, step: usize) {
    let [n_rows, n] = x.size;
    let mut e = Entry::new(format!("sparse{step}"));
    let (values, dense) = (e.read(Place::Real(x.values)), e.read(Place::Real(x.dense)));
    let (offsets, columns) = (e.read(Place::Offsets(x.pattern)), e.read(Place::Columns(x.pattern)));
    let to = e.write(Place::Real(x.to));
    e.line(format!("__shared__ real value[{BLOCK}];"));
    e.line(format!("__shared__ unsigned place[{BLOCK}];"));
    e.line(
        "const idx row = blockIdx.x, low = ".to_owned()
            + &offsets
            + "[row], high = "
            + &offsets
            + "[row + 1];",
    );
    e.line(format!("for (idx first = 0; first < {n}; first += {BLOCK}) {{"));
    e.line("const idx j = first + threadIdx.x;");
    e.line("real s = 0;");
    e.line(format!("for (idx from = low; from < high; from += {BLOCK}) {{"));
    e.line(format!("const idx k = from + threadIdx.x, n = high - from < {BLOCK} ? high - from : {BLOCK};"));
    e.line("__syncthreads();");
    e.line(format!(
        "if (k < high) {{ value[threadIdx.x] = {values}[k]; place[threadIdx.x] = {columns}[k]; }}"
    ));
    e.line("__syncthreads();");
    e.line(format!(
        "if (j < {n}) for (idx q = 0; q < n; ++q) s += value[q] * {dense}[(idx)place[q] * {} + j * {}];",
        x.dense_step[0], x.dense_step[1]
    ));
    e.line("}");
    e.line(format!("if (j < {n}) {to}[row * {} + j * {}] = s;", x.to_step[0], x.to_step[1]));
    e.line("}");
    p.launch(step, e, [n_rows, 1]);
}

/// A block for each column: its threads look for the column in as many rows at once, list those that have it in the order
/// of the rows, and then have an element of the result each.
fn columns(p: &mut Printer<'_>, x: &SparseProduct, step: usize) {
    let [n_columns, n] = x.size;
    let n_rows = p.plan.graph.size(p.plan.graph.inputs()[x.pattern.index()].axes.as_slice()[0]);
    let mut e = Entry::new(format!("sparse{step}"));
    let (values, dense) = (e.read(Place::Real(x.values)), e.read(Place::Real(x.dense)));
    let (offsets, columns) = (e.read(Place::Offsets(x.pattern)), e.read(Place::Columns(x.pattern)));
    let to = e.write(Place::Real(x.to));
    e.line(format!("__shared__ real value[{SOUGHT}];"));
    e.line(format!("__shared__ unsigned place[{SOUGHT}], found[{}];", SOUGHT / 32));
    e.line("const unsigned column = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;");
    e.line(format!("for (idx first = 0; first < {n}; first += {BLOCK}) {{"));
    e.line("const idx j = first + threadIdx.x;");
    e.line("real s = 0;");
    e.line(format!("for (idx from = 0; from < {n_rows}; from += {SOUGHT}) {{"));
    e.line("const idx row = from + threadIdx.x;");
    e.line(format!("idx low = row < {n_rows} ? {offsets}[row] : 0;"));
    e.line(format!("const idx high = row < {n_rows} ? {offsets}[row + 1] : 0;"));
    e.line("idx end = high;");
    e.line(format!(
        "while (low < end) {{ const idx mid = low + (end - low) / 2; if ({columns}[mid] < column) low = mid + 1; else end = mid; }}"
    ));
    e.line(format!("const int has = low < high && {columns}[low] == column;"));
    e.line("const unsigned both = __ballot_sync(0xffffffffu, has);");
    e.line("__syncthreads();");
    e.line("if (lane == 0) found[warp] = __popc(both);");
    e.line("__syncthreads();");
    e.line("idx before = __popc(both & ((1u << lane) - 1)), n = 0;");
    e.line(format!(
        "for (unsigned q = 0; q < {}; ++q) {{ if (q < warp) before += found[q]; n += found[q]; }}",
        SOUGHT / 32
    ));
    e.line(format!("if (has) {{ value[before] = {values}[low]; place[before] = (unsigned)row; }}"));
    e.line("__syncthreads();");
    e.line(format!(
        "if (j < {n}) for (idx q = 0; q < n; ++q) s += value[q] * {dense}[(idx)place[q] * {} + j * {}];",
        x.dense_step[0], x.dense_step[1]
    ));
    e.line("}");
    e.line(format!("if (j < {n}) {to}[column * {} + j * {}] = s;", x.to_step[0], x.to_step[1]));
    e.line("}");
    p.launch(step, e, [n_columns, 1]);
}
