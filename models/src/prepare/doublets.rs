//! Doublets made of the cells of the data, for a classifier to learn from.

use crate::anndata::{Additions, Column, Csr, Matrix, NewAnnData, Values};
use autodiff_runtime::StepKey;
use autodiff_runtime::random::{ElementStream, SiteKey};

/// The stream of random numbers that pairs come from.
const PAIRS: u32 = 0x646f_7562;

/// The cells of `data` with their counts, and under them `times` as many doublets (rounded): the sums of two cells each,
/// drawn evenly with replacement. Column `doublet` of `obs` says which is which; other columns, layers and tables, which
/// a made cell has not, are left out. Columns of `var` stay.
///
/// # Errors
/// No cells, or not a number of doublets.
pub fn with_doublets(
    data: &NewAnnData,
    counts: &Matrix,
    times: f64,
    seed: u64,
) -> Result<NewAnnData, String> {
    let n = counts.n_rows();
    let n_made = (times * n as f64).round();
    if n == 0 || !(1.0..=1e8).contains(&n_made) {
        let result = if n_made > 1.0 { "more than there can be" } else { "none" };
        return Err(format!("{times} doublets for each of {n} cells make {result}"));
    }
    let site = SiteKey::new(StepKey { seed, step: 0 }, PAIRS);
    let mut made =
        Csr { n_rows: 0, n_cols: counts.n_cols(), indptr: vec![0], indices: vec![], values: vec![] };
    let mut sum = vec![0.0_f32; counts.n_cols()];
    for k in 0..n_made as u32 {
        let mut words: ElementStream = site.element(k, 0);
        for _ in 0..2 {
            let row = ((words.uniform() * n as f64) as usize).min(n - 1);
            counts.for_each_in_row(row, |gene, x| sum[gene] += x);
        }
        for (gene, x) in sum.iter_mut().enumerate().filter(|(_, x)| **x != 0.0) {
            made.indices.push(gene as u32);
            made.values.push(std::mem::take(x));
        }
        made.indptr.push(made.indices.len() as u64);
        made.n_rows += 1;
    }
    let made = match counts {
        Matrix::Csr(_) => Matrix::Csr(made),
        Matrix::Dense(_) => Matrix::Dense(made.to_dense()),
    };
    let x = Matrix::stacked(&[counts.clone(), made]).ok_or("the counts and the doublets do not fit")?;
    let names = (0..n_made as usize).map(|k| format!("doublet_{k}"));
    let kinds = Values::Categorical {
        codes: (0..x.n_rows()).map(|r| i32::from(r < n)).collect(),
        categories: vec!["doublet".to_owned(), "singlet".to_owned()],
        ordered: false,
    };
    let parts = Additions {
        obs: vec![("doublet".to_owned(), Column::new(kinds))],
        var: data.parts.var.clone(),
        ..Additions::default()
    };
    let obs_names = data.obs_names.iter().cloned().chain(names).collect();
    Ok(NewAnnData { obs_names, var_names: data.var_names.clone(), x: Some(x), parts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doublet_is_the_sum_of_two_cells() {
        let dense =
            crate::anndata::Dense { n_rows: 3, n_cols: 2, values: vec![1.0, 0.0, 10.0, 0.0, 0.0, 100.0] };
        let counts = Matrix::Dense(dense);
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let data =
            NewAnnData { obs_names: names(3), var_names: names(2), x: None, parts: Additions::default() };
        let all = with_doublets(&data, &counts, 20.0, 0).unwrap();
        let x = all.x.unwrap();
        assert_eq!((x.n_rows(), all.obs_names.len()), (63, 63));
        assert_eq!(all.obs_names[3], "doublet_0");
        let mut seen = std::collections::BTreeSet::new();
        for row in 3..63 {
            let mut sum = vec![0.0; 2];
            x.copy_row(row, &mut sum);
            let pair = (sum[0] as u32 % 10, sum[0] as u32 / 10, sum[1] as u32 / 100);
            assert_eq!(pair.0 + pair.1 + pair.2, 2, "{sum:?}");
            seen.insert(pair);
        }
        assert_eq!(seen.len(), 6, "every pair comes up");
        assert!(with_doublets(&data, &counts, 0.0, 0).is_err());
        let sparse = Matrix::Csr(Csr {
            n_rows: 3,
            n_cols: 2,
            indptr: vec![0, 1, 2, 3],
            indices: vec![0, 0, 1],
            values: vec![1.0, 10.0, 100.0],
        });
        let same = with_doublets(&data, &sparse, 20.0, 0).unwrap().x.unwrap();
        assert_eq!(same.to_dense(), x.to_dense());
    }
}
