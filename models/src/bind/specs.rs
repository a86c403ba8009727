//! Slots of the language as slots of the registry, and the labels of one in the terms of the other.

use super::{Binds, Trained, Vocabularies, vocabulary};
use crate::anndata::{AnnData, FieldPath};
use crate::compiler::Compiled;
use crate::error::request;
use crate::registry::{Missing, SlotDims, SlotKind as Kind, SlotSpec, Vocabulary};
use dsl::diagnostic::{Code, Diagnostic, Diagnostics};
use dsl::{MissingRule, Slot, SlotKind};

/// The slots to be read, and the names of two axes.
pub(super) struct Specs {
    /// What the registry is asked for.
    pub list: Vec<SlotSpec>,
    /// The axis of cells.
    pub plate: Option<String>,
    /// The axis of genes.
    genes: Option<String>,
}

impl Specs {
    /// Works out where each slot is read from; what cannot be is reported in `errors`.
    pub fn new(
        compiled: &Compiled,
        adata: &AnnData,
        binds: &Binds,
        trained: Option<Trained<'_>>,
        errors: &mut Diagnostics,
    ) -> Self {
        let mut out = Self { list: vec![], plate: compiled.plate().map(str::to_owned), genes: None };
        for slot in compiled.slots() {
            match out.one(slot, adata, binds.get(&slot.name), trained) {
                Ok(Some(spec)) => out.list.push(spec),
                Ok(None) => {}
                Err(diagnostic) => errors.push(*diagnostic),
            }
        }
        out
    }

    /// `None` for a slot that is left out.
    fn one(
        &mut self,
        slot: &Slot,
        adata: &AnnData,
        asked: Option<&[String]>,
        trained: Option<Trained<'_>>,
    ) -> Result<Option<SlotSpec>, Box<Diagnostic>> {
        if trained.is_some_and(|t| !t.present.contains(&slot.name)) {
            return Ok(None);
        }
        let at = |d: Diagnostic| Box::new(d.at(slot.span, "declared here"));
        let texts: Vec<String> =
            asked.map_or_else(|| slot.path.iter().cloned().collect(), <[String]>::to_vec);
        if texts.len() > 1 && slot.kind != SlotKind::Covariates {
            let text = format!("`--bind {}={}`: `{}` takes one path", slot.name, texts.join(","), slot.name);
            return Err(at(request(text)));
        }
        let paths: Vec<FieldPath> = texts
            .iter()
            .map(|text| text.parse().map_err(|e| at(request(format!("`{}`: {e}", slot.name)))))
            .collect::<Result<_, _>>()?;
        let held = trained.is_some_and(|t| t.held.contains(&slot.name));
        let may_lack = held || slot.optional && trained.is_none();
        if asked.is_none() && may_lack && !paths.iter().any(|path| adata.contains(path)) {
            return Ok(None);
        }
        if paths.is_empty() {
            let text = format!("`{}` is not bound to anything in {}", slot.name, adata.file().display());
            return Err(at(
                Diagnostic::new(Code::E0702, text).help(format!("bind it: --bind {}=obs.COLUMN", slot.name))
            ));
        }
        let dims = self.dims(slot, &paths[0]);
        let mut spec = SlotSpec::new(&slot.name, kind(slot), dims, paths);
        // What training had must be there again, optional or not.
        spec.explicit = asked.is_some() || trained.is_some();
        spec.optional = slot.optional;
        spec.missing = missing(slot);
        Ok(Some(spec))
    }

    /// The axes of a slot, told by what it is bound to.
    fn dims(&mut self, slot: &Slot, path: &FieldPath) -> SlotDims {
        let by_cell = slot.axes.first() == self.plate.as_ref();
        let own = slot.axes.iter().find(|a| Some(*a) != self.plate.as_ref()).cloned();
        match (by_cell, own, path) {
            (true, None, _) => SlotDims::Cells,
            (true, Some(axis), FieldPath::Obsm(_)) => SlotDims::CellsBy(axis),
            (true, Some(axis), _) => {
                self.genes.get_or_insert(axis);
                SlotDims::CellsByGenes
            }
            (false, Some(_), FieldPath::Varm(_)) => {
                self.genes.get_or_insert_with(|| slot.axes[0].clone());
                SlotDims::GenesBy(slot.axes.last().cloned().unwrap_or_default())
            }
            (false, own, _) => {
                if let Some(axis) = own {
                    self.genes.get_or_insert(axis);
                }
                SlotDims::Genes
            }
        }
    }

    /// The registry's labels by the names of the model's axes and of the columns.
    pub fn in_model_terms(&self, found: &Vocabulary) -> Vocabularies {
        let mut out = Vocabularies { axes: found.axes.clone(), ..Vocabularies::default() };
        if let Some(genes) = &self.genes {
            out.axes.insert(genes.clone(), found.genes.clone());
        }
        for (key, labels) in &found.categories {
            let key =
                key.split_once('/').map_or(key.clone(), |(slot, path)| format!("{slot}/{}", last_part(path)));
            out.categories.insert(key, labels.clone());
        }
        out
    }

    /// The reverse: keys of covariates are their paths again.
    pub fn in_registry_terms(&self, known: &Vocabularies) -> Vocabulary {
        let mut out = vocabulary(&known.axes, self.genes.as_deref());
        for (key, labels) in known.categories.iter().filter(|(key, _)| !key.contains('/')) {
            out.categories.insert(key.clone(), labels.clone());
        }
        for spec in self.list.iter().filter(|s| s.kind == Kind::Covariates) {
            for path in &spec.source {
                let (_, column) = path.root_and_name();
                if let Some(labels) = known.categories.get(&format!("{}/{column}", spec.name)) {
                    out.categories.insert(format!("{}/{path}", spec.name), labels.clone());
                }
            }
        }
        out
    }
}

/// The column of a path: `site` of `obs.site`.
pub(super) fn last_part(path: &str) -> String {
    path.parse::<FieldPath>().map_or_else(|_| path.to_owned(), |p| p.root_and_name().1)
}

fn kind(slot: &Slot) -> Kind {
    match slot.kind {
        SlotKind::Count => Kind::Count,
        SlotKind::Real => Kind::Real,
        SlotKind::Nonneg => Kind::NonNeg,
        SlotKind::Positive => Kind::Positive,
        SlotKind::Unit => Kind::Unit,
        SlotKind::Bool => Kind::Bool,
        SlotKind::Category => Kind::Category,
        SlotKind::Covariates => Kind::Covariates,
        SlotKind::Simplex => Kind::Simplex,
        SlotKind::Index => Kind::Index(slot.axes.last().cloned().unwrap_or_default()),
    }
}

fn missing(slot: &Slot) -> Missing {
    match &slot.missing {
        None => Missing::Never,
        Some(MissingRule::Marked) => Missing::Nan,
        Some(MissingRule::Literal(value)) => Missing::Label(value.clone()),
        Some(MissingRule::ZerosBy(by)) => Missing::ZerosBy(by.clone()),
    }
}
