//! Sizes of axes that follow from the sizes of others: `dim hidden = floor(sqrt(gene))`.

use crate::compiled::{AxisInfo, AxisSource, Bound};
use crate::resolve::{Program, Static, StaticEnv};
use crate::syntax::ast::{self, BinaryOp, ExprKind, UnaryOp};
use autodiff_runtime::Elem;
use std::collections::BTreeSet;

/// The size of an axis as a function of the sizes of other axes, known once data are bound.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeFormula {
    text: String,
    value: Term,
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Number(f64),
    Size(String),
    Apply(Elem, Vec<Term>),
}

impl SizeFormula {
    /// Of an expression that is static but for sizes of axes; options count with their values in force.
    pub(crate) fn of(e: &ast::Expr, program: &Program) -> Option<Self> {
        Some(Self { text: crate::syntax::print::print_expr(e), value: term(e, program)? })
    }

    /// The value, given the sizes of axes; `None` where one is not known.
    pub fn value(&self, size: &dyn Fn(&str) -> Option<usize>) -> Option<f64> {
        evaluate(&self.value, size)
    }

    /// The axes whose sizes it reads.
    pub fn reads(&self) -> BTreeSet<&str> {
        let mut out = BTreeSet::new();
        reads(&self.value, &mut out);
        out
    }
}

impl std::fmt::Display for SizeFormula {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Bound {
    /// The size of an axis of a model, if the data or the source tell it.
    pub fn size(&self, axes: &[AxisInfo], name: &str) -> Option<usize> {
        match axes.iter().find(|a| a.name == name).map(|a| &a.source) {
            Some(AxisSource::Knob(n) | AxisSource::Rank(n)) => Some(*n),
            Some(AxisSource::Labels(labels)) => Some(labels.len()),
            Some(AxisSource::Formula(f)) => {
                f.value(&|other| self.size(axes, other)).map(|x| x.max(1.0) as usize)
            }
            // A category that the data lack has one label.
            Some(AxisSource::Category(_)) => Some(self.sizes.get(name).copied().unwrap_or(1)),
            _ => self.sizes.get(name).copied(),
        }
    }
}

fn term(e: &ast::Expr, program: &Program) -> Option<Term> {
    if let Some(Static::Number(x)) = StaticEnv(program).eval(e) {
        return Some(Term::Number(x));
    }
    let term = |e: &ast::Expr| term(e, program);
    Some(match &e.kind {
        ExprKind::Name(n) => {
            let is_axis = program.sized().any(|name| name == n.text);
            Term::Size(is_axis.then(|| n.text.clone())?)
        }
        ExprKind::Unary { op: UnaryOp::Neg, operand } => Term::Apply(Elem::Neg, vec![term(operand)?]),
        ExprKind::Binary { op, left, right } => {
            Term::Apply(arithmetic(*op)?, vec![term(left)?, term(right)?])
        }
        ExprKind::Call(call) => {
            let elem = StaticEnv::function(call)?;
            Term::Apply(elem, call.args.iter().map(|a| term(&a.value)).collect::<Option<_>>()?)
        }
        ExprKind::Match { subject, arms } => {
            let value = StaticEnv(program).name(&subject.text)?.to_string();
            term(&arms.iter().find(|a| a.label.text == value)?.value)?
        }
        _ => return None,
    })
}

fn arithmetic(op: BinaryOp) -> Option<Elem> {
    Some(match op {
        BinaryOp::Add => Elem::Add,
        BinaryOp::Sub => Elem::Sub,
        BinaryOp::Mul => Elem::Mul,
        BinaryOp::Div => Elem::Div,
        BinaryOp::Pow => Elem::Pow,
        _ => return None,
    })
}

fn evaluate(t: &Term, size: &dyn Fn(&str) -> Option<usize>) -> Option<f64> {
    Some(match t {
        Term::Number(x) => *x,
        Term::Size(axis) => size(axis)? as f64,
        Term::Apply(elem, args) => {
            let args: Vec<f64> = args.iter().map(|a| evaluate(a, size)).collect::<Option<_>>()?;
            elem.eval(&args)
        }
    })
}

fn reads<'t>(t: &'t Term, out: &mut BTreeSet<&'t str>) {
    match t {
        Term::Number(_) => {}
        Term::Size(axis) => drop(out.insert(axis)),
        Term::Apply(_, args) => args.iter().for_each(|a| reads(a, out)),
    }
}
