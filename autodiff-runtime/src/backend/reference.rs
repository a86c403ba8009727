//! The plain evaluator: every node in turn, in double precision, on whole arrays. Slow and short, so that it can be
//! trusted: it folds constants, evaluates one-off expressions, and is what fused back ends are compared with.

use crate::graph::{Axes, Dtype, Graph, NodeId, Storage};
use crate::op::{Op, RandomKind, ReduceKind};
use crate::random::SiteKey;
use crate::store::{CsrView, Feed, RunError, StepKey, Variables};

/// Values of the wanted nodes (indices as reals), row-major in axis order.
pub fn evaluate(
    g: &Graph,
    wanted: &[NodeId],
    variables: &Variables<f64>,
    feeds: &[Feed<'_, f64>],
    key: StepKey,
) -> Result<Vec<Vec<f64>>, RunError> {
    let mut live = vec![false; g.nodes().len()];
    wanted.iter().for_each(|w| live[w.index()] = true);
    for id in g.node_ids().rev().filter(|id| live[id.index()]).collect::<Vec<_>>() {
        mark(g, id, &mut live);
    }
    let mut run = Run { g, variables, feeds, key, values: vec![vec![]; g.nodes().len()] };
    for id in g.node_ids().filter(|id| live[id.index()]) {
        run.values[id.index()] = run.node(id)?;
    }
    Ok(wanted.iter().map(|w| run.values[w.index()].clone()).collect())
}

fn mark(g: &Graph, id: NodeId, live: &mut [bool]) {
    for o in g.node(id).op.operands() {
        if !live[o.index()] {
            live[o.index()] = true;
            mark(g, o, live);
        }
    }
}

struct Run<'a> {
    g: &'a Graph,
    variables: &'a Variables<f64>,
    feeds: &'a [Feed<'a, f64>],
    key: StepKey,
    values: Vec<Vec<f64>>,
}

