//! Expression words, `logp(z)` and its kin, and interventions.

use super::{FieldNo, SiteNo};

/// What the expression words say of a site.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SiteWord {
    /// log density under the model, summed over the site's own axes.
    LogP,
    /// log density under the guide, likewise.
    LogQ,
    /// Divergence of the guide from the model, likewise.
    Kl,
    /// Probabilities of a finite site, under the guide or as a posterior.
    Prob,
    /// A draw from the model.
    Sample,
}

impl SiteWord {
    /// As written.
    pub fn word(self) -> &'static str {
        match self {
            SiteWord::LogP => "logp",
            SiteWord::LogQ => "logq",
            SiteWord::Kl => "kl",
            SiteWord::Prob => "prob",
            SiteWord::Sample => "sample",
        }
    }
}

/// What an intervention holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Held {
    /// A latent.
    Site(SiteNo),
    /// A field.
    Field(FieldNo),
}
