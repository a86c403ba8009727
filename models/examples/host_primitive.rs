//! A model with an operation of the host's own: an adaptive smoothing of gene programs along an ordered axis, learned with
//! the rest, and a robust transform of the data with its own derivative.

use svi::anndata::AnnData;
use svi::compiler::{Builder, Form, Init, Primitive};
use svi::sim::{SimOptions, simulate};
use svi::{AxisId, Compiler, Elem, NodeId};

/// asinh(x) = log(x + √(x² + 1)), with its derivative 1/√(x² + 1).
struct Asinh;

impl Primitive for Asinh {
    fn name(&self) -> &str {
        "asinh"
    }
    fn value(&self, b: &mut dyn Builder, inputs: &[NodeId], _: Option<AxisId>) -> NodeId {
        // By |x|, so that nothing cancels below zero.
        let g = b.graph();
        let (size, sign) = (g.unary(Elem::Abs, inputs[0]), g.unary(Elem::Sign, inputs[0]));
        let square = g.square(size);
        let more = g.add_const(square, 1.0);
        let root = g.sqrt(more);
        let sum = g.add(size, root);
        let log = g.log(sum);
        g.mul(sign, log)
    }
    fn slopes(
        &self,
        b: &mut dyn Builder,
        inputs: &[NodeId],
        _: Option<AxisId>,
        _value: NodeId,
    ) -> Option<Vec<NodeId>> {
        let g = b.graph();
        let square = g.square(inputs[0]);
        let more = g.add_const(square, 1.0);
        let root = g.sqrt(more);
        Some(vec![g.recip(root)])
    }
}

/// A learned share of each element and of the mean along an axis: share · x + (1 − share) · mean x.
struct Shrink;

impl Primitive for Shrink {
    fn name(&self) -> &str {
        "shrink"
    }
    fn form(&self) -> Form {
        Form::Along
    }
    fn has_parameters(&self) -> bool {
        true
    }
    fn value(&self, b: &mut dyn Builder, inputs: &[NodeId], axis: Option<AxisId>) -> NodeId {
        let Some(axis) = axis else { return inputs[0] };
        let logit = b.parameter("logit", &[axis], Init::Constant(0.0));
        let g = b.graph();
        let (share, mean) = (g.sigmoid(logit), g.mean(inputs[0], axis));
        let gap = g.sub(inputs[0], mean);
        let kept = g.mul(share, gap);
        g.add(kept, mean)
    }
}

const PROGRAM: &str = "
dim cell, gene
dim latent = 4, hidden = 16
data { x : count[cell, gene]  from X }
param theta[gene] : positive
net encoder(v[gene]) {
  h = mlp[hidden](v, norm = batchnorm)
  return Normal(mean = linear[latent](h), var = exp(linear[latent](h)) + 1e-4)
}
net decoder(z[latent]) {
  h = shrink(mlp[hidden](z))
  return softmax(linear[gene](h))
}
model {
  plate cell {
    z[latent] ~ Normal(0, 1)
    observe x ~ NB(mean = sum(x over gene) * decoder(z), inv_dispersion = theta)
  }
}
guide { plate cell { z ~ encoder(asinh(x)) } }
output { latent = mean(z) to obsm.latent }
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("svi-host-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let compiler = Compiler::new().with(Asinh)?.with(Shrink)?;
    let model = compiler.compile_text("shrunk.svi", PROGRAM)?;

    // Every gradient, that of the new operations included, against central differences.
    let options = SimOptions { cells: 300, genes: 60, ..SimOptions::default() };
    let checked = svi::gradcheck::check_gradients(&model, &options)?;
    assert!(checked.iter().all(|c| c.agrees()), "{checked:?}");

    let (engine, file) = (svi::engine::Engine::new(svi::BackendKind::Cpu, None)?, folder.join("sim.h5ad"));
    simulate(&model, &options, &engine, &file)?;
    let adata = AnnData::open(&file)?;
    let options = svi::FitOptions { epochs: Some(10), seed: 1, ..svi::FitOptions::default() };
    let fit = model.bind(&adata, &svi::Binds::new())?.fit(&options)?;
    let z = fit.output("latent")?;
    #[allow(clippy::print_stdout, reason = "an example speaks to its user")]
    {
        println!("latent: {:?} {:?}; {} tables of parameters checked", z.axes, z.shape, checked.len());
    }

    // A saved model is read back by a compiler with the same operations.
    fit.save(folder.join("run.svim"))?;
    let again = compiler.load(folder.join("run.svim"))?.apply(&adata, &svi::Binds::new())?;
    assert_eq!(again.output("latent")?, z);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
