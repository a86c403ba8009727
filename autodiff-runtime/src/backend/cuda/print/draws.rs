//! Draws: a thread for each element, each from its own words.

use super::super::form::Place;
use super::Printer;
use super::entry::Entry;
use super::walks::{at, count, each, positions};
use crate::op::RandomKind;
use crate::plan::Draw;

pub(super) fn print(p: &mut Printer<'_>, s: &Draw, step: usize) {
    let mut e = Entry::new(format!("draw{step}"));
    let to = e.write(p.place(s.to));
    let key = e.read(Place::Key);
    let grid = each(&mut e, count(&s.dims));
    positions(&mut e, "i", &s.dims, "o");
    let row = match s.rows {
        Some(rows) => format!("{}[{}]", e.read(p.place(rows)), at(&s.dims, "o", 2)),
        None => "0".into(),
    };
    let own = at(&s.dims, "o", 1);
    e.line(format!("words w = words_of({key}, {}u, {row}, {own});", s.stream));
    let param = |e: &mut Entry, n: usize| {
        let slot = s.params.get(n).copied();
        slot.map_or("0".into(), |slot| {
            format!("(double){}[{}]", e.read(p.place(slot)), at(&s.dims, "o", 3 + n))
        })
    };
    let value = match s.kind {
        RandomKind::Uniform => "draw_uniform(&w)".to_owned(),
        RandomKind::Normal => "draw_normal(&w)".to_owned(),
        RandomKind::LogGamma => format!("draw_log_gamma(&w, {})", param(&mut e, 0)),
        RandomKind::Poisson => format!("draw_poisson(&w, {})", param(&mut e, 0)),
        RandomKind::Binomial => {
            let total = param(&mut e, 0);
            format!("draw_binomial(&w, {total}, {})", param(&mut e, 1))
        }
        RandomKind::Multinomial(_) => {
            let total = param(&mut e, 0);
            multinomial(p, s, &mut e, &to, &total);
            p.launch(step, e, grid);
            return;
        }
    };
    e.line(format!("{to}[{}] = (real){value};", at(&s.dims, "o", 0)));
    p.launch(step, e, grid);
}

/// Conditional binomials in the order of the categories.
fn multinomial(p: &Printer<'_>, s: &Draw, e: &mut Entry, to: &str, total: &str) {
    let (Some([size, step, p_step]), Some(weights)) = (s.event, s.params.get(1)) else { return };
    let weights = e.read(p.place(*weights));
    let base = at(&s.dims, "o", 4);
    e.line(format!("double left = {total}, mass = 0;"));
    e.line(format!("for (idx k = 0; k < {size}; ++k) mass += {weights}[{base} + k * {p_step}];"));
    e.line(format!("for (idx k = 0; k < {size}; ++k) {{"));
    e.line(format!("const double weight = {weights}[{base} + k * {p_step}];"));
    e.line(format!("const double share = k == {size} - 1 ? 1 : clamp_unit(weight / mass);"));
    e.line("const double x = left > 0 ? draw_binomial(&w, left, share) : 0;");
    e.line(format!("{to}[{} + k * {step}] = (real)x;", at(&s.dims, "o", 0)));
    e.line("left -= x;");
    e.line("mass -= weight;");
    e.line("}");
}
