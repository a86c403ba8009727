//! The language server: an editor's requests over a byte stream, one after another.
//!
//! Texts are kept whole and analysed anew on every change, which takes milliseconds; nothing is remembered between
//! analyses, so nothing can be stale. What is said about a text comes from `dsl::analysis`.

mod answer;
mod place;
mod wire;

use crate::library::FileLibrary;
use dsl::Library;
use dsl::analysis::{Analysis, analyse};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, Result, Write};

/// Codes of the protocol for refused requests.
const NOT_JSON: i64 = -32700;
const NOT_INITIALIZED: i64 = -32002;
const INVALID: i64 = -32600;
const UNKNOWN_METHOD: i64 = -32601;
const REFUSED: i64 = -32803;

/// Serves one editor until it says `exit` or closes the stream. True if it said `shutdown` before.
///
/// # Errors
/// When the stream breaks.
pub fn serve(input: &mut impl BufRead, output: &mut impl Write) -> Result<bool> {
    let mut server = Server::default();
    while let Some(message) = wire::read(input)? {
        let message = match message {
            Ok(message) => message,
            Err(why) => {
                wire::write(output, &refusal(&Value::Null, NOT_JSON, &why))?;
                continue;
            }
        };
        if message["method"] == "exit" {
            break;
        }
        for reply in server.handle(&message) {
            wire::write(output, &reply)?;
        }
    }
    Ok(server.shut_down)
}

/// A text that is open in the editor.
struct Document {
    text: String,
    version: Value,
    analysis: Analysis,
}

#[derive(Default)]
struct Server {
    initialized: bool,
    shut_down: bool,
    documents: BTreeMap<String, Document>,
}

/// Files as the editor has them, saved or not.
struct OpenFiles<'a> {
    files: FileLibrary,
    texts: &'a BTreeMap<String, String>,
}

impl Library for OpenFiles<'_> {
    fn find(&self, path: &str) -> Option<(String, String)> {
        let (name, text) = self.files.find(path)?;
        let open = self.texts.get(&place::uri_of_source(&name)).cloned();
        Some((name, open.unwrap_or(text)))
    }
}

fn refusal(id: &Value, code: i64, why: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": why } })
}

impl Server {
    /// What is to be sent for a message: an answer to a request, and diagnostics.
    fn handle(&mut self, message: &Value) -> Vec<Value> {
        let method = message["method"].as_str().unwrap_or("");
        let (id, params) = (&message["id"], &message["params"]);
        if id.is_null() {
            return self.notification(method, params);
        }
        let answer = match method {
            _ if self.shut_down => Err((INVALID, "the server is shut down".to_owned())),
            "initialize" => {
                self.initialized = true;
                Ok(capabilities())
            }
            _ if !self.initialized => Err((NOT_INITIALIZED, "`initialize` comes first".to_owned())),
            "shutdown" => {
                self.shut_down = true;
                Ok(Value::Null)
            }
            _ => self.request(method, params),
        };
        vec![match answer {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err((code, why)) => refusal(id, code, &why),
        }]
    }

    fn notification(&mut self, method: &str, params: &Value) -> Vec<Value> {
        let document = &params["textDocument"];
        let Some(uri) = document["uri"].as_str().filter(|_| self.initialized) else { return vec![] };
        match method {
            "textDocument/didOpen" => self.changed(uri, &document["text"], &document["version"]),
            "textDocument/didChange" => {
                // Changes are whole texts: the last one counts.
                let last = params["contentChanges"].as_array().and_then(|c| c.last());
                last.map_or_else(Vec::new, |last| self.changed(uri, &last["text"], &document["version"]))
            }
            "textDocument/didClose" => {
                self.documents.remove(uri);
                vec![published(uri, &Value::Null, vec![])]
            }
            _ => vec![],
        }
    }

    /// Takes in a text, and says anew what is wrong with every open one: others may extend it.
    fn changed(&mut self, uri: &str, text: &Value, version: &Value) -> Vec<Value> {
        let Some(text) = text.as_str() else { return vec![] };
        let mut texts: BTreeMap<String, String> =
            self.documents.iter().map(|(uri, d)| (uri.clone(), d.text.clone())).collect();
        texts.insert(uri.to_owned(), text.to_owned());
        let versions: BTreeMap<String, Value> =
            self.documents.iter().map(|(uri, d)| (uri.clone(), d.version.clone())).collect();
        for (uri_of, text) in &texts {
            let path = place::path_of(uri_of);
            let beside = path.as_deref().and_then(|p| p.parent()).map(|p| p.to_path_buf());
            let name = path.map_or_else(|| uri_of.clone(), |p| p.display().to_string());
            let library = OpenFiles { files: FileLibrary { beside }, texts: &texts };
            let analysis = analyse(&name, text, &library);
            let version = if uri_of == uri { version } else { versions.get(uri_of).unwrap_or(&Value::Null) };
            let document = Document { text: text.clone(), version: version.clone(), analysis };
            self.documents.insert(uri_of.clone(), document);
        }
        let say = |(uri, d): (&String, &Document)| published(uri, &d.version, answer::diagnostics(uri, d));
        self.documents.iter().map(say).collect()
    }

    fn request(&self, method: &str, params: &Value) -> std::result::Result<Value, (i64, String)> {
        let uri = params["textDocument"]["uri"].as_str().unwrap_or("");
        if method == "svic/text" {
            let name = params["uri"].as_str().and_then(|u| u.strip_prefix("svic:/")).unwrap_or("");
            return Ok(crate::library::embedded(name).map_or(Value::Null, |f| Value::String(f.text)));
        }
        let Some(ask) = answer::of_method(method) else {
            return Err((UNKNOWN_METHOD, format!("there is no method `{method}`")));
        };
        match self.documents.get(uri) {
            Some(document) => ask(uri, document, params).map_err(|why| (REFUSED, why)),
            None => Err((REFUSED, format!("`{uri}` is not open"))),
        }
    }
}

fn published(uri: &str, version: &Value, diagnostics: Vec<Value>) -> Value {
    let params = json!({ "uri": uri, "version": version, "diagnostics": diagnostics });
    json!({ "jsonrpc": "2.0", "method": "textDocument/publishDiagnostics", "params": params })
}

fn capabilities() -> Value {
    json!({
        "serverInfo": { "name": "svic", "version": env!("CARGO_PKG_VERSION") },
        "capabilities": {
            "positionEncoding": "utf-16",
            "textDocumentSync": { "openClose": true, "change": 1 },
            "hoverProvider": true,
            "definitionProvider": true,
            "referencesProvider": true,
            "renameProvider": { "prepareProvider": true },
            "completionProvider": { "triggerCharacters": ["[", "(", "~", ","] },
            "inlayHintProvider": true,
            "documentFormattingProvider": true,
            "codeActionProvider": { "codeActionKinds": ["quickfix"] }
        }
    })
}
