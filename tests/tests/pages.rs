//! The pages of codes that are about data, files and runs: their commands are run, and say what the page says.

use crate::command::svic;
use dsl::diagnostic::{Code, Example};
use std::path::Path;
use svi::anndata::{Additions, Column, Dense, Matrix, NewAnnData, Values, WriteOptions, write_new};

const CELLS: usize = 24;

const MODEL: &str = "dim cell, gene, type
dim knn = 3
data {
  x      : count[cell, gene]             from X
  batch  : category[cell]                from obs.batch
  marker : real[gene, type]              from varm.markers
  near   : index[cell, knn] over cell    from obsm.near
}
param rate[gene, batch] : positive
model { plate cell { observe x ~ Poisson(rate = rate[batch]) } }
output { shown = sum(marker over gene) to uns.shown  others = sum(x[near] over gene) to obsm.others }
";

const RAMP: &str = "dim cell, gene
dim hidden = 4, wide = 8
data { x : count[cell, gene] from X }
net encoder(v[gene]) { return Normal(mean = linear[hidden](v), scale = exp(linear[hidden](v))) }
net decoder(z[hidden]) { return softmax(linear[gene](mlp[wide](z))) }
model {
  plate cell {
    z[hidden] ~ Normal(0, 1)
    observe x ~ Poisson(rate = 10 * decoder(z))
  }
}
guide { plate cell { z ~ encoder(log1p(x)) } }
objective { weight kl(z) by ramp(0, 1, epochs = 20) }
";

const LOG: &str = "dim cell, gene
data {
  v    : real[cell, gene]  from X
  size : real[cell]        from obs.change
}
param m[gene]
model { plate cell { observe v ~ Normal(mean = m * log(size), scale = 1) } }
";

const PANEL: &str = "dim cell, gene, protein
data {
  x     : count[cell, gene]      from X
  y     : count?[cell, protein]  from obsm.protein  missing zeros by batch
  batch : category[cell]         from obs.batch
}
param rate[gene]             : positive
param level[protein, batch]  : positive
model {
  plate cell {
    observe x ~ Poisson(rate = rate)
    observe y ~ Poisson(rate = level[batch])
  }
}
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

fn reals(value: impl Fn(usize) -> f64) -> Column {
    Column::new(Values::Real((0..CELLS).map(value).collect()))
}

