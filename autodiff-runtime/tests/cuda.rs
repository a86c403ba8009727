//! The text printed for a card, built for the host: every operation against the reference evaluator, in both precisions,
//! fused and not, with the threads in either order; and training steps, against the reference too.

mod harness;
#[path = "harness/model.rs"]
mod model;

use autodiff_runtime::backend::cuda::CudaBackend;
use autodiff_runtime::backend::cuda::host::Host;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::backend::{Backend, Executable};
use autodiff_runtime::plan::step_graph;
use autodiff_runtime::{Axes, Elem, Element, Graph, NodeId, Op, Program, ReduceKind, RunError, Variables};
use harness::{Data, KEY, close, feeds, graphs, own, reference, series};
use std::sync::Arc;

fn on_host(backwards: bool, level: u8) -> CudaBackend {
    CudaBackend::on(Arc::new(Host::new(backwards)), level)
}

/// Every output, fused and not, in either order of the threads, which must not change a bit.
fn agree<E: Element>(g: &Graph, data: &[Data], tolerance: f64, what: &str)
where
    CudaBackend: Backend<E>,
{
    let want = reference::<E>(g, data);
    let program = Program { graph: g.clone().verify().expect("a valid graph"), training: None };
    let owned = own::<E>(data);
    // Each is compiled, so: unfused in one order, fused in both.
    let mut bits: Option<Vec<u64>> = None;
    for (level, backwards) in [(0, true), (1, false), (1, true)] {
        let prepared = on_host(backwards, level).prepare(&program);
        let mut exe: Box<dyn Executable<E>> = prepared.unwrap_or_else(|e| panic!("{what}: {e}"));
        let mut all = vec![];
        for _again in 0..2 {
            let run = exe.run(&mut Variables::new(), &feeds(data, &owned), KEY);
            run.unwrap_or_else(|e| panic!("{what}: {e}"));
            all.clear();
            for ((name, _), w) in g.outputs().iter().zip(&want) {
                let got = exe.output(name).expect("a declared output");
                assert_eq!(got.len(), w.len(), "{what}: {name}");
                for (i, (x, y)) in got.iter().zip(w).enumerate() {
                    assert!(
                        close(x.to_f64(), *y, tolerance),
                        "{what}, {}, level {level}: `{name}`[{i}] = {x:?}, reference {y}",
                        E::NAME
                    );
                }
                all.extend(got.iter().map(|x| x.to_f64().to_bits()));
            }
        }
        if level == 1 {
            assert!(
                bits.get_or_insert(all.clone()) == &all,
                "{what}: the order of threads changes the result"
            );
        }
    }
}

fn agree_in_both(g: &Graph, data: &[Data], what: &str) {
    agree::<f64>(g, data, 1e-12, what);
    agree::<f32>(g, data, 1e-5, what);
}

#[test]
fn elementwise_with_operands_of_every_shape() {
    let mut g = Graph::new();
    let (a, b, c) = (g.add_axis("a", 9), g.add_axis("b", 5), g.add_axis("c", 68));
    let shapes = [Axes::from([a, b, c]), Axes::from([a, c]), Axes::from([a, b]), Axes::none()];
    let mut data = vec![];
    let mut operands = vec![];
    for i in 0..3 {
        operands.push(shapes.each_ref().map(|axes| {
            data.push(Data::Dense(series(g.n_elements(axes), 0.31 + 0.2 * f64::from(i), 0.013)));
            g.input(format!("x{}", data.len()), axes.clone())
        }));
    }
    for e in Elem::ALL {
        for rotate in 0..4 {
            let args: Vec<NodeId> = (0..e.arity()).map(|i| operands[i][(i + rotate) % 4]).collect();
            let y = g.push(Op::Elem(e, args));
            g.output(format!("{} {rotate}", e.name()), y);
        }
    }
    agree_in_both(&g, &data, "elementwise");
}

