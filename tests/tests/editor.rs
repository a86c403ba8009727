//! A session of the language server over pipes, and the editor's grammar against the lexer.

use crate::command::svic_piped;
use dsl::syntax::token::Keyword;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout};

struct Session {
    child: Child,
    output: BufReader<ChildStdout>,
    id: u64,
    /// Diagnostics as last published, by URI.
    diagnostics: std::collections::BTreeMap<String, Value>,
}

impl Session {
    fn begin(folder: &Path) -> Session {
        let mut child = svic_piped(folder, &["lsp"]);
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Session { child, output, id: 0, diagnostics: Default::default() }
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        let input = self.child.stdin.as_mut().expect("a pipe");
        write!(input, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("the server listens");
        input.flush().expect("the server listens");
    }

    fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// The answer to a request; what else comes is kept.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let id = self.id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.receive();
            if message["id"] == json!(id) {
                return message;
            }
            if message["method"] == "textDocument/publishDiagnostics" {
                let params = &message["params"];
                let uri = params["uri"].as_str().expect("a URI").to_owned();
                self.diagnostics.insert(uri, params["diagnostics"].clone());
            }
        }
    }

    fn receive(&mut self) -> Value {
        // The test harness of the child says a line of its own first.
        let mut length = None;
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).expect("the server answers"), 0, "the server ended");
            match (line.trim().strip_prefix("Content-Length: "), length) {
                (Some(n), _) => length = Some(n.parse::<usize>().expect("a number")),
                (None, Some(n)) if line.trim().is_empty() => {
                    let mut body = vec![0; n];
                    self.output.read_exact(&mut body).expect("a whole message");
                    return serde_json::from_slice(&body).expect("JSON");
                }
                _ => {}
            }
        }
    }

    fn end(mut self) -> i32 {
        assert_eq!(self.ask("shutdown", Value::Null)["result"], Value::Null);
        self.notify("exit", Value::Null);
        self.child.wait().expect("it ends").code().expect("a code")
    }
}

fn position(text: &str, what: &str) -> Value {
    let at = text.find(what).unwrap_or_else(|| panic!("{what}"));
    let line = text[..at].matches('\n').count();
    json!({ "line": line, "character": at - text[..at].rfind('\n').map_or(0, |i| i + 1) })
}

const BASE: &str = "\
dim cell, gene
data { x : count[cell, gene] from X }
param theta[gene] : positive
model {
  plate cell {
    mu = 2 * theta
    observe x ~ Poisson(rate = mu)
  }
}
";
const MINE: &str = "extends base\nmodel { plate cell { override mu = thta * 3 } }\n";

