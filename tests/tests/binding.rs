//! What binding says about data that do not fit a program: the whole message, as a golden text.

use crate::command::svic;
use std::path::Path;
use svi::anndata::{Additions, Column, Dense, Matrix, NewAnnData, Values, WriteOptions, write_new};

const CELLS: usize = 24;

const PROGRAM: &str = "dim cell, gene, type
dim knn = 3
data {
  x      : count[cell, gene]        from X
  batch  : category[cell]           from obs.batch
  size   : positive[cell]           from obs.size  optional
  marker : real?[gene, type]        from varm.markers
  near   : index[cell, knn] over cell from obsm.near
}
param rate[gene, batch] : positive
model { plate cell { observe x ~ Poisson(rate = rate[batch]) } }
when present(size) { output { sized = size to obs.sized } }
output { shown = sum(fill(marker, 0) over gene) to uns.shown  others = sum(x[near] over gene) to obsm.others }
";

fn names(stem: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{stem}_{i}")).collect()
}

fn table(rows: usize, columns: usize, value: impl Fn(usize) -> f32) -> Dense {
    Dense { n_rows: rows, n_cols: columns, values: (0..rows * columns).map(value).collect() }
}

fn texts(value: impl Fn(usize) -> &'static str) -> Column {
    Column::new(Values::Strings((0..CELLS).map(|i| value(i).to_owned()).collect()))
}

fn sound() -> NewAnnData {
    let parts = Additions {
        obs: vec![
            ("batch".into(), texts(|i| if i % 2 == 0 { "one" } else { "two" })),
            ("donor".into(), texts(|i| if i % 2 == 0 { "a" } else { "b" })),
        ],
        obsm: vec![("near".into(), table(CELLS, 3, |i| ((i / 3 + 1) % CELLS) as f32))],
        varm: vec![("markers".into(), table(4, 2, |i| i as f32))],
        ..Additions::default()
    };
    NewAnnData {
        obs_names: names("cell", CELLS),
        var_names: names("gene", 4),
        x: Some(Matrix::Dense(table(CELLS, 4, |i| (i % 5 + 1) as f32))),
        parts,
    }
}

fn without(column: &str) -> NewAnnData {
    let mut data = sound();
    data.parts.obs.retain(|(name, _)| name != column);
    data
}

fn with(column: &str, values: Column) -> NewAnnData {
    let mut data = without(column);
    data.parts.obs.push((column.into(), values));
    data
}

/// Name of the case, data, further arguments.
fn cases() -> Vec<(&'static str, NewAnnData, Vec<&'static str>)> {
    let mut fractions = sound();
    fractions.x = Some(Matrix::Dense(table(CELLS, 4, |i| i as f32 * 0.5)));
    fractions.parts.layers.push(("counts".into(), Matrix::Dense(table(CELLS, 4, |i| (i % 3) as f32))));
    let mut wide = sound();
    wide.parts.obsm = vec![("near".into(), table(CELLS, 5, |i| (i % CELLS) as f32))];
    let mut far = sound();
    far.parts.obsm = vec![("near".into(), table(CELLS, 3, |i| i as f32))];
    let nobody =
        Column::new(Values::Categorical { codes: vec![-1; CELLS], categories: vec![], ordered: false });
    vec![
        ("E0702 a column that is not there", without("batch"), vec![]),
        ("E0702 a column that is not there, asked for", sound(), vec!["--bind", "size=obs.sizes"]),
        ("E0703 numbers that are no counts", fractions, vec![]),
        ("E0705 a category without labels", with("batch", nobody), vec![]),
        ("W0705 a small category", with("batch", texts(|i| if i == 0 { "rare" } else { "one" })), vec![]),
        ("E0308 a table of another width", wide, vec![]),
        ("E0308 a table by cell for one by gene", sound(), vec!["--bind", "marker=obsm.near"]),
        ("E0713 rows that are not there", far, vec![]),
        ("E0713 a size of zero", with("size", Column::new(Values::Real(vec![0.0; CELLS]))), vec![]),
        ("E0206 a field that the model has not", sound(), vec!["--bind", "bach=obs.donor"]),
    ]
}

