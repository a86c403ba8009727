//! What the compiled CPU back end makes of the library's models: numbers of the plan, and the same results as the
//! unoptimised plan, for any number of threads.

use crate::gradients::made::{Made, bound, variables};
use autodiff_runtime::backend::Backend;
use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::graph::Storage;
use autodiff_runtime::optim::{Adam, Optimiser};
use autodiff_runtime::plan::{Home, Plan, plan, step_graph};
use autodiff_runtime::rewrite::{Options, rewrite};
use autodiff_runtime::{CsrView, Elem, Feed, Program, StepKey, Training, Variables};
use dsl::{Bound, Compiled, Lowered, Mode, Purpose, Request, SlotKind, VariableKind};

const KEY: StepKey = StepKey { seed: 5, step: 2 };
const N_CELLS: usize = 24;

pub(crate) fn program(lowered: &Lowered, optimiser: Option<Optimiser>) -> Program {
    let graph = lowered.graph.clone().verify().unwrap_or_else(|e| panic!("{e:?}"));
    let trained = lowered.variables.iter().filter(|v| v.kind == VariableKind::Trained);
    let trained = trained.filter_map(|v| lowered.graph.find_variable(&v.name)).collect();
    let loss = lowered.loss.expect("an objective has a loss");
    let training = Training { loss, trained, expose_gradients: optimiser.is_none(), optimiser };
    Program { graph, training: Some(training) }
}

fn scvi_plan(likelihood: &str, n_batch: usize, n_genes: usize) -> Plan {
    let c = crate::library_model("scvi", &[("likelihood".into(), likelihood.into())]);
    let mut b = Bound { n_rows: 20_000, ..Bound::default() };
    b.sizes.insert("gene".into(), n_genes);
    b.present.insert("x".into());
    b.sparse.insert("x".into());
    let request = Request { purpose: Purpose::Objective, mode: Mode::Train, n_batch };
    let l = crate::lowered(&c, &b, &request);
    let step = step_graph(&program(&l, Some(Optimiser::Adam(Adam::default())))).expect("differentiable");
    plan(&rewrite(&step.graph, Options { level: 1 }), step.loss.as_deref(), true)
}

/// The step of scVI: how much of it there is, and what stays sparse.
#[test]
fn the_step_of_scvi_keeps_counts_sparse() {
    let (n_batch, n_genes) = (96, 2000);
    // Kernels; dense products (two heads of the decoder with zero inflation); arrays of cells × genes: the
    // outputs of each head, and their gradients.
    for (likelihood, kernels, products, matrices) in [("nb", 34, 12, 2), ("zinb", 36, 15, 4)] {
        let p = scvi_plan(likelihood, n_batch, n_genes);
        let f = p.facts();
        assert!(f.n_kernels <= kernels, "{likelihood}: {} kernels\n{p}", f.n_kernels);
        assert_eq!((f.n_products, f.n_sparse_products), (products, 2), "{likelihood}\n{p}");
        let large = |home: &Home, len: usize| matches!(home, Home::Arena(_)) && len == n_batch * n_genes;
        let found = p.slots.iter().filter(|s| large(&s.home, s.len)).count();
        assert_eq!(found, matrices, "{likelihood}: arrays of cells × genes\n{p}");
        let gamma = [Elem::Lgamma, Elem::Digamma, Elem::LgammaDelta, Elem::DigammaDelta];
        let dense = f.dense_ops_beside_sparse.iter().find(|e| gamma.contains(e));
        assert_eq!(dense, None, "{likelihood}: at every element\n{p}");
        for at_non_zeros in [Elem::LgammaDelta, Elem::DigammaDelta, Elem::Log1p] {
            assert!(f.sparse_ops.contains(&at_non_zeros), "{likelihood}: {at_non_zeros:?}\n{p}");
        }
    }
}

/// Feeds in single precision; counts as non-zeros where the graph asks for them.
pub(crate) struct Feeds(Vec<Held>);

