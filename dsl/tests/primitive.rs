//! A host's primitives: their types, their messages, and their own derivatives against difference quotients.

mod common;

use autodiff_runtime::autodiff::gradients;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::{AxisId, Elem, Feed, NodeId, Op, StepKey};
use common::{Stdlib, World, bound, request, same};
use distributions::Support;
use dsl::diagnostic::render_concise;
use dsl::primitive::{Builder, Form, Primitive, Primitives};
use dsl::source::Sources;
use dsl::{Compiled, Init, Mode, Purpose, Settings, compile};
use std::sync::Arc;

/// |x|^p with slopes p |x|^(p−1) sign x and |x|^p log |x|, for a graph whose own derivative is that of floor: zero.
struct Power;

impl Primitive for Power {
    fn name(&self) -> &str {
        "sized_power"
    }
    fn n_inputs(&self) -> usize {
        2
    }
    fn accepts(&self, input: usize) -> Support {
        if input == 1 { Support::Positive } else { Support::Real }
    }
    fn support(&self) -> Support {
        Support::Nonneg
    }
    fn value(&self, b: &mut dyn Builder, x: &[NodeId], _: Option<AxisId>) -> NodeId {
        let g = b.graph();
        let size = g.unary(Elem::Abs, x[0]);
        let y = g.binary(Elem::Pow, size, x[1]);
        g.stop(y)
    }
    fn slopes(&self, b: &mut dyn Builder, x: &[NodeId], _: Option<AxisId>, y: NodeId) -> Option<Vec<NodeId>> {
        let g = b.graph();
        let size = g.unary(Elem::Abs, x[0]);
        let over = g.div(y, x[0]);
        let first = g.mul(x[1], over);
        Some(vec![first, g.binary(Elem::XLogY, y, size)])
    }
}

/// A learned weighted sum along an axis, with its own slopes.
struct Pool;

impl Primitive for Pool {
    fn name(&self) -> &str {
        "weighed"
    }
    fn form(&self) -> Form {
        Form::Reduces
    }
    fn has_parameters(&self) -> bool {
        true
    }
    fn value(&self, b: &mut dyn Builder, x: &[NodeId], axis: Option<AxisId>) -> NodeId {
        let axis = axis.expect("it runs along one");
        let w = b.parameter("weight", &[axis], Init::Constant(1.0));
        b.graph().contract(x[0], w, axis)
    }
}

const PROGRAM: &str = "
dim cell, gene
dim latent = 3
data { x : count[cell, gene]  from X }
param loading[gene, latent] : real
param shape : positive
net f(v[gene]) { return weighed(v) }
model {
  plate cell {
    z[latent] ~ Normal(0, 1)
    r = sized_power(sum(loading * z over latent), shape)
    observe x ~ Poisson(rate = r * exp(f(log1p(x))) + 0.1)
  }
}
net q(v[gene]) { return Normal(mean = linear[latent](v), scale = 1) }
guide { plate cell { z ~ q(log1p(x)) } }
";

fn primitives() -> Primitives {
    Primitives::default().with(Arc::new(Power)).and_then(|p| p.with(Arc::new(Pool))).expect("fresh names")
}

fn compiled(text: &str) -> Result<Compiled, String> {
    let mut sources = Sources::new();
    let file = sources.add("host.svi", text);
    let settings = Settings { primitives: primitives(), ..Settings::default() };
    let (c, diagnostics) = compile(&mut sources, file, &settings, &Stdlib);
    c.ok_or_else(|| render_concise(&sources, &diagnostics))
}

#[test]
fn own_slopes_are_the_gradient() {
    let c = compiled(PROGRAM).expect("it compiles");
    let w = World { model: &c, bound: bound(&c, 6, true), canonical: same, epoch: 0.0, step: 1 };
    let rows = [0, 2, 5];
    let l = c.lower(&w.bound, &request(Purpose::Objective, Mode::Train, 3)).expect("it lowers");
    let (inputs, variables) = (w.inputs(&l, &rows), w.variables(&l));
    let feeds: Vec<Feed<'_, f64>> = inputs.iter().map(|i| i.feed()).collect();
    let loss = l.loss.expect("an objective");
    let names: Vec<&str> = l.variables.iter().map(|v| v.name.as_str()).collect();
    assert!(names.contains(&"f.weighed.weight"), "{names:?}");
    for name in ["loading", "shape", "f.weighed.weight"] {
        let mut g = l.graph.clone();
        let id = g.find_variable(name).expect("declared");
        let reads: Vec<NodeId> = g.node_ids().filter(|n| g.node(*n).op == Op::Variable(id)).collect();
        let parts = gradients(&mut g, loss, &reads).expect("differentiable");
        let ours = evaluate(&g, &parts, &variables, &feeds, StepKey::default()).expect("it runs");
        // The element that matters most: a gene without counts moves nothing.
        let sums: Vec<f64> = (0..ours[0].len()).map(|k| ours.iter().map(|p| p[k]).sum()).collect();
        let most =
            (0..sums.len()).max_by(|a, b| sums[*a].abs().total_cmp(&sums[*b].abs())).expect("elements");
        let at = |h: f64| {
            let mut moved = variables.clone();
            let slot = moved.slot_of(name).expect("a variable");
            moved.slot_mut(slot)[most] += h;
            evaluate(&l.graph, &[loss], &moved, &feeds, StepKey::default()).expect("it runs")[0][0]
        };
        let quotient = (at(1e-5) - at(-1e-5)) / 2e-5;
        let ours = sums[most];
        assert!((ours - quotient).abs() < 1e-7 * quotient.abs().max(1.0), "{name}: {ours}, {quotient}");
        assert!(quotient.abs() > 1e-6, "{name} matters");
    }
}

