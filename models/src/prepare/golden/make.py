"""Writes values.json: what scanpy, scikit-misc and anndata make of files of the data folder.

    python make.py DATA_FOLDER > values.json

Of every vector over genes `at` gives the values at every 97th gene.
"""

import json
import sys
import warnings
from pathlib import Path

import anndata
import mudata
import numpy as np
import scanpy as sc
import scipy.sparse as sp
import skmisc
from skmisc.loess import loess

warnings.filterwarnings("ignore")
root = Path(sys.argv[1])


def some(v):
    return [None if np.isnan(x) else float(x) for x in np.asarray(v, dtype=float)[::97]]


def names(v):
    return [str(x) for x in v]


out = {"made_with": {"scanpy": sc.__version__, "scikit-misc": skmisc.__version__, "anndata": anndata.__version__}}

# loess with ties and without
rng = np.random.default_rng(1)
x = np.round(rng.normal(size=400), 1)
y = np.sin(x) + 0.3 * x * x + rng.normal(size=400) * 0.2
fit = loess(x, y, span=0.3, degree=2)
fit.fit()
out["loess"] = {"x": [float(v) for v in x], "y": [round(float(v), 9) for v in y]}
fit = loess(x, np.round(y, 9), span=0.3, degree=2)
fit.fit()
out["loess"]["fitted"] = [float(v) for v in fit.outputs.fitted_values]

# Of genes with equal scores scanpy takes any: 501, because the 499th to the 501st are equal.
out["variance"] = []
for file, batch, n in [("multibatch/kang_ifnb_4samples.h5ad", "sample", 300), ("multibatch/kang_ifnb_4samples.h5ad", None, 200), ("scrna/pbmc4k_top2000.h5ad", None, 501)]:
    a = anndata.read_h5ad(root / file)
    sc.pp.highly_variable_genes(a, n_top_genes=n, flavor="seurat_v3")
    if batch:
        # Each batch alone, then put together as scanpy does. Given the batches, scanpy 1.12 computes means by an update
        # whose rounding tells genes of equal mean apart, and the fit depends on which means are equal.
        each = []
        for b in np.unique(a.obs[batch]):
            one = a[a.obs[batch] == b].copy()
            sc.pp.highly_variable_genes(one, n_top_genes=n, flavor="seurat_v3")
            each.append(one.var.variances_norm.to_numpy())
        scores = np.stack(each)
        ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1).astype(float)
        a.var["highly_variable_nbatches"] = (ranks < n).sum(0)
        ranks[ranks >= n] = np.nan
        a.var["highly_variable_rank"] = np.nanmedian(ranks, axis=0)
        a.var["variances_norm"] = scores.mean(0)
        order = a.var.sort_values(["highly_variable_rank", "highly_variable_nbatches"], ascending=[True, False], na_position="last").index
        a.var["highly_variable"] = a.var_names.isin(order[:n])
    one = {"file": file, "batch": batch, "n": n, "means": some(a.var.means), "variances": some(a.var.variances), "scores": some(a.var.variances_norm),
           "ranks": some(a.var.highly_variable_rank), "chosen": [int(i) for i in np.flatnonzero(a.var.highly_variable)]}
    out["variance"].append(one)

a = anndata.read_h5ad(root / "multibatch/kang_ifnb_4samples.h5ad")
X = a.X.toarray().astype(float)
size, share = X.sum(1), X.sum(0) / X.sum()
mu = size[:, None] * share[None, :]
with np.errstate(divide="ignore", invalid="ignore"):
    deviance = 2 * (np.where(X > 0, X * np.log(X / mu), 0) - (X - mu)).sum(0)
out["deviance"] = {"file": "multibatch/kang_ifnb_4samples.h5ad", "scores": some(deviance), "chosen": sorted(int(i) for i in np.argsort(-deviance)[:100])}

b = a.copy()
sc.pp.filter_cells(b, min_genes=350)
sc.pp.filter_cells(b, max_counts=3000)
sc.pp.filter_genes(b, min_cells=400)
out["filter"] = {"file": "multibatch/kang_ifnb_4samples.h5ad", "shape": list(b.shape), "sum": float(b.X.sum()), "first": str(b.obs_names[0]), "last_gene": str(b.var_names[-1])}