fn sound() -> NewAnnData {
    let parts = Additions {
        obs: vec![
            ("batch".into(), texts(|i| if i % 2 == 0 { "one" } else { "two" })),
            ("donor".into(), texts(|i| if i % 3 == 0 { "a" } else { "b" })),
            ("change".into(), reals(|i| i as f64 - 3.5)),
            ("volume".into(), reals(|i| i as f64 + 1.5)),
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

fn with_batch(column: Option<Column>) -> NewAnnData {
    let mut data = sound();
    data.parts.obs.retain(|(name, _)| name != "batch");
    data.parts.obs.extend(column.map(|c| ("batch".into(), c)));
    data
}

fn with_x(value: impl Fn(usize) -> f32) -> NewAnnData {
    NewAnnData { x: Some(Matrix::Dense(table(CELLS, 4, value))), ..sound() }
}

fn with_near(columns: usize, value: impl Fn(usize) -> f32) -> NewAnnData {
    let mut data = sound();
    data.parts.obsm = vec![("near".into(), table(CELLS, columns, value))];
    data
}

fn with_proteins(value: impl Fn(usize) -> f32) -> NewAnnData {
    let mut data = sound();
    data.parts.obsm.push(("protein".into(), table(CELLS, 3, value)));
    data.parts.labels = [("protein".to_owned(), names("CD", 3))].into();
    data
}

/// Every file that the pages speak of.
fn prepare(folder: &Path) {
    let coded = |codes: &dyn Fn(usize) -> i32, categories: &[&str]| {
        let categories = categories.iter().map(|c| (*c).to_owned()).collect();
        let codes = (0..CELLS).map(codes).collect();
        Column::new(Values::Categorical { codes, categories, ordered: false })
    };
    let mut logged = with_x(|i| ((i % 5 + 1) as f32).ln());
    logged.parts.layers.push(("counts".into(), Matrix::Dense(table(CELLS, 4, |i| (i % 5 + 1) as f32))));
    let other = NewAnnData { var_names: names("GENE", 4), ..sound() };
    let mut fewer = sound();
    fewer.var_names[3] = "new".into();
    let files = [
        ("sound", sound()),
        ("wide", with_near(5, |i| (i % CELLS) as f32)),
        ("far", with_near(3, |i| i as f32)),
        ("no_batch", with_batch(None)),
        ("logged", logged),
        ("empty", with_x(|i| if i < 8 { 0.0 } else { 2.0 })),
        ("large", with_x(|i| if i == 5 { 20_000_001.0 } else { 2.0 })),
        ("unlabelled", with_batch(Some(coded(&|_| -1, &[])))),
        ("unused", with_batch(Some(coded(&|i| (i % 2) as i32, &["one", "two", "three"])))),
        ("rare", with_batch(Some(texts(|i| if i == 0 { "rare" } else { "one" })))),
        ("new_label", with_batch(Some(texts(|i| if i % 2 == 0 { "one" } else { "three" })))),
        ("other_genes", other),
        ("fewer_genes", fewer),
        ("panel", with_proteins(|i| (i % 4 + 1) as f32)),
        ("two_panels", with_proteins(|i| if i / 3 % 2 == 1 && i % 3 > 0 { 0.0 } else { 3.0 })),
    ];
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    for (name, data) in &files {
        write_new(&folder.join(format!("{name}.h5ad")), data, WriteOptions::default()).expect("written");
    }
    write("m.svi", MODEL);
    write("ramp.svi", RAMP);
    write("log.svi", LOG);
    write("panel.svi", PANEL);
    write(
        "changed.svi",
        &MODEL.replace("Poisson(rate = rate[batch])", "NB(mean = rate[batch], inv_dispersion = 2)"),
    );
    let train = ["run", "m.svi", "sound.h5ad", "--epochs", "1", "-q", "-o", "out.h5ad"];
    svic(folder, &train).expect(0, &[]);
    let whole = std::fs::read(folder.join("out.svim")).expect("a trained model");
    std::fs::write(folder.join("damaged.svim"), &whole[..whole.len() - 100]).expect("written");
}

/// What the commands of a page say, one after the other, without what the process says before; whether all succeed.
fn run(folder: &Path, commands: &str) -> (bool, String) {
    let mut fine = true;
    let mut said = String::new();
    for line in commands.lines().filter_map(|l| l.strip_prefix("$ svic ")) {
        let done = svic(folder, &line.split(' ').collect::<Vec<_>>());
        fine &= done.code == 0;
        let before = |l: &&str| !["error[", "warning[", "note["].iter().any(|start| l.starts_with(start));
        let text: Vec<&str> = done.text.lines().skip_while(before).collect();
        said.push_str(text.join("\n").trim());
    }
    (fine, steady(&said))
}

/// Without what differs from machine to machine: the free memory.
fn steady(text: &str) -> String {
    match text.split_once(" of memory, and ").and_then(|(a, b)| Some((a, b.split_once(" GiB are free")?.1))) {
        Some((before, after)) => format!("{before} of memory, and … GiB are free{after}"),
        None => text.to_owned(),
    }
}

#[test]
fn pages_about_data_and_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bless = std::env::var_os("SVIC_BLESS").is_some();
    prepare(folder.path());
    let about = |c: &&Code| c.as_str()[1..].starts_with("07") || **c == Code::E0308;
    let mut wrong = vec![];
    for code in Code::ALL.iter().filter(about) {
        let Some(example) = code.example() else {
            wrong.push(format!("{code} has no page"));
            continue;
        };
        assert!(example.is_command(), "{code}");
        let Example { fails, says, repaired } = example;
        let (fine, said) = run(folder.path(), fails);
        if !said.contains(&format!("[{code}]")) || fine != code.as_str().starts_with('W') {
            wrong.push(format!("{code} is not given:\n{said}"));
        }
        if format!("{said}\n") != says && bless {
            let text = format!("--- fails\n{fails}--- says\n{said}\n--- repaired\n{repaired}");
            let page = format!("../dsl/src/diagnostic/pages/{code}.txt");
            std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(page), text)
                .expect("a writable folder");
        } else if format!("{said}\n") != says {
            wrong.push(format!("{code}; SVIC_BLESS=1 accepts the new text\n{said}"));
        }
        let (fine, said) = run(folder.path(), repaired);
        if !fine || said.contains(&format!("[{code}]")) {
            wrong.push(format!("{code}, repaired:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
