//! What each model of the library says of data that are not for it: one error that names file, field and remedy, exit
//! code 1, and nothing written.

use crate::command::{files, svic};
use std::collections::BTreeMap;
use std::path::Path;
use svi::anndata::{
    Additions, Column, Dense, Matrix, NewAnnData, Values, WriteOptions, write_new, write_new_mudata,
};

const CELLS: usize = 30;
const GENES: usize = 8;

fn names(stem: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{stem}{i}")).collect()
}

fn table(columns: usize, value: impl Fn(usize) -> f32) -> Dense {
    Dense { n_rows: CELLS, n_cols: columns, values: (0..CELLS * columns).map(value).collect() }
}

fn count(i: usize) -> f32 {
    ((i * 7 + i / GENES) % 5 + 1) as f32
}

/// Counts of genes of these names.
fn cells(stem: &str) -> NewAnnData {
    NewAnnData {
        obs_names: names("cell", CELLS),
        var_names: names(stem, GENES),
        x: Some(Matrix::Dense(table(GENES, count))),
        parts: Additions::default(),
    }
}

fn with_x(value: impl Fn(usize) -> f32) -> NewAnnData {
    NewAnnData { x: Some(Matrix::Dense(table(GENES, value))), ..cells("gene") }
}

/// With a column of labels, `None` for a missing one.
fn labelled(column: &str, label: impl Fn(usize) -> Option<&'static str>) -> NewAnnData {
    let mut categories: Vec<String> = (0..CELLS).filter_map(&label).map(str::to_owned).collect();
    categories.sort();
    categories.dedup();
    let code = |i| label(i).and_then(|l| categories.iter().position(|c| c == l)).map_or(-1, |c| c as i32);
    let codes = (0..CELLS).map(code).collect();
    let mut data = cells("gene");
    let values = Values::Categorical { codes, categories, ordered: false };
    data.parts.obs.push((column.into(), Column::new(values)));
    data
}

fn half(i: usize) -> Option<&'static str> {
    Some(if i.is_multiple_of(2) { "A" } else { "B" })
}

fn with_layers(layers: &[(&str, &dyn Fn(usize) -> f32)]) -> NewAnnData {
    let mut data = cells("gene");
    data.parts.layers =
        layers.iter().map(|(name, value)| ((*name).into(), Matrix::Dense(table(GENES, value)))).collect();
    data
}

fn with_proteins(value: impl Fn(usize) -> f32) -> NewAnnData {
    let mut data = labelled("batch", |i| Some(if i < CELLS / 2 { "one" } else { "two" }));
    data.parts.obsm.push(("protein_expression".into(), table(4, value)));
    data.parts.labels = BTreeMap::from([("protein_expression".into(), names("CD", 4))]);
    data
}

fn write(folder: &Path, name: &str, data: &NewAnnData) {
    write_new(&folder.join(name), data, WriteOptions::default()).expect("the fixture is written");
}

fn write_parts(folder: &Path, name: &str, parts: &[(&str, NewAnnData)]) {
    let var_names = parts.iter().flat_map(|(_, d)| d.var_names.clone()).collect();
    let whole = NewAnnData { obs_names: names("cell", CELLS), var_names, ..NewAnnData::default() };
    let parts: Vec<_> = parts.iter().map(|(n, d)| ((*n).to_owned(), d.clone())).collect();
    write_new_mudata(&folder.join(name), &whole, &parts, WriteOptions::default()).expect("written");
}

