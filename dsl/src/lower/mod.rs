//! Objective + [`Bound`] → graph, for one purpose and one minibatch size.
//!
//! Every typed expression becomes at most one node (sharing survives). Axes of the model become axes of the graph in the
//! same order: the minibatched plate first, then the data's, then knobs, which is the order of storage.

mod adversary;
mod context;
mod enumerate;
mod expr;
mod host;
mod layer;
mod lookup;
mod mask;
mod purpose;
mod score;
mod site;
mod word;

use crate::compiled::{AxisSource, Bound, FeedSpec, Lowered, Mode, Purpose, Request, TermInfo, VariableSpec};
use crate::model::{AxisNo, ExprId, FieldNo, Model, SiteNo};
use crate::objective::Objective;
use crate::source::Span;
use autodiff_runtime::{Axes, AxisId, Graph, NodeId, Op, Origin};
use context::Context;
use distributions::Sample;
use site::Law;
use std::collections::{BTreeMap, BTreeSet};

/// Lowers a derived model.
pub fn lower(model: &Model, objective: &Objective, bound: &Bound, request: &Request) -> Lowered {
    let mut l = Lowerer::new(model, objective, bound, request);
    match &request.purpose {
        Purpose::Objective => l.objective(),
        Purpose::Outputs { names, given } => l.outputs(names, given),
        Purpose::Simulation => l.simulation(),
        Purpose::Statistics => l.statistics(),
    }
    l.finish()
}

/// What stands for a data field in this graph.
#[derive(Clone, Copy, Debug)]
enum FieldValue {
    /// Values, or codes of a category.
    Node(NodeId),
    /// The same label for every row.
    Code(usize),
    /// An optional category that was not bound, or that has one label: no choice to make.
    Single,
    /// Every label at once, along an axis.
    All(AxisId),
    /// Weights of the labels along their axis.
    Soft(NodeId),
}

struct Lowerer<'a> {
    m: &'a Model,
    o: &'a Objective,
    bound: &'a Bound,
    request: &'a Request,
    g: Graph,
    /// Graph axis of each model axis.
    axes: Vec<AxisId>,
    /// Axes of covariates: the field's continuous columns under its own name, each categorical column under
    /// `field.column`.
    covariate_axes: BTreeMap<String, AxisId>,
    /// Sites that a simulation is drawing, outermost first.
    drawing: Vec<SiteNo>,
    /// A second axis of the same size, for maps from an axis to itself.
    twins: BTreeMap<AxisId, AxisId>,
    /// Axes inside layers, by path and name.
    inner: BTreeMap<String, AxisId>,
    feeds: Vec<FeedSpec>,
    inputs: BTreeMap<String, NodeId>,
    variables: Vec<VariableSpec>,
    /// The one node that reads each variable.
    reads: BTreeMap<String, NodeId>,
    /// What holds for interventions; the first is the graph itself. Values below are kept under the number of the
    /// context that they belong to.
    contexts: Vec<Context>,
    here: usize,
    memo: BTreeMap<(usize, ExprId), NodeId>,
    fields: BTreeMap<(usize, FieldNo), FieldValue>,
    /// Fields held at a value by `given`.
    fields_held: BTreeSet<FieldNo>,
    /// The rows of tables that have one for each row of the data set, by plate.
    table_rows: BTreeMap<AxisNo, AxisId>,
    /// The second plate, where this step takes a minibatch of it too.
    paired: Option<AxisNo>,
    samples: BTreeMap<(usize, SiteNo), Sample>,
    guides: BTreeMap<(usize, SiteNo), Law>,
    /// Probabilities of enumerated sites.
    weights: BTreeMap<(usize, SiteNo), NodeId>,
    /// Sums of the model, and the order in which the sites of each were summed.
    sums: BTreeMap<(usize, usize), Vec<NodeId>>,
    eliminated: BTreeMap<usize, Vec<SiteNo>>,
    /// The axis of each enumerated site.
    fresh: Vec<Option<AxisId>>,
    /// Axes of repeated draws.
    draw_axes: Vec<AxisId>,
    /// The one along which the whole objective is averaged.
    repeats: Option<AxisId>,
    /// Values that running statistics will take.
    pending: BTreeMap<String, NodeId>,
    streams: BTreeMap<u32, String>,
    origins: Vec<Span>,
    terms: Vec<TermInfo>,
    loss: Option<NodeId>,
    output_axes: BTreeMap<String, Vec<String>>,
    /// Parameters that are read now belong to another player: no gradient reaches them.
    hold_parameters: bool,
    output_labels: BTreeMap<String, String>,
    /// In a statistic: the category within whose labels the plate is reduced.
    within: Option<FieldNo>,
}

