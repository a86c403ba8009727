#!/bin/sh
# On a machine with an NVIDIA card: builds, checks against the CPU, measures, and prints a table.
#   benches/gpu.sh [PYTHON [FOLDER]]
# PYTHON has torch; FOLDER holds torch_step.py (default ../shared/peer). Without them svic's own figures are printed.
set -eu
cd "$(dirname "$0")/.."
python=${1:-}
peer=${2:-../shared/peer}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sh .ci/setup
cargo build -q --release
svic=${CARGO_TARGET_DIR:-target}/release/svic
"$svic" doctor
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv

echo "== agreement with the CPU on every model, and two runs alike"
cargo test -q -p svic-tests --test suite cards -- --nocapture

echo "== scVI, 2,000 genes"
"$svic" sim scvi -q -o "$work/small.h5ad" --cells 20000 --genes 2000
for likelihood in nb zinb; do
    zinb=; [ $likelihood = nb ] || zinb=--zinb
    for batch in 128 4096; do
        for backend in cpu cuda; do
            printf '%s, minibatch %s, %s: ' "$likelihood" "$batch" "$backend"
            "$svic" run scvi "$work/small.h5ad" --epochs 10 --backend "$backend" -o "$work/out.h5ad" \
                --set likelihood=$likelihood batch_size=$batch 2>&1 | grep -o '[0-9]* cells/s' | tail -1
        done
        if [ -n "$python" ] && [ -f "$peer/torch_step.py" ]; then
            for more in "" "--fused --compile"; do
                # shellcheck disable=SC2086
                "$python" "$peer/torch_step.py" --device cuda --cells $batch $zinb $more || true
            done
        fi
    done
done

echo "== one epoch of 1,000,000 cells, and the card's memory while it runs"
"$svic" sim scvi -q -o "$work/large.h5ad" --cells 1000000 --genes 2000
( while sleep 1; do nvidia-smi --query-gpu=memory.used --format=csv,noheader; done ) >"$work/memory" &
watch=$!
"$svic" run scvi "$work/large.h5ad" --epochs 1 --backend cuda -o "$work/out.h5ad" --set batch_size=4096
kill $watch
echo "largest: $(sort -n "$work/memory" | tail -1)"

if command -v compute-sanitizer >/dev/null 2>&1; then
    echo "== compute-sanitizer"
    compute-sanitizer "$svic" run scvi "$work/small.h5ad" --epochs 1 --backend cuda -o "$work/out.h5ad" || echo "compute-sanitizer does not run here"
fi
