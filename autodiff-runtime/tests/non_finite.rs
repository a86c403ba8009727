//! What a run says of a loss that is not finite: the operation where it begins, its place, what it had to compute with, and
//! which results it spoils; not an infinity that does no harm.

use autodiff_runtime::backend::Backend;
use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::graph::Origin;
use autodiff_runtime::{Axes, Feed, Graph, Made, NonFinite, Program, RunError, StepKey, Training, Variables};

/// Σ w log(x · factor) + logsumexp(0, −∞), with `w` trained.
fn failure(x: &[f32], factor: f64, w: f32, level: u8) -> NonFinite {
    let mut g = Graph::new();
    let (cell, gene, k) = (g.add_axis("cell", 2), g.add_axis("gene", 3), g.add_axis("k", 2));
    let input = g.input("x", Axes::from([cell, gene]));
    let id = g.declare_variable("w", Axes::none());
    let weight = g.read_variable(id);
    // Of two values one is ruled out: its logarithm is −∞.
    let (never, zero) = (g.constant(f64::NEG_INFINITY), g.constant(0.0));
    let places = g.iota(k);
    let places = g.to_real(places);
    let ruled = g.select(places, never, zero);
    let harmless = g.logsumexp(ruled, k);
    g.set_origin(Origin(7));
    let scaled = g.mul_const(input, factor);
    let log = g.log(scaled);
    g.set_origin(Origin(8));
    let sum = g.sum(log, Axes::from([cell, gene]));
    let product = g.mul(sum, weight);
    g.output("term:a", product);
    g.output("term:b", harmless);
    let loss = g.add(product, harmless);
    g.output("loss", loss);
    let graph = g.verify().expect("a valid graph");
    let training = Training { loss, trained: vec![id], optimiser: None, expose_gradients: true };
    let program = Program { graph, training: Some(training) };
    let mut exe = Backend::<f32>::prepare(&CpuBackend { threads: 1, level }, &program).expect("prepared");
    let mut variables = Variables::new();
    variables.set("w", vec![w]);
    match exe.run(&mut variables, &[Feed::Dense(x)], StepKey { seed: 0, step: 0 }) {
        Err(RunError::NonFinite(found)) => *found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_operation_where_it_begins_is_named() {
    for level in [0, 1] {
        let found = failure(&[1.0, 2.0, 3.0, 4.0, -0.5, 6.0], 1.0, 2.0, level);
        assert!(found.value.is_nan());
        assert_eq!(found.made, Made::Computed("`log`".into()));
        assert_eq!(found.place, [("cell".to_owned(), 1), ("gene".to_owned(), 1)]);
        assert_eq!(found.operands, [(-0.5, 6.0)]);
        assert_eq!(found.origin, Origin(7));
        assert_eq!(found.results, ["term:a", "loss"]);
        assert_eq!(found.to_string(), "`log` gives NaN, cell 1, gene 1");
    }
}

#[test]
fn inputs_variables_and_overflow_are_named_too() {
    let found = failure(&[1.0, 2.0, 3.0, 4.0, f32::INFINITY, 6.0], 1.0, 2.0, 1);
    assert_eq!((found.made, found.place[1].1), (Made::Input("x".into()), 1));
    let found = failure(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1.0, f32::NAN, 1);
    assert_eq!((found.made, found.place), (Made::Variable("w".into()), vec![]));
    // Numbers in double precision that single precision does not have: too small, and too large.
    let found = failure(&[1e-30; 6], 1e-30, 1.0, 1);
    assert_eq!(found.made, Made::Vanished("`log`".into()), "{found}");
    assert!(found.value > 0.0 && found.value < 1e-50 && found.origin == Origin(7));
    let found = failure(&[1e30; 6], 1.0, 3e38, 1);
    assert_eq!(
        (found.made, found.results),
        (Made::Computed("a product".into()), vec!["term:a".into(), "loss".into()])
    );
    assert!(found.value.is_finite() && found.value > 1e40);
}
