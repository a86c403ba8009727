//! What is known only once everything has been checked: options in force, and what nothing uses.

use super::Checker;
use crate::compiled::OptionInfo;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{ExprId, ExprKind};
use crate::resolve::ModelDef;
use std::collections::BTreeSet;

impl Checker<'_> {
    pub(super) fn finish(&mut self) {
        for name in &self.program.option_order {
            let Some(o) = self.program.options.get(name) else { continue };
            self.model.options.push(OptionInfo {
                name: name.clone(),
                choices: o.decl.choices.iter().map(|c| c.text.clone()).collect(),
                value: o.value.to_string(),
                changed: o.changed,
            });
            if o.changed && !o.used.get() {
                let d =
                    Diagnostic::new(Code::W0605, format!("option `{name}` changes nothing in this model"));
                self.diags.push(d.at(o.decl.span, "declared here"));
            }
        }
        if !self.diags.has_errors() {
            self.unused();
            self.untrained();
            self.stopped();
        }
    }

    /// W0604: a definition, parameter, net or function that no expression mentions, switched off or not.
    fn unused(&mut self) {
        let mentioned = self.mentioned();
        let program = self.program;
        let defines = program.model.iter().filter_map(|s| match &s.stmt {
            ModelDef::Define(d) => Some((&d.name, "")),
            _ => None,
        });
        let all = defines
            .chain(program.params.iter().map(|p| (&p.name, "parameter ")))
            .chain(program.nets.iter().map(|n| (&n.name, "net ")))
            .chain(program.fns.iter().map(|f| (&f.name, "function ")));
        let unused: Vec<_> = all.filter(|(n, _)| !mentioned.contains(n.text.as_str())).collect();
        for (name, what) in unused {
            let d = Diagnostic::new(Code::W0604, format!("{what}`{}` is declared and never used", name.text));
            self.diags.push(d.at(name.span, "").help("remove it, or read it somewhere"));
        }
    }

    /// W0603: parameters and nets that outputs read and no term of the objective reaches.
    fn untrained(&mut self) {
        let trained = self.learned(self.model.roots());
        let shown = self.learned(self.model.outputs.iter().map(|o| o.value).collect());
        for name in shown.difference(&trained) {
            let param =
                self.program.params.iter().find(|p| p.name.text == *name && !p.frozen).map(|p| p.name.span);
            let net = self.program.nets.iter().find(|n| n.name.text == *name).map(|n| n.name.span);
            let Some(span) = param.or(net) else { continue };
            let what = if param.is_some() { "parameter" } else { "net" };
            let d = Diagnostic::new(Code::W0603, format!("{what} `{name}` is never trained"));
            let d = d.at(span, "only outputs read it, and no term of the objective");
            self.diags
                .push(d.help("it keeps its initial value; use it in the model, or write `frozen param`"));
        }
    }

    /// E0514: parameters and nets that the objective reads only where gradients stop.
    fn stopped(&mut self) {
        let roots = self.model.roots();
        let read = self.learned(roots.clone());
        let mut moved = BTreeSet::new();
        let mut seen = vec![false; self.model.exprs.len()];
        let mut stack = roots;
        while let Some(id) = stack.pop() {
            let blocks = matches!(self.model.expr(id).kind, ExprKind::Stop(_) | ExprKind::Draw(_));
            if blocks || std::mem::replace(&mut seen[id.0 as usize], true) {
                continue;
            }
            moved.extend(self.learned_by(id));
            stack.extend(self.model.operands(id));
        }
        for name in read.difference(&moved) {
            let param =
                self.program.params.iter().find(|p| p.name.text == *name && !p.frozen).map(|p| p.name.span);
            let net = self.program.nets.iter().find(|n| n.name.text == *name).map(|n| n.name.span);
            let Some(span) = param.or(net) else { continue };
            let what = if param.is_some() { "parameter" } else { "net" };
            let d =
                Diagnostic::new(Code::E0514, format!("{what} `{name}` is read only where gradients stop"));
            let d = d.at(span, "it would never change");
            self.diags.push(d.help("use it elsewhere too, or write `frozen param`"));
        }
    }

    /// Names of the parameters and nets with parameters that the roots and the latents they read depend on.
    pub(super) fn learned(&self, roots: Vec<ExprId>) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.model.walk(roots, |id| names.extend(self.learned_by(id)));
        names
    }

    /// The parameter or net that an expression reads by itself.
    fn learned_by(&self, id: ExprId) -> Option<String> {
        match &self.model.expr(id).kind {
            ExprKind::Param(p) => Some(self.model.params[*p].name.clone()),
            ExprKind::Layer(layer) => layer.path().and_then(|p| p.split('.').next()).map(str::to_owned),
            _ => None,
        }
    }
}
