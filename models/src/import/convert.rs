//! Element by element from reference tensors to our variables, and back (for gradients).

use super::names::{NameMap, Shape, Target};
use super::tensor::Tensor;
use autodiff_runtime::{Element, Variables};
use dsl::{Bound, DimRole, VariableSpec};
use std::collections::{BTreeMap, BTreeSet};

/// Imported values.
#[derive(Clone, Debug)]
pub struct Imported<E> {
    /// Our variables.
    pub variables: Variables<E>,
    /// Statistics of the data by name.
    pub stats: BTreeMap<String, Vec<f64>>,
    /// Reference tensors that this model has no use for (heads that its options leave out).
    pub unused: Vec<String>,
}

/// One of our variables filled from a reference tensor: for each of its elements, the element there.
struct Part<'v> {
    spec: &'v VariableSpec,
    from: Vec<usize>,
}

/// Knows the correspondence between the tensors of a reference model and the variables of ours.
pub struct Converter<'v> {
    map: &'v NameMap,
    specs: &'v [VariableSpec],
    continuous: BTreeSet<String>,
}

impl<'v> Converter<'v> {
    /// For a lowered model: its variables in order, and what is bound.
    pub fn new(map: &'v NameMap, specs: &'v [VariableSpec], bound: &Bound) -> Self {
        let with_reals = bound.covariates.iter().filter(|(_, c)| !c.continuous.is_empty());
        Self { map, specs, continuous: with_reals.map(|(name, _)| name.clone()).collect() }
    }

    /// Our variables from the reference's tensors.
    ///
    /// # Errors
    /// A name that the table does not know, sizes that do not fit, or a variable of ours that nothing fills.
    pub fn import<E: Element>(&self, reference: &BTreeMap<String, Tensor>) -> Result<Imported<E>, String> {
        let mut out = Imported { variables: Variables::new(), stats: BTreeMap::new(), unused: vec![] };
        for (name, tensor) in reference {
            let target = self
                .map
                .target(name)
                .ok_or_else(|| format!("`{name}` is not a name of this family of models"))?;
            if target.shape == Shape::Stat {
                out.stats.insert(target.ours[0].clone(), tensor.values.clone());
                continue;
            }
            let parts = self.parts(name, &target, &tensor.shape)?;
            if parts.is_empty() && target.shape != Shape::Unused {
                out.unused.push(name.clone());
            }
            for part in parts {
                let values = part.from.iter().map(|i| E::from_f64(tensor.values[*i])).collect();
                out.variables.set(&part.spec.name, values);
            }
        }
        match self.specs.iter().find(|s| out.variables.get(&s.name).is_none()) {
            Some(spec) => Err(format!("nothing in the file fills our parameter `{}`", spec.name)),
            None => Ok(out),
        }
    }

    /// The reference's tensor of a name and shape, put together from ours (values or gradients by variable name).
    /// `None` if the model has no part of it.
    ///
    /// # Errors
    /// As [`Converter::import`].
    pub fn export(
        &self,
        name: &str,
        shape: &[usize],
        ours: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> Result<Option<Tensor>, String> {
        let target = self
            .map
            .target(name)
            .ok_or_else(|| format!("`{name}` is not a name of this family of models"))?;
        let parts = self.parts(name, &target, shape)?;
        if parts.is_empty() {
            return Ok(None);
        }
        let mut values = vec![0.0; shape.iter().product()];
        for part in &parts {
            let own = ours(&part.spec.name).ok_or_else(|| format!("`{}` has no values", part.spec.name))?;
            for (value, at) in own.iter().zip(&part.from) {
                values[*at] = *value;
            }
        }
        Ok(Some(Tensor { shape: shape.to_vec(), values }))
    }

    fn parts(&self, name: &str, target: &Target, shape: &[usize]) -> Result<Vec<Part<'v>>, String> {
        let n: usize = shape.iter().product();
        let found: Vec<&'v VariableSpec> =
            target.ours.iter().map(|ours| self.family(ours)).find(|f| !f.is_empty()).unwrap_or_default();
        match &target.shape {
            Shape::Unused | Shape::Stat => Ok(vec![]),
            _ if found.is_empty() => Ok(vec![]),
            Shape::Linear(first) => self.linear(name, shape, found, first.as_deref()),
            Shape::Stacked(axes) => self.stacked(name, shape, &target.ours, axes),
            Shape::Rows(axes) => self.rows(name, shape, &target.ours, axes),
            Shape::Same | Shape::Axes(_) => {
                let spec = found[0];
                let size: usize = spec.dims.iter().map(|d| d.size).product();
                if size != n {
                    return Err(format!(
                        "`{name}` has shape {shape:?}, but `{}` has {size} elements",
                        spec.name
                    ));
                }
                let from = match &target.shape {
                    Shape::Axes(first) => permuted(spec, first),
                    _ => (0..n).collect(),
                };
                Ok(vec![Part { spec, from }])
            }
        }
    }

