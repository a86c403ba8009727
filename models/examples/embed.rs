//! The library from research code: simulate, compile, bind, fit, ask.

use svi::anndata::AnnData;
use svi::sim::{SimOptions, simulate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("svi-embed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("sim.h5ad");

    // Data from the model's own story: 400 cells in two batches.
    let model = svi::compile_file("scvi.svi")?; // every diagnostic at once
    let engine = svi::engine::Engine::new(svi::BackendKind::Cpu, None)?;
    let options = SimOptions { cells: 400, genes: 100, batches: 2, ..SimOptions::default() };
    simulate(&model, &options, &engine, &file)?;

    // Bind, set, fit.
    let adata = AnnData::open(&file)?;
    let binds = svi::Binds::new().with("batch", "obs.batch");
    let fit = model
        .set("likelihood", "nb")?
        .bind(&adata, &binds)?
        .set("latent", 5)?
        .fit(&svi::FitOptions { epochs: Some(20), seed: 1, ..svi::FitOptions::default() })?;

    let z = fit.output("latent")?; // named array [cell, latent]
    let elbo = fit.elbo()?;
    let history = &fit.trained().state.history;
    #[allow(clippy::print_stdout, reason = "an example speaks to its user")]
    {
        println!("latent: {:?} {:?}", z.axes, z.shape);
        println!("negative ELBO per cell: {:.2} (first epoch {:.2})", elbo, history[0].train.elbo);
        println!("first cell: {:?}", z.to_ndarray().slice(ndarray::s![0, ..]));
    }

    // The trained model alone, later, on other cells.
    fit.save(folder.join("run.svim"))?;
    let trained = svi::load(folder.join("run.svim"))?;
    let applied = trained.apply(&adata, &svi::Binds::new())?;
    assert_eq!(applied.output("latent")?, z);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