#[test]
fn reductions_over_every_set_of_axes() {
    use ReduceKind::*;
    for last in [37, 300] {
        let mut g = Graph::new();
        let ids = [g.add_axis("a", 4), g.add_axis("b", 3), g.add_axis("c", last)];
        let x = g.input("x", Axes::from(ids));
        for kind in [Sum, Prod, Max, Min, LogSumExp, ArgMax] {
            for mask in 1..8 {
                let over = Axes::new((0..3).filter(|k| mask >> k & 1 == 1).map(|k| ids[k]));
                if kind == ArgMax && over.len() != 1 {
                    continue;
                }
                let r = g.reduce(kind, x, over);
                g.output(format!("{kind:?} {mask}"), r);
            }
        }
        let step = 0.8 / (12 * last) as f64;
        agree_in_both(&g, &[Data::Dense(series(12 * last, 0.6, step))], "reductions");
    }
}

#[test]
fn contractions_with_batch_lone_and_missing_axes() {
    let mut g = Graph::new();
    let sizes = [3, 20, 17, 2, 2];
    let ids: Vec<_> = sizes.iter().enumerate().map(|(i, s)| g.add_axis(format!("x{i}"), *s)).collect();
    let left = Axes::new([ids[0], ids[1], ids[3], ids[4]]);
    let right = Axes::new([ids[0], ids[2], ids[3]]);
    let a = g.input("a", left.clone());
    let b = g.input("b", right.clone());
    for mask in 1..32_u32 {
        let over = Axes::new((0..5).filter(|k| mask >> k & 1 == 1).map(|k| ids[k]));
        let c = g.contract(a, b, over);
        g.output(format!("contract {mask}"), c);
    }
    let data = [
        Data::Dense(series(g.n_elements(&left), -0.4, 0.003)),
        Data::Dense(series(g.n_elements(&right), -0.2, 0.008)),
    ];
    agree_in_both(&g, &data, "contractions");
}

#[test]
fn the_other_operations() {
    for (what, (g, data)) in [
        ("structural", graphs::structural()),
        ("renames", graphs::renames()),
        ("sparse", graphs::sparse_everywhere()),
        ("draws", graphs::draws()),
        ("ones", graphs::ones()),
    ] {
        agree_in_both(&g, &data, what);
    }
}

/// A row that is too long for the threads' registers and for shared memory.
#[test]
fn rows_of_many_columns() {
    for n in [3_000, 12_001] {
        let mut g = Graph::new();
        let (cell, gene) = (g.add_axis("cell", 3), g.add_axis("gene", n));
        let x = g.input("x", Axes::from([cell, gene]));
        let e = g.exp(x);
        let total = g.sum(e, gene);
        let share = g.div(e, total);
        let top = g.reduce(ReduceKind::Max, share, gene);
        let relative = g.div(share, top);
        let by_gene = g.sum(relative, cell);
        let everything = g.sum(relative, Axes::from([cell, gene]));
        [relative, by_gene, everything].iter().enumerate().for_each(|(i, n)| g.output(format!("o{i}"), *n));
        agree_in_both(&g, &[Data::Dense(series(3 * n, -1.0, 1e-4))], "long rows");
    }
}

