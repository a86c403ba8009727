//! Registration of real and of small made files.

use std::path::PathBuf;

use super::*;
use crate::anndata::tests::shared;
use crate::anndata::{Additions, Column, Csr, Dense, Matrix, NewAnnData, Values, WriteOptions, write_new};

fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

fn slot(name: &str, kind: SlotKind, dims: SlotDims, source: &str) -> SlotSpec {
    SlotSpec::new(name, kind, dims, vec![path(source)])
}

fn counts(source: &str) -> SlotSpec {
    slot("x", SlotKind::Count, SlotDims::CellsByGenes, source)
}

fn batch(source: &str) -> SlotSpec {
    slot("batch", SlotKind::Category, SlotDims::Cells, source)
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

fn texts(values: &[&str]) -> Column {
    Column::new(Values::Strings(strings(values)))
}

/// Four cells, three genes: cell 1 is empty.
fn made(dir: &tempfile::TempDir, name: &str, genes: &[&str], batches: &[&str; 4]) -> PathBuf {
    let n = genes.len();
    let values: Vec<f32> = (0..4 * n).map(|at| if at / n == 1 { 0.0 } else { (at % 5) as f32 }).collect();
    let dense = Dense { n_rows: 4, n_cols: n, values };
    let file = dir.path().join(name);
    let new = NewAnnData {
        obs_names: strings(&["c0", "c1", "c2", "c3"]),
        var_names: strings(genes),
        x: Some(Matrix::Dense(dense.clone())),
        parts: Additions {
            obs: vec![
                ("batch".into(), texts(batches)),
                ("mito".into(), Column::new(Values::Real(vec![0.1, 0.2, f64::NAN, 0.4]))),
                ("depth".into(), Column::new(Values::Real(vec![1.0, 2.0, 3.0, -4.0]))),
            ],
            var: vec![("len".into(), Column::new(Values::Integer((1..=n as i64).collect())))],
            obsm: vec![(
                "prot".into(),
                Dense { n_rows: 4, n_cols: 2, values: vec![1., 0., 2., 0., 3., 4., 5., 6.] },
            )],
            layers: vec![(
                "log".into(),
                Matrix::Dense(Dense { values: dense.values.iter().map(|v| v.ln_1p()).collect(), ..dense }),
            )],
            ..Additions::default()
        },
    };
    write_new(&file, &new, WriteOptions::default()).unwrap();
    file
}

fn codes_of(problems: &[Problem]) -> Vec<(Severity, &'static str)> {
    problems.iter().map(|p| (p.severity, p.code)).collect()
}

#[test]
fn slots_of_a_real_file() {
    let Some(file) = shared("multibatch/kang_ifnb_4samples.h5ad") else { return };
    let data = AnnData::open(&file).unwrap();
    let mut covariates =
        SlotSpec::new("covs", SlotKind::Covariates, SlotDims::Cells, vec![path("obs.condition")]);
    covariates.explicit = true;
    let slots = [counts("X"), batch("obs.sample"), covariates];
    let registry = Registry::register(&data, &slots).unwrap();
    assert_eq!((registry.n_cells(), registry.n_genes()), (1556, 1267));
    let Some(SlotData::Codes(codes)) = registry.slot("batch") else { panic!("codes are expected") };
    assert_eq!(codes.labels.len(), 4);
    assert_eq!(codes.sizes.iter().sum::<usize>(), 1556);
    assert_eq!(registry.vocabulary().categories["covs/obs.condition"], ["ctrl", "stim"]);
    let Some(SlotData::Matrix { values: Matrix::Csr(Csr { n_cols, .. }) }) = registry.slot("x") else {
        panic!("a sparse matrix is expected")
    };
    assert_eq!(*n_cols, 1267);

    // The same file under its own vocabulary is unchanged.
    let again = Registry::register_with(&data, &slots, registry.vocabulary()).unwrap();
    assert_eq!(again.slot("x"), registry.slot("x"));
    assert_eq!(again.slot("batch"), registry.slot("batch"));
    assert!(again.problems().is_empty());
}

#[test]
fn absent_columns_come_with_the_nearest_names() {
    let Some(file) = shared("multibatch/kang_ifnb_4samples.h5ad") else { return };
    let data = AnnData::open(&file).unwrap();
    let problems = Registry::register(&data, &[batch("obs.smaple")]).unwrap_err();
    assert_eq!(codes_of(&problems), [(Severity::Error, "E0702")]);
    assert_eq!(problems[0].candidates[0], "obs.sample");
    assert!(problems[0].to_string().contains("--bind batch=obs.sample"), "{}", problems[0]);
    assert!(problems[0].candidates.contains(&"obs.condition".to_owned()));

    let mut optional = batch("obs.nothing");
    optional.optional = true;
    let registry = Registry::register(&data, &[optional.clone()]).unwrap();
    let Some(SlotData::Codes(codes)) = registry.slot("batch") else { panic!("codes are expected") };
    assert_eq!(
        (codes.labels.as_slice(), codes.sizes.as_slice()),
        (["all".to_owned()].as_slice(), [1556].as_slice())
    );
    optional.explicit = true;
    assert!(Registry::register(&data, &[optional]).is_err());
}

#[test]
fn not_counts_names_what_holds_counts() {
    let Some(file) = shared("formats/generated/raw_layers_obsm.h5ad") else { return };
    let data = AnnData::open(&file).unwrap();
    let problems = Registry::register(&data, &[counts("X")]).unwrap_err();
    assert_eq!(codes_of(&problems), [(Severity::Error, "E0703")]);
    assert!(problems[0].message.contains("1.0986123"), "{}", problems[0]);
    assert!(problems[0].message.contains("ATCATGCTGCGTAT-1"), "{}", problems[0]);
    assert_eq!(problems[0].candidates, ["layers.counts", "layers.counts_csc", "layers.dense", "raw.X"]);
    assert!(problems[0].help.as_ref().unwrap().contains("x=layers.counts"));
    let registry = Registry::register(&data, &[counts("raw.X")]).unwrap();
    assert_eq!(registry.n_genes(), 80);
    let mixed = [counts("raw.X"), slot("y", SlotKind::Real, SlotDims::CellsByGenes, "X")];
    assert_eq!(codes_of(&Registry::register(&data, &mixed).unwrap_err()), [(Severity::Error, "E0308")]);
}

#[test]
fn warnings_name_empty_cells_and_small_categories() {
    let dir = tempfile::tempdir().unwrap();
    let data = AnnData::open(&made(&dir, "a.h5ad", &["g0", "g1", "g2"], &["b", "a", "b", "b"])).unwrap();
    let registry = Registry::register(&data, &[counts("X"), batch("obs.batch")]).unwrap();
    assert_eq!(codes_of(registry.problems()), [(Severity::Warning, "W0704"), (Severity::Warning, "W0705")]);
    assert!(
        registry.problems()[0].message.contains("1 cells") && registry.problems()[0].message.contains("`c1`")
    );
    assert!(registry.problems()[1].message.contains("a (1)"));
}

#[test]
fn values_outside_the_support_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let data = AnnData::open(&made(&dir, "a.h5ad", &["g0", "g1", "g2"], &["a"; 4])).unwrap();
    let refused = [
        slot("s", SlotKind::Positive, SlotDims::Cells, "obs.depth"),
        slot("s", SlotKind::Unit, SlotDims::Cells, "obs.depth"),
        slot("s", SlotKind::Real, SlotDims::Cells, "obs.mito"),
        slot("s", SlotKind::Real, SlotDims::Cells, "obs.batch"),
        slot("s", SlotKind::Simplex, SlotDims::CellsBy("p".into()), "obsm.prot"),
        slot("s", SlotKind::Bool, SlotDims::Genes, "var.len"),
        slot("s", SlotKind::Index("gene".into()), SlotDims::Genes, "var.len"),
    ];
    for spec in refused {
        let problems = Registry::register(&data, std::slice::from_ref(&spec)).unwrap_err();
        assert_eq!(codes_of(&problems), [(Severity::Error, "E0713")], "{spec:?}");
    }
    let misplaced = [
        slot("s", SlotKind::Real, SlotDims::Cells, "var.len"),
        slot("s", SlotKind::Real, SlotDims::CellsByGenes, "obs.depth"),
        slot("s", SlotKind::Category, SlotDims::Genes, "obs.batch"),
        slot("s", SlotKind::Count, SlotDims::CellsByGenes, "obsm.prot"),
    ];
    for spec in misplaced {
        assert_eq!(codes_of(&Registry::register(&data, &[spec]).unwrap_err()), [(Severity::Error, "E0308")]);
    }
    let mut with_nan = slot("s", SlotKind::Real, SlotDims::Cells, "obs.mito");
    with_nan.missing = Missing::Nan;
    let registry =
        Registry::register(&data, &[with_nan, slot("l", SlotKind::Positive, SlotDims::Genes, "var.len")])
            .unwrap();
    assert!(matches!(registry.slot("s"), Some(SlotData::Vector(v)) if v[2].is_nan() && v[3] == 0.4));
    assert_eq!(registry.slot("l"), Some(&SlotData::Vector(vec![1.0, 2.0, 3.0])));
}