impl<'a> Lowerer<'a> {
    fn new(m: &'a Model, o: &'a Objective, bound: &'a Bound, request: &'a Request) -> Self {
        let mut l = Self {
            m,
            o,
            bound,
            request,
            g: Graph::new(),
            axes: vec![],
            covariate_axes: BTreeMap::new(),
            drawing: vec![],
            twins: BTreeMap::new(),
            inner: BTreeMap::new(),
            feeds: vec![],
            inputs: BTreeMap::new(),
            variables: vec![],
            reads: BTreeMap::new(),
            contexts: vec![Context::default()],
            here: 0,
            memo: BTreeMap::new(),
            fields: BTreeMap::new(),
            fields_held: BTreeSet::new(),
            table_rows: BTreeMap::new(),
            paired: None,
            samples: BTreeMap::new(),
            guides: BTreeMap::new(),
            weights: BTreeMap::new(),
            sums: BTreeMap::new(),
            eliminated: BTreeMap::new(),
            fresh: vec![None; m.sites.len()],
            draw_axes: vec![],
            repeats: None,
            pending: BTreeMap::new(),
            streams: BTreeMap::new(),
            origins: vec![Span::default()],
            terms: vec![],
            loss: None,
            output_axes: BTreeMap::new(),
            hold_parameters: false,
            output_labels: BTreeMap::new(),
            within: None,
        };
        l.declare_axes();
        l
    }

    fn declare_axes(&mut self) {
        let step = self.request.purpose == Purpose::Objective && self.training();
        let pair = self.m.train.pair.as_ref().filter(|_| step).and_then(|name| self.m.find_axis(name));
        self.paired = pair.filter(|p| Some(*p) != self.m.plate);
        for p in [self.m.plate, self.paired].into_iter().flatten() {
            if self.m.params.iter().any(|q| q.ty.axes.contains(&p)) {
                let name = self.m.axis_name(p).to_owned();
                let n = self.bound.sizes.get(&name).copied().unwrap_or(self.bound.n_rows);
                let id = self.g.add_axis(name, n.max(1));
                self.table_rows.insert(p, id);
            }
        }
        let mut covariates = false;
        let plates: BTreeSet<AxisNo> = self.m.sites.iter().flat_map(|s| s.plates.iter().copied()).collect();
        let last_plate = plates.last().map_or(0, |p| p.0 as usize + 1);
        for (i, axis) in self.m.axes.iter().enumerate() {
            if i == last_plate {
                self.declare_enumerated();
            }
            if matches!(axis.source, AxisSource::Knob(_) | AxisSource::Formula(_)) && !covariates {
                self.declare_covariates();
                covariates = true;
            }
            let size = self.size(AxisNo(i as u32));
            self.axes.push(self.g.add_axis(axis.name.clone(), size));
        }
        if self.m.axes.len() == last_plate {
            self.declare_enumerated();
        }
        if !covariates {
            self.declare_covariates();
        }
    }

    /// Elements of an axis of the model in this graph.
    fn size(&self, a: AxisNo) -> usize {
        let axis = &self.m.axes[a.0 as usize];
        if [self.m.plate, self.paired].contains(&Some(a)) {
            return self.request.n_batch.max(1);
        }
        self.bound.size(&self.m.axes, &axis.name).unwrap_or(1).max(1)
    }

    /// Axes of repeated draws and of enumerated sites come after the plates: what depends on them is computed once for
    /// each draw or value, in blocks.
    fn declare_enumerated(&mut self) {
        if self.request.purpose == Purpose::Objective && self.m.train.samples > 1 {
            let axis = self.g.add_axis("draw", self.m.train.samples);
            self.draw_axes.push(axis);
            self.repeats = Some(axis);
        }
        let summed = self.o.sums.iter().flat_map(|s| &s.sites);
        for &s in self.o.enumerated.iter().chain(summed).collect::<BTreeSet<_>>() {
            let site = &self.m.sites[s];
            let size = site.prior.event.map_or(2, |a| self.size(a));
            self.fresh[s] = Some(self.g.add_axis(site.name.clone(), size));
        }
    }

