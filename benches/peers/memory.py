#!/usr/bin/env python3
"""Measures the peak memory of training steps: PyTorch's, less what it holds before it has a model, beside the example `bench_models`.

Both are what the operating system counts (the largest resident set, less pages of the program's own files), each in a
process of its own, with PyTorch's usual `malloc`.
"""

import json
import subprocess
import sys

from models import TABLE, arguments, ours, torch_ways

STEPS = 3


def peak_bytes():
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    return 1024 * (int(status["VmHWM"].split()[0]) - int(status["RssFile"].split()[0]))


def measure(net, batch, way, threads):
    """Prints the bytes before there is a model, and the most of some steps."""
    import torch
    import torchvision  # noqa: F401, which counts as what PyTorch holds anyway

    torch.set_num_threads(threads)
    torch.nn.functional.conv2d(torch.rand(1, 3, 8, 8), torch.rand(4, 3, 3, 3))
    before = peak_bytes()
    steps = torch_ways(torch, net, "train", batch, False, only=way)
    for _ in range(STEPS):
        for step in steps.values():
            step()
    print(json.dumps([before, peak_bytes()]))


def main():
    options = arguments()
    print("| network | batch | ours predicted, MB | ours, MB | PyTorch, NCHW | channels last | PyTorch / ours |")
    print("|---|---|---|---|---|---|---|")
    for net, mode, batch in TABLE:
        if mode != "train" or options.net not in (None, net) or options.batch not in (None, batch):
            continue
        row = ours(options, net, mode, batch, STEPS)
        theirs = []
        for way in ("NCHW", "channels last"):
            command = [sys.executable, __file__, "--measure", net, str(batch), way, str(options.threads)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            before, most = json.loads(output.splitlines()[-1])
            theirs.append((most - before) / 1e6)
        predicted, measured = row["peak_bytes_predicted"] / 1e6, row["rss_bytes"] / 1e6
        ratio = min(theirs) / measured
        print(f"| {net} | {batch} | {predicted:.0f} | {measured:.0f} | {theirs[0]:.0f} | {theirs[1]:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        name, size, layout, count = sys.argv[2:]
        measure(name, int(size), layout, int(count))
    else:
        main()
