//! Any text through the checker.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| svic_fuzz::checker(text));
