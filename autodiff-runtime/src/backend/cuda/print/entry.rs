//! One kernel under construction: its parameters, collected as the body asks for them, and its text.

use super::super::form::{Launch, Place};
use std::fmt::Write;

/// Threads of a block.
pub(super) const BLOCK: usize = 256;

/// Blocks along the second dimension of a grid, at most.
const MAX_GRID_Y: usize = 65_535;

pub(super) struct Entry {
    name: String,
    /// Parameter, whether the kernel writes it.
    places: Vec<(Place, bool)>,
    pub body: String,
    indent: usize,
}

impl Entry {
    pub fn new(name: String) -> Self {
        Self { name, places: vec![], body: String::new(), indent: 1 }
    }

    /// The name of a parameter that is only read (as far as this call is concerned).
    pub fn read(&mut self, place: Place) -> String {
        if !self.places.iter().any(|p| p.0 == place) {
            self.places.push((place, false));
        }
        name(place)
    }

    /// The name of a parameter that is written.
    pub fn write(&mut self, place: Place) -> String {
        match self.places.iter_mut().find(|p| p.0 == place) {
            Some(p) => p.1 = true,
            None => self.places.push((place, true)),
        }
        name(place)
    }

    pub fn line(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        if text.starts_with('}') {
            self.indent -= 1;
        }
        let _ = writeln!(self.body, "{:1$}{text}", "", 4 * self.indent);
        if text.ends_with('{') {
            self.indent += 1;
        }
    }

    /// Appends the kernel to the module's text; `grid` counts blocks.
    pub fn finish(self, source: &mut String, grid: [usize; 2]) -> Launch {
        debug_assert_eq!(self.indent, 1, "braces of {} match:\n{}", self.name, self.body);
        let kind = |(place, written): &(Place, bool)| {
            let constant = if *written { "" } else { "const " };
            let element = match place {
                Place::Real(_) | Place::Partial | Place::Room(_) | Place::NonZeroRoom(..) => "real",
                Place::Doubles => "double",
                Place::Index(_) | Place::Offsets(_) | Place::Columns(_) | Place::Key | Place::Failed => {
                    "unsigned"
                }
            };
            format!("{constant}{element} *")
        };
        let parameters: Vec<String> =
            self.places.iter().map(|p| format!("{}__restrict__ {}", kind(p), name(p.0))).collect();
        let _ = write!(
            source,
            "\nKERNEL void __launch_bounds__({BLOCK}) {}({}) {{\n{}}}\n",
            self.name,
            parameters.join(", "),
            self.body
        );
        let casts: Vec<String> =
            self.places.iter().enumerate().map(|(i, p)| format!("({})a[{i}]", kind(p))).collect();
        let _ = writeln!(source, "HOST_CALL({}, {})", self.name, casts.join(", "));
        Launch {
            entry: self.name,
            grid: [grid[0].max(1) as u32, grid[1].clamp(1, MAX_GRID_Y) as u32],
            block: BLOCK as u32,
            places: self.places.into_iter().map(|p| p.0).collect(),
        }
    }
}

fn name(place: Place) -> String {
    match place {
        Place::Real(s) => format!("r{}", s.index()),
        Place::Index(s) => format!("u{}", s.index()),
        Place::Offsets(i) => format!("rows{}", i.index()),
        Place::Columns(i) => format!("cols{}", i.index()),
        Place::Partial => "part".into(),
        Place::Doubles => "dpart".into(),
        Place::Room(at) => format!("room{at}"),
        Place::NonZeroRoom(i, n) => format!("kept{}_{n}", i.index()),
        Place::Key => "key".into(),
        Place::Failed => "failed".into(),
    }
}

/// A number as C text of the module's `real`.
pub(super) fn number(x: f64) -> String {
    match x {
        x if x.is_nan() => "REAL_NAN".into(),
        f64::INFINITY => "REAL_INF".into(),
        f64::NEG_INFINITY => "(-REAL_INF)".into(),
        x => format!("((real){x:e})"),
    }
}

/// The smallest power of two that is not below `n`, within bounds.
pub(super) fn power(n: usize, low: usize, high: usize) -> usize {
    n.next_power_of_two().clamp(low, high)
}

/// Text of Σ step · name, leaving out what is zero.
pub(super) fn offset(terms: impl Iterator<Item = (usize, String)>) -> String {
    let parts: Vec<String> =
        terms.filter(|t| t.0 != 0).map(|(s, n)| if s == 1 { n } else { format!("(idx){s} * {n}") }).collect();
    if parts.is_empty() { "0".into() } else { parts.join(" + ") }
}

/// Lines that take `from` apart into positions along dimensions of these sizes (slowest first).
pub(super) fn decompose(e: &mut Entry, from: &str, dims: &[(usize, String)]) {
    let mut below: usize = 1;
    for (i, (size, name)) in dims.iter().enumerate().rev() {
        let shifted = if below == 1 { from.to_owned() } else { format!("{from} / {below}") };
        let text = if i == 0 { shifted } else { format!("{shifted} % {size}") };
        e.line(format!("const idx {name} = {text};"));
        below *= size;
    }
}
