//! Paths, matrices in memory, texts of errors.

use crate::anndata::{Csr, Dense, FieldPath, Matrix};

#[test]
fn paths_read_and_print() {
    let same = [
        "X",
        "raw.X",
        "layers.counts",
        "obs.batch",
        "obs[\"cell type\"]",
        "obsm.X_pca",
        "uns.a.b",
        "var_names",
        "mod.rna.X",
        "mod.rna.obs[\"cell type\"]",
        "mod[\"a.b c\"].layers.counts",
        "mod.prot.raw.var.symbol",
    ];
    for text in same {
        assert_eq!(text.parse::<FieldPath>().unwrap().to_string(), text);
    }
    assert_eq!("obs.cell type".parse::<FieldPath>().unwrap(), FieldPath::Obs("cell type".into()));
    assert_eq!("obs.a.b".parse::<FieldPath>().unwrap(), FieldPath::Obs("a.b".into()));
    assert_eq!("uns['a b'].c".parse::<FieldPath>().unwrap(), FieldPath::Uns(vec!["a b".into(), "c".into()]));
    assert_eq!("raw.var.symbol".parse::<FieldPath>().unwrap(), FieldPath::RawVar("symbol".into()));
    for text in [
        "",
        "x",
        "obs",
        "obs.",
        "obs[",
        "obs[\"a",
        "obs[\"a\"",
        "X.y",
        "layers[3]",
        ".",
        "obs..",
        "raw",
        "obs[é]",
        "mod.rna",
        "mod.rna.Y",
        "mod.a.mod.b.X",
    ] {
        let error = text.parse::<FieldPath>().unwrap_err();
        assert!(error.to_string().contains("is not a field"), "{text}");
    }
}

fn small() -> Csr {
    // 1 0 2
    // 0 0 0
    // 0 3 4
    Csr {
        n_rows: 3,
        n_cols: 3,
        indptr: vec![0, 2, 2, 4],
        indices: vec![0, 2, 1, 2],
        values: vec![1., 2., 3., 4.],
    }
}

#[test]
fn sparse_matrices_turn_and_select() {
    let m = small();
    assert_eq!(m.to_dense().values, [1., 0., 2., 0., 0., 0., 0., 3., 4.]);
    assert_eq!(m.transposed().to_dense().values, [1., 0., 0., 0., 0., 3., 2., 0., 4.]);
    assert_eq!(m.transposed().transposed(), m);
    let picks = [Some(2), None, Some(0)];
    let sparse = Matrix::Csr(m.clone()).with_columns(&picks);
    assert_eq!(sparse.to_dense().values, [2., 0., 1., 0., 0., 0., 4., 0., 0.]);
    let dense = Matrix::Dense(m.to_dense()).with_columns(&picks);
    assert_eq!(dense.to_dense(), sparse.to_dense());
    assert_eq!(Matrix::Csr(m).row_totals(), [3., 0., 7.]);
}

#[test]
fn large_sparse_matrices_turn_in_parts() {
    // More values than one thread takes, rows of every length, columns without any.
    let (n_rows, n_cols) = (700, 900);
    let mut m = Csr { n_rows, n_cols, indptr: vec![0], ..Csr::default() };
    for row in 0..n_rows {
        for column in (0..n_cols).filter(|c| (row * 31 + c * 17) % (1 + row % 9) == 0 && c % 50 != 7) {
            m.indices.push(column as u32);
            m.values.push((row * n_cols + column) as f32);
        }
        m.indptr.push(m.indices.len() as u64);
    }
    assert!(m.values.len() > 1 << 17, "{}", m.values.len());
    let turned = m.transposed();
    let mut wanted = Dense::zeros(n_cols, n_rows);
    for row in 0..n_rows {
        let (columns, values) = m.row(row);
        columns.iter().zip(values).for_each(|(c, v)| wanted.values[*c as usize * n_rows + row] = *v);
    }
    assert_eq!(turned.to_dense(), wanted);
    assert!((0..n_cols).all(|row| turned.row(row).0.windows(2).all(|pair| pair[0] < pair[1])));
    assert_eq!(turned.transposed(), m);
}
