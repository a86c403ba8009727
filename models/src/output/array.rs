//! Arrays with named axes.

use ndarray::{ArrayD, IxDyn};

/// An array, row-major, with the name of each axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedArray {
    /// Name of the output.
    pub name: String,
    /// Axis names, slowest first.
    pub axes: Vec<String>,
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The elements.
    pub values: Vec<f32>,
    /// If the elements are numbers of labels, those labels.
    pub labels: Option<Vec<String>>,
}

impl NamedArray {
    /// As an `ndarray`.
    pub fn to_ndarray(&self) -> ArrayD<f32> {
        let shape = IxDyn(&self.shape);
        ArrayD::from_shape_vec(shape, self.values.clone())
            .unwrap_or_else(|_| ArrayD::zeros(IxDyn(&self.shape)))
    }

    /// Number of elements of one row of the first axis.
    pub fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_keep_their_order() {
        let a = NamedArray {
            name: "z".into(),
            axes: vec!["cell".into(), "latent".into()],
            shape: vec![2, 3],
            values: (0..6).map(|v| v as f32).collect(),
            labels: None,
        };
        assert_eq!(a.to_ndarray()[[1, 0]], 3.0);
        assert_eq!(a.row_len(), 3);
    }
}
