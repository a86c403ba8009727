//! Lines to text: the parts of neighbouring lines of one kind, and the comments at line ends, under one another.

use super::starts::Kind;

/// Most columns of a line that are aligned.
pub(super) const COLUMNS: usize = 5;

/// One line of the result.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// A blank line stands before it.
    pub apart: bool,
    /// Blanks at its beginning.
    pub indent: usize,
    /// Of the statement that begins on this line.
    pub kind: Option<Kind>,
    /// Its parts; the first is never absent unless the line is a comment.
    pub cells: [String; COLUMNS],
    /// The comment at its end, or the comment that it consists of.
    pub comment: Option<String>,
}

impl Line {
    fn is_comment(&self) -> bool {
        self.cells.iter().all(String::is_empty)
    }
}

/// Puts lines together.
pub(super) fn join(lines: &[Line]) -> String {
    let mut texts: Vec<String> = vec![];
    for run in lines.chunk_by(|a, b| a.kind == b.kind && a.kind.is_some() && a.indent == b.indent && !b.apart)
    {
        let mut widths = [0; COLUMNS];
        for line in run {
            for (width, cell) in widths.iter_mut().zip(&line.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        texts.extend(run.iter().map(|line| cells(line, &widths)));
    }
    let mut out = String::new();
    let mut at = 0;
    let commented = |l: &Line| l.comment.is_some() && !l.is_comment();
    for run in lines.chunk_by(|a, b| commented(a) && commented(b) && !b.apart) {
        let width = texts[at..at + run.len()].iter().map(|t| t.chars().count()).max().unwrap_or(0);
        for line in run {
            if line.apart {
                out.push('\n');
            }
            out.push_str(&texts[at]);
            if let Some(comment) = &line.comment {
                let gap = if line.is_comment() { 0 } else { width + 2 - texts[at].chars().count() };
                out.extend(std::iter::repeat_n(' ', gap));
                out.push_str(comment);
            }
            out.push('\n');
            at += 1;
        }
    }
    out
}

/// The parts of a line, each padded to its column unless it is the last.
fn cells(line: &Line, widths: &[usize; COLUMNS]) -> String {
    let mut out = " ".repeat(line.indent);
    let last = line.cells.iter().rposition(|c| !c.is_empty()).unwrap_or(0);
    for (n, (cell, width)) in line.cells.iter().zip(widths).enumerate().take(last + 1) {
        if n > 0 && *width > 0 {
            out.push_str(gap(line.kind, n));
        }
        out.push_str(cell);
        if n < last {
            out.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
    }
    out
}

/// What stands before a column: the parts of fields and outputs read as a table.
fn gap(kind: Option<Kind>, column: usize) -> &'static str {
    match kind {
        Some(Kind::Field | Kind::Output) if column > 1 => "  ",
        _ => " ",
    }
}
