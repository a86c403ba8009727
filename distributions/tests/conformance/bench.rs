//! A small bench: families over a grid of points, evaluated by the plain double-precision evaluator.

use autodiff_runtime::autodiff::gradients;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::{Axes, AxisId, Feed, Graph, NodeId, StepKey, Variables};
use distributions::{Dist, Draw, Sample, find};

/// Owned data of one input.
#[derive(Clone, Debug)]
pub enum Data {
    Real(Vec<f64>),
    Index(Vec<u32>),
}

/// A graph with its feeds. Axes, slowest first: `block` (20 independent repeats), `draw`, `point` (the grid), `event`.
pub struct Bench {
    pub g: Graph,
    pub block: AxisId,
    pub draw: AxisId,
    pub point: AxisId,
    pub event: AxisId,
    pub data: Vec<Data>,
    pub key: StepKey,
}

pub const N_BLOCKS: usize = 20;

impl Bench {
    /// `n_event` is 1 where no vector family takes part; `n_draws` counts draws per block.
    pub fn new(n_points: usize, n_event: usize, n_draws: usize) -> Self {
        let mut g = Graph::new();
        let block = g.add_axis("block", N_BLOCKS);
        let draw = g.add_axis("draw", n_draws);
        let point = g.add_axis("point", n_points);
        let event = g.add_axis("event", n_event);
        let key = StepKey { seed: 20_240_607, step: 3 };
        Self { g, block, draw, point, event, data: vec![], key }
    }

    pub fn input(&mut self, axes: impl Into<Axes>, values: Vec<f64>) -> NodeId {
        let axes = axes.into();
        assert_eq!(values.len(), self.g.n_elements(&axes));
        self.data.push(Data::Real(values));
        let name = format!("x{}", self.data.len());
        self.g.input(name, axes)
    }

    /// One number per point.
    pub fn scalar(&mut self, values: &[f64]) -> NodeId {
        self.input(self.point, values.to_vec())
    }

    /// `n_event` numbers per point.
    pub fn vector(&mut self, values: &[f64]) -> NodeId {
        self.input(Axes::from([self.point, self.event]), values.to_vec())
    }

    pub fn index(&mut self, values: &[f64]) -> NodeId {
        self.data.push(Data::Index(values.iter().map(|&v| v as u32).collect()));
        let name = format!("x{}", self.data.len());
        self.g.index_input(name, self.point)
    }

    /// A distribution whose parameters are inputs over the points (and the event axis where the family says so).
    pub fn dist(&mut self, family: &str, set: usize, params: &[&[f64]]) -> Dist {
        let family = find(family).expect("a known family");
        let declared = family.parameter_sets()[set];
        assert_eq!(declared.len(), params.len(), "{} takes other parameters", family.name());
        let params = declared
            .iter()
            .zip(params)
            .map(|(p, v)| if p.has_event_axis { self.vector(v) } else { self.scalar(v) })
            .collect();
        Dist { family, set, params, event: family.is_vector().then_some(self.event) }
    }

    /// A value of the family: an index for a Categorical, a vector for other vector families.
    pub fn value(&mut self, d: &Dist, values: &[f64]) -> Sample {
        match d.family.name() {
            "Categorical" => self.index(values),
            _ if d.family.is_vector() => self.vector(values),
            _ => self.scalar(values),
        }
        .into()
    }

    /// Axes and streams of a draw over blocks, draws and points.
    pub fn draws(&self, d: &Dist) -> Draw {
        let axes = Axes::from([self.block, self.draw, self.point]);
        let has_event = d.family.is_vector() && d.family.name() != "Categorical";
        let axes = if has_event { axes.with(self.event) } else { axes };
        Draw { stream: 8, axes, rows: None }
    }

    pub fn run(&self, wanted: &[NodeId]) -> Vec<Vec<f64>> {
        self.run_with(wanted, &self.data)
    }

    pub fn run_with(&self, wanted: &[NodeId], data: &[Data]) -> Vec<Vec<f64>> {
        let g = self.g.clone().verify().unwrap_or_else(|e| panic!("invalid graph: {:?}", e[0]));
        let feeds: Vec<Feed<'_, f64>> = data
            .iter()
            .map(|d| match d {
                Data::Real(v) => Feed::Dense(v),
                Data::Index(v) => Feed::Index(v),
            })
            .collect();
        evaluate(&g, wanted, &Variables::new(), &feeds, self.key).expect("the bench's graph runs")
    }

    /// Gradient of the sum of a node in each of `wrt`.
    pub fn gradients(&mut self, of: NodeId, wrt: &[NodeId]) -> Vec<NodeId> {
        let over = self.g.axes_of(of).clone();
        let loss = self.g.sum(of, over);
        gradients(&mut self.g, loss, wrt).expect("differentiable")
    }
}

/// log p of a family at values: parameters and values along one axis of points (event axis innermost).
pub fn log_prob(family: &str, set: usize, params: &[&[f64]], values: &[f64], n_event: usize) -> Vec<f64> {
    let first = find(family).expect("a known family").parameter_sets()[set][0];
    let n = params[0].len() / if first.has_event_axis { n_event } else { 1 };
    let mut b = Bench::new(n, n_event, 1);
    let d = b.dist(family, set, params);
    let at = b.value(&d, values);
    let lp = d.log_prob(&mut b.g, at);
    b.run(&[lp]).remove(0)
}

/// log p of an elementwise family at one point.
pub fn log_prob_at(family: &str, set: usize, params: &[f64], value: f64) -> f64 {
    let params: Vec<[f64; 1]> = params.iter().map(|p| [*p]).collect();
    let params: Vec<&[f64]> = params.iter().map(|p| p.as_slice()).collect();
    log_prob(family, set, &params, &[value], 1)[0]
}

/// |ours − truth| ≤ tolerance · max(1, |truth|), infinities and NaN equal to themselves.
pub fn assert_close(ours: f64, truth: f64, tolerance: f64, what: &str) {
    if ours == truth || (ours.is_nan() && truth.is_nan()) {
        return;
    }
    let err = (ours - truth).abs() / truth.abs().max(1.0);
    assert!(err <= tolerance, "{what}: {ours}, expected {truth} (error {err:e}, allowed {tolerance:e})");
}

/// Mean of blocks' results and its standard error.
pub fn mean_and_error(blocks: &[f64]) -> (f64, f64) {
    let n = blocks.len() as f64;
    let mean = blocks.iter().sum::<f64>() / n;
    let var = blocks.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (var / n).sqrt())
}
