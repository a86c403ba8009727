//! Holds no code: the benchmarks live beside this folder.
