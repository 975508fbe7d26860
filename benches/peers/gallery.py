"""One query and batches of queries in faiss' flat index and in a gallery of ours, in turns.

    python benches/peers/gallery.py [--people 100000] [--features 128] [--batch 1000] [--threads 2] [--turns 3]

Needs faiss-cpu and numpy, and `cargo build --release --features vision --example gallery_bench`.
"""
import argparse
import re
import statistics
import subprocess
import time

import faiss
import numpy

SIZES = {"people": 100_000, "features": 128, "batch": 1000, "threads": 2, "repetitions": 9}


def theirs(arguments, index, queries):
    def seconds(queries):
        started = time.perf_counter()
        index.search(queries, 1)
        return time.perf_counter() - started

    one, many = [], []
    for turn in range(arguments.repetitions):
        one.append(seconds(queries[turn : turn + 1]))
        many.append(seconds(queries))
    return 1e3 * statistics.median(one), arguments.batch / statistics.median(many)


def ours(arguments):
    options = [f"--{name}={getattr(arguments, name)}" for name in SIZES]
    output = subprocess.run(["target/release/examples/gallery_bench", *options], check=True, capture_output=True, text=True)
    one, many = re.search(r"one query ([\d.]+) ms, batches of \d+ (\d+) queries/s", output.stdout).groups()
    return float(one), float(many)


def main():
    parser = argparse.ArgumentParser()
    for name, default in {**SIZES, "turns": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(arguments.threads)
    random = numpy.random.default_rng(7)
    index = faiss.IndexFlatL2(arguments.features)
    index.add(random.random((arguments.people, arguments.features), dtype="float32"))
    queries = random.random((arguments.batch, arguments.features), dtype="float32")

    theirs(arguments, index, queries), ours(arguments)
    ratios = []
    for _ in range(arguments.turns):
        a, b = theirs(arguments, index, queries), ours(arguments)
        ratios.append((a[0] / b[0], b[1] / a[1]))
        print(f"faiss {a[0]:5.2f} ms, {a[1]:6.0f} queries/s   ours {b[0]:5.2f} ms, {b[1]:6.0f} queries/s")
    one, many = (statistics.median(column) for column in zip(*ratios))
    print(f"ours is {one:.2f} times as fast for one query, {many:.2f} times in batches (medians)")


if __name__ == "__main__":
    main()
