//! Training steps of a whole model on the CPU back end against the same graph in the reference evaluator.

mod harness;
#[path = "harness/model.rs"]
mod model;

use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::backend::{Backend, Executable};
use autodiff_runtime::plan::step_graph;
use autodiff_runtime::{Element, NodeId, Program, Variables};
use harness::{Data, KEY, close, feeds, own};

/// A program, the start of its variables (name, elements, mean, spread) and its data.
type Small = (Program, Vec<(String, usize, f64, f64)>, Vec<Data>);

fn small(zero_inflated: bool) -> Small {
    let sizes = model::Sizes { cells: 9, genes: 50, hidden: 12, latent: 3, zero_inflated };
    let (program, start) = model::build(sizes);
    let (offsets, columns, values) = model::counts(9, 50);
    let data = vec![
        Data::Csr(offsets, columns, values),
        Data::Index((0..9).map(|i| i * 5 + 1).collect()),
        Data::Dense(vec![0.001]),
        Data::Dense(vec![1.0]),
    ];
    (program, start, data)
}

/// All variables after one step, by the reference.
fn by_reference(program: &Program, start: &Variables<f64>, data: &[Data]) -> (f64, Vec<(String, Vec<f64>)>) {
    let step = step_graph(program).expect("differentiable");
    let g = &step.graph;
    let mut variables = start.clone();
    for m in &step.moments {
        let v = g.find_variable(m).expect("declared");
        variables.set(m, vec![0.0; g.n_elements(&g.variables()[v.index()].axes)]);
    }
    let loss = g.find_output("loss").expect("an output");
    let wanted: Vec<NodeId> = g.updates().iter().map(|u| u.1).chain([loss]).collect();
    let owned = own::<f64>(data);
    let values = evaluate(g, &wanted, &variables, &feeds(data, &owned), KEY).expect("runs");
    let names = g.updates().iter().map(|u| g.variables()[u.0.index()].name.clone());
    (values[values.len() - 1][0], names.zip(values.clone()).collect())
}

fn check<E: Element>(zero_inflated: bool, tolerance: f64)
where
    CpuBackend: Backend<E>,
{
    let (program, start, data) = small(zero_inflated);
    let (loss, wanted) = by_reference(&program, &model::start::<f64>(&start), &data);
    let owned = own::<E>(&data);
    for level in [0, 1] {
        let mut first: Option<Variables<E>> = None;
        for threads in [1, 2] {
            let backend = CpuBackend { threads, level };
            let mut exe: Box<dyn Executable<E>> = backend.prepare(&program).expect("prepares");
            let mut variables = model::start::<E>(&start);
            exe.run(&mut variables, &feeds(&data, &owned), KEY)
                .unwrap_or_else(|e| panic!("{e}\n{}", exe.describe()));
            let got = exe.output("loss").expect("an output")[0].to_f64();
            assert!(
                close(got, loss, tolerance),
                "loss {got}, reference {loss}, level {level}\n{}",
                exe.describe()
            );
            for (name, want) in &wanted {
                let value = variables.get(name).expect("updated");
                for (i, (x, y)) in value.iter().zip(want).enumerate() {
                    assert!(
                        close(x.to_f64(), *y, tolerance),
                        "{} level {level}: `{name}`[{i}] = {x:?}, reference {y}\n{}",
                        E::NAME,
                        exe.describe()
                    );
                }
            }
            match &first {
                None => first = Some(variables),
                Some(f) => assert!(f == &variables, "threads change the result"),
            }
        }
    }
}

#[test]
fn a_step_with_negative_binomial_counts() {
    check::<f64>(false, 1e-11);
    check::<f32>(false, 2e-5);
}

#[test]
fn a_step_with_zero_inflated_counts() {
    check::<f64>(true, 1e-11);
    check::<f32>(true, 2e-5);
}
