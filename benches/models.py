"""Models of the library on real data, scored beside the reference: one JSON line for each model, side and seed.

    python benches/models.py --data SHARED/data --svic target/release/svic [--only peakvi,totalvi] [--side ours|reference]

Runs in a Python that has scvi-tools 1.5.1 and scikit-learn. Both sides get the same file, the same number of epochs and the
same score. What the scores mean: benches/MODELS.md, which holds the figures.
"""
import argparse, json, logging, os, subprocess, sys, tempfile, time, warnings
import numpy as np, pandas as pd, anndata as ad, scipy.sparse as sp

warnings.filterwarnings("ignore")
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
ARGS = dict(accelerator="cpu", enable_progress_bar=False, enable_checkpointing=False)


def dense(x):
    return np.asarray(x.todense() if sp.issparse(x) else x, dtype=np.float64)


def neighbours(z, label, k=10):
    """Leave-one-out accuracy of the k nearest neighbours."""
    from sklearn.neighbors import NearestNeighbors
    names, y = np.unique(np.asarray(label).astype(str), return_inverse=True)
    nn = NearestNeighbors(n_neighbors=k + 1).fit(z).kneighbors(z, return_distance=False)[:, 1:]
    votes = np.apply_along_axis(lambda r: np.bincount(y[r], minlength=len(names)).argmax(), 1, nn)
    return float((votes == y).mean())


def bound(text):
    """The negative ELBO per cell that `svic` prints."""
    line = [l for l in text.splitlines() if l.startswith("negative ELBO per cell, all cells")][-1]
    return float(line.split(": ")[1])


