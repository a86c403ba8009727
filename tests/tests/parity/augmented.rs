//! Training with simulated rows: a program whose objective scores rows that it makes up (`draw`, `given`, `training`),
//! against the same terms put together by hand, from what the model says of those rows when they are the data.

use super::case::{self, Case};
use super::evaluate::{Held, to_elements};
use super::families;
use super::inputs::Data;
use autodiff_runtime::backend::Backend;
use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::{Feed, Program, StepKey};
use dsl::{Mode, Purpose, Request};
use std::collections::BTreeMap;
use svi::import::{Converter, NameMap, Tensor};

type Values = BTreeMap<String, Vec<f64>>;

/// Cells, types, genes, modes, components, numbers of a state.
const SIZES: [usize; 6] = [24, 3, 30, 3, 3, 4];

fn run(case: &Case, tensors: &BTreeMap<String, Tensor>, purpose: Purpose, mode: Mode) -> Values {
    let family = families::find(case).expect("the library has it");
    let mut configuration = (family.configure)(case);
    configuration.set("dropout", 0);
    configuration.set("network_dropout", 0);
    let (compiled, files) = crate::library_model_and_files(configuration.model, &configuration.sets);
    let data = Data::new(case, tensors, family, &compiled);
    let l = crate::lowered(&compiled, &data.bound, &Request { purpose, mode, n_batch: data.n_cells });
    let map = NameMap::of(files.iter().map(String::as_str));
    let converter = Converter::new(&map, &l.variables, &data.bound);
    let imported = converter.import::<f64>(&case::under(tensors, "param.")).expect("counterparts");
    let mut variables = imported.variables;
    let names: Vec<String> = l.graph.outputs().iter().map(|o| o.0.clone()).collect();
    let program = Program { graph: l.graph.clone().verify().expect("valid"), training: None };
    let backend: &dyn Backend<f64> = &CpuBackend { threads: 1, level: 0 };
    let mut executable = backend.prepare(&program).expect("prepared");
    let stats = BTreeMap::from([("n".to_owned(), vec![data.n_cells as f64])]);
    // A quarter of the warm-up.
    let fed = data.feeds(&l, 0..data.n_cells, family.warmup / 4.0, &stats);
    let held = to_elements::<f64>(fed, vec![]);
    let feeds: Vec<Feed<'_, f64>> = held.iter().map(Held::feed).collect();
    executable.run(&mut variables, &feeds, StepKey { seed: 3, step: 5 }).expect("runs");
    names.into_iter().map(|n| (n.clone(), executable.output(&n).expect("an output").to_vec())).collect()
}

fn ask(case: &Case, tensors: &BTreeMap<String, Tensor>, names: &[&str], mode: Mode) -> Values {
    let names = names.iter().map(|n| (*n).to_owned()).collect();
    run(case, tensors, Purpose::Outputs { names, given: vec![] }, mode)
}

fn log_sum(all: &[f64]) -> f64 {
    let most = all.iter().fold(f64::NEG_INFINITY, |m, x| m.max(*x));
    most + all.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}

fn negative_binomial(x: f64, mu: f64, theta: f64) -> f64 {
    let (eps, gamma) = (1e-8, log_gamma);
    let both = (theta + mu + eps).ln();
    theta * ((theta + eps).ln() - both) + x * ((mu + eps).ln() - both) + gamma(x + theta)
        - gamma(theta)
        - gamma(x + 1.0)
}

/// log Γ by Stirling's series after a shift.
fn log_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 12.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r / 1680.0))) / x;
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

/// What the model says of some counts, when they are the data.
struct Row {
    x: Vec<f64>,
    said: Values,
}

struct Prior {
    mean: Vec<f64>,
    var: Vec<f64>,
    share: Vec<f64>,
}

impl Row {
    /// Of the case's spots, or of others in their place.
    fn of(case: &Case, tensors: &BTreeMap<String, Tensor>, x: Option<&[f64]>) -> Row {
        let mut tensors = tensors.clone();
        if let Some(x) = x {
            tensors.get_mut("input.X").expect("counts").values = x.to_vec();
        }
        let names = ["share", "rest", "rho", "theta", "softmax(free_type over gene)", "s.at", "in_mode"];
        let said = ask(case, &tensors, &names, Mode::Evaluate);
        Row { x: tensors["input.X"].values.clone(), said }
    }

    /// −log NB of a spot, with the part of every type that training adds.
    fn misfit(&self, n: usize) -> f64 {
        let [_, k, g, ..] = SIZES;
        let (share, rest, rho) = (&self.said["share"], &self.said["rest"], &self.said["rho"]);
        let free = &self.said["softmax(free_type over gene)"];
        let total: f64 = self.x[n * g..][..g].iter().sum();
        let gene = |j: usize| {
            let of_type = |t: usize| (share[n * k + t] + 2e-3) * rho[(n * k + t) * g + j];
            let mix = (0..k).map(of_type).sum::<f64>() + (rest[n] + 2e-3) * free[j];
            -negative_binomial(self.x[n * g + j], total * mix, self.said["theta"][j])
        };
        (0..g).map(gene).sum()
    }

