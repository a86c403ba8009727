// Starts `svic lsp` and shows programs of the library that is inside it (scheme `svic:`).
'use strict';
const vscode = require('vscode');
const { LanguageClient } = require('vscode-languageclient/node');

let client;

function activate(context) {
  const command = vscode.workspace.getConfiguration('svic').get('path');
  client = new LanguageClient(
    'svic',
    'svic',
    { command, args: ['lsp'] },
    { documentSelector: [{ language: 'svi', scheme: 'file' }, { language: 'svi', scheme: 'untitled' }] }
  );
  const library = {
    provideTextDocumentContent: (uri) => client.sendRequest('svic/text', { uri: uri.toString(true) }),
  };
  context.subscriptions.push(vscode.workspace.registerTextDocumentContentProvider('svic', library));
  return client.start();
}

function deactivate() {
  return client && client.stop();
}

module.exports = { activate, deactivate };
