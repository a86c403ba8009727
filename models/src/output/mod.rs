//! What a trained model can be asked for, and how it is written back.

mod array;
mod evaluate;
mod write;

pub use array::NamedArray;
pub use evaluate::{Applied, Evaluation, Given};
pub use write::{
    OutputPlan, Place, additions, default_outputs, files, plan_outputs, refuse_input, summary, write_back,
};
