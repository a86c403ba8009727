//! Layers: what has parameters, state or noise of its own.

use super::{AxisNo, ExprId};
use crate::compiled::Init;

/// An elementwise non-linearity of a layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x above 0, x/100 below.
    LeakyRelu,
    /// x above 0, eˣ − 1 below.
    Elu,
    /// x Φ(x), with Φ the normal distribution function.
    Gelu,
    /// [`Activation::Gelu`] by its usual approximation with tanh.
    GeluTanh,
    /// x σ(1.702 x).
    QuickGelu,
    /// x σ(x).
    Silu,
    /// tanh x.
    Tanh,
    /// 1/(1 + e⁻ˣ).
    Sigmoid,
    /// log(1 + eˣ).
    Softplus,
}

impl Activation {
    /// Every one, under its name in the language.
    pub const ALL: [(&'static str, Activation); 10] = [
        ("relu", Activation::Relu),
        ("leaky_relu", Activation::LeakyRelu),
        ("elu", Activation::Elu),
        ("gelu", Activation::Gelu),
        ("gelu_tanh", Activation::GeluTanh),
        ("quick_gelu", Activation::QuickGelu),
        ("silu", Activation::Silu),
        ("tanh", Activation::Tanh),
        ("sigmoid", Activation::Sigmoid),
        ("softplus", Activation::Softplus),
    ];

    /// The one of that name.
    pub fn find(name: &str) -> Option<Activation> {
        Self::ALL.iter().find(|a| a.0 == name).map(|a| a.1)
    }

    /// Its name in the language.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|a| a.1 == self).map_or("", |a| a.0)
    }
}

/// How the weights of a map start. `in` and `out` count what one number is computed from and what one feeds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Weights {
    /// Weights and bias uniform on ±1/√in.
    Default,
    /// Weights uniform on ±√(6/(in + out)), bias 0 (Glorot and Bengio, 2010).
    Glorot,
    /// Weights normal with variance 2/in, bias 0 (He et al., 2015).
    Kaiming,
    /// Weights as given, bias 0.
    Given(Init),
}

/// Σ over inputs of W·input + b.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `encoder.mean.linear`.
    pub path: String,
    /// Output axis; none: one number.
    pub out: Option<AxisNo>,
    /// Inputs that are concatenated.
    pub inputs: Vec<ExprId>,
    /// Conditioning inputs: categories (one-hot), covariates, or real vectors.
    pub conditions: Vec<ExprId>,
    /// Axes whose elements are apart: those of open plates and of a mixture's components.
    pub plates: Vec<AxisNo>,
    /// Axes of the inputs that the map sums over; none: the only one that each has. The others stay.
    pub over: Vec<AxisNo>,
    /// The map is another one for each element of these axes.
    pub each: Vec<AxisNo>,
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether real-valued conditions enter too: in a stack they do so at the first layer, categories at each.
    pub first: bool,
    /// How it starts.
    pub init: Weights,
}

/// Attention of queries to the tokens of a context, by scaled dot products, with several heads.
#[derive(Clone, Debug)]
pub struct Attention {
    /// `encoder.h.attention`.
    pub path: String,
    /// What asks.
    pub query: ExprId,
    /// What is asked.
    pub context: ExprId,
    /// Output axis; none: one number for each query.
    pub out: Option<AxisNo>,
    /// The axis of the context's tokens.
    pub tokens: AxisNo,
    /// Features of the query; none: each query is one number.
    pub query_features: Option<AxisNo>,
    /// Features of a token; none: each token is one number.
    pub token_features: Option<AxisNo>,
    /// Number of heads.
    pub heads: usize,
    /// Numbers in a query, key or value of one head.
    pub depth: usize,
    /// Probability that a weight is dropped in training.
    pub dropout: f64,
    /// Whether the four maps have a bias.
    pub bias: bool,
}

/// One block of a [`ConvTower`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConvBlock {
    /// Output channels.
    pub channels: usize,
    /// Positions of the kernel; the input is padded with zeros so that the number of positions stays.
    pub width: usize,
    /// Neighbouring positions of which the largest is kept; 1: no pooling.
    pub pool: usize,
    /// Positions of −∞ before the first in pooling.
    pub pool_padding: usize,
}

impl ConvBlock {
    /// Positions that pooling leaves of `n`, if any.
    pub fn places(&self, n: usize) -> Option<usize> {
        (n + 2 * self.pool_padding).checked_sub(self.pool).map(|rest| rest / self.pool + 1)
    }
}

