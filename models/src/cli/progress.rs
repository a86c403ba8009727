//! A run on the terminal: a bar, or plain lines when the output is no terminal.

use super::{say, warn};
use crate::error::Error;
use crate::train::{Ending, EpochRecord, Plan, Progress, Timing};
use dsl::diagnostic::Diagnostics;
use dsl::source::Sources;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Plain lines come for about this many epochs of a run.
const LINES: u64 = 20;

/// Shows a run and writes its history.
pub struct Terminal {
    quiet: bool,
    bar: Option<ProgressBar>,
    plan: Option<Plan>,
    seconds: f64,
    epoch: u64,
    speed: f64,
    history: Option<(PathBuf, File)>,
    /// The first failure to write the history, told at the end.
    pub failure: Option<Error>,
}

impl Terminal {
    /// `history` is a file of JSON lines, begun anew unless the run is resumed.
    ///
    /// # Errors
    /// E0714 when the history cannot be written.
    pub fn new(quiet: bool, history: Option<&Path>, resumed: bool) -> Result<Terminal, Error> {
        let open = |path: &Path| {
            let file = File::options().create(true).write(true).append(resumed).truncate(!resumed).open(path);
            file.map(|f| (path.to_path_buf(), f))
                .map_err(|e| Error::plain(crate::error::unwritable(path, &e)))
        };
        Ok(Terminal {
            quiet,
            bar: None,
            plan: None,
            seconds: 0.0,
            epoch: 0,
            speed: 0.0,
            history: history.map(open).transpose()?,
            failure: None,
        })
    }

    fn total(&self) -> u64 {
        self.plan.as_ref().map_or(0, |p| p.epochs)
    }

    fn left(&self) -> String {
        let done = self.plan.as_ref().map_or(0, |p| self.epoch.saturating_sub(p.done));
        let rest = self.total().saturating_sub(self.epoch);
        if done == 0 { String::new() } else { clock(self.seconds / done as f64 * rest as f64) }
    }
}

/// Seconds as `1:02:03` or `2:03`.
fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

impl Progress for Terminal {
    fn start(&mut self, plan: &Plan) {
        self.epoch = plan.done;
        if !self.quiet {
            say(&format!(
                "training on {} cells, {} held out, {} epochs of {} minibatches{}",
                plan.n_train,
                plan.n_validation,
                plan.epochs,
                plan.n_batches,
                if plan.done > 0 { format!(", {} done", plan.done) } else { String::new() }
            ));
            if std::io::stderr().is_terminal() {
                let bar = ProgressBar::new(plan.epochs * plan.n_train as u64);
                // The template is constant and valid.
                if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg}") {
                    bar.set_style(style);
                }
                bar.set_position(plan.done * plan.n_train as u64);
                self.bar = Some(bar);
            }
        }
        self.plan = Some(plan.clone());
    }

    fn warn(&mut self, sources: &Sources, diagnostics: &Diagnostics) {
        warn(sources, diagnostics, self.quiet);
    }

    fn step(&mut self, cells: usize, elbo: f64) {
        let (Some(bar), Some(plan)) = (&self.bar, &self.plan) else { return };
        bar.set_position(self.epoch * plan.n_train as u64 + cells as u64);
        bar.set_message(format!(
            "epoch {}/{}  ELBO {:.2}  {:.0} cells/s  {} left",
            self.epoch + 1,
            plan.epochs,
            -elbo,
            self.speed,
            self.left()
        ));
    }

    fn epoch(&mut self, record: &EpochRecord, timing: Timing) {
        self.epoch = record.epoch;
        self.seconds += timing.seconds;
        self.speed = timing.cells_per_s;
        if let Some((path, file)) = &mut self.history
            && let Err(e) = writeln!(file, "{}", record.to_json(timing))
            && self.failure.is_none()
        {
            self.failure = Some(Error::plain(crate::error::unwritable(path, &e)));
        }
        let every = (self.total() / LINES).max(1);
        let due = record.epoch.is_multiple_of(every) || record.epoch == self.total() || record.epoch == 1;
        if self.quiet || self.bar.is_some() || !due {
            return;
        }
        let validation =
            record.validation.as_ref().map_or(String::new(), |v| format!("  validation {:.2}", -v.elbo));
        say(&format!(
            "epoch {}/{}  ELBO {:.2}{validation}  {:.0} cells/s  {} left",
            record.epoch,
            self.total(),
            -record.train.elbo,
            timing.cells_per_s,
            self.left()
        ));
    }

    fn finish(&mut self, ending: Ending) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.quiet {
            return;
        }
        let speed = self.plan.as_ref().map_or(0.0, |p| {
            p.n_train as f64 * self.epoch.saturating_sub(p.done) as f64 / self.seconds.max(1e-9)
        });
        let how = match ending {
            Ending::Completed => "done",
            Ending::Early => "the validation ELBO no longer improves: stopped",
            Ending::Interrupted => "interrupted",
        };
        say(&format!("{how} after epoch {}, {} ({speed:.0} cells/s)", self.epoch, clock(self.seconds)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        assert_eq!(clock(5.2), "0:05");
        assert_eq!(clock(3725.0), "1:02:05");
    }
}
