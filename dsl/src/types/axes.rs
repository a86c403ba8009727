//! Declared axes and fields.

use super::{Block, Checker, Scope};
use crate::compiled::{AxisInfo, AxisSource, MissingRule, Slot, SlotKind};
use crate::diagnostic::{Code, Diagnostic, synonyms};
use crate::model::FieldDecl;
use crate::model::ty::{AxisNo, Ty};
use crate::resolve::{Static, StaticEnv};
use crate::size::SizeFormula;
use crate::syntax::ast::{self, DimKind, MissingKind};
use distributions::Support;

/// Words for the types of fields.
const TYPES: [(&str, SlotKind, Support); 10] = [
    ("count", SlotKind::Count, Support::Count),
    ("real", SlotKind::Real, Support::Real),
    ("nonneg", SlotKind::Nonneg, Support::Nonneg),
    ("positive", SlotKind::Positive, Support::Positive),
    ("unit", SlotKind::Unit, Support::Unit),
    ("bool", SlotKind::Bool, Support::Bool),
    ("category", SlotKind::Category, Support::Category),
    ("simplex", SlotKind::Simplex, Support::Simplex),
    ("index", SlotKind::Index, Support::Category),
    ("covariates", SlotKind::Covariates, Support::Real),
];

impl Checker<'_> {
    /// Plates first, then the data's axes, then those of categories, then knobs: the order of storage.
    pub(super) fn declare_axes(&mut self) {
        let plate_names: Vec<&str> =
            self.program.model.iter().flat_map(|s| s.plates.iter().map(|p| p.text.as_str())).collect();
        let rank = |d: &ast::Dim| match d.kind {
            _ if plate_names.contains(&d.name.text.as_str()) => 0,
            DimKind::Data => 1,
            DimKind::Labels(_) | DimKind::Within(_) => 2,
            DimKind::Size(_) => 4,
        };
        let mut dims: Vec<(u8, &ast::Dim)> = self.program.dims.iter().map(|d| (rank(d), d)).collect();
        dims.sort_by_key(|d| d.0);
        let categories = |c: &mut Self| {
            for field in c.program.fields.iter().filter(|f| f.is_category()) {
                let source = AxisSource::Category(field.name.text.clone());
                c.model.axes.push(AxisInfo { name: field.name.text.clone(), source });
            }
            for (name, source) in c.source_axes() {
                c.model.axes.push(AxisInfo { name, source });
            }
        };
        let mut categories_done = false;
        for (rank, dim) in dims {
            if rank > 2 && !categories_done {
                categories(self);
                categories_done = true;
            }
            let source = self.axis_source(dim);
            self.model.axes.push(AxisInfo { name: dim.name.text.clone(), source });
        }
        if !categories_done {
            categories(self);
        }
    }

    fn axis_source(&mut self, dim: &ast::Dim) -> AxisSource {
        match &dim.kind {
            DimKind::Data => AxisSource::Data,
            DimKind::Labels(labels) => AxisSource::Labels(labels.iter().map(|l| l.text.clone()).collect()),
            DimKind::Within(whole) => self.within(dim, whole),
            DimKind::Size(e) => match StaticEnv(self.program).eval(e) {
                Some(Static::Number(x)) if x >= 1.0 && x.fract() == 0.0 && x <= 1e9 => {
                    AxisSource::Knob(x as usize)
                }
                None if let Some(formula) = SizeFormula::of(e, self.program) => AxisSource::Formula(formula),
                _ => {
                    let d = Diagnostic::new(
                        Code::E0401,
                        format!("the size of axis `{}` is not a whole number above 0", dim.name.text),
                    );
                    self.diags.push(d.at(e.span, ""));
                    AxisSource::Knob(1)
                }
            },
        }
    }

    /// The axis that a subset lies within must have labels.
    fn within(&mut self, dim: &ast::Dim, whole: &ast::Name) -> AxisSource {
        let category = self.program.fields.iter().any(|f| f.is_category() && f.name.text == whole.text);
        let declared = self.program.dims.iter().find(|d| d.name.text == whole.text);
        match declared.map(|d| &d.kind) {
            Some(DimKind::Data | DimKind::Labels(_)) if whole.text != dim.name.text => {}
            None if category => {}
            Some(_) => {
                let d =
                    Diagnostic::new(Code::E0301, format!("axis `{}` has no labels of the data", whole.text));
                let d = d.at(whole.span, "");
                self.diags.push(d.help("a subset lies within an axis whose size comes from the data"));
            }
            None => {
                let known = self.program.dims.iter().map(|d| d.name.text.as_str());
                let d = Diagnostic::new(Code::E0301, format!("no axis called `{}`", whole.text));
                self.diags.push(d.at(whole.span, "").did_you_mean(&whole.text, known));
                return AxisSource::Data;
            }
        }
        AxisSource::Within(whole.text.clone())
    }

    pub(super) fn declare_fields(&mut self) {
        let scope = Scope::new(Block::Stat, vec![]);
        for field in &self.program.fields {
            let axes = self.all_axes(&field.ty.axes, &scope);
            let Some((_, kind, support)) = TYPES.iter().find(|t| t.0 == field.ty.name.text) else {
                let d = Diagnostic::new(Code::E0201, format!("no type called `{}`", field.ty.name.text));
                let (name, all) = (&field.ty.name, TYPES.map(|t| t.0));
                let d = d.at(name.span, "");
                let d = match synonyms::type_name(&name.text) {
                    Some(here) => d.help(format!("write `{here}`")).suggest(name.span, here),
                    None => d.did_you_mean(&name.text, all),
                };
                self.diags.push(d.note(format!("the types are {}", all.join(", "))));
                self.poisoned.insert(field.name.text.clone());
                continue;
            };
            let Some(axes) = axes else {
                self.poisoned.insert(field.name.text.clone());
                continue;
            };
            self.field_form(field, *kind, &axes);
            self.missing_form(field);
            let Some((axes, of)) = self.field_axes(field, *kind, axes) else {
                self.poisoned.insert(field.name.text.clone());
                continue;
            };
            let ty = Ty {
                of,
                covariates: *kind == SlotKind::Covariates,
                may_miss: field.ty.may_miss || field.missing.is_some(),
                ..Ty::new(axes.iter().copied().collect(), *support)
            };
            let over = of.filter(|_| matches!(kind, SlotKind::Index | SlotKind::Simplex));
            self.fields.insert(field.name.text.clone(), self.model.fields.len());
            let load = field.from.as_ref().and_then(|p| p.parts.first()).filter(|first| {
                constant(self.program, field) && self.program.loads.iter().any(|l| l.name.text == first.text)
            });
            let path = field.from.as_ref().map(|p| match load {
                Some(_) => ast::Path { parts: p.parts[1..].to_vec(), ..p.clone() }.dotted(),
                None => p.dotted(),
            });
            let slot = Slot {
                name: field.name.text.clone(),
                kind: *kind,
                axes: axes.iter().map(|a| self.model.axis_name(*a).to_owned()).collect(),
                path,
                load: load.map(|n| n.text.clone()),
                over: over.map(|a| self.model.axis_name(a).to_owned()),
                optional: field.optional,
                missing: ty.may_miss.then(|| rule(field.missing.as_ref().map(|m| &m.kind))),
                span: field.span,
            };
            self.model.fields.push(FieldDecl { slot, ty });
        }
    }

    /// The axes of a field, its plate first, and the axis that its values are of: that of a category, the one that an
    /// index counts along, the one along which a simplex sums to 1.
    fn field_axes(
        &mut self,
        field: &ast::Field,
        kind: SlotKind,
        mut axes: Vec<AxisNo>,
    ) -> Option<(Vec<AxisNo>, Option<AxisNo>)> {
        let over = match &field.ty.over {
            Some(name) => Some(self.resolve_axis(name, &Scope::new(Block::Stat, vec![]))?),
            None => None,
        };
        let of = match (kind, over, &axes[..]) {
            (SlotKind::Category, ..) => self.model.find_axis(&field.name.text),
            (SlotKind::Index, None, _) => {
                let d = Diagnostic::new(Code::E0303, format!("`{}` counts along no axis", field.name.text));
                let d = d.at(field.ty.span, "");
                self.diags.push(d.help("say whose rows it numbers: `index[cell, knn] over cell`"));
                return None;
            }
            (SlotKind::Simplex, None, [only]) => Some(*only),
            (SlotKind::Simplex, None, _) => {
                let d = Diagnostic::new(Code::E0409, "a simplex sums to 1 along one axis: say which");
                self.diags
                    .push(d.at(field.ty.span, self.show_axes(&axes)).help("write `simplex[…] over axis`"));
                return None;
            }
            (_, over, _) => over,
        };
        if let (SlotKind::Simplex, Some(a)) = (kind, of)
            && !axes.contains(&a)
        {
            axes.push(a);
        }
        if let Some(at) = axes.iter().position(|a| Some(*a) == self.model.plate) {
            let plate = axes.remove(at);
            axes.insert(0, plate);
        }
        Some((axes, of))
    }

    /// The rules that tell a missing value: a literal, `nan`, or `zeros by` a category.
    fn missing_form(&mut self, field: &ast::Field) {
        let Some(ast::Missing { kind: MissingKind::Named { name, by }, .. }) = &field.missing else { return };
        match (name.text.as_str(), by) {
            ("nan", None) => {}
            ("zeros", Some(by)) => {
                let categories = self.program.fields.iter().filter(|f| f.is_category());
                let known: Vec<&str> = categories.map(|f| f.name.text.as_str()).collect();
                if !known.contains(&by.text.as_str()) {
                    let d = Diagnostic::new(Code::E0201, format!("no category called `{}`", by.text));
                    let d = d.at(by.span, "columns are missing for whole labels of a category");
                    self.diags.push(d.did_you_mean(&by.text, known));
                }
            }
            _ => {
                let d = Diagnostic::new(Code::E0201, "no such rule for missing values").at(name.span, "");
                self.diags.push(d.help(
                    "write `missing nan`, `missing zeros by batch`, or the value itself: `missing \"Unknown\"`",
                ));
            }
        }
    }

    /// Forms that no data have, and names that two axes would share.
    fn field_form(&mut self, field: &ast::Field, kind: SlotKind, axes: &[AxisNo]) {
        let labels = matches!(kind, SlotKind::Category | SlotKind::Covariates);
        if labels && axes.len() != 1 {
            let d = Diagnostic::new(Code::E0303, format!("`{}` needs exactly one axis", field.name.text));
            let d = d.at(field.ty.span, format!("has {}", self.show_axes(axes)));
            self.diags.push(d.help(format!("write `{} : {}[cell]`", field.name.text, field.ty.name.text)));
        }
        if kind == SlotKind::Category
            && let Some(dim) = self.program.dims.iter().find(|d| d.name.text == field.name.text)
        {
            let d = Diagnostic::new(Code::E0202, format!("axis `{}` is declared twice", field.name.text));
            let d = d
                .at(field.name.span, "a category owns an axis of its name")
                .also(dim.name.span, "first here");
            self.diags.push(d.help("give the field or the axis another name"));
        }
    }
}

fn constant(program: &crate::resolve::Program, field: &ast::Field) -> bool {
    program.constants.contains(&field.name.text)
}

/// How missing values are told: what the file marks, unless the source says more.
fn rule(written: Option<&MissingKind>) -> MissingRule {
    match written {
        Some(MissingKind::Literal(e)) => MissingRule::Literal(match &e.kind {
            ast::ExprKind::Text(t) => t.clone(),
            _ => crate::syntax::print::print_expr(e),
        }),
        Some(MissingKind::Named { by: Some(by), .. }) => MissingRule::ZerosBy(by.text.clone()),
        None | Some(MissingKind::Named { .. }) => MissingRule::Marked,
    }
}
