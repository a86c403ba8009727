//! Any text through the formatter.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| svic_fuzz::formatter(text));
