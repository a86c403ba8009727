//! Whole programs: every option of the library lowers, broken copies never panic, and what should not matter does not.

mod common;

use common::{World, bound, compile_with, compiled, request, same, texts};
use dsl::diagnostic::{Code, Diagnostics, render, render_concise};
use dsl::source::Sources;
use dsl::syntax::ast::{
    BinaryOp, Expr, ExprKind, GuideStmt, GuideStmtKind, Item, ItemKind, ModelStmt, ModelStmtKind, Treatment,
};
use dsl::syntax::{parse, print};
use dsl::{AxisSource, Compiled, Mode, Purpose};
use proptest::prelude::*;

/// Lowers for every purpose and mode, with everything bound and with little, and verifies each graph.
fn lowers(c: &Compiled, what: &str) {
    let outputs =
        || Purpose::Outputs { names: c.outputs().iter().map(|o| o.name.clone()).collect(), given: vec![] };
    for everything in [true, false] {
        let b = bound(c, 12, everything);
        for mode in [Mode::Train, Mode::Evaluate] {
            for purpose in [Purpose::Objective, outputs(), Purpose::Simulation, Purpose::Statistics] {
                let asked = request(purpose.clone(), mode, 4);
                match c.lower(&b, &asked) {
                    Ok(l) => {
                        if let Err(errors) = l.graph.verify() {
                            panic!("{what} {mode:?} {purpose:?} {everything}: {errors:?}");
                        }
                    }
                    // A rank above the number of elements of these data.
                    Err(d) if d.iter().all(|d| d.code == Code::E0401) => {}
                    Err(d) => panic!("{what}: {}", render(&Sources::new(), &d, false)),
                }
            }
        }
    }
}

/// Every value that an option can take, or a few for one that takes a number.
fn values(c: &Compiled) -> Vec<(String, String)> {
    let mut all = vec![];
    for o in c.options() {
        let values: Vec<String> = match o.choices[..] {
            [] if o.value.parse::<bool>().is_ok() => vec!["true".into(), "false".into()],
            [] if o.name == "layers" => vec!["1".into(), "3".into()],
            [] if o.name.ends_with("dropout") => vec!["0".into(), "0.5".into()],
            [] => vec![o.value.clone(), "7".into()],
            ref words => words.to_vec(),
        };
        all.extend(values.into_iter().map(|v| (o.name.clone(), v)));
    }
    all
}

#[test]
fn every_choice_of_every_option_of_the_library_lowers() {
    for (name, text) in texts("../stdlib") {
        let plain = compiled(&text, &[]);
        lowers(&plain, &name);
        let all = values(&plain);
        let is_set = |a: &dsl::AxisInfo| matches!(a.source, AxisSource::Knob(_) | AxisSource::Formula(_));
        let has_latent = plain.axes().iter().any(|a| a.name == "latent" && is_set(a));
        for (option, value) in &all {
            let mut sets: Vec<(&str, &str)> = vec![(option, value)];
            sets.extend(has_latent.then_some(("latent", "3")));
            let (c, diagnostics, sources) = compile_with(&text, &sets);
            let shown = render_concise(&sources, &diagnostics);
            // An option may act only under another one.
            let shown = shown.replace("W0605", "");
            assert!(!shown.contains("W06"), "{name} {option}={value}\n{shown}");
            lowers(
                &c.unwrap_or_else(|| panic!("{name} {option}={value}\n{shown}")),
                &format!("{name} {option}={value}"),
            );
        }
        // Combinations: the values taken by a fixed walk over the list.
        for k in 0..6 {
            let mut sets: Vec<(&str, &str)> = vec![];
            for (i, (option, value)) in all.iter().enumerate() {
                if common::noise("combination", &[k, i]) < 0.4 && !sets.iter().any(|s| s.0 == option) {
                    sets.push((option, value));
                }
            }
            lowers(&compiled(&text, &sets), &format!("{name} {sets:?}"));
        }
    }
}

