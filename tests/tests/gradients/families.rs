//! Every family: log density, divergences and reparameterised draws, with respect to parameters and to the value.

use super::Differentiated;
use super::made::uniform;
use autodiff_runtime::{Axes, AxisId, Feed, Graph, NodeId, Variables};
use distributions::{Dist, Draw, FAMILIES, Family, Sample, Support};

const N_POINTS: usize = 5;
const N_EVENTS: usize = 3;
/// Draws by rejection are not functions of their parameters at fixed noise, so differences say nothing of them; their
/// pathwise gradients are tested where they are defined.
const BY_REJECTION: [&str; 3] = ["Gamma", "Beta", "Dirichlet"];

/// A graph under construction: continuous things become variables, counts and categories become feeds.
struct Bench {
    g: Graph,
    point: AxisId,
    event: AxisId,
    variables: Variables<f64>,
    data: Vec<Data>,
}

/// Data of one input.
enum Data {
    Real(Vec<f64>),
    Index(Vec<u32>),
}

impl Bench {
    fn new() -> Self {
        let mut g = Graph::new();
        let point = g.add_axis("point", N_POINTS);
        let event = g.add_axis("event", N_EVENTS);
        Self { g, point, event, variables: Variables::new(), data: vec![] }
    }

    /// Something inside a support.
    fn thing(&mut self, name: &str, support: Support, axes: Axes) -> NodeId {
        let n = self.g.n_elements(&axes);
        let mut v: Vec<f64> = (0..n).map(|i| inside(support, uniform(name, i))).collect();
        match support {
            Support::Category => {
                let code = |i| (uniform(name, i) * N_EVENTS as f64) as u32;
                self.data.push(Data::Index((0..n).map(code).collect()));
                return self.g.index_input(name.to_owned(), axes);
            }
            Support::Bool | Support::Count => {
                self.data.push(Data::Real(v));
                return self.g.input(name.to_owned(), axes);
            }
            Support::Simplex => {
                for row in v.chunks_mut(N_EVENTS) {
                    let total: f64 = row.iter().sum();
                    row.iter_mut().for_each(|x| *x /= total);
                }
            }
            Support::Real | Support::Nonneg | Support::Positive | Support::Unit => {}
        }
        self.variables.set(name, v);
        let variable = self.g.declare_variable(name.to_owned(), axes);
        self.g.read_variable(variable)
    }

    fn dist(&mut self, who: &str, family: &'static dyn Family, set: usize) -> Dist {
        let all = Axes::from([self.point, self.event]);
        let params = family.parameter_sets()[set]
            .iter()
            .map(|p| {
                let axes = if p.has_event_axis { all.clone() } else { self.point.into() };
                // Totals exceed every count that `inside` gives.
                let name = format!("{who}.{}", p.name);
                let node = self.thing(&name, p.support, axes);
                if p.support == Support::Count { self.g.add_const(node, 30.0) } else { node }
            })
            .collect();
        Dist { family, set, params, event: family.is_vector().then_some(self.event) }
    }

    fn value(&mut self, family: &dyn Family) -> Sample {
        let axes = match family.support() {
            Support::Category => self.point.into(),
            _ if family.is_vector() => Axes::from([self.point, self.event]),
            _ => self.point.into(),
        };
        self.thing("value", family.support(), axes).into()
    }

    /// Checks the sum of a node; weights differ by element, so that no entries cancel.
    fn check(mut self, of: NodeId, what: &str) -> (Vec<String>, usize) {
        let axes = self.g.axes_of(of).clone();
        let weights = (0..self.g.n_elements(&axes)).map(|i| 0.5 + uniform("weight", i)).collect();
        let weight = self.g.input("weight", axes.clone());
        self.data.push(Data::Real(weights));
        let weighted = self.g.mul(of, weight);
        let loss = self.g.sum(weighted, axes);
        self.g.output("loss", loss);
        let mut feeds: Vec<Feed<'_, f64>> = vec![];
        for data in &self.data {
            feeds.push(match data {
                Data::Real(v) => Feed::Dense(v),
                Data::Index(v) => Feed::Index(v),
            });
        }
        let names: Vec<String> = self.variables.iter().map(|(n, _)| n.to_owned()).collect();
        let trained = names.iter().filter_map(|n| self.g.find_variable(n)).collect();
        let d = Differentiated {
            graph: &self.g,
            loss,
            trained,
            feeds: &feeds,
            variables: &self.variables,
            most: usize::MAX,
        };
        let (wrong, n) = d.disagreements();
        (wrong.into_iter().map(|w| format!("{what}: {w}")).collect(), n)
    }
}

fn inside(support: Support, u: f64) -> f64 {
    match support {
        Support::Real => 3.0 * u - 1.5,
        Support::Nonneg | Support::Positive => 0.4 + 2.0 * u,
        Support::Unit | Support::Simplex => 0.1 + 0.8 * u,
        Support::Bool => f64::from(u8::from(u > 0.5)),
        Support::Count => (u * u * 9.0).floor(),
        Support::Category => 0.0,
    }
}

/// Every family with each of its parameter sets.
fn sets() -> impl Iterator<Item = (&'static dyn Family, usize)> {
    FAMILIES.iter().flat_map(|f| (0..f.parameter_sets().len()).map(|s| (*f, s)))
}

fn collect(results: Vec<(Vec<String>, usize)>, least: usize) {
    let n: usize = results.iter().map(|r| r.1).sum();
    let wrong: Vec<String> = results.into_iter().flat_map(|r| r.0).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(n >= least, "only {n} entries of gradients compared");
}

#[test]
fn densities_of_every_family() {
    let one = |(family, set): (&'static dyn Family, usize)| {
        let mut b = Bench::new();
        let d = b.dist("p", family, set);
        let at = b.value(family);
        let density = d.log_prob(&mut b.g, at);
        b.check(density, &format!("log {} {set}", family.name()))
    };
    // A Delta has no density to differentiate.
    collect(sets().filter(|(f, _)| f.name() != "Delta").map(one).collect(), 200);
}

#[test]
fn divergences_of_every_registered_pair() {
    let mut results = vec![];
    for (q_family, q_set) in sets().filter(|(f, _)| f.name() != "Delta") {
        for (p_family, p_set) in sets().filter(|(f, _)| q_family.has_kl_to(f.name())) {
            let mut b = Bench::new();
            let (q, p) = (b.dist("q", q_family, q_set), b.dist("p", p_family, p_set));
            let what = format!("KL({} {q_set} ‖ {} {p_set})", q_family.name(), p_family.name());
            let kl = q.kl(&mut b.g, &p).unwrap_or_else(|| panic!("{what} is registered but has no form"));
            results.push(b.check(kl, &what));
        }
    }
    collect(results, 200);
}

#[test]
fn reparameterised_draws() {
    let smooth = |f: &dyn Family| f.reparameterised() && !BY_REJECTION.contains(&f.name());
    let one = |(family, set): (&'static dyn Family, usize)| {
        let mut b = Bench::new();
        let d = b.dist("p", family, set);
        let axes = if family.is_vector() { Axes::from([b.point, b.event]) } else { b.point.into() };
        let drawn = d.sample(&mut b.g, &Draw { stream: 8, axes, rows: None });
        let square = b.g.square(drawn.value);
        b.check(square, &format!("draw of {} {set}", family.name()))
    };
    collect(sets().filter(|(f, _)| smooth(*f)).map(one).collect(), 30);
}
