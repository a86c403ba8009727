//! Whether a program can fit into the memory of this machine, before anything is allocated.

use crate::error::Error;
use crate::model::Model;
use autodiff_runtime::Graph;
use autodiff_runtime::graph::{Axes, Storage};
use dsl::Lowered;
use dsl::diagnostic::{Code, Diagnostic};

/// Bytes of a number.
const WIDTH: f64 = 4.0;
/// A trained parameter stands beside its gradient and the two moments of Adam.
const PER_PARAMETER: f64 = 4.0;
const GIB: f64 = (1u64 << 30) as f64;

/// Bytes that a program needs at the least: what is fed, the parameters, and the largest value beside its gradient. Apart
/// are those that grow with the minibatch. What more it needs depends on the back end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Needed {
    /// Whatever the minibatch.
    pub fixed: f64,
    /// Of the minibatch.
    pub batch: f64,
}

impl Needed {
    /// Of a graph whose minibatched axis has this name.
    pub fn of(g: &Graph, plate: Option<&str>) -> Needed {
        let count = |axes: &Axes| axes.iter().map(|a| g.size(a) as f64).product::<f64>();
        let of_rows = |axes: &Axes| axes.iter().any(|a| Some(g.axis(a).name.as_str()) == plate);
        let mut needed = Needed::default();
        let mut add =
            |rows: bool, bytes: f64| if rows { needed.batch += bytes } else { needed.fixed += bytes };
        for input in g.inputs().iter().filter(|i| i.storage == Storage::Dense) {
            add(of_rows(&input.axes), WIDTH * count(&input.axes));
        }
        for v in g.variables() {
            add(false, WIDTH * PER_PARAMETER * count(&v.axes));
        }
        let largest = g.node_ids().map(|id| g.axes_of(id)).max_by(|a, b| count(a).total_cmp(&count(b)));
        if let Some(axes) = largest {
            add(of_rows(axes), 2.0 * WIDTH * count(axes));
        }
        needed
    }

    /// E0709 unless it fits into so many bytes.
    pub fn too_much(self, free: f64, n_batch: usize) -> Option<Diagnostic> {
        let total = self.fixed + self.batch;
        if total <= free {
            return None;
        }
        let text = format!(
            "this needs at least {:.1} GiB of memory, and {:.1} GiB are free",
            total / GIB,
            free / GIB
        );
        let d = Diagnostic::new(Code::E0709, text);
        let fits = (n_batch as f64 * (free - self.fixed) / self.batch).floor();
        Some(match fits >= 2.0 && self.batch > 0.0 {
            true => d.help(format!("take smaller minibatches: --set batch_size={fits}")),
            false => d.help(
                "let axes be smaller (`svic check MODEL DATA --shapes` lists them), or take fewer features",
            ),
        })
    }
}

/// E0709 where the machine says how much is free.
pub(crate) fn check(model: &Model, lowered: &Lowered, n_batch: usize) -> Result<(), Error> {
    let Some(free) = free() else { return Ok(()) };
    let needed = Needed::of(&lowered.graph, model.compiled().plate());
    match needed.too_much(free, n_batch) {
        Some(d) => Err(Error::new(model.sources(), vec![d])),
        None => Ok(()),
    }
}

/// Bytes that are free, on Linux.
fn free() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kb| kb * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_minibatch_is_offered_where_it_helps() {
        let needed = Needed { fixed: GIB, batch: 8.0 * GIB };
        assert!(needed.too_much(9.0 * GIB, 128).is_none());
        let text = |needed: Needed, free| format!("{:?}", needed.too_much(free, 128).expect("too much"));
        // A quarter of the rows: 1 + 2 GiB.
        assert!(text(needed, 3.0 * GIB).contains("batch_size=32"));
        assert!(!text(needed, 0.5 * GIB).contains("batch_size"));
        assert!(!text(Needed { fixed: 2.0 * GIB, batch: 0.0 }, GIB).contains("batch_size"));
    }

    #[test]
    fn what_is_counted() {
        let mut g = Graph::new();
        let (cell, gene) = (g.add_axis("cell", 10), g.add_axis("gene", 3));
        let x = g.input("x", Axes::new([cell, gene]));
        let v = g.declare_variable("w", Axes::from(gene));
        let w = g.read_variable(v);
        g.mul(x, w);
        let needed = Needed::of(&g, Some("cell"));
        assert_eq!(needed, Needed { fixed: 4.0 * 4.0 * 3.0, batch: 4.0 * 30.0 + 8.0 * 30.0 });
    }
}