/// The losses in both modes and every output, at made-up data and parameters.
fn numbers(c: &Compiled, canonical: fn(&str) -> String) -> Vec<f64> {
    let w = World { model: c, bound: bound(c, 6, true), canonical, epoch: 30.0, step: 3 };
    let rows = [0, 3, 4, 5];
    let mut all = vec![];
    for mode in [Mode::Train, Mode::Evaluate] {
        all.extend(w.objective(mode, &rows)["loss"].clone());
    }
    let names = c.outputs().iter().map(|o| o.name.clone()).collect();
    let asked = request(Purpose::Outputs { names, given: vec![] }, Mode::Evaluate, rows.len());
    let outputs = w.run(&c.lower(&w.bound, &asked).expect("outputs lower"), &rows);
    all.extend(outputs.values().flatten());
    assert!(all.iter().all(|x| x.is_finite()), "{all:?}");
    all
}

fn close(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= 1e-10 * (1.0 + x.abs()), "{what}: {x} {y}");
    }
}

#[test]
fn printed_programs_mean_the_same() {
    for (name, text) in texts("../stdlib") {
        let mut sources = Sources::new();
        let file = sources.add("a.svi", text.as_str());
        let printed = print(&parse(file, &text).0);
        let (a, b) = (compiled(&text, &[]), compiled(&printed, &[]));
        assert_eq!(a.emit("model"), b.emit("model"), "{name}");
        close(&numbers(&a, same), &numbers(&b, same), &name);
    }
}

/// The text with the statements of its plates in another order.
fn shuffled(text: &str, seed: usize) -> String {
    let mut sources = Sources::new();
    let file = sources.add("a.svi", text);
    let mut tree = parse(file, text).0;
    fn mix<T>(list: &mut [T], seed: usize) {
        for i in (1..list.len()).rev() {
            list.swap(i, (common::noise("shuffle", &[seed, i]) * (i + 1) as f64) as usize);
        }
    }
    for item in &mut tree.items {
        match &mut item.kind {
            ItemKind::Model(stmts) => {
                for s in stmts.iter_mut() {
                    if let ModelStmtKind::Plate(p) = &mut s.kind {
                        mix(&mut p.body, seed);
                    }
                }
                mix(stmts, seed);
            }
            ItemKind::Guide(stmts) => {
                for s in stmts.iter_mut() {
                    if let GuideStmtKind::Plate(p) = &mut s.kind {
                        mix(&mut p.body, seed);
                    }
                }
                mix(stmts, seed);
            }
            ItemKind::Output(outputs) => mix(outputs, seed),
            _ => {}
        }
    }
    let head = tree.items.iter().take_while(|i| matches!(i.kind, ItemKind::Extends(_))).count();
    mix(&mut tree.items[head..], seed);
    print(&tree)
}

#[test]
fn order_of_statements_does_not_matter() {
    for (name, text) in texts("../stdlib").into_iter().chain(examples()) {
        let plain = compiled(&text, &[]);
        let lines = |c: &Compiled| {
            let mut lines: Vec<String> = c.explain().lines().map(str::to_owned).collect();
            lines.retain(|l| !l.starts_with("options") && !plain.title().contains(l.as_str()));
            lines.sort();
            lines
        };
        for seed in 0..4 {
            let text = shuffled(&text, seed);
            let other = compiled(&text, &[]);
            assert_eq!(lines(&plain), lines(&other), "{name}\n{text}");
            close(&numbers(&plain, same), &numbers(&other, same), &format!("{name}\n{text}"));
        }
    }
}

/// New names of axes, and back.
const RENAMED: [(&str, &str); 5] = [
    ("gene", "feature"),
    ("cell", "well"),
    ("latent", "code"),
    ("hidden", "units"),
    ("batch_embedding", "space"),
];

fn original(name: &str) -> String {
    let word = |w: &str| RENAMED.iter().find(|r| r.1 == w).map_or(w.to_owned(), |r| r.0.to_owned());
    name.split('.').map(word).collect::<Vec<_>>().join(".")
}

/// Replaces whole words outside comments.
fn renamed(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or("");
        let mut word = String::new();
        for c in code.chars().chain(['\n']) {
            if c.is_alphanumeric() || c == '_' {
                word.push(c);
                continue;
            }
            let new = RENAMED.iter().find(|r| r.0 == word).map_or(word.as_str(), |r| r.1);
            out.push_str(new);
            out.push(c);
            word.clear();
        }
    }
    out
}

