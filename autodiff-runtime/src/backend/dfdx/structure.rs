//! Reductions and contractions: axes are brought into the order that dfdx's operation wants, then it runs.

use super::feeds::widen;
use super::layout;
use super::recorder::{Part, Real, Recorder, Scalar, rounded, wide};
use crate::graph::{Axes, AxisId, Graph};
use crate::op::ReduceKind;
use crate::store::RunError;
use dfdx::tensor::Cpu;
use dfdx::tensor_ops::Device;

/// A value with the order of its axes.
pub(super) struct Laid<'a, E: Scalar> {
    /// The elements.
    pub(super) value: &'a Real<E>,
    /// Their axes.
    pub(super) axes: &'a Axes,
}

fn concat(parts: &[&Axes]) -> Vec<AxisId> {
    parts.iter().flat_map(|p| p.iter()).collect()
}

/// The operand with the reduced axes last, and the number of results.
fn grouped<E: Scalar>(
    r: &mut Recorder<'_, E>,
    g: &Graph,
    x: &Laid<'_, E>,
    over: &Axes,
) -> Result<(Real<E>, usize), RunError>
where
    Cpu: Device<E>,
{
    let kept = x.axes.minus(over);
    let value = r.bring(g, x.value, x.axes.as_slice(), &concat(&[&kept, over]))?;
    Ok((value, g.n_elements(&kept)))
}

/// A reduction to a real value.
pub(super) fn reduce<E: Scalar>(
    r: &mut Recorder<'_, E>,
    g: &Graph,
    kind: ReduceKind,
    x: &Laid<'_, E>,
    over: &Axes,
) -> Result<Real<E>, RunError>
where
    Cpu: Device<E>,
{
    let (x, n_out) = grouped(r, g, x, over)?;
    let group = x.len() / n_out;
    let data = || widen(&x.to_vec());
    match kind {
        ReduceKind::Sum => r.sum(&x, n_out),
        ReduceKind::Max | ReduceKind::Min => {
            let y = if kind == ReduceKind::Max { r.max(&x, n_out)? } else { r.min(&x, n_out)? };
            share_ties(r, &data(), group, &y)
        }
        ReduceKind::LogSumExp => {
            let data = data();
            if data.chunks(group).all(|c| largest(c).is_finite()) {
                r.logsumexp(&x, n_out)
            } else {
                infinite_logsumexp(r, &data, group, &x)
            }
        }
        ReduceKind::Prod => product(r, &data(), group, &x),
        ReduceKind::ArgMax => Err(RunError::Unsupported("argmax as a real value".to_owned())),
    }
}

/// For each result, the position of the first largest element along the one axis reduced; 0 where there is a NaN.
pub(super) fn argmax<E: Scalar>(
    r: &mut Recorder<'_, E>,
    g: &Graph,
    x: &Laid<'_, E>,
    over: &Axes,
) -> Result<Vec<u32>, RunError>
where
    Cpu: Device<E>,
{
    let (x, n_out) = grouped(r, g, x, over)?;
    let data = widen(&x.to_vec());
    let first = |c: &[f64]| c.iter().position(|v| *v == largest(c)).unwrap_or(0) as u32;
    Ok(data.chunks(x.len() / n_out).map(first).collect())
}

/// The largest element, or NaN if one is.
fn largest(x: &[f64]) -> f64 {
    x.iter()
        .copied()
        .fold(f64::NEG_INFINITY, |m, v| if m.is_nan() || v.is_nan() { f64::NAN } else { m.max(v) })
}

/// dfdx gives each of several equal extrema the whole gradient and overlooks NaN: divides the one, restores the other.
fn share_ties<E: Scalar>(
    r: &mut Recorder<'_, E>,
    data: &[f64],
    group: usize,
    y: &Real<E>,
) -> Result<Real<E>, RunError>
where
    Cpu: Device<E>,
{
    let mut values = y.to_vec();
    let mut slope = Vec::with_capacity(values.len());
    for (group, value) in data.chunks(group).zip(&mut values) {
        if group.iter().any(|v| v.is_nan()) {
            *value = rounded(f64::NAN);
        }
        let n_hits = group.iter().filter(|v| **v == wide(*value)).count();
        slope.push(rounded(1.0 / n_hits as f64));
    }
    r.custom(values, vec![Part { of: y, slope }])
}

