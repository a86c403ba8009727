//! Programs through the whole compiler.

use dsl::diagnostic::{Code, render};
use dsl::source::Sources;
use dsl::{Library, Settings, compile};

struct Nothing;

impl Library for Nothing {
    fn find(&self, _: &str) -> Option<(String, String)> {
        None
    }
}

/// Codes and rendered text of a program's messages.
fn messages(text: &str) -> (Vec<Code>, String) {
    let mut sources = Sources::new();
    let file = sources.add("m.svi", text);
    let (_, found) = compile(&mut sources, file, &Settings::default(), &Nothing);
    (found.iter().map(|d| d.code).collect(), render(&sources, &found, false))
}

const HEAD: &str = "dim cell, gene\ndata { x : count[cell, gene] from X }\n";

#[test]
fn a_misspelt_name_gives_one_message_with_the_nearest() {
    let model = "param theta[gene] : positive\nmodel { plate cell { observe x ~ Poisson(rate = thetta) } }";
    let (codes, text) = messages(&format!("{HEAD}{model}"));
    assert_eq!(codes, [Code::E0201], "{text}");
    assert!(text.contains("did you mean `theta`"), "{text}");
}

#[test]
fn supports_are_checked() {
    let model = "param a[gene]\nmodel { plate cell { observe x ~ Poisson(rate = a) } }";
    let (codes, text) = messages(&format!("{HEAD}{model}"));
    assert_eq!(codes, [Code::E0401], "{text}");
}

#[test]
fn a_net_that_calls_itself_is_refused() {
    let net = "dim h = 2\nparam a : positive\nnet f(v[gene]) { return f(v) }";
    let model = "model { plate cell { y = f(log1p(x))\n observe x ~ Poisson(rate = a) } }";
    let (codes, text) = messages(&format!("{HEAD}{net}\n{model}"));
    assert!(!codes.is_empty() && codes.iter().all(|c| *c == Code::E0208), "{text}");
}

/// Files by name.
struct Files(&'static [(&'static str, &'static str)]);

impl Library for Files {
    fn find(&self, path: &str) -> Option<(String, String)> {
        let (name, text) = self.0.iter().find(|f| f.0 == path)?;
        Some((format!("{name}.svi"), (*text).to_owned()))
    }
}

#[test]
fn what_is_extended_may_depend_on_an_option() {
    const BASE: &str = "dim cell, gene\ndim k = 2\ndata { x : count[cell, gene] from X }\nparam rate[gene] : positive\n\
        model { plate cell { observe x ~ Poisson(rate = rate) } }";
    const MORE: &str = "option depth = 1\nnet f(v[gene]) { return Normal(mean = linear[k](v), scale = 1) }\n\
        model { plate cell { z[k] ~ Normal(mean = 0, scale = depth) } }\nguide { plate cell { z ~ f(log1p(x)) } }";
    let library = Files(&[("base", BASE), ("more", MORE)]);
    let sites = |text: &str, sets: &[(&str, &str)]| {
        let mut sources = Sources::new();
        let file = sources.add("m.svi", text);
        let sets = sets.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (compiled, found) =
            compile(&mut sources, file, &Settings { sets, ..Settings::default() }, &library);
        assert!(!found.has_errors(), "{}", render(&sources, &found, false));
        compiled.expect("no errors").explain().contains("kl(z)")
    };
    let chosen = "extends base\noption deep = false\nwhen deep { extends more }\n";
    assert!(!sites(chosen, &[]));
    assert!(sites(chosen, &[("deep", "true")]));
    // Named outside of any `when` too, it always takes part.
    assert!(sites(&format!("{chosen}extends more\n"), &[]));
    assert!(sites("extends base\noption n = 2\nwhen n > 1 { when n > 1 { extends more } }\n", &[]));
    assert!(!sites("extends base\noption n = 2\nwhen n > 1 { when n > 2 { extends more } }\n", &[]));
}
