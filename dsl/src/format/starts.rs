//! Where items and statements begin, and of what kind they are: read off the tree.

use crate::source::Span;
use crate::syntax::ast::{
    Ast, GuideStmt, GuideStmtKind, Item, ItemKind, ModelStmt, ModelStmtKind, ObjectiveStmt, ObjectiveStmtKind,
};
use std::collections::BTreeMap;

/// The kind of a statement, which decides what is aligned with its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A data field.
    Field,
    /// `name = value`.
    Define,
    /// `name ~ distribution`.
    Draw,
    /// `observe target ~ distribution`.
    Observe,
    /// `param name : type init value`.
    Param,
    /// `const name : type from path`.
    Const,
    /// `stat name = value`.
    Stat,
    /// `fn name(…) = value`.
    Fn,
    /// `name = value to path`.
    Output,
    /// `key = value`.
    Setting,
    /// `label => value`.
    Arm,
    /// `when condition { … }`.
    When,
    /// Nothing is aligned.
    Plain,
}

/// First byte of each item, statement, field, output and setting.
pub(super) fn starts(tree: &Ast) -> BTreeMap<u32, Kind> {
    let mut found = Starts(BTreeMap::new());
    found.items(&tree.items);
    found.0
}

struct Starts(BTreeMap<u32, Kind>);

impl Starts {
    fn at(&mut self, span: Span, kind: Kind) {
        self.0.insert(span.start, kind);
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            self.at(item.span, item_kind(&item.kind));
            match &item.kind {
                ItemKind::Data(fields) => fields.iter().for_each(|f| self.at(f.span, Kind::Field)),
                ItemKind::Net(net) => net.body.iter().for_each(|d| self.at(d.span, Kind::Define)),
                ItemKind::Model(body) => self.model(body),
                ItemKind::Guide(body) => self.guide(body),
                ItemKind::Objective(body) => self.objective(body),
                ItemKind::Output(outputs) => outputs.iter().for_each(|o| self.at(o.span, Kind::Output)),
                ItemKind::Train(settings) => settings.iter().for_each(|s| self.at(s.span, Kind::Setting)),
                ItemKind::When(when) => self.items(&when.body),
                _ => {}
            }
        }
    }

    fn model(&mut self, body: &[ModelStmt]) {
        for stmt in body {
            let kind = match &stmt.kind {
                ModelStmtKind::Site(_) => Kind::Draw,
                ModelStmtKind::Observe(_) => Kind::Observe,
                ModelStmtKind::Define(_) => Kind::Define,
                ModelStmtKind::When(_) => Kind::When,
                _ => Kind::Plain,
            };
            self.at(stmt.span, kind);
            match &stmt.kind {
                ModelStmtKind::Plate(plate) => self.model(&plate.body),
                ModelStmtKind::When(when) => self.model(&when.body),
                _ => {}
            }
        }
    }

    fn guide(&mut self, body: &[GuideStmt]) {
        for stmt in body {
            let kind = match &stmt.kind {
                GuideStmtKind::Treat(_) => Kind::Draw,
                GuideStmtKind::Define(_) => Kind::Define,
                GuideStmtKind::When(_) => Kind::When,
                _ => Kind::Plain,
            };
            self.at(stmt.span, kind);
            match &stmt.kind {
                GuideStmtKind::Plate(plate) => self.guide(&plate.body),
                GuideStmtKind::When(when) => self.guide(&when.body),
                _ => {}
            }
        }
    }

    fn objective(&mut self, body: &[ObjectiveStmt]) {
        for stmt in body {
            let kind = match &stmt.kind {
                ObjectiveStmtKind::Define(_) => Kind::Define,
                ObjectiveStmtKind::When(_) => Kind::When,
                _ => Kind::Plain,
            };
            self.at(stmt.span, kind);
            if let ObjectiveStmtKind::When(when) = &stmt.kind {
                self.objective(&when.body);
            }
        }
    }
}

fn item_kind(kind: &ItemKind) -> Kind {
    match kind {
        ItemKind::Param(_) => Kind::Param,
        ItemKind::Const(_) => Kind::Const,
        ItemKind::Stat(_) => Kind::Stat,
        ItemKind::Fn(_) => Kind::Fn,
        ItemKind::When(_) => Kind::When,
        _ => Kind::Plain,
    }
}
