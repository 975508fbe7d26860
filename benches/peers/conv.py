#!/usr/bin/env python3
"""Times every layer of a network's table in PyTorch and in the example `roofline`, in turns.

Convolutions are timed in both memory formats, NCHW and channels last, and the better one counts; fully connected layers
as matrix products. Backward passes are the calls that autograd makes, with one of the gradients asked for.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

# PyTorch allocates each result anew. Memory that malloc keeps, on huge pages, spares it the page faults, which can cost
# as much as a convolution: it is timed at its best.
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1"}

# Measurements of a layer, ours and theirs in turns; a row whose ratios differ by more than this factor is unsteady.
ROUNDS = 3
STEADY = 1.3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="vgg16", help="a network of roofline")
    parser.add_argument("--layer", default="", help="only this layer, or those with this in their name")
    parser.add_argument("--pass", dest="passes", default="all", choices=["forward", "data", "filter", "all"])
    parser.add_argument("--batch", type=int, help="pictures at once, instead of the table's")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=0.6, help="of measuring for each number")
    parser.add_argument("--roofline", default=ROOT / "target/release/examples/roofline", help="the built example")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the rows")
    return parser.parse_args()


def roofline(options, *arguments):
    """Runs the example and returns the list that it writes; the last argument is that of the file."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [options.roofline, "--net", options.net, *arguments, file.name]
        if options.batch:
            command += ["--batch", options.batch]
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
        return json.loads(pathlib.Path(file.name).read_text())


def ours(options, selection, which, seconds):
    """Returns the rows of all layers in a pass."""
    arguments = [*selection, "--pass", which, "--threads", options.threads, "--seconds", seconds]
    return roofline(options, *arguments, "--json")


def median(work, seconds):
    """Returns the milliseconds of a call, timed as examples/roofline/clock.rs takes them."""

    def sample(calls):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        return (time.perf_counter() - start) / calls

    work()
    once = sample(1)
    calls = int(200e-6 / once) + 1
    count = max(5, int(seconds / (once * calls)))
    return 1e3 * statistics.median(sample(calls) for _ in range(count))


def convolution(torch, shape, which, memory_format):
    """Returns a pass of a convolution as a function without arguments."""
    height, width, channels = shape["input"]
    kernel_h, kernel_w, group_channels, filters = shape["filter"]
    stride, padding, groups = [shape["stride"]] * 2, [shape["padding"]] * 2, shape["groups"]
    x = torch.rand(shape["batch"], channels, height, width).to(memory_format=memory_format)
    w = torch.rand(filters, group_channels, kernel_h, kernel_w).to(memory_format=memory_format)
    bias = torch.rand(filters)
    y = torch.nn.functional.conv2d(x, w, bias, stride, padding, 1, groups)
    if which == "forward":
        return lambda: torch.nn.functional.conv2d(x, w, bias, stride, padding, 1, groups)
    dy = torch.rand_like(y)
    mask = [which == "data", which == "filter", False]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(dy, x, w, None, stride, padding, [1, 1], False, [0, 0], groups, mask)


def dense(torch, shape, which):
    """Returns a pass of a fully connected layer as a function without arguments."""
    x = torch.rand(shape["batch"], shape["inputs"])
    w = torch.rand(shape["outputs"], shape["inputs"])
    dy = torch.rand(shape["batch"], shape["outputs"])
    return {
        "forward": lambda: torch.nn.functional.linear(x, w),
        "data": lambda: dy @ w,
        "filter": lambda: dy.t() @ x,
    }[which]


def theirs(torch, shape, which, seconds):
    """Returns the milliseconds of PyTorch in each of its ways."""
    if "inputs" in shape:
        return {"mm": median(dense(torch, shape, which), seconds)}
    formats = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}
    return {
        name: median(convolution(torch, shape, which, memory_format), seconds)
        for name, memory_format in formats.items()
    }


def geometric_mean(ratios):
    return math.exp(statistics.fmean(map(math.log, ratios)))


def side_by_side(rows, peers, version):
    """Returns a row of ours with PyTorch's beside it: medians over all rounds."""
    row = sorted(rows, key=lambda row: row["ms"])[len(rows) // 2]
    ways = {way: statistics.median(peer[way] for peer in peers) for way in peers[0]}
    way = min(ways, key=ways.get)
    ratios = [peer[way] / row["ms"] for row, peer in zip(rows, peers)]
    steady = max(ratios) < STEADY * min(ratios)
    peer = {"peer": f"PyTorch {version}", "peer_ms": ways[way], "peer_way": way, "steady": steady}
    return row | peer | {"ratio": statistics.median(ratios)}


def compare(options, torch, which):
    """Prints the table of a pass and returns its rows."""
    selection = ["--layer", options.layer] if options.layer else []
    shapes = roofline(options, *selection, "--shapes")
    seconds = options.seconds / ROUNDS
    rounds = [
        (ours(options, selection, which, seconds), [theirs(torch, shape, which, seconds) for shape in shapes])
        for _ in range(ROUNDS)
    ]
    print(f"\n### {options.net}, {which}, {options.threads} threads\n")
    print("| layer | batch | algorithm | ours, ms | of peak | PyTorch, ms | its way | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for index, shape in enumerate(shapes):
        mine, peers = [ours[index] for ours, _ in rounds], [theirs[index] for _, theirs in rounds]
        assert all(row["layer"] == shape["layer"] and row["batch"] == shape["batch"] for row in mine)
        row = side_by_side(mine, peers, torch.__version__) | {"count": shape["count"]}
        print(
            f"| {row['layer']} | {row['batch']} | {row['algorithm']} | {row['ms']:.3f} | {row['peak_share']:.2f} "
            f"| {row['peer_ms']:.3f} | {row['peer_way']} | {row['ratio']:.2f}{'' if row['steady'] else ' (unsteady)'} |",
            flush=True,
        )
        rows.append(row)
    if rows:
        ratios = [row["ratio"] for row in rows]
        print(f"\ngeometric mean {geometric_mean(ratios):.2f}, least {min(ratios):.2f}")
    return rows


def main():
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MALLOC)
    options = arguments()
    import torch

    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    passes = ["forward", "data", "filter"] if options.passes == "all" else [options.passes]
    rows = [row for which in passes for row in compare(options, torch, which)]
    convolutions = [row["ratio"] for row in rows if row["algorithm"] != "gemm"]
    if convolutions:
        print(f"\nall convolutions: geometric mean {geometric_mean(convolutions):.2f}, least {min(convolutions):.2f}")
    if options.json:
        options.json.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    main()
