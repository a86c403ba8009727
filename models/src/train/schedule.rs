//! When training ends and when the learning rate falls.

/// Factor by which the learning rate falls on a plateau.
pub const PLATEAU_FACTOR: f64 = 0.6;
/// Epochs without improvement before it falls.
pub const PLATEAU_PATIENCE: u64 = 30;
/// Epochs without improvement before training stops.
pub const STOPPING_PATIENCE: u64 = 45;

/// Epochs by the number of cells: max(1, min(round(400 · 20000 / N), 400)).
pub fn default_epochs(n_cells: usize) -> u64 {
    let epochs = (400.0 * 20_000.0 / n_cells.max(1) as f64).round();
    epochs.clamp(1.0, 400.0) as u64
}

/// Counts epochs without improvement of a value that should fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Patience {
    /// The best value so far.
    pub best: Option<f64>,
    /// Epochs since then.
    pub waited: u64,
}

impl Patience {
    /// Takes the next value; a value equal to the best is no improvement.
    pub fn update(&mut self, value: f64) {
        if self.best.is_none_or(|best| value < best) {
            self.best = Some(value);
            self.waited = 0;
        } else {
            self.waited += 1;
        }
    }

    /// Whether early stopping is due.
    pub fn is_exhausted(&self, patience: u64) -> bool {
        self.waited >= patience
    }

    /// Whether the learning rate is due to fall (one epoch later than early stopping counts); starts counting anew.
    pub fn falls(&mut self, patience: u64) -> bool {
        let due = self.waited > patience;
        if due {
            self.waited = 0;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_follow_the_number_of_cells() {
        assert_eq!(default_epochs(1000), 400);
        assert_eq!(default_epochs(30_000), 267);
        assert_eq!(default_epochs(100_000), 80);
        assert_eq!(default_epochs(100_000_000), 1);
    }

    #[test]
    fn patience_counts_epochs_without_improvement() {
        let mut p = Patience::default();
        p.update(5.0);
        (0..44).for_each(|_| p.update(5.0));
        assert!(!p.is_exhausted(STOPPING_PATIENCE));
        p.update(6.0);
        assert!(p.is_exhausted(STOPPING_PATIENCE));
        p.update(4.0);
        assert_eq!(p.waited, 0);
        let mut p = Patience { best: Some(0.0), waited: 30 };
        assert!(!p.falls(PLATEAU_PATIENCE));
        p.update(1.0);
        assert!(p.falls(PLATEAU_PATIENCE));
        assert_eq!(p.waited, 0);
    }
}
