//! Training: the loop, its schedules, what it records, and how it continues.

mod fit;
mod history;
mod progress;
mod schedule;
mod session;
mod stats;

pub use fit::{Checkpoint, Fit, FitOptions};
pub use history::{EpochRecord, Measures, Sums, Timing};
pub use progress::{Ending, Plan, Progress, Silent};
pub use schedule::{PLATEAU_FACTOR, PLATEAU_PATIENCE, Patience, STOPPING_PATIENCE, default_epochs};
pub(crate) use session::ObjectivePass;
pub use stats::compute_stats;
