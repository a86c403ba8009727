//! The table of conformance rows: parameters and values at which each family is tested.

use distributions::FAMILIES;

/// One family in one parameter set, at a few points.
pub struct Row {
    pub family: &'static str,
    pub set: usize,
    /// Elements of the event axis; 1 for an elementwise family.
    pub n_event: usize,
    /// `params[j]`: parameter j at each point; a vector parameter has `n_event` numbers per point.
    pub params: &'static [&'static [f64]],
    /// A value inside the support at each point (a vector family has `n_event` numbers per point; a label is a number).
    pub values: &'static [f64],
}

const fn row(
    family: &'static str,
    set: usize,
    n_event: usize,
    params: &'static [&'static [f64]],
    values: &'static [f64],
) -> Row {
    Row { family, set, n_event, params, values }
}

const PROBS: &[f64] = &[0.2, 0.5, 0.3, 0.6, 0.1, 0.3];
const LOGITS: &[f64] = &[-0.4, 1.3, 0.2, 2.0, -1.0, 0.0];
const SIMPLEX: &[f64] = &[0.2, 0.7, 0.1, 0.25, 0.25, 0.5];

/// Every family and set. Points are mild: extremes stand in `edges.rs` and in the fixtures.
#[rustfmt::skip]
pub static ROWS: &[Row] = &[
    row("Normal", 0, 1, &[&[0.3, -2.0, 5.0], &[0.6, 1.0, 3.0]], &[0.1, 0.4, 9.0]),
    row("Normal", 1, 1, &[&[0.3, -2.0, 5.0], &[0.36, 1.0, 9.0]], &[0.1, 0.4, 9.0]),
    row("LogNormal", 0, 1, &[&[0.3, -1.0, 1.0], &[0.6, 0.3, 0.5]], &[0.8, 0.4, 9.0]),
    row("LogNormal", 1, 1, &[&[0.3, -1.0, 1.0], &[0.36, 0.1, 0.25]], &[0.8, 0.4, 9.0]),
    row("LogitNormal", 0, 1, &[&[0.3, -1.0, 1.0], &[0.6, 0.3, 1.5]], &[0.6, 0.2, 0.95]),
    row("LogitNormal", 1, 1, &[&[0.3, -1.0, 1.0], &[0.36, 0.1, 2.25]], &[0.6, 0.2, 0.95]),
    row("LogisticNormal", 0, 2, &[&[0.3, -1.0, 1.0, 0.0], &[0.6, 0.3, 0.5, 1.0]], &[0.2, 0.8, 0.55, 0.45]),
    row("LogisticNormal", 1, 2, &[&[0.3, -1.0, 1.0, 0.0], &[0.36, 0.1, 0.25, 1.0]], &[0.2, 0.8, 0.55, 0.45]),
    row("NB", 0, 1, &[&[2.5, 0.3, 30.0], &[1.7, 0.4, 20.0]], &[3.0, 0.0, 41.0]),
    row("NB", 1, 1, &[&[1.7, 0.4, 20.0], &[-0.3, 0.5, 0.4]], &[3.0, 0.0, 41.0]),
    row("NB", 2, 1, &[&[1.7, 0.4, 20.0], &[0.3, 0.5, 0.6]], &[3.0, 0.0, 41.0]),
    row("ZINB", 0, 1, &[&[2.5, 0.3, 30.0], &[1.7, 0.4, 20.0], &[-0.4, 1.0, 0.2]], &[3.0, 0.0, 41.0]),
    row("ZINB", 1, 1, &[&[1.7, 0.4, 20.0], &[-0.3, 0.5, 0.4], &[-0.4, 1.0, 0.2]], &[3.0, 0.0, 41.0]),
    row("ZINB", 2, 1, &[&[1.7, 0.4, 20.0], &[0.3, 0.5, 0.6], &[-0.4, 1.0, 0.2]], &[0.0, 2.0, 41.0]),
    row("Poisson", 0, 1, &[&[0.2, 4.0, 60.0]], &[0.0, 5.0, 55.0]),
    row("Bernoulli", 0, 1, &[&[0.2, 0.5, 0.97]], &[0.0, 1.0, 1.0]),
    row("Bernoulli", 1, 1, &[&[-1.4, 0.0, 3.0]], &[0.0, 1.0, 1.0]),
    row("Categorical", 0, 3, &[PROBS], &[2.0, 0.0]),
    row("Categorical", 1, 3, &[LOGITS], &[2.0, 0.0]),
    row("Binomial", 0, 1, &[&[4.0, 12.0, 100.0], &[0.2, 0.5, 0.9]], &[0.0, 5.0, 93.0]),
    row("Binomial", 1, 1, &[&[4.0, 12.0, 100.0], &[-1.2, 0.0, 2.0]], &[0.0, 5.0, 93.0]),
    row("BetaBinomial", 0, 1, &[&[4.0, 12.0, 100.0], &[0.7, 3.0, 2.0], &[0.4, 5.0, 8.0]], &[0.0, 5.0, 23.0]),
    row("BetaBinomial", 1, 1, &[&[4.0, 12.0, 100.0], &[0.3, 0.5, 0.2], &[0.2, 0.6, 0.05]], &[0.0, 5.0, 23.0]),
    row("Multinomial", 0, 3, &[&[4.0, 7.0], PROBS], &[1.0, 0.0, 3.0, 5.0, 1.0, 1.0]),
    row("Multinomial", 1, 3, &[&[4.0, 7.0], LOGITS], &[1.0, 0.0, 3.0, 5.0, 1.0, 1.0]),
    row("Beta", 0, 1, &[&[0.7, 3.0, 1.0], &[0.9, 1.5, 8.0]], &[0.1, 0.5, 0.04]),
    row("Gamma", 0, 1, &[&[0.7, 3.0, 40.0], &[0.9, 1.5, 8.0]], &[0.1, 2.5, 6.0]),
    row("Dirichlet", 0, 3, &[&[0.7, 3.0, 1.0, 2.0, 5.0, 1.5]], SIMPLEX),
    row("Exponential", 0, 1, &[&[0.3, 1.0, 12.0]], &[2.0, 0.4, 0.01]),
    row("Delta", 0, 1, &[&[0.3, -1.0]], &[0.3, -1.0]),
];

