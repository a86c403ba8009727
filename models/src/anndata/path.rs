//! Addresses of fields inside a data file, as the language and `--bind` write them.

use std::fmt;
use std::str::FromStr;

/// The address of one field: `X`, `layers.counts`, `raw.X`, `obs.batch`, `obs["cell type"]`, `uns.model.seed`,
/// `mod.rna.X`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldPath {
    /// `X`, cells by genes.
    X,
    /// `raw.X`, cells by the genes of `raw.var`.
    RawX,
    /// `layers.<name>`, cells by genes.
    Layer(String),
    /// `obs.<column>`, one value per cell.
    Obs(String),
    /// `var.<column>`, one value per gene.
    Var(String),
    /// `raw.var.<column>`, one value per gene of `raw`.
    RawVar(String),
    /// `obs_names`, the labels of the cells.
    ObsNames,
    /// `var_names`, the labels of the genes.
    VarNames,
    /// `obsm.<name>`, one row per cell.
    Obsm(String),
    /// `varm.<name>`, one row per gene.
    Varm(String),
    /// `obsp.<name>`, cells by cells.
    Obsp(String),
    /// `varp.<name>`, genes by genes.
    Varp(String),
    /// `uns.<name>.<name>…`, anything.
    Uns(Vec<String>),
    /// `mod.<name>.<field>`, a field of one modality; modalities are not nested.
    Mod(String, Box<FieldPath>),
}

/// Why a text is not a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a field: {}", self.text, self.message)
    }
}

impl std::error::Error for PathError {}

/// The names that may start a path, for messages.
const ROOTS: &str = "X, layers.NAME, raw.X, obs.COLUMN, var.COLUMN, obsm.NAME, varm.NAME, obsp.NAME, \
                     varp.NAME, uns.NAME, obs_names, var_names, or one of these after mod.NAME";

impl FieldPath {
    /// The path from its parts, `["obs", "cell type"]`.
    ///
    /// # Errors
    /// A root that does not exist, a part too few or too many, or an empty part.
    pub fn from_parts(parts: &[String]) -> Result<Self, PathError> {
        let text = || parts.join(".");
        let fail = |message: String| PathError { text: text(), message };
        if parts.is_empty() || parts.iter().any(String::is_empty) {
            return Err(fail(format!("a name is empty; write {ROOTS}")));
        }
        let words: Vec<&str> = parts.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["X"] => Ok(Self::X),
            ["raw", "X"] => Ok(Self::RawX),
            ["obs_names"] => Ok(Self::ObsNames),
            ["var_names"] => Ok(Self::VarNames),
            ["raw", "var", rest @ ..] if !rest.is_empty() => Ok(Self::RawVar(rest.join("."))),
            ["uns", rest @ ..] if !rest.is_empty() => Ok(Self::Uns(parts[1..].to_vec())),
            ["layers", rest @ ..] if !rest.is_empty() => Ok(Self::Layer(rest.join("."))),
            ["obs", rest @ ..] if !rest.is_empty() => Ok(Self::Obs(rest.join("."))),
            ["var", rest @ ..] if !rest.is_empty() => Ok(Self::Var(rest.join("."))),
            ["obsm", rest @ ..] if !rest.is_empty() => Ok(Self::Obsm(rest.join("."))),
            ["varm", rest @ ..] if !rest.is_empty() => Ok(Self::Varm(rest.join("."))),
            ["obsp", rest @ ..] if !rest.is_empty() => Ok(Self::Obsp(rest.join("."))),
            ["varp", rest @ ..] if !rest.is_empty() => Ok(Self::Varp(rest.join("."))),
            ["mod", _, "mod", ..] => Err(fail("a modality has no modalities".to_owned())),
            ["mod", name, _, ..] => Self::from_parts(&parts[2..]).map(|inner| inner.in_modality(name)),
            ["mod", ..] => Err(fail("a modality and its field are wanted, as in `mod.rna.X`".to_owned())),
            ["X", ..] => Err(fail("`X` has no parts".to_owned())),
            [root @ ("layers" | "obs" | "var" | "obsm" | "varm" | "obsp" | "varp" | "uns")] => {
                Err(fail(format!("a name is wanted after it, as in `{root}.NAME`")))
            }
            _ => Err(fail(format!("write {ROOTS}"))),
        }
    }

    /// The same field in modality `name`, whatever modality it was in.
    #[must_use]
    pub fn in_modality(self, name: &str) -> Self {
        match self {
            Self::Mod(_, inner) => Self::Mod(name.to_owned(), inner),
            other => Self::Mod(name.to_owned(), Box::new(other)),
        }
    }

    /// The modality it lies in; `None` for the file itself.
    pub fn modality(&self) -> Option<&str> {
        match self {
            Self::Mod(name, _) => Some(name),
            _ => None,
        }
    }

    /// The field within its modality: `X` of `mod.rna.X`, itself elsewhere.
    pub fn local(&self) -> &FieldPath {
        match self {
            Self::Mod(_, inner) => inner.local(),
            other => other,
        }
    }

    /// The part of the AnnData it lies in (`obs`, `layers`, `X`, …) and the name in it, empty for `X`; of a field of a
    /// modality, those within the modality.
    pub fn root_and_name(&self) -> (&'static str, String) {
        match self {
            Self::Mod(_, inner) => inner.root_and_name(),
            Self::X => ("X", String::new()),
            Self::RawX => ("raw.X", String::new()),
            Self::ObsNames => ("obs_names", String::new()),
            Self::VarNames => ("var_names", String::new()),
            Self::Layer(name) => ("layers", name.clone()),
            Self::Obs(name) => ("obs", name.clone()),
            Self::Var(name) => ("var", name.clone()),
            Self::RawVar(name) => ("raw.var", name.clone()),
            Self::Obsm(name) => ("obsm", name.clone()),
            Self::Varm(name) => ("varm", name.clone()),
            Self::Obsp(name) => ("obsp", name.clone()),
            Self::Varp(name) => ("varp", name.clone()),
            Self::Uns(names) => ("uns", names.join(".")),
        }
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    /// Reads `name { "." name | "[" string "]" }`. After the first dot a name may hold any character but `[` at
    /// its start, so `obs.cell type` works on a command line; only `uns` is split at later dots.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            rest = take_part(text, rest, &mut parts)?;
        }
        Self::from_parts(&parts)
    }
}

