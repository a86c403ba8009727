//! Arguments of layers that are not inputs.

use super::super::{Checker, Scope, is_name};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::AxisNo;
use crate::model::{Activation, ExprId, Weights};
use crate::syntax::ast::{self, Call};
use distributions::Support;

/// ε and momentum of batch norm, ε of layer norm, unless the call says otherwise.
pub(super) const BATCH_NORM: (f64, f64) = (1e-3, 0.01);
pub(super) const LAYER_NORM_EPS: f64 = 1e-5;

const MLP: &[&str] = &[
    "layers",
    "norm",
    "dropout",
    "activation",
    "bias",
    "inject",
    "residual",
    "affine",
    "eps",
    "momentum",
    "start",
    "each",
];
const SPLIT: &[&str] = &[
    "layers",
    "norm",
    "dropout",
    "activation",
    "bias",
    "inject",
    "residual",
    "affine",
    "eps",
    "momentum",
    "start",
    "split",
    "share",
];
const CONV: &[&str] =
    &["width", "pool", "norm", "dropout", "activation", "pre_activation", "bias", "eps", "momentum", "start"];
const TOWER: &[&str] = &[
    "layers",
    "channels",
    "width",
    "pool",
    "norm",
    "dropout",
    "activation",
    "pre_activation",
    "bias",
    "eps",
    "momentum",
    "start",
];

/// The arguments by name that a layer knows.
fn known(layer: &str) -> &'static [&'static str] {
    match layer {
        "mlp" => MLP,
        "split_mlp" => SPLIT,
        "linear" => &["bias", "each", "start"],
        "embed" => &["start"],
        "attention" => &["heads", "depth", "dropout", "bias"],
        "conv" => CONV,
        "conv_tower" => TOWER,
        "gcn" => &["bias", "start"],
        "batchnorm" => &["eps", "momentum"],
        "layernorm" => &["eps", "affine"],
        "dropout" => &["rate"],
        _ => &[],
    }
}

/// Their values; each layer reads those that it knows.
pub(super) struct Options {
    pub layers: usize,
    pub batch_norm: bool,
    pub layer_norm: bool,
    pub affine: bool,
    pub eps: Option<f64>,
    pub momentum: f64,
    pub dropout: f64,
    pub activation: Option<Activation>,
    pub pre_activation: bool,
    pub bias: bool,
    pub inject_all: bool,
    pub residual: bool,
    pub init: Weights,
    pub each: Option<AxisNo>,
    pub heads: usize,
    pub depth: usize,
    pub width: usize,
    pub pool: usize,
    pub channels: Option<usize>,
    pub split_by_map: bool,
    pub share: bool,
    pub rate: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            layers: 1,
            batch_norm: false,
            layer_norm: false,
            affine: false,
            eps: None,
            momentum: BATCH_NORM.1,
            dropout: 0.0,
            activation: Some(Activation::Relu),
            pre_activation: false,
            bias: true,
            inject_all: true,
            residual: false,
            init: Weights::Default,
            each: None,
            heads: 1,
            depth: 8,
            width: 1,
            pool: 1,
            channels: None,
            split_by_map: true,
            share: true,
            rate: None,
        }
    }
}

impl Options {
    /// ε and momentum of a batch norm, if it is asked for.
    pub fn norm(&self) -> Option<(f64, f64)> {
        self.batch_norm.then(|| (self.eps.unwrap_or(BATCH_NORM.0), self.momentum))
    }
}