impl Run<'_> {
    fn node(&self, id: NodeId) -> Result<Vec<f64>, RunError> {
        let node = self.g.node(id);
        let axes = &node.axes;
        Ok(match &node.op {
            Op::Input(input) => self.input(input.index())?,
            Op::Variable(v) => self.variable(v.index())?,
            Op::Const(c) => vec![*c],
            Op::Iota(a) => (0..self.g.size(*a)).map(|i| i as f64).collect(),
            Op::Elem(e, args) => {
                let args: Vec<Vec<f64>> = args.iter().map(|a| self.spread(*a, axes)).collect();
                (0..self.g.n_elements(axes))
                    .map(|i| e.eval(&args.iter().map(|a| a[i]).collect::<Vec<_>>()))
                    .collect()
            }
            Op::ToReal(x) | Op::Stop(x) => self.values[x.index()].clone(),
            Op::Broadcast { input, .. } => self.spread(*input, axes),
            Op::Reduce { kind, input, over } => self.reduce(*kind, *input, over),
            Op::Contract { a, b, over } => self.contract(*a, *b, over),
            Op::Gather { table, index, axis } => {
                self.check_range(*index, *axis)?;
                self.gather(id, *table, *index, *axis)
            }
            Op::ScatterAdd { values, index, axis, .. } => {
                self.check_range(*index, *axis)?;
                self.scatter(id, *values, *index, *axis)
            }
            Op::Rename { input, from, to } => self.rename(id, *input, *from, *to),
            Op::Random { kind, params, stream, rows, .. } => self.random(id, *kind, params, *stream, *rows),
        })
    }

    fn input(&self, i: usize) -> Result<Vec<f64>, RunError> {
        let decl = &self.g.inputs()[i];
        let n = self.g.n_elements(&decl.axes);
        let bad = |found: String| RunError::Feed {
            name: decl.name.clone(),
            expected: format!("{n} elements, {:?}, {:?}", decl.dtype, decl.storage),
            found,
        };
        match self.feeds.get(i) {
            Some(Feed::Dense(v)) if v.len() == n && decl.dtype == Dtype::Real => Ok(v.to_vec()),
            Some(Feed::Index(v)) if v.len() == n && decl.dtype == Dtype::Index => {
                Ok(v.iter().map(|&x| f64::from(x)).collect())
            }
            Some(Feed::Csr(m)) if decl.storage == Storage::Csr => {
                let [n_rows, n_columns] = [0, 1].map(|k| self.g.size(decl.axes.as_slice()[k]));
                dense(m, n_rows, n_columns).map_err(bad)
            }
            Some(other) => Err(bad(format!("{other:?}").chars().take(80).collect())),
            None => Err(bad("nothing".into())),
        }
    }

    fn variable(&self, i: usize) -> Result<Vec<f64>, RunError> {
        let decl = &self.g.variables()[i];
        let expected = self.g.n_elements(&decl.axes);
        let value = self.variables.get(&decl.name).unwrap_or(&[]);
        if value.len() == expected {
            Ok(value.to_vec())
        } else {
            Err(RunError::Variable { name: decl.name.clone(), expected, found: value.len() })
        }
    }

    /// Checks that every index is below the size of the axis it looks up.
    fn check_range(&self, index: NodeId, axis: crate::AxisId) -> Result<(), RunError> {
        let size = self.g.size(axis);
        match self.values[index.index()].iter().find(|i| **i >= size as f64) {
            Some(&i) => {
                let name = match &self.g.node(index).op {
                    Op::Input(id) => self.g.inputs()[id.index()].name.clone(),
                    _ => format!("node {}", index.index()),
                };
                Err(RunError::Index { name, index: i as u32, size })
            }
            None => Ok(()),
        }
    }

    /// The node's values repeated to a superset of its axes.
    fn spread(&self, id: NodeId, to: &Axes) -> Vec<f64> {
        let strides = strides_in(self.g, self.g.axes_of(id), to);
        let value = &self.values[id.index()];
        positions(self.g, to).map(|p| value[dot(&p, &strides)]).collect()
    }

    fn reduce(&self, kind: ReduceKind, input: NodeId, over: &Axes) -> Vec<f64> {
        let full = self.g.axes_of(input);
        let out_axes = full.minus(over);
        let strides = strides_in(self.g, &out_axes, full);
        let mut groups: Vec<Vec<f64>> = vec![vec![]; self.g.n_elements(&out_axes)];
        for (p, v) in positions(self.g, full).zip(&self.values[input.index()]) {
            groups[dot(&p, &strides)].push(*v);
        }
        groups.iter().map(|x| reduce_all(kind, x)).collect()
    }

    fn contract(&self, a: NodeId, b: NodeId, over: &Axes) -> Vec<f64> {
        let all = self.g.axes_of(a).union(self.g.axes_of(b));
        let out_axes = all.minus(over);
        let (sa, sb) =
            (strides_in(self.g, self.g.axes_of(a), &all), strides_in(self.g, self.g.axes_of(b), &all));
        let so = strides_in(self.g, &out_axes, &all);
        let mut out = vec![0.0; self.g.n_elements(&out_axes)];
        for p in positions(self.g, &all) {
            out[dot(&p, &so)] += self.values[a.index()][dot(&p, &sa)] * self.values[b.index()][dot(&p, &sb)];
        }
        out
    }

    fn gather(&self, id: NodeId, table: NodeId, index: NodeId, axis: crate::AxisId) -> Vec<f64> {
        let out_axes = self.g.axes_of(id);
        let table_axes = self.g.axes_of(table);
        let stride_axis = strides_in(self.g, table_axes, &Axes::from(axis))[0];
        let st = strides_in(self.g, table_axes, out_axes);
        let si = strides_in(self.g, self.g.axes_of(index), out_axes);
        let at = |p: &[usize]| self.values[index.index()][dot(p, &si)] as usize * stride_axis;
        positions(self.g, out_axes).map(|p| self.values[table.index()][dot(&p, &st) + at(&p)]).collect()
    }

    fn scatter(&self, id: NodeId, values: NodeId, index: NodeId, axis: crate::AxisId) -> Vec<f64> {
        let (out_axes, from) = (self.g.axes_of(id), self.g.axes_of(values).union(self.g.axes_of(index)));
        let stride_axis = strides_in(self.g, out_axes, &Axes::from(axis))[0];
        let so = strides_in(self.g, out_axes, &from);
        let sv = strides_in(self.g, self.g.axes_of(values), &from);
        let si = strides_in(self.g, self.g.axes_of(index), &from);
        let mut out = vec![0.0; self.g.n_elements(out_axes)];
        for p in positions(self.g, &from) {
            let at = self.values[index.index()][dot(&p, &si)] as usize;
            out[dot(&p, &so) + at * stride_axis] += self.values[values.index()][dot(&p, &sv)];
        }
        out
    }

    fn rename(&self, id: NodeId, input: NodeId, from: crate::AxisId, to: crate::AxisId) -> Vec<f64> {
        let out_axes = self.g.axes_of(id);
        let mut strides = strides_in(self.g, self.g.axes_of(input), out_axes);
        let moved = strides_in(self.g, self.g.axes_of(input), &Axes::from(from))[0];
        strides[out_axes.iter().position(|a| a == to).unwrap_or(0)] = moved;
        positions(self.g, out_axes).map(|p| self.values[input.index()][dot(&p, &strides)]).collect()
    }

    fn random(
        &self,
        id: NodeId,
        kind: RandomKind,
        params: &[NodeId],
        stream: u32,
        rows: Option<NodeId>,
    ) -> Vec<f64> {
        let axes = self.g.axes_of(id);
        let site = SiteKey::new(self.key, stream);
        let row_axis = rows.map(|r| self.g.axes_of(r).as_slice()[0]);
        let own = row_axis.map_or(axes.clone(), |a| axes.without(a));
        // A multinomial draws all its categories from the stream of their first position.
        let event = if let RandomKind::Multinomial(a) = kind { Axes::from(a) } else { Axes::none() };
        let outer = axes.minus(&event);
        let own_strides = strides_in(self.g, &own, &outer);
        let row_strides = row_axis.map(|a| strides_in(self.g, &Axes::from(a), &outer));
        let params: Vec<(Vec<f64>, Vec<usize>)> = params
            .iter()
            .map(|p| (self.values[p.index()].clone(), strides_in(self.g, self.g.axes_of(*p), axes)))
            .collect();
        let mut out = vec![0.0; self.g.n_elements(axes)];
        let out_strides = strides_in(self.g, axes, &outer);
        for p in positions(self.g, &outer) {
            let row = match (rows, &row_strides) {
                (Some(r), Some(s)) => self.values[r.index()][dot(&p, s)] as u32,
                _ => 0,
            };
            let mut words = site.element(row, dot(&p, &own_strides) as u64);
            let mut full = p.clone();
            for (k, a) in axes.iter().enumerate() {
                if event.contains(a) {
                    full.insert(k, 0);
                }
            }
            let at = |i: usize| params[i].0[dot(&full, &params[i].1)];
            if let RandomKind::Multinomial(a) = kind {
                let n = self.g.size(a);
                let step = |s: &[usize]| s[axes.iter().position(|x| x == a).unwrap_or(0)];
                let (probs, ps) = (&params[1].0, step(&params[1].1));
                let base = dot(&full, &params[1].1);
                let p: Vec<f64> = (0..n).map(|k| probs[base + k * ps]).collect();
                let stride = strides_in(self.g, axes, &Axes::from(a))[0];
                for (k, x) in crate::random::multinomial(&mut words, at(0), &p).into_iter().enumerate() {
                    out[dot(&full, &strides_in(self.g, axes, axes)) + k * stride] = x;
                }
            } else {
                let params: Vec<f64> = (0..params.len()).map(at).collect();
                out[dot(&p, &out_strides)] = crate::random::draw(kind, &params, &mut words);
            }
        }
        out
    }
}

