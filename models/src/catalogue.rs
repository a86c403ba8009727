//! The page of a model: what its comments say, beside the fields, options and outputs that it has.
//!
//! Comments at the head of a program are read as paragraphs. The first is `Name (Paper): purpose`; the others begin with
//! one of [`KEYS`]. What stands after `#` on the line of a field, an option or an axis says what that is.

use crate::error::Error;
use crate::library::{Found, STDLIB, embedded};
use crate::model::Model;
use dsl::{AxisSource, TrainSettings};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The words with which paragraphs begin, in the order of a page.
pub const KEYS: [&str; 6] = ["Story", "Data", "Outputs", "Differences from the paper", "Modality", "Example"];

/// The comments at the head of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `scVI`.
    pub title: String,
    /// `Lopez et al., 2018`; empty where the head names no paper.
    pub paper: String,
    /// What it is for, in a sentence.
    pub purpose: String,
    /// The paragraphs by key.
    pub paragraphs: BTreeMap<&'static str, String>,
    /// The commands of the example, one a line.
    pub example: Vec<String>,
}

impl Head {
    /// Reads the comments at the head of a text.
    pub fn of(text: &str) -> Head {
        let comment = |l: &str| l.strip_prefix('#').map(|l| l.strip_prefix(' ').unwrap_or(l).to_owned());
        let lines = text.lines().filter(|l| !l.is_empty()).map_while(comment);
        let mut head = Head::default();
        let mut first = String::new();
        let mut key = None;
        for line in lines {
            let begun = KEYS.into_iter().find_map(|k| Some((k, line.strip_prefix(k)?.strip_prefix(':')?)));
            let rest = begun.map_or(line.trim(), |(_, rest)| rest.trim());
            key = begun.map(|(k, _)| k).or(key);
            match key {
                Some("Example") if rest.is_empty() => {}
                Some("Example") => head.example.push(rest.to_owned()),
                Some(k) => join(head.paragraphs.entry(k).or_default(), rest),
                None => join(&mut first, rest),
            }
        }
        let (name, purpose) = first.split_once(": ").unwrap_or(("", &first));
        let (title, paper) = name.split_once(" (").unwrap_or((name, ""));
        head.title = title.to_owned();
        head.paper = paper.trim_end_matches(')').to_owned();
        head.purpose = purpose.to_owned();
        head
    }
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

/// Name, modality and purpose of every model of the library.
pub fn summaries() -> Vec<(&'static str, Head)> {
    STDLIB.iter().map(|(file, text)| (file.trim_end_matches(".svi"), Head::of(text))).collect()
}

/// The index of the pages of the library, in Markdown.
pub fn index() -> String {
    let mut out =
        "# Models of the library\n\nMade from `stdlib/*.svi`; `svic show NAME` prints a page.\n\n".to_owned();
    out.push_str("| model | purpose | modality |\n|---|---|---|\n");
    for (name, head) in summaries() {
        let modality = head.paragraphs.get("Modality").map_or("", |m| m.trim_end_matches('.'));
        let _ = writeln!(out, "| [{name}]({name}.md) | {} | {modality} |", sentence(&head));
    }
    out
}

/// Title and purpose in a line.
pub fn sentence(head: &Head) -> String {
    match head.title.is_empty() {
        true => head.purpose.clone(),
        false => format!("{}: {}", head.title, head.purpose),
    }
}

/// The page of a model in Markdown; with a picture, where there is a file of that name beside the page.
///
/// # Errors
/// What the compiler says of the program.
pub fn page(found: &Found, picture: Option<&str>) -> Result<String, Error> {
    let model = Model::from_found(found, &[])?;
    let head = Head::of(&found.text);
    let name = found.name.rsplit('/').next().unwrap_or(&found.name).trim_end_matches(".svi");
    let texts = texts_of(found, &model);
    let mut out = format!("# {name}\n\n{}\n\n", sentence(&head));
    let mut facts = vec![];
    if !head.paper.is_empty() {
        facts.push(format!("Paper: {}.", head.paper));
    }
    if let Some(modality) = head.paragraphs.get("Modality") {
        facts.push(format!("Modality: {}.", modality.trim_end_matches('.')));
    }
    let bases: Vec<&String> = model.texts().extended.keys().collect();
    facts.extend(based_on(&found.text, &bases));
    if !facts.is_empty() {
        let _ = writeln!(out, "{}\n", facts.join(" "));
    }
    if let Some(picture) = picture.filter(|_| model.compiled().is_generative()) {
        let _ = writeln!(out, "![Graph of {name}]({picture})\n");
    }
    section(&mut out, "Story", head.paragraphs.get("Story"));
    section(&mut out, "Data", head.paragraphs.get("Data"));
    let rows = fields(&texts);
    table(&mut out, ["field", "values", "read from", "meaning"], &rows);
    if !head.example.is_empty() {
        let _ = writeln!(out, "## Example\n\n```sh\n{}\n```\n", head.example.join("\n"));
    }
    out.push_str("## Options\n\nChanged by `--set NAME=VALUE`.\n\n");
    table(&mut out, ["option", "default", "values", "meaning"], &options(&model, &texts));
    let _ = writeln!(out, "Training unless said otherwise: {}.\n", training(model.compiled().train()));
    section(&mut out, "Outputs", head.paragraphs.get("Outputs"));
    if !head.paragraphs.contains_key("Outputs") {
        out.push_str("## Outputs\n\n");
    }
    table(&mut out, ["output", "written to", "is", ""], &outputs(&model));
    section(&mut out, "Differences from the paper", head.paragraphs.get("Differences from the paper"));
    Ok(out.trim_end().to_owned() + "\n")
}

/// Options of a model of the library of which nothing is said.
///
/// # Errors
/// What the compiler says of the program.
pub fn unexplained(name: &str) -> Result<Vec<String>, Error> {
    let found = embedded(name).unwrap_or_default();
    let model = Model::from_found(&found, &[])?;
    let rows = options(&model, &texts_of(&found, &model));
    Ok(rows.into_iter().filter(|row| row[3].is_empty()).map(|row| row[0].clone()).collect())
}

/// Its own text first: what it says of an option rules over what it extends says.
fn texts_of<'a>(found: &'a Found, model: &'a Model) -> Vec<&'a str> {
    let others = model.texts().extended.values().map(|(_, text)| text.as_str());
    std::iter::once(found.text.as_str()).chain(others).collect()
}

/// The page of a model of the library, as it is kept in the documentation.
///
/// # Errors
/// What the compiler says of the program.
pub fn library_page(name: &str) -> Result<String, Error> {
    page(&embedded(name).unwrap_or_default(), Some(&format!("{name}.svg")))
}

/// The picture of a model of the library; none of a model that draws nothing.
///
/// # Errors
/// What the compiler says of the program.
pub fn library_picture(name: &str) -> Result<Option<String>, Error> {
    let model = Model::from_found(&embedded(name).unwrap_or_default(), &[])?;
    let compiled = model.compiled();
    Ok(compiled.is_generative().then(|| compiled.svg(false)))
}

fn based_on(text: &str, bases: &[&String]) -> Option<String> {
    let line = |word: &str| text.lines().find_map(|l| l.strip_prefix(word)).map(str::trim);
    let link = |name: &str| match bases.iter().any(|b| b.as_str() == name) {
        true => format!("[{name}]({name}.md)"),
        false => format!("`{name}`"),
    };
    let extends =
        line("extends ").map(|l| l.split(',').map(|n| link(n.trim())).collect::<Vec<_>>().join(", "));
    let loads = line("load ").and_then(|l| l.split_once(':')).map(|(as_, n)| (as_.trim(), link(n.trim())));
    match (extends, loads) {
        (Some(e), _) => Some(format!("Extends {e}.")),
        (None, Some((name, model))) => Some(format!("Loads a trained {model} as `{name}`.")),
        (None, None) => None,
    }
}

fn section(out: &mut String, title: &str, text: Option<&String>) {
    if let Some(text) = text {
        let mut letters = text.chars();
        let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
        let _ = writeln!(out, "## {title}\n\n{first}{}\n", letters.as_str());
    }
}

/// A table without the columns that are empty throughout.
fn table(out: &mut String, titles: [&str; 4], rows: &[[String; 4]]) {
    if rows.is_empty() {
        return;
    }
    let kept: Vec<usize> = (0..4).filter(|c| rows.iter().any(|row| !row[*c].is_empty())).collect();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    out.push_str(&line(kept.iter().map(|c| titles[*c].to_owned()).collect()));
    out.push_str(&format!("|{}\n", "---|".repeat(kept.len())));
    for row in rows {
        out.push_str(&line(kept.iter().map(|c| row[*c].replace('|', "\\|")).collect()));
    }
    out.push('\n');
}

/// A line of source without its comment, and the comment.
fn comment(line: &str) -> (&str, &str) {
    line.split_once('#').map_or((line.trim(), ""), |(code, said)| (code.trim(), said.trim()))
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// The fields that `data` blocks declare: name, type, path, what is said of it.
fn fields(texts: &[&str]) -> Vec<[String; 4]> {
    let mut rows: Vec<[String; 4]> = vec![];
    for text in texts {
        let mut inside = false;
        for line in text.lines() {
            let (source, said) = comment(line);
            inside = source == "data {" || inside && source != "}";
            let Some((name, rest)) =
                source.split_once(" : ").or_else(|| source.split_once(": ")).filter(|_| inside)
            else {
                continue;
            };
            let name = code(name.trim());
            if rows.iter().any(|row| row[0] == name) {
                continue;
            }
            let optional = rest.split_whitespace().any(|w| w == "optional");
            let rest = rest.trim_end_matches("optional").trim();
            let (kind, from) = rest.split_once(" from ").unwrap_or((rest, ""));
            let (path, missing) = from.split_once(" missing ").unwrap_or((from, ""));
            let mut notes: Vec<String> = vec![];
            if !missing.is_empty() {
                notes.push(format!("missing: {}", missing.trim()));
            }
            if optional {
                notes.push("optional".to_owned());
            }
            if !said.is_empty() {
                notes.push(said.to_owned());
            }
            rows.push([name, code(kind.trim()), code(path.trim()), notes.join("; ")]);
        }
    }
    rows
}

/// Options and the sizes of axes that can be set: name, default, choices, meaning.
fn options(model: &Model, texts: &[&str]) -> Vec<[String; 4]> {
    let compiled = model.compiled();
    let mut rows = vec![];
    for option in compiled.options() {
        let choices = option.choices.iter().map(|c| code(c)).collect::<Vec<_>>().join(", ");
        rows.push([
            code(&option.name),
            code(&option.value),
            choices,
            meaning("option ", &option.name, texts).1,
        ]);
    }
    for axis in compiled.axes() {
        let (formula, said) = meaning("dim ", &axis.name, texts);
        let size = match &axis.source {
            AxisSource::Knob(n) => n.to_string(),
            AxisSource::Formula(_) => formula,
            _ => continue,
        };
        let said = if said.is_empty() { "size of an axis".to_owned() } else { said };
        rows.push([code(&axis.name), code(&size), String::new(), said]);
    }
    rows
}

/// The value and the comment of the first line that declares a name, and has a comment if any has.
fn meaning(word: &str, name: &str, texts: &[&str]) -> (String, String) {
    let mut found: Option<(String, String)> = None;
    for line in texts.iter().flat_map(|text| text.lines()) {
        let (source, said) = comment(line);
        let source = source.trim_start_matches(|c: char| c == '{' || c.is_whitespace());
        // A declaration may stand inside `when … { }`.
        let Some(at) = source.find(word).filter(|at| *at == 0 || source[..*at].ends_with("{ ")) else {
            continue;
        };
        let list = source[at + word.len()..].trim_end_matches('}').trim();
        let declares = |part: &&str| {
            let end = part.find([':', '=']).unwrap_or(part.len());
            part[..end].trim() == name
        };
        let Some(part) = parts(list).into_iter().find(|p| declares(&p.as_str())) else { continue };
        let value = part.split_once('=').map_or("", |(_, v)| v.trim()).to_owned();
        let earlier = found.get_or_insert((value, String::new()));
        if earlier.1.is_empty() {
            earlier.1 = said.to_owned();
        }
    }
    found.unwrap_or_default()
}

/// The parts of a list between commas that stand in no brackets.
fn parts(list: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut depth = 0;
    for c in list.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        match (c, depth, out.last_mut()) {
            (',', 0, _) => out.push(String::new()),
            (c, _, Some(last)) => last.push(c),
            _ => {}
        }
    }
    out
}

/// What the program gives: name, where it goes, the expression.
fn outputs(model: &Model) -> Vec<[String; 4]> {
    let sources = model.sources();
    let mut rows = vec![];
    for output in model.compiled().outputs() {
        let text = sources.text(output.span.file);
        let text = &text[output.span.start as usize..output.span.end as usize];
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let expression = text.split_once(" = ").map_or(text.as_str(), |(_, e)| e);
        let expression = expression.rsplit_once(" to ").map_or(expression, |(e, _)| e);
        let destination = output.destination.as_deref();
        let layer = destination.is_some_and(|d| d.contains("layers."));
        let to = match (destination, layer) {
            (Some(to), true) => format!("{}, with `--output {}`", code(to), output.name),
            (Some(to), false) => code(to),
            (None, _) => format!("a table, with `--output {}`", output.name),
        };
        rows.push([code(&output.name), to, code(expression), String::new()]);
    }
    rows
}

fn training(t: &TrainSettings) -> String {
    let epochs =
        t.epochs.map_or("at most 400 epochs, fewer for many cells".to_owned(), |n| format!("{n} epochs"));
    let batch = match t.full_batch {
        true => "all rows in every step".to_owned(),
        false => format!("minibatches of {}", t.batch_size),
    };
    let mut out = vec![epochs, batch, format!("learning rate {}", t.lr)];
    out.push(match (t.weight_decay > 0.0, t.decoupled_decay) {
        (false, _) => "no weight decay".to_owned(),
        (true, true) => format!("decoupled weight decay {}", t.weight_decay),
        (true, false) => format!("weight decay {}", t.weight_decay),
    });
    if t.early_stopping {
        out.push("stops early".to_owned());
    }
    if let Some(part) = t.train_size {
        out.push(format!("{part} of the cells train"));
    }
    if let Some(field) = &t.stratify {
        out.push(format!("minibatches hold equal shares of `{field}`"));
    }
    out.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let text = "# A (B et al., 1999): what\n# for.\n# Story: one\n# two: three.\n\n# Modality: RNA.\n# Example:\n#   svic run a x.h5ad\n#   svic apply a.svim\ndim cell # no head\n";
        let head = Head::of(text);
        assert_eq!((head.title.as_str(), head.paper.as_str()), ("A", "B et al., 1999"));
        assert_eq!(head.purpose, "what for.");
        assert_eq!(head.paragraphs["Story"], "one two: three.");
        assert_eq!(head.example, ["svic run a x.h5ad", "svic apply a.svim"]);
    }

    #[test]
    fn declarations_are_found_where_they_stand() {
        let texts = [
            "option a = 1, b : x | y = x  # both\nwhen c { dim d = min(2, f(3)) }\n",
            "option a = 2  # base\ndim e = 4",
        ];
        assert_eq!(meaning("option ", "a", &texts), ("1".into(), "both".into()));
        assert_eq!(meaning("option ", "b", &texts).0, "x");
        assert_eq!(meaning("dim ", "d", &texts), ("min(2, f(3))".into(), String::new()));
        assert_eq!(meaning("dim ", "e", &texts).0, "4");
    }
}