#[test]
fn missing_labels_and_missing_proteins() {
    let dir = tempfile::tempdir().unwrap();
    let data = AnnData::open(&made(&dir, "a.h5ad", &["g0", "g1"], &["a", "a", "Unknown", "b"])).unwrap();
    let mut label = batch("obs.batch");
    label.missing = Missing::Label("Unknown".into());
    let mut protein = slot("y", SlotKind::Count, SlotDims::CellsBy("protein".into()), "obsm.prot");
    protein.missing = Missing::ZerosBy("batch".into());
    let registry = Registry::register(&data, &[protein, label]).unwrap();
    let Some(SlotData::Codes(codes)) = registry.slot("batch") else { panic!("codes are expected") };
    assert_eq!(
        (codes.codes.as_slice(), codes.labels.as_slice()),
        ([0, 0, -1, 1].as_slice(), strings(&["a", "b"]).as_slice())
    );
    assert_eq!(registry.vocabulary().axes["protein"], ["0", "1"]);
}

#[test]
fn a_trained_vocabulary_rules_new_data() {
    let dir = tempfile::tempdir().unwrap();
    let old = AnnData::open(&made(&dir, "old.h5ad", &["g0", "g1", "g2"], &["b", "a", "b", "a"])).unwrap();
    let slots = [counts("X"), batch("obs.batch")];
    let trained = Registry::register(&old, &slots).unwrap();

    let new = AnnData::open(&made(&dir, "new.h5ad", &["g2", "extra", "g0"], &["a", "a", "a", "a"])).unwrap();
    let registry = Registry::register_with(&new, &slots, trained.vocabulary()).unwrap();
    let Some(SlotData::Matrix { values }) = registry.slot("x") else { panic!("a matrix is expected") };
    let file = new.matrix(&FieldPath::X).unwrap().to_dense();
    for row in 0..4 {
        let (from, to) = (file.row(row), values.to_dense().row(row).to_vec());
        assert_eq!(to, [from[2], 0.0, from[0]]);
    }
    let Some(SlotData::Codes(codes)) = registry.slot("batch") else { panic!("codes are expected") };
    assert_eq!((codes.codes.as_slice(), codes.sizes.as_slice()), ([0; 4].as_slice(), [4, 0].as_slice()));
    let alignment = registry.alignment("gene").unwrap();
    assert_eq!((alignment.missing.as_slice(), alignment.n_extra), (["g1".to_owned()].as_slice(), 1));
    assert_eq!(registry.vocabulary(), trained.vocabulary());
    assert!(codes_of(registry.problems()).contains(&(Severity::Warning, "W0706")));

    let unseen =
        AnnData::open(&made(&dir, "unseen.h5ad", &["g0", "g1", "g2"], &["a", "c", "c", "b"])).unwrap();
    let problems = Registry::register_with(&unseen, &slots, trained.vocabulary()).unwrap_err();
    assert_eq!(problems[0].code, "E0707");
    assert!(problems[0].message.contains("c (2 cells)"), "{}", problems[0]);

    let other = AnnData::open(&made(&dir, "other.h5ad", &["h0", "h1"], &["a"; 4])).unwrap();
    let problems = Registry::register_with(&other, &slots, trained.vocabulary()).unwrap_err();
    assert_eq!(problems[0].code, "E0706");
}