#[test]
fn names_of_axes_do_not_matter() {
    for (name, text) in texts("../stdlib").into_iter().chain(examples()).filter(|t| !t.1.contains("extends"))
    {
        // An output may be called as an axis is.
        let line = |l: &str| match l.strip_prefix("  latent ") {
            Some(rest) => format!("  z_mean {rest}"),
            None => l.to_owned(),
        };
        let text: String = text.lines().map(|l| line(l) + "\n").collect();
        let (a, b) = (compiled(&text, &[]), compiled(&renamed(&text), &[]));
        close(&numbers(&a, same), &numbers(&b, original), &name);
    }
}

fn examples() -> Vec<(String, String)> {
    texts("tests/cases/derive")
}

/// How many programs of the tests below compiled.
static COMPILED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Compiling must end soon and without panic; what compiles must lower to sound graphs.
fn survives(text: &str) {
    let started = std::time::Instant::now();
    let (c, diagnostics, sources) = compile_with(text, &[]);
    let shown = render(&sources, &diagnostics, false);
    assert_eq!(c.is_none(), diagnostics.has_errors(), "{text}\n{shown}");
    if let Some(c) = &c {
        c.explain();
        c.emit("model");
        c.weights_at(3);
        lowers(c, text);
        // It also runs, whatever the numbers.
        let w = World { model: c, bound: bound(c, 4, true), canonical: same, epoch: 1.0, step: 0 };
        w.objective(Mode::Train, &[0, 2, 3]);
        COMPILED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}\n{text}", started.elapsed());
}

/// Sound programs stand in it several times, so that half of what is made of it begins as one.
fn corpus() -> Vec<String> {
    let sound = ["../stdlib", "tests/cases/derive", "tests/cases/ok"];
    let broken = ["tests/programs", "tests/cases/error"];
    let folders: Vec<&str> = std::iter::repeat_n(sound, 16).flatten().chain(broken).collect();
    folders.iter().flat_map(|f| texts(f)).map(|t| t.1).collect()
}

fn tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    for c in text.chars() {
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        match out.last_mut() {
            Some(last) if word(c) && last.chars().all(word) => last.push(c),
            _ => out.push(c.to_string()),
        }
    }
    out
}

/// `PROPTEST_CASES` widens the search.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Tokens replaced by others of any program.
    #[test]
    fn mutated_programs(which in 0usize..1000, other in 0usize..1000, edits in proptest::collection::vec((0usize..100_000, 0usize..100_000, 0u8..3), 1..4)) {
        let all = corpus();
        let mut a = tokens(&all[which % all.len()]);
        let b = tokens(&all[other % all.len()]);
        for (at, from, how) in edits {
            let at = at % a.len();
            let new = b[from % b.len()].clone();
            match how {
                0 => a[at] = new,
                1 => a.insert(at, new),
                _ => drop(a.remove(at)),
            }
            if a.is_empty() { a.push(" ".into()); }
        }
        survives(&a.concat());
    }

    /// Words of one kind exchanged within a program: mostly still parses.
    #[test]
    fn swapped_names(which in 0usize..1000, swaps in proptest::collection::vec((0usize..100_000, 0usize..100_000), 1..4)) {
        let all = corpus();
        let mut a = tokens(&all[which % all.len()]);
        let words: Vec<usize> = (0..a.len()).filter(|i| a[*i].chars().all(|c| c.is_alphanumeric() || c == '_')).collect();
        for (i, j) in swaps {
            let (i, j) = (words[i % words.len()], words[j % words.len()]);
            a[i] = a[j].clone();
        }
        survives(&a.concat());
    }

    /// Lines of several programs in one.
    #[test]
    fn spliced_programs(parts in proptest::collection::vec((0usize..1000, 0usize..60, 1usize..12), 1..5), base in 0usize..1000) {
        let all = corpus();
        let mut lines: Vec<&str> = all[base % all.len()].lines().collect();
        for (which, start, n) in &parts {
            let other: Vec<&str> = all[which % all.len()].lines().collect();
            let start = start % other.len();
            let piece = &other[start..(start + n).min(other.len())];
            let at = (start * 7 + n) % (lines.len() + 1);
            lines.splice(at..at, piece.iter().copied());
        }
        survives(&lines.join("\n"));
    }
}

