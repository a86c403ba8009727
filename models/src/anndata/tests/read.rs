//! Every real file, against what Python's anndata 0.13 reads from it.

use std::path::Path;

use super::shared;
use crate::anndata::{AnnData, AxisKind, Column, DataErrorKind, FieldPath, Matrix, UnsValue, Values};

/// File, cells, genes, (non-zeros, sum over what is not NaN) of `X`, first cell, last gene.
type Golden = (&'static str, usize, usize, Option<(usize, f64)>, &'static str, &'static str);

#[rustfmt::skip]
const GOLDEN: &[Golden] = &[
    ("atac/hemato_600x5000.h5ad", 600, 5000, Some((46359, 8.1978000000e+04)), "BMM_R2_4838", "chr2:173090822-173091322"),
    ("atac/hsmm_cicero.h5ad", 200, 6146, Some((35137, 6.9603000000e+04)), "AGCGATAGAACGAATTCGGCGCAATGACCCTATCCT", "chr18_GL456216_random_32820116_32820994"),
    ("citeseq/dsb_protein_3000.h5ad", 3000, 87, Some((217802, 5.6025200000e+06)), "GAACGGATCGAATCCA_H1B1ln2", "CD20_PROT"),
    ("citeseq/pbmc10k_200cells_3000g.h5ad", 200, 3000, Some((210020, 7.9082500000e+05)), "AAACCCAAGATTGTGA-1", "MT-CYB"),
    ("citeseq/pbmc5k_200cells_3000g.h5ad", 200, 3000, Some((244727, 1.1865800000e+06)), "AAACCCAAGAGACAAG-1", "MT-CYB"),
    ("cytometry/pbmc_cytof_bodenmiller_8samples.h5ad", 5428, 24, Some((130272, 5.5489206148e+06)), "event_0", "CD7"),
    ("doublets/cell_hashing_4lines_2000.h5ad", 2000, 2000, Some((339160, 1.2140160000e+06)), "CTGCTGTCAGGGTATG", "PRR3"),
    ("formats/10x_multiome_subset_100_100.h5ad", 100, 100, Some((13, 1.4000000000e+01)), "AAACAGCCAAACAACA-1", "SKI"),
    ("formats/anndata_v0.11.4.h5ad", 10, 20, None, "0", "19"),
    ("formats/anndata_v0.5.0.h5ad", 700, 765, Some((535433, -2.4368105799e+02)), "AAAGCCTGGCTAAC-1", "MT-ND3"),
    ("formats/anndata_v0.7.0.h5ad", 30, 20, Some((228, 2.8500000000e+02)), "cell0", "gene19"),
    ("formats/anndata_v0.7.8.h5ad", 30, 20, Some((239, 3.0200000000e+02)), "cell0", "gene19"),
    ("formats/cellxgene_nan.h5ad", 100, 100, Some((10000, -1.0855404550e+02)), "AAACATACAACCAC-1", "ST7L"),
    ("formats/cellxgene_tiny_old_dtypes.h5ad", 3, 4, Some((12, 1.2000000000e+01)), "0", "3"),
    ("formats/generated/csc_x.h5ad", 120, 80, Some((2462, 5.1940000000e+03)), "ATCATGCTGCGTAT-1", "CD58"),
    ("formats/generated/csr_int64_indices.h5ad", 120, 80, Some((2462, 5.1940000000e+03)), "ATCATGCTGCGTAT-1", "CD58"),
    ("formats/generated/csr_uint16.h5ad", 120, 80, Some((2462, 5.1940000000e+03)), "ATCATGCTGCGTAT-1", "CD58"),
    ("formats/generated/dense_f32_lzf.h5ad", 120, 80, Some((2462, 5.1940000000e+03)), "ATCATGCTGCGTAT-1", "CD58"),
    ("formats/generated/dense_f64.h5ad", 120, 80, Some((2462, 5.1940000000e+03)), "ATCATGCTGCGTAT-1", "CD58"),
    ("formats/generated/duplicate_names.h5ad", 120, 80, Some((2462, 5.1940000000e+03)), "c0", "GENE39"),
    ("formats/generated/gzip_shuffle_chunked.h5ad", 120, 80, Some((2462, 5.1940000000e+03)), "ATCATGCTGCGTAT-1", "CD58"),
    ("formats/generated/no_x.h5ad", 120, 0, None, "ATCATGCTGCGTAT-1", ""),
    ("formats/generated/nullable_string.h5ad", 120, 80, Some((2462, 5.1940000000e+03)), "ATCATGCTGCGTAT-1", "CD58"),
    ("formats/generated/obs_dtypes.h5ad", 120, 80, Some((2462, 5.1940000000e+03)), "ATCATGCTGCGTAT-1", "CD58"),
    ("formats/generated/raw_layers_obsm.h5ad", 120, 40, Some((1216, 1.2305277696e+03)), "ATCATGCTGCGTAT-1", "RRAGC"),
    ("formats/generated/zero_cells.h5ad", 0, 80, Some((0, 0.0000000000e+00)), "", "CD58"),
    ("formats/krumsiek11_nullable_v0.8.h5ad", 640, 11, Some((7018, 2.0165208013e+03)), "0", "Gfi1"),
    ("markers/cellassign_example_SIMULATED.h5ad", 500, 200, Some((67800, 3.8924200000e+06)), "Cell1", "Gene200"),
    ("multibatch/cell_lines_5batch_800g.h5ad", 1408, 800, Some((880389, 1.0081677000e+07)), "sc_celseq2:A1", "ENSG00000283475"),
    ("multibatch/kang_ifnb_4samples.h5ad", 1556, 1267, Some((585251, 2.3383960000e+06)), "ATCATGCTGCGTAT-1", "PRMT2"),
    ("multibatch/pancreas_human_mouse_2000g.h5ad", 328, 2000, Some((258748, 1.1545380000e+06)), "mouse1_lib2.final_cell_0006", "INS1"),
    ("perturb/kang_ctrl_stim_2000_1500g.h5ad", 2000, 1500, Some((740729, 2.6488100000e+06)), "ctrl_TCGCAAGAGCGATT-1", "PRMT2"),
    ("perturb/thp1_papalexi_5000.h5ad", 5000, 299, Some((336000, 1.0440690000e+06)), "cell_0", "NFKBIA"),
    ("scrna/mouse_bladder_top2000.h5ad", 2746, 2003, Some((416606, 1.3386720000e+06)), "cell_0", "gene_2002"),
    ("scrna/pbmc4k_top2000.h5ad", 4271, 2000, Some((870065, 4.5475600000e+06)), "cell_0", "gene_1999"),
    ("scrna/worm_neuron.h5ad", 4186, 3505, Some((683107, 1.2345620000e+06)), "cell_0", "gene_13453"),
    ("spatial/lymph_reference_330.h5ad", 330, 558, Some((25477, 6.6855000000e+04)), "GTAGGCCAGGACACCA.1.4861STDY7528599", "ITGB2-AS1"),
    ("spatial/lymph_visium_1000.h5ad", 1000, 2000, Some((335319, 1.0746990000e+06)), "CGAGGAGCTTCCATAT-1", "NPTXR"),
    ("spatial/mpfc_starmap.h5ad", 3704, 158, Some((150007, 1.6162470000e+06)), "cell_0", "drd1"),
    ("spatial/smfish_4530.h5ad", 4530, 33, Some((103791, 8.4762400000e+05)), "0", "Acta2"),
    ("velocity/pancreas_100_moments.h5ad", 100, 200, Some((8167, 1.2246778539e+04)), "AGCGGTCGTGTATGGG", "Pak3"),
    ("velocity/pancreas_739_800g.h5ad", 739, 800, Some((231203, 6.6654700000e+05)), "CGACCTTGTAGAAAGG", "Erdr1"),
];

fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

fn open(name: &str) -> Option<AnnData> {
    shared(name).map(|p| AnnData::open(&p).unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn every_file_reads_as_python_reads_it() {
    for &(name, n_obs, n_vars, x, first_cell, last_gene) in GOLDEN {
        let Some(data) = open(name) else { return };
        assert_eq!((data.n_obs(), data.n_vars()), (n_obs, n_vars), "{name}");
        assert_eq!(data.obs_names().first().map_or("", String::as_str), first_cell, "{name}");
        assert_eq!(data.var_names().last().map_or("", String::as_str), last_gene, "{name}");
        let Some((non_zeros, sum)) = x else {
            let error = data.matrix(&FieldPath::X).unwrap_err();
            assert_eq!(error.kind, DataErrorKind::Absent, "{name}");
            continue;
        };
        let matrix = data.matrix(&FieldPath::X).unwrap_or_else(|e| panic!("{e}"));
        let values = matrix.values();
        assert_eq!(values.iter().filter(|v| **v != 0.0).count(), non_zeros, "{name}");
        let found: f64 = values.iter().filter(|v| !v.is_nan()).map(|&v| f64::from(v)).sum();
        assert!((found - sum).abs() <= 1e-6 * sum.abs().max(1.0), "{name}: {found} {sum}");
        for column in data.obs_columns() {
            data.column(&FieldPath::Obs(column.clone())).unwrap_or_else(|e| panic!("{e}"));
        }
        for column in data.var_columns() {
            data.column(&FieldPath::Var(column.clone())).unwrap_or_else(|e| panic!("{e}"));
        }
        for layer in data.layers() {
            data.matrix(&FieldPath::Layer(layer)).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

#[test]
fn the_same_counts_in_every_encoding() {
    let Some(plain) = open("formats/generated/csr_uint16.h5ad") else { return };
    let want = plain.matrix(&FieldPath::X).unwrap();
    assert!(matches!(want, Matrix::Csr(_)));
    for name in ["csc_x", "csr_int64_indices", "gzip_shuffle_chunked", "obs_dtypes"] {
        let found = open(&format!("formats/generated/{name}.h5ad")).unwrap().matrix(&FieldPath::X).unwrap();
        assert_eq!(found, want, "{name}");
    }
    for name in ["dense_f64", "dense_f32_lzf"] {
        let found = open(&format!("formats/generated/{name}.h5ad")).unwrap().matrix(&FieldPath::X).unwrap();
        assert_eq!(found, Matrix::Dense(want.to_dense()), "{name}");
    }
    let raw = open("formats/generated/raw_layers_obsm.h5ad").unwrap();
    assert_eq!(raw.matrix(&FieldPath::RawX).unwrap(), want);
    assert_eq!(raw.matrix(&path("layers.counts")).unwrap(), raw.matrix(&path("layers.counts_csc")).unwrap());
    assert_eq!(raw.raw_var_names().unwrap().len(), 80);
    assert_eq!(
        raw.layers_holding_counts().iter().map(FieldPath::to_string).collect::<Vec<_>>(),
        ["layers.counts", "layers.counts_csc", "layers.dense", "raw.X"]
    );
}

#[test]
fn columns_of_every_type() {
    let Some(data) = open("formats/generated/obs_dtypes.h5ad") else { return };
    let column = |name: &str| data.column(&FieldPath::Obs(name.to_owned())).unwrap();
    let categories = |name: &str| column(name).to_categories();

    assert_eq!(categories("cell_type").labels, ["B cells", "CD14+ Monocytes"]);
    assert_eq!(categories("cell_type").sizes, [100, 20]);
    assert_eq!(column("nullable_int").n_missing(), 18);
    assert_eq!(categories("nullable_int").labels[..3], ["1", "2", "3"]);
    assert_eq!(column("nullable_bool").n_missing(), 24);
    assert_eq!(
        (categories("nullable_bool").labels, categories("nullable_bool").sizes),
        (vec!["False".to_owned(), "True".to_owned()], vec![48, 48])
    );
    assert_eq!(categories("cat_missing").sizes, [26, 40, 40]);
    assert_eq!(categories("cat_missing").codes[..4], [-1, 1, 2, 0]);
    assert!(matches!(column("cat_ordered").values, Values::Categorical { ordered: true, .. }));
    assert_eq!(categories("cat_ordered").labels, ["low", "mid", "high"]);
    assert!(
        matches!(column("cat_unused").values, Values::Categorical { ref categories, .. } if categories.len() == 3)
    );
    let used = categories("cat_unused");
    assert!(!used.labels.contains(&"never".to_owned()));
    assert_eq!(used.sizes.iter().sum::<usize>(), 120);
    assert_eq!(categories("cat_bool").labels, ["False", "True"]);
    assert_eq!(categories("cat_int").labels, ["0", "1", "2", "3"]);
    assert_eq!(categories("int8").labels[..3], ["0", "1", "2"]);
    assert_eq!(column("float_nan").n_missing(), 30);
    assert_eq!(categories("float_nan").labels[..3], ["0.5", "1.0", "1.5"]);
    assert_eq!(categories("bool").labels, ["False", "True"]);
    let Values::Strings(texts) = column("unicode").values else { panic!("texts are expected") };
    assert_eq!(texts[3], "naïve-β-3");
    assert_eq!(categories("unicode").labels[2], "naïve-β-10");

    let data = open("formats/generated/nullable_string.h5ad").unwrap();
    let texts = data.column(&path("obs.nullable_str")).unwrap();
    assert_eq!(texts.n_missing(), 20);
    assert!(texts.is_missing(0));
    assert!(matches!(&texts.values, Values::Strings(v) if v[1] == "s1x1"));
}

#[test]
fn records_of_version_0_5() {
    let Some(data) = open("formats/anndata_v0.5.0.h5ad") else { return };
    assert_eq!(data.obs_columns()[..3], ["bulk_labels", "n_genes", "percent_mito"]);
    let labels = data.column(&path("obs.bulk_labels")).unwrap().to_categories();
    assert_eq!(labels.labels[labels.codes[0] as usize], "CD14+ Monocyte");
    assert_eq!(labels.labels[labels.codes[1] as usize], "Dendritic");
    let louvain = data.column(&path("obs.louvain")).unwrap().to_categories();
    assert_eq!(louvain.sizes, [130, 123, 117, 70, 66, 54, 42, 35, 31, 19, 13]);
    assert!(
        matches!(data.column(&path("obs.n_genes")).unwrap().values, Values::Integer(v) if v.iter().sum::<i64>() == 830_061)
    );
    let mito = data.column(&path("obs.percent_mito")).unwrap().to_reals().unwrap();
    assert!((mito.iter().sum::<f64>() - 12.072_205).abs() < 1e-4);
    let variable = data.column(&path("var.highly_variable")).unwrap();
    assert!(matches!(variable.values, Values::Bool(v) if v.iter().filter(|b| **b).count() == 309));
    let pca = data.table(&path("obsm.X_pca")).unwrap().values;
    assert_eq!((pca.n_rows, pca.n_cols, pca.values[2], pca.row(1)[0]), (700, 50, 2.903_730_6, -7.735_241_4));
    let umap = data.table(&path("obsm.X_umap")).unwrap().values;
    assert_eq!(umap.row(699), [5.906_493_66_f64 as f32, -3.576_067_02_f64 as f32]);
    // Its raw matrix is as scanpy left it, every row from the last gene to the first: it is put in order.
    let Matrix::Csr(raw) = data.matrix(&FieldPath::RawX).unwrap() else { panic!("sparse") };
    assert_eq!(raw.row(0).0.last(), Some(&764));
    assert_eq!(data.layers_holding_counts(), []);
}

#[test]
fn version_0_7_and_uns() {
    let Some(data) = open("formats/anndata_v0.7.8.h5ad") else { return };
    let obs_cat = data.column(&path("obs.obs_cat")).unwrap();
    let labels = obs_cat.to_categories();
    assert_eq!(labels.labels[labels.codes[0] as usize], "h");
    assert!(matches!(
        data.column(&path("obs.cat_ordered")).unwrap().values,
        Values::Categorical { ordered: true, .. }
    ));
    assert!(
        matches!(data.column(&path("obs.int64")).unwrap().values, Values::Integer(v) if v[..3] == [-16, -15, 0])
    );
    assert_eq!(data.uns(&path("uns.nested.scalar_str")).unwrap(), UnsValue::Text("str".into()));
    assert_eq!(data.uns(&path("uns.nested.scalar_int")).unwrap(), UnsValue::Integer(42));
    let array = data.uns(&path("uns.nested.nested_further.array")).unwrap();
    assert_eq!(array, UnsValue::Integers(vec![5], vec![0, 1, 2, 3, 4]));
    let error = data.table(&path("obsm.df")).unwrap_err();
    assert!(error.message.contains("numbers are expected"), "{error}");

    let data = open("formats/generated/raw_layers_obsm.h5ad").unwrap();
    let protein = data.table(&path("obsm.protein")).unwrap();
    assert_eq!(protein.labels.unwrap(), ["A", "B", "C", "D"]);
    assert_eq!(protein.values.row(1), [8.0, 5.0, 7.0, 4.0]);
    assert_eq!(data.table(&path("obsm.sparse")).unwrap().values.n_cols, 6);
    let UnsValue::Map(nested) = data.uns(&path("uns.nested")).unwrap() else {
        panic!("a dictionary is expected")
    };
    assert_eq!(nested["flag"], UnsValue::Bool(true));
    let UnsValue::Map(inner) = &nested["b"] else { panic!("a dictionary is expected") };
    assert_eq!(inner["l"], UnsValue::Texts(vec!["x".into(), "y".into()]));
}

#[test]
fn modalities_of_mudata() {
    for name in ["mudata_v0.1.2_axis0", "mudata_v0.3.10_axis0", "mudata_v0.4.1_axis0"] {
        let Some(data) = open(&format!("formats/{name}.h5mu")) else { return };
        assert_eq!(data.modality_names(), ["mod2", "mod1"], "{name}");
        assert_eq!(data.matrix_shape(&path("mod.mod2.X")).unwrap(), (100, 30), "{name}");
        assert!(!data.has_x() && data.modality("mod1").unwrap().has_raw());
        let axes = data.axes(&path("mod.mod1.X")).unwrap();
        assert_eq!((axes[0].kind, axes[0].modality.as_deref()), (AxisKind::Obs, Some("mod1")));
        assert_eq!((axes[0].labels.len(), axes[1].labels.len()), (100, 20));
        assert!(data.candidates(&FieldPath::X).contains(&"mod.mod1.raw.X".to_owned()));
        let error = data.matrix(&path("mod.mod3.X")).unwrap_err();
        assert!(error.help.unwrap().contains("`mod1`"));
        let error = data.column(&path("mod.mod1.var.nothing")).unwrap_err().to_string();
        assert!(
            error.contains("`mod.mod1.var.nothing`") && error.contains("`mod.mod1.var.assert-bool`"),
            "{error}"
        );
    }
}

#[test]
fn cells_that_some_modalities_lack() {
    let Some(data) = open("multiome/tumor_multiome_mosaic.h5mu") else { return };
    let rows = |name: &str| data.modality_rows(name).unwrap();
    let both = rows("rna").iter().zip(rows("atac")).filter(|(r, a)| r.is_some() && a.is_some()).count();
    assert_eq!((data.n_obs(), both), (1717, 1470));
    let rna = data.modality("rna").unwrap();
    for (cell, row) in rows("rna").iter().enumerate() {
        if let Some(row) = *row {
            assert_eq!(data.obs_names()[cell], rna.obs_names()[row]);
        }
    }
    // The same from labels alone, as for files that are put together.
    let parts = ["rna", "atac"].map(|name| (name.to_owned(), data.modality(name).unwrap().clone()));
    let joined = AnnData::from_modalities(parts.to_vec()).unwrap();
    assert_eq!(joined.n_obs(), 1717);
    assert_eq!(joined.modality_rows("atac").unwrap().iter().flatten().count(), 1595);
    assert_eq!(joined.matrix(&path("mod.atac.X")).unwrap(), data.matrix(&path("mod.atac.X")).unwrap());
}

#[test]
fn rows_straight_from_the_file() {
    for (name, field) in [
        ("multiome/tumor_multiome_mosaic.h5mu", "mod.rna.X"),
        ("formats/generated/csr_uint16.h5ad", "X"),
        ("formats/generated/csc_x.h5ad", "X"),
        ("formats/generated/dense_f32_lzf.h5ad", "X"),
        ("formats/generated/raw_layers_obsm.h5ad", "layers.counts"),
    ] {
        let Some(data) = open(name) else { return };
        let (whole, reader) = (data.matrix(&path(field)).unwrap(), data.row_reader(&path(field)).unwrap());
        let n = whole.n_rows();
        assert_eq!((reader.n_rows(), reader.n_cols()), (n, whole.n_cols()));
        for rows in [0..0, 0..1, 3..17, n - 1..n, 0..n] {
            assert_eq!(reader.read(rows.clone()).unwrap(), whole.rows(rows.clone()), "{name} {rows:?}");
        }
        assert!(reader.read(n..n + 1).is_err());
    }
}

#[test]
fn other_files_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let error = AnnData::open(&file).unwrap_err();
        assert_eq!(error.kind, DataErrorKind::Unreadable, "{error}");
        error.to_string()
    };
    assert!(refused("a.rds", b"X").contains(".h5ad, .h5mu"));
    assert!(refused("a.h5ad", b"").contains("the file is empty"));
    assert!(refused("a.h5ad.gz", &[0x1f, 0x8b, 0]).contains("gzip"));
    assert!(refused("a.zip", b"PK").contains("zip archive"));
    assert!(AnnData::open(dir.path()).unwrap_err().message.contains("neither a zarr store"));
    assert!(AnnData::open(&dir.path().join("none")).unwrap_err().message.contains("no such file"));
}

#[test]
fn what_is_absent_is_said_with_what_there_is() {
    let Some(data) = open("formats/generated/raw_layers_obsm.h5ad") else { return };
    let error = data.matrix(&path("layers.count")).unwrap_err();
    assert_eq!(error.code(), "E0702");
    assert!(error.to_string().contains("`layers.counts`"), "{error}");
    let error = data.column(&path("obs.batch")).unwrap_err();
    assert!(error.to_string().contains("`obs.condition`"), "{error}");
    let no_x = open("formats/anndata_v0.11.4.h5ad").unwrap();
    let error = no_x.matrix(&FieldPath::X).unwrap_err();
    assert!(error.to_string().contains("no `X`"), "{error}");
}

#[test]
fn columns_become_categories_as_pandas_makes_them() {
    let ints = Column::new(Values::Integer(vec![10, 9, -1, 10])).to_categories();
    assert_eq!((ints.labels, ints.codes), (vec!["-1".to_owned(), "9".into(), "10".into()], vec![2, 1, 0, 2]));
    let reals = Column::new(Values::Real(vec![2.0, -0.0, f64::NAN, 0.0, -3.5])).to_categories();
    assert_eq!(
        (reals.labels, reals.codes),
        (vec!["-3.5".to_owned(), "0.0".into(), "2.0".into()], vec![2, 1, -1, 1, 0])
    );
    let texts = Column {
        values: Values::Strings(vec!["b".into(), "".into(), "a".into()]),
        missing: Some(vec![false, true, false]),
    };
    assert_eq!(texts.to_categories().labels, ["a", "b"]);
}

/// What `golden/make_stores.py` wrote, by formula.
#[test]
fn zarr_stores_of_both_versions() {
    for version in ["v2", "v3"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("src/anndata/tests/golden/small.{version}.zarr.zip"));
        let data = AnnData::open(&file).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((data.n_obs(), data.n_vars()), (30, 7));
        assert_eq!((data.obs_names()[29].as_str(), data.var_names()[6].as_str()), ("c29", "g6"));
        let x = data.matrix(&FieldPath::X).unwrap();
        assert!(matches!(x, Matrix::Csr(_)));
        let value = |i: usize, j: usize| ((i * 7 + j * 3) % 5) as f32;
        let wanted: Vec<f32> = (0..30).flat_map(|i| (0..7).map(move |j| value(i, j))).collect();
        assert_eq!(x.to_dense().values, wanted);
        assert_eq!(data.matrix(&path("layers.csc")).unwrap().to_dense().values, wanted);
        let half: Vec<f32> = wanted.iter().map(|v| v / 2.0).collect();
        assert_eq!(data.matrix(&path("layers.dense")).unwrap().to_dense().values, half);
        assert_eq!(data.matrix(&path("raw.X")).unwrap().n_cols(), 9);
        let column =
            |name: &str| data.column(&FieldPath::Obs(name.to_owned())).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(column("kind").values, Values::Categorical { ordered: true, .. }));
        assert_eq!(
            (column("some").n_missing(), column("maybe").n_missing(), column("perhaps").n_missing()),
            (8, 6, 6)
        );
        assert_eq!(column("number").to_reals().unwrap()[29], 7.25);
        assert!(matches!(column("flag").values, Values::Bool(v) if v[0] && !v[1]));
        assert!(matches!(column("text").values, Values::Strings(v) if v[29] == "t29"));
        let protein = data.table(&path("obsm.protein")).unwrap();
        assert_eq!(
            (protein.labels.unwrap(), protein.values.row(29)),
            (vec!["p1".into(), "p2".into()], [29.0, 58.0].as_slice())
        );
        assert_eq!(data.table(&path("obsm.spatial")).unwrap().values.row(3), [3.0, -3.0]);
        assert_eq!(data.uns(&path("uns.nested.a.b")).unwrap(), UnsValue::Integer(1));
        assert_eq!(data.matrix(&path("obsp.graph")).unwrap().values().len(), 30);
        let reader = data.row_reader(&FieldPath::X).unwrap();
        assert_eq!(reader.read(11..17).unwrap(), x.rows(11..17));
    }
}

fn own(name: &str) -> AnnData {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/anndata/tests/golden").join(name);
    AnnData::open(&file).unwrap_or_else(|e| panic!("{e}"))
}

/// What `golden/make_encodings.py` wrote, by formula.
fn formula(n_cols: usize) -> Vec<f32> {
    (0..12).flat_map(|i| (0..n_cols).map(move |j| ((7 * i + 3 * j) % 5) as f32)).collect()
}

#[test]
fn numbers_of_every_type_and_index_width() {
    let data = own("encodings.h5ad");
    let layers = data.layers();
    assert_eq!(layers.len(), 2 * 16 + 10 + 3);
    for layer in layers {
        let path = FieldPath::Layer(layer.clone());
        let found = data.matrix(&path).unwrap_or_else(|e| panic!("{layer}: {e}"));
        assert_eq!(matches!(found, Matrix::Csr(_)), ["csr", "csc", "ind"].contains(&&layer[..3]), "{layer}");
        assert_eq!(found.to_dense().values, formula(7), "{layer}");
        let rows = data.row_reader(&path).unwrap();
        assert_eq!(rows.read(2..9).unwrap().to_dense().values, formula(7)[14..63], "{layer}");
    }
    let column = |name: &str| data.column(&FieldPath::Obs(name.to_owned())).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(column("whole").n_missing(), 4);
    assert_eq!(column("half").to_reals().unwrap(), [0.5; 12]);
    assert!(data.uns(&path("uns.records")).is_err_and(|e| e.kind == DataErrorKind::Malformed));
    let _ = data.uns(&path("uns.frame"));
}

#[test]
fn modalities_that_share_genes() {
    let data = own("axis1.h5mu");
    assert_eq!((data.n_obs(), data.modality_names()), (24, vec!["one", "other"]));
    assert_eq!(data.matrix(&path("mod.one.X")).unwrap().to_dense().values, formula(7));
    assert_eq!(data.matrix(&path("mod.other.X")).unwrap().to_dense().values, formula(5));
    let rows = data.modality_rows("other").unwrap();
    assert_eq!((rows[..12].iter().flatten().count(), rows[12], rows[23]), (0, Some(0), Some(11)));
}

#[test]
fn modalities_that_share_cells_and_genes() {
    let data = own("axis_both.h5mu");
    assert_eq!((data.n_obs(), data.n_vars(), data.modality_names()), (12, 7, vec!["one", "twice", "back"]));
    let x = |name: &str| data.matrix(&path(&format!("mod.{name}.X"))).unwrap().to_dense();
    assert_eq!(x("one").values, formula(7));
    assert_eq!(x("twice").values, formula(7).iter().map(|v| v * 2.0).collect::<Vec<_>>());
    let rows = data.modality_rows("back").unwrap();
    for (cell, row) in rows.into_iter().enumerate() {
        assert_eq!(row, Some(11 - cell));
        assert_eq!(x("back").row(11 - cell), x("one").row(cell));
    }
}

#[test]
fn feature_types_of_10x_are_modalities() {
    let data = own("antibodies.h5");
    assert_eq!(data.n_obs(), 12);
    let names = data.modality_names();
    assert_eq!(names.len(), 2, "{names:?}");
    let part = |name: &str| data.matrix(&format!("mod.{name}.X").parse().unwrap()).unwrap().to_dense();
    let whole = formula(7);
    let columns =
        |from: usize, to: usize| -> Vec<f32> { whole.chunks(7).flat_map(|r| r[from..to].to_vec()).collect() };
    assert_eq!((part(names[0]).values, part(names[1]).values), (columns(0, 5), columns(5, 7)), "{names:?}");
}
