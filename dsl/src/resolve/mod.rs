//! Names to declarations: files merged by `extends`, options settled, static `when` decided.
//!
//! What is true of a [`Program`]: each name is declared once (an `override` has replaced what it names), every option
//! has a value, and every statement knows whether it is alive. Names that only dead
//! statements declare are kept, so that uses of them are not called unknown.

mod blocks;
mod knobs;
mod merge;
mod options;

pub(crate) use blocks::observed_name;
pub use merge::merge;
pub use options::{Static, StaticEnv, presence};

use crate::primitive::Primitives;
use crate::source::Span;
use crate::syntax::ast;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// A statement with the plates around it, outermost first.
#[derive(Clone, Debug)]
pub struct InPlates<S> {
    /// Axis names of the plates.
    pub plates: Vec<ast::Name>,
    /// The statement.
    pub stmt: S,
    /// The whole statement.
    pub span: Span,
}

/// A model statement that defines a name.
#[derive(Clone, Debug)]
pub enum ModelDef {
    /// A latent site.
    Site(ast::Site),
    /// A likelihood.
    Observe(ast::Observe),
    /// A deterministic value.
    Define(ast::Define),
    /// Noise that nothing infers.
    Draw(ast::Draw),
}

/// A guide statement that defines a name.
#[derive(Clone, Debug)]
pub enum GuideDef {
    /// A treatment of a latent.
    Treat(ast::Treat),
    /// A deterministic value.
    Define(ast::Define),
    /// Noise that nothing infers.
    Draw(ast::Draw),
}

/// An option with its settled value.
#[derive(Clone, Debug)]
pub struct OptionValue {
    /// The declaration.
    pub decl: ast::OptionDecl,
    /// The value in force.
    pub value: Static,
    /// Whether it was set from outside.
    pub changed: bool,
    /// Whether any `match`, `when` or expression reads it.
    pub used: std::cell::Cell<bool>,
}

/// What an `override` replaced.
#[derive(Clone, Debug)]
pub enum Replaced {
    /// A site or definition of the model.
    Model(InPlates<ModelDef>),
    /// A parameter.
    Param(ast::Param),
    /// A net.
    Net(ast::Net),
}

/// An expression that is switched off, with the names that it alone sees.
#[derive(Clone, Debug)]
pub struct Asleep {
    /// Formals and definitions around it.
    pub locals: Vec<String>,
    /// The expression.
    pub value: ast::Expr,
}

/// Merged declarations.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Axes in order of declaration.
    pub dims: Vec<ast::Dim>,
    /// Options by name.
    pub options: BTreeMap<String, OptionValue>,
    /// Order of the options' declarations.
    pub option_order: Vec<String>,
    /// Fields in order.
    pub fields: Vec<ast::Field>,
    /// Statistics in order.
    pub stats: Vec<ast::Stat>,
    /// Parameters in order.
    pub params: Vec<ast::Param>,
    /// Nets.
    pub nets: Vec<ast::Net>,
    /// Functions.
    pub fns: Vec<ast::Function>,
    /// Model statements, alive, in order.
    pub model: Vec<InPlates<ModelDef>>,
    /// Weights of the plates around model statements that have some, by the span of the statement.
    pub plate_weights: BTreeMap<Span, Vec<ast::Expr>>,
    /// Fields that a `when present(…)` around a statement makes sure of, by the span of the statement.
    pub guards: BTreeMap<Span, Vec<String>>,
    /// Trained models that constants come from.
    pub loads: Vec<ast::Load>,
    /// Constants, which are fields too.
    pub constants: Vec<String>,
    /// Adversaries in order.
    pub adversaries: Vec<ast::Adversary>,
    /// Names of all fields, wherever they are declared.
    pub field_names: BTreeSet<String>,
    /// Optional fields that the data lack; of the others it is not known.
    pub absent: BTreeSet<String>,
    /// Fields whose presence decides a `when`.
    pub deciding: RefCell<BTreeSet<String>>,
    /// Guide statements, alive, in order.
    pub guide: Vec<InPlates<GuideDef>>,
    /// Objective statements, alive, in order.
    pub objective: Vec<ast::ObjectiveStmt>,
    /// Outputs in order.
    pub outputs: Vec<ast::Output>,
    /// Training settings in order.
    pub settings: Vec<ast::Setting>,
    /// Declarations that an `override` took out, with the name they had.
    pub replaced: Vec<(String, Replaced)>,
    /// Expressions of statements that are switched off: only their names are looked up.
    pub asleep: Vec<Asleep>,
    /// Latents whose guide statement is switched off.
    pub asleep_treatments: Vec<String>,
    /// Names whose declarations did not parse, or that a construct not compiled would declare.
    pub broken: Vec<String>,
    /// A part of the model did not parse.
    pub broken_model: bool,
    /// An `extends` led nowhere: most names would be unknown.
    pub incomplete: bool,
    /// Names declared by statements that are switched off, or too broken to keep: uses of them are not reported.
    pub dead: Vec<String>,
    /// Comment lines at the head of the last file.
    pub title: String,
    /// Operations that the host adds.
    pub primitives: Primitives,
}

impl Program {
    /// Names that have a size: declared axes and categories.
    pub fn sized(&self) -> impl Iterator<Item = &str> {
        let categories = self.fields.iter().filter(|f| f.is_category()).map(|f| f.name.text.as_str());
        self.dims.iter().map(|d| d.name.text.as_str()).chain(categories)
    }
}
