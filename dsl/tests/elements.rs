//! Nets along further axes, every label at once, densities as values, maps to several axes, and what differs in training.

mod common;

use common::{World, bound, compiled, request, same};
use dsl::{Compiled, Mode, Purpose};

const PROGRAM: &str = r#"
dim cell, gene
dim latent = 3, hidden = 4, mode = 2
data {
  x     : count[cell, gene] from X
  batch : category[cell]    from obs.batch
}
param s[mode] : positive
param centre[mode, gene] : real
net encoder(v[gene] | c) {
  h = mlp[hidden](v | c, norm = layernorm)
  return Normal(mean = linear[latent](h | c), scale = exp(linear[latent](h)))
}
net decoder(z[latent] | c) { return linear[gene](mlp[hidden](z | c, norm = layernorm)) }
net tables(z[latent]) { return linear[mode, gene, batch](z) }
fn total(v[latent]) = sum(v)
model {
  plate cell {
    z[latent] ~ Normal(0, 1)
    d = decoder(z | batch)
    observe x ~ NB(mean = exp(d), inv_dispersion = 2)
  }
}
guide { plate cell { z ~ encoder(log1p(x) | batch) } }
output {
  one_by_one = decoder(mean(z) * s[0] | batch)
  and_other  = decoder(mean(z) * s[1] | batch)
  along      = decoder(mean(z) * s | batch)
  sums       = total(mean(z) * s)
  own        = decoder(mean(z) | batch)
  labelled   = decoder(mean(z) | labels(batch))
  density    = sum(logp(NB(mean = exp(d), inv_dispersion = 2), x) over gene)
  term       = logp(x)
  parts      = logp(Normal(mean = centre, scale = s), log1p(x))
  table      = tables(mean(z))
  array      = stored("decoder.linear.weight") + 0 * stored("decoder.mlp.0.linear.bias")
  step       = select(training, 1, 2) * sum(select(training, d, x) over gene)
}
"#;

fn world(c: &Compiled) -> World<'_> {
    World { model: c, bound: bound(c, 4, true), canonical: same, epoch: 0.0, step: 1 }
}

fn output(w: &World<'_>, name: &str, mode: Mode) -> Vec<f64> {
    let purpose = Purpose::Outputs { names: vec![name.into()], given: vec![] };
    let l = w.model.lower(&w.bound, &request(purpose, mode, 3)).expect("lowers");
    let values = w.parameters(&l);
    w.run_at(&l, &[0, 1, 3], &values).remove(name).expect("the output")
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12 * b.abs().max(1.0)
}

#[test]
fn a_net_is_applied_to_each_element_of_further_axes() {
    let c = compiled(PROGRAM, &[]);
    let w = world(&c);
    let get = |name| output(&w, name, Mode::Evaluate);
    let (one, other, along) = (get("one_by_one"), get("and_other"), get("along"));
    let n_gene = one.len() / 3;
    // Axes of the result: cell, gene, mode.
    for i in 0..one.len() {
        assert!(close(along[2 * i], one[i]) && close(along[2 * i + 1], other[i]), "{i} of {n_gene}");
    }
    assert!(one.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-6), "the two differ");
    assert_eq!(get("sums").len(), 3 * 2);
}

#[test]
fn all_labels_at_once_hold_that_of_the_cell() {
    let c = compiled(PROGRAM, &[]);
    let w = world(&c);
    let (own, all) = (output(&w, "own", Mode::Evaluate), output(&w, "labelled", Mode::Evaluate));
    let n_label = w.bound.sizes["batch"];
    assert_eq!(all.len(), own.len() * n_label);
    let n_gene = own.len() / 3;
    for (row, cell) in [0, 1, 3].into_iter().enumerate() {
        let code = w.code("batch", &[cell]) as usize;
        for g in 0..n_gene {
            // Axes of the result: cell, gene, batch.
            let at = (row * n_gene + g) * n_label + code;
            assert!(close(all[at], own[row * n_gene + g]), "cell {cell}, gene {g}");
        }
    }
}

#[test]
fn the_density_of_a_law_is_that_of_the_site() {
    let c = compiled(PROGRAM, &[]);
    let w = world(&c);
    let (density, term) = (output(&w, "density", Mode::Evaluate), output(&w, "term", Mode::Evaluate));
    assert!(density.iter().zip(&term).all(|(a, b)| close(*a, *b) && *a < 0.0), "{density:?} {term:?}");
    assert_eq!(output(&w, "parts", Mode::Evaluate).len(), 3 * w.bound.sizes["gene"] * 2);
}

#[test]
fn a_map_has_several_output_axes() {
    let c = compiled(PROGRAM, &[]);
    let w = world(&c);
    let (genes, labels) = (w.bound.sizes["gene"], w.bound.sizes["batch"]);
    assert_eq!(output(&w, "table", Mode::Evaluate).len(), 3 * 2 * genes * labels);
    let purpose = Purpose::Outputs { names: vec!["table".into()], given: vec![] };
    let l = c.lower(&w.bound, &request(purpose, Mode::Evaluate, 3)).expect("lowers");
    let weight = l.variables.iter().find(|v| v.name == "tables.linear.weight").expect("one weight");
    assert_eq!(weight.dims.iter().map(|d| d.size).product::<usize>(), 3 * 2 * genes * labels);
    // It starts as a map from the same inputs to one axis does.
    assert_eq!(weight.init, dsl::Init::within(1.0 / 3.0_f64.sqrt()));
}

