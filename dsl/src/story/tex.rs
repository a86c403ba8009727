//! Expressions of the language as LaTeX.

use crate::resolve::{Program, Static, StaticEnv};
use crate::syntax::ast::{Arg, BinaryOp, Binding, Call, Expr, ExprKind, Name, UnaryOp};
use std::collections::BTreeMap;

/// Names that have a Greek letter of their own.
const GREEK: [&str; 23] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu",
    "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
];

/// Functions that LaTeX knows.
const KNOWN: [&str; 5] = ["exp", "log", "max", "min", "tanh"];

/// How tightly a piece of LaTeX binds: what stands around it decides on parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binds {
    Or,
    And,
    Compare,
    Sum,
    Product,
    /// A big operator: it takes in what follows it.
    Big,
    Unary,
    Power,
    Atom,
}

/// What is known of names: their indices.
pub(super) struct Tex<'a> {
    program: &'a Program,
    /// Index letter of each axis.
    pub letters: BTreeMap<String, String>,
    /// Axes of each named value, in order.
    pub axes: BTreeMap<String, Vec<String>>,
}

impl<'a> Tex<'a> {
    pub(super) fn new(program: &'a Program, axes: BTreeMap<String, Vec<String>>, all: &[&str]) -> Tex<'a> {
        Tex { program, letters: letters(all), axes }
    }

    /// A name with the indices of its axes: `\theta_{g}`.
    pub(super) fn value(&self, name: &str) -> String {
        self.indexed(name, &BTreeMap::new())
    }

    /// Some axes have a written index in the place of their letter.
    fn indexed(&self, name: &str, written: &BTreeMap<&str, String>) -> String {
        let axes = self.axes.get(name).map_or(&[][..], Vec::as_slice);
        let of = |a: &String| written.get(a.as_str()).cloned().unwrap_or_else(|| self.letter(a));
        subscript(&word(name), &axes.iter().map(of).collect::<Vec<_>>())
    }

    /// The index letter of an axis.
    pub(super) fn letter(&self, axis: &str) -> String {
        self.letters.get(axis).cloned().unwrap_or_else(|| text(axis))
    }

    pub(super) fn expr(&self, e: &Expr) -> String {
        self.bound(e).0
    }

    fn at_least(&self, e: &Expr, least: Binds) -> String {
        let (text, binds) = self.bound(e);
        if binds < least { format!(r"\left({text}\right)") } else { text }
    }

    /// Inside a sum an index has a letter of its own: the one outside, primed.
    fn inside(&self, over: &[Name]) -> Tex<'a> {
        let mut letters = self.letters.clone();
        for axis in over {
            letters.entry(axis.text.clone()).and_modify(|l| l.push('\''));
        }
        Tex { program: self.program, letters, axes: self.axes.clone() }
    }

