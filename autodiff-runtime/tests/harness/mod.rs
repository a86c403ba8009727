//! Runs a graph on the CPU back end in every mode and compares it with the reference evaluator.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod graphs;

use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::backend::{Backend, Executable};
use autodiff_runtime::{CsrView, Element, Feed, Graph, NodeId, Program, StepKey, Variables};

/// One feed, in double precision.
#[derive(Clone, Debug)]
pub enum Data {
    Dense(Vec<f64>),
    Csr(Vec<usize>, Vec<u32>, Vec<f64>),
    Index(Vec<u32>),
}

pub const KEY: StepKey = StepKey { seed: 7, step: 3 };

pub fn series(n: usize, from: f64, step: f64) -> Vec<f64> {
    (0..n).map(|i| from + step * ((i * 7 + 3) % n) as f64).collect()
}

/// Small counts at about a fifth of the places; the third row is empty.
pub fn sparse(rows: usize, cols: usize) -> Data {
    let (mut offsets, mut columns, mut values) = (vec![0], vec![], vec![]);
    for r in 0..rows {
        for c in 0..cols {
            if r != 2 && (r * 31 + c * 17) % 5 == 0 {
                columns.push(c as u32);
                values.push(1.0 + ((r * 7 + c * 3) % 6) as f64);
            }
        }
        offsets.push(columns.len());
    }
    Data::Csr(offsets, columns, values)
}

pub struct Owned<E> {
    real: Vec<Vec<E>>,
}

pub fn own<E: Element>(data: &[Data]) -> Owned<E> {
    let narrow = |v: &Vec<f64>| v.iter().map(|x| E::from_f64(*x)).collect();
    let real = data
        .iter()
        .map(|d| match d {
            Data::Dense(v) | Data::Csr(_, _, v) => narrow(v),
            Data::Index(_) => vec![],
        })
        .collect();
    Owned { real }
}

pub fn feeds<'a, E: Element>(data: &'a [Data], owned: &'a Owned<E>) -> Vec<Feed<'a, E>> {
    data.iter()
        .zip(&owned.real)
        .map(|(d, v)| match d {
            Data::Dense(_) => Feed::Dense(v),
            Data::Csr(offsets, columns, _) => Feed::Csr(CsrView { offsets, columns, values: v }),
            Data::Index(i) => Feed::Index(i),
        })
        .collect()
}

/// The values of every output by the reference, on data rounded to `E`.
pub fn reference<E: Element>(g: &Graph, data: &[Data]) -> Vec<Vec<f64>> {
    let rounded: Vec<Data> = data
        .iter()
        .map(|d| match d.clone() {
            Data::Dense(v) => Data::Dense(v.iter().map(|x| E::from_f64(*x).to_f64()).collect()),
            Data::Csr(o, c, v) => Data::Csr(o, c, v.iter().map(|x| E::from_f64(*x).to_f64()).collect()),
            d => d,
        })
        .collect();
    let owned = own::<f64>(&rounded);
    let wanted: Vec<NodeId> = g.outputs().iter().map(|o| o.1).collect();
    evaluate(g, &wanted, &Variables::new(), &feeds(&rounded, &owned), KEY).expect("the reference runs")
}

pub fn close(got: f64, want: f64, tolerance: f64) -> bool {
    if want.is_nan() || want.is_infinite() {
        return got == want || (got.is_nan() && want.is_nan());
    }
    (got - want).abs() <= tolerance * want.abs().max(1.0)
}

/// Every output in every mode; all modes of one type and level give the same bits.
pub fn agree(g: &Graph, data: &[Data], what: &str) {
    agree_in::<f64>(g, data, 1e-12, what);
    // Single precision: rounding of inputs is shared, so what remains is a few units in the last place per operation.
    agree_in::<f32>(g, data, 1e-5, what);
}

pub fn agree_in<E: Element>(g: &Graph, data: &[Data], tolerance: f64, what: &str)
where
    CpuBackend: Backend<E>,
{
    let want = reference::<E>(g, data);
    let program = Program { graph: g.clone().verify().expect("a valid graph"), training: None };
    let owned = own::<E>(data);
    for level in [0, 1] {
        let mut bits: Option<Vec<Vec<E>>> = None;
        for threads in [1, 2] {
            let backend = CpuBackend { threads, level };
            let mut exe: Box<dyn Executable<E>> = backend.prepare(&program).expect("it can be prepared");
            let mut variables = Variables::new();
            let mut all = vec![];
            for _again in 0..2 {
                exe.run(&mut variables, &feeds(data, &owned), KEY)
                    .unwrap_or_else(|e| panic!("{what}: {e}\n{}", exe.describe()));
                all.clear();
                for ((name, _), w) in g.outputs().iter().zip(&want) {
                    let got = exe.output(name).expect("a declared output");
                    assert_eq!(got.len(), w.len(), "{what}: {name}");
                    for (i, (x, y)) in got.iter().zip(w).enumerate() {
                        assert!(
                            close(x.to_f64(), *y, tolerance),
                            "{what}, {}, level {level}, {threads} threads: `{name}`[{i}] = {x:?}, reference {y}\n{}",
                            E::NAME,
                            exe.describe()
                        );
                    }
                    all.push(got.to_vec());
                }
            }
            match &bits {
                None => bits = Some(all),
                Some(first) => {
                    let same = first
                        .iter()
                        .flatten()
                        .zip(all.iter().flatten())
                        .all(|(a, b)| a.to_f64().to_bits() == b.to_f64().to_bits());
                    assert!(same, "{what}: threads change the result");
                }
            }
        }
    }
}
