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

# Queries that are asked one after the other; those after a batch read the gallery from memory.
IN_A_ROW = 101


def theirs(arguments, index, queries):
    def seconds(queries):
        started = time.perf_counter()
        index.search(queries, 1)
        return time.perf_counter() - started

    def one(turn):
        return 1e3 * seconds(queries[turn % len(queries) :][:1])

    after_batch, many = [], []
    for turn in range(arguments.repetitions):
        after_batch.append(one(turn))
        many.append(seconds(queries))
    in_a_row = [one(turn) for turn in range(IN_A_ROW)]
    return *map(statistics.median, (in_a_row, after_batch)), arguments.batch / statistics.median(many)


def ours(arguments):
    options = [f"--{name}={getattr(arguments, name)}" for name in SIZES]
    output = subprocess.run(["target/release/examples/gallery_bench", *options], check=True, capture_output=True, text=True)
    pattern = r"one query ([\d.]+) ms, after a batch ([\d.]+) ms, batches of \d+ (\d+) queries/s"
    return tuple(map(float, re.search(pattern, output.stdout).groups()))


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
        ratios.append((a[0] / b[0], a[1] / b[1], b[2] / a[2]))
        show = "{} {:5.2f} ms, after a batch {:5.2f} ms, {:6.0f} queries/s".format
        print(f"{show('faiss', *a)}   {show('ours', *b)}")
    one, after, many = (statistics.median(column) for column in zip(*ratios))
    print(f"ours is {one:.2f} times as fast for one query, {after:.2f} after a batch, {many:.2f} in batches (medians)")


if __name__ == "__main__":
    main()
