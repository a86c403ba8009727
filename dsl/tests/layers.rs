//! Names, axes and initial values of the parameters of layers.

mod common;

use common::{World, bound, compiled, request, same, texts};
use dsl::{DimRole, Init, Mode, Purpose, VariableSpec};

fn variables(program: &str) -> Vec<VariableSpec> {
    let (_, text) = texts("tests/cases/ok").into_iter().find(|t| t.0 == program).expect("checked in");
    let c = compiled(&text, &[]);
    let l = c.lower(&bound(&c, 6, true), &request(Purpose::Objective, Mode::Train, 4)).expect("it lowers");
    l.variables
}

fn find<'a>(all: &'a [VariableSpec], name: &str) -> &'a VariableSpec {
    let names: Vec<&str> = all.iter().map(|v| v.name.as_str()).collect();
    all.iter().find(|v| v.name == name).unwrap_or_else(|| panic!("no {name} in {names:#?}"))
}

fn shape(v: &VariableSpec) -> Vec<(&str, usize, DimRole)> {
    v.dims.iter().map(|d| (d.axis.as_str(), d.size, d.role)).collect()
}

#[test]
fn parameters_have_their_paths_axes_and_starts() {
    use DimRole::{In, Out, Own};
    let all = variables("networks");
    let uniform = |n: f64| Init::within(1.0 / n.sqrt());
    let check = |name: &str, dims: &[(&str, usize, DimRole)], init: Init| {
        let v = find(&all, name);
        assert_eq!(shape(v), dims, "{name}");
        assert_eq!(v.init, init, "{name}");
    };
    let gene = find(&all, "theta").dims[0].size;
    let kaiming = Init::Normal { mean: 0.0, sd: (2.0 / gene as f64).sqrt() };
    check("encoder.raw.linear.weight", &[("gene", gene, In), ("hidden", 5, Out)], kaiming);
    check("encoder.raw.linear.bias", &[("hidden", 5, Out)], Init::Constant(0.0));
    let donors = find(&all, "donors.embed.weight").dims[0].size;
    let rows = [("donor", donors, In), ("hidden", 5, Out)];
    check("donors.embed.weight", &rows, Init::Normal { mean: 0.0, sd: 0.1 });
    check("encoder.deep.mlp.0.layernorm.scale", &[("wide", 4, Own)], Init::Constant(1.0));
    check("encoder.deep.mlp.0.skip.weight", &[("hidden", 5, In), ("wide", 4, Out)], uniform(5.0));
    check("encoder.again.mlp.0.norm.running_var", &[("wide", 4, Own)], Init::Constant(1.0));
    assert!(!all.iter().any(|v| v.name.starts_with("encoder.deep.mlp.1.skip")), "the same axis needs no map");
    check("attend.read.attention.query.weight", &[("head", 2, Out), ("depth", 2, Out)], uniform(1.0));
    let flat = [("wide", 4, Out), ("token", 3, In), ("channel", 2, In)];
    check("attend.flat.linear.weight", &flat, uniform(6.0));
    check("decoder.h.split_mlp.split.weight", &[("latent", 6, In), ("latent", 6, Out)], uniform(2.0));
    let batches = find(&all, "decoder.own.split_mlp.0.linear.weight.batch").dims[0].size;
    let own = find(&all, "decoder.own.split_mlp.0.linear.weight");
    assert_eq!(shape(own), [("latent", 6, In), ("hidden", 5, Out), ("part", 3, Own)]);
    // The latent, the batches, a covariate of numbers and one of three labels; then the outputs.
    let fan = (6 + batches + 1 + 3 + 5) as f64;
    let Init::Uniform { high: bound, .. } = own.init else { panic!("{:?}", own.init) };
    assert!((bound - (6.0 / fan).sqrt()).abs() < 1e-15, "{bound}: Glorot over {fan}");
}

#[test]
fn kernels_count_their_taps() {
    let all = variables("sequence");
    let kernel = find(&all, "sequence.a.conv.0.conv.weight");
    let sizes: Vec<usize> = kernel.dims.iter().map(|d| d.size).collect();
    assert_eq!((sizes.iter().product::<usize>(), kernel.init), (4 * 3 * 5, Init::within(1.0 / 20f64.sqrt())));
    // Three channels grow to five in two blocks; a width of four has taps on both sides.
    let second = find(&all, "sequence.b.conv_tower.1.conv.weight");
    assert_eq!(second.dims.iter().map(|d| d.size).product::<usize>(), 3 * 5 * 4);
    let bias = find(&all, "sequence.b.conv_tower.1.conv.bias");
    assert_eq!(bias.init, Init::within(1.0 / 12f64.sqrt()));
}

/// A layer that reads the labels of an axis and writes along the same axis means what it means with an axis of its own.
#[test]
fn labels_are_read_along_the_axis_that_is_written() {
    let loss = |out: &str| {
        let text = format!(
            "dim cell, gene\ndim wide = 2\n\
             data {{\n  x : real[cell, gene] from X\n  batch : category[cell] from obs.batch\n}}\n\
             param w[{out}] : real\n\
             net f(x[gene] | s) {{ return linear[{out}](x | s) }}\n\
             net g(| s) {{ return embed[{out}](| s) }}\n\
             model {{\n  plate cell {{\n    v = sum(w * (f(x | batch) + g(| batch)) over {out})\n    \
             observe x ~ Normal(mean = v, scale = 1)\n  }}\n}}\n"
        );
        let c = compiled(&text, &[]);
        let world = World { model: &c, bound: bound(&c, 6, true), canonical: same, epoch: 0.0, step: 0 };
        let l = c.lower(&world.bound, &request(Purpose::Objective, Mode::Train, 4)).expect("it lowers");
        let mut values = world.parameters(&l);
        // Two by two maps are stored with the axis declared first outermost.
        for v in l.variables.iter().filter(|v| v.dims.len() == 2 && v.dims[0].role == DimRole::In) {
            let w = values.get_mut(&v.name).filter(|w| w.len() == 4).into_iter();
            w.for_each(|w| w.swap(1, 2));
        }
        world.run_at(&l, &[0, 1, 2, 3], &values)["loss"][0]
    };
    // `common::bound` gives the only category two labels.
    let (same_axis, own_axis) = (loss("batch"), loss("wide"));
    assert!((same_axis - own_axis).abs() < 1e-12 * own_axis.abs(), "{same_axis} against {own_axis}");
}
