//! Sizes that follow from those of the data, `size(axis)`, and likelihoods of whether a field is above zero.

mod common;

use common::{World, bound, compile_with, compiled, request, same};
use dsl::diagnostic::render;
use dsl::{Mode, Purpose};

const ROWS: [usize; 3] = [0, 2, 3];

fn world(c: &dsl::Compiled) -> World<'_> {
    World { model: c, bound: bound(c, 4, true), canonical: same, epoch: 1.0, step: 0 }
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9 * (1.0 + expected.abs()), "{found} {expected}");
}

const FACTORS: &str = "option scale = 1
    dim cell, gene
    dim hidden = floor(scale * sqrt(gene)) + 1, latent = max(2, floor(hidden / 2))
    data { x : real[cell, gene] from X }
    param w[hidden, latent]
    param v[gene]
    model { plate cell { observe x ~ Normal(mean = v * sum(w over hidden, latent), scale = 1) } }";

fn sizes(sets: &[(&str, &str)], genes: usize) -> Result<Vec<usize>, String> {
    let c = compiled(FACTORS, sets);
    let mut b = bound(&c, 4, true);
    b.sizes.insert("gene".into(), genes);
    let asked = request(Purpose::Objective, Mode::Train, 2);
    match c.lower(&b, &asked) {
        Ok(l) => {
            let w = l.variables.iter().find(|v| v.name == "w").expect("a parameter");
            Ok(w.dims.iter().map(|d| d.size).collect())
        }
        Err(found) => Err(render(&dsl::source::Sources::new(), &found, false)),
    }
}

#[test]
fn sizes_follow_from_those_of_the_data_unless_they_are_set() {
    assert_eq!(sizes(&[], 100), Ok(vec![11, 5]));
    assert_eq!(sizes(&[], 5), Ok(vec![3, 2]));
    assert_eq!(sizes(&[("scale", "2")], 100), Ok(vec![21, 10]));
    assert_eq!(sizes(&[("hidden", "8")], 100), Ok(vec![8, 4]));
    assert_eq!(sizes(&[("latent", "7")], 100), Ok(vec![11, 7]));
    let shown = compiled(FACTORS, &[]).explain();
    assert!(shown.contains("hidden = floor(scale * sqrt(gene)) + 1"), "{shown}");
}

#[test]
fn a_size_that_is_no_whole_number_above_zero_is_an_error() {
    let text = FACTORS.replace("max(2, floor(hidden / 2))", "hidden / 2");
    let c = compiled(&text, &[]);
    let mut b = bound(&c, 4, true);
    b.sizes.insert("gene".into(), 16);
    let asked = request(Purpose::Objective, Mode::Train, 2);
    let found = c.lower(&b, &asked).expect_err("5 / 2 is not whole");
    let first = found.iter().next().expect("an error");
    assert!(first.headline.contains("the size of axis `latent` comes to 2.5"), "{}", first.headline);
    for text in ["dim a = b, b = c + 1, c = a", "dim a = floor(unknown)"] {
        let (c, diagnostics, sources) = compile_with(&format!("{text}\ndim cell"), &[]);
        let shown = render(&sources, &diagnostics, false);
        assert!(c.is_none() && (shown.contains("E0208") || shown.contains("E0401")), "{shown}");
    }
}

#[test]
fn size_counts_elements_and_rows() {
    let c = compiled(
        "dim cell, gene
        data { x : real[cell, gene] from X }
        stat n = size(cell)
        param v[gene]
        model { plate cell { observe x ~ Normal(mean = v, scale = size(gene)) } }
        objective { weight lik(x) by size(cell) }
        output { all = n  genes = size(gene) }",
        &[],
    );
    let w = world(&c);
    let out = w.objective(Mode::Evaluate, &ROWS);
    let total: f64 = out["row:lik(x)"].iter().sum();
    close(out["loss"][0], -total);
    let names = vec!["genes".to_owned()];
    let asked = request(Purpose::Outputs { names, given: vec![] }, Mode::Evaluate, 3);
    let genes = w.run(&c.lower(&w.bound, &asked).expect("it lowers"), &ROWS)["genes"][0];
    close(genes, w.bound.sizes["gene"] as f64);
    let statistics = request(Purpose::Statistics, Mode::Evaluate, 4);
    let n = w.run(&c.lower(&w.bound, &statistics).expect("it lowers"), &[0, 1, 2, 3])["n"][0];
    close(n, 4.0);
}

#[test]
fn whether_a_count_is_above_zero_is_observed() {
    let c = compiled(
        "dim cell, gene
        data { x : count[cell, gene] from X }
        param v[gene]
        model { plate cell { observe (x > 0) ~ Bernoulli(logits = v) } }",
        &[],
    );
    let w = world(&c);
    let asked = request(Purpose::Objective, Mode::Evaluate, 3);
    let v = w.parameters(&c.lower(&w.bound, &asked).expect("it lowers"))["v"].clone();
    let out = w.objective(Mode::Evaluate, &ROWS);
    for (k, row) in ROWS.iter().enumerate() {
        let one = |g: usize| {
            let open = w.slot_value("x", &[*row, g]) > 0.0;
            -(1.0 + (if open { -v[g] } else { v[g] }).exp()).ln()
        };
        close(out["row:lik(x)"][k], (0..v.len()).map(one).sum());
    }
    let (c, diagnostics, sources) = compile_with(
        "dim cell, gene
        data { x : count[cell, gene] from X }
        param v[gene]
        model { plate cell { observe (x > 1) ~ Bernoulli(logits = v) } }",
        &[],
    );
    let shown = render(&sources, &diagnostics, false);
    assert!(c.is_none() && shown.contains("E0203") && shown.contains("observe (x > 0)"), "{shown}");
}

#[test]
fn a_filter_that_asks_what_is_known_lets_it_be_read() {
    let c = compiled(
        "dim cell, gene
        data { y : real?[cell, gene] from X missing nan  c : category?[cell] from obs.c missing \"?\" }
        param v[c]
        param m[gene]
        model { plate cell { observe y ~ Normal(mean = m, scale = 1) } }
        objective { minimize mean(v[c] over cell where observed(c)) }
        output { known = sum(y over gene where observed(y)) }",
        &[],
    );
    let w = world(&c);
    let names = vec!["known".to_owned()];
    let asked = request(Purpose::Outputs { names, given: vec![] }, Mode::Evaluate, 3);
    let known = w.run(&c.lower(&w.bound, &asked).expect("it lowers"), &ROWS)["known"].clone();
    for (k, row) in ROWS.iter().enumerate() {
        let genes = w.bound.sizes["gene"];
        let sum: f64 =
            (0..genes).map(|g| [*row, g]).map(|at| w.is_known("y", &at) * w.slot_value("y", &at)).sum();
        close(known[k], sum);
    }
}
