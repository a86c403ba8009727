"""Reading, writing and converting beside anndata and scanpy, in turn, on the same files; medians of the rounds.

    cargo build --release -p svic-benches --example files
    PYTHON benches/files.py [ROUNDS] [SHARED]      (PYTHON has anndata and scanpy; the machine must be quiet)

20,000 x 2,000 simulated counts: CSR as anndata writes it, plain and with gzip; the same by columns; as a 10x folder.
What svic writes is flushed to the disk, with its folder, before it counts as written; what anndata writes is flushed here in
the same way. Disks that are shared vary by more than the programs do: TMPDIR=/dev/shm times the programs alone.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import anndata
import scanpy
import scipy.io
import scipy.sparse as sp

warnings.filterwarnings("ignore")
rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
root = Path(__file__).resolve().parent.parent
shared = Path(sys.argv[2]) if len(sys.argv) > 2 else root / "../shared"
program = Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "release/examples/files"
folder = Path(tempfile.mkdtemp())


def flush(path):
    for path in (path, path.parent):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def ours(what, file):
    text = subprocess.run([program, what, file, folder / "ours.h5ad", "1"], capture_output=True, text=True, check=True).stdout
    return float(text.split()[1])


def timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def row(name, ours_once, theirs_once):
    a, b = [], []
    for _ in range(rounds):
        b.append(theirs_once())
        a.append(ours_once())
    a, b = statistics.median(a), statistics.median(b)
    print(f"| {name} | {b:.3f} | {a:.3f} | {b / a:.2f} |", flush=True)


try:
    plain, packed, columns, tenx = (folder / n for n in ("plain.h5ad", "gzip.h5ad", "columns.h5ad", "tenx"))
    subprocess.run([sys.executable, shared / "peer/make_data.py", plain, "--n-cells", "20000", "--n-genes", "2000"], check=True, stdout=subprocess.DEVNULL)
    data = anndata.read_h5ad(plain)
    data.write_h5ad(plain)
    data.write_h5ad(packed, compression="gzip")
    turned = data.copy()
    turned.X = sp.csc_matrix(turned.X)
    turned.write_h5ad(columns)
    tenx.mkdir()
    small = data[:2000]
    scipy.io.mmwrite(tenx / "matrix.mtx", sp.csr_matrix(small.X.T).astype(int))
    (tenx / "barcodes.tsv").write_text("".join(f"{c}\n" for c in small.obs_names))
    (tenx / "genes.tsv").write_text("".join(f"{g}\t{g}\n" for g in small.var_names))

    def written(compression, make=lambda: data):
        def work():
            make().write_h5ad(folder / "theirs.h5ad", compression=compression)
            flush(folder / "theirs.h5ad")
        return lambda: timed(work)

    def by_rows():
        found = anndata.read_h5ad(columns)
        found.X = sp.csr_matrix(found.X)
        return found

    print(f"anndata {anndata.__version__}, {data.X.nnz} values stored, {rounds} rounds\n\n| | anndata or scanpy, s | svic, s | ratio |\n|---|---|---|---|")
    row("read, plain", lambda: ours("read", plain), lambda: timed(lambda: anndata.read_h5ad(plain)))
    row("read, gzip", lambda: ours("read", packed), lambda: timed(lambda: anndata.read_h5ad(packed)))
    row("read by columns, as rows", lambda: ours("read", columns), lambda: timed(by_rows))
    row("write, against plain", lambda: ours("write", plain), written(None))
    row("write, against gzip", lambda: ours("write", plain), written("gzip"))
    row("convert columns to rows, against plain", lambda: ours("convert", columns), written(None, by_rows))
    row("convert columns to rows, against gzip", lambda: ours("convert", columns), written("gzip", by_rows))
    row("convert a 10x folder (2,000 cells), against plain", lambda: ours("convert", tenx), written(None, lambda: scanpy.read_10x_mtx(tenx)))
finally:
    shutil.rmtree(folder)
