//! A variational autoencoder of counts, written by hand as graph: the step that speed is measured on.

use autodiff_runtime::graph::{Dtype, Storage};
use autodiff_runtime::optim::{Adam, Optimiser};
use autodiff_runtime::{Axes, AxisId, Graph, NodeId, Program, RandomKind, Training, Variables};

/// Sizes and form of the model.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Rows of the batch.
    pub cells: usize,
    /// Columns.
    pub genes: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Width of the latent space.
    pub latent: usize,
    /// Whether zeros are inflated.
    pub zero_inflated: bool,
}

struct Builder {
    g: Graph,
    trained: Vec<autodiff_runtime::graph::VariableId>,
    start: Vec<(String, usize, f64, f64)>,
}

impl Builder {
    fn variable(&mut self, name: &str, axes: impl Into<Axes>, centre: f64, spread: f64) -> NodeId {
        let axes = axes.into();
        let n = self.g.n_elements(&axes);
        let v = self.g.declare_variable(name, axes);
        self.trained.push(v);
        self.start.push((name.to_owned(), n, centre, spread));
        self.g.read_variable(v)
    }

    fn linear(&mut self, name: &str, x: NodeId, from: AxisId, to: AxisId) -> NodeId {
        let scale = 1.0 / (self.g.size(from) as f64).sqrt();
        let w = self.variable(&format!("{name}.weight"), Axes::from([from, to]), 0.0, scale);
        let b = self.variable(&format!("{name}.bias"), to, 0.0, scale);
        let y = self.g.contract(x, w, from);
        self.g.add(y, b)
    }

    fn batch_norm(&mut self, name: &str, x: NodeId, cell: AxisId, along: AxisId) -> NodeId {
        let gamma = self.variable(&format!("{name}.scale"), along, 1.0, 0.0);
        let beta = self.variable(&format!("{name}.shift"), along, 0.0, 0.0);
        let g = &mut self.g;
        let mean = g.mean(x, cell);
        let centred = g.sub(x, mean);
        let square = g.square(centred);
        let var = g.mean(square, cell);
        let shifted = g.add_const(var, 0.001);
        let root = g.sqrt(shifted);
        let normal = g.div(centred, root);
        let scaled = g.mul(normal, gamma);
        let out = g.add(scaled, beta);
        for (what, value) in [("mean", mean), ("var", var)] {
            let n = g.size(along);
            let v = g.declare_variable(format!("{name}.running_{what}"), along);
            let old = g.read_variable(v);
            let old = g.mul_const(old, 0.99);
            let stopped = g.stop(value);
            let new = g.mul_const(stopped, 0.01);
            let sum = g.add(old, new);
            g.assign(v, sum);
            self.start.push((format!("{name}.running_{what}"), n, 0.5, 0.0));
        }
        self.g.unary(autodiff_runtime::Elem::Relu, out)
    }
}

/// log p(x) of a negative binomial with mean μ and inverse dispersion θ, for each cell and gene.
fn negative_binomial(g: &mut Graph, x: NodeId, mu: NodeId, theta: NodeId) -> NodeId {
    let eps = 1e-8;
    let te = g.add_const(theta, eps);
    let log_theta = g.log(te);
    let tm = g.add(theta, mu);
    let tme = g.add_const(tm, eps);
    let log_theta_mu = g.log(tme);
    let me = g.add_const(mu, eps);
    let log_mu = g.log(me);
    let a = g.sub(log_theta, log_theta_mu);
    let a = g.mul(theta, a);
    let b = g.sub(log_mu, log_theta_mu);
    let b = g.mul(x, b);
    let c = g.lgamma_delta(x, theta);
    let one = g.constant(1.0);
    let d = g.lgamma_delta(x, one);
    let ab = g.add(a, b);
    let abc = g.add(ab, c);
    g.sub(abc, d)
}

/// The zero-inflated form: π logits; the x > 0 part is selected, so that it stays sparse.
fn inflated(g: &mut Graph, x: NodeId, mu: NodeId, theta: NodeId, pi: NodeId) -> NodeId {
    let eps = 1e-8;
    let minus = g.neg(pi);
    let soft = g.softplus(minus);
    let te = g.add_const(theta, eps);
    let log_theta = g.log(te);
    let tm = g.add(theta, mu);
    let tme = g.add_const(tm, eps);
    let log_theta_mu = g.log(tme);
    let ratio = g.sub(log_theta, log_theta_mu);
    let scaled = g.mul(theta, ratio);
    let pi_theta = g.sub(scaled, pi);
    let soft_pi_theta = g.softplus(pi_theta);
    let at_zero = g.sub(soft_pi_theta, soft);
    let zero = g.constant(0.0);
    let there = g.binary(autodiff_runtime::Elem::Lt, zero, x);
    let me = g.add_const(mu, eps);
    let log_mu = g.log(me);
    let b = g.sub(log_mu, log_theta_mu);
    let b = g.mul(x, b);
    let c = g.lgamma_delta(x, theta);
    let one = g.constant(1.0);
    let d = g.lgamma_delta(x, one);
    // log p(x | x > 0) − log p(0), at the non-zeros alone.
    let base = g.sub(pi_theta, soft);
    let bc = g.add(b, c);
    let bcd = g.sub(bc, d);
    let there_all = g.add(bcd, base);
    let correction = g.sub(there_all, at_zero);
    let correction = g.select(there, correction, zero);
    g.add(at_zero, correction)
}

