//! Where data usually are: names by which the field calls counts, batches, labels, coordinates.

use crate::anndata::{AnnData, FieldPath, Values};

/// What a field may be wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Counts of expression, cells by genes.
    Counts,
    /// Which experiment, sample or donor a cell is from.
    Batch,
    /// The type of a cell.
    Labels,
    /// Counts of proteins.
    Proteins,
    /// Positions of cells in a tissue.
    Spatial,
    /// Size factors of cells.
    SizeFactor,
    /// Counts of spliced molecules, or their moments.
    Spliced,
    /// Counts of unspliced molecules, or their moments.
    Unspliced,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 8] = [
        Role::Counts,
        Role::Batch,
        Role::Labels,
        Role::Proteins,
        Role::Spatial,
        Role::SizeFactor,
        Role::Spliced,
        Role::Unspliced,
    ];

    /// How it is called in messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::Batch => "batch",
            Self::Labels => "labels",
            Self::Proteins => "proteins",
            Self::Spatial => "spatial",
            Self::SizeFactor => "size factor",
            Self::Spliced => "spliced",
            Self::Unspliced => "unspliced",
        }
    }

    /// Where it usually is, the likeliest first; compared without case, `-`, `_` and `.`.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Counts => &["layers.counts", "layers.raw_counts", "layers.raw", "layers.umi", "raw.X", "X"],
            Self::Batch => &[
                "obs.batch",
                "obs.batch_id",
                "obs.batches",
                "obs.sample",
                "obs.sample_id",
                "obs.donor",
                "obs.donor_id",
                "obs.library",
                "obs.library_id",
                "obs.orig.ident",
                "obs.patient",
                "obs.subject",
                "obs.individual",
                "obs.replicate",
                "obs.dataset",
                "obs.study",
                "obs.plate",
                "obs.protocol",
                "obs.assay",
                "obs.site",
            ],
            Self::Labels => &[
                "obs.cell_type",
                "obs.celltype",
                "obs.cell_types",
                "obs.labels",
                "obs.label",
                "obs.annotation",
                "obs.cell_ontology_class",
                "obs.cell_line",
                "obs.cluster",
                "obs.clusters",
                "obs.leiden",
                "obs.louvain",
                "obs.seurat_clusters",
            ],
            Self::Proteins => &[
                "obsm.protein_expression",
                "obsm.proteins",
                "obsm.protein",
                "obsm.protein_counts",
                "obsm.adt",
                "obsm.antibody_capture",
                "mod.prot.X",
                "mod.protein.X",
                "mod.adt.X",
            ],
            Self::Spatial => {
                &["obsm.spatial", "obsm.X_spatial", "obsm.coordinates", "obsm.Spatial_coordinates", "obsm.xy"]
            }
            Self::SizeFactor => &["obs.size_factor", "obs.size_factors", "obs.sizeFactor"],
            Self::Spliced => &["layers.spliced", "layers.Ms"],
            Self::Unspliced => &["layers.unspliced", "layers.Mu"],
        }
    }
}

/// The field of `data` that is called as `path` but for case, `-`, `_`, `.` and blanks, if it is the only one; where
/// `path` is `X` and there is none, the likeliest counts, unless several modalities have some.
pub fn same_name(data: &AnnData, path: &FieldPath) -> Option<FieldPath> {
    if *path == FieldPath::X {
        let found = candidates(data, Role::Counts);
        let modality = |path: &FieldPath| match path {
            FieldPath::Mod(name, _) => Some(name.clone()),
            _ => None,
        };
        let first = found.first()?;
        return found.iter().all(|path| modality(path) == modality(first)).then(|| first.clone());
    }
    let text = plain(&path.to_string());
    let alike = |name: &String| name.parse::<FieldPath>().ok().filter(|p| plain(&p.to_string()) == text);
    let mut found = data.candidates(path).iter().filter_map(alike).collect::<Vec<_>>();
    if found.len() == 1 { found.pop() } else { None }
}

/// The fields of `data` that usually hold what `path` usually holds, the likeliest first.
pub fn instead_of(data: &AnnData, path: &FieldPath) -> Vec<FieldPath> {
    let text = plain(&path.to_string());
    let role = Role::ALL.into_iter().find(|role| role.usual().iter().any(|usual| plain(usual) == text));
    role.map_or_else(Vec::new, |role| candidates(data, role))
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '_' | '-' | ' ' | '.')).flat_map(char::to_lowercase).collect()
}

/// The fields of `data` that usually hold `role`, the likeliest first; of a file of modalities those of each.
///
/// Counts are candidates only where every value is a count; batches and labels only where some labels repeat.
pub fn candidates(data: &AnnData, role: Role) -> Vec<FieldPath> {
    let counts = if role == Role::Counts { data.layers_holding_counts() } else { Vec::new() };
    let mut present: Vec<FieldPath> = fields(data);
    for name in data.modality_names() {
        if let Ok(part) = data.modality(name) {
            present.extend(fields(part).into_iter().map(|path| path.in_modality(name)));
        }
    }
    let mut found = Vec::new();
    for usual in role.usual() {
        let whole = usual.starts_with("mod.");
        for path in &present {
            let text = if whole { path.to_string() } else { path.local().to_string() };
            if plain(&text) == plain(usual) && !found.contains(path) && fits(data, path, role, &counts) {
                found.push(path.clone());
            }
        }
    }
    if role == Role::Counts {
        found.extend(counts.into_iter().filter(|path| !found.contains(path)).collect::<Vec<_>>());
    }
    found
}

fn fields(data: &AnnData) -> Vec<FieldPath> {
    let mut out = Vec::new();
    if data.has_x() {
        out.push(FieldPath::X);
    }
    if data.has_raw() {
        out.push(FieldPath::RawX);
    }
    out.extend(data.layers().into_iter().map(FieldPath::Layer));
    out.extend(data.obs_columns().iter().cloned().map(FieldPath::Obs));
    out.extend(data.obsm_names().into_iter().map(FieldPath::Obsm));
    out
}

fn fits(data: &AnnData, path: &FieldPath, role: Role, counts: &[FieldPath]) -> bool {
    match role {
        Role::Counts => counts.contains(path),
        Role::Batch | Role::Labels => data.column(path).is_ok_and(|column| {
            let n = column.to_categories().labels.len();
            !matches!(column.values, Values::Real(_)) && n > 1 && n * 2 <= column.len()
        }),
        _ => true,
    }
}