/// log Σ exp where some group has an infinite maximum (dfdx gives NaN there): that maximum, with no gradient at −∞.
fn infinite_logsumexp<E: Scalar>(
    r: &mut Recorder<'_, E>,
    data: &[f64],
    group: usize,
    x: &Real<E>,
) -> Result<Real<E>, RunError>
where
    Cpu: Device<E>,
{
    let (mut values, mut slope) = (vec![], vec![]);
    for c in data.chunks(group) {
        let max = largest(c);
        let sum: f64 = c.iter().map(|v| (v - max).exp()).sum();
        let value = if max.is_infinite() { max } else { max + sum.ln() };
        values.push(rounded(value));
        let weight = |v: &f64| if max == f64::NEG_INFINITY { 0.0 } else { (v - value).exp() };
        slope.extend(c.iter().map(|v| rounded::<E>(weight(v))));
    }
    r.custom(values, vec![Part { of: x, slope }])
}

/// Products; the derivative in an element is the product of the others, also where it is zero.
fn product<E: Scalar>(
    r: &mut Recorder<'_, E>,
    data: &[f64],
    group: usize,
    x: &Real<E>,
) -> Result<Real<E>, RunError>
where
    Cpu: Device<E>,
{
    let values = data.chunks(group).map(|c| rounded(c.iter().product())).collect();
    let mut slope = vec![1.0; data.len()];
    for (c, slope) in data.chunks(group).zip(slope.chunks_mut(group)) {
        let (mut before, mut after) = (1.0, 1.0);
        for i in 0..c.len() {
            slope[i] *= before;
            before *= c[i];
            let j = c.len() - 1 - i;
            slope[j] *= after;
            after *= c[j];
        }
    }
    let slope = slope.into_iter().map(rounded).collect();
    r.custom(values, vec![Part { of: x, slope }])
}

/// Σ over `over` of a·b, as a batch of matrix products over the axes of the result in order.
pub(super) fn contract<E: Scalar>(
    r: &mut Recorder<'_, E>,
    g: &Graph,
    a: &Laid<'_, E>,
    b: &Laid<'_, E>,
    over: &Axes,
) -> Result<Real<E>, RunError>
where
    Cpu: Device<E>,
{
    let both = a.axes.intersect(b.axes);
    let (batch, inner) = (both.minus(over), both.intersect(over));
    let (a_only, b_only) = (a.axes.minus(&both), b.axes.minus(&both));
    let (left, right) = (a_only.minus(over), b_only.minus(over));
    let a_value = sum_alone(r, g, a, &a_only.intersect(over), &concat(&[&batch, &left, &inner]))?;
    let b_value = sum_alone(r, g, b, &b_only.intersect(over), &concat(&[&batch, &inner, &right]))?;
    let sizes = [&batch, &left, &inner, &right].map(|axes| g.n_elements(axes));
    let product = r.matmul(&a_value, &b_value, sizes)?;
    let out = batch.union(&left).union(&right);
    r.bring(g, &product, &concat(&[&batch, &left, &right]), out.as_slice())
}

/// A factor in the given order of axes, summed over the axes that it alone has.
fn sum_alone<E: Scalar>(
    r: &mut Recorder<'_, E>,
    g: &Graph,
    x: &Laid<'_, E>,
    alone: &Axes,
    order: &[AxisId],
) -> Result<Real<E>, RunError>
where
    Cpu: Device<E>,
{
    let with_alone: Vec<AxisId> = order.iter().copied().chain(alone.iter()).collect();
    let value = r.bring(g, x.value, x.axes.as_slice(), &with_alone)?;
    if alone.is_empty() { Ok(value) } else { r.sum(&value, layout::n_elements(g, order)) }
}
