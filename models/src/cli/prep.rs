//! `svic prep`: filter, choose genes, put files together, take moments.

use super::{OK, Outcome, out, say};
use crate::anndata::{
    AnnData, Categories, Column, FieldPath, Join, Matrix, NewAnnData, Values, WriteOptions, write_new,
};
use crate::error::{Error, request};
use crate::prepare::{self, Limits, Moments, Role, Variable};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

const AFTER: &str = "\
Examples:
  svic prep raw.h5ad --min-genes 200 --min-cells 3 --hvg 2000 --subset -o data.h5ad
  svic prep a.h5ad b.h5ad -o both.h5ad                         cells under each other; obs.batch says which file
  svic prep rna.h5ad --add protein_expression=adt.h5ad -o cite.h5ad
  svic prep velocity.h5ad --moments 30 -o moments.h5ad         layers Ms and Mu
  svic prep filtered_feature_bc_matrix.h5 --modality rna -o rna.h5ad";

/// Arguments of `svic prep`.
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct PrepArgs {
    /// Data files, of any format that is read; of several the cells are put under each other.
    #[arg(required = true)]
    data: Vec<PathBuf>,
    /// Where the result goes.
    #[arg(short, long, value_name = "OUT.h5ad")]
    out: PathBuf,
    /// The modality to take of files with several.
    #[arg(long, value_name = "NAME")]
    modality: Option<String>,
    /// The matrix of counts; by default found by its name and by what it holds.
    #[arg(long, value_name = "PATH")]
    counts: Option<FieldPath>,
    /// Keep cells with at least N genes.
    #[arg(long, value_name = "N")]
    min_genes: Option<usize>,
    /// Keep cells with a total of at least N.
    #[arg(long, value_name = "N")]
    min_counts: Option<f64>,
    /// Keep cells with a total of at most N.
    #[arg(long, value_name = "N")]
    max_counts: Option<f64>,
    /// Keep genes seen in at least N cells.
    #[arg(long, value_name = "N")]
    min_cells: Option<usize>,
    /// Mark the N genes that vary most, as var.highly_variable.
    #[arg(long, value_name = "N")]
    hvg: Option<usize>,
    /// How: by variance beyond what the mean explains (seurat_v3), or by Poisson deviance.
    #[arg(long, value_enum, default_value_t = Method::SeuratV3)]
    hvg_by: Method,
    /// The column whose labels are batches: of --hvg, and the one that is added when files are put together.
    #[arg(long, value_name = "COLUMN")]
    batch: Option<String>,
    /// Keep the genes that --hvg marks, and no others.
    #[arg(long, requires = "hvg")]
    subset: bool,
    /// Of several files keep the genes and columns that all have, or those that any has: counts that a file lacks are
    /// then 0. Named columns of tables (proteins) are always kept, NaN where a file lacks them.
    #[arg(long, value_enum, default_value_t = How::Inner)]
    join: How,
    /// Add the matrix of another file, of the same cells, as a table: `protein_expression=FILE`.
    #[arg(long, value_name = "NAME=FILE", num_args = 1..)]
    add: Vec<String>,
    /// Add layers Ms and Mu: the means of the layers spliced and unspliced over the N nearest cells.
    #[arg(long, value_name = "N")]
    moments: Option<usize>,
    /// The table in which cells are near each other for --moments; by default 30 principal components of the counts.
    #[arg(long, value_name = "obsm.NAME", requires = "moments")]
    space: Option<FieldPath>,
    /// Put N doublets for each cell under the cells: sums of the counts of two; obs.doublet says which rows they are.
    #[arg(long, value_name = "N")]
    doublets: Option<f64>,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Replace OUT.h5ad if it is there.
    #[arg(long)]
    force: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    #[value(name = "seurat_v3")]
    SeuratV3,
    Deviance,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Inner,
    Outer,
}

/// Runs `svic prep`.
pub fn run(args: &PrepArgs) -> Outcome {
    let mut data = together(args)?;
    for item in &args.add {
        let (name, file) = crate::bind::key_value(item, "--add", "protein_expression=proteins.h5ad")?;
        let other = prepare::load(&open(Path::new(&file), None)?)?;
        let lacking = prepare::add_table(&mut data, &other, &name)
            .map_err(|why| Error::plain(request(format!("`--add {item}`: {why}"))))?;
        say(&format!("obsm.{name}: {} columns, {lacking} cells without", other.var_names.len()));
    }
    let limits = Limits {
        min_genes: args.min_genes,
        min_counts: args.min_counts,
        max_counts: args.max_counts,
        min_cells: args.min_cells,
    };
    if !limits.is_empty() {
        let counts = counts(args, &data)?;
        let (cells, genes) = limits.apply(&mut data, &counts);
        say(&format!("left out: {cells} cells, {genes} genes"));
    }
    if let Some(n) = args.hvg {
        let counts = counts(args, &data)?;
        let batches = args.batch.as_deref().map(|name| categories(&data, name)).transpose()?;
        let found = match args.hvg_by {
            Method::SeuratV3 => prepare::by_variance(&counts, batches.as_ref(), n),
            Method::Deviance => prepare::by_deviance(&counts, n),
        };
        mark(&mut data, &found);
        if args.subset {
            data = data.of_genes(&found.positions());
        }
    }
    if let Some(n) = args.moments {
        add_moments(args, &mut data, n)?;
    }
    if let Some(times) = args.doublets {
        let counts = counts(args, &data)?;
        data = prepare::with_doublets(&data, &counts, times, args.seed)
            .map_err(|why| Error::plain(request(format!("`--doublets {times}`: {why}"))))?;
    }
    write_new(&args.out, &data, WriteOptions { overwrite: args.force, in_place: false })?;
    out(&format!("{}: {} cells x {} genes", args.out.display(), data.obs_names.len(), data.var_names.len()));
    Ok(OK)
}

