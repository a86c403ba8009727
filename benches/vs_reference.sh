#!/usr/bin/env bash
# Trains scVI on 20,000 x 2,000 simulated counts with the reference and with svic in turn (A B A B), 2 threads each.
#   benches/vs_reference.sh PYTHON [nb|zinb] [ROUNDS] [SHARED] [OPTION ...]
# PYTHON has scvi-tools (../shared/peer/README.md says how it is installed). OPTIONs go to the reference's program. With
# BEST=1 in the environment the reference's allocator keeps large blocks (glibc's tunables). The machine must be quiet.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:?path of a Python with scvi-tools}
likelihood=${2:-nb}
rounds=${3:-2}
shared=${4:-../shared}
options=("${@:5}")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo build --release -q --bin svic
svic=${SVIC:-${CARGO_TARGET_DIR:-target}/release/svic}
allocator=()
[ -n "${BEST:-}" ] && allocator=(MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456)
"$python" "$shared/peer/make_data.py" "$out/data.h5ad" --n-cells 20000 --n-genes 2000 >/dev/null
peak='import resource, subprocess, sys; subprocess.run(sys.argv[1:]); print("svic \"peak_rss_mb\":", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)'
for _ in $(seq "$rounds"); do
    env "${allocator[@]}" "$python" "$shared/peer/bench_scvi.py" "$out/data.h5ad" --likelihood "$likelihood" --epochs 3 \
        --threads 2 "${options[@]}" 2>/dev/null |
        grep -oE '"(cells_per_s|peak_rss_mb|latent_s|normalized_s)": [0-9.]*' | sed 's/^/reference /'
    "$python" -c "$peak" "$svic" run scvi.svi "$out/data.h5ad" --set likelihood="$likelihood" --epochs 3 --threads 2 \
        -o "$out/o.h5ad" 2>&1 | grep -E '^done|^svic' | sed 's/^done/svic done/'
    rm -f "$out"/o.*
done
