//! Network primitives against the reference's fixtures: programs made of one net each, at the fixture's weights and
//! inputs, in double precision.

#![allow(clippy::print_stdout, reason = "a test that checks nothing here says so")]

use crate::parity::case::{Case, cases, error};
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{Feed, StepKey, Variables};
use dsl::{Bound, Compiled, DimRole, FeedSpec, Lowered, Mode, Purpose, Request, VariableSpec};
use std::collections::BTreeMap;
use svi::import::Tensor;

/// The case of that name, or a word that it is absent.
fn case(name: &str) -> Option<Case> {
    let found = cases(&crate::shared().join("parity/more")).into_iter().find(|c| c.name == name);
    if found.is_none() {
        println!("skipped: no fixture {name}");
    }
    found
}

fn compiled(text: &str) -> Compiled {
    let mut sources = dsl::source::Sources::new();
    let root = sources.add("primitive.svi", text);
    struct Nothing;
    impl dsl::Library for Nothing {
        fn find(&self, _: &str) -> Option<(String, String)> {
            None
        }
    }
    let (c, found) = dsl::compile(&mut sources, root, &dsl::Settings::default(), &Nothing);
    c.unwrap_or_else(|| panic!("{}", dsl::diagnostic::render(&sources, &found, false)))
}

/// Columns of a reference's tensor that are one of our variables: its name and the first column.
type Source = (String, usize);

/// The reference's order is outputs, then inputs; ours is that of the axes.
fn moved(spec: &VariableSpec, t: &Tensor, first: usize) -> Vec<f64> {
    let sizes = |role: fn(DimRole) -> bool| -> usize {
        spec.dims.iter().filter(|d| role(d.role)).map(|d| d.size).product()
    };
    let width = sizes(|r| r == DimRole::In);
    let rows = sizes(|r| r != DimRole::In);
    let columns = t.values.len() / rows;
    let total: usize = spec.dims.iter().map(|d| d.size).product();
    let mut out = vec![0.0; total];
    for (i, x) in out.iter_mut().enumerate() {
        let (mut rest, mut at) = (i, vec![0; spec.dims.len()]);
        for (k, d) in spec.dims.iter().enumerate().rev() {
            at[k] = rest % d.size;
            rest /= d.size;
        }
        let place = |role: fn(DimRole) -> bool| {
            spec.dims.iter().zip(&at).filter(|(d, _)| role(d.role)).fold(0, |p, (d, i)| p * d.size + i)
        };
        let (row, column) = (place(|r| r != DimRole::In), place(|r| r == DimRole::In));
        assert!(column < width && first + width <= columns, "{}", spec.name);
        *x = t.values[row * columns + first + column];
    }
    out
}

struct Run<'a> {
    program: Compiled,
    tensors: &'a BTreeMap<String, Tensor>,
    fields: BTreeMap<&'static str, Vec<f64>>,
    bound: Bound,
    mode: Mode,
}

impl<'a> Run<'a> {
    fn new(text: &str, tensors: &'a BTreeMap<String, Tensor>, n_rows: usize, mode: Mode) -> Self {
        let program = compiled(text);
        let present = program.slots().iter().map(|s| s.name.clone()).collect();
        let bound = Bound { n_rows, present, ..Bound::default() };
        Self { program, tensors, fields: BTreeMap::new(), bound, mode }
    }

    fn field(mut self, name: &'static str, values: Vec<f64>) -> Self {
        self.fields.insert(name, values);
        self
    }

    fn size(mut self, axis: &str, n: usize) -> Self {
        self.bound.sizes.insert(axis.to_owned(), n);
        self
    }

