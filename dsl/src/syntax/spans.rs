//! Trees without their places, to compare two trees by structure.

use super::ast::*;
use crate::source::Span;

/// Replaces every span by the empty one, so that trees of the same structure are equal.
pub fn strip_spans(ast: &mut Ast) {
    ast.strip();
}

trait Strip {
    fn strip(&mut self);
}

impl<T: Strip> Strip for Vec<T> {
    fn strip(&mut self) {
        self.iter_mut().for_each(T::strip);
    }
}

impl<T: Strip> Strip for Option<T> {
    fn strip(&mut self) {
        self.iter_mut().for_each(T::strip);
    }
}

impl<T: Strip> Strip for Box<T> {
    fn strip(&mut self) {
        T::strip(self);
    }
}

impl Strip for Span {
    fn strip(&mut self) {
        *self = Span::default();
    }
}

/// One line per struct: the fields that have spans.
macro_rules! structs {
    ($($ty:ident { $($field:ident)* })*) => {
        $(impl Strip for $ty {
            fn strip(&mut self) { $(self.$field.strip();)* }
        })*
    };
}

structs! {
    Ast { items broken span }
    Name { span }
    Path { parts span }
    Type { name axes over span }
    Item { kind span }
    Need { name axes span }
    Load { name model }
    Dim { name kind span }
    OptionDecl { name choices default span }
    Field { name ty from missing span }
    Missing { kind span }
    Const { name axes ty from }
    Stat { name axes value }
    Param { name axes ty init }
    Net { name formals from body returns }
    Function { name formals value }
    Formals { inputs conditions }
    Formal { name axes span }
    Adversary { name predict from net strength }
    Output { name axes value to span }
    Setting { key target value span }
    Define { name axes value span }
    Draw { name axes dist }
    Cond { condition otherwise span }
    ModelStmt { kind span }
    Site { name axes dist cond }
    Observe { target dist cond }
    GuideStmt { kind span }
    Treat { name how cond }
    ObjectiveStmt { kind span }
    Term { site span }
    Expr { kind span }
    Call { callee args conditions over filter given }
    Arg { name value span }
    Binding { name value span }
    Arm { label value span }
}

impl<S: Strip> Strip for When<S> {
    fn strip(&mut self) {
        self.condition.strip();
        self.body.strip();
    }
}

impl<S: Strip> Strip for Plate<S> {
    fn strip(&mut self) {
        self.axis.strip();
        self.weight.strip();
        self.body.strip();
    }
}

/// One line per variant: its parts.
macro_rules! enums {
    ($($ty:ident { $($pattern:pat => $($part:ident)*;)* })*) => {
        $(impl Strip for $ty {
            fn strip(&mut self) {
                use $ty::*;
                match self { $($pattern => { $($part.strip();)* })* }
            }
        })*
    };
}

enums! {
    ItemKind {
        Extends(x) => x; Needs(x) => x; Load(x) => x; Dim(x) => x; Option(x) => x; Data(x) => x; Const(x) => x;
        Stat(x) => x; Param(x) => x; Net(x) => x; Fn(x) => x; Model(x) => x; Guide(x) => x; Objective(x) => x;
        Adversary(x) => x; Output(x) => x; Train(x) => x; When(x) => x; Error => ;
    }
    DimKind { Data => ; Size(x) => x; Labels(x) => x; Within(x) => x; }
    MissingKind { Literal(x) => x; Named { name, by } => name by; }
    ModelStmtKind {
        Plate(x) => x; Site(x) => x; Observe(x) => x; Draw(x) => x; Define(x) => x; When(x) => x; Error => ;
    }
    GuideStmtKind { Plate(x) => x; Treat(x) => x; Draw(x) => x; Define(x) => x; When(x) => x; Error => ; }
    Treatment { Strategy { args, span, .. } => args span; Dist(x) => x; }
    ObjectiveStmtKind {
        Define(x) => x; Weight { terms, by, .. } => terms by; Estimate { term, by } => term by; Ignore(x) => x;
        Minimize(x) => x; Maximize(x) => x; Draw(x) => x; When(x) => x; Error => ;
    }
    ExprKind {
        Name(x) => x; Number(_) => ; Text(_) => ; Bool(_) => ; Field { base, name } => base name;
        Index { base, indices } => base indices; Call(x) => x; Unary { operand, .. } => operand;
        Binary { left, right, .. } => left right; Record(x) => x; Match { subject, arms } => subject arms; Error => ;
    }
}
