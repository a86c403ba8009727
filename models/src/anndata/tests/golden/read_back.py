"""Reads what svic wrote with anndata and mudata, and compares every field with what it should hold.

    python read_back.py FOLDER

FOLDER has files and, for each, `NAME.json`: fields and values in the form of `make.py`. Every file must open without a
warning, but for elements that an old anndata wrote, and every value must be there. `SVIC_PYTHON=python cargo test -p
svic round_trip` makes the folder and runs this.
"""

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import anndata
import mudata
from make import anndata_values, h5mu


def close(found, wanted):
    if isinstance(found, float) and isinstance(wanted, (int, float)):
        return abs(found - wanted) <= 1e-6 * max(1.0, abs(wanted))
    return found == wanted


def problems(path):
    wanted = json.loads(Path(f"{path}.json").read_text())
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        try:
            found = h5mu(path) if path.suffix == ".h5mu" else anndata_values(anndata.read_h5ad(path))
        except Exception as e:
            return [f"{type(e).__name__}: {e}"]
    # Of mudata itself, not of the file.
    said = sorted({f"{w.category.__name__}: {str(w.message).splitlines()[0][:150]}" for w in met if w.category.__name__ != "Pandas4Warning"})
    out = [] if wanted.pop("old", False) else said
    for field, values in wanted.items():
        if field not in found:
            out.append(f"{field} is missing")
            continue
        differ = {k: (found[field].get(k), v) for k, v in values.items() if not close(found[field].get(k), v)}
        if differ:
            out.append(f"{field}: {differ} (found, wanted)")
    return out


if __name__ == "__main__":
    files = sorted(p for p in Path(sys.argv[1]).iterdir() if p.suffix in {".h5ad", ".h5mu"})
    found = {p.name: problems(p) for p in files}
    for name, out in found.items():
        if out:
            print(name, *out[:6], sep="\n    ")
    print(f"{len(files)} files, {sum(map(bool, found.values()))} with problems; anndata {version('anndata')}, mudata {version('mudata')}")
    sys.exit(any(found.values()) or not files)
