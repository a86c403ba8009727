//! The statistics of a model over all cells, a block of rows at a time.
//!
//! What sums over the rows, or takes an extreme along them, is done for each block and put together in double
//! precision. A value that needs such a total beforehand, as a variance needs the mean, waits for another pass. So no
//! more than a block is in memory, and the numbers are the same wherever the rows lie.

use crate::batch::{Gatherer, Minibatch};
use crate::dataset::Dataset;
use crate::engine::{Engine, Prepared, lower, run_error};
use crate::error::{Error, request};
use crate::init::add_missing;
use crate::model::Model;
use autodiff_runtime::{AxisId, Graph, NodeId, Op, ReduceKind, StepKey, Variables};
use dsl::{Bound, FeedSpec, Lowered, Mode, Purpose, Request};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Rows of a block. Fewer are taken at once.
const ROWS: usize = 1024;

/// Values by name, row-major.
type Values = BTreeMap<String, Vec<f32>>;

/// The `stat`s of a model over all cells of a data set; none when it has none.
///
/// # Errors
/// What lowering says, or the run; E0716 where rows lie on the disk and a statistic needs all of them at once.
pub fn compute_stats(
    engine: &Engine,
    model: &Model,
    bound: &Bound,
    data: &Dataset,
    seed: u64,
) -> Result<Values, Error> {
    let names = model.compiled().stats();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let request = Request { purpose: Purpose::Statistics, mode: Mode::Evaluate, n_batch: data.n_rows };
    let pass = Pass { engine, model, data, seed, names: &names };
    let lowered = lower(model, bound, &request)?;
    let rows = rows_of(&lowered.graph, model.compiled().plate()).filter(|_| data.n_rows > ROWS);
    match rows.map(|rows| (rows, levels(&lowered.graph, rows))) {
        Some((rows, Some(levels))) => pass.in_blocks(&Totals { lowered: &lowered, rows, levels }),
        Some((_, None)) if data.blocks.is_some() => {
            let text = format!("the statistics {} of the model need all cells at once", names.join(", "));
            Err(Error::plain(self::request(text).help("leave out `--memory`")))
        }
        _ => {
            let mut prepared = engine.prepare(model, bound, &request, None)?;
            pass.run(&mut prepared, 0..data.n_rows, &BTreeMap::new())?;
            Ok(pass.outputs(&prepared))
        }
    }
}

/// The axis of the minibatched plate, if anything has it.
fn rows_of(g: &Graph, plate: Option<&str>) -> Option<AxisId> {
    let mut axes = g.node_ids().flat_map(|id| g.axes_of(id).iter());
    axes.find(|axis| Some(g.axis(*axis).name.as_str()) == plate)
}

/// How an operation goes along the rows.
fn along(op: &Op, rows: AxisId) -> Option<ReduceKind> {
    match op {
        Op::Reduce { kind, over, .. } if over.contains(rows) => Some(*kind),
        Op::Contract { over, .. } if over.contains(rows) => Some(ReduceKind::Sum),
        _ => None,
    }
}

/// For each node how many totals along the rows stand before it, itself among them; `None` where blocks do not do.
fn levels(g: &Graph, rows: AxisId) -> Option<Vec<usize>> {
    let mut levels = vec![0; g.nodes().len()];
    for id in g.node_ids() {
        let op = &g.node(id).op;
        let splits = match op {
            Op::Iota(axis) => *axis != rows,
            Op::Rename { from, to, .. } => *from != rows && *to != rows,
            Op::Gather { axis, .. } | Op::ScatterAdd { axis, .. } if *axis == rows => false,
            Op::ScatterAdd { index, .. } => !g.axes_of(*index).contains(rows),
            Op::Random { axes, .. } => !axes.contains(rows),
            _ => along(op, rows) != Some(ReduceKind::ArgMax),
        };
        if !splits {
            return None;
        }
        let before = op.operands().iter().map(|o| levels[o.index()]).max().unwrap_or(0);
        levels[id.index()] = before + usize::from(along(op, rows).is_some());
    }
    let left_over = g.outputs().iter().any(|(_, id)| g.axes_of(*id).contains(rows));
    (!left_over).then_some(levels)
}

/// The graph over all rows, which is cut along them.
struct Totals<'a> {
    lowered: &'a Lowered,
    rows: AxisId,
    levels: Vec<usize>,
}

fn name_of(total: NodeId) -> String {
    format!("total {}", total.index())
}

