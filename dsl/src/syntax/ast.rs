//! The syntax tree: the grammar of a `.svi` file, one type per production. Nothing is resolved here: a layer such as
//! `mlp[hidden](v)` is an index and a call, and `kl(z)` in a free expression is a call like any other.
//!
//! Every node has the span of its source text. Error nodes stand where the parser gave up and has reported why;
//! later stages skip them silently.

mod expr;
mod stmt;

use crate::source::Span;

pub use expr::{Arg, Arm, BinaryOp, Binding, Call, Expr, ExprKind, UnaryOp};
pub use stmt::{
    Cond, Define, Draw, GuideStmt, GuideStmtKind, ModelStmt, ModelStmtKind, ObjectiveStmt, ObjectiveStmtKind,
    Observe, Plate, Site, Strategy, Term, TermSort, Treat, Treatment, When,
};

/// One source file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ast {
    /// The items in source order.
    pub items: Vec<Item>,
    /// Names whose declarations were too broken to keep; do not report uses of them as unknown. Empty if the file
    /// parsed without errors.
    pub broken: Vec<Name>,
    /// The whole text.
    pub span: Span,
}

/// An identifier where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    /// The identifier.
    pub text: String,
    /// Where it is written.
    pub span: Span,
}

/// A dotted path: a file (`extends`), a column (`obs.batch`, `obs["cell type"]`) or a place to write to.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// The parts, at least one. All but the first may be any string; `obs["batch"]` equals `obs.batch`.
    pub parts: Vec<Name>,
    /// The whole path.
    pub span: Span,
}

/// `name [?] [axes] [over axis]`: the type of a field, constant or parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// `count`, `category`, `positive`, …; not checked here.
    pub name: Name,
    /// Written with `?`: values may be missing.
    pub may_miss: bool,
    /// The axes in brackets, in order; empty without brackets.
    pub axes: Vec<Name>,
    /// The axis after `over` (`simplex over spot`).
    pub over: Option<Name>,
    /// The whole type.
    pub span: Span,
}

/// A top-level item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Which item.
    pub kind: ItemKind,
    /// The whole item.
    pub span: Span,
}

/// The kinds of item.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemKind {
    /// `extends a, b`: files to merge in by name.
    Extends(Vec<Path>),
    /// `needs site z[latent], axis latent`: what a fragment expects.
    Needs(Vec<Need>),
    /// `load ref : stereoscope_rna`.
    Load(Load),
    /// `dim cell, gene`, `dim latent = 10`, …
    Dim(Vec<Dim>),
    /// `option likelihood : zinb | nb = zinb`.
    Option(Vec<OptionDecl>),
    /// `data { … }`.
    Data(Vec<Field>),
    /// `const signature[gene, type] : positive from ref.signature`.
    Const(Const),
    /// `stat width = …`: computed once from all data.
    Stat(Stat),
    /// `param theta[gene] : positive`.
    Param(Param),
    /// `net encoder(v[gene]) { … return … }`.
    Net(Net),
    /// `fn scaled(a[d]) = …`.
    Fn(Function),
    /// `model { … }`.
    Model(Vec<ModelStmt>),
    /// `guide { … }`.
    Guide(Vec<GuideStmt>),
    /// `objective { … }`.
    Objective(Vec<ObjectiveStmt>),
    /// `adversary a { predict … from … with … }`.
    Adversary(Adversary),
    /// `output { … }`.
    Output(Vec<Output>),
    /// `train { … }`.
    Train(Vec<Setting>),
    /// `when c { … }` around items.
    When(When<Item>),
    /// An item that could not be parsed.
    Error,
}

/// One requirement of a fragment.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// What sort of thing.
    pub sort: NeedSort,
    /// Its name.
    pub name: Name,
    /// Its axes; empty without brackets.
    pub axes: Vec<Name>,
    /// The whole requirement.
    pub span: Span,
}

/// What a fragment may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeedSort {
    /// A random site of the model.
    Site,
    /// A data field.
    Field,
    /// A net.
    Network,
    /// An axis.
    Axis,
}

/// A trained model, loaded as constants.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// The name it is used under.
    pub name: Name,
    /// The source of the model that is expected.
    pub model: Path,
}

/// One declared axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Dim {
    /// The axis.
    pub name: Name,
    /// Where its size comes from.
    pub kind: DimKind,
    /// The whole declaration.
    pub span: Span,
}

/// Where the size of an axis comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum DimKind {
    /// From the data.
    Data,
    /// A static expression, a knob of the command line.
    Size(Expr),
    /// Named labels, at least one.
    Labels(Vec<Name>),
    /// `panel within gene`: its labels are some of that axis.
    Within(Name),
}

