//! Graphs that cover the operations, for every back end.

use super::{Data, series};
use autodiff_runtime::graph::{Dtype, Storage};
use autodiff_runtime::{Axes, Elem, Graph, NodeId, Op, RandomKind, ReduceKind};

/// Look-ups, renames, broadcasts, positions.
pub fn structural() -> (Graph, Vec<Data>) {
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
    (g, data.into())
}

/// Renames that change the order of storage.
pub fn renames() -> (Graph, Vec<Data>) {
    let mut g = Graph::new();
    let (a, b, c) = (g.add_axis("a", 4), g.add_axis("b", 5), g.add_axis("a'", 4));
    let x = g.input("x", Axes::from([a, b]));
    let square = g.square(x);
    let y = g.rename(square, a, c);
    g.output("y", y);
    let both = g.contract(x, y, b);
    g.output("both", both);
    (g, vec![Data::Dense(series(20, -0.3, 0.1))])
}

/// A sparse input in every place that takes one.
pub fn sparse_everywhere() -> (Graph, Vec<Data>) {
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
        super::sparse(7, 40),
        Data::Dense(series(200, -0.5, 0.03)),
        Data::Dense(series(35, -0.4, 0.05)),
        Data::Dense(series(280, -0.9, 0.007)),
        Data::Dense(series(7, 0.7, 0.3)),
        Data::Dense(series(40, 0.7, 0.02)),
    ];
    (g, data.into())
}

/// Every kind of draw.
pub fn draws() -> (Graph, Vec<Data>) {
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
    (g, data.into())
}

/// Scalars and axes of size one.
pub fn ones() -> (Graph, Vec<Data>) {
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
    (g, data.into())
}