#[test]
fn a_session() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("base.svi"), BASE).expect("a writable folder");
    let uri = |name: &str| format!("file://{}/{name}.svi", folder.path().display());
    let (mine, base) = (uri("mine"), uri("base"));
    let mut s = Session::begin(folder.path());
    assert_eq!(s.ask("textDocument/hover", json!({}))["error"]["code"], -32002);
    let server = s.ask("initialize", json!({ "capabilities": {} }));
    assert_eq!(server["result"]["capabilities"]["hoverProvider"], true);
    s.notify("initialized", json!({}));
    let open = |text: &str| json!({ "textDocument": { "uri": mine, "languageId": "svi", "version": 1, "text": text } });
    s.notify("textDocument/didOpen", open(MINE));
    let at =
        |text: &str, what: &str| json!({ "textDocument": { "uri": mine }, "position": position(text, what) });

    // A misspelt name is found, with its fix.
    let start = position(MINE, "thta");
    let range = json!({ "start": start, "end": start });
    let params = json!({ "textDocument": { "uri": mine }, "range": range, "context": { "diagnostics": [] } });
    let actions = s.ask("textDocument/codeAction", params)["result"].clone();
    let found = s.diagnostics[&mine].clone();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["code"]), (1, &json!("E0201")), "{found}");
    assert_eq!(found[0]["range"]["start"], start);
    assert_eq!(actions[0]["edit"]["changes"][&mine][0]["newText"], "theta", "{actions}");

    // The fix is typed: no more messages, and the name is known.
    let fixed = MINE.replace("thta", "theta");
    let change =
        json!({ "textDocument": { "uri": mine, "version": 2 }, "contentChanges": [{ "text": fixed }] });
    s.notify("textDocument/didChange", change);
    let hover = s.ask("textDocument/hover", at(&fixed, "theta"))["result"].clone();
    assert!(hover["contents"]["value"].as_str().unwrap().contains("`positive[gene]`"), "{hover}");
    assert_eq!(s.diagnostics[&mine], json!([]));

    // Definitions lead through `extends`.
    let definition = s.ask("textDocument/definition", at(&fixed, "theta"))["result"].clone();
    assert_eq!(definition["uri"], base.as_str());
    assert_eq!(definition["range"]["start"], position(BASE, "theta"));
    let refused = s.ask(
        "textDocument/rename",
        json!({
            "textDocument": { "uri": mine }, "position": position(&fixed, "theta"), "newName": "r"
        }),
    );
    assert!(refused["error"]["message"].as_str().unwrap().contains("base.svi"), "{refused}");

    // The base is opened and changed, unsaved: the text that extends it is checked again.
    let changed = BASE.replace("theta", "shape");
    s.notify(
        "textDocument/didOpen",
        json!({
            "textDocument": { "uri": base, "languageId": "svi", "version": 1, "text": changed }
        }),
    );
    let rename =
        json!({ "textDocument": { "uri": base }, "position": position(&changed, "shape"), "newName": "r" });
    let edits = s.ask("textDocument/rename", rename)["result"]["changes"][&base].clone();
    assert_eq!(edits.as_array().unwrap().len(), 2, "{edits}");
    assert_eq!(s.diagnostics[&mine][0]["code"], "E0201");
    assert_eq!(s.diagnostics[&base], json!([]));
    the_rest(&mut s, &base, &changed);

    // Unknown requests are refused, broken ones survived.
    assert_eq!(s.ask("textDocument/implementation", json!({}))["error"]["code"], -32601);
    let input = s.child.stdin.as_mut().unwrap();
    input.write_all(b"Content-Length: 5\r\n\r\n{oops").unwrap();
    assert_eq!(s.receive()["error"]["code"], -32700);
    s.notify("textDocument/didClose", json!({ "textDocument": { "uri": base } }));
    assert_eq!(s.end(), 0);
}

/// Completion, hints, formatting, and a text of the library in the binary.
fn the_rest(s: &mut Session, base: &str, text: &str) {
    let document = json!({ "uri": base });
    let params = json!({ "textDocument": document, "position": position(text, "cell {") });
    let axes = s.ask("textDocument/completion", params)["result"].clone();
    assert!(axes.as_array().expect("a list").iter().any(|c| c["label"] == "gene"), "{axes}");
    let whole = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 99, "character": 0 } });
    let hints =
        s.ask("textDocument/inlayHint", json!({ "textDocument": document, "range": whole }))["result"]
            .clone();
    assert_eq!(hints[0]["label"], ": positive[gene]", "{hints}");
    let loose = text.replace("mu = 2", "mu   =   2");
    s.notify(
        "textDocument/didChange",
        json!({
            "textDocument": { "uri": base, "version": 2 }, "contentChanges": [{ "text": loose }]
        }),
    );
    let edits =
        s.ask("textDocument/formatting", json!({ "textDocument": document, "options": {} }))["result"]
            .clone();
    assert_eq!(edits[0]["newText"], text);
    let scvi = s.ask("svic/text", json!({ "uri": "svic:/stdlib/scvi.svi" }))["result"].clone();
    assert!(scvi.as_str().expect("a text").starts_with("# scVI"));
}

/// The editor highlights as words exactly what the lexer reserves.
#[test]
fn the_grammar_has_the_words_of_the_lexer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/editor/vscode");
    let text = std::fs::read_to_string(folder.join("syntaxes/svi.tmLanguage.json"))
        .expect("the grammar is checked in");
    let grammar: Value = serde_json::from_str(&text).expect("JSON");
    let mut words = vec![];
    for part in ["keyword", "operator-word", "constant"] {
        let pattern = grammar["repository"][part]["match"].as_str().expect("a pattern");
        let inner = pattern.strip_prefix("\\b(").and_then(|p| p.strip_suffix(")\\b")).expect("words");
        words.extend(inner.split('|').map(str::to_owned));
    }
    let reserved: Vec<String> = Keyword::ALL.iter().map(|k| k.text().to_owned()).collect();
    assert_eq!(words.len(), reserved.len());
    assert_eq!(words.iter().collect::<BTreeSet<_>>(), reserved.iter().collect::<BTreeSet<_>>());
    let manifest = std::fs::read_to_string(folder.join("package.json")).expect("the manifest is checked in");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["contributes"]["languages"][0]["extensions"][0], ".svi");
}
