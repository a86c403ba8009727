//! Statements of the model, guide and objective: which are alive, what replaces what.

use super::merge::{Kind, Merger, Space, replace};
use super::options::made_sure;
use super::{GuideDef, InPlates, ModelDef, Replaced};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::syntax::ast::{self, GuideStmtKind, ModelStmtKind, Name, ObjectiveStmtKind};

impl Merger<'_> {
    pub(super) fn model(&mut self, stmts: &[ast::ModelStmt], plates: &[Name], alive: bool) {
        for stmt in stmts {
            let (name, kind, is_override, def) = match &stmt.kind {
                ModelStmtKind::Plate(p) => {
                    let inner = with_plate(plates, &p.axis, self.diags);
                    let outer = self.plate_weights.len();
                    self.plate_weights.extend(p.weight.clone());
                    self.model(&p.body, &inner, alive);
                    self.plate_weights.truncate(outer);
                    continue;
                }
                ModelStmtKind::When(w) => {
                    let holds = self.decide(&w.condition);
                    let outer = self.guarding.len();
                    made_sure(&w.condition, &mut self.guarding);
                    self.model(&w.body, plates, alive && holds);
                    self.guarding.truncate(outer);
                    continue;
                }
                ModelStmtKind::Error => {
                    self.program.broken_model = true;
                    continue;
                }
                ModelStmtKind::Draw(d) => (&d.name, Kind::Definition, false, ModelDef::Draw(d.clone())),
                ModelStmtKind::Site(s) => (&s.name, Kind::Latent, s.is_override, ModelDef::Site(s.clone())),
                ModelStmtKind::Define(d) => {
                    (&d.name, Kind::Definition, d.is_override, ModelDef::Define(d.clone()))
                }
                ModelStmtKind::Observe(o) => {
                    let Some(name) = observed_name(&o.target) else {
                        let d = Diagnostic::new(Code::E0203, "only a field is observed");
                        let d = d.at(o.target.span, "not a field, nor a part of one");
                        self.diags.push(
                            d.help("observe a field of `data`: `observe x ~ …`, `observe y[panel] ~ …`, `observe (x > 0) ~ …`"),
                        );
                        continue;
                    };
                    (name, Kind::Likelihood, o.is_override, ModelDef::Observe(o.clone()))
                }
            };
            let space = if kind == Kind::Likelihood { Space::Likelihood } else { Space::Value };
            if let (ModelDef::Site(_), Some(field)) = (&def, self.field_names.get(&name.text)) {
                let d = Diagnostic::new(
                    Code::E0203,
                    format!("`{}` is data: its distribution is observed", name.text),
                );
                let d = d
                    .at(name.span, "")
                    .also(*field, "a field")
                    .help(format!("write `observe {} ~ …`", name.text));
                self.diags.push(d.suggest_before(name.span, "observe "));
            } else if !alive {
                self.program.dead.push(name.text.clone());
                let (ModelDef::Site(ast::Site { dist: value, .. })
                | ModelDef::Observe(ast::Observe { dist: value, .. })
                | ModelDef::Draw(ast::Draw { dist: value, .. })
                | ModelDef::Define(ast::Define { value, .. })) = &def;
                self.sleep(value);
            } else if self.declare(space, name, is_override, kind) {
                let likelihood = space == Space::Likelihood;
                self.guard(stmt.span);
                if !self.plate_weights.is_empty() {
                    self.program.plate_weights.insert(stmt.span, self.plate_weights.clone());
                }
                let same = |old: &InPlates<ModelDef>| {
                    model_name(&old.stmt).is_some_and(|(n, l)| n == name.text && l == likelihood)
                };
                let new = InPlates { plates: plates.to_vec(), stmt: def, span: stmt.span };
                let old = replace(&mut self.program.model, new, same).filter(|_| space == Space::Value);
                self.program.replaced.extend(old.map(|o| (name.text.clone(), Replaced::Model(o))));
            }
        }
    }

    pub(super) fn guide(&mut self, stmts: &[ast::GuideStmt], plates: &[Name], alive: bool) {
        for stmt in stmts {
            let (name, kind, is_override, def) = match &stmt.kind {
                GuideStmtKind::Plate(p) => {
                    let inner = with_plate(plates, &p.axis, self.diags);
                    self.guide(&p.body, &inner, alive);
                    continue;
                }
                GuideStmtKind::When(w) => {
                    let holds = self.decide(&w.condition);
                    let outer = self.guarding.len();
                    made_sure(&w.condition, &mut self.guarding);
                    self.guide(&w.body, plates, alive && holds);
                    self.guarding.truncate(outer);
                    continue;
                }
                GuideStmtKind::Error => continue,
                GuideStmtKind::Draw(d) => (&d.name, Kind::Definition, false, GuideDef::Draw(d.clone())),
                GuideStmtKind::Treat(t) => {
                    (&t.name, Kind::Treatment, t.is_override, GuideDef::Treat(t.clone()))
                }
                GuideStmtKind::Define(d) => {
                    (&d.name, Kind::Definition, d.is_override, GuideDef::Define(d.clone()))
                }
            };
            if !alive {
                self.program.asleep_treatments.push(name.text.clone());
                match &def {
                    GuideDef::Treat(ast::Treat { how: ast::Treatment::Dist(value), .. }) => self.sleep(value),
                    GuideDef::Treat(ast::Treat { how: ast::Treatment::Strategy { args, .. }, .. }) => {
                        args.iter().for_each(|a| self.sleep(&a.value));
                    }
                    GuideDef::Define(ast::Define { value, .. })
                    | GuideDef::Draw(ast::Draw { dist: value, .. }) => {
                        self.program.dead.push(name.text.clone());
                        self.sleep(value);
                    }
                }
            } else if self.declare(Space::Guide, name, is_override, kind) {
                self.guard(stmt.span);
                let same = |old: &InPlates<GuideDef>| guide_name(&old.stmt) == name.text;
                replace(
                    &mut self.program.guide,
                    InPlates { plates: plates.to_vec(), stmt: def, span: stmt.span },
                    same,
                );
            }
        }
    }

    pub(super) fn objective(&mut self, stmts: &[ast::ObjectiveStmt], alive: bool) {
        for stmt in stmts {
            if let ObjectiveStmtKind::When(w) = &stmt.kind {
                let holds = self.decide(&w.condition);
                let outer = self.guarding.len();
                made_sure(&w.condition, &mut self.guarding);
                self.objective(&w.body, alive && holds);
                self.guarding.truncate(outer);
                continue;
            }
            self.guard(stmt.span);
            match &stmt.kind {
                _ if alive => self.live_objective(stmt),
                ObjectiveStmtKind::Define(ast::Define { name, value, .. })
                | ObjectiveStmtKind::Draw(ast::Draw { name, dist: value, .. }) => {
                    self.program.dead.push(name.text.clone());
                    self.sleep(value);
                }
                ObjectiveStmtKind::Weight { by: value, .. }
                | ObjectiveStmtKind::Minimize(value)
                | ObjectiveStmtKind::Maximize(value) => self.sleep(value),
                _ => {}
            }
        }
    }

    fn live_objective(&mut self, stmt: &ast::ObjectiveStmt) {
        let (name, is_override) = match &stmt.kind {
            ObjectiveStmtKind::Define(d) => (&d.name, d.is_override),
            ObjectiveStmtKind::Draw(d) => (&d.name, false),
            _ => return self.program.objective.push(stmt.clone()),
        };
        if self.declare(Space::Value, name, is_override, Kind::Definition) {
            let same = |old: &ast::ObjectiveStmt| matches!(&old.kind, ObjectiveStmtKind::Define(o) if o.name.text == name.text);
            replace(&mut self.program.objective, stmt.clone(), same);
        }
    }
}

