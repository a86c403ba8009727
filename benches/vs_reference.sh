#!/usr/bin/env bash
# Trains scVI on 20,000 x 2,000 simulated counts with the reference and with svic in turn (A B A B), 2 threads each.
#   benches/vs_reference.sh PYTHON [nb|zinb] [ROUNDS] [SHARED]
# PYTHON has scvi-tools (../shared/peer/README.md says how it is installed). The machine must be quiet.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:?path of a Python with scvi-tools}
likelihood=${2:-nb}
rounds=${3:-2}
shared=${4:-../shared}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo build --release -q --bin svic
svic=${CARGO_TARGET_DIR:-target}/release/svic
"$python" "$shared/peer/make_data.py" "$out/data.h5ad" --n-cells 20000 --n-genes 2000 >/dev/null
for _ in $(seq "$rounds"); do
    "$python" "$shared/peer/bench_scvi.py" "$out/data.h5ad" --likelihood "$likelihood" --epochs 3 --threads 2 2>/dev/null | grep -o '"cells_per_s": [0-9.]*' | sed 's/^/reference /'
    "$svic" run scvi.svi "$out/data.h5ad" --set likelihood="$likelihood" --epochs 3 --threads 2 -o "$out/o.h5ad" 2>&1 | grep '^done' | sed 's/^/svic /'
    rm -f "$out"/o.*
done
