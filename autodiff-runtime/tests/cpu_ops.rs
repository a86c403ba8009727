//! Every operation on the CPU back end against the reference evaluator: both element types, each level of optimisation,
//! one and two threads.

mod harness;

use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::graph::{Dtype, Storage};
use autodiff_runtime::{Axes, CsrView, Elem, Feed, Graph, NodeId, Op, ReduceKind, RunError, Variables};
use harness::{Data, KEY, agree, graphs, series};

#[test]
fn elementwise_with_operands_of_every_shape() {
    for e in Elem::ALL {
        for rotate in 0..4 {
            let mut g = Graph::new();
            let (a, b, c) = (g.add_axis("a", 9), g.add_axis("b", 5), g.add_axis("c", 70));
            let shapes = [Axes::from([a, b, c]), Axes::from([a, c]), Axes::from([a, b]), Axes::none()];
            let mut data = vec![];
            let args: Vec<NodeId> = (0..e.arity())
                .map(|i| {
                    let axes = shapes[(i + rotate) % 4].clone();
                    data.push(Data::Dense(series(g.n_elements(&axes), 0.31 + 0.2 * i as f64, 0.013)));
                    g.input(format!("x{i}"), axes)
                })
                .collect();
            let y = g.push(Op::Elem(e, args));
            g.output("y", y);
            agree(&g, &data, e.name());
        }
    }
}

#[test]
fn reductions_over_every_set_of_axes() {
    for kind in [
        ReduceKind::Sum,
        ReduceKind::Prod,
        ReduceKind::Max,
        ReduceKind::Min,
        ReduceKind::LogSumExp,
        ReduceKind::ArgMax,
    ] {
        for mask in 1..8 {
            let mut g = Graph::new();
            let ids = [g.add_axis("a", 4), g.add_axis("b", 3), g.add_axis("c", 37)];
            let over = Axes::new((0..3).filter(|k| mask >> k & 1 == 1).map(|k| ids[k]));
            if kind == ReduceKind::ArgMax && over.len() != 1 {
                continue;
            }
            let x = g.input("x", Axes::from(ids));
            let r = g.reduce(kind, x, over);
            g.output("r", r);
            agree(&g, &[Data::Dense(series(4 * 3 * 37, 0.6, 0.0017))], &format!("{kind:?} {mask}"));
        }
    }
}

#[test]
fn contractions_with_batch_lone_and_missing_axes() {
    for mask in 1..32_u32 {
        let mut g = Graph::new();
        let sizes = [3, 20, 17, 2, 2];
        let ids: Vec<_> = sizes.iter().enumerate().map(|(i, s)| g.add_axis(format!("x{i}"), *s)).collect();
        let left = Axes::new([ids[0], ids[1], ids[3], ids[4]]);
        let right = Axes::new([ids[0], ids[2], ids[3]]);
        let over = Axes::new((0..5).filter(|k| mask >> k & 1 == 1).map(|k| ids[k]));
        let a = g.input("a", left.clone());
        let b = g.input("b", right.clone());
        let c = g.contract(a, b, over);
        g.output("c", c);
        let data = [
            Data::Dense(series(g.n_elements(&left), -0.4, 0.011)),
            Data::Dense(series(g.n_elements(&right), -0.2, 0.02)),
        ];
        agree(&g, &data, &format!("contract {mask}"));
    }
}

#[test]
fn look_ups_renames_broadcasts_and_positions() {
    let (g, data) = graphs::structural();
    agree(&g, &data, "structural");
}

#[test]
fn renames_that_change_the_order_of_storage() {
    let (g, data) = graphs::renames();
    agree(&g, &data, "rename");
}

#[test]
fn sparse_inputs_in_every_place() {
    let (g, data) = graphs::sparse_everywhere();
    agree(&g, &data, "sparse");
}

#[test]
fn draws_are_those_of_the_reference() {
    let (g, data) = graphs::draws();
    agree(&g, &data, "draws");
}

#[test]
fn scalars_and_axes_of_size_one() {
    let (g, data) = graphs::ones();
    agree(&g, &data, "ones");
}

/// What reaches beyond its axis is an error that names the input, not a panic, in the plain evaluator as in the others.
#[test]
fn the_reference_refuses_what_reaches_out_of_bounds() {
    let mut g = Graph::new();
    let (cell, gene) = (g.add_axis("cell", 2), g.add_axis("gene", 3));
    let counts = g.declare_input("counts", [cell, gene], Dtype::Real, Storage::Csr);
    let x = g.read_input(counts);
    let which = g.index_input("which", cell);
    let picked = g.gather(x, which, gene);
    g.output("picked", picked);
    let run = |index: [u32; 2], offsets: &[usize], columns: &[u32]| {
        let csr = CsrView { offsets, columns, values: &[1.0, 2.0] };
        let feeds = [Feed::Csr(csr), Feed::Index(&index)];
        evaluate(&g, &[picked], &Variables::new(), &feeds, KEY)
    };
    assert_eq!(run([0, 2], &[0, 1, 2], &[0, 2]).expect("inside")[0], [1.0, 2.0]);
    let error = |r: Result<Vec<Vec<f64>>, RunError>| r.expect_err("out of bounds").to_string();
    assert_eq!(error(run([0, 3], &[0, 1, 2], &[0, 2])), "input `which`: index 3 is out of range (size 3)");
    for (offsets, columns) in
        [(&[0, 1, 2][..], &[0, 3][..]), (&[0, 1], &[0, 2]), (&[0, 1, 3], &[0, 2]), (&[2, 1, 2], &[0, 2])]
    {
        assert!(
            error(run([0, 2], offsets, columns)).starts_with("input `counts`"),
            "{offsets:?} {columns:?}"
        );
    }
}
