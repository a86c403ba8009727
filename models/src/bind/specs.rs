//! Slots of the language as slots of the registry, and the labels of one in the terms of the other.
//!
//! Every modality of the data has cells and genes of its own, so each is a [`Part`] with a registry of its own.

use super::table::is_table;
use super::{Binds, Trained, Vocabularies, vocabulary};
use crate::anndata::{AnnData, FieldPath};
use crate::compiler::Compiled;
use crate::error::request;
use crate::prepare;
use crate::registry::{Missing, SlotDims, SlotKind as Kind, SlotSpec, Vocabulary};
use dsl::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use dsl::{MissingRule, Slot, SlotKind};
use std::path::PathBuf;

/// The slots that one modality feeds.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// The modality; none for the file itself.
    pub modality: Option<String>,
    /// What its registry is asked for.
    pub list: Vec<SlotSpec>,
    /// The model's axis of its cells.
    pub rows: Option<String>,
    /// The model's axis of its genes.
    genes: Option<String>,
}

/// Where all slots are read from.
pub(super) struct Specs {
    /// Slots of the data, by modality.
    pub parts: Vec<Part>,
    /// Slots from files of text.
    pub tables: Vec<(String, PathBuf)>,
    /// Slots from `uns`.
    pub uns: Vec<(String, FieldPath)>,
    /// The axis of the minibatched plate.
    pub plate: Option<String>,
    /// What was taken for a field that is not there under its own name, and what could be.
    pub said: Diagnostics,
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
        let plate = compiled.plate().map(str::to_owned);
        let said = Diagnostics::new();
        let mut out = Self { parts: vec![], tables: vec![], uns: vec![], plate, said };
        for slot in compiled.slots().iter().filter(|s| s.load.is_none()) {
            if let Err(diagnostic) = out.one(slot, adata, binds.get(&slot.name), trained) {
                errors.push(*diagnostic);
            }
        }
        out.share(compiled, binds.memory());
        out
    }

    /// Divides the memory among the fields that may stay on the disk: matrices of the rows that minibatches are made of.
    fn share(&mut self, compiled: &Compiled, memory: Option<usize>) {
        let plate = self.plate.as_ref();
        let of_rows = |spec: &&mut SlotSpec| {
            let slot = compiled.slots().iter().find(|s| s.name == spec.name);
            let large = spec.dims == SlotDims::CellsByGenes && spec.missing == Missing::Never;
            large && slot.is_some_and(|s| s.axes.first() == plate)
        };
        let all = self.parts.iter_mut().flat_map(|part| &mut part.list);
        let fields: Vec<&mut SlotSpec> = all.filter(of_rows).collect();
        let n = fields.len();
        fields.into_iter().for_each(|spec| spec.memory = memory.map(|bytes| bytes / n));
    }

    fn one(
        &mut self,
        slot: &Slot,
        adata: &AnnData,
        asked: Option<&[String]>,
        trained: Option<Trained<'_>>,
    ) -> Result<(), Box<Diagnostic>> {
        if trained.is_some_and(|t| !t.present.contains(&slot.name)) {
            return Ok(());
        }
        let at = |d: Diagnostic| Box::new(d.at(slot.span, "declared here"));
        let texts: Vec<String> =
            asked.map_or_else(|| slot.path.iter().cloned().collect(), <[String]>::to_vec);
        if texts.len() > 1 && slot.kind != SlotKind::Covariates {
            let text = format!("`--bind {}={}`: `{}` takes one path", slot.name, texts.join(","), slot.name);
            return Err(at(request(text)));
        }
        if let (Some([text]), false) = (asked, slot.kind == SlotKind::Covariates)
            && is_table(text)
        {
            self.tables.push((slot.name.clone(), PathBuf::from(text)));
            return Ok(());
        }
        let mut paths: Vec<FieldPath> = texts
            .iter()
            .map(|text| text.parse().map_err(|e| at(request(format!("`{}`: {e}", slot.name)))))
            .collect::<Result<_, _>>()?;
        if let (None, None, [path]) = (asked, trained, paths.as_slice())
            && !adata.contains(path)
            && let Some(taken) = self.by_convention(slot, adata, path)
        {
            paths = vec![taken];
        }
        let held = trained.is_some_and(|t| t.held.contains(&slot.name));
        let may_miss = slot.kind == SlotKind::Category && slot.missing.is_some();
        if let ([path], Some(_), true, false) = (paths.as_slice(), trained, may_miss, held)
            && !adata.contains(path)
        {
            let file = adata.file().display();
            let text = format!("`{}`: {file} has no `{path}`: no cell has a label", slot.name);
            let help = format!("where labels are known: --bind {}=obs.COLUMN", slot.name);
            self.said.push(Diagnostic::new(Code::W0711, text).help(help));
            return Ok(());
        }
        // Whatever labels the data have, another stands for them.
        if held && asked.is_none() && slot.kind == SlotKind::Category {
            return Ok(());
        }
        let may_lack = held || slot.optional && trained.is_none();
        if asked.is_none() && may_lack && !paths.iter().any(|path| adata.contains(path)) {
            return Ok(());
        }
        let Some(first) = paths.first() else {
            let text = format!("`{}` is not bound to anything in {}", slot.name, adata.file().display());
            return Err(at(
                Diagnostic::new(Code::E0702, text).help(format!("bind it: --bind {}=obs.COLUMN", slot.name))
            ));
        };
        if let FieldPath::Uns(_) = inner(first) {
            self.uns.push((slot.name.clone(), first.clone()));
            return Ok(());
        }
        let modality = modality(first);
        if let Some(other) = paths.iter().find(|p| self::modality(p) != modality) {
            let text = format!("`{}`: `{first}` and `{other}` are of different modalities", slot.name);
            return Err(at(request(text)));
        }
        let dims = self.dims(slot, first);
        let sources = paths.iter().map(|p| inner(p).clone()).collect();
        let mut spec = SlotSpec::new(&slot.name, self.kind(slot, modality), dims, sources);
        // What training had must be there again, optional or not.
        spec.explicit = asked.is_some() || trained.is_some();
        spec.optional = slot.optional;
        spec.missing = missing(slot);
        if asked.is_none() && !adata.contains(first) {
            spec.usual = prepare::instead_of(adata, first).iter().map(FieldPath::to_string).collect();
        }
        self.part(modality).list.push(spec);
        Ok(())
    }

    /// A field of the same name in another spelling, for one that is not there; says what is taken, or, where the field
    /// may be absent, what could be.
    fn by_convention(&mut self, slot: &Slot, adata: &AnnData, path: &FieldPath) -> Option<FieldPath> {
        let file = adata.file().display();
        let mut say = |text: String, help: String| {
            let mut note = Diagnostic::new(Code::E0702, text).help(help);
            note.severity = Severity::Note;
            self.said.push(note);
        };
        if let Some(taken) = prepare::same_name(adata, path) {
            let text = format!("`{}`: {file} has no `{path}`; `{taken}` is taken", slot.name);
            say(text, format!("for another: --bind {}=…", slot.name));
            return Some(taken);
        }
        let all = prepare::instead_of(adata, path);
        if let (true, Some(first)) = (slot.optional, all.first()) {
            let names = all.iter().take(5).map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", ");
            let text =
                format!("`{}`: {file} has no `{path}`, so it is left out; there are {names}", slot.name);
            say(text, format!("to take it: --bind {}={first}", slot.name));
        }
        None
    }

    /// E0702 for the modalities that the data have not, all of them together.
    pub fn absent_modalities(&self, compiled: &Compiled, adata: &AnnData) -> Option<Diagnostic> {
        let absent: Vec<&Part> = self.parts.iter().filter(|part| part.of(adata).is_err()).collect();
        let quoted = |all: &[String]| all.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let names: Vec<String> = absent.iter().filter_map(|part| part.modality.clone()).collect();
        let first = names.first()?;
        let there: Vec<String> = adata.modality_names().iter().map(|n| (*n).to_owned()).collect();
        let has = if there.is_empty() { "no modalities".to_owned() } else { quoted(&there) };
        let word = if names.len() == 1 { "modality" } else { "modalities" };
        let file = adata.file().display();
        let text = format!("{file} has no {word} {}; it has {has}", quoted(&names));
        let mut d = Diagnostic::new(Code::E0702, text);
        for spec in absent.iter().flat_map(|part| &part.list) {
            if let Some(slot) = compiled.slots().iter().find(|s| s.name == spec.name) {
                d = match d.span() {
                    None => d.at(slot.span, "read from it"),
                    Some(_) => d.also(slot.span, "read from it"),
                };
            }
        }
        let all: Vec<&String> = self.parts.iter().filter_map(|part| part.modality.as_ref()).collect();
        let named: Vec<String> = all.iter().map(|n| format!("{n}=FILE")).collect();
        let field = absent.first().and_then(|part| part.list.first());
        let path = field.map(|f| f.source.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        let prefix = there.first().map_or(String::new(), |m| format!("mod.{m}."));
        let bind =
            field.map_or(first.clone(), |f| format!("{}={prefix}{}", f.name, path.unwrap_or_default()));
        Some(d.help(format!(
            "give a file for each modality ({}), or say where the fields are (--bind {bind} …)",
            named.join(" ")
        )))
    }

    fn part(&mut self, modality: Option<&str>) -> &mut Part {
        let at = self.parts.iter().position(|p| p.modality.as_deref() == modality).unwrap_or_else(|| {
            self.parts.push(Part { modality: modality.map(str::to_owned), ..Part::default() });
            self.parts.len() - 1
        });
        &mut self.parts[at]
    }

    /// The axes of a slot, told by what it is bound to: cells along rows, genes along columns, or columns of a table.
    fn dims(&mut self, slot: &Slot, path: &FieldPath) -> SlotDims {
        let plate = self.plate.clone();
        let part = self.part(modality(path));
        let (first, second) = (slot.axes.first().cloned(), slot.axes.get(1).cloned());
        let by_cell = first == plate;
        let rows = |part: &mut Part| part.rows = part.rows.take().or_else(|| first.clone());
        match (&first, second, inner(path)) {
            // A table of cells for an axis that is not theirs.
            (Some(_), Some(axis), FieldPath::Obsm(_))
                if plate.is_some() && !by_cell && part.modality.is_none() =>
            {
                SlotDims::GenesBy(axis)
            }
            (Some(_), Some(axis), FieldPath::Obsm(_)) => {
                rows(part);
                SlotDims::CellsBy(axis)
            }
            (Some(a), Some(b), FieldPath::Varm(_)) => {
                // The axis that is known to be of genes, wherever it stands.
                let swapped = part.genes.as_ref() == Some(&b);
                let (genes, own) = if swapped { (b, a.clone()) } else { (a.clone(), b) };
                part.genes.get_or_insert(genes);
                SlotDims::GenesBy(own)
            }
            (Some(_), Some(axis), _) => {
                rows(part);
                part.genes.get_or_insert(axis);
                SlotDims::CellsByGenes
            }
            (Some(axis), None, FieldPath::Obs(_) | FieldPath::ObsNames)
                if by_cell
                    || part.genes.as_ref() != Some(axis) && (plate.is_none() || part.modality.is_some()) =>
            {
                rows(part);
                SlotDims::Cells
            }
            (Some(_), None, _) if by_cell => {
                rows(part);
                SlotDims::Cells
            }
            (axis, None, _) => {
                if let Some(axis) = axis {
                    part.genes.get_or_insert_with(|| axis.clone());
                }
                SlotDims::Genes
            }
            (None, Some(_), _) => SlotDims::Genes,
        }
    }

    fn kind(&self, slot: &Slot, modality: Option<&str>) -> Kind {
        let part = self.parts.iter().find(|p| p.modality.as_deref() == modality);
        let is = |axis: &Option<String>| axis.is_some() && *axis == slot.over;
        match slot.kind {
            SlotKind::Index => Kind::Index(match part {
                Some(p) if is(&p.rows) => "cell".to_owned(),
                Some(p) if is(&p.genes) => "gene".to_owned(),
                _ => slot.over.clone().unwrap_or_default(),
            }),
            _ => kind(slot),
        }
    }
}

