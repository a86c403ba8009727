//! Expressions, with the parentheses that the grammar needs.

use super::Printer;
use crate::syntax::ast::{Arg, BinaryOp, Binding, Call, Expr, ExprKind, UnaryOp};
use crate::syntax::token::quote;
use std::fmt::Write as _;

/// How tightly an expression binds: the levels of the grammar, loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Compare,
    Sum,
    Product,
    Unary,
    Power,
    Postfix,
}

impl Level {
    fn of(expr: &Expr) -> Level {
        match &expr.kind {
            ExprKind::Binary { op, .. } => Level::of_op(*op),
            ExprKind::Unary { .. } => Level::Unary,
            _ => Level::Postfix,
        }
    }

    fn of_op(op: BinaryOp) -> Level {
        match op {
            BinaryOp::Or => Level::Or,
            BinaryOp::And => Level::And,
            BinaryOp::Add | BinaryOp::Sub => Level::Sum,
            BinaryOp::Mul | BinaryOp::Div => Level::Product,
            BinaryOp::Pow => Level::Power,
            _ => Level::Compare,
        }
    }

    /// The levels that the operands must have at least.
    fn operands(op: BinaryOp) -> (Level, Level) {
        match Level::of_op(op) {
            Level::Or => (Level::Or, Level::And),
            Level::And => (Level::And, Level::Compare),
            Level::Sum => (Level::Sum, Level::Product),
            Level::Product => (Level::Product, Level::Unary),
            Level::Power => (Level::Postfix, Level::Unary),
            _ => (Level::Sum, Level::Sum),
        }
    }
}

/// Whether the printed expression begins with `{`.
pub(super) fn begins_with_brace(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Record(_) => true,
        ExprKind::Field { base, .. } | ExprKind::Index { base, .. } => begins_with_brace(base),
        ExprKind::Call(call) => begins_with_brace(&call.callee),
        ExprKind::Binary { left, .. } => begins_with_brace(left),
        _ => false,
    }
}

impl Printer {
    pub(super) fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(name) => self.name(name),
            ExprKind::Number(source) => self.out.push_str(source),
            ExprKind::Text(text) => self.out.push_str(&quote(text)),
            ExprKind::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            ExprKind::Field { base, name } => {
                // `1.rho` reads badly, though it parses.
                let loose = matches!(base.kind, ExprKind::Number(_));
                self.grouped(base, loose || Level::of(base) < Level::Postfix);
                self.out.push('.');
                self.name(name);
            }
            ExprKind::Index { base, indices } => {
                self.postfix(base);
                self.out.push('[');
                self.list(indices, ", ", Self::expr);
                self.out.push(']');
            }
            ExprKind::Call(call) => self.call(call),
            ExprKind::Unary { op, operand } => {
                self.out.push_str(if *op == UnaryOp::Neg { "-" } else { "not " });
                self.at_least(operand, Level::Unary);
            }
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right),
            ExprKind::Record(entries) => {
                self.out.push_str("{ ");
                self.list(entries, ", ", Self::binding);
                self.out.push_str(" }");
            }
            ExprKind::Match { subject, arms } => {
                // Writing to a string cannot fail.
                let _ = write!(self.out, "match {}", subject.text);
                self.block(arms, |p, arm| {
                    p.name(&arm.label);
                    p.out.push_str(" => ");
                    p.expr(&arm.value);
                });
            }
            ExprKind::Error => self.out.push_str("<error>"),
        }
    }

    /// An expression where only a primary with postfixes may stand.
    pub(super) fn postfix(&mut self, expr: &Expr) {
        self.at_least(expr, Level::Postfix);
    }

    pub(super) fn arg(&mut self, arg: &Arg) {
        if let Some(name) = &arg.name {
            self.name(name);
            self.out.push_str(" = ");
        }
        self.expr(&arg.value);
    }

    fn at_least(&mut self, expr: &Expr, level: Level) {
        self.grouped(expr, Level::of(expr) < level);
    }

    fn grouped(&mut self, expr: &Expr, parentheses: bool) {
        if parentheses {
            self.out.push('(');
        }
        self.expr(expr);
        if parentheses {
            self.out.push(')');
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) {
        let (left_level, right_level) = Level::operands(op);
        self.at_least(left, left_level);
        if op == BinaryOp::Pow {
            self.out.push('^');
        } else {
            let _ = write!(self.out, " {} ", op.symbol());
        }
        self.at_least(right, right_level);
    }

    fn binding(&mut self, binding: &Binding) {
        self.name(&binding.name);
        self.out.push_str(" = ");
        self.expr(&binding.value);
    }

    /// `callee(args | conditions over axes where filter given bindings)`.
    fn call(&mut self, call: &Call) {
        self.postfix(&call.callee);
        self.out.push('(');
        let inside = self.out.len();
        self.list(&call.args, ", ", Self::arg);
        self.clause(inside, "| ", &call.conditions, Self::arg);
        self.clause(inside, "over ", &call.over, Self::name);
        self.clause(inside, "where ", call.filter.as_slice(), Self::expr);
        self.clause(inside, "given ", &call.given, Self::binding);
        self.out.push(')');
    }

    fn clause<T>(&mut self, inside: usize, word: &str, parts: &[T], one: impl FnMut(&mut Self, &T)) {
        if parts.is_empty() {
            return;
        }
        if self.out.len() > inside {
            self.out.push(' ');
        }
        self.out.push_str(word);
        self.list(parts, ", ", one);
    }
}