enum Held {
    Dense(Vec<f32>),
    Index(Vec<u32>),
    Csr(Vec<usize>, Vec<u32>, Vec<f32>),
}

impl Feeds {
    fn new(l: &Lowered, made: &Made) -> Self {
        let one = |(feed, input): (Feed<'_, f64>, &autodiff_runtime::graph::InputDecl)| {
            let narrow = |x: &[f64]| x.iter().map(|v| *v as f32).collect::<Vec<f32>>();
            match feed {
                Feed::Index(x) => Held::Index(x.to_vec()),
                Feed::Dense(x) if input.storage == Storage::Csr => {
                    let width = l.graph.size(input.axes.as_slice()[1]);
                    let (mut offsets, mut columns, mut values) = (vec![0], vec![], vec![]);
                    for row in narrow(x).chunks(width) {
                        let kept = (0_u32..).zip(row).filter(|(_, v)| **v != 0.0);
                        kept.for_each(|(c, v)| {
                            columns.push(c);
                            values.push(*v);
                        });
                        offsets.push(values.len());
                    }
                    Held::Csr(offsets, columns, values)
                }
                Feed::Dense(x) => Held::Dense(narrow(x)),
                Feed::Csr(_) => panic!("made up dense"),
            }
        };
        Self(made.feeds().into_iter().zip(l.graph.inputs()).map(one).collect())
    }

    fn lent(&self) -> Vec<Feed<'_, f32>> {
        self.0.iter().map(Held::lent).collect()
    }
}

impl Feeds {
    /// The same loss and gradients in double precision, from the same numbers.
    pub(crate) fn run_wide(&self, l: &Lowered, start: &Variables<f32>) -> Vec<(String, Vec<f32>)> {
        let widen = |x: &[f32]| x.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let values: Vec<Vec<f64>> = self
            .0
            .iter()
            .map(|h| match h {
                Held::Dense(x) | Held::Csr(_, _, x) => widen(x),
                Held::Index(_) => vec![],
            })
            .collect();
        let feeds: Vec<Feed<'_, f64>> = self
            .0
            .iter()
            .zip(&values)
            .map(|(h, values)| match h {
                Held::Dense(_) => Feed::Dense(values),
                Held::Index(x) => Feed::Index(x),
                Held::Csr(offsets, columns, _) => Feed::Csr(CsrView { offsets, columns, values }),
            })
            .collect();
        let mut wide = Variables::new();
        start.iter().for_each(|(n, v)| wide.set(n, widen(v)));
        let program = program(l, None);
        let backend: &dyn Backend<f64> = &CpuBackend { threads: 2, level: 1 };
        let mut exe = backend.prepare(&program).expect("the graph can be prepared");
        exe.run(&mut wide, &feeds, KEY).expect("the graph runs");
        names(l)
            .map(|n| (n.clone(), exe.output(&n).expect("an output").iter().map(|x| *x as f32).collect()))
            .collect()
    }
}

/// The loss, and the gradient of each trained variable.
fn names(l: &Lowered) -> impl Iterator<Item = String> + '_ {
    let trained = l.variables.iter().filter(|v| v.kind == VariableKind::Trained);
    std::iter::once("loss".to_owned()).chain(trained.map(|v| format!("grad.{}", v.name)))
}

impl Held {
    fn lent(&self) -> Feed<'_, f32> {
        match self {
            Held::Dense(x) => Feed::Dense(x),
            Held::Index(x) => Feed::Index(x),
            Held::Csr(offsets, columns, values) => Feed::Csr(CsrView { offsets, columns, values }),
        }
    }
}

/// Loss and gradients, by name.
pub(crate) fn run(
    l: &Lowered,
    feeds: &Feeds,
    start: &Variables<f32>,
    backend: &dyn Backend<f32>,
) -> Vec<(String, Vec<f32>)> {
    let program = program(l, None);
    let mut exe = backend.prepare(&program).unwrap_or_else(|e| panic!("the graph can be prepared: {e}"));
    exe.run(&mut start.clone(), &feeds.lent(), KEY).unwrap_or_else(|e| panic!("the graph runs: {e}"));
    let read = |n: String| (n.clone(), exe.output(&n).expect("an output").to_vec());
    names(l).map(read).collect()
}

