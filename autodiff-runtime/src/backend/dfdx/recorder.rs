//! Flat dfdx tensors and the one tape that is threaded through them.

use super::layout;
use crate::element::Element;
use crate::graph::{AxisId, Graph};
use crate::store::RunError;
use dfdx::dtypes::Dtype;
use dfdx::shapes::Axis;
use dfdx::tensor::{Cpu, Gradients, HasErr, OwnedTape, PutTape, SplitTape, Storage, Tape, Tensor};
use dfdx::tensor_ops::{
    Backward, ChooseFrom, Device, GatherTo, LogSumExpTo, MaxTo, MinTo, ReshapeTo, SumTo, TryMatMul,
};
use std::collections::BTreeMap;

/// The scalar types that both this crate and dfdx compute in.
pub(super) trait Scalar: Element + Dtype {
    /// The elements of a dfdx buffer, to be written in place.
    fn elements(buffer: &mut <Cpu as Storage<Self>>::Vec) -> &mut Vec<Self>;
}

impl Scalar for f32 {
    fn elements(buffer: &mut <Cpu as Storage<f32>>::Vec) -> &mut Vec<f32> {
        buffer
    }
}

impl Scalar for f64 {
    fn elements(buffer: &mut <Cpu as Storage<f64>>::Vec) -> &mut Vec<f64> {
        buffer
    }
}

/// Rounds a double. (dfdx's own conversions share the method's name, so it is spelled once, here.)
pub(super) fn rounded<E: Element>(x: f64) -> E {
    E::from_f64(x)
}

/// Widens to a double.
pub(super) fn wide<E: Element>(x: E) -> f64 {
    x.to_f64()
}

/// A tensor that records onto the tape it carries.
pub(super) type Taped<E> = Tensor<(usize,), E, Cpu, OwnedTape<E, Cpu>>;
/// What a dfdx call gives.
pub(super) type Outcome<T> = Result<T, <Cpu as HasErr>::Err>;
/// Positions to read, kept per pair of axis orders.
pub(super) type Picks = BTreeMap<(Vec<AxisId>, Vec<AxisId>), Tensor<(usize,), usize, Cpu>>;

/// A real value. The serial number stands for dfdx's own identity of a tensor, which is not public: dfdx panics when
/// both operands of an operation are the same tensor.
#[derive(Clone, Debug)]
pub(super) struct Real<E: Scalar> {
    tensor: Tensor<(usize,), E, Cpu>,
    serial: u64,
}

impl<E: Scalar> Real<E> {
    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        dfdx::shapes::HasShape::shape(&self.tensor).0
    }
}

impl<E: Scalar> Real<E>
where
    Cpu: Device<E>,
{
    /// A copy of the elements.
    pub(super) fn to_vec(&self) -> Vec<E> {
        let mut out = vec![E::default(); self.len()];
        self.tensor.copy_into(&mut out);
        out
    }
}

/// One operand of a custom operation: its gradient at `i` grows by `slope[i]` times the result's at `i / group`, where
/// `group` is the number of the operand's elements per element of the result.
pub(super) struct Part<'a, E: Scalar> {
    /// The operand.
    pub(super) of: &'a Real<E>,
    /// Partial derivatives.
    pub(super) slope: Vec<E>,
}

/// Makes tensors and records operations on them.
pub(super) struct Recorder<'p, E: Scalar> {
    device: Cpu,
    tape: OwnedTape<E, Cpu>,
    recording: bool,
    n_made: u64,
    picks: &'p mut Picks,
}

/// A failure of dfdx itself (memory, lengths).
fn fault(e: impl std::fmt::Display) -> RunError {
    RunError::Unsupported(format!("dfdx failed: {e}"))
}

