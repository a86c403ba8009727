//! Values that hold only in places, against densities written out here: missing values, `where`, weights of plates,
//! subset axes, indices, labelled axes, tables with a row for each row of the data, statistics within labels.

mod common;

use common::{World, bound, compiled, noise, request, same};
use dsl::{Mode, Purpose};
use std::collections::BTreeMap;

const ROWS: [usize; 3] = [0, 2, 3];
const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_7;

fn log_normal(x: f64, mean: f64, scale: f64) -> f64 {
    -0.5 * ((x - mean) / scale).powi(2) - scale.ln() - HALF_LOG_TAU
}

/// A program on four rows with every field present.
struct Small {
    model: dsl::Compiled,
}

impl Small {
    fn new(text: &str) -> Self {
        Self { model: compiled(text, &[]) }
    }

    fn world(&self) -> World<'_> {
        World { model: &self.model, bound: bound(&self.model, 4, true), canonical: same, epoch: 1.0, step: 0 }
    }

    fn objective(&self) -> BTreeMap<String, Vec<f64>> {
        self.world().objective(Mode::Evaluate, &ROWS)
    }

    fn output(&self, name: &str) -> Vec<f64> {
        let w = self.world();
        let names = vec![name.to_owned()];
        let asked = request(Purpose::Outputs { names, given: vec![] }, Mode::Evaluate, ROWS.len());
        let lowered = self.model.lower(&w.bound, &asked).expect("the output lowers");
        w.run(&lowered, &ROWS)[name].clone()
    }

    fn size(&self, axis: &str) -> usize {
        self.world().bound.sizes[axis]
    }
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?} {expected:?}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-9 * (1.0 + b.abs()), "{found:?}\n{expected:?}");
    }
    assert!(expected.iter().any(|x| x.abs() > 1e-6), "nothing is tested: {expected:?}");
}

#[test]
fn missing_values_have_no_likelihood() {
    let p = Small::new(
        "dim cell, gene
        data { y : real?[cell, gene] from X missing nan  v : real?[cell] from obs.v }
        model { plate cell { observe y ~ Normal(mean = 0.5, scale = 2)
                             observe v ~ Normal(mean = 0, scale = 1) } }
        output { filled = fill(y, 7)  seen = select(observed(v), 1, 0) }",
    );
    let (w, out, genes) = (p.world(), p.objective(), p.size("gene"));
    let at = |r: usize| (0..genes).map(move |g| [r, g]);
    let one = |at: [usize; 2]| w.is_known("y", &at) * log_normal(w.slot_value("y", &at), 0.5, 2.0);
    close(&out["row:lik(y)"], &ROWS.map(|r| at(r).map(one).sum()));
    let filled: Vec<f64> = ROWS
        .iter()
        .flat_map(|r| at(*r))
        .map(|at| if w.is_known("y", &at) > 0.0 { w.slot_value("y", &at) } else { 7.0 })
        .collect();
    close(&p.output("filled"), &filled);
    close(&p.output("seen"), &ROWS.map(|r| w.is_known("v", &[r])));
}

#[test]
fn a_vector_with_a_missing_element_has_no_term() {
    let p = Small::new(
        "dim cell, part = 2
        data { y : simplex?[cell, part] over part from obsm.y }
        model { plate cell { observe y ~ Dirichlet(concentration = 2 over part) } }",
    );
    let (w, out, parts) = (p.world(), p.objective(), 2);
    // The density of Dirichlet(2, 2) is 6 · y₀ y₁.
    let all = |r: usize| (0..parts).map(|k| w.is_known("y", &[r, k])).fold(1.0, f64::min);
    let density = |r: usize| (0..parts).map(|k| w.slot_value("y", &[r, k]).ln()).sum::<f64>() + 6f64.ln();
    close(&out["row:lik(y)"], &ROWS.map(|r| all(r) * density(r)));
}

#[test]
fn sites_and_likelihoods_exist_where_their_conditions_hold() {
    let p = Small::new(
        "dim cell, gene
        data { y : real[cell, gene] from X  flag : bool[cell] from obs.flag  w : positive[cell] from obs.w }
        model { plate cell weight w {
          z ~ Normal(0, 1) where flag else 3
          observe y ~ Normal(mean = 0, scale = 1) where y > 0 and flag
        } }
        guide { plate cell { z ~ Normal(mean = 0.5, scale = 1) } }
        output { value = z  moment = mean(z) }",
    );
    let (w, out, genes) = (p.world(), p.objective(), p.size("gene"));
    let flag = |r: usize| w.slot_value("flag", &[r]);
    let weight = |r: usize| w.slot_value("w", &[r]);
    let lik = |r: usize| -> f64 {
        (0..genes)
            .map(|g| w.slot_value("y", &[r, g]))
            .filter(|y| *y > 0.0)
            .map(|y| log_normal(y, 0.0, 1.0))
            .sum()
    };
    close(&out["row:lik(y)"], &ROWS.map(|r| weight(r) * flag(r) * lik(r)));
    // KL of N(1/2, 1) from N(0, 1).
    close(&out["row:kl(z)"], &ROWS.map(|r| weight(r) * flag(r) * 0.125));
    close(&p.output("moment"), &ROWS.map(|r| if flag(r) > 0.0 { 0.5 } else { 3.0 }));
    let drawn = p.output("value");
    for (r, z) in ROWS.iter().zip(&drawn) {
        assert_eq!(*z == 3.0, flag(*r) == 0.0, "{drawn:?}");
    }
}