impl Row {
    pub fn n_points(&self) -> usize {
        let is_label = self.family == "Categorical";
        self.values.len() / if is_label { 1 } else { self.n_event }
    }

    pub fn label(&self) -> String {
        format!("{} set {}", self.family, self.set)
    }

    /// Parameter j at one point.
    pub fn param(&self, j: usize, point: usize) -> &'static [f64] {
        let n = self.params[j].len() / self.n_points();
        &self.params[j][point * n..(point + 1) * n]
    }
}

#[test]
fn every_parameter_set_has_a_row() {
    for f in FAMILIES {
        for set in 0..f.parameter_sets().len() {
            let found = ROWS.iter().filter(|r| r.family == f.name() && r.set == set).count();
            assert!(found > 0, "{} has no conformance row for parameter set {set}", f.name());
        }
    }
    assert!(ROWS.iter().all(|r| distributions::find(r.family).is_some()), "a row names no family");
}

#[test]
fn descriptors_are_consistent() {
    for f in FAMILIES {
        assert_eq!(distributions::find(f.name()).map(|x| x.name()), Some(f.name()));
        let sets = f.parameter_sets();
        for name in f.positional().into_iter().flatten() {
            assert!(sets[0].iter().any(|p| p.name == *name), "{}: positional {name}", f.name());
        }
        for set in sets {
            let vector = set.iter().any(|p| p.has_event_axis);
            assert_eq!(vector, f.is_vector(), "{}: event axis of parameters", f.name());
        }
    }
}
