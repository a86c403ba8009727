"""Writes values.json: what anndata, mudata and scanpy read from the files of the data folder.

    python make.py DATA_FOLDER > values.json

A number stands for many: `sum` over what is not NaN, and `check`, the same sum with weights that depend on row and
column, so that a permuted or transposed matrix does not pass.
"""

import json
import sys
import warnings
import zlib
from pathlib import Path

import anndata
import h5py
import mudata
import numpy as np
import pandas as pd
import scanpy
import scipy
import scipy.sparse as sp
import zarr

try:  # for two formats alone
    import fcsparser
    import loompy
except ImportError:
    pass

warnings.filterwarnings("ignore")


def clean(x):
    return float(x) if np.isfinite(x) else None


def matrix(m):
    m = sp.coo_matrix(m) if sp.issparse(m) else sp.coo_matrix(np.atleast_2d(np.nan_to_num(np.asarray(m, dtype=np.float64), nan=0.0)))
    v = m.data.astype(np.float32).astype(np.float64)
    w = (m.row.astype(np.int64) * 31 + m.col.astype(np.int64) * 17) % 101
    return {"shape": list(m.shape), "nonzero": int((v != 0).sum()), "sum": clean(v.sum()), "check": clean((v * w).sum())}


def labels(names):
    names = [str(n) for n in names]
    return {"n": len(names), "first": names[0] if names else "", "last": names[-1] if names else "", "crc": zlib.crc32("\n".join(names).encode())}


def column(s):
    missing = s.isna().to_numpy()
    out = {"missing": int(missing.sum())}
    if isinstance(s.dtype, pd.CategoricalDtype):
        out.update(kind="categories", ordered=bool(s.cat.ordered), labels=[str(c) for c in s.cat.categories][:40],
                   n_labels=len(s.cat.categories), codes=int((s.cat.codes.to_numpy().astype(np.int64) * (np.arange(len(s)) % 101)).sum()))
    elif pd.api.types.is_numeric_dtype(s.dtype):
        v = s.to_numpy(dtype=np.float64, na_value=np.nan)
        out.update(kind="numbers", sum=clean(np.nansum(v)), check=clean(np.nansum(v * (np.arange(len(v)) % 101))))
    else:
        out.update(kind="texts", crc=zlib.crc32("\n".join("" if m else str(x) for x, m in zip(s, missing)).encode()))
    return out


def anndata_values(a, prefix="", out=None):
    out = {} if out is None else out
    out[prefix + "obs_names"], out[prefix + "var_names"] = labels(a.obs_names), labels(a.var_names)
    if getattr(a, "X", None) is not None:
        out[prefix + "X"] = matrix(a.X)
    if getattr(a, "raw", None) is not None:
        out[prefix + "raw.X"] = matrix(a.raw.X)
    for part in ("layers", "obsm", "varm", "obsp", "varp"):
        for name, value in (getattr(a, part, None) or {}).items():
            if name is None:  # newer anndata shows X among the layers
                continue
            if isinstance(value, pd.DataFrame):
                if not all(pd.api.types.is_numeric_dtype(t) for t in value.dtypes):
                    continue
                value = value.to_numpy(dtype=np.float64, na_value=np.nan)
            if getattr(value, "ndim", 2) == 1:
                value = np.asarray(value)[:, None]
            if getattr(value, "dtype", None) is not None and value.dtype.names is None:
                out[f"{prefix}{part}.{name}"] = matrix(value)
    for part in ("obs", "var"):
        for name, s in getattr(a, part).items():
            out[f"{prefix}{part}.{name}"] = column(s)
    return out


def h5mu(path):
    m = mudata.read_h5mu(path)
    out = anndata_values(m)
    for name, a in m.mod.items():
        anndata_values(a, f"mod.{name}.", out)
        rows = m.obsmap[name].astype(np.int64)
        out[f"rows.{name}"] = {"present": int((rows > 0).sum()), "check": int((rows * (np.arange(len(rows)) % 101)).sum())}
    return out


def tenx_h5(path):
    with h5py.File(path) as f:
        genomes = [] if "matrix" in f else sorted(k for k in f if isinstance(f[k], h5py.Group))
    if len(genomes) < 2:
        return anndata_values(scanpy.read_10x_h5(path, gex_only=False))
    out = {}
    for genome in genomes:
        anndata_values(scanpy.read_10x_h5(path, genome=genome), f"mod.{genome}.", out)
    return out


def loom(path):
    with loompy.connect(path, "r", validate=False) as f:
        cells = next((n for n in ("CellID", "obs_names") if n in f.ca), None)
        genes = next((n for n in ("Gene", "var_names") if n in f.ra), None)
        tables = {n: f.ca[n] for n in f.ca if np.ndim(f.ca[n]) == 2}
        if tables:  # which anndata cannot read unless told their columns
            out = {f"obsm.{n}": matrix(v) for n, v in tables.items()}
            out["X"] = matrix(f[:, :].T)
            out["var_names"] = labels(f.ra[genes])
            out.update({f"obs.{n}": column(pd.Series(f.ca[n])) for n in f.ca if n not in tables})
            return out
    return anndata_values(anndata.io.read_loom(path, obs_names=cells, var_names=genes))


def fcs(path):
    meta, data = fcsparser.parse(str(path), reformat_meta=False, channel_naming="$PnN")
    return {"X": matrix(data.to_numpy()), "var_names": labels(data.columns)}


def read(path):
    if path.suffix == ".h5ad":
        return anndata_values(anndata.read_h5ad(path))
    if path.suffix == ".h5mu":
        return h5mu(path)
    if path.suffix == ".h5":
        return tenx_h5(path)
    if path.suffix == ".loom":
        return loom(path)
    if path.suffix == ".csv":
        return anndata_values(anndata.io.read_csv(path))
    if path.suffix == ".fcs":
        return fcs(path)
    if path.name.endswith(".zarr.zip"):
        return anndata_values(anndata.io.read_zarr(zarr.storage.ZipStore(path, mode="r")))
    return anndata_values(scanpy.read_10x_mtx(path))


def main():
    root = Path(sys.argv[1])
    files = {}
    names = sorted(p for p in root.rglob("*") if p.suffix in {".h5ad", ".h5mu", ".h5", ".loom", ".zip", ".fcs"})
    names += [root / "formats/generated/dense_counts.csv", root / "formats/10x_v2_mtx", root / "formats/10x_v3_mtx", root / "formats/generated/mtx"]
    for path in names:
        try:
            files[str(path.relative_to(root))] = read(path)
        except Exception as e:
            files[str(path.relative_to(root))] = {"unread": f"{type(e).__name__}: {e}"}
            print(path, type(e).__name__, e, file=sys.stderr)
    made_with = {m.__name__: m.__version__ for m in (anndata, mudata, scanpy, zarr, scipy, np, pd, h5py, loompy)}
    made_with["fcsparser"] = fcsparser.__version__ if hasattr(fcsparser, "__version__") else "0.2.8"
    lines = ",\n".join(f'    {json.dumps(k)}: {json.dumps(v, separators=(",", ":"))}' for k, v in files.items())
    print('{\n  "made_with": ' + json.dumps(made_with) + ',\n  "files": {\n' + lines + "\n  }\n}")


if __name__ == "__main__":
    main()
