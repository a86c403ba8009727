//! One file per family, and [`LowRank`], which correlates the elements of four of them.

mod bernoulli;
mod beta;
mod beta_binomial;
mod binomial;
mod categorical;
mod delta;
mod dirichlet;
mod exponential;
mod gamma;
mod log_normal;
mod logistic_normal;
mod logit_normal;
mod low_rank;
mod multinomial;
mod negative_binomial;
mod normal;
mod poisson;
mod zero_inflated;

pub use bernoulli::Bernoulli;
pub use beta::Beta;
pub use beta_binomial::BetaBinomial;
pub use binomial::Binomial;
pub use categorical::Categorical;
pub use delta::Delta;
pub use dirichlet::Dirichlet;
pub use exponential::Exponential;
pub use gamma::Gamma;
pub use log_normal::LogNormal;
pub use logistic_normal::LogisticNormal;
pub use logit_normal::LogitNormal;
pub use low_rank::LowRank;
pub use multinomial::Multinomial;
pub use negative_binomial::Nb;
pub use normal::Normal;
pub use poisson::Poisson;
pub use zero_inflated::Zinb;
