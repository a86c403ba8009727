#!/usr/bin/env bash
# Trains a model on simulated counts with the reference and with svic in turn (A B A B), 2 threads each.
#   benches/vs_reference.sh PYTHON [nb|zinb|linear_scvi|peakvi|totalvi] [ROUNDS] [SHARED] [OPTION ...]
# nb and zinb are scVI with that likelihood. 20,000 cells × 2,000 genes; peakvi: 20,000 peaks of which 3 % are open; totalvi: 100
# proteins besides; linear_scvi and totalvi with NB counts. CELLS and EPOCHS in the environment change the cells and the
# passes. PYTHON has scvi-tools (../shared/peer/README.md says how it is installed). OPTIONs go to the reference's program. With
# BEST=1 the reference's allocator keeps large blocks (glibc's tunables). The machine must be quiet.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:?path of a Python with scvi-tools}
what=${2:-nb}
rounds=${3:-2}
shared=${4:-../shared}
options=("${@:5}")
epochs=${EPOCHS:-3}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
svic=${SVIC:-}
if [ -z "$svic" ]; then
    cargo build --release -q --bin svic
    svic=${CARGO_TARGET_DIR:-target}/release/svic
fi
allocator=()
[ -n "${BEST:-}" ] && allocator=(MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456)
# What both are given where their defaults are not the same: sizes of nets; minibatches are those of the model.
data=(--n-genes 2000)
sets=(latent=10 hidden=128)
case $what in
nb | zinb) theirs=(--model scvi --likelihood "$what") ours=scvi.svi sets+=(likelihood="$what") ;;
linear_scvi) theirs=(--model linear_scvi --likelihood nb) ours=linear_scvi.svi ;;
peakvi) theirs=(--model peakvi) ours=peakvi.svi sets+=(layers=1) data=(--n-genes 20000 --atac --density 0.03) ;;
totalvi) theirs=(--model totalvi --likelihood nb --batch-size 256) ours=totalvi.svi sets+=(layers=1) data=(--n-genes 2000 --proteins 100) ;;
*) echo "nb, zinb, linear_scvi, peakvi or totalvi, not $what" >&2 && exit 2 ;;
esac
file=${DATA:-$out/data.h5ad}
[ -e "$file" ] || "$python" "$shared/peer/make_data.py" "$file" --n-cells "${CELLS:-20000}" "${data[@]}" >/dev/null
peak='import resource, subprocess, sys; subprocess.run(sys.argv[1:]); print("svic \"peak_rss_mb\":", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)'
for _ in $(seq "$rounds"); do
    env "${allocator[@]}" "$python" "$shared/peer/bench_scvi.py" "$file" "${theirs[@]}" --epochs "$epochs" \
        --threads 2 "${options[@]}" 2>/dev/null |
        grep -oE '"(cells_per_s|peak_rss_mb|latent_s|normalized_s)": [0-9.]*' | sed 's/^/reference /'
    "$python" -c "$peak" "$svic" run "$ours" "$file" --set "${sets[@]}" --epochs "$epochs" --threads 2 \
        -o "$out/o.h5ad" 2>&1 | grep -E '^done|^svic' | sed 's/^done/svic done/'
    rm -f "$out"/o.*
done
