//! Columns of `obs` and `var`, and how any of them becomes categories.

use std::collections::BTreeMap;

/// The values of a column by type.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Labels by code; −1 is missing.
    Categorical {
        /// For each row the position in `categories`, or −1.
        codes: Vec<i32>,
        /// The labels in the order of the file. Some may be unused.
        categories: Vec<String>,
        /// Whether the order of the labels means something.
        ordered: bool,
    },
    /// Floating-point numbers; NaN is missing.
    Real(Vec<f64>),
    /// Integers.
    Integer(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Texts.
    Strings(Vec<String>),
}

/// One column: its values, and which of them are missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The values; where `missing` holds, a placeholder.
    pub values: Values,
    /// For nullable columns: true where the value is missing. NaN and code −1 are missing without it.
    pub missing: Option<Vec<bool>>,
}

/// A column as categories that all have members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Categories {
    /// The labels by code.
    pub labels: Vec<String>,
    /// The code of each row, −1 where it is missing.
    pub codes: Vec<i32>,
    /// The number of rows of each label.
    pub sizes: Vec<usize>,
}

impl Values {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Categorical { codes, .. } => codes.len(),
            Self::Real(v) => v.len(),
            Self::Integer(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Strings(v) => v.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the column holds, for messages.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Categorical { .. } => "categories",
            Self::Real(_) => "numbers",
            Self::Integer(_) => "integers",
            Self::Bool(_) => "truth values",
            Self::Strings(_) => "texts",
        }
    }
}

impl Column {
    /// A column without a mask.
    pub fn new(values: Values) -> Self {
        Self { values, missing: None }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Rows `rows`, in that order; a row may be used more than once.
    ///
    /// # Panics
    /// When a row is beyond the column.
    pub fn rows(&self, rows: &[usize]) -> Column {
        fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|&row| values[row].clone()).collect()
        }
        let values = match &self.values {
            Values::Categorical { codes, categories, ordered } => Values::Categorical {
                codes: pick(codes, rows),
                categories: categories.clone(),
                ordered: *ordered,
            },
            Values::Real(v) => Values::Real(pick(v, rows)),
            Values::Integer(v) => Values::Integer(pick(v, rows)),
            Values::Bool(v) => Values::Bool(pick(v, rows)),
            Values::Strings(v) => Values::Strings(pick(v, rows)),
        };
        Column { values, missing: self.missing.as_ref().map(|mask| pick(mask, rows)) }
    }

    /// Whether the value of `row` is missing: masked, NaN, or code −1.
    pub fn is_missing(&self, row: usize) -> bool {
        self.missing.as_ref().is_some_and(|m| m[row])
            || match &self.values {
                Values::Categorical { codes, .. } => codes[row] < 0,
                Values::Real(v) => v[row].is_nan(),
                _ => false,
            }
    }

    /// Number of missing values.
    pub fn n_missing(&self) -> usize {
        (0..self.len()).filter(|&row| self.is_missing(row)).count()
    }

    /// The column as numbers, NaN where missing; `None` for texts and for categories.
    pub fn to_reals(&self) -> Option<Vec<f64>> {
        let values: Vec<f64> = match &self.values {
            Values::Real(v) => v.clone(),
            Values::Integer(v) => v.iter().map(|&x| x as f64).collect(),
            Values::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
            Values::Categorical { .. } | Values::Strings(_) => return None,
        };
        Some(
            values
                .into_iter()
                .enumerate()
                .map(|(row, v)| if self.is_missing(row) { f64::NAN } else { v })
                .collect(),
        )
    }

    /// The column as categories, each with at least one row.
    ///
    /// Categories of the file keep their order; texts are sorted; numbers and truth values are sorted by value and
    /// then shown as text (`1`, `0.5`, `True`), which is also what pandas does. Missing values get code −1.
    pub fn to_categories(&self) -> Categories {
        match &self.values {
            Values::Categorical { codes, categories, .. } => {
                let codes = (0..codes.len()).map(|row| if self.is_missing(row) { -1 } else { codes[row] });
                compact(categories, codes.collect())
            }
            Values::Strings(v) => self.by_key(|row| v[row].clone(), Clone::clone),
            Values::Integer(v) => self.by_key(|row| v[row], i64::to_string),
            Values::Bool(v) => self.by_key(|row| v[row], |&b| if b { "True" } else { "False" }.to_owned()),
            Values::Real(v) => {
                self.by_key(|row| order_bits(v[row]), |&bits| format!("{:?}", from_order_bits(bits)))
            }
        }
    }

    /// Categories from sortable keys.
    fn by_key<K: Ord>(&self, key: impl Fn(usize) -> K, show: impl Fn(&K) -> String) -> Categories {
        let mut rows_of: BTreeMap<K, Vec<usize>> = BTreeMap::new();
        for row in (0..self.len()).filter(|&row| !self.is_missing(row)) {
            rows_of.entry(key(row)).or_default().push(row);
        }
        let mut out = Categories { codes: vec![-1; self.len()], ..Categories::default() };
        for (code, (key, rows)) in rows_of.iter().enumerate() {
            out.labels.push(show(key));
            out.sizes.push(rows.len());
            rows.iter().for_each(|&row| out.codes[row] = code as i32);
        }
        out
    }
}

/// Drops the categories without rows. Codes outside `categories` count as missing.
fn compact(categories: &[String], codes: Vec<i32>) -> Categories {
    let known = |code: i32| usize::try_from(code).ok().filter(|&c| c < categories.len());
    let mut sizes = vec![0usize; categories.len()];
    codes.iter().filter_map(|&c| known(c)).for_each(|c| sizes[c] += 1);
    let mut new_code = vec![-1i32; categories.len()];
    let mut out = Categories::default();
    for (code, label) in categories.iter().enumerate().filter(|&(code, _)| sizes[code] > 0) {
        new_code[code] = out.labels.len() as i32;
        out.labels.push(label.clone());
        out.sizes.push(sizes[code]);
    }
    out.codes = codes.into_iter().map(|c| known(c).map_or(-1, |c| new_code[c])).collect();
    out
}

/// A key with the order of the numbers; −0 and 0 share one.
fn order_bits(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

fn from_order_bits(key: i64) -> f64 {
    f64::from_bits((key ^ (((key >> 63) as u64) >> 1) as i64) as u64)
}