    /// How unlikely a spot's states are, with a further component at `own` of weight `t · q` beside `1 − t`.
    fn stray(&self, n: usize, prior: &Prior, further: Option<(&[f64], &[f64], f64)>) -> f64 {
        let [_, k, _, m, c, d] = SIZES;
        let (at, in_mode, share) = (&self.said["s.at"], &self.said["in_mode"], &self.said["share"]);
        let weight = |p: f64| p.clamp(1.1920929e-7, 1.0 - 1.1920929e-7).ln();
        let normal = |x: f64, mean: f64, sd: f64| {
            -0.5 * ((x - mean) / sd).powi(2) - sd.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln()
        };
        let mut sum = 0.0;
        for t in 0..k {
            let least =
                |i: usize| (0..c).map(|j| prior.var[(t * c + j) * d + i]).fold(f64::INFINITY, f64::min);
            let mut known = 0.0;
            for mode in 0..m {
                // Stored by spot, type, number and mode: the order of the axes of the model.
                let x = |i: usize| at[((n * k + t) * d + i) * m + mode];
                let (part, q) = further.map_or((0.0, 0.0), |f| (f.2, f.1[n * k + t]));
                // With nothing of the spot itself its weight is 1, however small the share.
                let q = if part == 1.0 { 1.0 } else { q };
                let norm = 1.0 - part + part * q;
                let component = |j: usize| {
                    let p = (1.0 - part) * prior.share[t * c + j] / norm;
                    let near =
                        |i| normal(x(i), prior.mean[(t * c + j) * d + i], prior.var[(t * c + j) * d + i]);
                    (0..d).map(near).sum::<f64>() + weight(p)
                };
                let mut all: Vec<f64> = (0..c).map(component).collect();
                if let Some((own, _, _)) = further {
                    let near = |i| normal(x(i), own[(n * k + t) * d + i], least(i));
                    all.push((0..d).map(near).sum::<f64>() + weight(part * q / norm));
                }
                known += (in_mode[(n * k + t) * m + mode] + 1e-6) * log_sum(&all);
            }
            sum -= (share[n * k + t] + 1e-3) * known;
        }
        sum
    }
}

#[test]
fn made_up_spots_count_as_they_would_as_data() {
    let all = super::folders().into_iter().flat_map(|f| case::cases(&f));
    let Some(case) = all.into_iter().find(|c| c.name == "destvi_eval") else {
        println!("skipped: no parity fixtures here");
        return;
    };
    let tensors = case.tensors();
    let [n_spots, k, ..] = SIZES;
    let draws = ["made", "mixed", "share_1", "share_2", "state_1", "state_2", "t"];
    let drawn = ask(&case, &tensors, &draws, Mode::Train);
    assert!(drawn["made"].iter().any(|x| *x > 0.0), "spots are made up");
    let seen = Row::of(&case, &tensors, None);
    let (made, mixed) = (Some(&drawn["made"][..]), Some(&drawn["mixed"][..]));
    let (made, mixed) = (Row::of(&case, &tensors, made), Row::of(&case, &tensors, mixed));
    let constant = |name: &str| tensors[&format!("param.{name}")].values.clone();
    let prior =
        Prior { mean: constant("mean_vprior"), var: constant("var_vprior"), share: constant("mp_vprior") };
    let mut loss = 0.0;
    for n in 0..n_spots {
        let misfit = (seen.misfit(n) + made.misfit(n) + mixed.misfit(n)) / 3.0;
        let t = drawn["t"][n];
        let stray = seen.stray(n, &prior, None)
            + made.stray(n, &prior, Some((&drawn["state_1"], &drawn["share_1"], 1.0)))
            + mixed.stray(n, &prior, Some((&drawn["state_2"], &drawn["share_2"], t)));
        let (share, rest) = (&seen.said["share"][n * k..][..k], seen.said["rest"][n]);
        let entropy = -share.iter().chain([&rest]).map(|p| p * p.ln()).sum::<f64>();
        let further: f64 = seen.said["rest"].iter().sum();
        let one = |i: usize| {
            let e = drawn["share_1"][n * k + i] + 1e-20;
            e * (e.ln() - made.said["share"][n * k + i].ln())
        };
        let gap: f64 = (0..k).map(one).sum();
        loss += 3.0 * misfit + 0.25 * (stray / 3.0 + 2.0 * entropy + further) + 100.0 * gap;
    }
    loss /= n_spots as f64;
    let shift = constant("beta");
    loss += shift.iter().map(|b| 0.5 * b * b + 0.5 * (2.0 * std::f64::consts::PI).ln()).sum::<f64>();
    let ours = run(&case, &tensors, Purpose::Objective, Mode::Train)["loss"][0];
    assert!((ours - loss).abs() < 1e-6 * loss, "{ours} instead of {loss}");
}
