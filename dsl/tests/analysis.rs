//! What an editor is told: hovers, definitions, renames, completions, hints.

mod library;

use dsl::analysis::{Analysis, Completion, CompletionKind, analyse};
use library::Stdlib;

const PROGRAM: &str = "\
dim cell, gene
dim latent = 4, hidden = 8
option likelihood : nb | poisson = nb
data {
  x     : count[cell, gene]  from X
  batch : category[cell]     from obs.batch
}
param theta[gene] : positive
net encoder(v[gene]) {
  h = mlp[hidden](v)
  return Normal(mean = linear[latent](h), scale = exp(linear[latent](h)))
}
net decoder(z[latent] | s) { return softmax(linear[gene](z | s)) }
model {
  plate cell {
    z[latent] ~ Normal(0, 1)
    mu = 100 * decoder(z | batch)
    observe x ~ match likelihood {
      nb      => NB(mean = mu, inv_dispersion = theta)
      poisson => Poisson(rate = mu)
    }
  }
}
guide { plate cell { z ~ encoder(log1p(x)) } }
output { latent = mean(z)  to obsm.z }
";

fn analysed(text: &str) -> Analysis {
    analyse("model.svi", text, &Stdlib)
}

/// The byte of the `n`-th occurrence of a text.
fn byte(text: &str, what: &str, n: usize) -> usize {
    text.match_indices(what).nth(n).unwrap_or_else(|| panic!("{what} {n}")).0
}

#[test]
fn hovers_say_type_plates_and_term() {
    let a = analysed(PROGRAM);
    assert!(!a.diagnostics().has_errors());
    let hover = |what: &str, n: usize| a.hover(byte(PROGRAM, what, n)).map(|h| h.text).unwrap_or_default();
    let z = hover("z | batch", 0);
    assert!(z.contains("latent `z` : `real[latent]`, for each cell"), "{z}");
    assert!(z.contains("kl(z)") && z.contains("KL(Normal ‖ Normal)"), "{z}");
    assert!(z.contains("z[latent] ~ Normal(0, 1)"), "{z}");
    let x = hover("x))", 0);
    assert!(x.contains("field `x` : `count[gene]`") && x.contains("lik(x)"), "{x}");
    assert!(hover("theta)", 0).contains("parameter `theta` : `positive[gene]`"));
    assert!(
        hover("mu,", 0).contains("definition `mu` : `positive[gene]`") || hover("mu,", 0).contains("[gene]")
    );
    assert!(hover("latent]", 0).contains("axis `latent`: 4"));
    assert!(hover("likelihood {", 0).contains("option `likelihood` = `nb`"));
    let nb = hover("NB(", 0);
    assert!(
        nb.contains("gives count") && nb.contains("NB(mean: nonneg") || nb.contains("NB(mean: positive"),
        "{nb}"
    );
    // In the net `z` is the net's own input.
    assert!(!hover("z | s))", 0).contains("latent `z`"), "a local name");
    assert_eq!(a.hover(byte(PROGRAM, "100", 0)), None);
}

#[test]
fn definitions_follow_scopes_and_extends() {
    let a = analysed(PROGRAM);
    let start = |what: &str, n: usize| a.definition(byte(PROGRAM, what, n)).map(|s| s.start as usize);
    assert_eq!(start("z | batch", 0), Some(byte(PROGRAM, "z[latent] ~", 0)));
    assert_eq!(start("z | s))", 0), Some(byte(PROGRAM, "z[latent] | s", 0)));
    assert_eq!(start("h),", 0), Some(byte(PROGRAM, "h = mlp", 0)));
    assert_eq!(start("gene](z", 0), Some(byte(PROGRAM, "gene", 0)));
    assert_eq!(start("decoder(z | batch)", 0), Some(byte(PROGRAM, "decoder", 0)));
    assert_eq!(start("Normal", 0), None, "a family has no declaration");

    let text = "extends scvi\nmodel { plate cell { override mu = 2 * sum(x over gene) * d.rho } }\n";
    let a = analysed(text);
    let base = a.sources().find("scvi.svi").expect("it is extended");
    for (what, declared) in [("mu", "mu = "), ("x over", "x     :"), ("scvi", "")] {
        let span = a.definition(byte(text, what, 0)).expect("a definition");
        assert_eq!(span.file, base, "{what}");
        assert!(a.sources().text(base)[span.start as usize..].starts_with(declared), "{what}");
    }
}

