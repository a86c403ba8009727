//! Any text is compiled or refused, within seconds and without overflowing the stack: the functions of the fuzz targets
//! on made-up texts, and sources that are huge or deep.

#[path = "../../tests/fuzz/src/lib.rs"]
mod targets;

use dsl::source::Sources;
use dsl::syntax::token::{Keyword, Symbol};
use dsl::{Library, Settings, compile};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// A fixed sequence of numbers below a bound.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

fn programs() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = vec![];
    for folder in ["../stdlib", "tests/programs", "tests/cases/ok", "tests/cases/derive"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("the folder is checked in") {
            let path = entry.expect("a readable folder").path();
            if path.extension().is_some_and(|e| e == "svi") {
                all.push(std::fs::read_to_string(&path).expect("a readable file"));
            }
        }
    }
    all.sort();
    all
}

/// Numbers that sizes, ranks, probabilities and counts are not, or barely are.
const NUMBERS: [&str; 10] = ["0", "-1", "1", "1.5", "1e-4", "128", "129", "1e9", "1e300", "007"];

/// Forms that few programs have, whole: cut from programs they would mostly come broken.
const FORMS: [&str; 14] = [
    " auto(rank = 2) ",
    " auto(family = Beta, rank = 1) ",
    " score(Bernoulli(probs = 0.5)) ",
    " relaxed(Bernoulli(probs = 0.5), temperature = 0.5) ",
    "\ntrain { samples = 3 }\n",
    "\ntrain { labelled label = 2  stratify label = true }\n",
    " where observed(x) ",
    " where x > 0 else 1 ",
    "(z given z = 0)",
    " over gene ",
    " { off = 1, on = 0 } ",
    " match likelihood { nb => 1  zinb => 2 } ",
    " when present(x) { } ",
    " estimate kl(z) by mc(2) ",
];

/// A program with pieces cut out, doubled, exchanged with those of another program, or replaced by words, numbers and forms
/// of the language.
fn mutated(programs: &[String], numbers: &mut Numbers) -> String {
    let mut text = programs[numbers.below(programs.len())].clone();
    for _ in 0..1 + numbers.below(4) {
        let cut = |text: &str, numbers: &mut Numbers| {
            let a = text.floor_char_boundary(numbers.below(text.len() + 1));
            let b = text.floor_char_boundary((a + numbers.below(60)).min(text.len()));
            (a.min(b), b.max(a))
        };
        let (mut from, mut to) = cut(&text, numbers);
        let piece = match numbers.below(7) {
            // In the place of the number that comes next.
            5 => {
                let digit = |c: char| c.is_ascii_digit();
                if let Some(at) = text[from..].find(digit) {
                    from += at;
                    let end = text[from..].find(|c: char| !digit(c) && c != '.').unwrap_or(text.len() - from);
                    to = from + end;
                }
                NUMBERS[numbers.below(NUMBERS.len())].to_owned()
            }
            // Between two words.
            6 => {
                from += text[from..].find(char::is_whitespace).unwrap_or(0);
                to = from;
                FORMS[numbers.below(FORMS.len())].to_owned()
            }
            0 => String::new(),
            1 => text[from..to].repeat(2),
            2 => Keyword::ALL[numbers.below(Keyword::ALL.len())].text().to_owned() + " ",
            3 => Symbol::ALL[numbers.below(Symbol::ALL.len())].text().to_owned(),
            _ => {
                let other = &programs[numbers.below(programs.len())];
                let (a, b) = cut(other, numbers);
                other[a..b].to_owned()
            }
        };
        text.replace_range(from..to, &piece);
    }
    text
}

/// Time-boxed: as many texts as fit, the same ones on every machine as far as it gets.
#[test]
fn any_text_is_answered() {
    let programs = programs();
    let mut numbers = Numbers(1);
    let begun = Instant::now();
    let mut n = 0;
    while begun.elapsed() < Duration::from_secs(5) {
        let text = mutated(&programs, &mut numbers);
        targets::lexer(&text);
        targets::parser(&text);
        targets::formatter(&text);
        targets::checker(&text);
        n += 1;
    }
    assert!(n > 20, "{n} texts in five seconds");
    programs.iter().for_each(|p| targets::formatter(p));
}

struct Nothing;

impl Library for Nothing {
    fn find(&self, _: &str) -> Option<(String, String)> {
        None
    }
}

/// Compiles; the number of messages, or the panic. Ten seconds are far more than a test machine needs.
fn ends_soon(what: &str, text: &str) -> usize {
    let begun = Instant::now();
    let mut sources = Sources::new();
    let file = sources.add("huge.svi", text);
    let (compiled, found) = compile(&mut sources, file, &Settings::default(), &Nothing);
    assert_eq!(compiled.is_none(), found.has_errors(), "{what}");
    let shown = dsl::diagnostic::render(&sources, &found, false);
    assert!(shown.matches("error[").count() <= 20, "{what}: at most twenty are shown");
    assert!(dsl::format::format(file, text).is_ok_and(|t| !t.is_empty()) || found.has_errors(), "{what}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{what} took {:?}", begun.elapsed());
    found.len()
}

