//! Expressions.

use super::Name;
use crate::source::Span;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Which expression.
    pub kind: ExprKind,
    /// The whole expression, without parentheses around it.
    pub span: Span,
}

/// The kinds of expression. Parentheses leave no node.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A name.
    Name(Name),
    /// A number as written, unsigned and valid: `f64` parses it to a finite value.
    Number(String),
    /// A string, its escapes resolved.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// `base.name`.
    Field {
        /// What is looked into.
        base: Box<Expr>,
        /// The field; any word, reserved ones too.
        name: Name,
    },
    /// `base[i, …]`: index values, or the output axes of a layer.
    Index {
        /// What is indexed.
        base: Box<Expr>,
        /// At least one index.
        indices: Vec<Expr>,
    },
    /// `callee(args | conditions clauses)`.
    Call(Box<Call>),
    /// `-e` or `not e`.
    Unary {
        /// The operator.
        op: UnaryOp,
        /// What it applies to.
        operand: Box<Expr>,
    },
    /// `a op b`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// On its left.
        left: Box<Expr>,
        /// On its right.
        right: Box<Expr>,
    },
    /// `{ a = e, … }`: a record, or values of a labelled axis; at least one entry.
    Record(Vec<Binding>),
    /// `match name { label => e … }`: a static choice.
    Match {
        /// The option that decides.
        subject: Name,
        /// The arms in order.
        arms: Vec<Arm>,
    },
    /// An expression that could not be parsed.
    Error,
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is called.
    pub callee: Expr,
    /// Arguments before the bar.
    pub args: Vec<Arg>,
    /// Arguments after the bar; empty without a bar.
    pub conditions: Vec<Arg>,
    /// The axes after `over`; empty without it.
    pub over: Vec<Name>,
    /// The condition after `where`.
    pub filter: Option<Expr>,
    /// Interventions after `given`; empty without it.
    pub given: Vec<Binding>,
}

/// One argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// Its name, if written by name.
    pub name: Option<Name>,
    /// Its value.
    pub value: Expr,
    /// Name and value.
    pub span: Span,
}

/// `name = value` in a record or after `given`.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// The bound name.
    pub name: Name,
    /// Its value.
    pub value: Expr,
    /// Name and value.
    pub span: Span,
}

/// `label => value` of a `match`.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// The option's value.
    pub label: Name,
    /// The expression chosen then.
    pub value: Expr,
    /// The whole arm.
    pub span: Span,
}

/// Prefix operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnaryOp {
    /// `-`.
    Neg,
    /// `not`, binding as tightly as the sign.
    Not,
}

/// Infix operators, from loosest to tightest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BinaryOp {
    /// `or`.
    Or,
    /// `and`.
    And,
    /// `==`.
    Eq,
    /// `!=`.
    Ne,
    /// `<`.
    Lt,
    /// `<=`.
    Le,
    /// `>`.
    Gt,
    /// `>=`.
    Ge,
    /// `+`.
    Add,
    /// `-`.
    Sub,
    /// `*`.
    Mul,
    /// `/`.
    Div,
    /// `^`, to the right.
    Pow,
}

impl BinaryOp {
    /// How the operator is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Or => "or",
            BinaryOp::And => "and",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Pow => "^",
        }
    }

    /// `==`, `!=`, `<`, `<=`, `>` or `>=`.
    pub fn is_comparison(self) -> bool {
        (BinaryOp::Eq..=BinaryOp::Ge).contains(&self)
    }
}