class Bench:
    def __init__(self, data, svic, seed):
        self.data, self.bin, self.seed = data, svic, seed
        self.folder = tempfile.mkdtemp()

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        a = ad.read_h5ad(os.path.join(self.data, name))
        a.X = sp.csr_matrix(a.X).astype(np.float32)
        return a

    def run(self, *args):
        command = [self.bin, *args]
        if args[0] == "run":
            command += ["--seed", str(self.seed)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    def svic(self, model, files, epochs, *more, out="out.h5ad"):
        text = self.run("run", model, *files, "--epochs", str(epochs), "-o", out, *more)
        return (text, ad.read_h5ad(self.path(out))) if out.endswith("h5ad") else text

    def reference(self, cls, a, epochs, init=None, train=None, **setup):
        import scvi, torch
        scvi.settings.seed = self.seed
        torch.set_num_threads(1)
        for name in ["scvi", "lightning.pytorch", "lightning.fabric"]:
            logging.getLogger(name).setLevel(logging.ERROR)
        cls.setup_anndata(a, **setup)
        m = cls(a, **(init or {}))
        m.train(max_epochs=epochs, **ARGS, **(train or {}))
        return m

    # --- one method a model: what is measured, on either side ---

    def peakvi(self, ours, epochs=200):
        import scvi
        from sklearn.metrics import roc_auc_score
        a = self.read("atac/hemato_600x5000.h5ad")
        if ours:
            a.write(self.path("atac.h5ad"))
            _, o = self.svic("peakvi", ["atac.h5ad"], epochs, "--output", "accessibility")
            z, p = o.obsm["X_PeakVI"], dense(o.layers["peakvi"])
            p = p * o.obs["peakvi_depth"].to_numpy()[:, None] * o.var["peakvi_factor"].to_numpy()
        else:
            m = self.reference(scvi.model.PEAKVI, a, epochs, batch_key="batch")
            z = m.get_latent_representation()
            p = np.asarray(m.get_normalized_accessibility(normalize_cells=True, normalize_regions=True))
        return {"10-NN accuracy": neighbours(z, a.obs.cell_type),
                "AUROC of open regions": roc_auc_score(dense(a.X).ravel() > 0, p.ravel())}

    def poissonvi(self, ours, epochs=200):
        import scvi
        a = self.read("atac/hemato_600x5000.h5ad")
        if ours:
            a.write(self.path("atac.h5ad"))
            text, o = self.svic("poissonvi", ["atac.h5ad"], epochs)
            return {"10-NN accuracy": neighbours(o.obsm["X_PoissonVI"], o.obs.cell_type), "bound": bound(text)}
        m = self.reference(scvi.external.POISSONVI, a, epochs, batch_key="batch")
        z = m.get_latent_representation()
        return {"10-NN accuracy": neighbours(z, a.obs.cell_type), "bound": abs(float(m.get_elbo()))}

    def linear_scvi(self, ours, epochs=30):
        import scvi
        a = self.read("scrna/pbmc4k_top2000.h5ad")
        if ours:
            a.write(self.path("pbmc.h5ad"))
            text, o = self.svic("linear_scvi", ["pbmc.h5ad"], epochs)
            return {"10-NN accuracy": neighbours(o.obsm["X_scVI"], o.obs.cell_type), "bound": bound(text)}
        m = self.reference(scvi.model.LinearSCVI, a, epochs)
        z = m.get_latent_representation()
        return {"10-NN accuracy": neighbours(z, a.obs.cell_type), "bound": abs(float(m.get_elbo()))}

    def autozi(self, ours, epochs=200):
        import scvi
        a = self.read("multibatch/pancreas_human_mouse_2000g.h5ad")
        if ours:
            a.write(self.path("pancreas.h5ad"))
            _, o = self.svic("autozi", ["pancreas.h5ad"], epochs, "--bind", "batch=obs.batch")
            z, delta = o.obsm["X_autoZI"], 1 - o.var["autozi"].to_numpy()
        else:
            m = self.reference(scvi.model.AUTOZI, a, epochs, batch_key="batch")
            z, ab = m.get_latent_representation(), m.get_alphas_betas()
            al, be = (np.ravel(ab[k]) for k in ["alpha_posterior", "beta_posterior"])
            delta = al / (al + be)
        np.save(os.path.join(tempfile.gettempdir(), f"autozi_{'ours' if ours else 'reference'}_{self.seed}.npy"), delta)
        return {"10-NN accuracy": neighbours(z, a.obs.cell_type), "share of genes with extra zeros": float((delta < .5).mean())}

    def amortized_lda(self, ours, epochs=60):
        import scvi
        a = self.read("multibatch/kang_ifnb_4samples.h5ad")
        x = dense(a.X)
        if ours:
            a.write(self.path("kang.h5ad"))
            _, o = self.svic("amortized_lda", ["kang.h5ad"], epochs, "--set", "topic=10", "--samples", "200")
            topics, genes = np.asarray(o.obsm["X_LDA"]), np.asarray(o.varm["lda"])
        else:
            m = self.reference(scvi.model.AmortizedLDA, a, epochs, init=dict(n_topics=10))
            topics = m.get_latent_representation().to_numpy()
            genes = m.get_feature_by_topic().to_numpy()
        p = topics @ (genes / genes.sum(0)).T
        return {"perplexity": float(np.exp(-(x * np.log(p + 1e-12)).sum() / x.sum())),
                "10-NN accuracy": neighbours(topics, a.obs.cell_type)}

    def condscvi(self, ours, epochs=200):
        import scvi
        a = self.read("spatial/lymph_reference_330.h5ad")
        if ours:
            a.write(self.path("lymph.h5ad"))
            text, _ = self.svic("condscvi", ["lymph.h5ad"], epochs)
            return {"bound": bound(text)}
        m = self.reference(scvi.model.CondSCVI, a, epochs, labels_key="cell_type")
        return {"bound": abs(float(m.get_elbo()))}

    def contrastivevi(self, ours, epochs=40):
        import scvi
        a = self.read("perturb/kang_ctrl_stim_2000_1500g.h5ad")
        if ours:
            a.write(self.path("kang.h5ad"))
            _, o = self.svic("contrastivevi", ["kang.h5ad"], epochs, "--set", "background=ctrl")
            shared, salient = o.obsm["X_contrastiveVI"], o.obsm["X_contrastiveVI_salient"]
        else:
            ctrl = np.where(a.obs.condition == "ctrl")[0]
            stim = np.where(a.obs.condition != "ctrl")[0]
            train = dict(background_indices=ctrl, target_indices=stim)
            m = self.reference(scvi.external.ContrastiveVI, a, epochs, train=train)
            shared = m.get_latent_representation(representation_kind="background")
            salient = m.get_latent_representation(representation_kind="salient")
        return {"condition told by salient": neighbours(salient, a.obs.condition),
                "condition told by shared": neighbours(shared, a.obs.condition)}

    def methylvi(self, ours, epochs=200):
        import scvi, mudata as md
        m = md.read_h5mu(os.path.join(self.data, "methylation/nsc_mcg_833cells.h5mu"))
        if ours:
            m.write(self.path("met.h5mu"))
            text = self.svic("methylvi", ["met.h5mu"], epochs, "--set", "contexts=one", out="out.h5mu")
            return {"bound": bound(text)}
        for part in m.mod.values():
            for key in ["mc", "cov"]:
                part.layers[key] = np.asarray(dense(part.layers[key]), dtype=np.float32)
        import torch
        scvi.settings.seed = self.seed
        torch.set_num_threads(1)
        V = scvi.external.METHYLVI
        V.setup_mudata(m, mc_layer="mc", cov_layer="cov", methylation_contexts=["mCG"], modalities={})
        model = V(m)
        model.train(max_epochs=epochs, **ARGS)
        return {"bound": abs(float(model.get_elbo()))}

    def totalvi(self, ours, epochs=300):
        import scvi
        parts = [ad.read_h5ad(os.path.join(self.data, f"citeseq/{n}_200cells_3000g.h5ad")) for n in ["pbmc10k", "pbmc5k"]]
        genes = [g for g in parts[0].var_names if g in set(parts[1].var_names)]
        proteins = list(parts[0].obsm["protein_expression"].columns)
        a = ad.concat([p[:, genes] for p in parts], keys=["pbmc10k", "pbmc5k"], label="batch", index_unique="-")
        a.X = sp.csr_matrix(a.X).astype(np.float32)
        y = pd.concat([p.obsm["protein_expression"][proteins] for p in parts]).astype(np.float32)
        y.index = a.obs_names
        truth, held, there = y.to_numpy().copy(), np.arange(0, len(proteins), 2), (a.obs.batch == "pbmc5k").to_numpy()
        y.iloc[there, held] = 0  # every other protein counts as not measured in pbmc5k
        a.obsm["protein_expression"] = y
        if ours:
            a.write(self.path("cite.h5ad"))
            self.svic("totalvi", ["cite.h5ad"], epochs, "--set", "adversarial=true")
            self.run("apply", "out.svim", "cite.h5ad", "-o", "seen.h5ad", "--given", "batch=pbmc10k", "--samples", "25")
            p = np.asarray(ad.read_h5ad(self.path("seen.h5ad")).obsm["totalvi_protein"])
        else:
            m = self.reference(scvi.model.TOTALVI, a, epochs, batch_key="batch", protein_expression_obsm_key="protein_expression")
            p = m.get_normalized_expression(transform_batch=["pbmc10k"], n_samples=25, return_mean=True)[1].to_numpy()
        r = [np.corrcoef(np.log1p(p[there, j]), np.log1p(truth[there, j]))[0, 1] for j in held]
        return {"correlation with held-back proteins": float(np.mean(r))}

    def multivi(self, ours, epochs=100):
        import scvi, mudata as md
        m = md.read_h5mu(os.path.join(self.data, "multiome/tumor_multiome_mosaic.h5mu"))
        rna, atac = m.mod["rna"], m.mod["atac"]
        both = [c for c in rna.obs_names if c in set(atac.obs_names)]
        x, y = sp.csr_matrix(rna[both].X).astype(np.float32), sp.csr_matrix(atac[both].X).astype(np.float32)
        r = np.random.default_rng(0).random(len(both))
        has_x, has_y = r < 2 / 3, r > 1 / 3  # a third has both, a third each lacks one
        x, y = sp.diags(has_x.astype(np.float32)) @ x, sp.diags(has_y.astype(np.float32)) @ y
        obs = (rna.obs if "status" in rna.obs else m.obs).loc[both]
        label = obs["status"] if "status" in obs else obs["rna:status"]
        kind = np.where(has_x & has_y, "both", np.where(has_x, "rna", "atac"))
        one = ad.AnnData(sp.csr_matrix(x), obs=pd.DataFrame(index=both), var=pd.DataFrame(index=rna.var_names))
        two = ad.AnnData(sp.csr_matrix(y), obs=pd.DataFrame(index=both), var=pd.DataFrame(index=atac.var_names))
        mdata = md.MuData({"rna": one, "atac": two})
        if ours:
            mdata.write(self.path("mosaic.h5mu"))
            self.svic("multivi", ["mosaic.h5mu"], epochs, "--set", "adversarial=false", out="out.h5mu")
            z = np.asarray(md.read_h5mu(self.path("out.h5mu")).obsm["X_multivi"])
        else:
            import torch
            scvi.settings.seed = self.seed
            torch.set_num_threads(1)
            V = scvi.model.MULTIVI
            V.setup_mudata(mdata, modalities=dict(rna_layer="rna", atac_layer="atac"))
            model = V(mdata, n_genes=one.n_vars, n_regions=two.n_vars)
            model.train(max_epochs=epochs, adversarial_mixing=False, **ARGS)
            z = model.get_latent_representation()
        alone = kind != "both"
        return {"10-NN accuracy of status": neighbours(z, label),
                "modality told among cells that lack one": neighbours(z[alone], kind[alone])}

    def stereoscope(self, ours, epochs=(400, 1000)):
        import scvi
        a = self.read("spatial/lymph_reference_330.h5ad")
        r = np.random.default_rng(0)
        order = r.permutation(a.n_obs)
        cells, rest = a[np.sort(order[::2])].copy(), a[np.sort(order[1::2])]
        types = sorted(set(a.obs.cell_type.astype(str)))
        x, spots, truth = dense(rest.X), [], []
        for _ in range(300):  # spots of eight cells that the reference half has not seen
            few = r.choice(types, size=r.integers(1, 4), replace=False)
            pool = np.where(rest.obs.cell_type.astype(str).isin(few))[0]
            chosen = r.choice(pool, 8)
            spots.append(x[chosen].sum(0))
            share = rest.obs.cell_type.astype(str).to_numpy()[chosen]
            truth.append([(share == t).mean() for t in types])
        s = ad.AnnData(sp.csr_matrix(np.array(spots, dtype=np.float32)), var=a.var.copy())
        if ours:
            cells.write(self.path("cells.h5ad")), s.write(self.path("spots.h5ad"))
            self.svic("stereoscope_rna", ["cells.h5ad"], epochs[0], out="ref.h5ad")
            _, o = self.svic("stereoscope_spatial", ["spots.h5ad"], epochs[1], "--load", "ref=ref.svim")
            p = np.asarray(o.obsm["stereoscope"])
        else:
            sc = self.reference(scvi.external.RNAStereoscope, cells, epochs[0], labels_key="cell_type")
            scvi.external.SpatialStereoscope.setup_anndata(s)
            st = scvi.external.SpatialStereoscope.from_rna_model(s, sc)
            st.train(max_epochs=epochs[1], **ARGS)
            p = st.get_proportions()[types].to_numpy()
        truth = np.array(truth)
        return {"correlation with true proportions": float(np.corrcoef(p.ravel(), truth.ravel())[0, 1]),
                "RMSE": float(np.sqrt(((p - truth) ** 2).mean()))}

    def tangram(self, ours, epochs=500):
        import scvi, mudata as md
        sc, st = self.read("spatial/lymph_reference_330.h5ad"), self.read("spatial/lymph_visium_1000.h5ad")
        genes = [g for g in sc.var_names if g in set(st.var_names)]
        sc, st = sc[:, genes].copy(), st[:, genes].copy()
        seen = np.asarray((sc.X.sum(0) > 0)).ravel() & np.asarray((st.X.sum(0) > 0)).ravel()
        genes = np.array(genes)[seen]
        held = genes[::5]
        kept = [g for g in genes if g not in set(held)]
        one, two = sc[:, kept].copy(), st[:, kept].copy()
        if ours:
            one.write(self.path("sc.h5ad")), two.write(self.path("sp.h5ad"))
            self.svic("tangram", ["sc=sc.h5ad", "sp=sp.h5ad"], epochs, out="out.h5mu")
            map_ = np.asarray(ad.read_h5ad(self.path("out.sc.h5ad")).obsm["tangram"])
        else:
            scvi.settings.seed = self.seed
            T = scvi.external.Tangram
            mdata = md.MuData({"sc": one, "sp": two})
            mdata.mod["sp"].obs["density"] = np.full(two.n_obs, 1 / two.n_obs)
            T.setup_mudata(mdata, density_prior_key="density", modalities=dict(density_prior_key="sp", sc_layer="sc", sp_layer="sp"))
            model = T(mdata)
            model.train(max_epochs=epochs)
            map_ = np.asarray(model.get_mapper_matrix())
        cos = lambda g: np.mean([u @ v / (np.linalg.norm(u) * np.linalg.norm(v) + 1e-12) for u, v in
                                 zip((map_.T @ dense(sc[:, g].X)).T, dense(st[:, g].X).T)])
        return {"cosine, genes of the fit": float(cos(kept)), "cosine, genes held back": float(cos(list(held)))}

    def velovi(self, ours, epochs=500):
        import scvi
        a = ad.read_h5ad(os.path.join(self.data, "velocity/pancreas_100_moments.h5ad"))
        for key in ["Ms", "Mu"]:  # scaled to [0, 1] by gene, as the reference's tutorial does
            v = dense(a.layers[key])
            a.layers[key] = ((v - v.min(0)) / np.maximum(v.max(0) - v.min(0), 1e-12)).astype(np.float32)
        if ours:
            a.write(self.path("vel.h5ad"))
            _, o = self.svic("velovi", ["vel.h5ad"], epochs, "--samples", "25", "--output", "velocity,fit_s")
            v, s = dense(o.layers["velovi_velocity"]), dense(o.layers["velovi_s"])
        else:
            m = self.reference(scvi.external.VELOVI, a, epochs, spliced_layer="Ms", unspliced_layer="Mu")
            v = m.get_velocity(n_samples=25).to_numpy()
            s = m.get_expression_fit(n_samples=25)[0].to_numpy()
        np.save(os.path.join(tempfile.gettempdir(), f"velovi_{'ours' if ours else 'reference'}_{self.seed}.npy"), v)
        fit = np.mean((s - dense(a.layers["Ms"])) ** 2)
        return {"mean squared error of the fitted spliced counts": float(fit)}


MODELS = ["peakvi", "poissonvi", "linear_scvi", "autozi", "amortized_lda", "condscvi", "contrastivevi", "methylvi",
          "totalvi", "multivi", "stereoscope", "tangram", "velovi"]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--svic", default="target/release/svic")
    p.add_argument("--only", default=",".join(MODELS))
    p.add_argument("--side", choices=["ours", "reference"])
    p.add_argument("--seeds", type=int, default=2)
    a = p.parse_args()
    for name in a.only.split(","):
        for side in [a.side] if a.side else ["ours", "reference"]:
            for seed in range(a.seeds):
                bench, start = Bench(a.data, os.path.abspath(a.svic), seed), time.time()
                figures = getattr(bench, name)(side == "ours")
                figures = {k: round(v, 4) for k, v in figures.items()}
                print(json.dumps(dict(model=name, side=side, seed=seed, seconds=round(time.time() - start)) | figures), flush=True)


if __name__ == "__main__":
    main()
