//! The compiler's entry, as this crate uses it, and as research code extends it.

pub use dsl::primitive::{Builder, Form, Primitive, Primitives};
pub use dsl::{Compiled, Init, Settings, compile};

use crate::error::Error;
use crate::library::FileLibrary;
use crate::model::Model;
use crate::trained::Trained;
use std::path::Path;
use std::sync::Arc;

/// A compiler with operations of the host's own beside those of the language.
///
/// A saved model holds its source, not the host's code: [`Compiler::load`] reads it back under the same operations.
///
/// ```
/// use svi::compiler::{Builder, Compiler, Primitive};
/// use svi::{AxisId, NodeId};
///
/// /// x / (1 + |x|), with its derivative 1 / (1 + |x|)².
/// struct Softsign;
///
/// impl Primitive for Softsign {
///     fn name(&self) -> &str {
///         "softsign"
///     }
///     fn value(&self, b: &mut dyn Builder, inputs: &[NodeId], _: Option<AxisId>) -> NodeId {
///         let g = b.graph();
///         let size = g.unary(svi::Elem::Abs, inputs[0]);
///         let more = g.add_const(size, 1.0);
///         g.div(inputs[0], more)
///     }
///     fn slopes(
///         &self,
///         b: &mut dyn Builder,
///         inputs: &[NodeId],
///         _: Option<AxisId>,
///         _value: NodeId,
///     ) -> Option<Vec<NodeId>> {
///         let g = b.graph();
///         let size = g.unary(svi::Elem::Abs, inputs[0]);
///         let more = g.add_const(size, 1.0);
///         let square = g.square(more);
///         Some(vec![g.recip(square)])
///     }
/// }
///
/// # fn main() -> Result<(), svi::Error> {
/// let compiler = Compiler::new().with(Softsign)?;
/// let model = compiler.compile_text(
///     "squashed.svi",
///     "dim cell, gene
///      data { x : real[cell, gene]  from X }
///      param centre[gene] : real
///      model { plate cell { observe x ~ Normal(mean = softsign(centre), scale = 1) } }",
/// )?;
/// assert_eq!(model.compiled().slots()[0].name, "x");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    primitives: Primitives,
}

impl Compiler {
    /// The language alone.
    pub fn new() -> Compiler {
        Compiler::default()
    }

    /// With one operation more.
    ///
    /// # Errors
    /// E0103 or E0202 for a name that cannot be used, E0716 for a fragment of graph that cannot.
    pub fn with(self, primitive: impl Primitive + 'static) -> Result<Compiler, Error> {
        let primitives = self.primitives.with(Arc::new(primitive)).map_err(|d| Error::plain(*d))?;
        Ok(Compiler { primitives })
    }

    /// Compiles a text; `name` stands in its messages. What it extends is found in the working directory, then in the
    /// library.
    ///
    /// # Errors
    /// Every diagnostic of the program at once.
    pub fn compile_text(&self, name: &str, text: &str) -> Result<Model, Error> {
        Model::compile_with(name, text, Arc::new(FileLibrary::default()), &[], &self.primitives)
    }

    /// Compiles a program as [`compile_file`](crate::compile_file) does.
    ///
    /// # Errors
    /// E0712 when there is no such program; every diagnostic of the program at once.
    pub fn compile_file(&self, path: impl AsRef<Path>) -> Result<Model, Error> {
        let found = crate::library::open(&path.as_ref().to_string_lossy())?;
        let library = Arc::new(FileLibrary::of(&found));
        Model::compile_with(&found.name, &found.text, library, &[], &self.primitives)
    }

    /// Reads a saved model as [`load`](crate::load) does.
    ///
    /// # Errors
    /// E0712 when there is no such file, E0715 when it is not a sound saved model; what its program says under these
    /// operations.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Trained, Error> {
        crate::saved::load_with(path, &self.primitives)
    }
}