/// Every file that the cases speak of.
fn prepare(folder: &Path) {
    let covered: &dyn Fn(usize) -> f32 = &|i| (count(i) + 1.0) * 2.0;
    let whole: &dyn Fn(usize) -> f32 = &count;
    let half_read: &dyn Fn(usize) -> f32 = &|i| count(i) * 0.5;
    let moments: &dyn Fn(usize) -> f32 = &|i| count(i) * 0.3;
    let mut sized = cells("gene");
    sized.parts.obs.push(("size_factor".into(), Column::new(Values::Real(vec![1.0; CELLS]))));
    let mut smoothed = labelled("clusters", half);
    smoothed.parts.layers.push(("Ms".into(), Matrix::Dense(table(GENES, moments))));
    let mut latent = labelled("doublet", |_| Some("singlet"));
    latent.parts.obsm.push(("X_scVI".into(), table(3, count)));
    let mut logged = with_x(|i| count(i).ln_1p());
    logged.parts.layers.push(("counts".into(), Matrix::Dense(table(GENES, count))));
    let in_b = |i: usize| if i < CELLS / 2 * 4 { count(i) } else { 0.0 };
    for (name, data) in [
        ("rna", cells("gene")),
        ("logged", logged),
        ("fractions", with_x(half_read)),
        ("zeros", with_x(|_| 0.0)),
        ("typed", labelled("cell_type", half)),
        ("clusters", labelled("leiden", half)),
        ("unknown", labelled("cell_type", |_| Some("Unknown"))),
        ("gaps", labelled("cell_type", |i| half(i).filter(|_| i > 4))),
        ("one_type", labelled("cell_type", |i| Some(if i < 9 { "A" } else { "Unknown" }))),
        ("new_type", labelled("cell_type", |i| Some(if i < 9 { "A" } else { "C" }))),
        ("one_group", labelled("condition", |_| Some("control"))),
        ("groups", labelled("condition", half)),
        ("cite", with_proteins(count)),
        ("no_protein", with_proteins(|_| 0.0)),
        ("one_batch", with_proteins(in_b)),
        ("log_protein", with_proteins(|i| count(i).ln_1p())),
        ("sized", sized),
        ("smoothed", smoothed),
        ("latent", latent),
        ("other_genes", cells("ENSG")),
        ("upper", cells("GENE")),
        ("spliced", with_layers(&[("spliced", whole), ("unspliced", whole)])),
    ] {
        write(folder, &format!("{name}.h5ad"), &data);
    }
    let met = |mc, cov| with_layers(&[("mc", mc), ("cov", cov)]);
    write_parts(folder, "atac.h5mu", &[("atac", cells("chr1:"))]);
    write_parts(folder, "multiome.h5mu", &[("rna", cells("gene")), ("atac", cells("chr1:"))]);
    write_parts(folder, "cite.h5mu", &[("rna", cells("gene")), ("prot", cells("CD"))]);
    write_parts(folder, "met.h5mu", &[("mCG", met(whole, covered))]);
    write_parts(folder, "met_share.h5mu", &[("mCG", met(half_read, covered))]);
    write_parts(folder, "met_swapped.h5mu", &[("mCG", met(covered, whole))]);
    write_parts(folder, "met_uncovered.h5mu", &[("mCG", with_layers(&[("mc", whole)]))]);
    for (name, text) in [
        ("strangers.csv", "gene,T,B\nFOO,1,0\nBAR,0,1\n"),
        ("upper.csv", "gene,T,B\nGENE0,1,0\nGENE1,0,1\n"),
        ("across.csv", "type,gene0,gene1\nT,1,0\nB,0,1\n"),
        ("weights.csv", "gene,T,B\ngene0,0.5,0\ngene1,0,1\n"),
    ] {
        std::fs::write(folder.join(name), text).expect("written");
    }
    for (model, data, out) in [
        ("scvi", "rna.h5ad", "scvi"),
        ("scanvi", "typed.h5ad", "scanvi"),
        ("stereoscope_rna", "typed.h5ad", "ref"),
    ] {
        let out = format!("{out}.h5ad");
        svic(folder, &["run", model, data, "--epochs", "1", "-q", "-o", &out]).expect(0, &[]);
        std::fs::remove_file(folder.join(out)).expect("written");
    }
}