fn run(folder: &Path, data: &NewAnnData, args: &[&str]) -> (i32, String) {
    std::fs::write(folder.join("m.svi"), PROGRAM).expect("the program is written");
    let options = WriteOptions { overwrite: true, in_place: false };
    write_new(&folder.join("data.h5ad"), data, options).expect("the data are written");
    let said = svic(folder, args);
    (said.code, said.text)
}

#[test]
fn messages_about_data() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut all = String::new();
    for (name, data, more) in cases() {
        let args = [&["check", "m.svi", "data.h5ad"][..], &more].concat();
        let (code, err) = run(folder.path(), &data, &args);
        assert_eq!(code, i32::from(!name.starts_with('W')), "{name}: {err}");
        assert!(err.contains(&name[..5]), "{name}: {err}");
        all.push_str(&format!("== {name}\n{}\n\n", said(&err)));
    }
    // Labels of a trained model against those of new data.
    let train = ["run", "m.svi", "data.h5ad", "--epochs", "1", "-q", "-o", "out.h5ad"];
    assert_eq!(run(folder.path(), &sound(), &train).0, 0);
    let apply = ["apply", "out.svim", "data.h5ad", "-o", "again.h5ad"];
    let mut other = sound();
    other.var_names = names("GENE", 4);
    let mut unseen = with("batch", texts(|i| if i % 2 == 0 { "one" } else { "three" }));
    unseen.parts.obs.retain(|(n, _)| n != "donor");
    let mut fewer = sound();
    fewer.var_names[3] = "new".into();
    for (name, data) in [
        ("E0706 genes of other names", other),
        ("E0707 a label that training had not", unseen),
        ("W0706 a gene less", fewer),
    ] {
        let (_, err) = run(folder.path(), &data, &apply);
        assert!(err.contains(&name[..5]), "{name}: {err}");
        all.push_str(&format!("== {name}\n{}\n\n", said(&err)));
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/binding.txt");
    if std::env::var_os("SVIC_BLESS").is_some() {
        std::fs::write(&golden, &all).expect("the golden is written");
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(all, expected, "SVIC_BLESS=1 accepts the new texts");
}

#[test]
fn names_in_another_spelling_are_taken_and_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let labels = || texts(|i| if i % 2 == 0 { "one" } else { "two" });
    let mut data = with("Batch", labels());
    data.parts.obs.retain(|(name, _)| name != "batch");
    let check = |data: &NewAnnData, model: &str| {
        let (code, text) = run(folder.path(), data, &["check", model, "data.h5ad"]);
        assert_eq!(code, 0, "{text}");
        text
    };
    let text = check(&data, "m.svi");
    assert!(text.contains("data.h5ad has no `obs.batch`; `obs.Batch` is taken"), "{text}");
    assert!(text.contains("batch = obs.Batch"), "{text}");
    // Two that could be meant: neither is taken.
    data.parts.obs.push(("BATCH".into(), labels()));
    let (code, text) = run(folder.path(), &data, &["check", "m.svi", "data.h5ad"]);
    assert!(code == 1 && text.contains("E0702") && text.contains("did you mean `obs.BATCH`"), "{text}");
    // What may be absent is left out, and it is said what there is.
    let text = check(&with("sample", labels()), "m.svi");
    assert!(!text.contains("obs.sample"), "{text}");
    let mut data = with("sample", labels());
    data.parts.obs.retain(|(name, _)| name == "sample");
    let text = check(&data, "scvi");
    assert!(text.contains("so it is left out; there are `obs.sample`"), "{text}");
    assert!(text.contains("--bind batch=obs.sample"), "{text}");
    // Counts without an `X`.
    let counts = data.x.take().expect("it has one");
    data.parts.layers.push(("counts".into(), counts));
    let text = check(&data, "scvi");
    assert!(
        text.contains("has no `X`; `layers.counts` is taken") && text.contains("x = layers.counts"),
        "{text}"
    );
}

/// The messages, without what the process says before them.
fn said(text: &str) -> String {
    let message = |l: &&str| !["error[", "warning[", "note["].iter().any(|start| l.starts_with(start));
    text.lines().skip_while(message).collect::<Vec<_>>().join("\n").trim().to_owned()
}
