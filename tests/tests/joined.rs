//! Files one under the other whose panels differ: a protein that a file lacks is missing there, never a count of zero.

use crate::command::svic;
use crate::shared;
use std::path::Path;
use svi::anndata::{AnnData, Column, Dense, FieldPath, Matrix, NewAnnData, Values, WriteOptions, write_new};
use svi::dataset::Known;

/// A file of cells with counts of genes `genes` and of proteins `proteins`, in the column `lane` all of one label.
fn write(path: &Path, n: usize, genes: &[usize], proteins: &[&str], sparse: bool) {
    let counts = |m: usize, salt: usize| Dense {
        n_rows: n,
        n_cols: m,
        values: (0..n * m).map(|i| ((i * 7 + i / m + salt) % 4) as f32).collect(),
    };
    let (x, y) = (counts(genes.len(), 0), counts(proteins.len(), 1));
    let rows = |m: &Dense| {
        let stored: Vec<(usize, u32, f32)> = (0..n)
            .flat_map(|r| m.row(r).iter().enumerate().map(move |(c, v)| (r, c as u32, *v)))
            .filter(|(_, _, v)| *v != 0.0)
            .collect();
        let indptr = (0..=n).map(|row| stored.iter().filter(|(r, ..)| *r < row).count() as u64).collect();
        svi::anndata::Csr {
            n_rows: n,
            n_cols: m.n_cols,
            indptr,
            indices: stored.iter().map(|(_, c, _)| *c).collect(),
            values: stored.iter().map(|(.., v)| *v).collect(),
        }
    };
    let mut data = NewAnnData {
        obs_names: (0..n).map(|i| format!("cell{i}")).collect(),
        var_names: genes.iter().map(|g| format!("gene{g}")).collect(),
        x: Some(if sparse { Matrix::Csr(rows(&x)) } else { Matrix::Dense(x) }),
        ..NewAnnData::default()
    };
    data.parts.obs.push(("lane".into(), Column::new(Values::Strings(vec!["one".into(); n]))));
    data.parts.obsm.push(("protein_expression".into(), y));
    data.parts.labels.insert("protein_expression".into(), proteins.iter().map(|p| (*p).to_owned()).collect());
    write_new(path, &data, WriteOptions::default()).expect("the fixture is written");
}

/// For each row and protein whether the model takes it for known.
fn known(data: &AnnData, batch: &str) -> (usize, Vec<bool>) {
    let binds = svi::Binds::new().with("batch", batch);
    let model = svi::compile_file("totalvi").expect("it compiles");
    let bound = model.bind(data, &binds).expect("it binds");
    let (_, bound) = bound.into_parts();
    match &bound.data.known["y"] {
        Known::Rows { width, mask } => (*width, mask.clone()),
        other => panic!("{other:?}"),
    }
}

/// Puts two files together, sees that `n_genes` genes without NaN are left, and trains totalVI on the whole.
fn joined(folder: &Path, files: [&str; 2], join: &str, n_genes: usize) -> AnnData {
    svic(folder, &["prep", files[0], files[1], "--join", join, "-o", "both.h5ad", "--force"])
        .expect(0, &["obsm.protein_expression", "missing (NaN)"]);
    let small = ["--set", "hidden=8", "latent=3", "--epochs", "2", "-q"];
    let bind = ["--bind", "x=X", "y=obsm.protein_expression"];
    let run = [&["run", "totalvi", "both.h5ad", "-o", "out.h5ad"][..], &bind, &small].concat();
    svic(folder, &run).expect(0, &[]);
    let direct = [&["run", "totalvi", files[0], files[1], "-o", "direct.h5ad"][..], &bind, &small].concat();
    svic(folder, &direct).expect(0, &[]);
    for name in ["out.h5ad", "direct.h5ad"] {
        let out = AnnData::open(&folder.join(name)).expect("the output opens");
        for table in ["X_totalVI", "totalvi_protein", "totalvi_foreground", "totalvi_background"] {
            let values = out.table(&FieldPath::Obsm(table.into())).expect("an output").values;
            assert!(values.values.iter().all(|v| v.is_finite()), "{name}: {table}");
        }
    }
    let both = AnnData::open(&folder.join("both.h5ad")).expect("the whole opens");
    let x = both.matrix(&FieldPath::X).expect("counts");
    assert_eq!(both.n_vars(), n_genes);
    assert!(x.values().iter().all(|v| v.is_finite()), "no count may be missing");
    both
}

#[test]
fn panels_of_proteins_are_united() {
    for sparse in [false, true] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        write(&at("a.h5ad"), 12, &[0, 1, 2, 3, 4], &["CD3", "CD4", "CD8"], sparse);
        write(&at("b.h5ad"), 10, &[3, 2, 1, 9], &["CD8", "CD19"], sparse);
        for (join, n_genes) in [("inner", 3), ("outer", 6)] {
            let both = joined(folder.path(), ["a.h5ad", "b.h5ad"], join, n_genes);
            assert_eq!(both.obs_names()[12], "cell0-b");
            let table = both.table(&FieldPath::Obsm("protein_expression".into())).unwrap();
            assert_eq!(table.labels.unwrap(), ["CD3", "CD4", "CD8", "CD19"]);
            // Where the label of a batch spans both files, what is missing is missing as well.
            for batch in ["obs.batch", "obs.lane"] {
                let (width, mask) = known(&both, batch);
                assert_eq!(width, 4);
                for (row, known) in mask.chunks(width).enumerate() {
                    let wanted =
                        if row < 12 { [true, true, true, false] } else { [false, false, true, true] };
                    assert_eq!(known, wanted, "{join}, {batch}, row {row}");
                }
            }
            // Genes in another order meet by name: gene 3 is column 3 of the first file, column 0 of the second.
            let at = both.var_names().iter().position(|g| g == "gene3").unwrap();
            let x = both.matrix(&FieldPath::X).unwrap().to_dense();
            let count = |i: usize, m: usize| ((i * 7 + i / m) % 4) as f32;
            assert_eq!((x.row(1)[at], x.row(13)[at]), (count(8, 5), count(4, 4)));
        }
    }
}

#[test]
fn real_panels_are_united() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| shared().join("data/citeseq").join(name);
    let files = [file("pbmc5k_200cells_3000g.h5ad"), file("pbmc10k_200cells_3000g.h5ad")];
    let [Ok(a), Ok(b)] = files.map(|f| f.canonicalize()) else { return };
    let files = [a.to_str().unwrap(), b.to_str().unwrap()];
    // 2,485 genes and 14 proteins are in both files, by pandas.
    let both = joined(folder.path(), files, "inner", 2485);
    let (width, mask) = known(&both, "obs.batch");
    assert_eq!((width, mask.len()), (29, 400 * 29));
    let table = |file: &Path| {
        AnnData::open(file).unwrap().table(&FieldPath::Obsm("protein_expression".into())).unwrap()
    };
    let (first, second) = (table(&a), table(&b));
    // A protein without any count in a batch was not measured there.
    let measured = |t: &svi::anndata::Table| {
        let m = &t.values;
        (0..m.n_cols).filter(|c| (0..m.n_rows).any(|r| m.row(r)[*c] > 0.0)).count()
    };
    let counted =
        |rows: std::ops::Range<usize>| mask[rows.start * 29..rows.end * 29].iter().filter(|k| **k).count();
    assert_eq!(counted(0..200), 200 * measured(&first));
    assert_eq!(counted(200..400), 200 * measured(&second));
    assert_eq!(measured(&second), 14);
}
