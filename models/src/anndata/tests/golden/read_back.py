"""Reads what the test `every_format_becomes_anndata_or_mudata` wrote: `SVIC_KEEP=DIR cargo test …`, then
`python read_back.py DIR`. Every file must open in anndata or mudata without a
warning, but for elements that an old anndata wrote."""

import sys
import warnings
from pathlib import Path

import anndata
import mudata

failed = 0
for path in sorted(Path(sys.argv[1]).glob("*.out.h5*")):
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        try:
            data = mudata.read_h5mu(path) if path.suffix == ".h5mu" else anndata.read_h5ad(path)
            assert "svic_score" in data.obs
            said = sorted({f"{w.category.__name__}: {str(w.message).splitlines()[0][:150]}" for w in met if w.category.__name__ != "Pandas4Warning"})  # of mudata itself
        except Exception as e:
            said = [f"{type(e).__name__}: {e}"]
    failed += bool(said)
    print(path.name, said or "ok")
sys.exit(failed > 0)
