//! Shared by tests: the checked-in library, made-up data of any shape, and runs of lowered graphs in f64.
#![allow(dead_code, reason = "each test binary uses its own part")]

use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{Feed, StepKey, Variables};
use dsl::diagnostic::{Diagnostics, render_concise};
use dsl::source::Sources;
use dsl::{
    AxisSource, Bound, Compiled, CovariateShape, FeedSpec, Library, Lowered, Mode, Purpose, Request,
    Settings, SlotKind, compile,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub struct Stdlib;

impl Library for Stdlib {
    fn find(&self, path: &str) -> Option<(String, String)> {
        let file = root().join("../stdlib").join(format!("{path}.svi"));
        Some((format!("{path}.svi"), std::fs::read_to_string(file).ok()?))
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names and texts of the `.svi` files of a folder.
pub fn texts(folder: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the folder is checked in");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("a readable folder").path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "svi"));
    paths.sort();
    let name = |p: &PathBuf| p.file_stem().expect("a file").to_string_lossy().into_owned();
    paths.iter().map(|p| (name(p), std::fs::read_to_string(p).expect("a readable file"))).collect()
}

pub fn compile_with(text: &str, sets: &[(&str, &str)]) -> (Option<Compiled>, Diagnostics, Sources) {
    let mut sources = Sources::new();
    let file = sources.add("model.svi", text);
    let sets = sets.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let (compiled, diagnostics) =
        compile(&mut sources, file, &Settings { sets, ..Settings::default() }, &Stdlib);
    (compiled, diagnostics, sources)
}

pub fn compiled(text: &str, sets: &[(&str, &str)]) -> Compiled {
    let (compiled, diagnostics, sources) = compile_with(text, sets);
    compiled.unwrap_or_else(|| panic!("{sets:?}\n{text}\n{}", render_concise(&sources, &diagnostics)))
}

/// A small shape for every axis; everything present, or only what must be.
pub fn bound(c: &Compiled, n_rows: usize, everything: bool) -> Bound {
    let mut b = Bound { n_rows, ..Bound::default() };
    for (i, axis) in c.axes().iter().enumerate().filter(|(_, a)| Some(a.name.as_str()) != c.plate()) {
        let optional = |f: &str| c.slots().iter().any(|s| s.name == *f && s.optional);
        match &axis.source {
            AxisSource::Category(f) if !everything && optional(f) => {}
            AxisSource::Data | AxisSource::Within(_) => drop(b.sizes.insert(axis.name.clone(), 5 + i % 2)),
            AxisSource::Category(_) => drop(b.sizes.insert(axis.name.clone(), 2 + i % 2)),
            AxisSource::Knob(_) | AxisSource::Formula(_) | AxisSource::Labels(_) | AxisSource::Rank(_) => {}
        }
    }
    for slot in c.slots().iter().filter(|s| everything || !s.optional) {
        b.present.insert(slot.name.clone());
        if slot.kind == SlotKind::Covariates {
            let (categorical, continuous) = (vec![("donor".to_owned(), 3)], vec!["age".to_owned()]);
            b.covariates.insert(slot.name.clone(), CovariateShape { categorical, continuous });
        }
    }
    b
}

pub fn request(purpose: Purpose, mode: Mode, n_batch: usize) -> Request {
    Request { purpose, mode, n_batch }
}

/// A number in (0, 1) that depends on nothing but its name and place.
pub fn noise(name: &str, at: &[usize]) -> f64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    let bytes = name.bytes().map(u64::from).chain(at.iter().map(|a| *a as u64 + 257));
    for b in bytes {
        h = (h ^ b).wrapping_mul(0x0100_0000_01b3);
        h ^= h >> 29;
    }
    h = (h ^ (h >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((h >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

/// What is fed to one input.
pub enum Input {
    Reals(Vec<f64>),
    Codes(Vec<u32>),
}

impl Input {
    pub fn feed(&self) -> Feed<'_, f64> {
        match self {
            Input::Reals(x) => Feed::Dense(x),
            Input::Codes(x) => Feed::Index(x),
        }
    }
}

/// Made-up data and parameters under their names, each name first mapped by `canonical`.
pub struct World<'a> {
    pub model: &'a Compiled,
    pub bound: Bound,
    pub canonical: fn(&str) -> String,
    pub epoch: f64,
    pub step: u64,
}

impl World<'_> {
    pub fn slot_value(&self, field: &str, at: &[usize]) -> f64 {
        let u = noise(&(self.canonical)(field), at);
        let kind = self.model.slots().iter().find(|s| s.name == field).map(|s| s.kind);
        match kind {
            Some(SlotKind::Count) => (u * u * 9.0).floor() + 9.0 * self.counts_after(field),
            Some(SlotKind::Bool) => f64::from(u8::from(u > 0.5)),
            Some(SlotKind::Positive | SlotKind::Nonneg) => 0.5 + 2.0 * u,
            Some(SlotKind::Unit | SlotKind::Simplex) => u,
            _ => 4.0 * u - 2.0,
        }
    }

    /// Fields of counts whose names come later: a count lies above all of these, so that `cov` can be the total of `mc`.
    fn counts_after(&self, field: &str) -> f64 {
        let own = (self.canonical)(field);
        let later = |s: &&dsl::Slot| s.kind == SlotKind::Count && (self.canonical)(&s.name) > own;
        self.model.slots().iter().filter(later).count() as f64
    }

    fn slot_axes(&self, field: &str) -> usize {
        self.model.slots().iter().find(|s| s.name == field).map_or(1, |s| s.axes.len())
    }

    /// The code of a category, or the number that an index names.
    pub fn code(&self, field: &str, at: &[usize]) -> f64 {
        let slot = self.model.slots().iter().find(|s| s.name == field);
        let axis = slot.and_then(|s| s.over.clone()).unwrap_or_else(|| field.to_owned());
        let knob = self.model.axes().iter().find_map(|a| match a.source {
            AxisSource::Knob(n) if a.name == axis => Some(n),
            _ => None,
        });
        let n = match self.bound.sizes.get(&axis).copied().or(knob) {
            Some(n) => n,
            None if Some(axis.as_str()) == self.model.plate() => self.bound.n_rows,
            None => 1,
        };
        (noise(&(self.canonical)(field), at) * n as f64).floor()
    }

    pub fn is_known(&self, field: &str, at: &[usize]) -> f64 {
        f64::from(u8::from(noise(&format!("known {}", (self.canonical)(field)), at) < 0.7))
    }

    fn feed(&self, spec: &FeedSpec, sizes: &[usize], has_rows: bool, rows: &[usize]) -> (Vec<f64>, Vec<u32>) {
        let labels = |name: &str| self.bound.sizes.get(name).copied().unwrap_or(1);
        let places = |name: &str, value: &dyn Fn(&[usize]) -> f64| {
            let n: usize = sizes.iter().product();
            let _ = name;
            (0..n)
                .map(|mut i| {
                    let mut at = vec![0; sizes.len()];
                    for (d, size) in sizes.iter().enumerate().rev() {
                        at[d] = i % size;
                        i /= size;
                    }
                    if has_rows {
                        at[0] = rows[at[0]];
                    }
                    value(&at)
                })
                .collect::<Vec<f64>>()
        };
        match spec {
            FeedSpec::Field(f) => {
                let reals = places(f, &|at| self.slot_value(f, at));
                (reals, places(f, &|at| self.code(f, at)).iter().map(|c| *c as u32).collect())
            }
            FeedSpec::Known(f) => (places(f, &|at| self.is_known(f, at)), vec![]),
            FeedSpec::FieldAt { field, index, known, own_first } => {
                let n_index = self.slot_axes(index) - 1;
                let n_own = self.slot_axes(field) - 1;
                let value = |at: &[usize]| {
                    let (first, second) = at[1..].split_at(if *own_first { n_own } else { n_index });
                    let (of_index, own) = if *own_first { (second, first) } else { (first, second) };
                    let row = self.code(index, &[&at[..1], of_index].concat()) as usize;
                    let at = [&[row], own].concat();
                    if *known { self.is_known(field, &at) } else { self.slot_value(field, &at) }
                };
                let reals = places(field, &value);
                let code = |at: &[usize]| {
                    let row = self.code(index, &at[..1 + n_index]) as usize;
                    self.code(field, &[row])
                };
                (
                    reals,
                    if n_own == 0 {
                        places(field, &code).iter().map(|c| *c as u32).collect()
                    } else {
                        vec![]
                    },
                )
            }
            FeedSpec::Within(axis) => {
                let of = self.model.axes().iter().find(|a| a.name == *axis).map(|a| a.source.clone());
                let Some(AxisSource::Within(whole)) = of else { panic!("{axis} is a subset") };
                let n = labels(&whole);
                (vec![], (0..sizes[0]).map(|i| ((2 * i + 1) % n) as u32).collect())
            }
            FeedSpec::Label { .. } => (vec![1.0], vec![]),
            FeedSpec::CovariateCategory { field, column } => {
                let n = self.bound.covariates[field]
                    .categorical
                    .iter()
                    .find(|c| c.0 == *column)
                    .expect("bound")
                    .1;
                let codes = places(column, &|at| (noise(column, at) * n as f64).floor());
                (vec![], codes.iter().map(|c| *c as u32).collect())
            }
            FeedSpec::CovariateReals(f) => (places(f, &|at| noise(f, at) - 0.5), vec![]),
            FeedSpec::OfLabelled(spec) => self.feed(spec, sizes, has_rows, &self.labelled(rows)),
            FeedSpec::Rows | FeedSpec::PairedRows => (vec![], rows.iter().map(|r| *r as u32).collect()),
            FeedSpec::Stat(s) => (self.statistic(s), vec![]),
            FeedSpec::Numbers(all) => (vec![], all.clone()),
            FeedSpec::Epoch => (vec![self.epoch], vec![]),
            FeedSpec::Total(f) => (places(f, &|at| 20.0 + 10.0 * noise(f, at)), vec![]),
        }
    }

    /// The labelled rows that go along with others.
    pub fn labelled(&self, rows: &[usize]) -> Vec<usize> {
        let field = self.model.train().labelled.as_ref().map_or("", |l| &l.field);
        let known: Vec<usize> =
            (0..self.bound.n_rows).filter(|r| self.is_known(field, &[*r]) > 0.0).collect();
        (0..rows.len()).map(|i| known[i.saturating_sub(2) % known.len()]).collect()
    }

    fn statistic(&self, name: &str) -> Vec<f64> {
        let n = self.bound.n_rows;
        let l = self
            .model
            .lower(&self.bound, &request(Purpose::Statistics, Mode::Evaluate, n))
            .expect("statistics lower");
        self.run(&l, &(0..n).collect::<Vec<_>>())[name].clone()
    }

    /// Values or codes of every input of a lowered graph, for the given rows of the data.
    pub fn inputs(&self, l: &Lowered, rows: &[usize]) -> Vec<Input> {
        let plate = self.model.plate().unwrap_or("");
        let mut inputs = vec![];
        for (spec, input) in l.feeds.iter().zip(l.graph.inputs()) {
            let sizes: Vec<usize> = input.axes.iter().map(|a| l.graph.size(a)).collect();
            let has_rows = input.axes.iter().next().is_some_and(|a| l.graph.axis(a).name == plate);
            let (reals, codes) = self.feed(spec, &sizes, has_rows, rows);
            inputs.push(if input.dtype == Dtype::Index { Input::Codes(codes) } else { Input::Reals(reals) });
        }
        inputs
    }

    /// Made-up values of every variable of a lowered graph.
    pub fn variables(&self, l: &Lowered) -> Variables<f64> {
        stored(&self.parameters(l))
    }

    /// The same by name.
    pub fn parameters(&self, l: &Lowered) -> BTreeMap<String, Vec<f64>> {
        let of = |v: &dsl::VariableSpec| {
            let n: usize = v.dims.iter().map(|d| d.size).product();
            let name = (self.canonical)(&v.name);
            let value = |i| {
                let x = 0.2 * (noise(&name, &[i]) - 0.5);
                if v.name.ends_with("running_var") || v.name.contains(".var") { x + 1.0 } else { x }
            };
            (v.name.clone(), (0..n).map(value).collect())
        };
        l.variables.iter().map(of).collect()
    }

    /// Every output of a lowered graph, for the given rows of the data.
    pub fn run(&self, l: &Lowered, rows: &[usize]) -> BTreeMap<String, Vec<f64>> {
        self.run_at(l, rows, &self.parameters(l))
    }

    /// Likewise at given values of the variables.
    pub fn run_at(
        &self,
        l: &Lowered,
        rows: &[usize],
        at: &BTreeMap<String, Vec<f64>>,
    ) -> BTreeMap<String, Vec<f64>> {
        let names: Vec<String> = l.graph.outputs().iter().map(|o| o.0.clone()).collect();
        let wanted: Vec<_> = l.graph.outputs().iter().map(|o| o.1).collect();
        names.into_iter().zip(self.values(l, &l.graph, &wanted, rows, &stored(at))).collect()
    }

    /// Values of nodes of `graph`, which has the inputs and variables of the lowered one.
    pub fn values(
        &self,
        l: &Lowered,
        graph: &autodiff_runtime::Graph,
        wanted: &[autodiff_runtime::NodeId],
        rows: &[usize],
        variables: &Variables<f64>,
    ) -> Vec<Vec<f64>> {
        let inputs = self.inputs(l, rows);
        let feeds: Vec<Feed<'_, f64>> = inputs.iter().map(Input::feed).collect();
        let key = StepKey { seed: 7, step: self.step };
        evaluate(graph, wanted, variables, &feeds, key).expect("the graph runs")
    }

    /// Every output of the objective.
    pub fn objective(&self, mode: Mode, rows: &[usize]) -> BTreeMap<String, Vec<f64>> {
        let asked = request(Purpose::Objective, mode, rows.len());
        let l = self.model.lower(&self.bound, &asked).expect("the objective lowers");
        self.run(&l, rows)
    }
}

pub fn same(name: &str) -> String {
    name.to_owned()
}

fn stored(values: &BTreeMap<String, Vec<f64>>) -> Variables<f64> {
    let mut variables = Variables::new();
    values.iter().for_each(|(name, v)| variables.set(name, v.clone()));
    variables
}
