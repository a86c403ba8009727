#!/usr/bin/env bash
# Trains scVI from the disk within a budget of memory; peak resident memory and speed, and the same from memory.
#   benches/disk.sh [CELLS] [MEMORY] [EPOCHS] [FOLDER]     (2,000 genes, 100 counts stored per cell)
#   benches/disk.sh 2000000 1GiB 1                         (2 million cells: 1.7 GB in FOLDER, two to three minutes)
# With fewer than 500,000 cells it is trained from memory too, in turn. The machine must be quiet.
set -euo pipefail
cd "$(dirname "$0")/.."
cells=${1:-100000}
memory=${2:-512MiB}
epochs=${3:-3}
out=$(mktemp -d -p "${4:-/tmp}")
trap 'rm -rf "$out"' EXIT
cargo build --release -q --bin svic
target=${CARGO_TARGET_DIR:-target}/release
cargo run --release -q -p svic-benches --example large -- "$out/data.h5ad" "$cells" 2000 100
ls -l "$out/data.h5ad" | awk '{print $5 / 1e9 " GB"}'
run() {
    /usr/bin/time -f '%M KiB at the most' "$target/svic" run scvi "$out/data.h5ad" --epochs "$epochs" --threads 2 \
        -o "$out/o.h5ad" "$@" 2>&1 | grep -E '^done|stay on|at the most|negative ELBO' | sed "s/^/[$*] /"
    rm -f "$out"/o.*
}
for _ in 1 2 3; do
    run --memory "$memory"
    [ "$cells" -ge 500000 ] && break
    run
done
