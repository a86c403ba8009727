//! What is known only once everything has been checked: options in force, unused definitions and options.

use super::Checker;
use crate::compiled::OptionInfo;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ExprId;
use crate::resolve::ModelDef;

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
        self.unused_definitions();
    }

    /// W0604: a definition of the model that no site, weight or output reads.
    fn unused_definitions(&mut self) {
        if self.diags.has_errors() {
            return;
        }
        let mut used: Vec<ExprId> = vec![];
        let mut roots = self.model.roots();
        roots.extend(self.model.outputs.iter().map(|o| o.value));
        self.model.walk(roots, |id| used.push(id));
        for s in &self.program.model {
            let ModelDef::Define(d) = &s.stmt else { continue };
            let Some(id) = self.model.definitions.get(&d.name.text) else { continue };
            if !used.contains(id) {
                let d = Diagnostic::new(Code::W0604, format!("`{}` is defined and never used", d.name.text))
                    .at(d.name.span, "");
                self.diags.push(d);
            }
        }
    }
}