fn with_plate(plates: &[Name], axis: &Name, diags: &mut Diagnostics) -> Vec<Name> {
    if let Some(outer) = plates.iter().find(|p| p.text == axis.text) {
        let d = Diagnostic::new(Code::E0310, format!("plate `{}` is opened inside itself", axis.text));
        diags.push(d.at(axis.span, "again here").also(outer.span, "already open"));
        return plates.to_vec();
    }
    plates.iter().cloned().chain([axis.clone()]).collect()
}

fn model_name(def: &ModelDef) -> Option<(&str, bool)> {
    match def {
        ModelDef::Site(s) => Some((&s.name.text, false)),
        ModelDef::Define(d) => Some((&d.name.text, false)),
        ModelDef::Draw(d) => Some((&d.name.text, false)),
        ModelDef::Observe(o) => observed_name(&o.target).map(|n| (n.text.as_str(), true)),
    }
}

/// The field that an `observe` is about: whole, in part, or whether it is above zero.
pub(crate) fn observed_name(target: &ast::Expr) -> Option<&Name> {
    match &target.kind {
        ast::ExprKind::Name(n) => Some(n),
        ast::ExprKind::Index { base, .. } => observed_name(base),
        ast::ExprKind::Binary { op: ast::BinaryOp::Gt, left, right } => match &right.kind {
            ast::ExprKind::Number(zero) if zero.parse() == Ok(0.0) => observed_name(left),
            _ => None,
        },
        _ => None,
    }
}

fn guide_name(def: &GuideDef) -> &str {
    match def {
        GuideDef::Treat(t) => &t.name.text,
        GuideDef::Define(d) => &d.name.text,
        GuideDef::Draw(d) => &d.name.text,
    }
}
