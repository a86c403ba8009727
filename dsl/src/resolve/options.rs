//! Static values: options, sizes, and the expressions over them that decide `when` and `match`.

use super::Program;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::syntax::ast::{self, BinaryOp, DimKind, ExprKind, UnaryOp};

/// A value known before any data.
#[derive(Clone, Debug, PartialEq)]
pub enum Static {
    /// A number.
    Number(f64),
    /// A truth value.
    Bool(bool),
    /// One of an option's words.
    Word(String),
    /// A string.
    Text(String),
}

impl std::fmt::Display for Static {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Static::Number(x) => write!(f, "{x}"),
            Static::Bool(b) => write!(f, "{b}"),
            Static::Word(w) | Static::Text(w) => f.write_str(w),
        }
    }
}

/// Looks up static names in a program.
pub struct StaticEnv<'a>(pub &'a Program);

impl StaticEnv<'_> {
    /// The value of a name: an option, or the size of a knob.
    pub fn name(&self, name: &str) -> Option<Static> {
        if let Some(option) = self.0.options.get(name) {
            option.used.set(true);
            return Some(option.value.clone());
        }
        self.0.dims.iter().find(|d| d.name.text == name).and_then(|d| match &d.kind {
            // Settled before anything reads it; a number's text cannot lead back here.
            DimKind::Size(e) if matches!(e.kind, ExprKind::Number(_)) => self.eval(e),
            _ => None,
        })
    }

    /// The value of an expression, if it is static.
    pub fn eval(&self, e: &ast::Expr) -> Option<Static> {
        Some(match &e.kind {
            ExprKind::Number(text) => Static::Number(text.parse().ok()?),
            ExprKind::Bool(b) => Static::Bool(*b),
            ExprKind::Text(t) => Static::Text(t.clone()),
            ExprKind::Name(n) => self.name(&n.text)?,
            ExprKind::Unary { op, operand } => match (op, self.eval(operand)?) {
                (UnaryOp::Neg, Static::Number(x)) => Static::Number(-x),
                (UnaryOp::Not, Static::Bool(b)) => Static::Bool(!b),
                _ => return None,
            },
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right)?,
            ExprKind::Call(call) => match Self::function(call) {
                Some(elem) => {
                    let number = |a: &ast::Arg| match self.eval(&a.value) {
                        Some(Static::Number(x)) => Some(x),
                        _ => None,
                    };
                    Static::Number(elem.eval(&call.args.iter().map(number).collect::<Option<Vec<_>>>()?))
                }
                None => Static::Bool(self.present(call)?),
            },
            ExprKind::Match { subject, arms } => {
                let value = self.name(&subject.text)?.to_string();
                self.eval(&arms.iter().find(|a| a.label.text == value)?.value)?
            }
            _ => return None,
        })
    }

    /// The function that a call means in static expressions and sizes: one of numbers to a number.
    pub fn function(call: &ast::Call) -> Option<autodiff_runtime::Elem> {
        let ExprKind::Name(f) = &call.callee.kind else { return None };
        let bare = call.conditions.is_empty() && call.over.is_empty() && call.filter.is_none();
        let plain = bare && call.given.is_empty() && call.args.iter().all(|a| a.name.is_none());
        crate::types::number_function(&f.text, call.args.len()).filter(|_| plain)
    }

    /// `present(y)`: whether a field is in the data. Until the data are known, an optional field counts as present.
    fn present(&self, call: &ast::Call) -> Option<bool> {
        let name = presence(call)?;
        if !self.0.field_names.contains(&name.text) {
            return None;
        }
        self.0.deciding.borrow_mut().insert(name.text.clone());
        Some(!self.0.absent.contains(&name.text))
    }

    /// A comparison may name a word of the option on its other side: `likelihood == zinb`.
    fn binary(&self, op: BinaryOp, left: &ast::Expr, right: &ast::Expr) -> Option<Static> {
        let word = |e: &ast::Expr, other: &ast::Expr| match (&e.kind, &other.kind) {
            (ExprKind::Name(n), ExprKind::Name(option)) => self
                .0
                .options
                .get(&option.text)
                .filter(|o| o.decl.choices.iter().any(|c| c.text == n.text))
                .map(|_| Static::Word(n.text.clone())),
            _ => None,
        };
        let l = word(left, right).or_else(|| self.eval(left))?;
        let r = word(right, left).or_else(|| self.eval(right))?;
        use Static::*;
        Some(match (op, l, r) {
            (BinaryOp::Eq, a, b) => Bool(a == b),
            (BinaryOp::Ne, a, b) => Bool(a != b),
            (BinaryOp::And, Bool(a), Bool(b)) => Bool(a && b),
            (BinaryOp::Or, Bool(a), Bool(b)) => Bool(a || b),
            (BinaryOp::Lt, Number(a), Number(b)) => Bool(a < b),
            (BinaryOp::Le, Number(a), Number(b)) => Bool(a <= b),
            (BinaryOp::Gt, Number(a), Number(b)) => Bool(a > b),
            (BinaryOp::Ge, Number(a), Number(b)) => Bool(a >= b),
            (BinaryOp::Add, Number(a), Number(b)) => Number(a + b),
            (BinaryOp::Sub, Number(a), Number(b)) => Number(a - b),
            (BinaryOp::Mul, Number(a), Number(b)) => Number(a * b),
            (BinaryOp::Div, Number(a), Number(b)) => Number(a / b),
            (BinaryOp::Pow, Number(a), Number(b)) => Number(a.powf(b)),
            _ => return None,
        })
    }
}

