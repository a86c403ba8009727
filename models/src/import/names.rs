//! Which name of the reference is which of ours, as a table.

/// The tables of the library, `stdlib/names/*.map`: file name and text.
static TABLES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/names.rs"));

/// How the elements of a tensor correspond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The same array.
    Same,
    /// A weight `[out, in]`, its columns shared out to several of ours: the main input, then the input of this name if it
    /// says one, continuous covariates, categories.
    Linear(Option<String>),
    /// Rows of a table shared out to several of ours, one after the other along its first axis, which has one of these
    /// names in each of ours; one without such an axis takes one row.
    Stacked(Vec<String>),
    /// Outputs of a weight `[out, in]` or of a bias, shared out to several of ours, one after the other; among the output
    /// axes of each these come first, in this order.
    Rows(Vec<String>),
    /// An array whose first axes in the reference have these names, in this order; the others follow in ours.
    Axes(Vec<String>),
    /// A statistic of the data.
    Stat,
    /// Not needed.
    Unused,
}

/// One line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    reference: String,
    ours: Vec<String>,
    shape: Shape,
}

/// What a rule says of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Our names, the first that the model has counts.
    pub ours: Vec<String>,
    /// How the elements correspond.
    pub shape: Shape,
}

/// A table of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameMap {
    rules: Vec<Rule>,
}

impl NameMap {
    /// The tables of a model of the library and of those that it extends, the model's own first: of several rules for a
    /// name the first counts. Names as in `stdlib/`, with or without folder and `.svi`.
    pub fn of<'a>(models: impl IntoIterator<Item = &'a str>) -> NameMap {
        let mut all = NameMap::default();
        let mut wanted: Vec<String> = models.into_iter().map(stem).collect();
        wanted.reverse();
        let mut seen = vec![];
        while let Some(model) = wanted.pop() {
            if seen.contains(&model) {
                continue;
            }
            if let Some((_, text)) = TABLES.iter().find(|(name, _)| stem(name) == model) {
                // The files are part of this crate and their form is tested.
                all.rules.extend(NameMap::parse(text).unwrap_or_default().rules);
                wanted.extend(also(text).map(str::to_owned));
            }
            seen.push(model);
        }
        all
    }

    /// Reads a table; see `stdlib/names/scvi.map` for its form.
    ///
    /// # Errors
    /// The line that has no meaning.
    pub fn parse(text: &str) -> Result<NameMap, String> {
        let is_rule = |l: &&str| !l.is_empty() && !l.starts_with('#') && !l.starts_with("also ");
        let lines = text.lines().map(str::trim).filter(is_rule);
        let rules = lines.map(|line| rule(line).ok_or_else(|| format!("no rule: {line}")));
        Ok(NameMap { rules: rules.collect::<Result<_, _>>()? })
    }

    /// What a name of the reference corresponds to; `None` if the table does not know it.
    pub fn target(&self, reference: &str) -> Option<Target> {
        self.rules.iter().find_map(|rule| {
            let number = matches(&rule.reference, reference)?;
            let ours = rule.ours.iter().map(|name| name.replace("{i}", &number)).collect();
            Some(Target { ours, shape: rule.shape.clone() })
        })
    }
}

/// A file's name without folder and extension.
fn stem(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned()
}

/// Tables that a table takes up: its lines `also NAME`.
fn also(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|l| l.trim().strip_prefix("also ")).map(str::trim)
}

fn rule(line: &str) -> Option<Rule> {
    let (reference, rest) = line.split_once(" -> ")?;
    let (ours, shape) = match rest.split_once(" : ") {
        Some((ours, word)) => (ours, word.trim()),
        None => (rest, ""),
    };
    let shape = match (ours.trim(), shape) {
        ("-", "") => Shape::Unused,
        (_, "") => Shape::Same,
        (_, "linear") => Shape::Linear(None),
        (_, word) if word.starts_with("linear ") => Shape::Linear(Some(word["linear ".len()..].to_owned())),
        (_, word) if word.starts_with("stacked ") => Shape::Stacked(list(&word["stacked ".len()..])),
        (_, word) if word.starts_with("rows ") => Shape::Rows(list(&word["rows ".len()..])),
        (_, "stat") => Shape::Stat,
        (_, word) => {
            let names = word.strip_prefix("axis ").or_else(|| word.strip_prefix("axes "))?;
            Shape::Axes(list(names))
        }
    };
    let ours = ours.split(" | ").map(|name| name.trim().to_owned()).collect();
    Some(Rule { reference: reference.trim().to_owned(), ours, shape })
}

/// Names between commas.
fn list(names: &str) -> Vec<String> {
    names.split(',').map(|n| n.trim().to_owned()).collect()
}

/// The number that `{i}` stands for (empty if the pattern has none), if the name fits.
fn matches(pattern: &str, name: &str) -> Option<String> {
    let Some((before, after)) = pattern.split_once("{i}") else {
        return (pattern == name).then(String::new);
    };
    let number = name.strip_prefix(before)?.strip_suffix(after)?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_library_is_read_and_belongs_to_a_model() {
        assert!(!TABLES.is_empty());
        for (name, text) in TABLES {
            let rules = NameMap::parse(text).unwrap_or_else(|e| panic!("{name}: {e}")).rules;
            assert!(!rules.is_empty(), "{name}");
            let model = name.replace(".map", ".svi");
            assert!(crate::library::STDLIB.iter().any(|(n, _)| *n == model), "{name}: there is no {model}");
            for other in also(text) {
                assert!(TABLES.iter().any(|(n, _)| stem(n) == other), "{name}: there is no table {other}");
            }
        }
    }

    #[test]
    fn tables_follow_what_a_model_extends() {
        let map = NameMap::of(["scvi_latent_library.svi", "stdlib/scvi.svi"]);
        let target = map.target("z_encoder.encoder.fc_layers.Layer 1.0.weight").unwrap();
        assert_eq!(target.ours, ["encoder.h.mlp.1.linear.weight"]);
        assert_eq!(target.shape, Shape::Linear(None));
        assert_eq!(map.target("px_r").unwrap().shape, Shape::Axes(vec!["gene".into()]));
        assert_eq!(map.target("z_encoder.encoder.fc_layers.Layer x.0.weight"), None);
        assert!(NameMap::parse("a b c").is_err());
    }
}
