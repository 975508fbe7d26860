#!/usr/bin/env python3
"""Times a step of style transfer (Gatys et al. 2015) on the pixels of an image: forward, backward and an update by Adam, in PyTorch in
both layouts, in turns with the example `style`.

The costs and layers are those of the preset `gatys`: content in relu4_2, style in the first activation of each stage, average pooling.
Without --weights it is VGG-19 to conv5_1 with random filters, with them the cut VGG of the file (as `vgg_normalised_conv3_1`), whose
deepest layer then also has the content. Images are noise: the time of a step does not depend on them.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from conv import MALLOC, ROOT

STAGES = [(2, 64), (2, 128), (4, 256), (4, 512), (1, 512)]
ROUNDS = 3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=384, help="longer side in pixels; the image is 4 : 3")
    parser.add_argument("--steps", type=int, default=20, help="of each measurement")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--weights", type=pathlib.Path, help="a normalised VGG-19, cut anywhere (safetensors)")
    parser.add_argument("--bench", default=ROOT / "target/release/examples/style", help="the built example")
    return parser.parse_args()


def filters(torch, weights):
    """Returns the filters of each stage, and whether images are padded by reflection."""
    if weights is None:
        torch.manual_seed(0)
        stages, inputs = [], 3
        for count, outputs in STAGES:
            stage = []
            for _ in range(count):
                stage.append((torch.randn(outputs, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5, torch.zeros(outputs)))
                inputs = outputs
            stages.append(stage)
        return stages, "constant"
    from safetensors.torch import load_file

    found = load_file(weights)
    names = sorted({name.rsplit(".", 1)[0] for name in found if re.search(r"conv\d_\d", name)})
    numbers = sorted({re.search(r"conv(\d)_\d", name).group(1) for name in names})
    of_stage = lambda number: [name for name in names if f"conv{number}_" in name]
    return [[(found[name + ".weight"], found[name + ".bias"]) for name in of_stage(number)] for number in numbers], "reflect"


def torch_step(torch, stages, padding, size, layout):
    """Returns a function that takes one step."""
    F = torch.nn.functional
    stages = [[(w.to(memory_format=layout), b) for w, b in stage] for stage in stages]

    def activations(x):
        x, firsts, content = x * 255 - 117, [], None
        for number, stage in enumerate(stages):
            if number > 0:
                x = F.avg_pool2d(x, 2, 2, ceil_mode=padding == "reflect")
            for place, (w, b) in enumerate(stage):
                x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), w, b) if padding == "reflect" else F.conv2d(x, w, b, padding=1))
                if place == 0:
                    firsts.append(x)
                if (number, place) == (3, 1):
                    content = x
        return firsts, content if content is not None else x

    def gram(x):
        rows = x.flatten(2)[0]
        return rows @ rows.T / rows.numel()

    shape = (1, 3, size * 3 // 4, size)
    with torch.no_grad():
        firsts, _ = activations(torch.rand(shape).to(memory_format=layout))
        style = [gram(x) for x in firsts]
        content = activations(torch.rand(shape).to(memory_format=layout))[1]
    image = torch.rand(shape).to(memory_format=layout).requires_grad_()
    adam = torch.optim.Adam([image], 0.02)

    def step():
        adam.zero_grad()
        firsts, deep = activations(image)
        cost = (deep - content).square().sum() / 2
        for x, target in zip(firsts, style):
            cost = cost + 1e8 * 0.2 / 4 * (gram(x) - target).square().sum()
        cost.backward()
        adam.step()
        with torch.no_grad():
            image.clamp_(0, 1)

    return step


def seconds_of(step, steps):
    step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - started) / steps


def ours(options, folder, image):
    """Returns the seconds of a step between the first and the last, by the times that the example prints."""
    command = [str(options.bench), "--content", image, "--style", image, "--size", str(options.size), "--init", "noise"]
    command += ["--optimizer", "adam", "--steps", str(options.steps), "--threads", str(options.threads), "--out", f"{folder}/out.png"]
    if options.weights is not None:
        command += ["--weights", str(options.weights)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    times = [(int(number), float(seconds)) for number, seconds in re.findall(r"step +(\d+) of .* ([\d.]+) s", output)]
    (first, begin), (last, end) = times[0], times[-1]
    return (end - begin) / (last - first)


def main():
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MALLOC)
    options = arguments()
    import torch
    from PIL import Image

    torch.set_num_threads(options.threads)
    stages, padding = filters(torch, options.weights)
    layouts = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}
    steps = {name: torch_step(torch, stages, padding, options.size, layout) for name, layout in layouts.items()}
    measured = {name: [] for name in ["ours", *steps]}
    with tempfile.TemporaryDirectory() as folder:
        image = f"{folder}/noise.png"
        Image.effect_noise((options.size, options.size * 3 // 4), 64).convert("RGB").save(image)
        for _ in range(ROUNDS):
            measured["ours"].append(ours(options, folder, image))
            for name, step in steps.items():
                measured[name].append(seconds_of(step, options.steps))
    medians = {name: statistics.median(seconds) for name, seconds in measured.items()}
    theirs = min(medians[name] for name in steps)
    print("| size | threads | ours, ms | PyTorch, NCHW | channels last | PyTorch / ours |")
    print("|---|---|---|---|---|---|")
    row = [f"{1000 * medians[name]:.0f}" for name in ("ours", *steps)]
    print(f"| {options.size} | {options.threads} | {' | '.join(row)} | {theirs / medians['ours']:.2f} |")
    print(f"1,000 steps: {1000 / 60 * medians['ours']:.1f} minutes")


if __name__ == "__main__":
    main()