/// Moves one part of `rest` to `parts` and gives what is left.
fn take_part<'t>(text: &str, rest: &'t str, parts: &mut Vec<String>) -> Result<&'t str, PathError> {
    let fail = |message: &str| PathError { text: text.to_owned(), message: message.to_owned() };
    if let Some(inner) = rest.strip_prefix('[') {
        let quote = inner
            .chars()
            .next()
            .filter(|c| matches!(c, '"' | '\''))
            .ok_or_else(|| fail("a quoted name is wanted after `[`, as in `obs[\"cell type\"]`"))?;
        let inner = &inner[1..];
        let end = inner.find(quote).ok_or_else(|| fail("the quoted name has no end"))?;
        parts.push(inner[..end].to_owned());
        let after = inner[end + 1..].strip_prefix(']').ok_or_else(|| fail("`]` is missing"))?;
        return Ok(after.strip_prefix('.').filter(|s| !s.is_empty()).unwrap_or(after));
    }
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    parts.push(rest[..end].to_owned());
    let after = &rest[end..];
    match after.strip_prefix('.') {
        Some("") => Err(fail("a name is wanted after the last dot")),
        Some(next) => Ok(next),
        None => Ok(after),
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |f: &mut fmt::Formatter<'_>, name: &str| {
            let plain = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
            if plain && !name.is_empty() { write!(f, ".{name}") } else { write!(f, "[\"{name}\"]") }
        };
        match self {
            Self::Mod(name, inner) => {
                // A dot would end the name.
                if name.contains('.') {
                    write!(f, "mod[\"{name}\"]")?
                } else {
                    f.write_str("mod").and_then(|()| part(f, name))?
                }
                write!(f, ".{inner}")
            }
            Self::Uns(names) => {
                f.write_str("uns")?;
                names.iter().try_for_each(|name| part(f, name))
            }
            _ => {
                let (root, name) = self.root_and_name();
                f.write_str(root)?;
                if name.is_empty() { Ok(()) } else { part(f, &name) }
            }
        }
    }
}
