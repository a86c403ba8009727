//! Broken programs with their messages: one folder, one golden each, and at least one program for every code that the
//! compiler can raise. A first line `# set: name=value …` carries settings.

use dsl::diagnostic::{Code, Diagnostics, Severity, render, render_concise};
use dsl::source::Sources;
use dsl::{Compiled, Library, Settings, compile};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The checked-in library, and the file itself under its own name.
struct Beside(String, String);

impl Library for Beside {
    fn find(&self, path: &str) -> Option<(String, String)> {
        if path == "loop" {
            return Some((self.0.clone(), self.1.clone()));
        }
        let file = root().join("../stdlib").join(format!("{path}.svi"));
        Some((format!("{path}.svi"), std::fs::read_to_string(file).ok()?))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/cases/error")).expect("the folder is checked in");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "svi"));
    paths.sort();
    paths
}

/// Programs of E01 are fragments: they are parsed, not compiled.
fn run(name: &str, text: &str) -> (Option<Compiled>, Diagnostics, String, String) {
    if name.starts_with("E01") && !name.contains("_then_") {
        let mut sources = Sources::new();
        let file = sources.add(name, text);
        let diagnostics = Diagnostics::from(dsl::syntax::parse(file, text).1);
        let (full, concise) = (render(&sources, &diagnostics, false), render_concise(&sources, &diagnostics));
        return (None, diagnostics, full, concise);
    }
    let sets = text.lines().next().and_then(|line| line.strip_prefix("# set: ")).unwrap_or("");
    let pair = |word: &str| {
        let (name, value) = word.split_once('=').expect("name=value");
        (name.to_owned(), value.to_owned())
    };
    let settings = Settings { sets: sets.split_whitespace().map(pair).collect(), ..Settings::default() };
    let mut sources = Sources::new();
    let file = sources.add(name, text);
    let library = Beside(name.to_owned(), text.to_owned());
    let (compiled, diagnostics) = compile(&mut sources, file, &settings, &library);
    let full = render(&sources, &diagnostics, false);
    let concise = render_concise(&sources, &diagnostics);
    (compiled, diagnostics, full, concise)
}

/// Codes that need data or a run.
const OUT_OF_REACH: [&str; 1] = ["E07"];

#[test]
fn broken_programs_give_their_messages() {
    let bless = std::env::var_os("SVIC_BLESS").is_some();
    let mut codes = BTreeSet::new();
    let mut wrong = vec![];
    for path in cases() {
        let text = std::fs::read_to_string(&path).expect("a readable program");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let (compiled, diagnostics, full, _) = run(&name, &text);
        let code = &name[..5];
        let raised = diagnostics.iter().any(|d| d.code.as_str() == code);
        if !raised {
            wrong.push(format!("{name} does not give {code}:\n{full}"));
        }
        assert_eq!(compiled.is_none(), diagnostics.has_errors(), "{name}");
        codes.insert(code.to_owned());
        let golden = path.with_extension("txt");
        if bless {
            std::fs::write(&golden, &full).expect("a writable folder");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if full != expected {
            wrong.push(format!("{name}; SVIC_BLESS=1 accepts the new text\n{full}"));
        }
    }
    for code in Code::ALL.iter().map(|code| code.as_str()) {
        let reachable =
            !OUT_OF_REACH.iter().any(|prefix| code.starts_with(prefix)) && !code.starts_with("W07");
        if reachable != codes.contains(code) {
            wrong.push(format!("{code}: a failing program, or a line in the list of those out of reach"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every message about a source has a place that is not empty, and all are in order of place.
#[test]
fn messages_have_places_and_order() {
    for path in cases() {
        let text = std::fs::read_to_string(&path).expect("a readable program");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let (_, diagnostics, full, concise) = run(&name, &text);
        let spans: Vec<_> = diagnostics.iter().filter_map(|d| d.span()).collect();
        assert!(spans.is_sorted(), "{path:?}\n{concise}");
        for d in &diagnostics {
            assert!(!d.headline.is_empty() && !d.headline.ends_with('.'), "{path:?}\n{full}");
            let at_end = d.code == Code::E0102 || d.code == Code::E0101;
            assert!(d.span().is_none_or(|s| s.start < s.end) || at_end, "{path:?}\n{full}");
            assert!(d.span().is_some() || [Code::E0206, Code::E0606].contains(&d.code), "{path:?}\n{full}");
        }
    }
}

/// One mistake, one message: these programs have exactly one each.
#[test]
fn one_mistake_gives_one_message() {
    let single = [
        "E0201_family",
        "E0201_type",
        "E0201_arm",
        "E0201_part",
        "E0201_extends",
        "E0201_one_misspelt_field",
        "E0203_observe_a_latent",
        "E0203_draw_data",
        "E0206_option",
        "E0206_choice",
        "E0206_size",
        "E0208_definitions",
        "E0208_net",
        "E0208_nets",
        "E0208_fn",
        "E0208_site",
        "E0208_stats",
        "E0208_extends",
        "E0209_layer",
        "E0210_doubling",
        "E0210_fn_doubling",
        "E0301_plate",
        "E0301_over",
        "E0303_argument",
        "E0303_definition",
        "E0304_absent",
        "E0306_site",
        "E0309_brackets",
        "E0309_stat",
        "E0310_twice",
        "E0311_field",
        "E0312_plate",
        "E0313_model",
        "E0401_argument",
        "E0402_support",
        "E0404_position",
        "E0408_definition",
        "E0408_axes",
        "E0408_site",
        "E0408_parameter",
        "E0408_net",
        "E0408_net_part",
        "E0410_number",
        "E0501_no_guide",
        "E0502_not_in_model",
        "E0503_supports",
        "E0504_gradient",
        "E0510_observed",
        "E0512_twice",
        "E0403_attention",
        "E0509_continuous",
        "E0505_marginal",
        "E0506_combinations",
        "E0507_mixed",
        "E0508_global",
        "E0511_families",
        "E0515_labels",
    ];
    for name in single {
        let path = root().join("tests/cases/error").join(format!("{name}.svi"));
        let text = std::fs::read_to_string(&path).expect("a readable program");
        let (_, diagnostics, full, _) = run(name, &text);
        let errors = diagnostics.iter().filter(|d| d.severity != Severity::Note).count();
        assert_eq!(errors, 1, "{name}\n{full}");
    }
}