/// A command, and what its one error says.
const CASES: &[(&str, &[&str])] = &[
    // Fields that are missing.
    ("run scvi_size_factor rna.h5ad", &["E0702", "rna.h5ad", "`obs.size_factor`"]),
    ("run scanvi rna.h5ad", &["E0702", "`type`", "rna.h5ad", "`obs.cell_type`"]),
    ("run scanvi clusters.h5ad", &["E0702", "`obs.cell_type`", "--bind type=obs.leiden"]),
    ("run condscvi clusters.h5ad", &["E0702", "`obs.cell_type`", "--bind type=obs.leiden"]),
    ("run stereoscope_rna other_genes.h5ad", &["E0702", "other_genes.h5ad", "`obs.cell_type`"]),
    ("run contrastivevi rna.h5ad", &["E0702", "rna.h5ad", "`obs.condition`"]),
    ("run totalvi rna.h5ad", &["E0702", "rna.h5ad", "`obsm.protein_expression`"]),
    (
        "run totalvi cite.h5mu --bind x=mod.rna.X",
        &["E0702", "`obsm.protein_expression`", "--bind y=mod.prot.X"],
    ),
    ("run solo latent.h5ad --bind kind=obs.kind", &["E0702", "`obs.kind`", "obs.doublet"]),
    (
        "run solo groups.h5ad --bind kind=obs.condition",
        &["E0702", "groups.h5ad", "`obsm.X_scVI`", "svic apply"],
    ),
    ("run cellassign sized.h5ad", &["E0702", "`varm.markers`", "--bind marker="]),
    ("run cellassign rna.h5ad --bind marker=across.csv", &["E0702", "`obs.size_factor`"]),
    ("run velovi smoothed.h5ad", &["E0702", "`layers.Mu`", "svic prep --moments"]),
    (
        "run velovi spliced.h5ad --bind u=layers.unspliced",
        &["E0702", "`layers.Ms`", "layers.spliced", "svic prep --moments"],
    ),
    (
        "run methylvi met_uncovered.h5mu --set contexts=one",
        &["E0702", "met_uncovered.h5mu", "`mod.mCG.layers.cov`"],
    ),
    ("run stereoscope_spatial other_genes.h5ad", &["E0702", "stereoscope_rna", "--load ref="]),
    // Another modality.
    ("run multivi rna.h5ad", &["E0702", "rna.h5ad has no modality `rna`", "rna=FILE", "--bind x=X"]),
    ("run multivi atac.h5mu", &["E0702", "atac.h5mu has no modality `rna`; it has `atac`"]),
    ("run methylvi rna.h5ad", &["E0702", "no modalities `mCG`, `mCH`"]),
    ("run methylvi met.h5mu", &["E0702", "no modality `mCH`; it has `mCG`", "contexts=one"]),
    ("run tangram rna.h5ad", &["E0702", "no modalities `sc`, `sp`", "sc=FILE sp=FILE"]),
    ("run tangram sc=rna.h5ad", &["E0702", "no modality `sp`; it has `sc`"]),
    ("run peakvi multiome.h5mu", &["E0702", "`X`", "mod.atac.X"]),
    ("run scvi multiome.h5mu", &["E0702", "`X`", "--bind x=mod.rna.X"]),
    // Labels.
    ("run scanvi unknown.h5ad", &["E0705", "unknown.h5ad", "none of its 30 values is a label"]),
    ("run scanvi one_type.h5ad", &["E0705", "one_type.h5ad", "`obs.cell_type`", "`A`", "needs two"]),
    ("run solo latent.h5ad", &["E0705", "latent.h5ad", "`obs.doublet`", "`singlet`", "needs two"]),
    (
        "run condscvi gaps.h5ad",
        &["E0713", "gaps.h5ad", "`obs.cell_type`", "5 of 30 values are missing", "label"],
    ),
    ("run stereoscope_rna gaps.h5ad", &["E0713", "gaps.h5ad", "5 of 30 values are missing"]),
    ("run contrastivevi one_group.h5ad", &["E0705", "`obs.condition`", "`control`", "needs two"]),
    ("apply scanvi.svim new_type.h5ad", &["E0707", "new_type.h5ad", "C (21 cells)", "`A`, `B`"]),
    ("apply scanvi.svim other_genes.h5ad", &["E0706", "other_genes.h5ad", "`ENSG0`", "`gene0`"]),
    // Proteins.
    (
        "run totalvi no_protein.h5ad",
        &["E0713", "no_protein.h5ad", "`obsm.protein_expression`", "every label of `batch`"],
    ),
    ("run totalvi log_protein.h5ad", &["E0703", "log_protein.h5ad", "`obsm.protein_expression`", "`CD0`"]),
    // Labels of genes that do not meet.
    (
        "run cellassign sized.h5ad --bind marker=strangers.csv",
        &["E0308", "`gene`", "sized.h5ad", "strangers.csv", "`FOO`"],
    ),
    ("run cellassign sized.h5ad --bind marker=upper.csv", &["E0308", "upper.csv", "letter case"]),
    (
        "run cellassign sized.h5ad --bind marker=across.csv",
        &["E0308", "across.csv", "exchange its rows and columns"],
    ),
    ("run cellassign sized.h5ad --bind marker=weights.csv", &["E0713", "weights.csv", "line 2", "0.5"]),
    (
        "run tangram sc=rna.h5ad sp=other_genes.h5ad",
        &["E0308", "`gene`", "rna.h5ad", "other_genes.h5ad", "`ENSG0`"],
    ),
    ("run tangram sc=rna.h5ad sp=upper.h5ad", &["E0308", "letter case"]),
    (
        "run stereoscope_spatial other_genes.h5ad --load ref=ref.svim",
        &["E0308", "`gene`", "other_genes.h5ad", "`ref.signature`"],
    ),
    (
        "run stereoscope_spatial rna.h5ad --load ref=scvi.svim",
        &["E0708", "`scvi`", "`stereoscope_rna`", "svic run stereoscope_rna"],
    ),
    ("run stereoscope_spatial typed.h5ad --load ref=rna.h5ad", &["E0715", "rna.h5ad"]),
    // Values.
    ("run methylvi met_share.h5mu --set contexts=one", &["E0703", "met_share.h5mu", "`mod.mCG.layers.mc`"]),
    (
        "run methylvi met_swapped.h5mu --set contexts=one",
        &["E0713", "`mc` exceeds `cov`", "met_swapped.h5mu", "mod.mCG.layers.cov"],
    ),
    ("run scvi zeros.h5ad", &["E0713", "zeros.h5ad", "every count is zero"]),
];

