//! Dense products by cuBLASLt, in full single or double precision.
#![allow(unsafe_code, reason = "calls of the vendor's library")]

use crate::plan::Product;
use crate::store::RunError;
use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;
use cudarc::driver;
use std::ffi::c_void;

/// Bytes that the library may use between the parts of a product.
const WORKSPACE: usize = 32 << 20;

/// Whether the library is there.
pub(super) fn is_present() -> bool {
    super::libraries::find();
    // SAFETY: opens a library by name, and nothing else.
    unsafe { sys::is_culib_present() }
}

/// One matrix in column-major order: whether it is taken transposed, its rows and columns as stored, and the step from
/// column to column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Operand {
    pub transposed: bool,
    pub stored: [usize; 2],
    pub leading: usize,
}

/// A matrix of `rows` × `columns` with these steps; one of them must be 1.
fn operand([rows, columns]: [usize; 2], [row_step, column_step]: [usize; 2]) -> Operand {
    if row_step == 1 || rows == 1 {
        Operand { transposed: false, stored: [rows, columns], leading: column_step.max(rows) }
    } else {
        Operand { transposed: true, stored: [columns, rows], leading: row_step.max(columns) }
    }
}

/// A product as the library takes it: left, right, result; whether left and right are our b and a.
pub(super) fn arrange(p: &Product) -> (Operand, Operand, Operand, bool) {
    let [m, n, k] = p.size;
    if p.c_step[0] == 1 || m == 1 && p.c_step[1] != 1 {
        (operand([m, k], p.a_step), operand([k, n], p.b_step), operand([m, n], p.c_step), false)
    } else {
        // The transposed result is the product of the transposed factors in the other order.
        let swap = |[x, y]: [usize; 2]| [y, x];
        (
            operand([n, k], swap(p.b_step)),
            operand([k, m], swap(p.a_step)),
            operand([n, m], swap(p.c_step)),
            true,
        )
    }
}

/// The library's handle, with its workspace.
pub(super) struct Library {
    handle: sys::cublasLtHandle_t,
    workspace: u64,
    device: String,
}

impl Library {
    pub fn new(device: &str) -> Result<Self, RunError> {
        let failed = |what: String| RunError::Device { device: device.to_owned(), what };
        let handle = result::create_handle().map_err(|e| failed(format!("{e:?}")))?;
        // SAFETY: a plain allocation, given back when the library is dropped.
        let workspace =
            unsafe { driver::result::malloc_sync(WORKSPACE) }.map_err(|e| failed(format!("{e:?}")))?;
        Ok(Self { handle, workspace, device: device.to_owned() })
    }

    /// All parts of a product: the first batch dimension in one call, every other loop as calls.
    pub fn multiply(
        &self,
        p: &Product,
        real_bytes: usize,
        at: [u64; 3],
        stream: driver::sys::CUstream,
    ) -> Result<(), RunError> {
        let first = p.batch.first().copied().unwrap_or([1, 0, 0, 0]);
        let outer = p.batch.get(1..).unwrap_or_default();
        let n_outer: usize = outer.iter().map(|b| b[0]).product();
        let n_again: usize = p.again.iter().map(|b| b[0]).product();
        for o in 0..n_outer {
            let mut from = at;
            let mut rest = o;
            for d in outer.iter().rev() {
                (0..3).for_each(|i| from[i] += (rest % d[0] * d[i + 1] * real_bytes) as u64);
                rest /= d[0];
            }
            for g in 0..n_again {
                let (mut here, mut rest) = (from, g);
                for d in p.again.iter().rev() {
                    (0..2).for_each(|i| here[i] += (rest % d[0] * d[i + 1] * real_bytes) as u64);
                    rest /= d[0];
                }
                self.one(p, real_bytes, here, first, g > 0, stream).map_err(|e| RunError::Device {
                    device: self.device.clone(),
                    what: format!("a matrix product of {:?}: {e:?}", p.size),
                })?;
            }
        }
        Ok(())
    }

    fn one(
        &self,
        p: &Product,
        real_bytes: usize,
        at: [u64; 3],
        batch: [usize; 4],
        add: bool,
        stream: driver::sys::CUstream,
    ) -> Result<(), CublasError> {
        let (left, right, to, swapped) = arrange(p);
        let [a, b] = if swapped { [at[1], at[0]] } else { [at[0], at[1]] };
        let steps = if swapped { [batch[2], batch[1]] } else { [batch[1], batch[2]] };
        let single = real_bytes == 4;
        let (kind, compute) = if single {
            (sys::cudaDataType::CUDA_R_32F, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F)
        } else {
            (sys::cudaDataType::CUDA_R_64F, sys::cublasComputeType_t::CUBLAS_COMPUTE_64F)
        };
        let description = Description::new(compute, kind, left.transposed, right.transposed)?;
        let la = Layout::new(kind, left, batch[0], steps[0])?;
        let lb = Layout::new(kind, right, batch[0], steps[1])?;
        let lc = Layout::new(kind, to, batch[0], batch[3])?;
        let preference = Preference::new()?;
        // SAFETY: all handles are alive until the end of this function, and addresses are of the plan's slots.
        unsafe {
            let found = result::get_matmul_algo_heuristic(
                self.handle,
                description.0,
                la.0,
                lb.0,
                lc.0,
                lc.0,
                preference.0,
            )?;
            let scales = if single {
                Scales::F32([1.0, f32::from(u8::from(add))])
            } else {
                Scales::F64([1.0, f64::from(u8::from(add))])
            };
            let [alpha, beta] = scales.places();
            result::matmul(
                self.handle,
                description.0,
                alpha,
                beta,
                address(a),
                la.0,
                address(b),
                lb.0,
                address(at[2]),
                lc.0,
                address(at[2]).cast_mut(),
                lc.0,
                &found.algo,
                address(self.workspace).cast_mut(),
                WORKSPACE,
                stream.cast(),
            )
        }
    }
}

