//! The compiler's entry, as this crate uses it.

pub use stub::{Compiled, Settings, compile};

/// Stands in until the compiler's middle lands.
mod stub {
    use dsl::diagnostic::Diagnostics;
    use dsl::source::{FileId, Sources};
    use dsl::*;

    #[derive(Clone, Debug, Default)]
    pub struct Settings {
        pub sets: Vec<(String, String)>,
    }
    #[derive(Clone, Debug)]
    pub struct Compiled {}
    pub fn compile(
        _: &mut Sources,
        _: FileId,
        _: &Settings,
        _: &dyn Library,
    ) -> (Option<Compiled>, Diagnostics) {
        (None, Diagnostics::new())
    }
    impl Compiled {
        pub fn slots(&self) -> &[Slot] {
            &[]
        }
        pub fn axes(&self) -> &[AxisInfo] {
            &[]
        }
        pub fn options(&self) -> &[OptionInfo] {
            &[]
        }
        pub fn train(&self) -> &TrainSettings {
            unreachable!()
        }
        pub fn outputs(&self) -> &[OutputInfo] {
            &[]
        }
        pub fn plate(&self) -> Option<&str> {
            None
        }
        pub fn stats(&self) -> Vec<String> {
            vec![]
        }
        pub fn weights_at(&self, _: u64) -> Vec<(String, f64)> {
            vec![]
        }
        pub fn lower(&self, _: &Bound, _: &Request) -> Result<Lowered, Diagnostics> {
            Err(Diagnostics::new())
        }
        pub fn explain(&self) -> String {
            String::new()
        }
        pub fn emit(&self, _: &str) -> Option<String> {
            None
        }
    }
}