    /// The variable of a name, and its conditioning parts `name.<input>`.
    fn family(&self, name: &str) -> Vec<&'v VariableSpec> {
        let is_part = |s: &&VariableSpec| {
            s.name == name || s.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        };
        self.specs.iter().filter(is_part).collect()
    }

    /// Rows in order: those of each of ours along the axis, one of what lacks it.
    fn stacked(
        &self,
        name: &str,
        shape: &[usize],
        ours: &[String],
        axes: &[String],
    ) -> Result<Vec<Part<'v>>, String> {
        let &[n_rows, width] = shape else { return Err(format!("`{name}` is not a table")) };
        let (mut out, mut row) = (vec![], 0);
        for spec in ours.iter().filter_map(|o| self.specs.iter().find(|s| s.name == *o)) {
            let along = spec.dims.iter().position(|d| axes.contains(&d.axis));
            let total: usize = spec.dims.iter().map(|d| d.size).product();
            let inner: usize = along.map_or(1, |k| spec.dims[k + 1..].iter().map(|d| d.size).product());
            let n = along.map_or(1, |k| spec.dims[k].size);
            if total != n * width || row + n > n_rows {
                return Err(format!("`{name}` has shape {shape:?}, which does not fit `{}`", spec.name));
            }
            let place = |i: usize| match along {
                Some(_) => (i / inner % n, i / (inner * n) * inner + i % inner),
                None => (0, i),
            };
            let from = (0..total).map(place).map(|(r, column)| (row + r) * width + column).collect();
            out.push(Part { spec, from });
            row += n;
        }
        if row != n_rows && !out.is_empty() {
            return Err(format!("`{name}` has {n_rows} rows, but this model has {row}"));
        }
        Ok(out)
    }

    /// Outputs in order: those of each of ours, whose own order is that of the named axes.
    fn rows(
        &self,
        name: &str,
        shape: &[usize],
        ours: &[String],
        axes: &[String],
    ) -> Result<Vec<Part<'v>>, String> {
        let [n_rows, rest @ ..] = shape else { return Err(format!("`{name}` is a single number")) };
        let width: usize = rest.iter().product();
        let (mut out, mut row) = (vec![], 0);
        for spec in ours.iter().filter_map(|o| self.specs.iter().find(|s| s.name == *o)) {
            let is_in = |k: &usize| spec.dims[*k].role == DimRole::In;
            let rank = |k: &usize| axes.iter().position(|a| *a == spec.dims[*k].axis).unwrap_or(axes.len());
            let mut order: Vec<usize> = (0..spec.dims.len()).filter(|k| !is_in(k)).collect();
            order.sort_by_key(rank);
            let n: usize = order.iter().map(|k| spec.dims[*k].size).product();
            let n_in: usize = spec.dims.iter().filter(|d| d.role == DimRole::In).map(|d| d.size).product();
            if n_in != width || row + n > *n_rows {
                return Err(format!("`{name}` has shape {shape:?}, which does not fit `{}`", spec.name));
            }
            order.extend((0..spec.dims.len()).filter(is_in));
            out.push(Part {
                spec,
                from: reordered(spec, &order).into_iter().map(|i| row * width + i).collect(),
            });
            row += n;
        }
        if row != *n_rows && !out.is_empty() {
            return Err(format!("`{name}` has {n_rows} rows, but this model has {row}"));
        }
        Ok(out)
    }

    /// Columns in order: the main input, continuous covariates, then categories in the order of the model.
    fn linear(
        &self,
        name: &str,
        shape: &[usize],
        mut parts: Vec<&'v VariableSpec>,
        first: Option<&str>,
    ) -> Result<Vec<Part<'v>>, String> {
        let &[n_out, n_in] = shape else { return Err(format!("`{name}` is not a matrix")) };
        let suffix = |s: &VariableSpec| {
            s.name.rsplit_once(".weight").map_or("", |(_, rest)| rest).trim_start_matches('.').to_owned()
        };
        parts.sort_by_key(|s| match suffix(s) {
            main if main.is_empty() => 0,
            part if first == Some(&part) => 1,
            part if self.continuous.contains(&part) => 2,
            _ => 3,
        });
        let mut out = Vec::new();
        let mut offset = 0;
        for spec in parts {
            let (from, width) = columns(spec, n_out, n_in, offset);
            offset += width;
            if from.iter().any(|i| *i >= n_out * n_in) || from.len() != n_out * width {
                return Err(format!("`{name}` has shape {shape:?}, which does not fit `{}`", spec.name));
            }
            out.push(Part { spec, from });
        }
        if offset != n_in {
            return Err(format!(
                "`{name}` has {n_in} inputs, but this model has {offset}: do its covariates fit?"
            ));
        }
        Ok(out)
    }
}

