//! The printed model: sites, guides, parameters and expressions, one a line, for goldens. What is read more than once
//! gets a line of its own, so that a print-out is no longer than its model.

use super::{DistExpr, ExprId, ExprKind, Held, Layer, Linear, Model, Reduction, Treat};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// Expressions nested deeper than this get a line of their own.
const DEEPEST: usize = 40;

impl Display for Model {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Printer::new(self).model(f)
    }
}

impl Model {
    /// An expression on one line, names of definitions kept.
    pub fn text(&self, id: ExprId) -> String {
        let names = self.definitions.iter().map(|(n, id)| (*id, n.clone())).collect();
        let text = Printer { m: self, names }.written(id);
        if text.chars().count() <= 120 { text } else { "an expression".into() }
    }
}

struct Printer<'a> {
    m: &'a Model,
    /// Names of the expressions that have lines of their own.
    names: BTreeMap<ExprId, String>,
}

impl<'a> Printer<'a> {
    fn new(m: &'a Model) -> Self {
        let mut roots = m.roots();
        roots.extend(m.stats.iter().map(|s| s.value));
        roots.extend(m.outputs.iter().map(|o| o.value));
        let mut readers: BTreeMap<ExprId, usize> = BTreeMap::new();
        roots.iter().for_each(|r| *readers.entry(*r).or_default() += 1);
        let mut reached = vec![];
        m.walk(roots, |id| {
            reached.push(id);
            m.operands(id).into_iter().for_each(|o| *readers.entry(o).or_default() += 1);
        });
        // Operands come before what reads them.
        reached.sort_unstable();
        let defined: BTreeMap<ExprId, &String> = m.definitions.iter().map(|(n, id)| (*id, n)).collect();
        let mut depths: BTreeMap<ExprId, usize> = BTreeMap::new();
        let mut names = BTreeMap::new();
        let mut n = 0;
        for id in reached {
            let operands = m.operands(id);
            let depth = 1 + operands.iter().filter_map(|o| depths.get(o)).max().copied().unwrap_or(0);
            let leaf = operands.is_empty();
            if !leaf && (readers.get(&id).is_some_and(|r| *r > 1) || depth > DEEPEST) {
                let name = defined.get(&id).map_or_else(
                    || {
                        n += 1;
                        format!("%{n}")
                    },
                    |n| (*n).clone(),
                );
                names.insert(id, name);
                depths.insert(id, 0);
            } else {
                depths.insert(id, depth);
            }
        }
        Self { m, names }
    }

    fn model(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let m = self.m;
        for a in &m.axes {
            writeln!(f, "axis {} : {:?}", a.name, a.source)?;
        }
        for d in &m.fields {
            writeln!(f, "field {} : {}{}", d.slot.name, d.ty.support, self.show(d.ty.axes.iter().copied()))?;
        }
        for p in &m.params {
            writeln!(
                f,
                "param {} : {}{} init {:?}",
                p.name,
                p.ty.support,
                self.show(p.ty.axes.iter().copied()),
                p.init
            )?;
        }
        for s in &m.stats {
            writeln!(f, "stat {} = {}", s.name, self.text(s.value))?;
        }
        for (id, name) in &self.names {
            writeln!(f, "let {name} = {}", self.written(*id))?;
        }
        for s in &m.sites {
            let verb = if s.observed.is_some() { "observe" } else { "latent" };
            let plates: String = s.plates.iter().map(|p| format!("plate {} / ", m.axis_name(*p))).collect();
            writeln!(
                f,
                "{plates}{verb} {}{} ~ {}",
                s.name,
                self.show(s.axes.iter().copied()),
                self.dist(&s.prior)
            )?;
            let how = match s.treat {
                None | Some(Treat::Explicit) => String::new(),
                Some(Treat::Point(p)) => format!("point {} ", m.params[p].name),
                Some(Treat::Marginal) => "marginal ".into(),
                Some(Treat::Prior) => "prior ".into(),
                Some(Treat::Score) => "score ".into(),
                Some(Treat::Relaxed(t)) => format!("relaxed at {} ", self.text(t)),
            };
            match &s.guide {
                Some(q) => writeln!(f, "  guide {how}{}", self.dist(q))?,
                None if how.is_empty() => {}
                None => writeln!(f, "  guide {}", how.trim_end())?,
            }
            for (word, c) in [("where", &s.cond), ("guide where", &s.guide_cond)] {
                if let Some(c) = c {
                    let other = c.otherwise.map_or(String::new(), |o| format!(" else {}", self.text(o)));
                    writeln!(f, "  {word} {}{other}", self.text(c.holds))?;
                }
            }
            if let Some(w) = s.weight {
                writeln!(f, "  weight {}", self.text(w))?;
            }
            if let Some(p) = s.part {
                writeln!(f, "  observed part {}", self.text(p))?;
            }
            if s.ignored {
                writeln!(f, "  ignored")?;
            }
        }
        for d in &m.draws {
            writeln!(f, "draw {}{} ~ {}", d.name, self.show(d.axes.iter().copied()), self.dist(&d.dist))?;
        }
        for t in &m.free {
            let word = if t.maximised { "maximize" } else { "minimize" };
            writeln!(f, "{word} {}", self.text(t.value))?;
        }
        for o in &m.outputs {
            writeln!(f, "output {} = {}", o.info.name, self.text(o.value))?;
        }
        Ok(())
    }

