//! Any text through the parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| svic_fuzz::parser(text));
