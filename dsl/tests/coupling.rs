//! Which layers keep the elements of a summed site apart: what E0507 lets through is a sum for each element, what it refuses
//! would not split.

mod common;

use common::{World, bound, compile_with, compiled, request, same};
use dsl::diagnostic::Code;
use dsl::{Mode, Purpose};

const HEAD: &str = "dim cell, gene\ndim f = 2, out = 4\ndata { x : real[cell, gene] from X }\n\
param w[gene, f]\n";

fn program(net: &str, value: &str) -> String {
    let at = |on: &str| value.replace("ON", on);
    format!(
        "{HEAD}{net}\nmodel {{ plate cell {{ on[gene] ~ Bernoulli(probs = 0.5)\n observe x ~ Normal(mean = {}, scale = 1) }} }}\n\
         guide {{ plate cell {{ on ~ marginal }} }}\noutput {{ no = {} to varm.no  yes = {} to varm.yes }}\n",
        at("select(on, w, 0)"),
        at("(0 * w)"),
        at("w"),
    )
}

#[test]
fn layers_that_keep_elements_apart_give_the_sum_for_each() {
    const ROWS: [usize; 3] = [0, 2, 1];
    for (net, value) in [
        // A map of the features, the same for every gene.
        ("net n(v[gene, f]) { return linear(v over f) }", "n(ON)"),
        ("net n(v[gene, f]) { return linear[out](v over f) }", "sum(tanh(n(ON)) over out)"),
        // Each gene asks; none is asked.
        ("net n(v[gene, f], c[gene, f]) { return attention(v, c over gene) }", "n(ON, w)"),
    ] {
        let c = compiled(&program(net, value), &[]);
        let w = World { model: &c, bound: bound(&c, 4, true), canonical: same, epoch: 0.0, step: 0 };
        let lik = w.objective(Mode::Evaluate, &ROWS);
        let asked = Purpose::Outputs { names: vec!["no".into(), "yes".into()], given: vec![] };
        let l = c.lower(&w.bound, &request(asked, Mode::Evaluate, ROWS.len())).expect("it lowers");
        let means = w.run(&l, &ROWS);
        for (i, row) in ROWS.iter().enumerate() {
            let log_normal = |gene: usize, mean: f64| {
                let x = w.slot_value("x", &[*row, gene]);
                -0.5 * (2.0 * std::f64::consts::PI).ln() - 0.5 * (x - mean).powi(2)
            };
            let of_gene = |gene: usize| {
                let [a, b] = ["no", "yes"].map(|n| log_normal(gene, means[n][gene]).exp());
                (0.5 * (a + b)).ln()
            };
            let sum: f64 = (0..w.bound.sizes["gene"]).map(of_gene).sum();
            let found = lik["row:lik(x)"][i];
            assert!((found - sum).abs() < 1e-10 * sum.abs(), "{net}: {found} {sum}");
        }
    }
}

#[test]
fn layers_that_mix_elements_are_refused() {
    for (net, value) in [
        ("net n(v[gene, f]) { return linear(v over gene, f) }", "n(ON)"),
        ("net n(v[gene, f]) { return attention(v, v over gene) }", "n(ON)"),
        ("net n(v[gene, f], c[gene, f]) { return attention(v, c over gene) }", "n(w, ON)"),
        ("net n(v[gene, f]) { return layernorm(sum(v over f)) }", "n(ON)"),
        // What is around an element comes into it, along edges or along a window; so do blocks of them.
        (
            "net n(v[gene, f], s[edge] | e) { return gcn[out](v, s | e over gene) }",
            "sum(n(ON, strong | source, target) over out)",
        ),
        ("net n(v[gene, f]) { return conv[out, gene](v, width = 3 over gene) }", "sum(n(ON) over out)"),
        (
            "net n(v[gene, f]) { return conv_tower[out, place](v, layers = 2, pool = 2 over gene) }",
            "sum(n(ON) over out, place)",
        ),
        ("net n(v[gene]) { return split_mlp[out](v over part) }", "sum(n(sum(ON over f)) over out, part)"),
        (
            "net n(v[gene]) { return split_mlp[out](v, split = mask over part) }",
            "sum(n(sum(ON over f)) over out, part)",
        ),
    ] {
        // Convolutions and blocks need sizes beforehand.
        let text = program(net, value)
            .replace("dim cell, gene\ndim f = 2", "dim cell, edge\ndim gene = 8, place = 2, part = 2, f = 2")
            .replace("from X }", "from X\n source : index[edge] over gene from uns.s\n target : index[edge] over gene from uns.t\n strong : nonneg[edge] from uns.w }");
        let (_, found, _) = compile_with(&text, &[]);
        let errors: Vec<Code> =
            found.iter().filter(|d| d.code.as_str().starts_with('E')).map(|d| d.code).collect();
        assert_eq!(
            errors,
            [Code::E0507],
            "{net}\n{:?}",
            found.iter().map(|d| &d.headline).collect::<Vec<_>>()
        );
    }
}
