//! Pathwise gradients of Gamma draws on the CPU back end in both precisions.

mod harness;

use autodiff_runtime::autodiff::gradients;
use autodiff_runtime::backend::Backend;
use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::{Axes, Elem, Element, Graph, Program, RandomKind, Variables, special};
use harness::{Data, KEY, agree, feeds, own};

const CONCENTRATIONS: [f64; 8] = [1e-3, 0.02, 0.3, 1.0, 4.0, 60.0, 1e3, 1e4];
const N_BLOCKS: usize = 20;

/// d E[log z] / da = ψ′(a): the mean of the draws' slopes, within five standard errors from 20 blocks of 1000 draws, with
/// the concentration repeated along the blocks.
fn slopes_average_to_trigamma<E: Element>()
where
    CpuBackend: Backend<E>,
{
    let mut g = Graph::new();
    let (block, draw) = (g.add_axis("block", N_BLOCKS), g.add_axis("draw", 1000));
    let point = g.add_axis("point", CONCENTRATIONS.len());
    let a = g.input("a", Axes::from([block, point]));
    let w = g.random(RandomKind::LogGamma, &[a], 5, Axes::from([block, draw, point]), None);
    let mean = g.mean(w, draw);
    let loss = g.sum(mean, Axes::from([block, point]));
    let slope = gradients(&mut g, loss, &[a]).expect("differentiable")[0];
    g.output("slope", slope);
    let data = [Data::Dense(CONCENTRATIONS.repeat(N_BLOCKS))];
    let owned = own::<E>(&data);
    let program = Program { graph: g.verify().expect("a valid graph"), training: None };
    let mut run = Backend::<E>::prepare(&CpuBackend { threads: 2, level: 1 }, &program).expect("prepared");
    run.run(&mut Variables::new(), &feeds(&data, &owned), KEY).expect("runs");
    let slopes = run.output("slope").expect("declared");
    for (i, a) in CONCENTRATIONS.iter().enumerate() {
        let blocks: Vec<f64> =
            slopes.iter().skip(i).step_by(CONCENTRATIONS.len()).map(|s| s.to_f64()).collect();
        let n = N_BLOCKS as f64;
        let mean = blocks.iter().sum::<f64>() / n;
        let error = (blocks.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt();
        let truth = special::trigamma(*a);
        assert!(
            (mean - truth).abs() < 5.0 * error,
            "{}, a = {a}: {mean} ± {error}, expected {truth}",
            E::NAME
        );
    }
}

#[test]
fn slopes_average_to_trigamma_in_both_precisions() {
    slopes_average_to_trigamma::<f64>();
    slopes_average_to_trigamma::<f32>();
}

/// The kernel is the definition rounded, at every tail and for draws below the smallest number.
#[test]
fn slopes_are_those_of_the_reference() {
    let mut g = Graph::new();
    let (tail, point) = (g.add_axis("tail", 5), g.add_axis("point", CONCENTRATIONS.len() + 1));
    let (u, a) = (g.input("u", tail), g.input("a", point));
    // w = ψ(a) + u √ψ′(a): u standard deviations from the mean of log z, about.
    let (centre, spread) = (g.digamma(a), g.unary(Elem::Trigamma, a));
    let spread = g.sqrt(spread);
    let shift = g.mul(spread, u);
    let w = g.add(centre, shift);
    let slope = g.binary(Elem::LogGammaSampleGrad, w, a);
    g.output("slope", slope);
    let points: Vec<f64> = CONCENTRATIONS.iter().copied().chain([3e7]).collect();
    agree(&g, &[Data::Dense(vec![-3.0, -1.0, 0.0, 0.7, 1.5]), Data::Dense(points)], "slopes");
}