    fn variables(
        &self,
        l: &Lowered,
        source: &dyn Fn(&str) -> Option<Source>,
        other: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> Variables<f64> {
        let mut variables = Variables::new();
        for v in &l.variables {
            let value = other(&v.name).unwrap_or_else(|| {
                let (name, first) = source(&v.name).unwrap_or_else(|| panic!("nothing for {}", v.name));
                let t = self.tensors.get(&format!("param.{name}"));
                moved(v, t.unwrap_or_else(|| panic!("no {name} for {}", v.name)), first)
            });
            variables.set(&v.name, value);
        }
        variables
    }

    /// The outputs of those names.
    fn outputs(
        &self,
        names: &[&str],
        source: &dyn Fn(&str) -> Option<Source>,
        other: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> Vec<Vec<f64>> {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let purpose = Purpose::Outputs { names: names.clone(), given: vec![] };
        let request = Request { purpose, mode: self.mode, n_batch: self.bound.n_rows };
        let l = crate::lowered(&self.program, &self.bound, &request);
        let held: Vec<(Vec<f64>, Vec<u32>)> = l
            .feeds
            .iter()
            .map(|f| match f {
                FeedSpec::Field(name) => {
                    let values = self.fields[name.as_str()].clone();
                    let codes = values.iter().map(|v| *v as u32).collect();
                    (values, codes)
                }
                FeedSpec::Numbers(all) => (vec![], all.clone()),
                other => panic!("{other:?}"),
            })
            .collect();
        let feed = |(h, d): (&'a (Vec<f64>, Vec<u32>), Dtype)| match d {
            Dtype::Index => Feed::Index(&h.1),
            Dtype::Real => Feed::Dense(&h.0),
        };
        let held: &'a Vec<_> = Box::leak(Box::new(held));
        let feeds: Vec<Feed<'_, f64>> =
            held.iter().zip(l.graph.inputs()).map(|(h, i)| feed((h, i.dtype))).collect();
        let wanted: Vec<_> = names
            .iter()
            .map(|n| l.graph.outputs().iter().find(|o| o.0 == *n).expect("an output").1)
            .collect();
        let variables = self.variables(&l, source, other);
        evaluate(&l.graph, &wanted, &variables, &feeds, StepKey::default()).expect("it runs")
    }
}

/// Our parameter's name under a reference's, by pairs of prefixes and a change of the tensor's name.
fn renamed(name: &str, pairs: &[(&str, &str)]) -> Option<Source> {
    let (ours, theirs) =
        pairs.iter().find(|(ours, _)| name.strip_prefix(ours).is_some_and(|r| r.starts_with('.')))?;
    let tensor = match &name[ours.len() + 1..] {
        "weight" | "scale" => "weight",
        "bias" | "shift" => "bias",
        "running_mean" => "running_mean",
        "running_var" => "running_var",
        _ => return None,
    };
    Some((format!("{theirs}.{tensor}"), 0))
}

fn agrees(ours: &[f64], tensors: &BTreeMap<String, Tensor>, key: &str) {
    let gap = error(ours, &tensors[key].values);
    assert!(gap < 1e-5, "{key}: {gap:e}");
}

const MRVI: &str = "
dim cell, gene
dim latent = 5, latent_u = 3, hidden = 8, token = 5, cue = 4, channel = 2, wide = 128
data {
  x      : count[cell, gene]      from X
  u      : real[cell, latent_u]   from obsm.u
  z      : real[cell, latent]     from obsm.z
  sample : category[cell]         from obs.sample
  batch  : category[cell]         from obs.batch
}
net qu(v[gene] | s) {
  h1 = gelu_tanh(layernorm(linear[hidden](v), affine = false, eps = 1e-6) * embed[hidden](| s, start = normal(1, 0.02))
     + embed[hidden](| s, start = 0))
  h2 = gelu_tanh(layernorm(linear[hidden](h1), affine = false, eps = 1e-6) * embed[hidden](| s, start = normal(1, 0.02))
     + embed[hidden](| s, start = 0))
  h  = h2 + embed[hidden](| s, start = normal(0, 0.1))
  a1 = mlp[wide](h, norm = layernorm, affine = true, eps = 1e-6, residual = true)
  a2 = mlp[hidden](a1, norm = layernorm, affine = true, eps = 1e-6)
  b1 = mlp[wide](a2, norm = layernorm, affine = true, eps = 1e-6, residual = true)
  b2 = mlp[hidden](b1, norm = layernorm, affine = true, eps = 1e-6)
  return { mean = linear[latent_u](b2), scale = softplus(linear[latent_u](b2)) + 1e-5 }
}
net qz(u[latent_u] | s) {
  n    = layernorm(u, eps = 1e-6)
  base = linear[latent](u)
  m    = layernorm(embed[token](| s, start = normal(0, 0.1)), eps = 1e-6)
  ask  = linear[token](stop(n), bias = false)
  told = linear[token](m, bias = false)
  read = attention[channel](ask, told, heads = 2, depth = 2, dropout = 0.03 over token)
  a1   = mlp[wide](read, norm = layernorm, affine = true, eps = 1e-6, activation = gelu_tanh, residual = true over token, channel)
  a2   = mlp[hidden](a1, norm = layernorm, affine = true, eps = 1e-6, activation = gelu_tanh)
  e    = linear[token](a2)
  b1   = mlp[wide](n, e, norm = layernorm, affine = true, eps = 1e-6, activation = gelu_tanh, residual = true)
  b2   = mlp[hidden](b1, norm = layernorm, affine = true, eps = 1e-6, activation = gelu_tanh)
  return { base = base, eps = linear[latent](b2) }
}
net px(z[latent] | s) {
  n    = layernorm(z, eps = 1e-6)
  m    = layernorm(embed[cue](| s, start = normal(0, 0.1)), eps = 1e-6)
  ask  = linear[cue](stop(n), bias = false)
  told = linear[cue](m, bias = false)
  read = attention[channel](ask, told, heads = 2, depth = 2, dropout = 0.03 over cue)
  a1   = mlp[wide](read, norm = layernorm, affine = true, eps = 1e-6, activation = gelu_tanh, residual = true over cue, channel)
  a2   = mlp[hidden](a1, norm = layernorm, affine = true, eps = 1e-6, activation = gelu_tanh)
  e    = linear[cue](a2)
  b1   = mlp[wide](n, e, norm = layernorm, affine = true, eps = 1e-6, activation = gelu_tanh, residual = true)
  b2   = mlp[hidden](b1, norm = layernorm, affine = true, eps = 1e-6, activation = gelu_tanh)
  r    = linear[latent](b2)
  return softmax(linear[gene](z + r))
}
model {
  plate cell {
    q = qu(log1p(x) | sample)
    p = qz(u | sample)
    h = px(z | batch)
    observe u ~ Normal(mean = q.mean, scale = q.scale)
    observe z ~ Normal(mean = p.base + p.eps, scale = 1)
    observe x ~ Poisson(rate = sum(x over gene) * h)
  }
}
output { m = q.mean  v = q.scale * q.scale  base = p.base  eps = p.eps  ho = h }
";

/// Where the parameters of the two attention nets lie.
fn attention_block(net: &str) -> Vec<(String, String)> {
    let block = format!("{net}.attention_block");
    let (table, norm) = if net == "qz" {
        ("embedding", "layer_norm_embed")
    } else {
        ("batch_embedding", "layer_norm_batch_embed")
    };
    let mut pairs = vec![
        (format!("{net}.n.layernorm"), format!("{net}.layer_norm")),
        (format!("{net}.base.linear"), format!("{net}.fc")),
        (format!("{net}.m.embed"), format!("{net}.{table}")),
        (format!("{net}.m.layernorm"), format!("{net}.{norm}")),
        (format!("{net}.ask.linear"), format!("{block}.query_proj")),
        (format!("{net}.told.linear"), format!("{block}.kv_proj")),
        (format!("{net}.read.attention.query"), format!("{block}.q_proj")),
        (format!("{net}.read.attention.key"), format!("{block}.k_proj")),
        (format!("{net}.read.attention.value"), format!("{block}.v_proj")),
        (format!("{net}.read.attention.out"), format!("{block}.out_proj")),
        (format!("{net}.e.linear"), format!("{block}.mlp_eps.fc")),
        (format!("{net}.eps.linear"), format!("{block}.mlp_residual.fc")),
        (format!("{net}.r.linear"), format!("{block}.mlp_residual.fc")),
        (format!("{net}.linear"), format!("{net}.fc")),
    ];
    for (ours, theirs) in [("a", "mlp_eps"), ("b", "mlp_residual")] {
        pairs.extend(residual_block(&format!("{net}.{ours}"), &format!("{block}.{theirs}.resnet_blocks.0")));
    }
    pairs
}

fn residual_block(ours: &str, theirs: &str) -> Vec<(String, String)> {
    let pair = |a: &str, b: &str| (format!("{ours}{a}"), format!("{theirs}.{b}"));
    vec![
        pair("1.mlp.0.linear", "fc1"),
        pair("1.mlp.0.layernorm", "layer_norm1"),
        pair("1.mlp.0.skip", "fc_match"),
        pair("2.mlp.0.linear", "fc2"),
        pair("2.mlp.0.layernorm", "layer_norm2"),
    ]
}

/// The second block of columns stands behind the first.
fn split_columns(name: &str, pairs: &[(&str, &str)], widths: &[(&str, usize)]) -> Option<Source> {
    for (label, first) in widths {
        if let Some(stem) = name.strip_suffix(&format!(".weight.{label}")) {
            return renamed(&format!("{stem}.weight"), pairs).map(|(n, _)| (n, *first));
        }
    }
    renamed(name, pairs)
}

#[test]
fn attention_residual_blocks_and_conditional_norms() {
    let Some(case) = case("mrvi") else { return };
    let t = case.tensors();
    let run = Run::new(MRVI, &t, 40, Mode::Evaluate)
        .size("gene", 30)
        .size("sample", 4)
        .size("batch", 2)
        .field("x", t["input.X"].values.clone())
        .field("u", t["out.u"].values.clone())
        .field("z", t["out.z"].values.clone())
        .field("sample", t["input.sample"].values.clone())
        .field("batch", t["input.batch"].values.clone());
    let mut pairs = attention_block("qz");
    pairs.extend(attention_block("px"));
    let own = [
        ("qu.h1.linear", "qu.fc1"),
        ("qu.h2.linear", "qu.fc2"),
        ("qu.h1.embed.0", "qu.conditional_norm1.gamma_embedding"),
        ("qu.h1.embed.1", "qu.conditional_norm1.beta_embedding"),
        ("qu.h2.embed.0", "qu.conditional_norm2.gamma_embedding"),
        ("qu.h2.embed.1", "qu.conditional_norm2.beta_embedding"),
        ("qu.h.embed", "qu.sample_embed"),
        ("qu.mean.linear", "qu.output_nn.fc_mean"),
        ("qu.scale.linear", "qu.output_nn.fc_scale.0"),
    ];
    pairs.extend(own.map(|(a, b)| (a.to_owned(), b.to_owned())));
    pairs.extend(residual_block("qu.a", "qu.output_nn.resnet_blocks.0"));
    pairs.extend(residual_block("qu.b", "qu.output_nn.resnet_blocks.1"));
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    // The tables are labels by features in the reference, with labels in front.
    let table = |name: &str| {
        let stem = name.strip_suffix(".weight").filter(|s| s.contains(".embed"))?;
        let (theirs, _) = renamed(&format!("{stem}.weight"), &pairs)?;
        Some(t[&format!("param.{theirs}")].values.clone())
    };
    let source = |name: &str| split_columns(name, &pairs, &[("token", 3), ("cue", 5)]);
    let out = run.outputs(&["m", "v", "base", "eps", "ho"], &source, &table);
    for (ours, key) in out.iter().zip(["out.qu_m", "out.qu_v", "out.z_base", "out.eps", "out.h"]) {
        agrees(ours, &t, key);
    }
}

const SCBASSET: &str = "
dim region, cell
dim position = 1344, base = 4
dim stem = 6, third = 448, deep = 11, last = 7, narrow = 6, flat = 7, embedding = 4
data {
  s : real[region, position, base]  from obsm.sequence
  x : bool[region, cell]            from X
}
param loading[embedding, cell] : real
param offset[cell]             : real
net sequence(s[position, base]) {
  a = conv[stem, third](s, width = 17, pool = 3, norm = batchnorm, momentum = 0.1, activation = quick_gelu, pre_activation = true, bias = false over position)
  b = conv_tower[deep, last](a, layers = 6, channels = 6, width = 5, pool = 2, norm = batchnorm, momentum = 0.1, activation = quick_gelu, pre_activation = true, bias = false over third)
  c = conv[narrow, flat](b, norm = batchnorm, momentum = 0.1, activation = quick_gelu, pre_activation = true, bias = false over last)
  d = batchnorm(linear[embedding](quick_gelu(c), bias = false, start = kaiming over narrow, flat), momentum = 0.1)
  return quick_gelu(d)
}
model {
  plate region {
    e = sequence(s)
    observe x ~ Bernoulli(logits = sum(e * loading over embedding) + offset)
  }
}
output { embedding = e  logits[cell] = sum(e * loading over embedding) + offset }
";

/// The sequence as the augmentation left it: shifted, and what was vacated filled with a quarter of each base.
fn augmented(codes: &[f64], n: usize, reverse: bool, shift: i64) -> Vec<f64> {
    let mut out = vec![];
    for row in codes.chunks(n) {
        for p in 0..n as i64 {
            let from = p - shift;
            let inside = (0..n as i64).contains(&from);
            for base in 0..4 {
                let at = if reverse { n as i64 - 1 - from } else { from };
                let hit = |b: usize| row[at as usize] as usize == if reverse { 3 - b } else { b };
                out.push(match inside {
                    true => f64::from(u8::from(hit(base))),
                    false => 0.25,
                });
            }
        }
    }
    out
}

#[test]
fn convolutions_and_pooling() {
    let Some(case) = case("scbasset_train") else { return };
    let t = case.tensors();
    let [reverse, shift] = [0, 1].map(|i| t["input.augment"].values[i]);
    let sequence = augmented(&t["input.dna_code"].values, 1344, reverse != 0.0, shift as i64);
    let run = Run::new(SCBASSET, &t, 8, Mode::Train)
        .size("cell", 20)
        .field("s", sequence)
        .field("x", t["input.X"].values.clone());
    let mut pairs = vec![
        ("sequence.a.conv.0.conv".to_owned(), "stem.conv".to_owned()),
        ("sequence.a.conv.0.norm".to_owned(), "stem.batch_norm".to_owned()),
        ("sequence.c.conv.0.conv".to_owned(), "pre_bottleneck.conv".to_owned()),
        ("sequence.c.conv.0.norm".to_owned(), "pre_bottleneck.batch_norm".to_owned()),
        ("sequence.d.linear".to_owned(), "bottleneck.dense".to_owned()),
        ("sequence.d.batchnorm".to_owned(), "bottleneck.batch_norm".to_owned()),
    ];
    for k in 0..6 {
        pairs.push((format!("sequence.b.conv_tower.{k}.conv"), format!("tower.{k}.conv")));
        pairs.push((format!("sequence.b.conv_tower.{k}.norm"), format!("tower.{k}.batch_norm")));
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    // The reference has embeddings before cells, as ours are stored the other way round.
    let own = |name: &str| match name {
        "offset" => Some(t["param.cell_bias"].values.clone()),
        "loading" => {
            let theirs = &t["param.cell_embedding"].values;
            Some((0..80).map(|i| theirs[(i % 4) * 20 + i / 4]).collect())
        }
        _ => None,
    };
    let out = run.outputs(&["embedding", "logits"], &|n| renamed(n, &pairs), &own);
    agrees(&out[0], &t, "out.region_embedding");
    agrees(&out[1], &t, "out.reconstruction_logits");
}

const DRVI: &str = "
dim cell, gene
dim latent = 4, hidden = 12, part = 2
data {
  x     : count[cell, gene]    from X
  z     : real[cell, latent]   from obsm.z
  batch : category[cell]       from obs.batch
}
net decoder(z[latent] | s) {
  h = split_mlp[hidden](z | s, norm = layernorm, activation = elu over part)
  u = linear[gene](h over hidden)
  d = linear[gene](h over hidden)
  return { rho = softmax(logsumexp(u over part) over gene), dropout = -(logsumexp(-d over part) - log(2)) }
}
model {
  plate cell {
    d = decoder(z | batch)
    observe x ~ ZINB(mean = sum(x over gene) * d.rho, inv_dispersion = 1, zero_logits = d.dropout)
  }
}
output { rho = d.rho  dropout = d.dropout }
";

#[test]
fn blocks_of_a_latent() {
    let Some(case) = case("drvi_zinb_gene-cell_split2") else { return };
    let t = case.tensors();
    let run = Run::new(DRVI, &t, 40, Mode::Evaluate)
        .size("gene", 30)
        .size("batch", 2)
        .field("x", t["input.X"].values.clone())
        .field("z", t["out.z"].values.clone())
        .field("batch", t["input.batch"].values.clone());
    let pairs = [
        ("decoder.h.split_mlp.0.linear", "decoder.px_decoder.fc_layers.Layer 0.0"),
        ("decoder.u.linear", "decoder.px_scale_decoder"),
        ("decoder.d.linear", "decoder.px_dropout_decoder"),
    ];
    // Theirs is [block, output, element of the block], ours [element of the axis, output].
    let own = |name: &str| {
        let theirs = &t["param.decoder.split_transform.weight"].values;
        (name == "decoder.h.split_mlp.split.weight").then(|| {
            (0..16).map(|i| ((i / 4), i % 4)).map(|(l, o)| theirs[(l / 2) * 8 + o * 2 + l % 2]).collect()
        })
    };
    let source = |n: &str| split_columns(n, &pairs, &[("batch", 4)]);
    let out = run.outputs(&["rho", "dropout"], &source, &own);
    agrees(&out[0], &t, "out.px_scale");
    agrees(&out[1], &t, "out.px_dropout");
}

const DIAGVI: &str = "
dim cell, node, edge
dim latent = 4
data {
  x      : real[cell, node]        from X
  source : index[edge] over node   from uns.source
  target : index[edge] over node   from uns.target
}
param vrepr[node, latent] : real
net graph(v[node, latent] | ends) {
  h = gcn[latent](v | ends over node)
  return { mean = linear[latent](h over latent), scale = softplus(linear[latent](h over latent)) + 1e-8 }
}
model {
  plate cell {
    q = graph(vrepr | source, target)
    observe x ~ Normal(mean = sum(q.mean over latent), scale = sum(q.scale over latent))
  }
}
output { mean[node, latent] = q.mean  logvar[node, latent] = 2 * log(q.scale) }
";

#[test]
fn graph_convolution() {
    let Some(case) = case("diagvi_nb_zinb_total") else { return };
    let t = case.tensors();
    let (source, target) = t["input.edge_index"].values.split_at(90);
    let run = Run::new(DIAGVI, &t, 2, Mode::Evaluate)
        .size("node", 50)
        .size("edge", 90)
        .field("x", vec![0.0; 100])
        .field("source", source.to_vec())
        .field("target", target.to_vec());
    let pairs = [("graph.mean.linear", "graph_encoder.loc"), ("graph.scale.linear", "graph_encoder.std_lin")];
    let source = |name: &str| match name {
        "graph.h.gcn.weight" => Some(("graph_encoder.conv.lin.weight".to_owned(), 0)),
        "graph.h.gcn.bias" => Some(("graph_encoder.conv.bias".to_owned(), 0)),
        _ => renamed(name, &pairs),
    };
    let own = |name: &str| (name == "vrepr").then(|| t["param.graph_encoder.vrepr"].values.clone());
    let out = run.outputs(&["mean", "logvar"], &source, &own);
    agrees(&out[0], &t, "out.mu_all");
    agrees(&out[1], &t, "out.logvar_all");
}
