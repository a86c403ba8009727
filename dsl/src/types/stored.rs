//! `stored("decoder.rho.linear.weight")`: a weight of a layer, or a running statistic, under its path.

use super::{Block, Checker, Scope, Value};
use crate::compiled::{DimRole, VariableKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{ExprKind, Layer, Linear, StoredDecl};
use crate::source::Span;
use crate::syntax::ast::{self, Call};
use distributions::Support;

/// Axes of an array of a layer, each with its part.
type Dims = Vec<(AxisNo, DimRole)>;

impl Checker<'_> {
    /// The array of that path as it is stored, along its axes; in `objective` and `output`.
    pub(super) fn stored(&mut self, call: &Call, span: Span, scope: &Scope) -> Value {
        if !matches!(scope.block, Block::Objective | Block::Output) {
            return self.report(Code::E0201, "`stored` stands only in `output` and `objective`", span, "");
        }
        let [ast::Arg { name: None, value: ast::Expr { kind: ast::ExprKind::Text(path), .. }, .. }] =
            &call.args[..]
        else {
            let d =
                Diagnostic::new(Code::E0405, "`stored` takes the path of a weight, in quotes").at(span, "");
            self.diags.push(d.help("as in `stored(\"decoder.rho.linear.weight\")`"));
            return Value::Error;
        };
        let all = self.arrays();
        let Some((_, dims)) = all.iter().find(|a| a.0 == *path) else {
            let d = Diagnostic::new(Code::E0201, format!("no layer has an array `{path}`")).at(span, "");
            self.diags.push(d.did_you_mean(path, all.iter().map(|a| a.0.as_str())));
            return Value::Error;
        };
        let axes: crate::model::AxisSet = dims.iter().map(|d| d.0).collect();
        if axes.len() != dims.len() {
            return self.report(
                Code::E0302,
                format!("`{path}` has an axis twice"),
                span,
                "it maps an axis to itself",
            );
        }
        let running = path.rsplit('.').next().is_some_and(|last| last.starts_with("running_"));
        let kind = if running { VariableKind::Running } else { VariableKind::Trained };
        let array = StoredDecl { path: path.clone(), dims: dims.clone(), kind };
        Value::Expr(self.push(ExprKind::Stored(Box::new(array)), Ty::new(axes, Support::Real), span))
    }

    /// The arrays of all layers: the main weight and the bias of a linear map, what norms have.
    fn arrays(&self) -> Vec<(String, Dims)> {
        let mut out = vec![];
        for e in &self.model.exprs {
            let ExprKind::Layer(layer) = &e.kind else { continue };
            match layer {
                Layer::Linear(l) => {
                    let own: Dims = l
                        .each
                        .iter()
                        .map(|a| (*a, DimRole::Own))
                        .chain(l.out.map(|a| (a, DimRole::Out)))
                        .collect();
                    out.extend(self.inputs_of(l).map(|inputs| {
                        (format!("{}.weight", l.path), own.iter().copied().chain(inputs).collect())
                    }));
                    out.extend(l.bias.then(|| (format!("{}.bias", l.path), own)));
                }
                Layer::BatchNorm { path, axis, .. } => {
                    let names = ["scale", "shift", "running_mean", "running_var"];
                    out.extend(names.map(|n| (format!("{path}.{n}"), vec![(*axis, DimRole::Own)])));
                }
                Layer::LayerNorm { path: Some(path), axis, .. } => {
                    out.extend(
                        ["scale", "shift"].map(|n| (format!("{path}.{n}"), vec![(*axis, DimRole::Own)])),
                    );
                }
                _ => {}
            }
        }
        out.dedup_by(|a, b| a.0 == b.0);
        out
    }

    /// The axes of the main input of a map, which it sums over.
    fn inputs_of(&self, l: &Linear) -> Option<Dims> {
        let local = self.ty(*l.inputs.first()?).local(&l.plates);
        let summed = local.into_iter().filter(|a| l.over.is_empty() || l.over.contains(a));
        Some(summed.map(|a| (a, DimRole::In)).collect())
    }
}
