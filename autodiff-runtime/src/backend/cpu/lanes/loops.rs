//! The loops, written once for both element types and compiled for each instruction set.
#![allow(unsafe_code, reason = "functions compiled for an instruction set are called after it was detected")]

use super::f32_math as m;
use super::special_f32 as s;
use super::{Entries, Isa, Lanes, Src};
use crate::op::{Elem, ReduceKind};

/// Defines a function that runs `$body::<FMA>` compiled for the instruction set given.
macro_rules! by_isa {
    ($name:ident ( $($arg:ident : $ty:ty),* ) $(-> $ret:ty)? = $body:ident) => {
        fn $name(isa: Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
                fn v4($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn v3($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                match isa {
                    // SAFETY: `Isa::detect` found the features.
                    Isa::V4 => return unsafe { v4($($arg),*) },
                    // SAFETY: as above.
                    Isa::V3 => return unsafe { v3($($arg),*) },
                    Isa::Base => {}
                }
            }
            let _ = isa;
            $body::<false>($($arg),*)
        }
    };
}

/// dst\[i\] = body of a\[i\]. A macro, because a closure need not be inlined, and only inlined code is compiled for the
/// instruction set of the loop.
macro_rules! map {
    ($dst:expr, $a:expr, |$x:ident| $body:expr) => {{
        let n = $dst.len();
        let a = &$a[..n];
        for i in 0..n {
            let $x = a[i];
            $dst[i] = $body;
        }
    }};
}

/// dst\[i\] = body of a\[i\] and b\[i\], either of which may be one number.
macro_rules! zip {
    ($dst:expr, $a:expr, $b:expr, |$x:ident, $y:ident| $body:expr) => {{
        let n = $dst.len();
        match ($a, $b) {
            (Src::Slice(a), Src::Slice(b)) => {
                let (a, b) = (&a[..n], &b[..n]);
                for i in 0..n {
                    let ($x, $y) = (a[i], b[i]);
                    $dst[i] = $body;
                }
            }
            (Src::Slice(a), Src::Splat($y)) => {
                let a = &a[..n];
                for i in 0..n {
                    let $x = a[i];
                    $dst[i] = $body;
                }
            }
            (Src::Splat($x), Src::Slice(b)) => {
                let b = &b[..n];
                for i in 0..n {
                    let $y = b[i];
                    $dst[i] = $body;
                }
            }
            (Src::Splat($x), Src::Splat($y)) => $dst.fill($body),
        }
    }};
}

#[inline(always)]
fn choose<E: Copy + PartialEq + Default>(dst: &mut [E], cond: Src<'_, E>, yes: Src<'_, E>, no: Src<'_, E>) {
    let zero = E::default();
    let n = dst.len();
    match cond {
        Src::Splat(c) => match if c != zero { yes } else { no } {
            Src::Slice(x) => dst.copy_from_slice(&x[..n]),
            Src::Splat(x) => dst.fill(x),
        },
        Src::Slice(c) => {
            let c = &c[..n];
            match (yes, no) {
                (Src::Slice(y), Src::Slice(x)) => {
                    let (y, x) = (&y[..n], &x[..n]);
                    for i in 0..n {
                        dst[i] = if c[i] != zero { y[i] } else { x[i] };
                    }
                }
                (Src::Slice(y), Src::Splat(x)) => {
                    let y = &y[..n];
                    for i in 0..n {
                        dst[i] = if c[i] != zero { y[i] } else { x };
                    }
                }
                (Src::Splat(y), Src::Slice(x)) => {
                    let x = &x[..n];
                    for i in 0..n {
                        dst[i] = if c[i] != zero { y } else { x[i] };
                    }
                }
                (Src::Splat(y), Src::Splat(x)) => {
                    for i in 0..n {
                        dst[i] = if c[i] != zero { y } else { x };
                    }
                }
            }
        }
    }
}

/// Largest element; NaN if there is one.
#[inline(always)]
fn largest<E: PartialOrd + Copy, const N: usize>(a: &[E], start: E) -> E {
    let mut acc = [start; N];
    let pick = |m: E, v: E| if v > m || v.partial_cmp(&v).is_none() { v } else { m };
    let chunks = a.chunks_exact(N);
    let rest = chunks.remainder();
    for c in chunks {
        for k in 0..N {
            acc[k] = pick(acc[k], c[k]);
        }
    }
    let mut best = start;
    rest.iter().chain(&acc).for_each(|v| best = pick(best, *v));
    best
}

/// Σ of the body over x in a: lanes added over blocks of 512 elements, blocks in double precision.
macro_rules! blocked_sum {
    ($t:ty, $a:expr, |$x:ident| $body:expr) => {{
        const N: usize = 128 / std::mem::size_of::<$t>();
        let mut total = 0.0_f64;
        for block in $a.chunks(512) {
            let mut acc = [<$t>::default(); N];
            let chunks = block.chunks_exact(N);
            let rest = chunks.remainder();
            for c in chunks {
                for k in 0..N {
                    let $x = c[k];
                    acc[k] += $body;
                }
            }
            let mut width = N / 2;
            while width > 0 {
                for k in 0..width {
                    acc[k] += acc[k + width];
                }
                width /= 2;
            }
            let mut part = acc[0];
            for v in rest {
                let $x = *v;
                part += $body;
            }
            total += f64::from(part);
        }
        total
    }};
}

macro_rules! shared {
    ($t:ty, $compiled:literal, $unary:ident, $exp:ident, $rare:ident, $rows:ident, $to_rows:ident, $add_at:ident, $pick:ident) => {
        #[inline(always)]
        fn binary_body<const FMA: bool>(f: Elem, dst: &mut [$t], a: Src<'_, $t>, b: Src<'_, $t>) {
            use Elem::*;
            match f {
                Add => zip!(dst, a, b, |a, b| a + b),
                Sub => zip!(dst, a, b, |a, b| a - b),
                Mul => zip!(dst, a, b, |a, b| a * b),
                Div => zip!(dst, a, b, |a, b| a / b),
                Min => zip!(dst, a, b, |a, b| if a < b || a.is_nan() { a } else { b }),
                Max => zip!(dst, a, b, |a, b| if a > b || a.is_nan() { a } else { b }),
                Lt => zip!(dst, a, b, |a, b| if a < b { 1.0 } else { 0.0 }),
                Le => zip!(dst, a, b, |a, b| if a <= b { 1.0 } else { 0.0 }),
                Eq => zip!(dst, a, b, |a, b| if a == b { 1.0 } else { 0.0 }),
                And => zip!(dst, a, b, |a, b| if (a != 0.0) & (b != 0.0) { 1.0 } else { 0.0 }),
                Or => zip!(dst, a, b, |a, b| if (a != 0.0) | (b != 0.0) { 1.0 } else { 0.0 }),
                _ => $rare::<FMA>(f, dst, a, b),
            }
        }

        #[inline(always)]
        fn select_body<const FMA: bool>(dst: &mut [$t], c: Src<'_, $t>, y: Src<'_, $t>, n: Src<'_, $t>) {
            choose(dst, c, y, n);
        }

        #[inline(always)]
        fn sum_body<const FMA: bool>(a: &[$t]) -> f64 {
            blocked_sum!($t, a, |x| x)
        }

        #[inline(always)]
        fn reduce_body<const FMA: bool>(kind: ReduceKind, a: &[$t]) -> $t {
            match kind {
                ReduceKind::Sum => blocked_sum!($t, a, |x| x) as $t,
                ReduceKind::Prod => a.iter().product(),
                ReduceKind::Max | ReduceKind::ArgMax => largest::<$t, 32>(a, <$t>::NEG_INFINITY),
                ReduceKind::Min => {
                    // The smallest is the largest under the reversed order.
                    let mut best = <$t>::INFINITY;
                    for v in a {
                        best = if *v < best || v.is_nan() { *v } else { best };
                    }
                    best
                }
                ReduceKind::LogSumExp => {
                    let max = largest::<$t, 32>(a, <$t>::NEG_INFINITY);
                    if max.is_infinite() {
                        return max;
                    }
                    max + (blocked_sum!($t, a, |x| $exp::<FMA>(x - max)) as $t).ln()
                }
            }
        }

        #[inline(always)]
        fn add_body<const FMA: bool>(dst: &mut [$t], a: &[$t]) {
            let n = dst.len();
            let a = &a[..n];
            for i in 0..n {
                dst[i] += a[i];
            }
        }

        by_isa!(unary_loop(f: Elem, dst: &mut [$t], a: &[$t]) = $unary);
        by_isa!(binary_loop(f: Elem, dst: &mut [$t], a: Src<'_, $t>, b: Src<'_, $t>) = binary_body);
        by_isa!(select_loop(dst: &mut [$t], c: Src<'_, $t>, y: Src<'_, $t>, n: Src<'_, $t>) = select_body);
        by_isa!(sum_loop(a: &[$t]) -> f64 = sum_body);
        by_isa!(reduce_loop(kind: ReduceKind, a: &[$t]) -> $t = reduce_body);
        by_isa!(add_loop(dst: &mut [$t], a: &[$t]) = add_body);

        impl Lanes for $t {
            const COMPILED: bool = $compiled;
            fn unary(isa: Isa, f: Elem, dst: &mut [Self], a: &[Self]) {
                unary_loop(isa, f, dst, a);
            }
            fn binary(isa: Isa, f: Elem, dst: &mut [Self], a: Src<'_, Self>, b: Src<'_, Self>) {
                binary_loop(isa, f, dst, a, b);
            }
            fn select(isa: Isa, dst: &mut [Self], c: Src<'_, Self>, y: Src<'_, Self>, n: Src<'_, Self>) {
                select_loop(isa, dst, c, y, n);
            }
            fn sum(isa: Isa, a: &[Self]) -> f64 {
                sum_loop(isa, a)
            }
            fn reduce(isa: Isa, kind: ReduceKind, a: &[Self]) -> Self {
                reduce_loop(isa, kind, a)
            }
            fn add_to(isa: Isa, dst: &mut [Self], a: &[Self]) {
                add_loop(isa, dst, a);
            }
            fn sum_rows(isa: Isa, to: &mut [Self], e: Entries<'_, Self>, matrix: &[Self], stride: usize) {
                $rows(isa, to, e, matrix, stride);
            }
            fn add_to_rows(
                isa: Isa,
                matrix: &mut [Self],
                stride: usize,
                first: usize,
                e: Entries<'_, Self>,
                from: &[Self],
            ) {
                $to_rows(isa, matrix, stride, first, e, from);
            }
            fn plus(a: Self, b: Self) -> Self {
                a + b
            }
            fn add_at(isa: Isa, dst: &mut [Self], s: Self, a: &[Self], at: &[u32]) {
                $add_at(isa, dst, s, a, at);
            }
            fn pick(isa: Isa, dst: &mut [Self], from: &[Self], at: &[u32]) {
                $pick(isa, dst, from, at);
            }
        }
    };
}

mod single {
    use super::*;

    /// Operations without a fast form: in double precision, one by one.
    #[inline(always)]
    fn rare<const FMA: bool>(f: Elem, dst: &mut [f32], a: Src<'_, f32>, b: Src<'_, f32>) {
        match f {
            Elem::XLogY => zip!(dst, a, b, |a, b| if a == 0.0 { 0.0 } else { a * m::log::<FMA>(b) }),
            Elem::LgammaDelta => zip!(dst, a, b, |a, b| s::lgamma_delta::<FMA>(a, b)),
            Elem::DigammaDelta => zip!(dst, a, b, |a, b| s::digamma_delta::<FMA>(a, b)),
            _ => zip!(dst, a, b, |a, b| f.eval(&[f64::from(a), f64::from(b)]) as f32),
        }
    }

    #[inline(always)]
    fn unary<const FMA: bool>(f: Elem, dst: &mut [f32], a: &[f32]) {
        use Elem::*;
        match f {
            Neg => map!(dst, a, |x| -x),
            Recip => map!(dst, a, |x| 1.0 / x),
            Exp => map!(dst, a, |x| m::exp::<FMA>(x)),
            Log => map!(dst, a, |x| m::log::<FMA>(x)),
            Log1p => map!(dst, a, |x| m::log1p::<FMA>(x)),
            Expm1 => map!(dst, a, |x| m::expm1::<FMA>(x)),
            Sqrt => map!(dst, a, |x| f32::sqrt(x)),
            Square => map!(dst, a, |x| x * x),
            Abs => map!(dst, a, |x| f32::abs(x)),
            Sign => map!(dst, a, |x| {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    x * 0.0
                }
            }),
            Floor => map!(dst, a, |x| f32::floor(x)),
            Sigmoid => map!(dst, a, |x| m::sigmoid::<FMA>(x)),
            Softplus => map!(dst, a, |x| m::softplus::<FMA>(x)),
            Relu => map!(dst, a, |x| if x > 0.0 { x } else { x * 0.0 }),
            Tanh => map!(dst, a, |x| m::tanh::<FMA>(x)),
            Lgamma => map!(dst, a, |x| s::lgamma::<FMA>(x)),
            Digamma => map!(dst, a, |x| s::digamma::<FMA>(x)),
            Erf => map!(dst, a, |x| s::erf::<FMA>(x)),
            Not => map!(dst, a, |x| if x == 0.0 { 1.0 } else { 0.0 }),
            _ => map!(dst, a, |x| f.eval(&[f64::from(x)]) as f32),
        }
    }

    #[inline(always)]
    fn exp<const FMA: bool>(x: f32) -> f32 {
        m::exp::<FMA>(x)
    }

    use super::super::rows::{
        add_at_f32 as add_at, add_to_rows_f32 as to_rows, pick_f32 as pick, sum_rows_f32 as rows,
    };

    shared!(f32, true, unary, exp, rare, rows, to_rows, add_at, pick);
}

mod double {
    use super::*;

    #[inline(always)]
    fn rare<const FMA: bool>(f: Elem, dst: &mut [f64], a: Src<'_, f64>, b: Src<'_, f64>) {
        zip!(dst, a, b, |a, b| f.eval(&[a, b]));
    }

    #[inline(always)]
    fn unary<const FMA: bool>(f: Elem, dst: &mut [f64], a: &[f64]) {
        use Elem::*;
        match f {
            Neg => map!(dst, a, |x| -x),
            Recip => map!(dst, a, |x| 1.0 / x),
            Sqrt => map!(dst, a, |x| f64::sqrt(x)),
            Square => map!(dst, a, |x| x * x),
            Abs => map!(dst, a, |x| f64::abs(x)),
            Relu => map!(dst, a, |x| if x > 0.0 { x } else { x * 0.0 }),
            _ => map!(dst, a, |x| f.eval(&[x])),
        }
    }

    #[inline(always)]
    fn exp<const FMA: bool>(x: f64) -> f64 {
        x.exp()
    }

    fn rows(_: Isa, to: &mut [f64], e: Entries<'_, f64>, matrix: &[f64], stride: usize) {
        super::super::rows::sum_rows(to, e, matrix, stride, f64::mul_add);
    }

    fn to_rows(_: Isa, matrix: &mut [f64], stride: usize, first: usize, e: Entries<'_, f64>, from: &[f64]) {
        super::super::rows::add_to_rows(matrix, stride, first, e, from, f64::mul_add);
    }

    fn add_at(_: Isa, dst: &mut [f64], s: f64, a: &[f64], at: &[u32]) {
        a.iter().zip(at).for_each(|(v, k)| dst[*k as usize] += s * v);
    }

    fn pick(_: Isa, dst: &mut [f64], from: &[f64], at: &[u32]) {
        dst.iter_mut().zip(at).for_each(|(d, k)| *d = from[*k as usize]);
    }

    shared!(f64, false, unary, exp, rare, rows, to_rows, add_at, pick);
}