#[test]
fn proteins_of_two_panels() {
    let names = ["citeseq/pbmc5k_200cells_3000g.h5ad", "citeseq/pbmc10k_200cells_3000g.h5ad"];
    let (Some(large), Some(small)) = (shared(names[0]), shared(names[1])) else { return };
    let spec = [slot("y", SlotKind::Count, SlotDims::CellsBy("protein".into()), "obsm.protein_expression")];
    let trained = Registry::register(&AnnData::open(&large).unwrap(), &spec).unwrap();
    let registry =
        Registry::register_with(&AnnData::open(&small).unwrap(), &spec, trained.vocabulary()).unwrap();
    let Some(SlotData::Matrix { values }) = registry.slot("y") else { panic!("a matrix is expected") };
    assert_eq!(values.n_cols(), 29);
    assert_eq!(registry.alignment("protein").unwrap().missing.len(), 15);
}

#[test]
fn nearest_names() {
    let names = strings(&["Batch", "batch_id", "cell_type", "cell type 2", "n_genes"]);
    assert_eq!(nearest("batch", &names, 3), ["Batch", "batch_id"]);
    assert_eq!(nearest("celltype", &names, 3), ["cell_type", "cell type 2"]);
    assert_eq!(nearest("xyz", &names, 3), Vec::<String>::new());
    assert_eq!(nearest("", &names, 3), Vec::<String>::new());
}
