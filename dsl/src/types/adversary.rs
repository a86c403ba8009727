//! Adversaries: a net that tells labels from a value, and a model that hides them from it.

use super::{Block, Checker, Scope, Value, is_name};
use crate::compiled::AxisSource;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::AxisNo;
use crate::model::{AdversaryDecl, Contest, ExprId, ExprKind, Target};
use crate::source::Span;
use crate::syntax::ast::{self, Name};
use distributions::Support;

/// Name of the value that the net is called on: no name of a source.
const FROM: &str = "what the adversary sees";

/// The axis and plates of a pooled target, `source(cell, spot)`.
pub(super) fn pooled(a: &ast::Adversary) -> Option<(&Name, Vec<&Name>)> {
    let ast::ExprKind::Call(call) = &a.predict.kind else { return None };
    let plates: Option<Vec<&Name>> = call.args.iter().map(|arg| is_name(&arg.value)).collect();
    Some((is_name(&call.callee)?, plates?))
}

impl Checker<'_> {
    pub(super) fn adversary(&mut self, a: &ast::Adversary) {
        let Some(net) = self.program.nets.iter().find(|n| n.name.text == a.net.text) else {
            if !self.is_silent(&a.net.text) {
                let known = self.program.nets.iter().map(|n| n.name.text.as_str());
                let d = Diagnostic::new(Code::E0201, format!("no net called `{}`", a.net.text));
                self.diags.push(d.at(a.net.span, "").did_you_mean(&a.net.text, known));
            }
            return;
        };
        let strength = match &a.strength {
            Some(e) => {
                let Some(id) = self.eval_number(e, &mut Scope::new(Block::Objective, vec![])) else { return };
                if !self.ty(id).axes.is_empty() || !self.is_schedule(id) {
                    let t = self.ty(id).clone();
                    let d = Diagnostic::new(Code::E0306, "a strength is a number or a schedule");
                    let d = d.at(e.span, self.show_ty(&t));
                    self.diags.push(d.help("write a number, an option or `ramp(from, to, epochs = n)`"));
                    return;
                }
                Some(id)
            }
            None => None,
        };
        let Some(targets) = self.targets(a) else { return };
        let mut contests = vec![];
        for (from, target, axis) in targets {
            let Some(contest) = self.contest(net, a, (from, target, axis)) else { return };
            contests.push(contest);
        }
        let (name, net) = (a.name.text.clone(), a.net.text.clone());
        self.model.adversaries.push(AdversaryDecl { name, net, contests, strength, span: a.name.span });
    }

    /// Whether a value depends on nothing but the epoch.
    fn is_schedule(&self, id: ExprId) -> bool {
        let mut fixed = true;
        self.model.walk([id], |id| {
            fixed &= matches!(
                self.model.expr(id).kind,
                ExprKind::Const(_) | ExprKind::Size(_) | ExprKind::Ramp { .. } | ExprKind::Elem(..)
            );
        });
        fixed
    }

    /// What is seen, which label is to be told from it, and the axis of the labels.
    fn targets<'e>(&mut self, a: &'e ast::Adversary) -> Option<Vec<(&'e ast::Expr, Target, AxisNo)>> {
        if let Some((source, plates)) = pooled(a) {
            let ast::ExprKind::Call(pool) = &a.from.kind else {
                return self.refuse(a.from.span, "a value of each plate is needed: `pool(z, zs)`");
            };
            let is_pool = is_name(&pool.callee).is_some_and(|n| n.text == "pool");
            if !is_pool || pool.args.len() != plates.len() {
                return self.refuse(a.from.span, "`pool` takes one value for each plate that is predicted");
            }
            let axis = self.model.find_axis(&source.text)?;
            let values = pool.args.iter().enumerate();
            return Some(values.map(|(i, arg)| (&arg.value, Target::Place(i), axis)).collect());
        }
        let mut scope = Scope::new(Block::Model, self.program_plates());
        let id = self.eval_expr(&a.predict, &mut scope)?;
        let t = self.ty(id).clone();
        match (t.support, t.of) {
            (Support::Category, Some(axis)) => Some(vec![(&a.from, Target::Label(id), axis)]),
            _ => {
                let d = Diagnostic::new(Code::E0410, "an adversary predicts a category");
                self.diags.push(d.at(a.predict.span, self.show_ty(&t)));
                None
            }
        }
    }

    fn refuse<T>(&mut self, span: Span, what: &str) -> Option<T> {
        self.diags.push(Diagnostic::new(Code::E0405, what).at(span, ""));
        None
    }

    fn contest(
        &mut self,
        net: &ast::Net,
        a: &ast::Adversary,
        (from, target, axis): (&ast::Expr, Target, AxisNo),
    ) -> Option<Contest> {
        let mut scope = Scope::new(Block::Objective, self.program_plates());
        let seen = self.eval_number(from, &mut scope)?;
        let stopped = {
            let t = self.ty(seen).clone();
            self.push(ExprKind::Stop(seen), t, from.span)
        };
        let mut logits = |c: &mut Self, id: ExprId| {
            let name = |text: &str, span| {
                let kind = ast::ExprKind::Name(Name { text: text.into(), span });
                ast::Expr { kind, span }
            };
            let arg = ast::Arg { name: None, value: name(FROM, from.span), span: from.span };
            let call = ast::Call {
                callee: name(&net.name.text, a.net.span),
                args: vec![arg],
                conditions: vec![],
                over: vec![],
                filter: None,
                given: vec![],
            };
            scope.locals.push((FROM.into(), Value::Expr(id)));
            let value = c.net(net, &a.net, &call, a.net.span, &mut scope);
            scope.locals.pop();
            match value {
                Value::Expr(id) if c.ty(id).axes.contains(&axis) => Some(id),
                Value::Error => None,
                _ => {
                    let axis = c.model.axis_name(axis).to_owned();
                    let what = format!("`{}` gives no score for each `{axis}`", net.name.text);
                    let d = Diagnostic::new(Code::E0303, what).at(a.net.span, "");
                    c.diags.push(d.help(format!("let it return `linear[{axis}](…)`")));
                    None
                }
            }
        };
        let fool = logits(self, seen)?;
        let tell = logits(self, stopped)?;
        Some(Contest { seen, fool, tell, target, axis })
    }

    /// E0607: the net of an adversary is its own player.
    pub(super) fn separate_players(&mut self) {
        let all = std::mem::take(&mut self.model.adversaries);
        let learned = self.learned(self.model.roots());
        for a in all.iter().filter(|a| learned.contains(&a.net)) {
            let d = Diagnostic::new(
                Code::E0607,
                format!("net `{}` is an adversary and takes part in the model", a.net),
            );
            self.diags.push(d.at(a.span, "").help("give the adversary a net of its own"));
        }
        self.model.adversaries = all;
    }

    /// The axes that pooled targets own: a label for each plate.
    pub(super) fn source_axes(&self) -> Vec<(String, AxisSource)> {
        let axis = |(name, plates): (&Name, Vec<&Name>)| {
            let labels = plates.iter().map(|p| p.text.clone()).collect();
            (name.text.clone(), AxisSource::Labels(labels))
        };
        self.program.adversaries.iter().filter_map(pooled).map(axis).collect()
    }
}