#[test]
fn each_says_what_it_needs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    prepare(folder.path());
    let before = files(folder.path());
    let mut all: Vec<(String, Vec<&str>)> =
        CASES.iter().map(|(c, said)| ((*c).to_owned(), said.to_vec())).collect();
    // Every model of counts refuses what is no count.
    for model in models_of_counts() {
        all.push((
            format!("run {model} logged.h5ad"),
            vec!["E0703", "logged.h5ad", "`X`", "0.6931", "--bind x=layers.counts"],
        ));
        all.push((format!("run {model} fractions.h5ad"), vec!["E0703", "0.5", "raw counts"]));
    }
    let mut wrong = vec![];
    for (command, said) in &all {
        let mut args: Vec<&str> = command.split(' ').collect();
        args.extend(["-o", "out.h5ad"]);
        if args[0] == "run" {
            args.extend(["--epochs", "1"]);
        }
        let done = svic(folder.path(), &args);
        let errors = done.text.matches("error[").count();
        let lacks: Vec<&&str> = said.iter().filter(|what| !done.text.contains(**what)).collect();
        if done.code != 1 || errors != 1 || !lacks.is_empty() || files(folder.path()) != before {
            wrong.push(format!(
                "== {command}\n{errors} errors, code {}, lacks {lacks:?}\n{}",
                done.code, done.text
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Models of which nothing but counts in `X` is asked.
fn models_of_counts() -> Vec<&'static str> {
    let alone = |name: &&str| {
        let compiled = crate::library_model(name, &[]);
        let needed: Vec<&str> =
            compiled.slots().iter().filter(|s| !s.optional).map(|s| s.name.as_str()).collect();
        needed == ["x"]
            && compiled.slots().iter().any(|s| s.path.as_deref() == Some("X"))
            && compiled.loads().is_empty()
    };
    let names = svi::library::STDLIB.iter().map(|(name, _)| name.trim_end_matches(".svi"));
    let found: Vec<&str> = names.filter(alone).collect();
    assert!(found.len() >= 7, "{found:?}");
    found
}

#[test]
fn what_is_only_warned_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    prepare(folder.path());
    let cases: [(&str, &[&str]); 3] = [
        ("check totalvi one_batch.h5ad", &["W0718", "one_batch.h5ad", "in `two` all 4"]),
        (
            "check contrastivevi groups.h5ad",
            &["W0711", "`group` is compared with `control`", "its labels are A, B"],
        ),
        (
            "apply scanvi.svim rna.h5ad -q -o out.h5ad",
            &["W0711", "rna.h5ad has no `obs.cell_type`", "--bind type="],
        ),
    ];
    for (command, said) in cases {
        svic(folder.path(), &command.split(' ').collect::<Vec<_>>()).expect(0, said);
    }
}
