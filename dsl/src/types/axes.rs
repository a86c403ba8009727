//! Declared axes and fields.

use super::{Block, Checker, Scope};
use crate::compiled::{AxisInfo, AxisSource, Slot, SlotKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::FieldDecl;
use crate::model::ty::{AxisNo, Ty};
use crate::resolve::{Static, StaticEnv, not_compiled};
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
            for field in c.program.fields.iter().filter(|f| f.ty.name.text == "category") {
                let source = AxisSource::Category(field.name.text.clone());
                c.model.axes.push(AxisInfo { name: field.name.text.clone(), source });
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
            DimKind::Within(_) => {
                self.diags.push(not_compiled(dim.span, "`dim … within`"));
                AxisSource::Data
            }
            DimKind::Size(e) => match StaticEnv(self.program).eval(e) {
                Some(Static::Number(x)) if x >= 1.0 && x.fract() == 0.0 && x <= 1e9 => {
                    AxisSource::Knob(x as usize)
                }
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

    pub(super) fn declare_fields(&mut self) {
        let scope = Scope::new(Block::Stat, vec![]);
        for field in &self.program.fields {
            let axes = self.all_axes(&field.ty.axes, &scope);
            let Some((_, kind, support)) = TYPES.iter().find(|t| t.0 == field.ty.name.text) else {
                let d = Diagnostic::new(Code::E0201, format!("no type called `{}`", field.ty.name.text));
                self.diags
                    .push(d.at(field.ty.name.span, "").did_you_mean(&field.ty.name.text, TYPES.map(|t| t.0)));
                self.poisoned.insert(field.name.text.clone());
                continue;
            };
            let Some(axes) = axes else {
                self.poisoned.insert(field.name.text.clone());
                continue;
            };
            self.field_form(field, *kind, &axes);
            if matches!(kind, SlotKind::Index | SlotKind::Simplex) {
                self.diags.push(not_compiled(field.ty.span, "a field of this type"));
            }
            if field.ty.may_miss || field.missing.is_some() {
                self.diags.push(not_compiled(field.span, "a field with missing values"));
            }
            let ty = Ty {
                of: (*kind == SlotKind::Category).then(|| self.model.find_axis(&field.name.text)).flatten(),
                covariates: *kind == SlotKind::Covariates,
                may_miss: field.ty.may_miss,
                ..Ty::new(axes.iter().copied().collect(), *support)
            };
            self.fields.insert(field.name.text.clone(), self.model.fields.len());
            let slot = Slot {
                name: field.name.text.clone(),
                kind: *kind,
                axes: axes.iter().map(|a| self.model.axis_name(*a).to_owned()).collect(),
                path: field.from.as_ref().map(ast::Path::dotted),
                optional: field.optional,
                missing: field.missing.as_ref().map(|m| show_missing(&m.kind)),
                span: field.span,
            };
            self.model.fields.push(FieldDecl { slot, ty });
        }
    }

    /// What the rest of the compiler cannot take, and names that two axes would share.
    fn field_form(&mut self, field: &ast::Field, kind: SlotKind, axes: &[AxisNo]) {
        let plates = self.program_plates();
        let labels = matches!(kind, SlotKind::Category | SlotKind::Covariates);
        if labels && axes.len() != 1 {
            let d = Diagnostic::new(Code::E0303, format!("`{}` needs exactly one axis", field.name.text));
            let d = d.at(field.ty.span, format!("has {}", self.show_axes(axes)));
            self.diags.push(d.help(format!("write `{} : {}[cell]`", field.name.text, field.ty.name.text)));
        } else if let Some(p) = axes.iter().skip(1).find(|a| plates.contains(a) && !plates.contains(&axes[0]))
        {
            let p = self.model.axis_name(*p).to_owned();
            let at = field.ty.axes.iter().find(|n| n.text == p).map_or(field.ty.span, |n| n.span);
            let what = format!("a field that does not list `{p}` first cannot be compiled by this version");
            let d = Diagnostic::new(Code::E0106, what).at(at, "");
            self.diags.push(d.help(format!("matrices are stored with a row for each {p}: list `{p}` first")));
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

fn show_missing(kind: &MissingKind) -> String {
    match kind {
        MissingKind::Literal(e) => match &e.kind {
            ast::ExprKind::Text(t) | ast::ExprKind::Number(t) => t.clone(),
            _ => String::new(),
        },
        MissingKind::Named { name, .. } => name.text.clone(),
    }
}