const HEAD: &str = "dim cell, gene\ndata { x : count[cell, gene] from X }\nparam theta[gene] : positive\n";

fn model(statements: &str, rate: &str) -> String {
    format!("{HEAD}model {{ plate cell {{\n{statements}observe x ~ Poisson(rate = {rate})\n}} }}\n")
}

#[test]
fn ten_thousand_statements() {
    let n = 10_000;
    let mut apart = String::new();
    let mut chain = String::from("a0 = theta\n");
    let mut wrong = String::new();
    for i in 1..n {
        let _ = writeln!(apart, "a{i} = theta + {i}");
        let _ = writeln!(chain, "a{i} = a{} + 1", i - 1);
        let _ = writeln!(wrong, "a{i} = nothing{i} + 1");
    }
    ends_soon("definitions side by side", &model(&apart, "a9999"));
    ends_soon("a chain of definitions", &model(&chain, &format!("a{}", n - 1)));
    assert!(ends_soon("unknown names", &model(&wrong, "theta")) > 1000);
    let some: String = wrong.lines().take(2000).map(|l| format!("{l}\n")).collect();
    let alike = some.replace("nothing", "b");
    assert!(ends_soon("unknown names that are like known ones", &model(&alike, "theta")) > 1000);
    let mut items = String::new();
    for i in 0..n {
        let _ = writeln!(items, "param p{i}[gene] : positive");
    }
    ends_soon("parameters", &format!("{items}{}", model("", "p7")));
}

#[test]
fn a_thousand_levels() {
    let n = 1000;
    let nested =
        |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(n), close.repeat(n));
    let deep = [
        nested("(", "theta", ")"),
        nested("exp(", "theta", ")"),
        nested("-", "theta", ""),
        format!("theta{}", " + theta".repeat(n)),
        format!("theta{}", "[gene]".repeat(n)),
        nested("{ a = ", "1", " }"),
        nested("match o { a => ", "1", " }"),
    ];
    for rate in &deep {
        ends_soon(&rate[..20], &model("", rate));
    }
    let whens = nested("when true {\n", "observe x ~ Poisson(rate = theta)\n", "}\n");
    ends_soon("when", &format!("{HEAD}model {{ plate cell {{ {whens} }} }}"));
    let plates: String = (0..n).map(|i| format!("plate a{i} {{\n")).collect();
    ends_soon("plates", &format!("{HEAD}model {{ {plates} {} }}", "}".repeat(n)));
    let mut calls = String::from("fn f0(a) = a + 1\nnet n0(a[gene]) { return linear[gene](a) }\n");
    for i in 1..n {
        let _ =
            writeln!(calls, "fn f{i}(a) = f{}(a) + 1\nnet n{i}(a[gene]) {{ return n{}(a) }}", i - 1, i - 1);
    }
    ends_soon("functions", &format!("{calls}{}", model("", "f999(theta)")));
    ends_soon("nets", &format!("{calls}{}", model("", "exp(n999(theta))")));
}

/// The compiler runs wherever Rust runs, a browser included: it reads no file, starts no thread, asks for no time, and
/// neither do the crates that it is built on.
#[test]
fn the_compiler_needs_no_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("it is checked in");
    let dependencies = |manifest: &str| -> Vec<String> {
        let text = read(manifest);
        let (_, rest) = text.split_once("\n[dependencies]\n").expect("a list of dependencies");
        let list = rest.split("\n[").next().unwrap_or("");
        let needed = list.lines().filter(|l| !l.contains("optional = true") && l.contains('='));
        let name = |l: &str| l.split(['.', ' ', '=']).next().unwrap_or("").to_owned();
        let mut names: Vec<String> = needed.filter(|l| !l.starts_with('#')).map(name).collect();
        names.sort();
        names
    };
    assert_eq!(
        dependencies("dsl/Cargo.toml"),
        ["autodiff-runtime", "codespan-reporting", "distributions", "nom"]
    );
    assert_eq!(dependencies("distributions/Cargo.toml"), ["autodiff-runtime"]);
    assert_eq!(dependencies("autodiff-runtime/Cargo.toml"), ["libm", "thiserror"]);
    assert!(
        read("Cargo.toml")
            .contains("autodiff-runtime = { path = \"autodiff-runtime\", default-features = false }")
    );
    let machine = ["std::fs", "std::net", "std::thread", "std::process", "std::env", "std::time", "std::io"];
    for folder in ["dsl/src", "distributions/src", "autodiff-runtime/src"] {
        for (path, text) in sources_in(&root.join(folder)) {
            if ["cpu", "cuda", "dfdx"].iter().any(|b| path.contains(&format!("backend/{b}"))) {
                continue;
            }
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or("");
            let code = code.lines().filter(|l| !l.trim_start().starts_with("//"));
            for line in code {
                assert!(machine.iter().all(|m| !line.contains(m)), "{path}: {line}");
            }
        }
    }
}

fn sources_in(folder: &Path) -> Vec<(String, String)> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).expect("the folder is checked in") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(sources_in(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("a readable file");
            found.push((path.display().to_string(), text));
        }
    }
    found
}
