//! Elementwise operations: dfdx's own with dfdx's own derivatives where it has them, else a custom operation.

use super::feeds::widen;
use super::recorder::{Part, Real, Recorder, Scalar, rounded, wide};
use crate::op::Elem;
use crate::special;
use crate::store::RunError;
use dfdx::tensor::Cpu;
use dfdx::tensor_ops::{Device, TryAdd, TryDiv, TryMul, TrySub};

/// Whether an operation has neither a derivative nor a zero one.
pub(super) fn derivative_missing(e: Elem) -> bool {
    matches!(e, Elem::Trigamma | Elem::LogGammaSampleGrad)
}

/// The operation on operands of equal length. `exponent` is the second operand where that is one constant.
pub(super) fn elementwise<E: Scalar>(
    r: &mut Recorder<'_, E>,
    e: Elem,
    x: &[Real<E>],
    exponent: Option<f64>,
) -> Result<Real<E>, RunError>
where
    Cpu: Device<E>,
{
    match (e, exponent) {
        (Elem::Neg, _) => r.apply(&x[0], |x| x.try_negate()),
        (Elem::Recip, _) => r.apply(&x[0], |x| x.try_recip()),
        (Elem::Exp, _) => r.apply(&x[0], |x| x.try_exp()),
        (Elem::Log, _) => r.apply(&x[0], |x| x.try_ln()),
        (Elem::Sqrt, _) => r.apply(&x[0], |x| x.try_sqrt()),
        (Elem::Square, _) => r.apply(&x[0], |x| x.try_square()),
        (Elem::Abs, _) => r.apply(&x[0], |x| x.try_abs()),
        (Elem::Sigmoid, _) => r.apply(&x[0], |x| x.try_sigmoid()),
        (Elem::Tanh, _) => r.apply(&x[0], |x| x.try_tanh()),
        (Elem::Relu, _) => relu(r, &x[0]),
        (Elem::Add, _) => r.apply2(&x[0], &x[1], |a, b| a.try_add(b)),
        (Elem::Sub, _) => r.apply2(&x[0], &x[1], |a, b| a.try_sub(b)),
        (Elem::Mul, _) => r.apply2(&x[0], &x[1], |a, b| a.try_mul(b)),
        (Elem::Div, _) => r.apply2(&x[0], &x[1], |a, b| a.try_div(b)),
        (Elem::Pow, Some(b)) => r.apply(&x[0], |x| x.try_powf(b)),
        (Elem::Select, _) => {
            let condition = x[0].to_vec().iter().map(|c| wide(*c) != 0.0).collect();
            r.choose(condition, &x[1], &x[2])
        }
        // dfdx splits the gradient of a tie in two; here the first operand takes it.
        (Elem::Min, _) => extremum(r, x, |a, b| a.is_nan() || a <= b),
        (Elem::Max, _) => extremum(r, x, |a, b| a.is_nan() || a >= b),
        _ => custom(r, e, x),
    }
}

/// dfdx's relu turns NaN to 0; a NaN must stay one.
fn relu<E: Scalar>(r: &mut Recorder<'_, E>, x: &Real<E>) -> Result<Real<E>, RunError>
where
    Cpu: Device<E>,
{
    let y = r.apply(x, |x| x.try_relu())?;
    let nan: Vec<bool> = widen(&x.to_vec()).iter().map(|v| v.is_nan()).collect();
    if nan.contains(&true) { r.choose(nan, x, &y) } else { Ok(y) }
}

fn extremum<E: Scalar>(
    r: &mut Recorder<'_, E>,
    x: &[Real<E>],
    first: impl Fn(f64, f64) -> bool,
) -> Result<Real<E>, RunError>
where
    Cpu: Device<E>,
{
    let pairs = widen(&x[0].to_vec()).into_iter().zip(widen(&x[1].to_vec()));
    let condition = pairs.map(|(a, b)| first(a, b)).collect();
    r.choose(condition, &x[0], &x[1])
}

/// Values by the definition in double precision, slopes by [`slope`].
fn custom<E: Scalar>(r: &mut Recorder<'_, E>, e: Elem, x: &[Real<E>]) -> Result<Real<E>, RunError>
where
    Cpu: Device<E>,
{
    let data: Vec<Vec<f64>> = x.iter().map(|x| widen(&x.to_vec())).collect();
    let n_operands = x.len();
    let at = |i: usize| {
        let mut row = [0.0; 3];
        row.iter_mut().zip(&data).for_each(|(r, d)| *r = d[i]);
        row
    };
    let n = x[0].len();
    let values = (0..n).map(|i| rounded(e.eval(&at(i)[..n_operands]))).collect();
    if !r.is_recording() || slope(e, 0, &at(0)).is_none() {
        return r.constant(values);
    }
    let part = |(which, of)| Part {
        of,
        // Every row of `slope` has an entry for each operand, or for none.
        slope: (0..n).map(|i| rounded(slope(e, which, &at(i)).unwrap_or(f64::NAN))).collect(),
    };
    let parts = x.iter().enumerate().map(part).collect();
    r.custom(values, parts)
}

/// The partial derivative in operand `which`; `None` for operations that pass no gradient.
fn slope(e: Elem, which: usize, [a, b, _]: &[f64; 3]) -> Option<f64> {
    use Elem::*;
    let (a, b) = (*a, *b);
    Some(match (e, which) {
        (Log1p, _) => 1.0 / (1.0 + a),
        (Expm1, _) => a.exp(),
        (Softplus, _) => 1.0 / (1.0 + (-a).exp()),
        (Lgamma, _) => special::digamma(a),
        (Digamma, _) => special::trigamma(a),
        (Erf, _) => std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp(),
        (Pow, 0) => b * a.powf(b - 1.0),
        (Pow, _) if a.powf(b) == 0.0 => 0.0,
        (Pow, _) => a.powf(b) * a.ln(),
        (XLogY, 0) => b.ln(),
        (XLogY, _) if a == 0.0 => 0.0,
        (XLogY, _) => a / b,
        (LgammaDelta, 0) => special::digamma(a + b),
        (LgammaDelta, _) => special::digamma_delta(a, b),
        (DigammaDelta, 0) => special::trigamma(a + b),
        (DigammaDelta, _) => special::trigamma(a + b) - special::trigamma(b),
        _ => return None,
    })
}
