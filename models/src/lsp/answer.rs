//! Answers about one document.

use super::Document;
use super::place::{byte, location, position, range};
use dsl::analysis::CompletionKind;
use dsl::diagnostic::{Diagnostic, Severity};
use dsl::format::format;
use dsl::source::{FileId, Span};
use serde_json::{Value, json};

/// Why a request is refused, for the editor to show.
type Answer = Result<Value, String>;

/// What answers a method, if the server has it.
pub(super) fn of_method(method: &str) -> Option<fn(&str, &Document, &Value) -> Answer> {
    Some(match method {
        "textDocument/hover" => hover,
        "textDocument/definition" => definition,
        "textDocument/references" => references,
        "textDocument/prepareRename" => prepare_rename,
        "textDocument/rename" => rename,
        "textDocument/completion" => completion,
        "textDocument/inlayHint" => hints,
        "textDocument/formatting" => formatting,
        "textDocument/codeAction" => actions,
        _ => return None,
    })
}

/// The compiler's messages; those about another text stand at the top of this one.
pub(super) fn diagnostics(uri: &str, d: &Document) -> Vec<Value> {
    d.analysis.diagnostics().iter().map(|message| diagnostic(uri, d, message)).collect()
}

fn diagnostic(uri: &str, d: &Document, message: &Diagnostic) -> Value {
    let root = d.analysis.root();
    let sources = d.analysis.sources();
    let here = message.span().filter(|s| s.file == root).unwrap_or(Span::new(root, 0, 0));
    let severity = match message.severity {
        Severity::Error => 1,
        Severity::Warning => 2,
        Severity::Note => 3,
    };
    let mut text = message.headline.clone();
    let label = message.primary.as_ref().map(|l| l.text.as_str()).filter(|t| !t.is_empty());
    label.into_iter().for_each(|l| text.push_str(&format!(": {l}")));
    message.notes.iter().for_each(|n| text.push_str(&format!("\n{}: {}", n.lead, n.text)));
    let elsewhere = message.primary.iter().filter(|l| l.span.file != root);
    let related = elsewhere.chain(&message.secondary).map(|l| {
        let remark = if l.text.is_empty() { "here" } else { &l.text };
        json!({ "location": location(sources, uri, l.span), "message": remark })
    });
    json!({
        "range": range(&d.text, here),
        "severity": severity,
        "code": message.code.as_str(),
        "source": "svic",
        "message": text,
        "relatedInformation": related.collect::<Vec<_>>()
    })
}

fn at(d: &Document, params: &Value) -> usize {
    byte(&d.text, &params["position"])
}

fn hover(_: &str, d: &Document, params: &Value) -> Answer {
    let found = d.analysis.hover(at(d, params));
    Ok(found.map_or(
        Value::Null,
        |h| json!({ "contents": { "kind": "markdown", "value": h.text }, "range": range(&d.text, h.span) }),
    ))
}

fn definition(uri: &str, d: &Document, params: &Value) -> Answer {
    let found = d.analysis.definition(at(d, params));
    Ok(found.map_or(Value::Null, |span| location(d.analysis.sources(), uri, span)))
}

fn references(uri: &str, d: &Document, params: &Value) -> Answer {
    let spans = d.analysis.references(at(d, params));
    Ok(spans.into_iter().map(|s| location(d.analysis.sources(), uri, s)).collect())
}

fn prepare_rename(_: &str, d: &Document, params: &Value) -> Answer {
    let byte = at(d, params);
    // Any free name shows whether the name here can be changed at all.
    d.analysis.rename(byte, "a_name_that_nothing_has")?;
    let spans = d.analysis.references(byte);
    let here = spans.into_iter().find(|s| s.start as usize <= byte && byte <= s.end as usize);
    Ok(here.map_or(Value::Null, |s| range(&d.text, s)))
}

fn rename(uri: &str, d: &Document, params: &Value) -> Answer {
    let new = params["newName"].as_str().unwrap_or("");
    let spans = d.analysis.rename(at(d, params), new)?;
    let edits: Vec<Value> = spans.into_iter().map(|s| edit(&d.text, s, new)).collect();
    Ok(json!({ "changes": { uri: edits } }))
}

fn edit(text: &str, span: Span, new: &str) -> Value {
    json!({ "range": range(text, span), "newText": new })
}

fn completion(_: &str, d: &Document, params: &Value) -> Answer {
    let found = d.analysis.completions(at(d, params));
    let items = found.into_iter().enumerate().map(|(n, c)| {
        let kind = match c.kind {
            CompletionKind::Argument => 5,
            CompletionKind::Name => 6,
            CompletionKind::Axis => 13,
            CompletionKind::Family => 7,
            CompletionKind::Strategy | CompletionKind::Word => 14,
        };
        json!({
            "label": c.label,
            "kind": kind,
            "detail": c.detail,
            "insertText": c.insert.unwrap_or_else(|| c.label.clone()),
            "sortText": format!("{n:05}")
        })
    });
    Ok(items.collect())
}

fn hints(_: &str, d: &Document, params: &Value) -> Answer {
    let bounds = [&params["range"]["start"], &params["range"]["end"]].map(|p| byte(&d.text, p));
    let shown = d.analysis.hints().into_iter().filter(|h| (bounds[0]..=bounds[1]).contains(&h.byte));
    Ok(shown
        .map(|h| json!({ "position": position(&d.text, h.byte), "label": h.text, "kind": 1, "paddingLeft": false }))
        .collect())
}

/// One edit of the whole text; none for a text that is no program, or that is formatted.
fn formatting(_: &str, d: &Document, _: &Value) -> Answer {
    match format(FileId::default(), &d.text) {
        Ok(tidy) if tidy != d.text => {
            Ok(json!([edit(&d.text, Span::new(FileId::default(), 0, d.text.len()), &tidy)]))
        }
        _ => Ok(json!([])),
    }
}

/// The suggested edits of messages that touch the range.
fn actions(uri: &str, d: &Document, params: &Value) -> Answer {
    let bounds = [&params["range"]["start"], &params["range"]["end"]].map(|p| byte(&d.text, p));
    let root = d.analysis.root();
    let mut found = vec![];
    for message in d.analysis.diagnostics() {
        let (Some(span), Some(s)) = (message.span(), &message.suggestion) else { continue };
        let touches = span.start as usize <= bounds[1] && bounds[0] <= span.end as usize;
        if span.file != root || s.span.file != root || !touches {
            continue;
        }
        let title = match s.replacement.trim() {
            "" => format!("Remove `{}`", d.text[s.span.range()].trim()),
            new if s.span.range().is_empty() => format!("Insert `{new}`"),
            new => format!("Write `{new}`"),
        };
        found.push(json!({
            "title": title,
            "kind": "quickfix",
            "diagnostics": [diagnostic(uri, d, message)],
            "edit": { "changes": { uri: [edit(&d.text, s.span, &s.replacement)] } }
        }));
    }
    Ok(found.into())
}
