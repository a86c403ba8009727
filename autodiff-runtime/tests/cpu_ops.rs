//! Every operation on the CPU back end against the reference evaluator: both element types, each level of optimisation,
//! one and two threads.

mod harness;

use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::graph::{Dtype, Storage};
use autodiff_runtime::{
    Axes, CsrView, Elem, Feed, Graph, NodeId, Op, RandomKind, ReduceKind, RunError, Variables,
};
use harness::{Data, KEY, agree, series};

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
    let mut g = Graph::new();
    let (cell, kind, h, h2) =
        (g.add_axis("cell", 6), g.add_axis("kind", 4), g.add_axis("h", 3), g.add_axis("h'", 3));
    let table = g.input("table", Axes::from([kind, h]));
    let scores = g.input("scores", Axes::from([cell, kind]));
    let code = g.index_input("code", Axes::from(cell));
    let rows = g.gather(table, code, kind);
    let best = g.reduce(ReduceKind::ArgMax, scores, kind);
    let picked = g.gather(scores, best, kind);
    let real = g.to_real(best);
    let same = g.binary(Elem::Eq, best, code);
    let renamed = g.rename(rows, h, h2);
    let wide = g.broadcast(renamed, &Axes::from([cell, h, h2]));
    let back = g.push(Op::ScatterAdd { values: rows, index: code, axis: kind, keep: Axes::none() });
    let kept = g.push(Op::ScatterAdd { values: picked, index: code, axis: kind, keep: Axes::from(cell) });
    let iota = g.iota(kind);
    let iota_real = g.to_real(iota);
    let onehot = g.binary(Elem::Eq, iota, code);
    let wide_index = g.broadcast(code, &Axes::from([cell, kind]));
    let stop = g.stop(wide);
    let constant = g.constant(2.5);
    let names: [(&str, NodeId); 14] = [
        ("rows", rows),
        ("best", best),
        ("picked", picked),
        ("real", real),
        ("same", same),
        ("renamed", renamed),
        ("wide", wide),
        ("back", back),
        ("kept", kept),
        ("iota", iota_real),
        ("onehot", onehot),
        ("wide_index", wide_index),
        ("stop", stop),
        ("constant", constant),
    ];
    names.iter().for_each(|(n, id)| g.output(*n, *id));
    g.output("input", table);
    let data = [
        Data::Dense(series(12, 0.3, 0.2)),
        Data::Dense(series(24, 0.1, 0.37)),
        Data::Index(vec![3, 0, 2, 2, 1, 3]),
    ];
    agree(&g, &data, "structural");
}

#[test]
fn renames_that_change_the_order_of_storage() {
    let mut g = Graph::new();
    let (a, b, c) = (g.add_axis("a", 4), g.add_axis("b", 5), g.add_axis("a'", 4));
    let x = g.input("x", Axes::from([a, b]));
    let square = g.square(x);
    let y = g.rename(square, a, c);
    g.output("y", y);
    let both = g.contract(x, y, b);
    g.output("both", both);
    agree(&g, &[Data::Dense(series(20, -0.3, 0.1))], "rename");
}