/// Programs made to be large stay within bounds.
#[test]
fn programs_made_to_be_large() {
    let base = "dim cell, gene\ndata { x : real[cell, gene] from X }\nparam w[gene] : real\n";
    let model = |value: &str| {
        format!("{base}model {{ plate cell {{ observe x ~ Normal(mean = {value}, scale = 1) }} }}\n")
    };
    let chain = |n: usize, step: &str| -> String {
        (1..n).map(|i| format!("a{i} = {}\n", step.replace('@', &format!("a{}", i - 1)))).collect()
    };
    let inside = |defs: &str, last: &str| {
        format!(
            "{base}model {{ a0 = w\n{defs}plate cell {{ observe x ~ Normal(mean = {last}, scale = 1) }} }}\n"
        )
    };
    let reversed = |text: String| text.lines().rev().map(|l| format!("{l}\n")).collect::<String>();
    let doubling: String = (1..60).map(|i| format!("fn f{i}(a) = f{}(a) + f{}(a)\n", i - 1, i - 1)).collect();
    let cases = [
        inside(&chain(60, "@ + @"), "a59"),
        inside(&chain(5000, "@ + 1"), "a4999"),
        inside(&reversed(chain(5000, "@ + 1")), "a4999"),
        inside(&reversed(chain(60, "@ * @")), "a59"),
        format!("fn f0(a) = a\n{doubling}{}", model("f59(w)")),
        format!("{}{}", (1..4000).map(|i| format!("param p{i}[gene] : real\n")).collect::<String>(), model("w")),
        format!("{}{}", (1..3000).map(|i| format!("fn g{i}(a) = unknown{i}(a)\n")).collect::<String>(), model("w")),
        format!("{}dim d0 = 2\n{}", (1..60).map(|i| format!("dim d{i} = d{0} * d{0}\n", i - 1)).collect::<String>(), model("w")),
        format!("dim a = b, b = c, c = a\n{}", model("w")),
        format!("{}objective {{ weight lik(x) by {} }}\n", inside(&chain(40, "@ + @").replace("a0 = w", ""), "w"), "ramp(0, 1, epochs = 3)"),
        model(&format!("{}w{}", "exp(".repeat(90), ")".repeat(90))),
        (0..300).fold(base.to_owned(), |t, i| t + &format!("model {{ plate cell {{ z{i} ~ Normal(mean = {}, scale = 1) }} }}\nguide {{ plate cell {{ z{i} ~ Normal(mean = {}, scale = 1) }} }}\n", if i == 0 { "0".to_owned() } else { format!("z{}", i - 1) }, if i == 0 { "0".to_owned() } else { format!("z{}", i - 1) })),
    ];
    for (i, text) in cases.iter().enumerate() {
        println!("case {i}");
        survives(text);
    }
}

#[test]
fn every_error_program_survives() {
    // Programs that only warn are among them, so the check below the compiler is reached.

    for text in corpus() {
        survives(&text);
    }
    assert!(COMPILED.load(std::sync::atomic::Ordering::Relaxed) >= 10);
}

/// Diagnostics keep their order and their bound however many there are.
#[test]
fn many_errors_are_cheap() {
    let text: String = (0..20_000).map(|i| format!("param p{i}[axis{i}] : real\n")).collect();
    let (_, found, sources): (_, Diagnostics, _) = compile_with(&text, &[]);
    assert_eq!(found.len(), 20_000);
    assert!(render(&sources, &found, false).len() < 20_000);
}

#[test]
fn sound_programs_compile_lower_and_mean_the_same_in_any_order() {
    for (name, text) in texts("tests/cases/ok") {
        let c = compiled(&text, &[]);
        lowers(&c, &name);
        for seed in 0..6 {
            let other = compiled(&shuffled(&text, seed), &[]);
            close(&numbers(&c, same), &numbers(&other, same), &name);
        }
    }
}