/// A site that is summed for each gene may go through an elementwise operation; one along genes would couple them.
#[test]
fn an_operation_along_an_axis_couples_what_is_summed_there() {
    let program = |mean: &str| {
        format!(
            "dim cell, gene\ndata {{ x : real[cell, gene] from X }}\nparam w[gene] : positive\n\
             net f(v[gene]) {{ return weighed(v) }}\n\
             model {{ plate cell {{ on[gene] ~ Bernoulli(probs = 0.25)\n observe x ~ Normal(mean = {mean}, scale = 1) }} }}\n\
             guide {{ plate cell {{ on ~ marginal }} }}\noutput {{ w = w to varm.w }}"
        )
    };
    let found = compiled(&program("f(select(on, w, 0))")).expect_err("it couples genes");
    assert!(found.contains("E0507") && found.lines().count() == 1, "{found}");
    let c = compiled(&program("sized_power(select(on, w, 0.5), w)")).expect("for each gene");
    let w = World { model: &c, bound: bound(&c, 4, true), canonical: same, epoch: 0.0, step: 0 };
    let rows = [1, 3];
    let asked = Purpose::Outputs { names: vec!["w".into()], given: vec![] };
    let l = c.lower(&w.bound, &request(asked, Mode::Evaluate, 1)).expect("it lowers");
    let high = w.run(&l, &[0])["w"].clone();
    let found = w.objective(Mode::Evaluate, &rows);
    for (i, row) in rows.into_iter().enumerate() {
        let of_gene = |gene: usize| {
            let x = w.slot_value("x", &[row, gene]);
            let normal = |m: f64| (-0.5 * (x - m).powi(2)).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let w = high[gene];
            (0.25 * normal(w.powf(w)) + 0.75 * normal(0.5_f64.powf(w))).ln()
        };
        let sum: f64 = (0..high.len()).map(of_gene).sum();
        assert!((found["row:lik(x)"][i] - sum).abs() < 1e-10 * sum.abs(), "{found:?} {sum}");
    }
}

#[test]
fn mistakes_are_reported() {
    for (from, to, wanted) in [
        ("r = sized_power(sum(loading * z over latent), shape)", "r = sized_power(1)", "E0405"),
        ("sized_power(sum(loading * z over latent), shape)", "sized_power(shape, loading[x])", "E0"),
        (
            "sized_power(sum(loading * z over latent), shape)",
            "sized_power(shape, sum(z over latent))",
            "E0401",
        ),
        ("return weighed(v)", "return weighed(v over latent)", "E0304"),
        ("exp(f(log1p(x)))", "exp(weighed(log1p(x)))", "E0209"),
        ("sized_power(sum", "sized_pwoer(sum", "E0201"),
    ] {
        let found = compiled(&PROGRAM.replace(from, to)).expect_err(to);
        assert!(found.contains(wanted), "{to}: {found}");
    }
    let near = compiled(&PROGRAM.replace("sized_power(sum", "sized_pwoer(sum")).expect_err("unknown");
    assert!(near.contains("sized_pwoer"), "{near}");
}

/// A primitive under another name.
struct Named(&'static str);

impl Primitive for Named {
    fn name(&self) -> &str {
        self.0
    }
    fn value(&self, b: &mut dyn Builder, x: &[NodeId], _: Option<AxisId>) -> NodeId {
        match self.0 {
            // An axis that no input has.
            "grows" => {
                let extra = b.graph().add_axis("extra", 2);
                let i = b.graph().iota(extra);
                let i = b.graph().to_real(i);
                b.graph().add(x[0], i)
            }
            _ => x[0],
        }
    }
}

#[test]
fn registration_refuses_what_cannot_be_called() {
    for (name, code) in [
        ("exp", "E0202"),
        ("NB", "E0202"),
        ("mlp", "E0202"),
        ("model", "E0103"),
        ("a b", "E0103"),
        ("", "E0103"),
        ("x(", "E0103"),
        ("grows", "E0716"),
    ] {
        let error = Primitives::default().with(Arc::new(Named(name))).expect_err(name);
        assert_eq!(error.code.to_string(), code, "{name}");
    }
    let once = Primitives::default().with(Arc::new(Named("once"))).expect("a fresh name");
    assert!(once.with(Arc::new(Named("once"))).is_err());
}

#[test]
fn without_the_host_the_name_is_unknown() {
    let mut sources = Sources::new();
    let file = sources.add("host.svi", PROGRAM);
    let (c, diagnostics) = compile(&mut sources, file, &Settings::default(), &Stdlib);
    assert!(c.is_none());
    assert!(render_concise(&sources, &diagnostics).contains("sized_power"));
}
