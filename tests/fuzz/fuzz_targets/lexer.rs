//! Any text through the lexer.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| svic_fuzz::lexer(text));
