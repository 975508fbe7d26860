#!/usr/bin/env bash
# Measures builds from nothing: the library alone, the first command of the README, all tests, and the size of a program that only
# runs a network. Without arguments all four; `benches/build_cost.sh library predict` is two of them.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
export CARGO_TARGET_DIR="$target"

# seconds WHAT COMMAND...: runs a command in an empty target folder and prints how long it took.
seconds() {
    local what=$1 started=$SECONDS
    shift
    rm -rf "${target:?}"/*
    "$@" >"$target/log" 2>&1 || { cat "$target/log"; exit 1; }
    printf '%-44s %5d s\n' "$what" $((SECONDS - started))
}

for part in "${@:-library first tests predict}"; do
    for part in $part; do
        case $part in
        library) seconds "library without default features, release" cargo build --release --no-default-features --lib ;;
        first) seconds "first command of the README" cargo run --release --example train_lenet -- --out "$target/lenet" ;;
        tests) seconds "second command of the README" cargo test --workspace --features onnx,vision ;;
        predict)
            cargo build --release --example predict >"$target/log" 2>&1 || { cat "$target/log"; exit 1; }
            strip -o "$target/predict" "$target/release/examples/predict"
            printf '%-44s %5.1f MB\n' "stripped predict" "$(awk "BEGIN { print $(stat -c %s "$target/predict") / 1e6 }")"
            ;;
        *) echo "unknown part $part: library, first, tests or predict" >&2; exit 2 ;;
        esac
    done
done