files = ["citeseq/pbmc5k_200cells_3000g.h5ad", "citeseq/pbmc10k_200cells_3000g.h5ad"]
parts = {Path(f).stem: anndata.read_h5ad(root / f) for f in files}
out["concatenate"] = {"files": files}
for join in ("inner", "outer"):
    c = anndata.concat(parts, join=join, label="batch", index_unique="-")
    X = sp.coo_matrix(c.X)
    X.sum_duplicates()
    rows, cols = X.row.astype(np.int64), X.col.astype(np.int64)
    out["concatenate"][join] = {"shape": list(c.shape), "sum": float(X.sum()), "check": float((X.data * ((rows * 31 + cols * 17) % 101)).sum()), "first": str(c.obs_names[0]), "last": str(c.obs_names[-1]),
                                "first_gene": str(c.var_names[0]), "last_gene": str(c.var_names[-1])}

v = anndata.read_h5ad(root / "velocity/pancreas_739_800g.h5ad")
space = np.asarray(v.obsm["X_pca"], dtype=np.float32).astype(float)
d = ((space[:, None, :] - space[None, :, :]) ** 2).sum(-1)
np.fill_diagonal(d, -1)
near = np.argsort(d, axis=1, kind="stable")[:, :15]
S = v.layers["spliced"].toarray() if sp.issparse(v.layers["spliced"]) else v.layers["spliced"]
M = S.astype(float)[near].mean(1)
out["moments"] = {"file": "velocity/pancreas_739_800g.h5ad", "sum": float(M.sum()), "rows": [[float(x) for x in M[i, ::97]] for i in (0, 100, 738)]}

# the share of the variance of log-normalised counts in 10 principal components
a = anndata.read_h5ad(root / "multibatch/kang_ifnb_4samples.h5ad")
X = a.X.toarray().astype(float)
t = X.sum(1)
L = np.log1p(X / t[:, None] * np.sort(t[t > 0])[len(t[t > 0]) // 2])
L -= L.mean(0)
s = np.linalg.svd(L, compute_uv=False)
out["components"] = {"file": "multibatch/kang_ifnb_4samples.h5ad", "lengths": [float(x) for x in s[:10]]}
# The command as a whole: two files under each other, genes filtered, chosen in each batch, kept; and cells of one
# modality with the peaks of the other beside them.
c = anndata.concat(parts, join="inner", label="batch", index_unique="-")
sc.pp.filter_cells(c, min_genes=300)
sc.pp.filter_genes(c, min_cells=20)
scores = []
for b in parts:
    one = c[c.obs.batch == b].copy()
    sc.pp.highly_variable_genes(one, n_top_genes=150, flavor="seurat_v3")
    scores.append(one.var.variances_norm.to_numpy())
scores = np.stack(scores)
ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1).astype(float)
n_batches = (ranks < 150).sum(0)
ranks[ranks >= 150] = np.nan
median = np.nanmedian(ranks, axis=0)
order = np.lexsort((-n_batches, np.where(np.isnan(median), np.inf, median)))[:150]
kept = c[:, np.sort(order)]
out["command"] = {"files": files, "shape": list(kept.shape), "genes": names(kept.var_names), "sum": float(kept.X.sum()), "batches": [int(n) for n in kept.obs.batch.value_counts().reindex(list(parts))],
                  "first": str(kept.obs_names[0]), "last": str(kept.obs_names[-1])}
m = mudata.read_h5mu(root / "multiome/tumor_multiome_mosaic.h5mu")
rna, atac = m["rna"], m["atac"]
both = [x for x in rna.obs_names if x in set(atac.obs_names)]
P = sp.csr_matrix(atac[both].X)
out["join"] = {"file": "multiome/tumor_multiome_mosaic.h5mu", "cells": rna.n_obs, "peaks": atac.n_vars, "with": len(both), "sum": float(P.sum()),
               "rows": [{"cell": x, "sum": float(P[i].sum()), "check": float((P[i].toarray().ravel() * (np.arange(P.shape[1]) % 101)).sum())} for i, x in list(enumerate(both))[::300]]}
print(json.dumps(out))