/// Sparse rows as an array, or what is wrong with them.
fn dense(m: &CsrView<'_, f64>, n_rows: usize, n_columns: usize) -> Result<Vec<f64>, String> {
    if m.offsets.len() != n_rows + 1 {
        return Err(format!("{} offsets for {n_rows} rows", m.offsets.len()));
    }
    let mut out = vec![0.0; n_rows * n_columns];
    for (r, ends) in m.offsets.windows(2).enumerate() {
        let (Some(columns), Some(values)) = (m.columns.get(ends[0]..ends[1]), m.values.get(ends[0]..ends[1]))
        else {
            return Err(format!("offsets {} to {} of {} stored elements", ends[0], ends[1], m.values.len()));
        };
        for (c, v) in columns.iter().zip(values) {
            match *c as usize {
                c if c < n_columns => out[r * n_columns + c] = *v,
                c => return Err(format!("column {c} in a row of {n_columns}")),
            }
        }
    }
    Ok(out)
}

fn reduce_all(kind: ReduceKind, x: &[f64]) -> f64 {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, |m, v| if v > m || v.is_nan() { v } else { m });
    match kind {
        ReduceKind::Sum => x.iter().sum(),
        ReduceKind::Prod => x.iter().product(),
        ReduceKind::Max => max,
        ReduceKind::Min => -reduce_all(ReduceKind::Max, &x.iter().map(|v| -v).collect::<Vec<_>>()),
        ReduceKind::LogSumExp if max.is_infinite() => max,
        ReduceKind::LogSumExp => max + x.iter().map(|v| (v - max).exp()).sum::<f64>().ln(),
        ReduceKind::ArgMax => x.iter().position(|v| *v == max).unwrap_or(0) as f64,
    }
}

/// For each axis of `seen_from`, how far one step along it moves in a row-major array over `of` (0 if it lacks it).
pub fn strides_in(g: &Graph, of: &Axes, seen_from: &Axes) -> Vec<usize> {
    let stride = |a: crate::AxisId| of.iter().skip_while(|x| *x <= a).map(|x| g.size(x)).product::<usize>();
    seen_from.iter().map(|a| if of.contains(a) { stride(a) } else { 0 }).collect()
}

/// All positions over `axes` in storage order.
fn positions(g: &Graph, axes: &Axes) -> impl Iterator<Item = Vec<usize>> + use<> {
    let sizes: Vec<usize> = axes.iter().map(|a| g.size(a)).collect();
    let n: usize = sizes.iter().product();
    (0..n).map(move |i| {
        let mut rest = i;
        let mut p = vec![0; sizes.len()];
        for k in (0..sizes.len()).rev() {
            p[k] = rest % sizes[k];
            rest /= sizes[k];
        }
        p
    })
}

fn dot(p: &[usize], strides: &[usize]) -> usize {
    p.iter().zip(strides).map(|(a, b)| a * b).sum()
}
