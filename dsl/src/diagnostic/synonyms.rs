//! What other packages call the things of this language: scipy, R, Stan, Pyro, scvi-tools and plain Python.

/// Names of parameters of distributions elsewhere, and those here that they may stand for.
const PARAMETERS: [(&str, &[&str]); 26] = [
    ("mu", &["mean", "loc"]),
    ("loc", &["mean", "loc"]),
    ("mean", &["loc"]),
    ("sd", &["scale"]),
    ("std", &["scale"]),
    ("sigma", &["scale"]),
    ("stddev", &["scale"]),
    ("scale", &["rate"]),
    ("variance", &["var"]),
    ("sigma2", &["var"]),
    ("lambda", &["rate"]),
    ("lam", &["rate"]),
    ("theta", &["inv_dispersion"]),
    ("size", &["inv_dispersion", "total"]),
    ("phi", &["inv_dispersion"]),
    ("r", &["inv_dispersion"]),
    ("total_count", &["total"]),
    ("n", &["total"]),
    ("p", &["probs"]),
    ("prob", &["probs"]),
    ("pi", &["zero_logits", "probs"]),
    ("zi_logits", &["zero_logits"]),
    ("alpha", &["a", "concentration"]),
    ("beta", &["b", "rate"]),
    ("concentration1", &["a"]),
    ("concentration0", &["b"]),
];

/// Names of families, functions and layers elsewhere.
const CALLED: [(&str, &str); 21] = [
    ("NegativeBinomial", "NB"),
    ("NegBinomial", "NB"),
    ("NegBin", "NB"),
    ("neg_binomial", "NB"),
    ("neg_binomial_2", "NB"),
    ("GammaPoisson", "NB"),
    ("ZeroInflatedNegativeBinomial", "ZINB"),
    ("Gaussian", "Normal"),
    ("Discrete", "Categorical"),
    ("OneHotCategorical", "Categorical"),
    ("MixtureSameFamily", "Mixture"),
    ("Linear", "linear"),
    ("Dense", "linear"),
    ("MLP", "mlp"),
    ("FCLayers", "mlp"),
    ("Embedding", "embed"),
    ("BatchNorm1d", "batchnorm"),
    ("LayerNorm", "layernorm"),
    ("expit", "sigmoid"),
    ("stop_gradient", "stop"),
    ("detach", "stop"),
];

/// Names of types elsewhere.
const TYPES: [(&str, &str); 14] = [
    ("int", "count"),
    ("integer", "count"),
    ("counts", "count"),
    ("float", "real"),
    ("double", "real"),
    ("number", "real"),
    ("vector", "real"),
    ("matrix", "real"),
    ("string", "category"),
    ("str", "category"),
    ("factor", "category"),
    ("label", "category"),
    ("boolean", "bool"),
    ("probability", "unit"),
];

/// The name among `known` that a parameter of a distribution may stand for.
pub fn parameter<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let here = PARAMETERS.iter().find(|p| p.0.eq_ignore_ascii_case(name))?.1;
    here.iter().find_map(|h| known.iter().find(|k| *k == h).copied())
}

/// What a family, function or layer of another package is called here.
pub fn called(name: &str) -> Option<&'static str> {
    CALLED.iter().find(|c| c.0 == name).map(|c| c.1)
}

/// What a type of another language is called here.
pub fn type_name(name: &str) -> Option<&'static str> {
    TYPES.iter().find(|t| t.0.eq_ignore_ascii_case(name)).map(|t| t.1)
}

/// `true` or `false`, in the spelling of another language.
pub fn truth(name: &str) -> Option<&'static str> {
    ["true", "false"].into_iter().find(|t| t.eq_ignore_ascii_case(name) && *t != name)
}
