#!/usr/bin/env bash
# Trains scVI on three real files (ZINB, 100 epochs) and scores the latents as the reference's are scored.
#   benches/quality.sh PYTHON [SHARED [SEEDS [FILE]]]     SEEDS: "0 1"; FILE: a part of one file's name
# PYTHON has anndata and scikit-learn (../shared/peer/README.md says how the reference is installed).
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:?path of a Python with anndata and scikit-learn}
shared=${2:-../shared}
seeds=${3:-0 1}
only=${4:-}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo build --release -q --bin svic
svic=${CARGO_TARGET_DIR:-target}/release/svic
score() { # file label bind...
    local file=$1 label=$2 batch=$3; shift 3
    [[ $file == *"$only"* ]] || return 0
    for seed in $seeds; do
        "$svic" run scvi.svi "$shared/data/$file" --epochs 100 --seed $seed "$@" -o "$out/o.h5ad" >"$out/log" 2>&1
        elbo=$(grep -o 'negative ELBO per cell, all cells: .*' "$out/log" | grep -oE '[0-9.]+$')
        echo "$file seed $seed elbo $elbo $("$python" "$shared/peer/quality.py" "$out/o.h5ad" --obsm X_scVI --label "$label" --batch "$batch")"
        rm -f "$out"/o.*
    done
}
score scrna/pbmc4k_top2000.h5ad cell_type batch
score multibatch/kang_ifnb_4samples.h5ad cell_type sample --bind batch=obs.sample
score multibatch/cell_lines_5batch_800g.h5ad cell_line batch