#[test]
fn a_guide_may_draw_a_part() {
    let p = Small::new(
        "dim cell
        data { y : real[cell] from obs.y }
        model { plate cell { z ~ Normal(0, 1)  observe y ~ Normal(mean = z, scale = 1) } }
        guide { plate cell { z ~ Normal(mean = 0.5, scale = 1) where y > 0 else 2 } }",
    );
    let (w, out) = (p.world(), p.objective());
    let y = |r: usize| w.slot_value("y", &[r]);
    close(&out["row:kl(z)"], &ROWS.map(|r| if y(r) > 0.0 { 0.125 } else { 0.0 }));
    for (i, r) in ROWS.iter().enumerate().filter(|(_, r)| y(**r) <= 0.0) {
        close(&[out["row:lik(y)"][i]], &[log_normal(y(*r), 2.0, 1.0)]);
    }
}

#[test]
fn reductions_are_filtered() {
    let p = Small::new(
        "dim cell, gene
        data { y : real[cell, gene] from X }
        model { plate cell { observe y ~ Normal(mean = 0, scale = 1) } }
        output {
          total = sum(y over gene where y > 0.5)  middle = mean(y over gene where y > 0.5)
          spread = var(y over gene where y > -9)  top = max(y over gene where y < 1)
          none = mean(y over gene where y > 99)
        }",
    );
    let (w, genes) = (p.world(), p.size("gene"));
    let ys = |r: usize, keep: fn(f64) -> bool| -> Vec<f64> {
        (0..genes).map(|g| w.slot_value("y", &[r, g])).filter(|y| keep(*y)).collect()
    };
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
    close(&p.output("total"), &ROWS.map(|r| ys(r, |y| y > 0.5).iter().sum()));
    close(&p.output("middle"), &ROWS.map(|r| mean(&ys(r, |y| y > 0.5))));
    let spread = |v: Vec<f64>| {
        let m = mean(&v);
        mean(&v.iter().map(|y| (y - m).powi(2)).collect::<Vec<_>>())
    };
    close(&p.output("spread"), &ROWS.map(|r| spread(ys(r, |_| true))));
    close(&p.output("top"), &ROWS.map(|r| ys(r, |y| y < 1.0).into_iter().fold(f64::NEG_INFINITY, f64::max)));
    assert_eq!(p.output("none"), [0.0; 3]);
}

#[test]
fn a_subset_axis_restricts_by_label() {
    let p = Small::new(
        "dim cell, gene
        dim panel within gene
        data { x : real[cell, gene] from X  y : real[cell, panel] from obsm.y }
        param scale[gene] : positive
        model { plate cell {
          observe y ~ Normal(mean = x[panel], scale = scale[panel])
          observe x[panel] ~ Normal(mean = 0, scale = 1)
        } }",
    );
    let (w, out, genes, panel) = (p.world(), p.objective(), p.size("gene"), p.size("panel"));
    let whole = |k: usize| (2 * k + 1) % genes;
    let scale = |g: usize| (0.2 * (noise("scale", &[g]) - 0.5)).exp();
    let y = |r: usize| {
        (0..panel)
            .map(|k| {
                log_normal(w.slot_value("y", &[r, k]), w.slot_value("x", &[r, whole(k)]), scale(whole(k)))
            })
            .sum()
    };
    close(&out["row:lik(y)"], &ROWS.map(y));
    let x = |r: usize| (0..panel).map(|k| log_normal(w.slot_value("x", &[r, whole(k)]), 0.0, 1.0)).sum();
    close(&out["row:lik(x)"], &ROWS.map(x));
}

#[test]
fn other_rows_of_a_field_are_gathered() {
    let p = Small::new(
        "dim cell, gene
        dim knn = 2
        data {
          x : real[cell, gene] from X  b : category[cell] from obs.b
          near : index[cell, knn] over cell from obsm.near
        }
        param shift[b]
        model { plate cell { observe x ~ Normal(mean = 0, scale = 1) } }
        output { sums = sum(x[near] over gene)  shifts = shift[b[near]] }",
    );
    let (w, genes) = (p.world(), p.size("gene"));
    let place = |r: usize, k: usize| w.code("near", &[r, k]) as usize;
    let places: Vec<usize> =
        ROWS.iter().flat_map(|r| (0..2).map(move |k| (*r, k))).map(|(r, k)| place(r, k)).collect();
    let total = |r: &usize| (0..genes).map(|g| w.slot_value("x", &[*r, g])).sum();
    close(&p.output("sums"), &places.iter().map(total).collect::<Vec<_>>());
    let shift = |r: &usize| 0.2 * (noise("shift", &[w.code("b", &[*r]) as usize]) - 0.5);
    close(&p.output("shifts"), &places.iter().map(shift).collect::<Vec<_>>());
}

