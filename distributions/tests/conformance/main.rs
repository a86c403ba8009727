//! Conformance of every family in every parameter set: it normalises, its gradients are right, its draws have its
//! moments, its divergences agree with sampling, and it agrees with independent references. One row per parameter set
//! in `rows.rs`; a family without one fails `rows::every_parameter_set_has_a_row`.

mod bench;
mod divergences;
mod draws;
mod edges;
mod fixtures;
mod golden;
mod gradients;
mod laws;
mod low_rank;
mod masses;
mod pathwise;
mod reference;
mod rows;
mod single;
mod transforms;
