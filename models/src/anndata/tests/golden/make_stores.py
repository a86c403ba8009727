"""Writes codecs.zarr.zip (one array in every codec of zarr 2 and 3 that is read) and small.v2.zarr.zip, small.v3.zarr.zip
(one AnnData with every kind of element)."""

import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path

import anndata
import numcodecs
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec

warnings.filterwarnings("ignore")
here = Path(__file__).parent


def pack(folder, name):
    with zipfile.ZipFile(here / name, "w", zipfile.ZIP_DEFLATED) as z:
        for p in sorted(Path(folder).rglob("*")):
            if p.is_file():
                z.writestr(zipfile.ZipInfo(str(p.relative_to(folder)), (2020, 1, 1, 0, 0, 0)), p.read_bytes(), zipfile.ZIP_DEFLATED if p.name.startswith((".z", "zarr")) else zipfile.ZIP_STORED)


# values[i, j] = (i / 4 * 3 + j) % 200 - 100
values = ((np.arange(300)[:, None] // 4 * 3 + np.arange(13)[None, :]) % 200 - 100).astype("<i4")
with tempfile.TemporaryDirectory() as t:
    root = zarr.create_group(f"{t}/v2", zarr_format=2)
    blosc = {f"blosc_{c}_{n}": numcodecs.Blosc(c, 5, s) for c in ("lz4", "zlib", "zstd") for n, s in (("plain", 0), ("bytes", 1), ("bits", 2))}
    others = {"zstd": numcodecs.Zstd(3), "gzip": numcodecs.GZip(5), "zlib": numcodecs.Zlib(5), "lz4": numcodecs.LZ4(), "none": None}
    for name, codec in (blosc | others).items():
        a = root.create_array(name, shape=values.shape, chunks=(96, 8), dtype="<i4", compressors=codec)
        a[:] = values
    a = root.create_array("shuffled", shape=values.shape, chunks=(96, 8), dtype="<i4", filters=numcodecs.Shuffle(4), compressors=numcodecs.Zlib(5))
    a[:] = values
    a = root.create_array("big_endian", shape=values.shape, chunks=(300, 7), dtype=">i4", compressors=None)
    a[:] = values
    a = root.create_array("column_major", shape=values.shape, chunks=(96, 8), dtype="<i4", order="F", compressors=None)
    a[:] = values
    # Bits are shuffled in eights of elements only.
    a = root.create_array("blosc_not_in_eights", shape=values.shape, chunks=(97, 11), dtype="<i4", compressors=numcodecs.Blosc("lz4", 5, 2))
    a[:] = values
    noise = root.create_array("blosc_stored", shape=(3000,), chunks=(3000,), dtype="u1", compressors=numcodecs.Blosc("lz4", 5, 1))
    noise[:] = np.random.default_rng(0).integers(0, 256, 3000).astype("u1")
    a = root.create_array("blosc_blocks", shape=values.shape, chunks=values.shape, dtype="<i4", compressors=numcodecs.Blosc("lz4", 5, 1, 4096))
    a[:] = values
    pack(f"{t}/v2", "codecs.v2.zarr.zip")
    root = zarr.create_group(f"{t}/v3", zarr_format=3)
    chains = {
        "zstd": dict(compressors=ZstdCodec()), "gzip": dict(compressors=GzipCodec()), "blosc": dict(compressors=BloscCodec(cname="lz4", shuffle="shuffle", typesize=4)),
        "checked": dict(compressors=[ZstdCodec(), Crc32cCodec()]), "transposed": dict(filters=TransposeCodec(order=(1, 0)), compressors=None),
        "big_endian": dict(serializer=BytesCodec(endian="big"), compressors=None), "sharded": dict(shards=(100, 14)),
    }
    for name, how in chains.items():
        chunks = (50, 7) if name == "sharded" else (96, 8)
        a = root.create_array(name, shape=values.shape, chunks=chunks, dtype="<i4", **how)
        a[:] = values
    pack(f"{t}/v3", "codecs.v3.zarr.zip")

n, m = 30, 9
x = ((np.arange(n)[:, None] * 7 + np.arange(m)[None, :] * 3) % 5).astype("f4")
obs = pd.DataFrame({
    "kind": pd.Categorical(np.array(["a", "b", "c"])[np.arange(n) % 3], ordered=True),
    "some": pd.Categorical([None if i % 4 == 0 else "xy"[i % 2] for i in range(n)]),
    "number": np.arange(n) / 4, "count": np.arange(n), "flag": np.arange(n) % 2 == 0,
    "maybe": pd.array([None if i % 5 == 0 else i for i in range(n)], dtype="Int64"),
    "perhaps": pd.array([None if i % 5 == 0 else i % 2 == 0 for i in range(n)], dtype="boolean"),
    "text": [f"t{i}" for i in range(n)],
}, index=[f"c{i}" for i in range(n)])
a = anndata.AnnData(sp.csr_matrix(x), obs=obs, var=pd.DataFrame({"length": np.arange(m) * 10}, index=[f"g{i}" for i in range(m)]))
a.layers["dense"] = x.astype("f8") * 0.5
a.layers["csc"] = sp.csc_matrix(x)
a.obsm["spatial"] = np.stack([np.arange(n), -np.arange(n)], 1).astype("f4")
a.obsm["protein"] = pd.DataFrame({"p1": np.arange(n), "p2": np.arange(n) * 2.0}, index=a.obs_names)
a.obsp["graph"] = sp.csr_matrix(np.eye(n, dtype="f4"))
a.uns["nested"] = {"a": {"b": 1, "c": "text"}, "list": np.array(["x", "y"]), "flag": True}
a.raw = a[:, :]
a = a[:, :7].copy()
for version in (2, 3):
    with tempfile.TemporaryDirectory() as t, anndata.settings.override(zarr_write_format=version):
        a.write_zarr(f"{t}/z")
        pack(f"{t}/z", f"small.v{version}.zarr.zip")
