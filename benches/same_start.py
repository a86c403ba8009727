"""Trains the reference from svic's initial values: what is left is the difference of training, without that of the start.

    for s in 0 1; do svic run scvi.svi DATA.h5ad --epochs 1 --set lr=1e-12 --seed $s -o start$s.h5ad; done
    python same_start.py DATA.h5ad --batch batch start0.svim start1.svim

Prints the reference's negative bound per cell after 100 epochs for each start (compare with `svic run --epochs 100 --seed s`).
With --only theta, only the initial inverse dispersions are ours. PYTHON has scvi-tools and safetensors.
"""
import argparse, logging, warnings
import anndata as ad, numpy as np, scvi, torch
from safetensors import safe_open

warnings.filterwarnings("ignore")
for name in ("scvi", "lightning.pytorch"):
    logging.getLogger(name).setLevel(logging.ERROR)


def initial_values(path):
    """The reference's names and shapes from a `.svim` of scVI with one hidden layer."""
    f = safe_open(path, "np")
    t = lambda name: torch.tensor(f.get_tensor(name))
    enc, dec = "z_encoder.encoder.fc_layers.Layer 0.0", "decoder.px_decoder.fc_layers.Layer 0.0"
    hidden = "decoder.h.mlp.0.linear"
    columns = [t(f"{hidden}.weight").T]
    if f"{hidden}.weight.batch" in f.keys():
        columns.append(t(f"{hidden}.weight.batch").T)
    out = {"px_r": t("theta"), f"{enc}.weight": t("encoder.h.mlp.0.linear.weight").T,
           f"{enc}.bias": t("encoder.h.mlp.0.linear.bias"),
           f"{dec}.weight": torch.cat(columns, 1), f"{dec}.bias": t(f"{hidden}.bias")}
    heads = [("z_encoder.mean_encoder", "encoder.mean"), ("z_encoder.var_encoder", "encoder.var"),
             ("decoder.px_scale_decoder.0", "decoder.rho"), ("decoder.px_dropout_decoder", "decoder.dropout")]
    for theirs, ours in heads:
        for part in ("weight", "bias"):
            out[f"{theirs}.{part}"] = t(f"{ours}.linear.{part}")
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("data"); p.add_argument("starts", nargs="+")
    p.add_argument("--batch"); p.add_argument("--epochs", type=int, default=100); p.add_argument("--only")
    a = p.parse_args()
    for seed, start in enumerate(a.starts):
        scvi.settings.seed = seed
        d = ad.read_h5ad(a.data)
        d.X = d.X.astype(np.float32)
        scvi.model.SCVI.setup_anndata(d, batch_key=a.batch)
        m = scvi.model.SCVI(d, gene_likelihood="zinb")
        values = initial_values(start)
        if a.only:
            values = {"px_r": values["px_r"]}
        m.module.load_state_dict(m.module.state_dict() | values)
        m.train(a.epochs, accelerator="cpu", enable_progress_bar=False, logger=False, enable_checkpointing=False)
        print(start, round(-float(m.get_elbo()), 2), flush=True)


if __name__ == "__main__":
    main()