impl Checker<'_> {
    /// Inputs and settings. Settings may stand before or after the bar; what has no name is an input here, a condition
    /// there.
    pub(super) fn layer_args(
        &mut self,
        name: &ast::Name,
        call: &Call,
        scope: &mut Scope,
    ) -> Option<(Vec<ExprId>, Options)> {
        let mut o = Options { affine: name.text == "layernorm", ..Options::default() };
        let mut inputs = vec![];
        let mut fine = true;
        let settings = call.conditions.iter().filter(|a| a.name.is_some());
        for arg in call.args.iter().chain(settings) {
            let Some(key) = &arg.name else {
                match if name.text == "embed" {
                    self.eval_expr(&arg.value, scope)
                } else {
                    self.eval_number(&arg.value, scope)
                } {
                    Some(id) => inputs.push(id),
                    None => fine = false,
                }
                continue;
            };
            fine &= self.layer_option(&name.text, key, &arg.value, &mut o, scope).is_some();
        }
        fine.then_some((inputs, o))
    }

    fn layer_option(
        &mut self,
        layer: &str,
        key: &ast::Name,
        e: &ast::Expr,
        o: &mut Options,
        scope: &mut Scope,
    ) -> Option<()> {
        let known = known(layer);
        if !known.contains(&key.text.as_str()) {
            let d = Diagnostic::new(Code::E0405, format!("`{layer}` has no argument called `{}`", key.text))
                .at(key.span, "");
            self.diags.push(d.did_you_mean(&key.text, known.iter().copied()));
            return None;
        }
        match key.text.as_str() {
            "layers" => o.layers = self.whole(&key.text, e, 64)?,
            "heads" => o.heads = self.whole(&key.text, e, 1024)?,
            "depth" => o.depth = self.whole(&key.text, e, 65_536)?,
            "width" => o.width = self.whole(&key.text, e, 65_536)?,
            "pool" => o.pool = self.whole(&key.text, e, 65_536)?,
            "channels" => o.channels = Some(self.whole(&key.text, e, 1_000_000)?),
            "dropout" => o.dropout = self.probability(key, e)?,
            "rate" => o.rate = Some(self.probability(key, e)?),
            "eps" => o.eps = Some(self.positive(key, e)?),
            "momentum" => o.momentum = self.probability(key, e)?,
            "norm" => {
                let words: &[&str] = match layer {
                    "conv" | "conv_tower" => &["batchnorm", "none"],
                    _ => &["batchnorm", "layernorm", "both", "none"],
                };
                let w = self.static_word(e, words)?;
                o.batch_norm = w == "batchnorm" || w == "both";
                o.layer_norm = w == "layernorm" || w == "both";
            }
            "activation" => {
                let mut words: Vec<&str> = Activation::ALL.iter().map(|a| a.0).collect();
                words.push("none");
                o.activation = Activation::find(&self.static_word(e, &words)?);
            }
            "inject" => o.inject_all = self.static_word(e, &["all", "first"])? == "all",
            "split" => o.split_by_map = self.static_word(e, &["map", "mask"])? == "map",
            "start" => o.init = self.weights_init(e)?,
            "each" => o.each = Some(self.axis_argument(key, e, scope)?),
            "pre_activation" => o.pre_activation = self.static_bool(e)?,
            "residual" => o.residual = self.static_bool(e)?,
            "affine" => o.affine = self.static_bool(e)?,
            "share" => o.share = self.static_bool(e)?,
            _ => o.bias = self.static_bool(e)?,
        }
        Some(())
    }

    fn axis_argument(&mut self, key: &ast::Name, e: &ast::Expr, scope: &mut Scope) -> Option<AxisNo> {
        match is_name(e) {
            Some(n) => self.resolve_axis(n, scope),
            None => {
                self.report(Code::E0301, format!("`{}` is the name of an axis", key.text), e.span, "");
                None
            }
        }
    }

    /// A number in a range, known beforehand; else E0401.
    fn in_range(&mut self, e: &ast::Expr, what: String, fits: impl Fn(f64) -> bool) -> Option<f64> {
        let x = self.static_number(e)?;
        if !fits(x) {
            self.report(Code::E0401, what, e.span, format!("this is {x}"));
            return None;
        }
        Some(x)
    }

    /// A whole number from 1 to `most`, known beforehand; else E0401.
    pub(in crate::types) fn whole(&mut self, key: &str, e: &ast::Expr, most: usize) -> Option<usize> {
        let what = format!("`{key}` is a whole number from 1 to {most}");
        self.in_range(e, what, |n| (1.0..=most as f64).contains(&n) && n.fract() == 0.0).map(|n| n as usize)
    }

    fn probability(&mut self, key: &ast::Name, e: &ast::Expr) -> Option<f64> {
        self.in_range(e, format!("`{}` is a probability below 1", key.text), |p| (0.0..1.0).contains(&p))
    }

    fn positive(&mut self, key: &ast::Name, e: &ast::Expr) -> Option<f64> {
        self.in_range(e, format!("`{}` is a number above 0", key.text), |x| x > 0.0 && x.is_finite())
    }

    /// How weights start: a word, a sampler, or a number.
    fn weights_init(&mut self, e: &ast::Expr) -> Option<Weights> {
        match is_name(e).map(|n| n.text.as_str()) {
            Some("glorot") => Some(Weights::Glorot),
            Some("kaiming") => Some(Weights::Kaiming),
            Some("default") => Some(Weights::Default),
            _ => self.init(e, Support::Real).map(Weights::Given),
        }
    }
}