    fn show(&self, axes: impl Iterator<Item = super::AxisNo>) -> String {
        let names: Vec<&str> = axes.map(|a| self.m.axis_name(a)).collect();
        if names.is_empty() { String::new() } else { format!("[{}]", names.join(", ")) }
    }

    fn dist(&self, d: &DistExpr) -> String {
        let set = d.family.parameter_sets()[d.set];
        let params: Vec<String> =
            set.iter().zip(&d.params).map(|(p, e)| format!("{} = {}", p.name, self.text(*e))).collect();
        let event = d.event.map_or(String::new(), |a| format!(" over {}", self.m.axis_name(a)));
        let low = d
            .low_rank
            .map(|l| format!(", factor = {} over {}", self.text(l.factor), self.m.axis_name(l.axis)));
        let text = format!("{}({}{}{event})", d.family.name(), params.join(", "), low.unwrap_or_default());
        let Some(mix) = &d.mixture else { return text };
        let word = if mix.logits { "logits" } else { "probs" };
        format!("Mixture({text}, {word} = {} over {})", self.text(mix.weights), self.m.axis_name(mix.axis))
    }

    fn list(&self, ids: &[ExprId]) -> String {
        ids.iter().map(|i| self.text(*i)).collect::<Vec<_>>().join(", ")
    }

    /// An expression: its name if it has a line of its own.
    fn text(&self, id: ExprId) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| self.written(id))
    }

    fn written(&self, id: ExprId) -> String {
        match &self.m.expr(id).kind {
            ExprKind::Const(c) => format!("{c}"),
            ExprKind::Field(i) => self.m.fields[*i].slot.name.clone(),
            ExprKind::Known(i) => format!("observed({})", self.m.fields[*i].slot.name),
            ExprKind::Within(a) => self.m.axis_name(*a).to_owned(),
            ExprKind::Label(_, label) => format!("{label:?}"),
            ExprKind::Stack(a, parts) => format!("{}{{{}}}", self.m.axis_name(*a), self.list(parts)),
            ExprKind::Param(i) => self.m.params[*i].name.clone(),
            ExprKind::Stat(i) => self.m.stats[*i].name.clone(),
            ExprKind::Site(i) => self.m.sites[*i].name.clone(),
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
                    over.iter().map(|a| self.m.axis_name(*a)).collect::<Vec<_>>().join(", ")
                )
            }
            ExprKind::Softmax(x, a) => format!("softmax({} over {})", self.text(*x), self.m.axis_name(*a)),
            ExprKind::Index { base, index, .. } => format!("{}[{}]", self.text(*base), self.text(*index)),
            ExprKind::Host(c) => format!("{}({})", c.primitive.name(), self.list(&c.inputs)),
            ExprKind::OneHot(x, _) => format!("onehot({})", self.text(*x)),
            ExprKind::Layer(layer) => self.layer_text(layer),
            ExprKind::Ramp { from, to, epochs } => format!("ramp({from}, {to}, epochs = {epochs})"),
            ExprKind::GuideMean(s) => format!("mean({})", self.m.sites[*s].name),
            ExprKind::GuideVar(s) => format!("var({})", self.m.sites[*s].name),
            ExprKind::Average(x) => format!("E({})", self.text(*x)),
            ExprKind::Stop(x) => format!("stop({})", self.text(*x)),
            ExprKind::Size(a) => format!("size({})", self.m.axis_name(*a)),
            ExprKind::OfLabelled(x) => format!("labelled rows: {}", self.text(*x)),
            ExprKind::Place(a) => format!("place({})", self.m.axis_name(*a)),
            ExprKind::Labels(a) => format!("labels({})", self.m.axis_name(*a)),
            ExprKind::Training => "training".into(),
            ExprKind::Stored(s) => format!("stored({:?})", s.path),
            ExprKind::Density(d, x) => format!("logp({}, {})", self.dist(d), self.text(*x)),
            ExprKind::ArgMax(x, a) => format!("argmax({} over {})", self.text(*x), self.m.axis_name(*a)),
            ExprKind::Draw(i) => format!("draw {}", self.m.draws[*i].name),
            ExprKind::RowScale => "N/B".into(),
            ExprKind::OfSite(word, s) => format!("{}({})", word.word(), self.m.sites[*s].name),
            ExprKind::Given { body, held } => {
                let held: Vec<String> = held
                    .iter()
                    .map(|(what, v)| format!("{} = {}", self.held(*what), self.text(*v)))
                    .collect();
                format!("({} given {})", self.text(*body), held.join(", "))
            }
        }
    }

    fn held(&self, what: Held) -> &str {
        match what {
            Held::Site(s) => &self.m.sites[s].name,
            Held::Field(f) => &self.m.fields[f].slot.name,
        }
    }

    fn layer_text(&self, layer: &Layer) -> String {
        let called = |path: &str, list: &[ExprId]| format!("{path}({})", self.list(list));
        match layer {
            Layer::Linear(Linear { path, inputs, conditions, .. }) => {
                let bar = if conditions.is_empty() {
                    String::new()
                } else {
                    format!(" | {}", self.list(conditions))
                };
                format!("{path}({}{bar})", self.list(inputs))
            }
            Layer::LayerNorm { arg, .. } => called("layernorm", &[*arg]),
            Layer::Dropout { arg, rate, .. } => format!("dropout({}, {rate})", self.text(*arg)),
            Layer::Activation(kind, arg) => called(kind.name(), &[*arg]),
            Layer::Split { path: None, arg, .. } => called("split", &[*arg]),
            other => called(other.path().unwrap_or_default(), &other.operands()),
        }
    }
}