    fn declare_covariates(&mut self) {
        for (field, shape) in &self.bound.covariates {
            if !shape.continuous.is_empty() {
                let id = self.g.add_axis(field.clone(), shape.continuous.len());
                self.covariate_axes.insert(field.clone(), id);
            }
            for (column, n) in &shape.categorical {
                let id = self.g.add_axis(column.clone(), *n);
                self.covariate_axes.insert(format!("{field}.{column}"), id);
            }
        }
    }

    fn axis(&self, a: AxisNo) -> AxisId {
        self.axes[a.0 as usize]
    }

    fn axes_of(&self, axes: impl IntoIterator<Item = AxisNo>) -> Axes {
        Axes::new(axes.into_iter().map(|a| self.axis(a)))
    }

    fn plate(&self) -> Option<AxisId> {
        self.m.plate.map(|p| self.axis(p))
    }

    fn training(&self) -> bool {
        self.request.mode == Mode::Train
    }

    /// New nodes come from this place in the source.
    fn at(&mut self, span: Span) {
        if self.origins.last() != Some(&span) {
            self.origins.push(span);
        }
        self.g.set_origin(Origin(self.origins.len() as u32 - 1));
    }

    /// A declared input, made on first use.
    fn input(
        &mut self,
        name: &str,
        spec: FeedSpec,
        axes: Axes,
        dtype: autodiff_runtime::graph::Dtype,
        csr: bool,
    ) -> NodeId {
        use FeedSpec::*;
        let of_rows = matches!(
            spec,
            Field(_) | Known(_) | FieldAt { .. } | CovariateReals(_) | CovariateCategory { .. } | Rows
        );
        let labelled = of_rows && self.plate().is_some_and(|p| axes.contains(p)) && self.reads_labelled();
        let (name, spec) = match labelled {
            true => (format!("labelled {name}"), OfLabelled(Box::new(spec))),
            false => (name.to_owned(), spec),
        };
        if let Some(&node) = self.inputs.get(&name) {
            return node;
        }
        use autodiff_runtime::graph::Storage;
        let storage = if csr { Storage::Csr } else { Storage::Dense };
        let id = self.g.declare_input(&*name, axes, dtype, storage);
        let node = self.g.read_input(id);
        self.feeds.push(spec);
        self.inputs.insert(name, node);
        node
    }

    /// Row numbers of the minibatch, if the value has its axis.
    fn rows(&mut self, axes: &Axes) -> Option<NodeId> {
        if let Some(p) = self.paired.map(|p| self.axis(p)).filter(|p| axes.contains(*p)) {
            let axes = Axes::from(p);
            let dtype = autodiff_runtime::graph::Dtype::Index;
            return Some(self.input("paired rows", FeedSpec::PairedRows, axes, dtype, false));
        }
        let plate = self.plate().filter(|p| axes.contains(*p))?;
        Some(self.input(
            "rows",
            FeedSpec::Rows,
            Axes::from(plate),
            autodiff_runtime::graph::Dtype::Index,
            false,
        ))
    }

    /// First stream number of a named source of noise: a function of the name, so that the noise of one does not depend
    /// on which others there are.
    fn stream(&mut self, name: &str) -> u32 {
        let step = distributions::Draw::STREAMS;
        let hash = name.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
        let mut stream = hash / step * step;
        while self.streams.get(&stream).is_some_and(|other| other != name) {
            stream = stream.wrapping_add(step);
        }
        self.streams.insert(stream, name.to_owned());
        stream
    }

    fn finish(mut self) -> Lowered {
        for (name, value) in std::mem::take(&mut self.pending) {
            if let Some(id) = self.g.find_variable(&name) {
                self.g.assign(id, value);
            }
        }
        let random_outputs = self.random_outputs();
        Lowered {
            graph: self.g,
            feeds: self.feeds,
            variables: self.variables,
            loss: self.loss,
            terms: self.terms,
            output_axes: self.output_axes,
            output_labels: self.output_labels,
            random_outputs,
            streams: self.streams,
            origins: self.origins,
        }
    }

    /// Outputs that some draw reaches.
    fn random_outputs(&self) -> BTreeSet<String> {
        let mut random = vec![false; self.g.nodes().len()];
        for id in self.g.node_ids() {
            let op = &self.g.node(id).op;
            random[id.index()] =
                matches!(op, Op::Random { .. }) || op.operands().iter().any(|o| random[o.index()]);
        }
        self.g.outputs().iter().filter(|(_, id)| random[id.index()]).map(|(n, _)| n.clone()).collect()
    }
}
