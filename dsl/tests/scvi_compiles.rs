//! scratch
use dsl::source::Sources;
use dsl::*;
struct Lib;
impl Library for Lib {
    fn find(&self, p: &str) -> Option<(String, String)> {
        std::fs::read_to_string(format!("../stdlib/{p}.svi")).ok().map(|t| (format!("{p}.svi"), t))
    }
}
#[test]
fn it() {
    let mut s = Sources::new();
    let f = s.add("scvi.svi", std::fs::read_to_string("../stdlib/scvi.svi").unwrap());
    let (c, d) = compile(&mut s, f, &Settings::default(), &Lib);
    println!("{}", dsl::diagnostic::render(&s, &d, false));
    let c = c.unwrap();
    println!("{}\n{}", c.explain(), c.emit("model").unwrap());
    let mut b = Bound::default();
    b.sizes.insert("gene".into(), 20);
    b.n_rows = 100;
    b.present.insert("x".into());
    for p in [
        Purpose::Objective,
        Purpose::Simulation,
        Purpose::Statistics,
        Purpose::Outputs { names: vec!["latent".into(), "d.rho".into(), "var(z)".into()], given: vec![] },
    ] {
        let l = c.lower(&b, &Request { purpose: p, mode: Mode::Train, n_batch: 8 }).unwrap();
        println!("{}", l.graph);
        println!("{:?}", l.feeds);
        for v in &l.variables {
            println!("{v:?}")
        }
        l.graph.verify().unwrap();
    }
}