fn open(path: &Path, modality: Option<&str>) -> Result<AnnData, Error> {
    let data = AnnData::open(path)?;
    match (modality, data.modality_names().as_slice()) {
        (Some(name), _) => Ok(data.modality(name)?.clone()),
        (None, []) => Ok(data),
        (None, [one]) => Ok(data.modality(one)?.clone()),
        (None, names) => {
            let text = format!("{} has several modalities: {}", path.display(), names.join(", "));
            Err(Error::plain(request(text).help(format!("choose one: --modality {}", names[0]))))
        }
    }
}

/// The only file, or all of them put together.
fn together(args: &PrepArgs) -> Result<NewAnnData, Error> {
    let mut parts = Vec::new();
    for path in &args.data {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let label = if parts.iter().any(|(other, _)| *other == stem) {
            format!("{stem}_{}", parts.len())
        } else {
            stem
        };
        parts.push((label, open(path, args.modality.as_deref())?));
    }
    if let [(_, one)] = parts.as_slice() {
        return Ok(prepare::load(one)?);
    }
    let join = if args.join == How::Outer { Join::All } else { Join::Common };
    let (data, left) = prepare::concatenate(&parts, args.batch.as_deref().unwrap_or("batch"), join)?;
    say_joined(&data, &left);
    Ok(data)
}

/// What of files that were put together is in some alone, and what could not be kept.
fn say_joined(data: &NewAnnData, left: &[String]) {
    for (name, labels) in &data.parts.labels {
        let Some((_, table)) = data.parts.obsm.iter().find(|(other, _)| other == name) else { continue };
        let lacks = |column: &usize| (0..table.n_rows).any(|row| table.row(row)[*column].is_nan());
        let n = (0..table.n_cols).filter(lacks).count();
        if n > 0 {
            let all = labels.len();
            say(&format!(
                "obsm.{name}: {n} of {all} columns are missing (NaN) in the cells of files without them"
            ));
        }
    }
    if !left.is_empty() {
        say(&format!("left out: {}", left.join(", ")));
    }
}

/// The counts: where the command line says, or the likeliest.
fn counts(args: &PrepArgs, data: &NewAnnData) -> Result<Matrix, Error> {
    let view = AnnData::from_memory(&args.data[0], data.clone())?;
    if let Some(path) = &args.counts {
        return Ok(view.matrix(path)?);
    }
    let found = prepare::candidates(&view, Role::Counts);
    // `raw` may have other genes.
    let Some(path) = found.iter().find(|path| **path != FieldPath::RawX) else {
        let text = format!("{}: no matrix holds counts", args.data[0].display());
        return Err(Error::plain(
            request(text).help("name one that may be taken for counts: --counts layers.NAME"),
        ));
    };
    say(&format!("counts: {path}"));
    Ok(view.matrix(path)?)
}

fn categories(data: &NewAnnData, name: &str) -> Result<Categories, Error> {
    let column = data.parts.obs.iter().find(|(other, _)| other == name).map(|(_, column)| column);
    column.map(Column::to_categories).ok_or_else(|| {
        let names: Vec<&str> = data.parts.obs.iter().map(|(name, _)| name.as_str()).collect();
        let text = format!("`--batch {name}`: `obs` has no such column");
        Error::plain(request(text).help(format!("there are: {}", names.join(", "))))
    })
}

fn mark(data: &mut NewAnnData, found: &Variable) {
    let real = |values: &[f64]| Column::new(Values::Real(values.to_vec()));
    let mut columns = vec![
        ("highly_variable", Column::new(Values::Bool(found.chosen.clone()))),
        ("means", real(&found.means)),
        ("variances", real(&found.variances)),
    ];
    if found.ranks.is_empty() {
        columns.push(("poisson_deviance", real(&found.scores)));
    } else {
        let n = found.n_batches.iter().map(|&n| n as i64).collect();
        columns.push(("variances_norm", real(&found.scores)));
        columns.push(("highly_variable_rank", real(&found.ranks)));
        columns.push(("highly_variable_nbatches", Column::new(Values::Integer(n))));
    }
    for (name, column) in columns {
        data.parts.var.retain(|(other, _)| other != name);
        data.parts.var.push((name.to_owned(), column));
    }
}

fn add_moments(args: &PrepArgs, data: &mut NewAnnData, n: usize) -> Result<(), Error> {
    let view = AnnData::from_memory(&args.data[0], data.clone())?;
    let space = match &args.space {
        Some(path) => view.table(path)?.values,
        None => prepare::principal_components(&counts(args, data)?, 30),
    };
    for (from, to) in [("spliced", "Ms"), ("unspliced", "Mu")] {
        let layer = view.matrix(&FieldPath::Layer(from.to_owned()))?;
        let means = prepare::moments(&layer, &space, Moments { n_neighbours: n });
        data.parts.layers.retain(|(name, _)| name != to);
        data.parts.layers.push((to.to_owned(), Matrix::Dense(means)));
    }
    Ok(())
}