#[test]
fn sparse_inputs_in_every_place() {
    let mut g = Graph::new();
    let (cell, gene, h) = (g.add_axis("cell", 7), g.add_axis("gene", 40), g.add_axis("h", 5));
    let csr = g.declare_input("x", [cell, gene], Dtype::Real, Storage::Csr);
    let x = g.read_input(csr);
    let w = g.input("w", Axes::from([gene, h]));
    let v = g.input("v", Axes::from([cell, h]));
    let d = g.input("d", Axes::from([cell, gene]));
    let s = g.input("s", Axes::from(cell));
    let t = g.input("t", Axes::from(gene));
    let l = g.log1p(x);
    let scaled = g.div(l, s);
    let by_gene = g.mul(scaled, t);
    let forward = g.contract(by_gene, w, gene);
    let backward = g.contract(l, v, cell);
    let library = g.sum(x, gene);
    let per_gene = g.sum(by_gene, cell);
    let total = g.sum(by_gene, Axes::from([cell, gene]));
    let largest = g.reduce(ReduceKind::Max, x, gene);
    let plus = g.add(d, by_gene);
    let minus = g.sub(d, x);
    let other = g.sub(x, d);
    let zero = g.constant(0.0);
    let there = g.binary(Elem::Lt, zero, x);
    let exp = g.exp(d);
    let picked = g.select(there, exp, zero);
    let nothing = g.select(there, zero, d);
    let delta = g.lgamma_delta(x, s);
    let delta_sum = g.sum(delta, gene);
    let soft = g.log_softmax(d, gene);
    let with_soft = g.mul(x, soft);
    let score = g.sum(with_soft, gene);
    let centred = g.sub(d, library);
    let e1 = g.exp(x);
    let names = [
        forward, backward, library, per_gene, total, largest, plus, minus, other, picked, nothing, delta,
        delta_sum, score, centred, e1, x, l,
    ];
    names.iter().enumerate().for_each(|(i, n)| g.output(format!("o{i}"), *n));
    let data = [
        harness::sparse(7, 40),
        Data::Dense(series(200, -0.5, 0.03)),
        Data::Dense(series(35, -0.4, 0.05)),
        Data::Dense(series(280, -0.9, 0.007)),
        Data::Dense(series(7, 0.7, 0.3)),
        Data::Dense(series(40, 0.7, 0.02)),
    ];
    agree(&g, &data, "sparse");
}

#[test]
fn draws_are_those_of_the_reference() {
    let mut g = Graph::new();
    let (cell, k, draw) = (g.add_axis("cell", 6), g.add_axis("k", 5), g.add_axis("draw", 3));
    let rows = g.index_input("rows", Axes::from(cell));
    let rate = g.input("rate", Axes::from([cell, k]));
    let half = g.constant(0.4);
    let n = g.constant(50.0);
    let all = Axes::from([cell, k, draw]);
    let kinds: [(RandomKind, Vec<NodeId>); 6] = [
        (RandomKind::Uniform, vec![]),
        (RandomKind::Normal, vec![]),
        (RandomKind::LogGamma, vec![rate]),
        (RandomKind::Poisson, vec![rate]),
        (RandomKind::Binomial, vec![n, half]),
        (RandomKind::Multinomial(k), vec![n, rate]),
    ];
    for (i, (kind, params)) in kinds.into_iter().enumerate() {
        let with_rows = g.random(kind, &params, i as u32, all.clone(), Some(rows));
        g.output(format!("r{i}"), with_rows);
        let without = g.random(kind, &params, 100 + i as u32, all.clone(), None);
        g.output(format!("w{i}"), without);
    }
    let data = [Data::Index(vec![10, 3, 500, 7, 8, 2]), Data::Dense(series(30, 0.5, 0.61))];
    agree(&g, &data, "draws");
}

#[test]
fn scalars_and_axes_of_size_one() {
    let mut g = Graph::new();
    let (a, one, b) = (g.add_axis("a", 5), g.add_axis("one", 1), g.add_axis("b", 3));
    let x = g.input("x", Axes::from([a, one, b]));
    let s = g.input("s", Axes::none());
    let y = g.mul(x, s);
    let e = g.exp(s);
    let sum = g.sum(y, Axes::from([a, one]));
    let row = g.logsumexp(y, one);
    let c = g.sum(y, one);
    let z = g.input("z", Axes::from([a, one]));
    let t = g.sum(z, a);
    let u = g.logsumexp(z, one);
    let v = g.sub(z, u);
    let w = g.contract(z, x, one);
    [y, e, sum, row, c, t, v, w].iter().enumerate().for_each(|(i, n)| g.output(format!("o{i}"), *n));
    let data =
        [Data::Dense(series(15, -0.5, 0.1)), Data::Dense(vec![1.7]), Data::Dense(series(5, -0.3, 0.2))];
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
