"""Writes encodings.h5ad, axis1.h5mu, axis_both.h5mu and antibodies.h5 beside this script: numbers of every type, all by one formula.

    python make_encodings.py

Value of row i, column j: (7 i + 3 j) mod 5, as `x` below; 12 x 7. Made with anndata 0.13.4, mudata 0.4.1, h5py 3.
"""

import warnings
from pathlib import Path

import anndata
import h5py
import mudata
import numpy as np
import pandas as pd
import scipy.sparse as sp

warnings.filterwarnings("ignore")
here = Path(__file__).resolve().parent
n, m = 12, 7
x = (7 * np.arange(n)[:, None] + 3 * np.arange(m)[None, :]) % 5

a = anndata.AnnData(sp.csr_matrix(x.astype(np.float32)))
a.obs["batch"] = pd.Categorical(list("ab") * 6)
a.obs["whole"] = pd.array([1, None, 3] * 4, dtype="UInt8")
a.obs["half"] = np.full(n, 0.5, dtype=np.float16)
a.uns["frame"] = pd.DataFrame({"q": [1, 2]})
a.uns["records"] = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
a.write_h5ad(here / "encodings.h5ad")
numbers = ["float16", "float32", "float64", ">f4", ">f8", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4", ">i8", ">u2"]
indices = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4", ">i8"]


def sparse(layers, name, turn, data, index):
    g = layers.create_group(name)
    c = (sp.csc_matrix if turn else sp.csr_matrix)(x)
    g.attrs.update({"encoding-type": "csc_matrix" if turn else "csr_matrix", "encoding-version": "0.1.0", "shape": np.array([n, m])})
    g["data"], g["indices"], g["indptr"] = c.data.astype(data), c.indices.astype(index), c.indptr.astype(index)


with h5py.File(here / "encodings.h5ad", "r+") as f:
    layers = f["layers"]
    for d in numbers:
        word = d.replace(">", "big_")
        layers[f"dense_{word}"] = x.astype(d)
        sparse(layers, f"csr_{word}", False, d, "int32")
    for d in indices:
        sparse(layers, f"index_{d.replace('>', 'big_')}", False, "float32", d)
    sparse(layers, "csc_int16", True, "int16", "uint16")
    layers.create_dataset("packed", data=x.astype("f4"), chunks=(5, 3), compression="gzip", shuffle=True, fletcher32=True)
    layers.create_dataset("lzf", data=x.astype("i2"), chunks=(4, 7), compression="lzf")

b = anndata.AnnData(x[:, :5].astype(np.float32))
b.obs_names = [f"d{i}" for i in range(n)]
a = anndata.AnnData(x.astype(np.float32))
mudata.MuData({"one": a, "other": b}, axis=1).write_h5mu(here / "axis1.h5mu")
twice = a.copy()
twice.X = a.X * 2
mudata.MuData({"one": a, "twice": twice, "back": a[::-1].copy()}, axis=-1).write_h5mu(here / "axis_both.h5mu")

with h5py.File(here / "antibodies.h5", "w") as f:
    g, c = f.create_group("matrix"), sp.csc_matrix(x.T.astype("i4"))
    g["data"], g["indices"], g["indptr"], g["shape"] = c.data, c.indices, c.indptr, np.array(c.shape, "i4")
    g["barcodes"] = np.array([f"BC{i}-1" for i in range(n)], "S18")
    h = g.create_group("features")
    h["id"], h["name"] = np.array([f"id{i}" for i in range(m)], "S8"), np.array([f"n{i}" for i in range(m)], "S8")
    h["feature_type"] = np.array(["Gene Expression"] * 5 + ["Antibody Capture"] * 2, "S20")
    h["genome"], h["_all_tag_keys"] = np.array(["GRCh38"] * 5 + [""] * 2, "S10"), np.array(["genome"], "S10")
