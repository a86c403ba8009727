//! Preparing against scanpy, scikit-misc and numpy (`golden/make.py`).

use serde_json::Value;

use super::*;
use crate::anndata::tests::shared;
use crate::anndata::{Additions, AnnData, Column, Csr, Dense, FieldPath, Join, Matrix, Values};

const GOLDEN: &str = include_str!("golden/values.json");

fn golden() -> Value {
    serde_json::from_str(GOLDEN).unwrap()
}

fn open(value: &Value) -> Option<AnnData> {
    shared(value.as_str().unwrap()).map(|path| AnnData::open(&path).unwrap_or_else(|e| panic!("{e}")))
}

fn reals(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

fn assert_close(found: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (at, (f, w)) in found.iter().zip(wanted).enumerate() {
        let same = f.is_nan() && w.is_nan() || (f - w).abs() <= tolerance * w.abs().max(1.0);
        assert!(same, "{what}: {f} {w} at {at}");
    }
}

fn some(values: &[f64]) -> Vec<f64> {
    values.iter().step_by(97).copied().collect()
}

fn chosen(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

#[test]
fn local_regression_is_that_of_cleveland_and_grosse() {
    let golden = &golden()["loess"];
    let (x, y) = (reals(&golden["x"]), reals(&golden["y"]));
    assert_close(&loess(&x, &y, 0.3), &reals(&golden["fitted"]), 1e-8, "fitted");
    assert!(loess(&[], &[], 0.3).is_empty());
    assert!(loess(&[1.0, 1.0], &[2.0, 4.0], 0.3).iter().all(|v| v.is_finite()));
}

#[test]
fn genes_that_vary_are_those_that_scanpy_chooses() {
    for wanted in golden()["variance"].as_array().unwrap() {
        let Some(data) = open(&wanted["file"]) else { return };
        let counts = data.matrix(&FieldPath::X).unwrap();
        let batches =
            wanted["batch"].as_str().map(|b| data.column(&FieldPath::Obs(b.into())).unwrap().to_categories());
        let found = by_variance(&counts, batches.as_ref(), wanted["n"].as_u64().unwrap() as usize);
        assert_close(&some(&found.means), &reals(&wanted["means"]), 1e-5, "means");
        assert_close(&some(&found.variances), &reals(&wanted["variances"]), 1e-5, "variances");
        assert_close(&some(&found.scores), &reals(&wanted["scores"]), 1e-5, "scores");
        assert_close(&some(&found.ranks), &reals(&wanted["ranks"]), 0.0, "ranks");
        assert_eq!(found.positions(), chosen(&wanted["chosen"]));
    }
}

#[test]
fn deviance_is_that_of_the_poisson_density() {
    let golden = &golden()["deviance"];
    let Some(data) = open(&golden["file"]) else { return };
    let found = by_deviance(&data.matrix(&FieldPath::X).unwrap(), 100);
    assert_close(&some(&found.scores), &reals(&golden["scores"]), 1e-9, "deviance");
    assert_eq!(found.positions(), chosen(&golden["chosen"]));
}

#[test]
fn filters_leave_what_scanpy_leaves() {
    let golden = &golden()["filter"];
    let Some(data) = open(&golden["file"]) else { return };
    let mut whole = load(&data).unwrap();
    let counts = whole.x.clone().unwrap();
    let limits =
        Limits { min_genes: Some(350), max_counts: Some(3000.0), min_cells: Some(400), ..Limits::default() };
    limits.apply(&mut whole, &counts);
    assert_eq!([whole.obs_names.len(), whole.var_names.len()].as_slice(), chosen(&golden["shape"]));
    assert_eq!(
        (whole.obs_names[0].as_str(), whole.var_names.last().unwrap().as_str()),
        (golden["first"].as_str().unwrap(), golden["last_gene"].as_str().unwrap())
    );
    let sum: f64 = whole.x.as_ref().unwrap().row_totals().iter().sum();
    assert_eq!(sum, golden["sum"].as_f64().unwrap());
    assert!(whole.parts.obs.iter().all(|(_, column)| column.len() == whole.obs_names.len()));
}

#[test]
fn files_under_each_other_are_as_anndata_puts_them() {
    let golden = &golden()["concatenate"];
    let mut parts = Vec::new();
    for file in golden["files"].as_array().unwrap() {
        let Some(data) = open(file) else { return };
        let stem = data.file().file_stem().unwrap().to_string_lossy().into_owned();
        parts.push((stem, data));
    }
    for (join, name) in [(Join::Common, "inner"), (Join::All, "outer")] {
        let wanted = &golden[name];
        let (found, _) = concatenate(&parts, "batch", join).unwrap();
        let x = found.x.as_ref().unwrap();
        assert_eq!([x.n_rows(), x.n_cols()].as_slice(), chosen(&wanted["shape"]), "{name}");
        let (mut sum, mut check) = (0.0, 0.0);
        // anndata sorts the genes of a union; each is found by its name.
        for row in 0..x.n_rows() {
            x.for_each_in_row(row, |column, value| {
                sum += f64::from(value);
                check += f64::from(value) * ((row * 31 + column * 17) % 101) as f64;
            });
        }
        assert_eq!(sum, wanted["sum"].as_f64().unwrap(), "{name}");
        let ends = |names: &[String]| (names[0].clone(), names.last().unwrap().clone());
        let text = |key: &str| wanted[key].as_str().unwrap().to_owned();
        assert_eq!(ends(&found.obs_names), (text("first"), text("last")), "{name}");
        if join == Join::Common {
            assert_eq!(check, wanted["check"].as_f64().unwrap(), "{name}");
            assert_eq!(ends(&found.var_names), (text("first_gene"), text("last_gene")), "{name}");
        }
        let batch = &found.parts.obs.last().unwrap().1;
        assert!(
            matches!(&batch.values, Values::Categorical { codes, categories, .. } if codes[0] == 0 && codes[399] == 1 && categories.len() == 2)
        );
    }
}

#[test]
fn moments_are_means_over_the_nearest_cells() {
    let golden = &golden()["moments"];
    let Some(data) = open(&golden["file"]) else { return };
    let spliced = data.matrix(&FieldPath::Layer("spliced".into())).unwrap();
    let space = data.table(&FieldPath::Obsm("X_pca".into())).unwrap().values;
    let found = moments(&spliced, &space, Moments { n_neighbours: 15 });
    let sum: f64 = found.values.iter().map(|&v| f64::from(v)).sum();
    assert_close(&[sum], &[golden["sum"].as_f64().unwrap()], 1e-5, "sum");
    for (row, wanted) in [0, 100, 738].into_iter().zip(golden["rows"].as_array().unwrap()) {
        let row: Vec<f64> = found.row(row).iter().step_by(97).map(|&v| f64::from(v)).collect();
        assert_close(&row, &reals(wanted), 1e-5, "row");
    }
}

#[test]
fn components_are_as_long_as_singular_values() {
    let golden = &golden()["components"];
    let Some(data) = open(&golden["file"]) else { return };
    let found = principal_components(&data.matrix(&FieldPath::X).unwrap(), 12);
    let length = |c: usize| (0..found.n_rows).map(|r| f64::from(found.row(r)[c]).powi(2)).sum::<f64>().sqrt();
    let lengths: Vec<f64> = (0..3).map(length).collect();
    assert_close(&lengths, &reals(&golden["lengths"])[..3], 1e-3, "singular values");
}

fn small() -> NewAnnData {
    let csr = Csr {
        n_rows: 3,
        n_cols: 2,
        indptr: vec![0, 1, 1, 3],
        indices: vec![0, 0, 1],
        values: vec![1.0, 2.0, 3.0],
    };
    let names = |letter: &str, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect::<Vec<_>>();
    let batch = Column::new(Values::Strings(vec!["a".into(), "a".into(), "b".into()]));
    let obs = vec![("Batch_ID".to_owned(), batch)];
    let layers = vec![("raw_counts".to_owned(), Matrix::Csr(csr.clone()))];
    let half = Matrix::Dense(Dense { n_rows: 3, n_cols: 2, values: vec![0.5; 6] });
    let parts = Additions { obs, layers, ..Additions::default() };
    NewAnnData { obs_names: names("c", 3), var_names: names("g", 2), x: Some(half), parts }
}

#[test]
fn what_a_file_holds_is_told() {
    let data = AnnData::from_memory("small.h5ad".as_ref(), small()).unwrap();
    let part = survey(&data).unwrap().remove(0);
    assert_eq!(part.shape, (3, 2));
    let (x, counts) = (&part.matrices[0], &part.matrices[1]);
    assert!(!x.counts && counts.counts && counts.sparse);
    assert_eq!((counts.n_nonzero, counts.range, counts.sum, counts.empty), (3, (0.0, 3.0), 6.0, (1, 0)));
    assert!(part.problems.iter().any(|p| p.contains("1 cells are zero")), "{:?}", part.problems);
    let found = |role: Role| candidates(&data, role).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(found(Role::Counts), ["layers.raw_counts"]);
    // Two labels over three cells are too many for a batch.
    assert_eq!(found(Role::Batch), Vec::<String>::new());
    let Some(kang) = shared("multibatch/kang_ifnb_4samples.h5ad") else { return };
    let kang = AnnData::open(&kang).unwrap();
    let found = |role: Role| candidates(&kang, role).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        (found(Role::Counts), found(Role::Batch), found(Role::Labels)),
        (vec!["X".into()], vec!["obs.sample".into()], vec!["obs.cell_type".into()])
    );
}

#[test]
fn another_matrix_of_the_same_cells_becomes_a_table() {
    let mut data = small();
    let mut other = small();
    other.obs_names = vec!["c2".into(), "x".into(), "c0".into()];
    assert_eq!(add_table(&mut data, &other, "protein_expression").unwrap(), 1);
    let (name, table) = &data.parts.obsm[0];
    assert_eq!(
        (name.as_str(), table.row(0), table.row(1)[0].is_nan()),
        ("protein_expression", [0.5, 0.5].as_slice(), true)
    );
    assert_eq!(data.parts.labels["protein_expression"], ["g0", "g1"]);
    other.obs_names = vec!["x".into(), "y".into(), "z".into()];
    assert!(add_table(&mut data, &other, "p").unwrap_err().contains("none of the cells"));
    other.obs_names = vec!["c0".into(), "c1".into(), "c0".into()];
    assert!(add_table(&mut data, &other, "p").unwrap_err().contains("`c0` more than once"));
}

#[test]
fn cells_without_counts_have_components() {
    let values = vec![1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 1.0, 0.0, 5.0, 1.0];
    let dense = Matrix::Dense(Dense { n_rows: 4, n_cols: 3, values });
    let found = principal_components(&dense, 2);
    assert!(found.values.iter().all(|v| v.is_finite()), "{found:?}");
}

/// Runs `svic prep`.
fn prep(args: &[&str]) {
    let code = crate::cli::main_with_args(["svic", "prep"].iter().chain(args));
    assert_eq!(code, 0, "{args:?}");
}

#[test]
fn the_command_gives_what_scanpy_gives_step_by_step() {
    let wanted = &golden()["command"];
    let files: Vec<String> = wanted["files"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|f| shared(f.as_str().unwrap()))
        .map(|p| p.display().to_string())
        .collect();
    let [a, b] = files.as_slice() else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.h5ad").display().to_string();
    let steps = ["--min-genes", "300", "--min-cells", "20", "--hvg", "150", "--batch", "batch", "--subset"];
    prep(&[&[a, b, "-o", &out][..], &steps].concat());
    let found = AnnData::open(out.as_ref()).unwrap();
    let x = found.matrix(&FieldPath::X).unwrap();
    assert_eq!([x.n_rows(), x.n_cols()].as_slice(), chosen(&wanted["shape"]));
    let genes: Vec<&str> = wanted["genes"].as_array().unwrap().iter().map(|g| g.as_str().unwrap()).collect();
    assert_eq!(found.var_names(), genes);
    assert_eq!(x.row_totals().iter().sum::<f64>(), wanted["sum"].as_f64().unwrap());
    let batches = found.column(&FieldPath::Obs("batch".into())).unwrap().to_categories();
    assert_eq!(batches.sizes, chosen(&wanted["batches"]));
    let ends = (found.obs_names()[0].as_str(), found.obs_names().last().unwrap().as_str());
    assert_eq!(ends, (wanted["first"].as_str().unwrap(), wanted["last"].as_str().unwrap()));
}

#[test]
fn peaks_of_another_modality_are_joined_by_cell() {
    let wanted = &golden()["join"];
    let Some(file) = shared(wanted["file"].as_str().unwrap()) else { return };
    let file = file.display().to_string();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    prep(&[&file, "--modality", "atac", "-o", &path("atac.h5ad")]);
    let add = format!("peaks={}", path("atac.h5ad"));
    prep(&[&file, "--modality", "rna", "--add", &add, "-o", &path("both.h5ad")]);
    let found = AnnData::open(path("both.h5ad").as_ref()).unwrap();
    let table = found.table(&FieldPath::Obsm("peaks".into())).unwrap();
    assert_eq!(
        [table.values.n_rows, table.values.n_cols],
        [wanted["cells"].as_u64().unwrap() as usize, wanted["peaks"].as_u64().unwrap() as usize]
    );
    assert_eq!(table.labels.as_ref().map(Vec::len), Some(table.values.n_cols));
    let there: Vec<usize> = (0..found.n_obs()).filter(|&r| !table.values.row(r)[0].is_nan()).collect();
    assert_eq!(there.len() as u64, wanted["with"].as_u64().unwrap());
    let sum: f64 = there.iter().flat_map(|&r| table.values.row(r)).map(|&v| f64::from(v)).sum();
    assert_eq!(sum, wanted["sum"].as_f64().unwrap());
    for one in wanted["rows"].as_array().unwrap() {
        let cell = found.obs_names().iter().position(|c| *c == one["cell"].as_str().unwrap()).unwrap();
        let row = table.values.row(cell);
        let check: f64 = row.iter().enumerate().map(|(at, &v)| f64::from(v) * (at % 101) as f64).sum();
        assert_eq!(
            (row.iter().map(|&v| f64::from(v)).sum::<f64>(), check),
            (one["sum"].as_f64().unwrap(), one["check"].as_f64().unwrap())
        );
    }
}
