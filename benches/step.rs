//! Compile time: from the text of scVI to a checked, derived model.

use criterion::{Criterion, criterion_group, criterion_main};

fn compile(c: &mut Criterion) {
    c.bench_function("compile scvi.svi", |b| {
        b.iter(|| svi::compile_file(concat!(env!("CARGO_MANIFEST_DIR"), "/../stdlib/scvi.svi")));
    });
}

criterion_group!(benches, compile);
criterion_main!(benches);
