//! The printed model: sites, guides, parameters and expressions, one a line, for goldens.

use super::{DistExpr, ExprId, ExprKind, Layer, Model, Reduction};
use std::fmt::{self, Display, Formatter};

impl Display for Model {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for a in &self.axes {
            writeln!(f, "axis {} : {:?}", a.name, a.source)?;
        }
        for d in &self.fields {
            writeln!(f, "field {} : {}{}", d.slot.name, d.ty.support, self.show(d.ty.axes.iter().copied()))?;
        }
        for p in &self.params {
            writeln!(
                f,
                "param {} : {}{} init {:?}",
                p.name,
                p.ty.support,
                self.show(p.ty.axes.iter().copied()),
                p.init
            )?;
        }
        for s in &self.stats {
            writeln!(f, "stat {} = {}", s.name, self.text(s.value))?;
        }
        for s in &self.sites {
            let verb = if s.observed.is_some() { "observe" } else { "latent" };
            let plates: String =
                s.plates.iter().map(|p| format!("plate {} / ", self.axis_name(*p))).collect();
            writeln!(
                f,
                "{plates}{verb} {}{} ~ {}",
                s.name,
                self.show(s.axes.iter().copied()),
                self.dist(&s.prior)
            )?;
            if let Some(q) = &s.guide {
                writeln!(f, "  guide {}", self.dist(q))?;
            }
        }
        for o in &self.outputs {
            writeln!(f, "output {} = {}", o.info.name, self.text(o.value))?;
        }
        Ok(())
    }
}

impl Model {
    fn show(&self, axes: impl Iterator<Item = super::AxisNo>) -> String {
        let names: Vec<&str> = axes.map(|a| self.axis_name(a)).collect();
        if names.is_empty() { String::new() } else { format!("[{}]", names.join(", ")) }
    }

    fn dist(&self, d: &DistExpr) -> String {
        let set = d.family.parameter_sets()[d.set];
        let params: Vec<String> =
            set.iter().zip(&d.params).map(|(p, e)| format!("{} = {}", p.name, self.text(*e))).collect();
        let event = d.event.map_or(String::new(), |a| format!(" over {}", self.axis_name(a)));
        format!("{}({}{event})", d.family.name(), params.join(", "))
    }

    fn list(&self, ids: &[ExprId]) -> String {
        ids.iter().map(|i| self.text(*i)).collect::<Vec<_>>().join(", ")
    }

    /// An expression in full; shared parts are repeated.
    pub fn text(&self, id: ExprId) -> String {
        match &self.expr(id).kind {
            ExprKind::Const(c) => format!("{c}"),
            ExprKind::Field(i) => self.fields[*i].slot.name.clone(),
            ExprKind::Param(i) => self.params[*i].name.clone(),
            ExprKind::Stat(i) => self.stats[*i].name.clone(),
            ExprKind::Site(i) => self.sites[*i].name.clone(),
            ExprKind::Elem(e, args) => format!("{}({})", e.name(), self.list(args)),
            ExprKind::Reduce { kind, arg, over } => {
                let word = match kind {
                    Reduction::Plain(k) => format!("{k:?}").to_lowercase(),
                    Reduction::Mean => "mean".into(),
                    Reduction::Var => "var".into(),
                };
                format!(
                    "{word}({} over {})",
                    self.text(*arg),
                    over.iter().map(|a| self.axis_name(*a)).collect::<Vec<_>>().join(", ")
                )
            }
            ExprKind::Softmax(x, a) => format!("softmax({} over {})", self.text(*x), self.axis_name(*a)),
            ExprKind::Index { base, index, .. } => format!("{}[{}]", self.text(*base), self.text(*index)),
            ExprKind::Layer(layer) => self.layer_text(layer),
            ExprKind::Ramp { from, to, epochs } => format!("ramp({from}, {to}, epochs = {epochs})"),
            ExprKind::GuideMean(s) => format!("mean({})", self.sites[*s].name),
            ExprKind::GuideVar(s) => format!("var({})", self.sites[*s].name),
            ExprKind::Average(x) => format!("E({})", self.text(*x)),
            ExprKind::Stop(x) => format!("stop({})", self.text(*x)),
        }
    }

    fn layer_text(&self, layer: &Layer) -> String {
        match layer {
            Layer::Linear { path, inputs, conditions, .. } => {
                let bar = if conditions.is_empty() {
                    String::new()
                } else {
                    format!(" | {}", self.list(conditions))
                };
                format!("{path}({}{bar})", self.list(inputs))
            }
            Layer::BatchNorm { path, arg, .. } => format!("{path}({})", self.text(*arg)),
            Layer::LayerNorm { arg, .. } => format!("layernorm({})", self.text(*arg)),
            Layer::Dropout { arg, rate, .. } => format!("dropout({}, {rate})", self.text(*arg)),
            Layer::Embed { path, index, .. } => format!("{path}({})", self.text(*index)),
        }
    }
}
