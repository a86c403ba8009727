//! `train { labelled … }`: means over rows with a known label are those of a minibatch of their own, everything else is
//! as it was.

mod common;

use common::{World, bound, compiled, request, same, texts};
use dsl::{Compiled, FeedSpec, Mode, Purpose};
use std::collections::BTreeMap;

const ROWS: [usize; 4] = [0, 3, 4, 5];

/// Without layers whose statistics or noise depend on which rows share a minibatch.
fn program(label: &str) -> String {
    let (_, text) = texts("tests/cases/ok").into_iter().find(|t| t.0 == "labelled").expect("checked in");
    let text = text.replace("norm = batchnorm, dropout = 0.2", "layers = 1");
    text.replace("norm = batchnorm, dropout = 0.1", "layers = 1").replace("labelled label = 100", label)
}

fn world(c: &Compiled) -> World<'_> {
    World { model: c, bound: bound(c, 6, true), canonical: same, epoch: 0.0, step: 2 }
}

fn terms(w: &World<'_>, rows: &[usize]) -> BTreeMap<String, Vec<f64>> {
    let asked = request(Purpose::Objective, Mode::Train, rows.len());
    let l = w.model.lower(&w.bound, &asked).expect("the objective lowers");
    let mut values = w.parameters(&l);
    values.values_mut().flatten().for_each(|v| *v *= 8.0);
    w.run_at(&l, rows, &values)
}

#[test]
fn means_over_labelled_rows_are_those_of_their_own_minibatch() {
    for how in ["labelled label = 100", "labelled label = true"] {
        for samples in ["", "  samples = 3"] {
            let (with, without) =
                (program(&format!("{how}{samples}")), program(&format!("epochs = 1{samples}")));
            let (with, without) = (compiled(&with, &[]), compiled(&without, &[]));
            let (w, plain) = (world(&with), world(&without));
            let found = terms(&w, &ROWS);
            let all = terms(&plain, &ROWS);
            let labelled = terms(&plain, &w.labelled(&ROWS));
            for name in ["term:term 1", "term:term 2"] {
                let (a, b) = (found[name][0], labelled[name][0]);
                assert!((a - b).abs() < 1e-12 * b.abs() && b != 0.0, "{name}: {a} {b}");
                assert!((a - all[name][0]).abs() > 1e-6, "{name}: {a} is also that of all rows");
            }
            for (name, a) in found.iter().filter(|f| f.0.contains("lik(") || f.0.contains("kl(")) {
                assert_eq!(a, &all[name], "{name}");
            }
            let moved = |out: &BTreeMap<String, Vec<f64>>| out["term:term 1"][0] - out["term:term 2"][0];
            let loss = all["loss"][0] - moved(&all) + moved(&labelled);
            assert!((found["loss"][0] - loss).abs() < 1e-12 * loss.abs());
        }
    }
}

/// What is checked and applied afterwards sees only the rows at hand.
#[test]
fn only_training_asks_for_them() {
    let c = compiled(&program("labelled label = true"), &[]);
    let b = bound(&c, 6, true);
    let asks = |purpose, mode| {
        let l = c.lower(&b, &request(purpose, mode, 4)).expect("it lowers");
        l.feeds.iter().any(|f| matches!(f, FeedSpec::OfLabelled(_)))
    };
    assert!(asks(Purpose::Objective, Mode::Train));
    assert!(!asks(Purpose::Objective, Mode::Evaluate));
    assert!(!asks(Purpose::Outputs { names: vec!["latent".into()], given: vec![] }, Mode::Evaluate));
}