/// One-dimensional convolutions along an axis.
#[derive(Clone, Debug)]
pub struct ConvTower {
    /// `sequence.h.conv_tower`.
    pub path: String,
    /// Has `over` and, unless it has one channel, `channels`.
    pub arg: ExprId,
    /// The axis of positions.
    pub over: AxisNo,
    /// The axis of channels.
    pub channels: Option<AxisNo>,
    /// Channels of the result.
    pub out: AxisNo,
    /// Positions of the result.
    pub place: AxisNo,
    /// The blocks in order; the last has as many channels as `out`.
    pub blocks: Vec<ConvBlock>,
    /// Batch normalisation after each convolution: ε and momentum.
    pub norm: Option<(f64, f64)>,
    /// The non-linearity.
    pub activation: Option<Activation>,
    /// Whether it comes before each convolution instead of after the norm.
    pub pre_activation: bool,
    /// Dropout before pooling.
    pub dropout: f64,
    /// Whether convolutions have a bias.
    pub bias: bool,
    /// How kernels start.
    pub init: Weights,
}

/// A graph convolution (Kipf and Welling, 2017): D^(−½) A D^(−½) X W + b, with A as a list of edges and D the diagonal of
/// weights that arrive at a node.
#[derive(Clone, Debug)]
pub struct Gcn {
    /// `guide_net.h.gcn`.
    pub path: String,
    /// Has `node` and perhaps an axis of features.
    pub arg: ExprId,
    /// The axis of nodes.
    pub node: AxisNo,
    /// Features of a node; none: each is one number.
    pub features: Option<AxisNo>,
    /// Output axis.
    pub out: AxisNo,
    /// The axis of edges.
    pub edge: AxisNo,
    /// The node where each edge starts.
    pub from: ExprId,
    /// The node where it ends.
    pub to: ExprId,
    /// Its weight; none: 1.
    pub weight: Option<ExprId>,
    /// Whether there is a bias; it starts at 0.
    pub bias: bool,
    /// How the weights start.
    pub init: Weights,
}

/// Layers with parameters, state or noise. Paths are prefixes of parameter names.
#[expect(clippy::enum_variant_names, reason = "`LayerNorm` is what the field calls it")]
#[derive(Clone, Debug)]
pub enum Layer {
    /// A linear map.
    Linear(Linear),
    /// Batch normalisation over everything but `axis`.
    BatchNorm {
        /// `encoder.h.mlp.0.norm`.
        path: String,
        /// Normalised value.
        arg: ExprId,
        /// The feature axis.
        axis: AxisNo,
        /// Added to the variance.
        eps: f64,
        /// Share of the new value in a running one.
        momentum: f64,
    },
    /// Normalisation along `axis`.
    LayerNorm {
        /// Prefix of a learned scale and shift; none: without.
        path: Option<String>,
        /// Normalised value.
        arg: ExprId,
        /// The feature axis.
        axis: AxisNo,
        /// Added to the variance.
        eps: f64,
    },
    /// Inverted dropout, in training only.
    Dropout {
        /// Names the noise.
        path: String,
        /// Thinned value.
        arg: ExprId,
        /// Probability of zero.
        rate: f64,
    },
    /// An elementwise function that no single operation of the runtime is.
    Activation(Activation, ExprId),
    /// A learned row for each label.
    Embed {
        /// `table.embed`.
        path: String,
        /// The category.
        index: ExprId,
        /// Axis of a row.
        out: AxisNo,
        /// How rows start.
        init: Init,
    },
    /// The elements of an axis in equal blocks, each mapped to the whole axis: by a linear map without bias of its own,
    /// or, without a path, left where they are among zeros.
    Split {
        /// `decoder.h.split_mlp.split`.
        path: Option<String>,
        /// Has `axis`.
        arg: ExprId,
        /// The axis that is cut.
        axis: AxisNo,
        /// The axis of blocks; its size divides that of `axis`.
        split: AxisNo,
    },
    /// Attention.
    Attention(Box<Attention>),
    /// Convolutions.
    Conv(Box<ConvTower>),
    /// Graph convolution.
    Gcn(Box<Gcn>),
}

impl Layer {
    /// The expressions that it reads.
    pub fn operands(&self) -> Vec<ExprId> {
        match self {
            Layer::Linear(l) => l.inputs.iter().chain(&l.conditions).copied().collect(),
            Layer::BatchNorm { arg, .. }
            | Layer::LayerNorm { arg, .. }
            | Layer::Dropout { arg, .. }
            | Layer::Activation(_, arg)
            | Layer::Split { arg, .. } => vec![*arg],
            Layer::Embed { index, .. } => vec![*index],
            Layer::Attention(a) => vec![a.query, a.context],
            Layer::Conv(c) => vec![c.arg],
            Layer::Gcn(g) => [g.arg, g.from, g.to].into_iter().chain(g.weight).collect(),
        }
    }

    /// Prefix of its trained parameters, if it has any.
    pub fn path(&self) -> Option<&str> {
        match self {
            Layer::Linear(l) => Some(&l.path),
            Layer::BatchNorm { path, .. } | Layer::Embed { path, .. } => Some(path),
            Layer::LayerNorm { path, .. } | Layer::Split { path, .. } => path.as_deref(),
            Layer::Attention(a) => Some(&a.path),
            Layer::Conv(c) => Some(&c.path),
            Layer::Gcn(g) => Some(&g.path),
            Layer::Dropout { .. } | Layer::Activation(..) => None,
        }
    }
}