/// An objective, with made-up data and initial values.
pub(crate) fn made_up(c: &Compiled, mode: Mode) -> (Lowered, Feeds, Variables<f32>) {
    let mut b = bound(c, N_CELLS);
    b.sparse.extend(c.slots().iter().filter(|s| s.kind == SlotKind::Count).map(|s| s.name.clone()));
    let stats = crate::gradients::library::statistics(c, &bound(c, N_CELLS));
    let l = crate::lowered(c, &b, &Request { purpose: Purpose::Objective, mode, n_batch: N_CELLS });
    let made = Made::new(c, &b, &l, &stats, 100.0);
    let feeds = Feeds::new(&l, &made);
    let mut start = Variables::new();
    // Smaller weights than in double precision, where wide nets may give exponents that single precision lacks.
    let small = |n: &str, x: f64| if n.contains("weight") { 0.25 * x } else { x } as f32;
    variables(&l).iter().for_each(|(n, v)| start.set(n, v.iter().map(|x| small(n, *x)).collect()));
    (l, feeds, start)
}

fn compare(what: &str, c: &Compiled, mode: Mode, wrong: &mut Vec<String>) {
    let (l, feeds, start) = made_up(c, mode);
    let plain = run(&l, &feeds, &start, &CpuBackend { threads: 1, level: 0 });
    let fast = run(&l, &feeds, &start, &CpuBackend { threads: 1, level: 1 });
    if fast != run(&l, &feeds, &start, &CpuBackend { threads: 2, level: 1 }) {
        wrong.push(format!("{what}: one and two threads differ"));
    }
    let truth = feeds.run_wide(&l, &start);
    for (((name, t), (_, p)), (_, f)) in truth.iter().zip(&plain).zip(&fast) {
        let ((off, scale), (rounding, _)) = (gap(&truth, t, f), gap(&truth, t, p));
        // Where single precision itself is off by more, operations done one by one are the measure.
        if off > (1e-4 * scale).max(3.0 * rounding) || off.is_nan() {
            wrong.push(format!(
                "{what}, {name}: off by {off:.2e} of {scale:.2e}; at level 0 by {rounding:.2e}"
            ));
        }
    }
}

/// The largest difference of two gradients, and what it is measured by: the largest element, or a hundredth of the loss.
pub(crate) fn gap(all: &[(String, Vec<f32>)], a: &[f32], b: &[f32]) -> (f32, f32) {
    let floor = 1e-2 * all[0].1[0].abs().max(1.0);
    let scale = a.iter().fold(floor, |m, v| m.max(v.abs()));
    (a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max), scale)
}

/// The library's models, by name.
pub(crate) fn models() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../stdlib");
    let files = std::fs::read_dir(folder).expect("the library is checked in");
    let mut models: Vec<String> = files
        .map(|e| e.expect("a readable folder").path())
        .filter(|p| p.extension().is_some_and(|e| e == "svi"))
        .map(|p| p.file_stem().expect("a file").to_string_lossy().into_owned())
        .collect();
    models.sort();
    models
}

/// Single precision, with machine code and the matrix unit where there are such, against every operation by itself.
#[test]
fn levels_and_threads_agree_on_every_library_model() {
    let mut wrong = vec![];
    for model in &models() {
        let c = crate::library_model(model, &[]);
        for mode in [Mode::Train, Mode::Evaluate] {
            compare(&format!("{model} {mode:?}"), &c, mode, &mut wrong);
        }
    }
    for likelihood in ["nb", "poisson"] {
        let c = crate::library_model("scvi", &[("likelihood".into(), likelihood.into())]);
        compare(&format!("scvi {likelihood}"), &c, Mode::Train, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