impl Totals<'_> {
    /// The totals of a level.
    fn of_level(&self, level: usize) -> Vec<NodeId> {
        let g = &self.lowered.graph;
        let is_total = |id: &NodeId| along(&g.node(*id).op, self.rows).is_some();
        g.node_ids().filter(|id| self.levels[id.index()] == level).filter(is_total).collect()
    }

    /// The part of the graph that gives `wanted`, for so many rows, with the totals below `level` as inputs.
    fn graph(&self, n_rows: usize, level: usize, wanted: &[(String, NodeId)]) -> Lowered {
        let old = &self.lowered.graph;
        let is_known =
            |id: NodeId| self.levels[id.index()] < level && along(&old.node(id).op, self.rows).is_some();
        let mut live = vec![false; old.nodes().len()];
        wanted.iter().for_each(|(_, id)| live[id.index()] = true);
        for id in old.node_ids().rev().filter(|id| !is_known(*id)) {
            if live[id.index()] {
                old.node(id).op.operands().iter().for_each(|o| live[o.index()] = true);
            }
        }
        let mut g = Graph::new();
        for (at, axis) in old.axes().iter().enumerate() {
            g.add_axis(axis.name.clone(), if at == self.rows.index() { n_rows } else { axis.size });
        }
        for v in old.variables() {
            g.declare_variable(v.name.clone(), v.axes.clone());
        }
        let mut feeds = Vec::new();
        let mut moved: Vec<NodeId> = old.node_ids().collect();
        for id in old.node_ids().filter(|id| live[id.index()]) {
            g.set_origin(old.node(id).origin);
            moved[id.index()] = match &old.node(id).op {
                _ if is_known(id) => {
                    feeds.push(FeedSpec::Stat(name_of(id)));
                    g.input(name_of(id), old.axes_of(id).clone())
                }
                Op::Input(input) => {
                    let decl = &old.inputs()[input.index()];
                    feeds.push(self.lowered.feeds[input.index()].clone());
                    let own = g.declare_input(decl.name.clone(), decl.axes.clone(), decl.dtype, decl.storage);
                    g.read_input(own)
                }
                op => g.push(op.map_operands(|o| moved[o.index()])),
            };
        }
        wanted.iter().for_each(|(name, id)| g.output(name.clone(), moved[id.index()]));
        Lowered { graph: g, feeds, ..self.lowered.clone() }
    }
}

/// What a pass over the rows is made with.
struct Pass<'a> {
    engine: &'a Engine,
    model: &'a Model,
    data: &'a Dataset,
    seed: u64,
    names: &'a [String],
}

impl Pass<'_> {
    fn in_blocks(&self, totals: &Totals<'_>) -> Result<Values, Error> {
        let mut known = Values::new();
        let last = totals.levels.iter().copied().max().unwrap_or(0);
        for level in 1..=last {
            let wanted: Vec<(String, NodeId)> =
                totals.of_level(level).into_iter().map(|id| (name_of(id), id)).collect();
            let kinds = wanted.iter().map(|(_, id)| along(&totals.lowered.graph.node(*id).op, totals.rows));
            let kinds: Vec<ReduceKind> = kinds.flatten().collect();
            let mut sums: Vec<Vec<f64>> = vec![vec![]; wanted.len()];
            let mut by_size: BTreeMap<usize, Prepared> = BTreeMap::new();
            for from in (0..self.data.n_rows).step_by(ROWS) {
                let block = from..(from + ROWS).min(self.data.n_rows);
                let prepared = match by_size.entry(block.len()) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        let lowered = totals.graph(block.len(), level, &wanted);
                        entry.insert(self.engine.prepare_lowered(self.model, lowered, block.len(), None)?)
                    }
                };
                self.run(prepared, block, &known)?;
                for ((sum, kind), (name, _)) in sums.iter_mut().zip(&kinds).zip(&wanted) {
                    add(sum, *kind, prepared.exe.output(name).unwrap_or_default());
                }
            }
            for ((name, _), sum) in wanted.into_iter().zip(sums) {
                known.insert(name, sum.into_iter().map(|v| v as f32).collect());
            }
        }
        // What is left has no rows.
        let lowered = totals.graph(1, last + 1, totals.lowered.graph.outputs());
        let mut prepared = self.engine.prepare_lowered(self.model, lowered, 1, None)?;
        self.run(&mut prepared, 0..1, &known)?;
        Ok(self.outputs(&prepared))
    }

    fn run(
        &self,
        prepared: &mut Prepared,
        rows: std::ops::Range<usize>,
        known: &Values,
    ) -> Result<(), Error> {
        let mut variables = Variables::new();
        add_missing(&prepared.lowered, self.seed, &mut variables);
        let mut batch = Minibatch::default();
        let rows: Vec<u32> = rows.map(|row| row as u32).collect();
        Gatherer::new(self.data, known, &prepared.lowered).fill(&rows, 0, &mut batch);
        batch.check()?;
        let run = prepared.exe.run(&mut variables, &batch.feeds(), StepKey { seed: self.seed, step: 0 });
        run.map_err(|e| run_error(self.model, &prepared.lowered, &e)).map(|_| ())
    }

    fn outputs(&self, prepared: &Prepared) -> Values {
        let value = |name: &String| (name.clone(), prepared.exe.output(name).unwrap_or_default().to_vec());
        self.names.iter().map(value).collect()
    }
}

/// Takes the totals of a block in.
fn add(sum: &mut Vec<f64>, kind: ReduceKind, block: &[f32]) {
    let block = block.iter().map(|v| f64::from(*v));
    if sum.is_empty() {
        sum.extend(block);
        return;
    }
    for (sum, v) in sum.iter_mut().zip(block) {
        *sum = match kind {
            ReduceKind::Prod => *sum * v,
            // An extreme with NaN is NaN.
            ReduceKind::Max if sum.is_nan() || v <= *sum => *sum,
            ReduceKind::Min if sum.is_nan() || v >= *sum => *sum,
            ReduceKind::Max | ReduceKind::Min => v,
            ReduceKind::LogSumExp if sum.is_infinite() || v.is_infinite() => sum.max(v),
            ReduceKind::LogSumExp => sum.max(v) + (-(*sum - v).abs()).exp().ln_1p(),
            ReduceKind::Sum | ReduceKind::ArgMax => *sum + v,
        };
    }
}
