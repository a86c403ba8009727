//! Readers of formats other than AnnData's own: each gives the data in memory, under the names that scanpy and
//! anndata give them.

pub(super) mod fcs;
mod lines;
pub(super) mod loom;
pub(super) mod mtx;
pub(super) mod table;
pub(super) mod tenx;

use super::column::{Column, Values};
use super::write::NewAnnData;

/// What a file of another format holds.
#[derive(Debug)]
pub(super) enum Found {
    /// One AnnData.
    One(Box<NewAnnData>),
    /// Several, by name: modalities, or genomes.
    Several(Vec<(String, NewAnnData)>),
}

impl Found {
    fn one(data: NewAnnData) -> Self {
        Self::One(Box::new(data))
    }
}

fn texts(values: Vec<String>) -> Column {
    Column::new(Values::Strings(values))
}

/// `0`, `1`, … as labels.
fn numbered(n: usize) -> Vec<String> {
    (0..n).map(|at| at.to_string()).collect()
}

/// Splits features by their type, where there are several types: `Gene Expression` is `rna`, `Peaks` is `atac`,
/// `Antibody Capture` is `prot`, as muon names them; others are in lower case with underscores.
fn by_feature_type(data: NewAnnData) -> Found {
    let column = data.parts.var.iter().find(|(name, _)| name == "feature_types");
    let Some((_, Column { values: Values::Strings(types), .. })) = column else { return Found::one(data) };
    let mut kinds: Vec<String> = Vec::new();
    for kind in types {
        if !kinds.contains(kind) {
            kinds.push(kind.clone());
        }
    }
    if kinds.len() < 2 || kinds.len() > 16 {
        return Found::one(data);
    }
    let name = |kind: &str| match kind {
        "Gene Expression" => "rna".to_owned(),
        "Peaks" => "atac".to_owned(),
        "Antibody Capture" => "prot".to_owned(),
        other => other.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "_"),
    };
    let part = |kind: &String| {
        let columns: Vec<usize> = (0..types.len()).filter(|&at| types[at] == *kind).collect();
        (name(kind), data.of_genes(&columns))
    };
    Found::Several(kinds.iter().map(part).collect())
}