fn address(x: u64) -> *const c_void {
    std::ptr::with_exposed_provenance(x as usize)
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: made in `new`; the stream's work is done when a card is dropped.
        unsafe {
            let _ = driver::result::free_sync(self.workspace);
            let _ = result::destroy_handle(self.handle);
        }
    }
}

enum Scales {
    F32([f32; 2]),
    F64([f64; 2]),
}

impl Scales {
    fn places(&self) -> [*const c_void; 2] {
        match self {
            Scales::F32([a, b]) => [(a as *const f32).cast(), (b as *const f32).cast()],
            Scales::F64([a, b]) => [(a as *const f64).cast(), (b as *const f64).cast()],
        }
    }
}

struct Description(sys::cublasLtMatmulDesc_t);

impl Description {
    fn new(
        compute: sys::cublasComputeType_t,
        scale: sys::cudaDataType,
        left: bool,
        right: bool,
    ) -> Result<Self, CublasError> {
        let d = Self(result::create_matmul_desc(compute, scale)?);
        use sys::cublasLtMatmulDescAttributes_t as A;
        for (attribute, transposed) in
            [(A::CUBLASLT_MATMUL_DESC_TRANSA, left), (A::CUBLASLT_MATMUL_DESC_TRANSB, right)]
        {
            let value = i32::from(transposed);
            // SAFETY: the attribute is a 32-bit number.
            unsafe { result::set_matmul_desc_attribute(d.0, attribute, (&raw const value).cast(), 4)? };
        }
        Ok(d)
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: made in `new`.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

struct Layout(sys::cublasLtMatrixLayout_t);

impl Layout {
    fn new(kind: sys::cudaDataType, x: Operand, n_batch: usize, step: usize) -> Result<Self, CublasError> {
        let l = Self(result::create_matrix_layout(
            kind,
            x.stored[0] as u64,
            x.stored[1] as u64,
            x.leading as i64,
        )?);
        if n_batch > 1 {
            let (count, offset) = (n_batch as i32, step as i64);
            use sys::cublasLtMatrixLayoutAttribute_t as A;
            // SAFETY: the attributes are a 32-bit and a 64-bit number.
            unsafe {
                let place = (&raw const count).cast();
                result::set_matrix_layout_attribute(l.0, A::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, place, 4)?;
                let place = (&raw const offset).cast();
                let which = A::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET;
                result::set_matrix_layout_attribute(l.0, which, place, 8)?;
            }
        }
        Ok(l)
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: made in `new`.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn new() -> Result<Self, CublasError> {
        let p = Self(result::create_matmul_pref()?);
        let which = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        let bytes = WORKSPACE as u64;
        // SAFETY: the attribute is a 64-bit number.
        unsafe { result::set_matmul_pref_attribute(p.0, which, (&raw const bytes).cast(), 8)? };
        Ok(p)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: made in `new`.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SlotId;

    /// The library's own definition of a product, by what an [`Operand`] says: every form of operands gives ours.
    #[test]
    fn arranged_operands_give_the_product() {
        let [m, n, k] = [3, 4, 5];
        let rows_first = |r: usize, c: usize| [[c, 1], [1, r]];
        for a_step in rows_first(m, k) {
            for b_step in rows_first(k, n) {
                for c_step in rows_first(m, n) {
                    let slot = SlotId(0);
                    let p = Product {
                        a: slot,
                        b: slot,
                        c: slot,
                        size: [m, n, k],
                        a_step,
                        b_step,
                        c_step,
                        batch: vec![],
                        again: vec![],
                    };
                    let a: Vec<f64> = (0..m * k).map(|i| (i * 7 % 11) as f64).collect();
                    let b: Vec<f64> = (0..k * n).map(|i| (i * 5 % 13) as f64).collect();
                    let (left, right, to, swapped) = arrange(&p);
                    assert!(!to.transposed);
                    let at = |x: &[f64], o: Operand, i: usize, j: usize| {
                        let (i, j) = if o.transposed { (j, i) } else { (i, j) };
                        x[i + j * o.leading]
                    };
                    let (x, y) = if swapped { (&b, &a) } else { (&a, &b) };
                    let mut got = vec![0.0; m * n];
                    for i in 0..to.stored[0] {
                        for j in 0..to.stored[1] {
                            got[i + j * to.leading] =
                                (0..k).map(|q| at(x, left, i, q) * at(y, right, q, j)).sum();
                        }
                    }
                    for i in 0..m {
                        for j in 0..n {
                            let want: f64 = (0..k)
                                .map(|q| a[i * a_step[0] + q * a_step[1]] * b[q * b_step[0] + j * b_step[1]])
                                .sum();
                            assert_eq!(got[i * c_step[0] + j * c_step[1]], want, "{p:?}");
                        }
                    }
                }
            }
        }
    }
}