#[test]
fn what_training_leaves_out_is_not_in_the_graph() {
    let c = compiled(PROGRAM, &[]);
    let w = world(&c);
    let purpose = || Purpose::Outputs { names: vec!["step".into()], given: vec![] };
    let reads = |mode| {
        let l = c.lower(&w.bound, &request(purpose(), mode, 3)).expect("lowers");
        l.variables.iter().any(|v| v.name.starts_with("decoder"))
    };
    assert!(reads(Mode::Train) && !reads(Mode::Evaluate));
    let counts: Vec<f64> = [0, 1, 3]
        .iter()
        .map(|r| (0..w.bound.sizes["gene"]).map(|g| w.slot_value("x", &[*r, g])).sum::<f64>() * 2.0)
        .collect();
    assert_eq!(output(&w, "step", Mode::Evaluate), counts);
}

#[test]
fn arrays_of_layers_are_values() {
    let c = compiled(PROGRAM, &[]);
    let w = world(&c);
    let purpose = || Purpose::Outputs { names: vec!["array".into()], given: vec![] };
    let l = c.lower(&w.bound, &request(purpose(), Mode::Evaluate, 3)).expect("lowers");
    let values = w.parameters(&l);
    let found = w.run_at(&l, &[0, 1, 3], &values).remove("array").expect("the output");
    assert_eq!(found, values["decoder.linear.weight"]);
    // They are the net's own, not another array of the same name.
    let dims = |l: &dsl::Lowered| {
        l.variables.iter().find(|v| v.name == "decoder.linear.weight").expect("one").dims.clone()
    };
    let whole = c.lower(&w.bound, &request(Purpose::Objective, Mode::Evaluate, 3)).expect("lowers");
    assert_eq!(dims(&l), dims(&whole));
    for (wrong, said) in [("decoder.liner.weight", "decoder.linear.weight"), ("theta", "no layer has")] {
        let text = PROGRAM.replace("\"decoder.linear.weight\"", &format!("\"{wrong}\""));
        let (none, diagnostics, sources) = common::compile_with(&text, &[]);
        let shown = dsl::diagnostic::render(&sources, &diagnostics, false);
        assert!(none.is_none() && shown.contains("E0201") && shown.contains(said), "{shown}");
    }
}

#[test]
fn bounds_are_said_in_the_support() {
    let bounds = "train { least s = 0.5  most centre = 2  least decoder.linear = 0 }";
    let c = compiled(&format!("{PROGRAM}{bounds}"), &[]);
    let found: Vec<(String, bool, f64)> =
        c.train().bounds.iter().map(|b| (b.path.clone(), b.least, b.stored)).collect();
    let wanted = [("s", true, 0.5_f64.ln()), ("centre", false, 2.0), ("decoder.linear", true, 0.0)];
    assert_eq!(found, wanted.map(|(p, l, x)| (p.to_owned(), l, x)));
    assert!(c.train().bounds[2].holds_for("decoder.linear.weight.batch"));
    assert!(!c.train().bounds[2].holds_for("decoder.linear2.weight"));
    for (wrong, code) in [("least s = 0", "E0413"), ("least q = 1", "E0206"), ("most s = high", "E0206")] {
        let (_, diagnostics, sources) = common::compile_with(&format!("{PROGRAM}train {{ {wrong} }}"), &[]);
        let shown = dsl::diagnostic::render(&sources, &diagnostics, false);
        assert!(shown.contains(code), "{wrong}: {shown}");
    }
}

#[test]
fn nets_and_parameters_of_loaded_models_say_where_they_start() {
    let text = PROGRAM.replace("dim cell, gene\n", "load ref : scvi\ndim cell, gene\n");
    let text = text.replace("net decoder(z[latent] | c) {", "net decoder(z[latent] | c) from ref.other {");
    let text = text.replace("param s[mode] : positive", "param s[mode] : positive init ref.theta");
    let c = compiled(&text, &[]);
    let w = world(&c);
    let purpose = Purpose::Outputs { names: vec!["along".into()], given: vec![] };
    let l = c.lower(&w.bound, &request(purpose, Mode::Train, 3)).expect("lowers");
    let of = |name: &str| l.variables.iter().find(|v| v.name == name).expect("a variable").clone();
    let weight = of("decoder.mlp.0.linear.weight");
    assert_eq!(
        weight.from.map(|f| (f.load, f.path)),
        Some(("ref".into(), "other.mlp.0.linear.weight".into()))
    );
    assert_eq!(weight.kind, dsl::VariableKind::Frozen);
    let s = of("s");
    assert_eq!(s.from.map(|f| (f.load, f.path)), Some(("ref".into(), "theta".into())));
    assert_eq!(s.kind, dsl::VariableKind::Trained);
    assert_eq!(of("encoder.h.mlp.0.linear.weight").from, None);
}