/// The training program and the values its variables begin with.
pub fn build(s: Sizes) -> (Program, Vec<(String, usize, f64, f64)>) {
    let mut b = Builder { g: Graph::new(), trained: vec![], start: vec![] };
    let cell = b.g.add_axis("cell", s.cells);
    let gene = b.g.add_axis("gene", s.genes);
    let hidden = b.g.add_axis("hidden", s.hidden);
    let hidden2 = b.g.add_axis("hidden", s.hidden);
    let latent = b.g.add_axis("latent", s.latent);
    let csr = b.g.declare_input("x", [cell, gene], Dtype::Real, Storage::Csr);
    let rows = b.g.index_input("rows", Axes::from(cell));
    let x = b.g.read_input(csr);
    let library = b.g.sum(x, gene);
    let logged = b.g.log1p(x);
    let h = b.linear("encoder", logged, gene, hidden);
    let h = b.batch_norm("encoder.norm", h, cell, hidden);
    let mean = b.linear("mean", h, hidden, latent);
    let log_var = b.linear("log_var", h, hidden, latent);
    let var = b.g.exp(log_var);
    let var = b.g.add_const(var, 1e-4);
    let sd = b.g.sqrt(var);
    let noise = b.g.random(RandomKind::Normal, &[], 0, Axes::from([cell, latent]), Some(rows));
    let shift = b.g.mul(sd, noise);
    let z = b.g.add(mean, shift);
    let d = b.linear("decoder", z, latent, hidden2);
    let d = b.batch_norm("decoder.norm", d, cell, hidden2);
    let logits = {
        let w = b.variable("scale.weight", Axes::from([gene, hidden2]), 0.0, 0.08);
        let bias = b.variable("scale.bias", gene, 0.0, 0.08);
        let y = b.g.contract(d, w, hidden2);
        b.g.add(y, bias)
    };
    let rho = b.g.softmax(logits, gene);
    let mu = b.g.mul(rho, library);
    let log_theta = b.variable("log_theta", gene, 0.0, 0.5);
    let theta = b.g.exp(log_theta);
    let log_p = if s.zero_inflated {
        let w = b.variable("dropout.weight", Axes::from([gene, hidden2]), 0.0, 0.08);
        let bias = b.variable("dropout.bias", gene, 0.0, 0.08);
        let y = b.g.contract(d, w, hidden2);
        let pi = b.g.add(y, bias);
        inflated(&mut b.g, x, mu, theta, pi)
    } else {
        negative_binomial(&mut b.g, x, mu, theta)
    };
    let g = &mut b.g;
    let fit = g.sum(log_p, gene);
    let fit = g.mean(fit, cell);
    let kl = {
        let square = g.square(mean);
        let sum = g.add(square, var);
        let log = g.log(var);
        let less = g.sub(sum, log);
        let less = g.add_const(less, -1.0);
        let half = g.mul_const(less, 0.5);
        let by_cell = g.sum(half, latent);
        g.mean(by_cell, cell)
    };
    let loss = g.sub(kl, fit);
    g.output("loss", loss);
    g.output("kl", kl);
    let optimiser = Adam { eps: 0.01, weight_decay: 1e-6, ..Adam::default() };
    let training = Training {
        loss,
        trained: b.trained,
        optimiser: Some(Optimiser::Adam(optimiser)),
        expose_gradients: false,
    };
    (Program { graph: b.g.verify().expect("a valid model"), training: Some(training) }, b.start)
}

/// Fixed pseudo-random starting values.
pub fn start<E: autodiff_runtime::Element>(list: &[(String, usize, f64, f64)]) -> Variables<E> {
    let mut v = Variables::new();
    for (k, (name, n, centre, spread)) in list.iter().enumerate() {
        let value = |i: usize| {
            let w = autodiff_runtime::random::philox([i as u32, k as u32, 1, 2], [3, 4])[0];
            centre + spread * (2.0 * autodiff_runtime::random::open_unit(w) - 1.0)
        };
        // Rounded, so that both element types begin alike.
        v.set(name, (0..*n).map(|i| E::from_f64(f64::from(value(i) as f32))).collect());
    }
    v
}

/// Counts of a batch, about 8 % of them not zero.
pub fn counts(cells: usize, genes: usize) -> (Vec<usize>, Vec<u32>, Vec<f64>) {
    let (mut offsets, mut columns, mut values) = (vec![0], vec![], vec![]);
    for r in 0..cells {
        for c in 0..genes {
            let w = autodiff_runtime::random::philox([r as u32, c as u32, 0, 0], [1, 2]);
            if autodiff_runtime::random::open_unit(w[0]) < 0.083 {
                columns.push(c as u32);
                values.push((1.0 - 2.0 * autodiff_runtime::random::open_unit(w[1]).ln()).floor());
            }
        }
        offsets.push(columns.len());
    }
    (offsets, columns, values)
}