impl Part {
    /// The data of its modality.
    pub fn of<'a>(&self, adata: &'a AnnData) -> Result<&'a AnnData, crate::anndata::DataError> {
        match &self.modality {
            Some(name) => adata.modality(name),
            None => Ok(adata),
        }
    }

    /// Where a slot was found, as it would be bound.
    pub fn place(&self, spec: &SlotSpec) -> String {
        let prefix = self.modality.as_ref().map_or(String::new(), |m| format!("mod.{m}."));
        spec.source.iter().map(|p| format!("{prefix}{p}")).collect::<Vec<_>>().join(",")
    }

    /// Names of the model's axes along rows and columns of a slot.
    pub fn axes(&self, spec: &SlotSpec) -> Vec<String> {
        let (rows, genes) = (self.rows.clone().unwrap_or_default(), self.genes.clone().unwrap_or_default());
        match &spec.dims {
            SlotDims::Cells => vec![rows],
            SlotDims::Genes => vec![genes],
            SlotDims::CellsByGenes => vec![rows, genes],
            SlotDims::CellsBy(own) => vec![rows, own.clone()],
            SlotDims::GenesBy(own) => vec![genes, own.clone()],
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

/// The field inside its modality.
fn inner(path: &FieldPath) -> &FieldPath {
    match path {
        FieldPath::Mod(_, field) => field,
        field => field,
    }
}

fn modality(path: &FieldPath) -> Option<&str> {
    match path {
        FieldPath::Mod(name, _) => Some(name),
        _ => None,
    }
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
        SlotKind::Index => Kind::Index(slot.over.clone().unwrap_or_default()),
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