#[test]
fn records_are_values_of_a_labelled_axis() {
    let p = Small::new(
        "dim cell
        dim state = { off, on, late }
        data { y : real[cell] from obs.y }
        param level[state]
        model { plate cell { observe y ~ Normal(mean = 0, scale = 1) } }
        output {
          mixed = sum(level * { off = 1, on = y, late = y * y } over state)
          one = level.on  same = level[on]
        }",
    );
    let w = p.world();
    let level = |k: usize| 0.2 * (noise("level", &[k]) - 0.5);
    let y = |r: usize| w.slot_value("y", &[r]);
    close(&p.output("mixed"), &ROWS.map(|r| level(0) + level(1) * y(r) + level(2) * y(r) * y(r)));
    close(&p.output("one"), &[level(1)]);
    close(&p.output("same"), &[level(1)]);
}

#[test]
fn a_category_is_compared_with_a_label() {
    let p = Small::new(
        "dim cell
        option background = \"control\"
        data { y : real[cell] from obs.y  group : category[cell] from obs.group }
        model { plate cell { observe y ~ Normal(mean = 0, scale = 1) where group != background } }
        output { is = select(group == \"control\", 1, 0) }",
    );
    let (w, out) = (p.world(), p.objective());
    // The label of the test's world has code 1.
    let is = |r: usize| w.code("group", &[r]) == 1.0;
    close(&p.output("is"), &ROWS.map(|r| f64::from(u8::from(is(r)))));
    let lik = |r: usize| if is(r) { 0.0 } else { log_normal(w.slot_value("y", &[r]), 0.0, 1.0) };
    close(&out["row:lik(y)"], &ROWS.map(lik));
}

#[test]
fn a_table_has_a_row_for_each_row_of_the_data() {
    let p = Small::new(
        "dim cell, kind = 2
        data { y : real[cell] from obs.y }
        param share[cell, kind] : positive
        model { plate cell { observe y ~ Normal(mean = sum(share over kind), scale = 1) } }",
    );
    let (w, out) = (p.world(), p.objective());
    let share = |r: usize, k: usize| (0.2 * (noise("share", &[r * 2 + k]) - 0.5)).exp();
    let lik = |r: usize| log_normal(w.slot_value("y", &[r]), share(r, 0) + share(r, 1), 1.0);
    close(&out["row:lik(y)"], &ROWS.map(lik));
    let lowered = p.model.lower(&w.bound, &request(Purpose::Objective, Mode::Train, 3)).expect("it lowers");
    let dims: Vec<_> = lowered.variables[0].dims.iter().map(|d| (d.axis.as_str(), d.size)).collect();
    assert_eq!(dims, [("cell", 4), ("kind", 2)]);
}

#[test]
fn statistics_within_labels() {
    let p = Small::new(
        "dim cell, gene
        data { y : real[cell, gene] from X  b : category[cell] from obs.b }
        stat top[b] = max(y over cell, gene)
        stat low[b] = min(y[0] over cell)
        stat middle[b] = mean(y over cell, gene)
        stat spread[b, gene] = var(y over cell)
        stat range[b] = max(y over cell, gene) - min(y over cell, gene)
        model { plate cell { observe y ~ Normal(mean = top[b] + low[b] + middle[b] + range[b], scale = 1 + spread[b]) } }",
    );
    let w = p.world();
    let (genes, labels) = (p.size("gene"), w.bound.sizes["b"]);
    let lowered =
        p.model.lower(&w.bound, &request(Purpose::Statistics, Mode::Evaluate, 4)).expect("it lowers");
    let stats = w.run(&lowered, &[0, 1, 2, 3]);
    let rows = |b: usize| (0..4).filter(|r| w.code("b", &[*r]) as usize == b).collect::<Vec<usize>>();
    for b in (0..labels).filter(|b| !rows(*b).is_empty()) {
        let all: Vec<f64> = rows(b)
            .iter()
            .flat_map(|r| (0..genes).map(move |g| (*r, g)))
            .map(|(r, g)| w.slot_value("y", &[r, g]))
            .collect();
        let top = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let bottom = all.iter().copied().fold(f64::INFINITY, f64::min);
        close(&[stats["top"][b], stats["range"][b]], &[top, top - bottom]);
        close(&[stats["middle"][b]], &[all.iter().sum::<f64>() / all.len() as f64]);
        let first: Vec<f64> = rows(b).iter().map(|r| w.slot_value("y", &[*r, 0])).collect();
        close(&[stats["low"][b]], &[first.iter().copied().fold(f64::INFINITY, f64::min)]);
        let mean = first.iter().sum::<f64>() / first.len() as f64;
        let var = first.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / first.len() as f64;
        // Stored by gene, then by label: this is the first gene.
        assert!((stats["spread"][b] - var).abs() < 1e-9, "{b}");
    }
}