/// One static option.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionDecl {
    /// The option.
    pub name: Name,
    /// The values it may take; empty if any.
    pub choices: Vec<Name>,
    /// Its default.
    pub default: Expr,
    /// The whole declaration.
    pub span: Span,
}

/// One data field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The field.
    pub name: Name,
    /// Its type.
    pub ty: Type,
    /// The column it is read from by default; `None` only for an optional field.
    pub from: Option<Path>,
    /// How a missing value is written in the data.
    pub missing: Option<Missing>,
    /// The field may be absent.
    pub optional: bool,
    /// The whole declaration.
    pub span: Span,
}

/// How missing values are recognised.
#[derive(Debug, Clone, PartialEq)]
pub struct Missing {
    /// The pattern.
    pub kind: MissingKind,
    /// `missing …`.
    pub span: Span,
}

/// The patterns of missing values.
#[derive(Debug, Clone, PartialEq)]
pub enum MissingKind {
    /// A literal: number (possibly negated), string or boolean.
    Literal(Expr),
    /// `nan`, or `zeros by batch`.
    Named {
        /// The pattern's name.
        name: Name,
        /// The field that groups cells.
        by: Option<Name>,
    },
}

/// A constant from the data or from a loaded model.
#[derive(Debug, Clone, PartialEq)]
pub struct Const {
    /// The constant.
    pub name: Name,
    /// Its axes; empty without brackets.
    pub axes: Vec<Name>,
    /// Its type.
    pub ty: Type,
    /// Where it is read from.
    pub from: Path,
}

/// A statistic of the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Stat {
    /// The statistic.
    pub name: Name,
    /// Its axes; empty without brackets.
    pub axes: Vec<Name>,
    /// Its value.
    pub value: Expr,
}

/// A free parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Replaces an inherited declaration.
    pub is_override: bool,
    /// Not trained.
    pub frozen: bool,
    /// The parameter.
    pub name: Name,
    /// Its axes; empty without brackets.
    pub axes: Vec<Name>,
    /// Its type, `real` if absent.
    pub ty: Option<Type>,
    /// Its initial value or sampler.
    pub init: Option<Expr>,
}

/// A network: parameterised layers under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Net {
    /// Replaces an inherited declaration.
    pub is_override: bool,
    /// The net.
    pub name: Name,
    /// Its inputs.
    pub formals: Formals,
    /// The net of a trained model whose parameters it has, and keeps.
    pub from: Option<Path>,
    /// Its definitions, in order.
    pub body: Vec<Define>,
    /// What it returns; an error node if the `return` is missing.
    pub returns: Expr,
}

/// A pure function, inlined where it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// The function.
    pub name: Name,
    /// Its inputs.
    pub formals: Formals,
    /// Its value.
    pub value: Expr,
}

/// The inputs of a net or function: `a[in], b | s`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Formals {
    /// Inputs before the bar.
    pub inputs: Vec<Formal>,
    /// The name that stands for all conditioning inputs, after the bar.
    pub conditions: Option<Name>,
}

/// One input with its axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Formal {
    /// The input.
    pub name: Name,
    /// Its axes (may be axis variables); empty without brackets.
    pub axes: Vec<Name>,
    /// Name and axes.
    pub span: Span,
}

/// `adversary name { predict e from e with net [strength e] }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Adversary {
    /// The adversary.
    pub name: Name,
    /// What it predicts.
    pub predict: Expr,
    /// What it predicts from.
    pub from: Expr,
    /// The net it predicts with.
    pub net: Name,
    /// Its weight in the objective.
    pub strength: Option<Expr>,
}

/// One output.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The output.
    pub name: Name,
    /// Its axes; empty without brackets.
    pub axes: Vec<Name>,
    /// Its value.
    pub value: Expr,
    /// Where it is written.
    pub to: Option<Path>,
    /// The whole entry.
    pub span: Span,
}

/// One setting of `train`: `epochs = 400`, `stratify group = true`.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Which setting.
    pub key: Name,
    /// The field, axis or parameter path that it is about.
    pub target: Option<Path>,
    /// Its value.
    pub value: Expr,
    /// The whole entry.
    pub span: Span,
}

impl NeedSort {
    /// The word after `needs`.
    pub fn word(self) -> &'static str {
        match self {
            NeedSort::Site => "site",
            NeedSort::Field => "field",
            NeedSort::Network => "network",
            NeedSort::Axis => "axis",
        }
    }
}

impl Field {
    /// Whether it holds labels and so owns an axis of its name.
    pub fn is_category(&self) -> bool {
        self.ty.name.text == "category"
    }
}

impl Path {
    /// The parts joined by dots, as messages show them.
    pub fn dotted(&self) -> String {
        self.parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(".")
    }
}