/// For each element of a variable its place in an array whose first axes are the named ones.
fn permuted(spec: &VariableSpec, first: &[String]) -> Vec<usize> {
    let rank = |k: &usize| first.iter().position(|f| *f == spec.dims[*k].axis).unwrap_or(first.len());
    let mut order: Vec<usize> = (0..spec.dims.len()).collect();
    order.sort_by_key(rank);
    reordered(spec, &order)
}

/// For each element of a variable its place in an array that has its axes in this order.
fn reordered(spec: &VariableSpec, order: &[usize]) -> Vec<usize> {
    let sizes: Vec<usize> = spec.dims.iter().map(|d| d.size).collect();
    let place = |flat: usize| {
        let mut at = vec![0; sizes.len()];
        let mut rest = flat;
        for k in (0..sizes.len()).rev() {
            at[k] = rest % sizes[k];
            rest /= sizes[k];
        }
        order.iter().fold(0, |sum, &k| sum * sizes[k] + at[k])
    };
    (0..sizes.iter().product()).map(place).collect()
}

/// For each element of a part (row-major in its own axes), the element of the `[out, in]` matrix; and its width.
fn columns(spec: &VariableSpec, n_out: usize, n_in: usize, offset: usize) -> (Vec<usize>, usize) {
    let is_out = |role: DimRole| role == DimRole::Out;
    let width: usize = spec.dims.iter().filter(|d| !is_out(d.role)).map(|d| d.size).product();
    let total: usize = spec.dims.iter().map(|d| d.size).product();
    let from = (0..total).map(|flat| {
        let (mut rest, mut block) = (flat, total);
        let (mut row, mut column) = (0, 0);
        for dim in &spec.dims {
            block /= dim.size;
            let at = rest / block;
            rest %= block;
            if is_out(dim.role) { row = row * dim.size + at } else { column = column * dim.size + at }
        }
        debug_assert!(row < n_out.max(1));
        row * n_in + offset + column
    });
    (from.collect(), width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dsl::{CovariateShape, Init, VariableDim, VariableKind};

    fn spec(name: &str, dims: &[(&str, usize, DimRole)]) -> VariableSpec {
        let dims = dims.iter().map(|(axis, size, role)| VariableDim {
            axis: (*axis).into(),
            size: *size,
            role: *role,
        });
        VariableSpec {
            name: name.into(),
            dims: dims.collect(),
            init: Init::Constant(0.0),
            from: None,
            kind: VariableKind::Trained,
        }
    }

    #[test]
    fn axes_are_permuted_and_rows_shared_out() {
        use DimRole::Own;
        let specs = [
            spec("noise", &[("gene", 2, Own), ("species", 2, Own), ("state", 3, Own)]),
            spec("abundance", &[("spot", 2, Own), ("type", 3, Own)]),
            spec("rest", &[("spot", 2, Own)]),
        ];
        let text = "scale -> noise : axes species\nV -> abundance | rest : stacked type";
        let map = NameMap::parse(text).unwrap();
        let bound = Bound::default();
        let converter = Converter::new(&map, &specs, &bound);
        let scale = Tensor { shape: vec![4, 3], values: (0..12).map(f64::from).collect() };
        let v = Tensor { shape: vec![4, 2], values: (0..8).map(f64::from).collect() };
        let reference = BTreeMap::from([("scale".to_owned(), scale.clone()), ("V".to_owned(), v.clone())]);
        let ours = converter.import::<f64>(&reference).unwrap().variables;
        let noise = [0.0, 1.0, 2.0, 6.0, 7.0, 8.0, 3.0, 4.0, 5.0, 9.0, 10.0, 11.0];
        assert_eq!(ours.get("noise").unwrap(), noise);
        assert_eq!(ours.get("abundance").unwrap(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(ours.get("rest").unwrap(), [6.0, 7.0]);
        let value = |name: &str| ours.get(name).map(<[f64]>::to_vec);
        assert_eq!(converter.export("scale", &[4, 3], &value).unwrap().unwrap(), scale);
        assert_eq!(converter.export("V", &[4, 2], &value).unwrap().unwrap(), v);
        assert!(converter.export("V", &[5, 2], &value).is_err());
    }

    #[test]
    fn outputs_of_several_maps_are_shared_out_in_their_own_order() {
        use DimRole::{In, Out, Own};
        let specs = [
            spec("a", &[("type", 2, Own), ("latent", 2, Out), ("mode", 1, Own), ("hidden", 2, In)]),
            spec("b", &[("type", 2, Out), ("hidden", 2, In)]),
            spec("c", &[("type", 2, Out)]),
        ];
        let map = NameMap::parse("w -> a | b : rows mode, latent, type\nv -> c : rows type").unwrap();
        let bound = Bound::default();
        let converter = Converter::new(&map, &specs, &bound);
        let w = Tensor { shape: vec![6, 2], values: (0..12).map(f64::from).collect() };
        let v = Tensor { shape: vec![2], values: vec![7.0, 8.0] };
        let reference = BTreeMap::from([("w".to_owned(), w.clone()), ("v".to_owned(), v)]);
        let ours = converter.import::<f64>(&reference).unwrap().variables;
        // Row latent * 2 + type of the reference; type is the first axis of ours.
        assert_eq!(ours.get("a").unwrap(), [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!(ours.get("b").unwrap(), [8.0, 9.0, 10.0, 11.0]);
        assert_eq!(ours.get("c").unwrap(), [7.0, 8.0]);
        let value = |name: &str| ours.get(name).map(<[f64]>::to_vec);
        assert_eq!(converter.export("w", &[6, 2], &value).unwrap().unwrap(), w);
        assert!(converter.export("w", &[7, 2], &value).is_err());
        assert!(converter.export("w", &[6, 3], &value).is_err());
    }

    #[test]
    fn columns_are_shared_out_and_come_back() {
        use DimRole::{In, Out, Own};
        let base = "decoder.h.mlp.0.linear.weight";
        let specs = [
            spec(base, &[("latent", 2, In), ("hidden", 3, Out)]),
            spec(&format!("{base}.batch"), &[("batch", 2, Own), ("hidden", 3, Out)]),
            spec(&format!("{base}.covs"), &[("hidden", 3, Out), ("covs", 1, In)]),
            spec("theta", &[("batch", 2, Own), ("gene", 2, Own)]),
        ];
        let mut bound = Bound::default();
        bound
            .covariates
            .insert("covs".into(), CovariateShape { categorical: vec![], continuous: vec!["pct".into()] });
        let map = NameMap::of(["scvi"]);
        let converter = Converter::new(&map, &specs, &bound);
        let weight = Tensor { shape: vec![3, 5], values: (0..15).map(f64::from).collect() };
        let theta = Tensor { shape: vec![2, 2], values: vec![1.0, 2.0, 3.0, 4.0] };
        let names = ["decoder.px_decoder.fc_layers.Layer 0.0.weight", "px_r", "decoder.px_r_decoder.bias"];
        let reference = BTreeMap::from([
            (names[0].to_owned(), weight.clone()),
            (names[1].to_owned(), theta.clone()),
            (names[2].to_owned(), theta.clone()),
        ]);
        let ours = converter.import::<f64>(&reference).unwrap();
        assert_eq!(ours.variables.get(base).unwrap(), [0.0, 5.0, 10.0, 1.0, 6.0, 11.0]);
        assert_eq!(ours.variables.get(&format!("{base}.covs")).unwrap(), [2.0, 7.0, 12.0]);
        assert_eq!(ours.variables.get(&format!("{base}.batch")).unwrap(), [3.0, 8.0, 13.0, 4.0, 9.0, 14.0]);
        assert_eq!(ours.variables.get("theta").unwrap(), [1.0, 3.0, 2.0, 4.0]);
        assert_eq!(ours.unused, [names[2]]);
        let value = |name: &str| ours.variables.get(name).map(<[f64]>::to_vec);
        assert_eq!(converter.export(names[0], &[3, 5], &value).unwrap().unwrap(), weight);
        assert_eq!(converter.export(names[1], &[2, 2], &value).unwrap().unwrap(), theta);
        assert!(converter.export(names[0], &[3, 6], &value).is_err());
    }
}