impl<'p, E: Scalar> Recorder<'p, E>
where
    Cpu: Device<E>,
{
    /// An empty tape.
    pub(super) fn new(picks: &'p mut Picks) -> Self {
        Self { device: Cpu::default(), tape: OwnedTape::default(), recording: false, n_made: 0, picks }
    }

    /// From now on operations are recorded, or not.
    pub(super) fn set_recording(&mut self, on: bool) {
        self.recording = on;
    }

    /// Whether operations are recorded now.
    pub(super) fn is_recording(&self) -> bool {
        self.recording
    }

    fn wrap(&mut self, tensor: Tensor<(usize,), E, Cpu>) -> Real<E> {
        self.n_made += 1;
        Real { tensor, serial: self.n_made }
    }

    /// A value that depends on nothing.
    pub(super) fn constant(&mut self, values: Vec<E>) -> Result<Real<E>, RunError> {
        use dfdx::tensor::TensorFromVec;
        let n = values.len();
        let tensor = self.device.try_tensor_from_vec(values, (n,)).map_err(fault)?;
        Ok(self.wrap(tensor))
    }

    /// One of dfdx's operations, recorded if recording is on.
    pub(super) fn apply(
        &mut self,
        x: &Real<E>,
        f: impl FnOnce(Taped<E>) -> Outcome<Taped<E>>,
    ) -> Result<Real<E>, RunError> {
        let tape = if self.recording { std::mem::take(&mut self.tape) } else { OwnedTape::default() };
        let (out, tape) = f(x.tensor.clone().put_tape(tape)).map_err(fault)?.split_tape();
        if self.recording {
            self.tape = tape;
        }
        Ok(self.wrap(out))
    }

    /// One of dfdx's operations on two values of equal length.
    pub(super) fn apply2(
        &mut self,
        x: &Real<E>,
        y: &Real<E>,
        f: impl FnOnce(Taped<E>, Tensor<(usize,), E, Cpu>) -> Outcome<Taped<E>>,
    ) -> Result<Real<E>, RunError> {
        let y = self.distinct(x, y)?;
        self.apply(x, |x| f(x, y.tensor))
    }

    /// `y`, copied if it is the same tensor as `x`.
    fn distinct(&mut self, x: &Real<E>, y: &Real<E>) -> Result<Real<E>, RunError> {
        if x.serial != y.serial {
            return Ok(y.clone());
        }
        self.pick(y, (0..y.len()).collect())
    }

    /// The elements at these positions, each smaller than the length (dfdx's gather).
    pub(super) fn pick(&mut self, x: &Real<E>, positions: Vec<usize>) -> Result<Real<E>, RunError> {
        let positions = index_tensor(&self.device, positions)?;
        self.apply(x, |x| x.try_gather::<(usize,), _>(positions))
    }

    /// A value over `from`, over `to`: permuted, and repeated along the axes that it lacks.
    pub(super) fn bring(
        &mut self,
        g: &Graph,
        x: &Real<E>,
        from: &[AxisId],
        to: &[AxisId],
    ) -> Result<Real<E>, RunError> {
        if from == to {
            return Ok(x.clone());
        }
        let key = (from.to_vec(), to.to_vec());
        let positions = match self.picks.get(&key) {
            Some(p) => p.clone(),
            None => {
                let p = index_tensor(&self.device, layout::offsets(g, from, to))?;
                self.picks.insert(key, p.clone());
                p
            }
        };
        self.apply(x, |x| x.try_gather::<(usize,), _>(positions))
    }

    /// `yes` where the condition holds, else `no` (dfdx's choose).
    pub(super) fn choose(
        &mut self,
        condition: Vec<bool>,
        yes: &Real<E>,
        no: &Real<E>,
    ) -> Result<Real<E>, RunError> {
        use dfdx::tensor::TensorFromVec;
        let n = condition.len();
        let condition: Tensor<(usize,), bool, Cpu> =
            self.device.try_tensor_from_vec(condition, (n,)).map_err(fault)?;
        self.apply2(yes, no, |yes, no| condition.try_choose(yes, no))
    }

    /// Sums of `n_out` consecutive groups.
    pub(super) fn sum(&mut self, x: &Real<E>, n_out: usize) -> Result<Real<E>, RunError> {
        let group = x.len() / n_out;
        self.apply(x, |x| x.try_reshape_like(&(n_out, group))?.try_sum::<(usize,), Axis<1>>())
    }

    /// Maxima of consecutive groups; each of several equal ones takes the whole gradient.
    pub(super) fn max(&mut self, x: &Real<E>, n_out: usize) -> Result<Real<E>, RunError> {
        let group = x.len() / n_out;
        self.apply(x, |x| x.try_reshape_like(&(n_out, group))?.try_max::<(usize,), Axis<1>>())
    }

    /// Minima of consecutive groups; each of several equal ones takes the whole gradient.
    pub(super) fn min(&mut self, x: &Real<E>, n_out: usize) -> Result<Real<E>, RunError> {
        let group = x.len() / n_out;
        self.apply(x, |x| x.try_reshape_like(&(n_out, group))?.try_min::<(usize,), Axis<1>>())
    }

    /// log Σ exp of consecutive groups, each with a finite maximum.
    pub(super) fn logsumexp(&mut self, x: &Real<E>, n_out: usize) -> Result<Real<E>, RunError> {
        let group = x.len() / n_out;
        self.apply(x, |x| x.try_reshape_like(&(n_out, group))?.try_logsumexp::<(usize,), Axis<1>>())
    }

    /// Products of a batch of matrices: (batch, m, k) · (batch, k, n).
    pub(super) fn matmul(
        &mut self,
        a: &Real<E>,
        b: &Real<E>,
        [batch, m, k, n]: [usize; 4],
    ) -> Result<Real<E>, RunError> {
        self.apply2(a, b, |a, b| {
            let a = a.try_reshape_like(&(batch, m, k))?;
            let b = b.try_reshape_like(&(batch, k, n))?;
            a.try_matmul(b)?.try_reshape_like(&(batch * m * n,))
        })
    }

    /// An operation that dfdx lacks: its values, and how gradients flow back to its operands.
    pub(super) fn custom(&mut self, values: Vec<E>, parts: Vec<Part<'_, E>>) -> Result<Real<E>, RunError> {
        let out = self.constant(values)?;
        if self.recording {
            for part in parts {
                let (xg, yg, slope) = (part.of.tensor.ghost(), out.tensor.ghost(), part.slope);
                let group = part.of.len() / out.len();
                self.tape.add_backward_op(move |g: &mut Gradients<E, Cpu>| {
                    // Two buffers of one store are needed at once: take one out and put it back.
                    let gy = std::mem::take(E::elements(g.get_or_alloc_mut(&yg)?));
                    let gx = E::elements(g.get_or_alloc_mut(&xg)?);
                    for (i, (gx, slope)) in gx.iter_mut().zip(&slope).enumerate() {
                        *gx += *slope * gy[i / group];
                    }
                    *E::elements(g.get_or_alloc_mut(&yg)?) = gy;
                    Ok(())
                });
            }
        }
        Ok(out)
    }

    /// `n_out` zeros with element i of the value added at `positions[i]`, each smaller than `n_out`.
    pub(super) fn scatter_add(
        &mut self,
        x: &Real<E>,
        positions: Vec<usize>,
        n_out: usize,
    ) -> Result<Real<E>, RunError> {
        let mut values = vec![E::default(); n_out];
        for (v, p) in x.to_vec().into_iter().zip(&positions) {
            values[*p] += v;
        }
        let out = self.constant(values)?;
        if self.recording {
            let (xg, yg) = (x.tensor.ghost(), out.tensor.ghost());
            self.tape.add_backward_op(move |g: &mut Gradients<E, Cpu>| {
                let gy = std::mem::take(E::elements(g.get_or_alloc_mut(&yg)?));
                let gx = E::elements(g.get_or_alloc_mut(&xg)?);
                for (gx, p) in gx.iter_mut().zip(&positions) {
                    *gx += gy[*p];
                }
                *E::elements(g.get_or_alloc_mut(&yg)?) = gy;
                Ok(())
            });
        }
        Ok(out)
    }

    /// Plays the tape back from the one-element `loss` and gives the gradient in each leaf.
    pub(super) fn backward(self, loss: &Real<E>, leaves: &[Real<E>]) -> Result<Vec<Vec<E>>, RunError> {
        let loss = loss.tensor.clone().put_tape(self.tape).try_reshape_like(&()).map_err(fault)?;
        let mut gradients = loss.try_backward().map_err(fault)?;
        let read = |leaf: &Real<E>| -> Outcome<Vec<E>> {
            Ok(E::elements(gradients.get_or_alloc_mut(&leaf.tensor)?).clone())
        };
        leaves.iter().map(read).collect::<Outcome<_>>().map_err(fault)
    }
}

fn index_tensor(device: &Cpu, positions: Vec<usize>) -> Result<Tensor<(usize,), usize, Cpu>, RunError> {
    use dfdx::tensor::TensorFromVec;
    let n = positions.len();
    device.try_tensor_from_vec(positions, (n,)).map_err(fault)
}
