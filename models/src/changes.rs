//! Is a saved model of the program at hand? If not, which declarations differ.

use crate::error::Error;
use crate::init::options_in_force;
use crate::library::Texts;
use crate::model::Model;
use crate::trained::Trained;
use dsl::diagnostic::{Code, Diagnostic};
use std::collections::BTreeMap;
use std::path::Path;

/// Passes when the program and its options are those of the saved model; comments and layout do not matter.
///
/// # Errors
/// E0708 listing the declarations and options that changed.
pub fn same_program(trained: &Trained, given: &Model, saved: &Path) -> Result<(), Error> {
    let mut changed = differences(&declarations(trained.model.texts()), &declarations(given.texts()));
    let options = |model: &Model| options_in_force(model.compiled()).into_iter().collect::<BTreeMap<_, _>>();
    changed.extend(
        differences(&options(&trained.model), &options(given)).into_iter().map(|n| format!("option {n}")),
    );
    if changed.is_empty() {
        return Ok(());
    }
    let text = format!("{}: it was made by another program than {}", saved.display(), given.texts().name);
    let list = changed.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ");
    Err(Error::plain(
        Diagnostic::new(Code::E0708, text)
            .note(format!("changed: {list}"))
            .help("leave the model out to continue with the one that was saved, or begin a new run"),
    ))
}

fn differences(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

/// Top-level declarations by their first words, without comments and layout.
fn declarations(texts: &Texts) -> BTreeMap<String, String> {
    let all = std::iter::once(&texts.text).chain(texts.extended.values().map(|(_, text)| text));
    let mut out = BTreeMap::new();
    for text in all {
        for item in items(text) {
            let words: Vec<&str> = item.split_whitespace().collect();
            let head = words.iter().take_while(|w| **w != "{" && **w != ":" && **w != "=").take(2);
            let head = head.copied().collect::<Vec<_>>().join(" ");
            let body = words.join(" ");
            out.entry(head).and_modify(|old: &mut String| *old = format!("{old} {body}")).or_insert(body);
        }
    }
    out
}

/// The text's items: a line that starts at the margin outside braces begins a new one.
fn items(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut depth = 0i64;
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or("").trim_end();
        if code.trim().is_empty() {
            continue;
        }
        let starts = depth == 0 && !code.starts_with([' ', '\t', '}']);
        match out.last_mut() {
            Some(item) if !starts => {
                item.push(' ');
                item.push_str(code);
            }
            _ => out.push(code.to_owned()),
        }
        depth += code.matches('{').count() as i64 - code.matches('}').count() as i64;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_counts() {
        let texts = |text: &str| Texts { text: text.into(), ..Texts::default() };
        let a = texts(
            "# one\ndim cell, gene\nnet f(x[gene]) {\n  return linear[latent](x)\n}\noption layers = 1\n",
        );
        let b = texts(
            "dim cell,  gene   # sizes\n\nnet f(x[gene]) {\n    return linear[latent](x) }\noption layers = 2\n",
        );
        assert_eq!(differences(&declarations(&a), &declarations(&b)), ["dim cell,", "option layers"][1..]);
    }
}
