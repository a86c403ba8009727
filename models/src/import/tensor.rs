//! Tensors by name, from either file form.

use super::torch;
use crate::error::Error;
use dsl::diagnostic::{Code, Diagnostic};
use safetensors::tensor::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::path::Path;

/// An array in row-major order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Sizes of its axes; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its elements.
    pub values: Vec<f64>,
}

/// A saved state: its tensors, and the names of the genes if they are with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Names of the genes.
    pub var_names: Option<Vec<String>>,
}

/// Reads a `.safetensors` file, or a file that torch saved (`model.pt`), told apart by their beginnings.
///
/// # Errors
/// E0712 when the file cannot be read; E0715 when it is damaged or holds what is not supported, which is named.
pub fn read_state(path: &Path) -> Result<State, Error> {
    let bytes = std::fs::read(path).map_err(|e| {
        Error::plain(Diagnostic::new(Code::E0712, format!("{}: cannot be read: {e}", path.display())))
    })?;
    let read = if bytes.starts_with(b"PK") { torch::read(&bytes) } else { safe(&bytes) };
    read.map_err(|what| {
        Error::plain(
            Diagnostic::new(Code::E0715, format!("{}: {what}", path.display()))
                .help("save the state as safetensors, or with torch.save of a recent version"),
        )
    })
}

fn safe(bytes: &[u8]) -> Result<State, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| format!("it is neither a safetensors file ({e}) nor saved by torch"))?;
    let mut state = State::default();
    for (name, view) in file.iter() {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::F32,
            Dtype::F64 => Kind::F64,
            Dtype::I64 => Kind::I64,
            Dtype::I32 => Kind::I32,
            Dtype::U8 | Dtype::BOOL => Kind::U8,
            other => return Err(format!("tensor `{name}` has the unsupported type {other:?}")),
        };
        state
            .tensors
            .insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), values: kind.read(view.data()) });
    }
    Ok(state)
}

/// An element type on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F64,
    I64,
    I32,
    U8,
}

impl Kind {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Kind::F64 | Kind::I64 => 8,
            Kind::F32 | Kind::I32 => 4,
            Kind::U8 => 1,
        }
    }

    /// Little-endian elements as doubles.
    pub fn read(self, bytes: &[u8]) -> Vec<f64> {
        let chunks = bytes.chunks_exact(self.size());
        chunks
            .map(|b| match self {
                Kind::F32 => f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
                Kind::I32 => f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])),
                Kind::F64 => f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
                Kind::I64 => i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f64,
                Kind::U8 => f64::from(b[0]),
            })
            .collect()
    }
}