fn training<E: Element>(zero_inflated: bool, tolerance: f64)
where
    CudaBackend: Backend<E>,
{
    let sizes = model::Sizes { cells: 9, genes: 52, hidden: 12, latent: 3, zero_inflated };
    let (program, start) = model::build(sizes);
    let (offsets, columns, values) = model::counts(9, 52);
    let data = [
        Data::Csr(offsets, columns, values),
        Data::Index((0..9).map(|i| i * 5 + 1).collect()),
        Data::Dense(vec![0.001]),
        Data::Dense(vec![1.0]),
    ];
    let owned = own::<E>(&data);
    let step = step_graph(&program).expect("differentiable");
    let g = &step.graph;
    let mut wanted = model::start::<f64>(&start);
    for m in &step.moments {
        let v = g.find_variable(m).expect("declared");
        wanted.set(m, vec![0.0; g.n_elements(&g.variables()[v.index()].axes)]);
    }
    let wide = own::<f64>(&data);
    let loss = g.find_output("loss").expect("an output");
    let nodes: Vec<NodeId> = g.updates().iter().map(|u| u.1).chain([loss]).collect();
    let mut losses = vec![];
    for _step in 0..3 {
        let values = evaluate(g, &nodes, &wanted, &feeds(&data, &wide), KEY).expect("runs");
        losses.push(values[values.len() - 1][0]);
        for (u, v) in g.updates().iter().zip(values) {
            wanted.set(&g.variables()[u.0.index()].name, v);
        }
    }
    for (level, backwards) in [(0, false), (1, false), (1, true)] {
        let prepared = on_host(backwards, level).prepare(&program);
        let mut exe: Box<dyn Executable<E>> = prepared.expect("prepares");
        let mut variables = model::start::<E>(&start);
        for want in &losses {
            exe.run(&mut variables, &feeds(&data, &owned), KEY).expect("runs");
            let got = exe.output("loss").expect("an output")[0].to_f64();
            assert!(close(got, *want, tolerance), "loss {got}, reference {want}, level {level}");
        }
        assert!(variables.is_behind());
        exe.settle(&mut variables).expect("settles");
        for (name, want) in wanted.iter() {
            let value = variables.get(name).expect("there");
            for (i, (x, y)) in value.iter().zip(want).enumerate() {
                assert!(
                    close(x.to_f64(), *y, tolerance),
                    "level {level}: `{name}`[{i}] = {x:?}, reference {y}"
                );
            }
        }
    }
}

#[test]
fn steps_with_negative_binomial_counts() {
    training::<f64>(false, 1e-10);
    training::<f32>(false, 5e-5);
}

#[test]
fn steps_with_zero_inflated_counts() {
    training::<f64>(true, 1e-10);
    training::<f32>(true, 5e-5);
}

/// A loss that is not finite is an error, and leaves every variable as it was.
#[test]
fn a_failed_run_changes_nothing() {
    let sizes = model::Sizes { cells: 9, genes: 52, hidden: 12, latent: 3, zero_inflated: false };
    let (program, start) = model::build(sizes);
    let (offsets, columns, mut values) = model::counts(9, 52);
    values[4] = f64::NAN;
    let data = [
        Data::Csr(offsets, columns, values),
        Data::Index((0..9).map(|i| i * 5 + 1).collect()),
        Data::Dense(vec![0.001]),
        Data::Dense(vec![1.0]),
    ];
    let owned = own::<f32>(&data);
    let mut exe: Box<dyn Executable<f32>> = on_host(false, 1).prepare(&program).expect("prepares");
    let mut variables = model::start::<f32>(&start);
    let error = exe.run(&mut variables, &feeds(&data, &owned), KEY).expect_err("it is not finite");
    assert!(matches!(error, RunError::NonFinite { .. }), "{error}");
    let before = model::start::<f32>(&start);
    before.iter().for_each(|(name, value)| assert_eq!(variables.get(name), Some(value), "{name}"));
}

/// The vendor's compiler takes the text, for two generations of cards. (Every model of the library: `tests/`.)
#[test]
fn the_vendors_compiler_takes_the_text() {
    use autodiff_runtime::backend::cuda::{nvrtc, print_program};
    if !nvrtc::is_present() {
        eprintln!("skipped: no libnvrtc; `.ci/setup nvrtc` fetches it, SVIC_CUDA_LIBS names its folder");
        return;
    }
    for zero_inflated in [false, true] {
        let sizes = model::Sizes { cells: 128, genes: 2000, hidden: 128, latent: 10, zero_inflated };
        let (program, _) = model::build(sizes);
        for (level, bytes) in [(0, 4), (1, 4), (1, 8)] {
            let module = print_program(&program, level, bytes).expect("prints");
            for arch in [(8, 0), (9, 0)] {
                nvrtc::compile(&module.source, arch).unwrap_or_else(|e| panic!("{arch:?}: {e}"));
            }
        }
    }
}
