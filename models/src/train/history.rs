//! What is recorded of an epoch.

use dsl::TermInfo;
use serde_json::{Map, Value, json};

/// Means over the cells of a pass. Terms are unweighted; those over cells are per cell, global ones as they are.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measures {
    /// The objective, as minimised.
    pub loss: f64,
    /// The negative bound per cell, all weights at one. Lower is better.
    pub elbo: f64,
    /// Every term by name, in the order of the objective.
    pub terms: Vec<(String, f64)>,
}

/// One epoch. No times: they belong to the run, not to the result.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Learning rate during it.
    pub lr: f64,
    /// Over the training cells, as the parameters changed.
    pub train: Measures,
    /// Over the validation cells after it, where asked for.
    pub validation: Option<Measures>,
}

/// How long an epoch took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Seconds of its training pass.
    pub seconds: f64,
    /// Training cells per second.
    pub cells_per_s: f64,
}

impl Measures {
    fn json(&self) -> Value {
        let mut map = Map::new();
        map.insert("loss".into(), json!(self.loss));
        map.insert("elbo".into(), json!(self.elbo));
        map.extend(self.terms.iter().map(|(name, value)| (name.clone(), json!(value))));
        Value::Object(map)
    }
}

impl EpochRecord {
    /// A line of `--history`.
    pub fn to_json(&self, timing: Timing) -> Value {
        let mut map = Map::new();
        map.insert("epoch".into(), json!(self.epoch));
        map.insert("seconds".into(), json!(timing.seconds));
        map.insert("cells_per_s".into(), json!(timing.cells_per_s));
        map.insert("lr".into(), json!(self.lr));
        map.insert("train".into(), self.train.json());
        if let Some(validation) = &self.validation {
            map.insert("validation".into(), validation.json());
        }
        Value::Object(map)
    }
}

/// Adds up the outputs of the minibatches of one pass.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    loss: f64,
    terms: Vec<f64>,
    n_cells: usize,
    n_batches: usize,
}

impl Sums {
    /// Adds a minibatch: its loss, and its terms in order.
    pub fn add(&mut self, n_cells: usize, loss: f64, terms: impl Iterator<Item = f64>) {
        self.loss += loss * n_cells as f64;
        self.n_cells += n_cells;
        self.n_batches += 1;
        for (i, value) in terms.enumerate() {
            match self.terms.get_mut(i) {
                Some(sum) => *sum += value,
                None => self.terms.push(value),
            }
        }
    }

    /// Number of cells so far.
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// The negative bound per cell so far, without free terms; of an objective of free terms alone, their sum.
    pub fn elbo(&self, infos: &[TermInfo]) -> f64 {
        let n = self.n_cells.max(1) as f64;
        let batches = self.n_batches.max(1) as f64;
        let only_free = infos.iter().all(|i| i.free);
        let parts = infos.iter().zip(&self.terms).filter(|(info, _)| only_free || !info.free);
        parts
            .map(|(info, sum)| {
                let value = if info.per_row { *sum } else { sum / batches };
                -f64::from(info.sign) * if info.free { value } else { value / n }
            })
            .sum()
    }

    /// The means of the pass.
    pub fn measures(&self, infos: &[TermInfo]) -> Measures {
        let n = self.n_cells.max(1) as f64;
        let batches = self.n_batches.max(1) as f64;
        let mean = |info: &TermInfo, sum: f64| if info.per_row { sum / n } else { sum / batches };
        let terms = infos.iter().zip(&self.terms).map(|(i, s)| (i.name.clone(), mean(i, *s))).collect();
        Measures { loss: self.loss / n, elbo: self.elbo(infos), terms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_per_cell_and_global_terms_count_once() {
        let infos = [
            TermInfo { name: "lik(x)".into(), per_row: true, sign: 1, free: false },
            TermInfo { name: "kl(z)".into(), per_row: true, sign: -1, free: false },
            TermInfo { name: "prior(w)".into(), per_row: false, sign: 1, free: false },
            TermInfo { name: "term 1".into(), per_row: false, sign: -1, free: true },
        ];
        let mut sums = Sums::default();
        sums.add(2, 10.0, [-6.0, 2.0, -8.0, 5.0].into_iter());
        sums.add(6, 20.0, [-18.0, 6.0, -8.0, 7.0].into_iter());
        let m = sums.measures(&infos);
        assert_eq!(m.loss, 17.5);
        assert_eq!(m.terms[0].1, -3.0);
        assert_eq!(m.terms[2].1, -8.0);
        assert_eq!(m.elbo, 3.0 + 1.0 + 1.0);
        assert_eq!(m.terms[3].1, 6.0);
        assert_eq!(Sums { terms: vec![12.0], ..sums }.elbo(&infos[3..]), 6.0);
        let line = EpochRecord { epoch: 1, train: m, ..Default::default() }.to_json(Timing::default());
        assert!(line.to_string().starts_with(r#"{"epoch":1,"seconds":0.0,"cells_per_s":0.0"#), "{line}");
        assert_eq!(line["train"]["kl(z)"], 1.0);
    }
}