    fn bound(&self, e: &Expr) -> (String, Binds) {
        match &e.kind {
            // An option stands for the value in force.
            ExprKind::Name(n) if !self.axes.contains_key(&n.text) => {
                match StaticEnv(self.program).name(&n.text) {
                    Some(Static::Number(x)) => (number(&x.to_string()), Binds::Atom),
                    Some(other) => (text(&other.to_string()), Binds::Atom),
                    None => (self.value(&n.text), Binds::Atom),
                }
            }
            ExprKind::Name(n) => (self.value(&n.text), Binds::Atom),
            ExprKind::Number(n) => (number(n), Binds::Atom),
            ExprKind::Text(t) => (text(t), Binds::Atom),
            ExprKind::Bool(b) => (text(if *b { "true" } else { "false" }), Binds::Atom),
            ExprKind::Field { base, name } => {
                (format!("{}.{}", self.at_least(base, Binds::Atom), word(&name.text)), Binds::Atom)
            }
            ExprKind::Index { base, indices } => (self.index(base, indices), Binds::Atom),
            ExprKind::Call(call) => self.call(call),
            ExprKind::Unary { op: UnaryOp::Neg, operand } => {
                (format!("-{}", self.at_least(operand, Binds::Unary)), Binds::Unary)
            }
            ExprKind::Unary { op: UnaryOp::Not, operand } => {
                (format!(r"\lnot {}", self.at_least(operand, Binds::Unary)), Binds::Unary)
            }
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right),
            ExprKind::Record(entries) => {
                (format!(r"\left\{{{}\right\}}", self.bindings(entries)), Binds::Atom)
            }
            ExprKind::Match { subject, arms } => {
                let value = StaticEnv(self.program).name(&subject.text).map(|v| v.to_string());
                match arms.iter().find(|a| Some(&a.label.text) == value.as_ref()) {
                    Some(arm) => self.bound(&arm.value),
                    None => (text("match"), Binds::Atom),
                }
            }
            ExprKind::Error => (String::new(), Binds::Atom),
        }
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr) -> (String, Binds) {
        let join = |sign: &str, level: Binds, above: Binds| {
            (format!("{} {sign} {}", self.at_least(left, level), self.at_least(right, above)), level)
        };
        match op {
            BinaryOp::Or => join(r"\lor", Binds::Or, Binds::And),
            BinaryOp::And => join(r"\land", Binds::And, Binds::Compare),
            BinaryOp::Eq => join("=", Binds::Compare, Binds::Sum),
            BinaryOp::Ne => join(r"\neq", Binds::Compare, Binds::Sum),
            BinaryOp::Lt => join("<", Binds::Compare, Binds::Sum),
            BinaryOp::Le => join(r"\leq", Binds::Compare, Binds::Sum),
            BinaryOp::Gt => join(">", Binds::Compare, Binds::Sum),
            BinaryOp::Ge => join(r"\geq", Binds::Compare, Binds::Sum),
            BinaryOp::Add => join("+", Binds::Sum, Binds::Product),
            BinaryOp::Sub => join("-", Binds::Sum, Binds::Product),
            BinaryOp::Mul => {
                // Between two numbers a dot; else juxtaposition reads as a product.
                let sign = if starts_with_digit(&self.expr(right)) { r"\cdot" } else { r"\," };
                let (mut shown, level) = join(sign, Binds::Product, Binds::Big);
                let (first, binds) = self.bound(left);
                if binds == Binds::Big {
                    shown = format!(r"\left({first}\right) {sign} {}", self.at_least(right, Binds::Big));
                }
                (shown, level)
            }
            BinaryOp::Div => {
                (format!(r"\frac{{{}}}{{{}}}", self.expr(left), self.expr(right)), Binds::Product)
            }
            BinaryOp::Pow => {
                (format!("{{{}}}^{{{}}}", self.at_least(left, Binds::Atom), self.expr(right)), Binds::Power)
            }
        }
    }

    /// `t[i]`: the index takes the place of the letter of the axis that it points into.
    fn index(&self, base: &Expr, indices: &[Expr]) -> String {
        let written: Vec<String> = indices.iter().map(|i| self.expr(i)).collect();
        if let ExprKind::Name(n) = &base.kind
            && let Some(axes) = self.axes.get(&n.text)
        {
            let mut at = BTreeMap::new();
            for (index, shown) in indices.iter().zip(&written) {
                let ExprKind::Name(i) = &index.kind else { continue };
                // A category indexes the axis of its own name.
                if let Some(axis) = axes.iter().find(|a| **a == i.text) {
                    at.insert(axis.as_str(), shown.clone());
                }
            }
            if at.len() == indices.len() {
                return self.indexed(&n.text, &at);
            }
        }
        format!("{}[{}]", self.at_least(base, Binds::Atom), written.join(", "))
    }

    fn call(&self, call: &Call) -> (String, Binds) {
        let name = match &call.callee.kind {
            ExprKind::Name(n) => n.text.as_str(),
            // `linear[gene](h)`: the output axis is an index.
            ExprKind::Index { base, indices } => {
                let shown: Vec<String> = indices
                    .iter()
                    .map(
                        |i| if let ExprKind::Name(n) = &i.kind { self.letter(&n.text) } else { self.expr(i) },
                    )
                    .collect();
                let head =
                    if let ExprKind::Name(n) = &base.kind { operator(&n.text) } else { self.expr(base) };
                return (format!("{}{}", subscript(&head, &shown), self.arguments(call)), Binds::Atom);
            }
            _ => return (self.at_least(&call.callee, Binds::Atom) + &self.arguments(call), Binds::Atom),
        };
        let over: Vec<String> = call.over.iter().map(|a| self.letter(&a.text)).collect();
        let inner = self.inside(&call.over);
        match (name, call.args.as_slice()) {
            ("sum" | "prod", [one]) if call.filter.is_none() && !over.is_empty() => {
                let sign = if name == "sum" { r"\sum" } else { r"\prod" };
                let body = inner.at_least(&one.value, Binds::Product);
                let over: Vec<String> = call.over.iter().map(|a| inner.letter(&a.text)).collect();
                (format!("{sign}_{{{}}} {body}", over.join(",")), Binds::Big)
            }
            ("log1p", [one]) if one.name.is_none() => {
                (format!(r"\log\left(1 + {}\right)", self.at_least(&one.value, Binds::Product)), Binds::Atom)
            }
            ("sqrt", [one]) => (format!(r"\sqrt{{{}}}", self.expr(&one.value)), Binds::Atom),
            ("abs", [one]) => (format!(r"\left|{}\right|", self.expr(&one.value)), Binds::Atom),
            ("select", [c, a, b]) => {
                let parts = [&a.value, &c.value, &b.value].map(|e| self.expr(e));
                let [yes, condition, no] = parts;
                let other = r"\text{otherwise}";
                (format!(r"\begin{{cases}} {yes} & {condition} \\ {no} & {other} \end{{cases}}"), Binds::Atom)
            }
            _ => {
                let head = subscript(&operator(name), &over);
                (head + &self.arguments(call), Binds::Atom)
            }
        }
    }

    /// `(a, b = c \mid s)`; the axes after `over` stand at the name.
    fn arguments(&self, call: &Call) -> String {
        let mut inside = self.list(&call.args);
        if !call.conditions.is_empty() {
            inside.push_str(&format!(r" \mid {}", self.list(&call.conditions)));
        }
        if let Some(filter) = &call.filter {
            inside.push_str(&format!(r" \;:\; {}", self.expr(filter)));
        }
        if !call.given.is_empty() {
            inside.push_str(&format!(r" \;;\; {}", self.bindings(&call.given)));
        }
        format!(r"\left({}\right)", inside.trim_start())
    }

    /// A treatment of the guide: `auto(rank = 2)`, or its word alone.
    pub(super) fn strategy(&self, word: &str, args: &[Arg]) -> String {
        match args {
            [] => text(word),
            args => format!(r"{}\left({}\right)", text(word), self.list(args)),
        }
    }

    fn list(&self, args: &[Arg]) -> String {
        args.iter().map(|a| self.arg(a)).collect::<Vec<_>>().join(", ")
    }

    fn arg(&self, arg: &Arg) -> String {
        let value = self.expr(&arg.value);
        match &arg.name {
            Some(name) => format!("{}={value}", text(&name.text)),
            None => value,
        }
    }

    fn bindings(&self, entries: &[Binding]) -> String {
        let one = |b: &Binding| format!("{}={}", word(&b.name.text), self.expr(&b.value));
        entries.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// A letter for each axis: one of its own name that no other axis has taken, else the name.
fn letters(axes: &[&str]) -> BTreeMap<String, String> {
    let mut taken = std::collections::BTreeSet::new();
    let mut letters = BTreeMap::new();
    for axis in axes {
        let free = axis.chars().filter(char::is_ascii_lowercase).find(|c| taken.insert(*c));
        letters.insert((*axis).to_owned(), free.map_or_else(|| text(axis), String::from));
    }
    letters
}

/// A name as a symbol: a letter, a Greek letter, else upright; what follows `_` in words of symbols is a superscript.
pub(super) fn word(name: &str) -> String {
    if GREEK.contains(&name) {
        return format!(r"\{name}");
    }
    if name.len() == 1 {
        return name.to_owned();
    }
    match name.split_once('_') {
        Some((head, tail)) if !tail.is_empty() && (GREEK.contains(&head) || head.len() == 1) => {
            format!(r"{}^{{{}}}", word(head), text(tail))
        }
        _ => format!(r"\mathrm{{{}}}", escape(name)),
    }
}

/// A function or family.
pub(super) fn operator(name: &str) -> String {
    if KNOWN.contains(&name) { format!(r"\{name}") } else { format!(r"\operatorname{{{}}}", escape(name)) }
}

pub(super) fn text(plain: &str) -> String {
    format!(r"\text{{{}}}", escape(plain))
}

fn escape(plain: &str) -> String {
    let mut out = String::new();
    for c in plain.chars() {
        match c {
            '_' | '#' | '$' | '%' | '&' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str(r"\textbackslash{}"),
            '~' => out.push_str(r"\textasciitilde{}"),
            '^' => out.push_str(r"\textasciicircum{}"),
            _ => out.push(c),
        }
    }
    out
}

/// `1e-4` as `10^{-4}`.
fn number(source: &str) -> String {
    match source.split_once(['e', 'E']) {
        None => source.to_owned(),
        Some((head, exponent)) => {
            let exponent = exponent.trim_start_matches('+');
            let head = if head == "1" { String::new() } else { format!(r"{head} \cdot ") };
            format!("{head}10^{{{exponent}}}")
        }
    }
}

fn starts_with_digit(tex: &str) -> bool {
    tex.starts_with(|c: char| c.is_ascii_digit())
}

fn subscript(base: &str, indices: &[String]) -> String {
    match indices {
        [] => base.to_owned(),
        // Single letters stand side by side.
        _ if indices.iter().all(|i| i.trim_end_matches('\'').len() == 1) => {
            format!("{base}_{{{}}}", indices.concat())
        }
        _ => format!("{base}_{{{}}}", indices.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;
    use crate::syntax::ast::ItemKind;
    use crate::syntax::parse;

    fn tex(source: &str) -> String {
        let program = Program::default();
        let axes = [("theta", vec!["gene", "batch"]), ("x", vec!["cell", "gene"]), ("batch", vec!["cell"])];
        let axes = axes.map(|(n, a)| (n.to_owned(), a.into_iter().map(str::to_owned).collect()));
        let tex = Tex::new(&program, BTreeMap::from(axes), &["cell", "gene", "batch", "cage"]);
        let (tree, found) = parse(FileId(0), &format!("stat s = {source}"));
        assert!(found.is_empty(), "{source}");
        let ItemKind::Stat(stat) = &tree.items[0].kind else { panic!("a stat") };
        tex.expr(&stat.value)
    }

    #[test]
    fn expressions() {
        let cases = [
            ("theta[batch]", r"\theta_{g,\mathrm{batch}_{c}}"),
            ("theta * 2", r"\theta_{gb} \cdot 2"),
            ("2 * (x + 1)", r"2 \, \left(x_{cg} + 1\right)"),
            ("(a + b) / c - 1e-4", r"\frac{a + b}{c} - 10^{-4}"),
            ("2.5e+3", r"2.5 \cdot 10^{3}"),
            ("-(a - b)^2", r"-{\left(a - b\right)}^{2}"),
            ("a - (b - c)", r"a - \left(b - c\right)"),
            ("sum(x * a over gene)", r"\sum_{g'} x_{cg'} \, a"),
            ("sum(a over gene) * 2", r"\left(\sum_{g'} a\right) \cdot 2"),
            ("2 * sum(x + a over gene)", r"2 \, \sum_{g'} \left(x_{cg'} + a\right)"),
            ("softmax(a over gene)", r"\operatorname{softmax}_{g}\left(a\right)"),
            ("log(lib_loc)", r"\log\left(\mathrm{lib\_loc}\right)"),
            ("mu_z", r"\mu^{\text{z}}"),
            (
                "f(x, k = a | batch)",
                r"\operatorname{f}\left(x_{cg}, \text{k}=a \mid \mathrm{batch}_{c}\right)",
            ),
            ("select(a < 1, b, c)", r"\begin{cases} b & a < 1 \\ c & \text{otherwise} \end{cases}"),
            ("linear[gene](h)", r"\operatorname{linear}_{g}\left(h\right)"),
            ("not (a and b) or c", r"\lnot \left(a \land b\right) \lor c"),
            ("log1p(a * b)", r"\log\left(1 + a \, b\right)"),
            ("d.rho", r"d.\rho"),
            ("cell.cage", r"\mathrm{cell}.\mathrm{cage}"),
            ("\"50%\"", r"\text{50\%}"),
        ];
        for (source, expected) in cases {
            assert_eq!(tex(source), expected, "{source}");
        }
    }

    #[test]
    fn axes_have_letters_of_their_own() {
        let all = letters(&["cell", "gene", "cage", "ec"]);
        assert_eq!(all["cell"], "c");
        assert_eq!(all["cage"], "a");
        assert_eq!(all["ec"], "e");
        assert_eq!(letters(&["a", "aa"])["aa"], r"\text{aa}");
    }
}
