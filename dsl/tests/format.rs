//! The formatter: its layout on a page of examples, and that it loses nothing.

mod generate;

use dsl::format::format;
use dsl::source::{FileId, Span};
use dsl::syntax::ast::Ast;
use dsl::syntax::token::{TriviaKind, lex};
use dsl::syntax::{parse, print, strip_spans};
use generate::ast;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::path::{Path, PathBuf};

fn formatted(text: &str) -> String {
    format(FileId(0), text).unwrap_or_else(|d| panic!("{text}\n{d:#?}"))
}

/// Tokens and comments in order: what formatting must keep.
fn content(text: &str) -> Vec<String> {
    let lexed = lex(FileId(0), text);
    let tokens = lexed.tokens.iter().map(|t| t.span);
    let comments = lexed.trivia.iter().filter(|t| t.kind == TriviaKind::Comment).map(|t| t.span);
    let mut spans: Vec<Span> = tokens.chain(comments).collect();
    spans.sort();
    spans.iter().map(|s| text[s.range()].trim_end().to_owned()).collect()
}

fn tree(text: &str) -> Ast {
    let mut tree = parse(FileId(0), text).0;
    strip_spans(&mut tree);
    tree
}

/// What holds of the formatted text of every program.
fn check(text: &str) -> String {
    let tidy = formatted(text);
    assert_eq!(content(&tidy), content(text), "{text}\n---\n{tidy}");
    assert_eq!(tree(&tidy), tree(text), "{text}\n---\n{tidy}");
    assert_eq!(formatted(&tidy), tidy, "{text}");
    assert!(tidy.lines().all(|l| l.trim_end() == l), "{tidy}");
    assert!(tidy.is_empty() || tidy.ends_with('\n') && !tidy.contains("\n\n\n"), "{tidy}");
    tidy
}

/// Every checked-in program that must parse.
fn programs() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = vec![];
    for folder in [
        "../stdlib",
        "tests/programs",
        "tests/cases/ok",
        "tests/cases/derive",
        "tests/cases/forms",
        "../models/src/cli",
    ] {
        for entry in std::fs::read_dir(root.join(folder)).expect("the folder is checked in") {
            let path = entry.expect("a readable folder").path();
            if path.extension().is_some_and(|e| e == "svi") {
                let text = std::fs::read_to_string(&path).expect("a readable file");
                all.push((path, text));
            }
        }
    }
    assert!(all.len() > 20);
    all.sort();
    all
}

/// `SVIC_BLESS=1` writes the formatted text back; otherwise the checked-in text must be formatted.
#[test]
fn checked_in_programs_are_formatted() {
    let bless = std::env::var_os("SVIC_BLESS").is_some();
    let mut wrong = vec![];
    for (path, text) in programs() {
        let tidy = check(&text);
        if tidy != text && bless {
            std::fs::write(&path, &tidy).expect("a writable folder");
        } else if tidy != text {
            wrong.push(path.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "`svic fmt` these files: {}", wrong.join(" "));
}

#[test]
fn what_is_no_program_is_left_alone() {
    let errors = format(FileId(0), "model { z ~ }").expect_err("a distribution is missing");
    assert_eq!(errors.len(), 1);
    assert!(format(FileId(0), "dim a := 2").is_err(), "no spelling is changed silently");
}

#[test]
fn layout() {
    let text = "


# head\t
dim   a,b  # one
dim latent=10 # two

data{x:count[cell,gene] from X
 # about the batch
b : category ? [cell] from obs [ \"a b\" ] missing \"none\"   optional  # three
covs:covariates[cell] optional
}
model
{ plate cell { z[latent]~Normal(0,-1)
     long[latent]~Normal(mean=- 2 ,scale = ( 1+2 ) ^ - 3)



     mu=a . model*exp(z)+
  2 - -b
  r=match option_a{ x=>1 -1 yy=>f(
  a,
b) }  # four
     # five

  } }
when  not c { param a init 1 param b2 : positive over d init 2 }
when c { fn f(x|s) = { a=1,b=-x } }
output{}
output { one = 1 }
output { one=mean(z) to obsm.X two[gene]=z three=1 to obs.y } # end
# last";
    let expected = "\
# head
dim a, b         # one
dim latent = 10  # two

data {
  x : count[cell, gene]  from X
  # about the batch
  b    : category?[cell]   from obs[\"a b\"]  missing \"none\"  optional  # three
  covs : covariates[cell]                                   optional
}
model {
  plate cell {
    z[latent]    ~ Normal(0, -1)
    long[latent] ~ Normal(mean = -2, scale = (1 + 2)^-3)

    mu = a.model * exp(z) +
        2 - -b
    r = match option_a {
      x  => 1 - 1
      yy => f(
        a,
        b)
    }  # four
    # five
  }
}
when not c {
  param a                    init 1
  param b2 : positive over d init 2
}
when c { fn f(x | s) = { a = 1, b = -x } }
output {}
output { one = 1 }
output {
  one       = mean(z)  to obsm.X
  two[gene] = z
  three     = 1        to obs.y
}  # end
# last
";
    assert_eq!(check(text), expected);
    assert_eq!(check(""), "");
    assert_eq!(check("\n \n"), "");
    assert_eq!(check("# only\r\n\r\n\r\n# two"), "# only\n\n# two\n");
}

/// Blanks, breaks and comments to put between tokens.
fn between() -> impl Strategy<Value = String> {
    let pieces =
        vec![" ", "  ", "\t", "\n", "\n\n", "\n\n\n", " # note\n", "\n# line\n", "\n\n  # é  \r\n\n"];
    select(pieces).prop_map(str::to_owned)
}

/// The tokens of a text with other trivia between them.
fn respaced(text: &str, between: &[String]) -> String {
    let lexed = lex(FileId(0), text);
    let mut out = String::new();
    for (n, token) in lexed.tokens.iter().enumerate() {
        out.push_str(&text[token.span.range()]);
        out.push_str(&between[n % between.len()]);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn generated_programs_keep_everything(ast in ast(), trivia in vec(between(), 1..40)) {
        let printed = print(&ast);
        let _ = check(&printed);
        let text = respaced(&printed, &trivia);
        // A name on a line of its own may begin another statement than it did.
        prop_assume!(parse(FileId(0), &text).1.is_empty() && tree(&text) == tree(&printed));
        check(&text);
    }

    #[test]
    fn respaced_programs_keep_everything(n in any::<prop::sample::Index>(), trivia in vec(between(), 1..40)) {
        let all = programs();
        let text = respaced(&all[n.index(all.len())].1, &trivia);
        prop_assume!(parse(FileId(0), &text).1.is_empty());
        check(&text);
    }
}