/// The field of a call `present(y)`.
pub fn presence(call: &ast::Call) -> Option<&ast::Name> {
    match (&call.callee.kind, &call.args[..]) {
        (ExprKind::Name(f), [arg]) if f.text == "present" && arg.name.is_none() => match &arg.value.kind {
            ExprKind::Name(n) => Some(n),
            _ => None,
        },
        _ => None,
    }
}

/// The fields that a condition makes sure of: those of its `present(…)`, alone or joined by `and`.
pub(super) fn made_sure(e: &ast::Expr, out: &mut Vec<String>) {
    match &e.kind {
        ExprKind::Call(call) => out.extend(presence(call).map(|n| n.text.clone())),
        ExprKind::Binary { op: BinaryOp::And, left, right } => {
            made_sure(left, out);
            made_sure(right, out);
        }
        _ => {}
    }
}

/// The default of an option.
pub(super) fn default_of(program: &Program, decl: &ast::OptionDecl, diags: &mut Diagnostics) -> Static {
    if let ExprKind::Name(n) = &decl.default.kind
        && !decl.choices.is_empty()
    {
        if !decl.choices.iter().any(|c| c.text == n.text) {
            let names = decl.choices.iter().map(|c| c.text.as_str());
            diags.push(
                Diagnostic::new(
                    Code::E0201,
                    format!("`{}` is not a choice of option `{}`", n.text, decl.name.text),
                )
                .at(n.span, "")
                .did_you_mean(&n.text, names),
            );
        }
        return Static::Word(n.text.clone());
    }
    StaticEnv(program).eval(&decl.default).unwrap_or_else(|| {
        diags.push(
            Diagnostic::new(
                Code::E0201,
                format!("the default of option `{}` is not a static value", decl.name.text),
            )
            .at(decl.default.span, "not a number, `true`, `false`, a string or one of the choices"),
        );
        Static::Number(0.0)
    })
}

/// Parses a value given on the command line for an option.
pub(super) fn parse_setting(current: &Static, choices: &[ast::Name], text: &str) -> Result<Static, String> {
    match current {
        Static::Word(_) if choices.iter().any(|c| c.text == text) => Ok(Static::Word(text.into())),
        Static::Word(_) => {
            let names: Vec<&str> = choices.iter().map(|c| c.text.as_str()).collect();
            Err(format!("one of {}", names.join(", ")))
        }
        Static::Bool(_) => text.parse().map(Static::Bool).map_err(|_| "`true` or `false`".into()),
        Static::Number(_) => match text.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(Static::Number(x)),
            _ => Err("a number".into()),
        },
        Static::Text(_) => Ok(Static::Text(text.into())),
    }
}
