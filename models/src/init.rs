//! Initial values: a function of the seed and of the parameter's name, so that one parameter more shifts no other.

use crate::compiler::Compiled;
use autodiff_runtime::random::{SiteKey, normal_from, open_unit};
use autodiff_runtime::{Element, StepKey, Variables};
use dsl::{AxisSource, Init, Lowered, VariableKind, VariableSpec};

/// Stream of initial values; the streams of a graph's own sites count from 0.
const STREAM: u32 = 0xFFFF_0003;

/// The initial values of one variable, row-major.
pub fn initial<E: Element>(spec: &VariableSpec, seed: u64) -> Vec<E> {
    let n: usize = spec.dims.iter().map(|d| d.size).product();
    let site = SiteKey::new(StepKey { seed, step: name_hash(&spec.name) }, STREAM);
    let draw = |i: usize| -> f64 {
        let words = || site.words(0, i as u64);
        match spec.init {
            Init::Constant(value) => value,
            Init::Uniform { low, high } => {
                (low + high) / 2.0 + (high - low) / 2.0 * (2.0 * open_unit(words()[0]) - 1.0)
            }
            Init::Normal { mean, sd } => {
                let [a, b, ..] = words();
                mean + sd * normal_from(a, b)
            }
        }
    };
    (0..n).map(|i| E::from_f64(draw(i))).collect()
}

/// Adds the variables of a graph that are not there yet, at their initial values.
pub fn add_missing<E: Element>(lowered: &Lowered, seed: u64, variables: &mut Variables<E>) {
    for spec in &lowered.variables {
        if variables.get(&spec.name).is_none() {
            variables.set(&spec.name, initial(spec, seed));
        }
    }
}

/// Adds zero moments for every trained variable, so that a step never has to add a variable.
pub fn add_moments<E: Element>(
    lowered: &Lowered,
    optimiser: &autodiff_runtime::optim::Optimiser,
    variables: &mut Variables<E>,
) {
    for spec in lowered.variables.iter().filter(|v| v.kind == VariableKind::Trained) {
        for moment in optimiser.moments(&spec.name) {
            if variables.get(&moment).is_none() {
                let n = spec.dims.iter().map(|d| d.size).product();
                variables.set(&moment, vec![E::from_f64(0.0); n]);
            }
        }
    }
}

/// The options and the axis sizes of a model that `--set` can change, as text.
pub(crate) fn options_in_force(compiled: &Compiled) -> Vec<(String, String)> {
    let options = compiled.options().iter().map(|o| (o.name.clone(), o.value.clone()));
    let sizes = compiled.axes().iter().filter_map(|axis| match axis.source {
        AxisSource::Knob(n) => Some((axis.name.clone(), n.to_string())),
        _ => None,
    });
    options.chain(sizes).collect()
}

/// FNV-1a of a name: stable across versions and machines.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsl::{DimRole, VariableDim};

    fn spec(name: &str, init: Init) -> VariableSpec {
        let dims = vec![VariableDim { axis: "gene".into(), size: 4000, role: DimRole::Own }];
        VariableSpec { name: name.into(), dims, init, from: None, kind: VariableKind::Trained }
    }

    #[test]
    fn values_follow_name_and_seed() {
        let a: Vec<f32> = initial(&spec("a", Init::Normal { mean: 1.0, sd: 2.0 }), 7);
        assert_eq!(a, initial::<f32>(&spec("a", Init::Normal { mean: 1.0, sd: 2.0 }), 7));
        assert_ne!(a, initial::<f32>(&spec("b", Init::Normal { mean: 1.0, sd: 2.0 }), 7));
        assert_ne!(a, initial::<f32>(&spec("a", Init::Normal { mean: 1.0, sd: 2.0 }), 8));
        let mean = a.iter().sum::<f32>() / 4000.0;
        let sd = (a.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 4000.0).sqrt();
        assert!((mean - 1.0).abs() < 0.15 && (sd - 2.0).abs() < 0.1, "{mean} {sd}");
    }

    #[test]
    fn uniform_values_fill_their_interval() {
        let u: Vec<f64> = initial(&spec("u", Init::within(0.5)), 0);
        assert!(u.iter().all(|x| x.abs() < 0.5));
        assert!(u.iter().cloned().fold(0.0, f64::max) > 0.49);
        let c: Vec<f64> = initial(&spec("c", Init::Constant(1.0)), 0);
        assert!(c.iter().all(|x| *x == 1.0));
    }
}