#[test]
fn renames_are_complete_and_refuse_clashes() {
    let a = analysed(PROGRAM);
    let rename = |what: &str, n: usize, new: &str| {
        let spans = a.rename(byte(PROGRAM, what, n), new)?;
        let mut text = PROGRAM.to_owned();
        spans.iter().rev().for_each(|s| text.replace_range(s.range(), new));
        Ok::<String, String>(text)
    };
    for (what, new) in [
        ("theta", "dispersion"),
        ("z[latent] ~", "state"),
        ("latent", "k"),
        ("x     :", "counts"),
        ("h =", "g"),
        ("decoder", "f"),
    ] {
        let text = rename(what, 0, new).expect("a free name");
        let again = analysed(&text);
        assert!(!again.diagnostics().has_errors(), "{what}\n{text}\n{:?}", again.diagnostics());
    }
    let z = rename("z[latent] ~", 0, "state").expect("a free name");
    assert!(z.contains("net decoder(z[latent] | s)") && z.contains("guide { plate cell { state ~"), "{z}");
    assert!(z.contains("latent = mean(state)  to obsm.z"), "{z}");
    assert!(
        rename("latent = 4", 0, "k").expect("free").contains("output { latent ="),
        "an output is another name"
    );
    for (what, new, why) in [
        ("theta", "mu", "declared already"),
        ("theta", "plate", "not a name"),
        ("theta", "2x", "not a name"),
        ("z[latent] ~", "h", "declared already"),
        ("nb |", "n", "words of an option"),
        ("Normal", "N", "not declared"),
        ("100", "n", "no name"),
    ] {
        let refused = rename(what, 0, new).expect_err("it is refused");
        assert!(refused.contains(why), "{what}: {refused}");
    }
    let text = "extends scvi\nmodel { plate cell { override mu = 2 * sum(x over gene) * d.rho } }\n";
    let refused = analysed(text).rename(byte(text, "mu", 0), "rate").expect_err("it is inherited");
    assert!(refused.contains("scvi.svi"), "{refused}");
}

#[test]
fn completions_fit_the_place() {
    let at = |text: &str, n: usize| -> Vec<Completion> { analysed(text).completions(n) };
    let labels = |found: &[Completion], kind: CompletionKind| -> Vec<String> {
        found.iter().filter(|c| c.kind == kind).map(|c| c.label.clone()).collect()
    };
    // A broken text, as it is while it is being written.
    let open = PROGRAM.replace("NB(mean = mu, inv_dispersion = theta)", "NB(mean = mu, ");
    let found = at(&open, byte(&open, "NB(mean = mu, ", 0) + "NB(mean = mu, ".len());
    let arguments = labels(&found, CompletionKind::Argument);
    assert!(arguments.contains(&"inv_dispersion".to_owned()) && !arguments.contains(&"mean".to_owned()));
    let found = at(PROGRAM, byte(PROGRAM, "latent] ~", 0));
    assert_eq!(labels(&found, CompletionKind::Axis), ["batch", "cell", "gene", "hidden", "latent"]);
    let found = at(PROGRAM, byte(PROGRAM, "encoder(log1p", 0));
    assert!(labels(&found, CompletionKind::Family).contains(&"LogNormal".to_owned()));
    assert!(labels(&found, CompletionKind::Strategy).contains(&"point".to_owned()));
    assert!(labels(&found, CompletionKind::Name).contains(&"encoder".to_owned()));
    let found = at(PROGRAM, byte(PROGRAM, "decoder(z | batch)", 0));
    let theta = found.iter().find(|c| c.label == "theta").expect("a value");
    assert_eq!(theta.detail.as_deref(), Some("positive[gene]"));
    assert!(labels(&found, CompletionKind::Family).is_empty());
    let found = at(PROGRAM, byte(PROGRAM, "model {", 0));
    assert!(labels(&found, CompletionKind::Word).contains(&"guide".to_owned()));
    assert!(at("", 0).iter().any(|c| c.label == "data"));
    // Any place of any text is answered.
    for n in 0..=PROGRAM.len() {
        at(&PROGRAM[..n], n);
    }
}

#[test]
fn hints_show_inferred_types() {
    let a = analysed(PROGRAM);
    let hints = a.hints();
    assert_eq!(hints.len(), 1, "{hints:?}");
    assert_eq!(hints[0].byte, byte(PROGRAM, "mu = ", 0) + 2);
    assert!(hints[0].text.ends_with("[gene]"), "{hints:?}");
}