/// Calls `f` on an expression and on every expression inside it.
fn each_expr(e: &mut Expr, f: &mut dyn FnMut(&mut Expr)) {
    f(e);
    match &mut e.kind {
        ExprKind::Field { base: x, .. } | ExprKind::Unary { operand: x, .. } => each_expr(x, f),
        ExprKind::Index { base, indices } => {
            each_expr(base, f);
            indices.iter_mut().for_each(|i| each_expr(i, f));
        }
        ExprKind::Call(call) => {
            call.args.iter_mut().chain(&mut call.conditions).for_each(|a| each_expr(&mut a.value, f));
        }
        ExprKind::Binary { left, right, .. } => {
            each_expr(left, f);
            each_expr(right, f);
        }
        ExprKind::Record(parts) => parts.iter_mut().for_each(|p| each_expr(&mut p.value, f)),
        ExprKind::Match { arms, .. } => arms.iter_mut().for_each(|a| each_expr(&mut a.value, f)),
        _ => {}
    }
}

fn each_model(stmts: &mut [ModelStmt], f: &mut dyn FnMut(&mut Expr)) {
    for s in stmts {
        match &mut s.kind {
            ModelStmtKind::Plate(p) => each_model(&mut p.body, f),
            ModelStmtKind::When(w) => each_model(&mut w.body, f),
            ModelStmtKind::Site(s) => each_expr(&mut s.dist, f),
            ModelStmtKind::Observe(o) => each_expr(&mut o.dist, f),
            ModelStmtKind::Define(d) => each_expr(&mut d.value, f),
            _ => {}
        }
    }
}

fn each_guide(stmts: &mut [GuideStmt], f: &mut dyn FnMut(&mut Expr)) {
    for s in stmts {
        match &mut s.kind {
            GuideStmtKind::Plate(p) => each_guide(&mut p.body, f),
            GuideStmtKind::When(w) => each_guide(&mut w.body, f),
            GuideStmtKind::Define(d) => each_expr(&mut d.value, f),
            GuideStmtKind::Treat(t) => {
                if let Treatment::Dist(e) = &mut t.how {
                    each_expr(e, f);
                }
            }
            _ => {}
        }
    }
}

/// Every expression of a program's values, in order.
fn each(items: &mut [Item], f: &mut dyn FnMut(&mut Expr)) {
    for item in items {
        match &mut item.kind {
            ItemKind::Stat(s) => each_expr(&mut s.value, f),
            ItemKind::Fn(x) => each_expr(&mut x.value, f),
            ItemKind::Net(n) => {
                n.body.iter_mut().for_each(|d| each_expr(&mut d.value, f));
                each_expr(&mut n.returns, f);
            }
            ItemKind::Model(stmts) => each_model(stmts, f),
            ItemKind::Guide(stmts) => each_guide(stmts, f),
            ItemKind::Output(outputs) => outputs.iter_mut().for_each(|o| each_expr(&mut o.value, f)),
            ItemKind::When(w) => each(&mut w.body, f),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Expressions of sound programs exchanged for one another, alone or as an operand: they parse, and many compile.
    #[test]
    fn grafted_expressions(which in 0usize..1000, grafts in proptest::collection::vec((0usize..10_000, 0usize..10_000, 0u8..4), 1..4)) {
        let sound: Vec<String> =
            ["../stdlib", "tests/cases/derive", "tests/cases/ok"].iter().flat_map(|f| texts(f)).map(|t| t.1).collect();
        let mut sources = Sources::new();
        let text = &sound[which % sound.len()];
        let file = sources.add("a.svi", text.as_str());
        let mut tree = parse(file, text).0;
        let mut pool = vec![];
        each(&mut tree.items, &mut |e| pool.push(e.clone()));
        prop_assume!(!pool.is_empty());
        for (at, from, how) in grafts {
            let (at, new) = (at % pool.len(), pool[from % pool.len()].clone());
            let mut i = 0;
            each(&mut tree.items, &mut |e| {
                if i == at {
                    let (left, right) = (Box::new(e.clone()), Box::new(new.clone()));
                    *e = match how {
                        0 => Expr { kind: ExprKind::Binary { op: BinaryOp::Mul, left, right }, ..new.clone() },
                        1 => Expr { kind: ExprKind::Binary { op: BinaryOp::Add, left, right }, ..new.clone() },
                        _ => new.clone(),
                    };
                }
                i += 1;
            });
        }
        survives(&print(&tree));
    }
}
