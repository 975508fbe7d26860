#!/usr/bin/env python3
"""Measures how far a training step of very deep networks is from float64: PyTorch's in float32, in both layouts, and ours at both precisions.

Weights and input are functions of their names, as `tests/networks.rs` has them. The loss of one pair of labels is one value of many, and
near or far by luck; so its error is the root of the mean square over several pairs. The gradient of the last matrix has two million
values and needs one.
"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file, save_file

ALL = (1 << 64) - 1
SIZE = 224


def unit(name, count):
    """Returns the first values of the stream of a name, in [0, 1): splitmix64, seeded by FNV-1a."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & ALL
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) / 2**24


def sym(name, count):
    return 2 * unit(name, count) - 1


def weights(network):
    """Returns parameters by the rule of the reference: the spread of He et al. with a fan-in, 0.5 to 1.5 for scales, small values else."""

    def value(name, tensor):
        if name.endswith("num_batches_tracked"):
            return tensor
        count = tensor.numel()
        if tensor.dim() > 1:
            numbers = sym(name, count) * np.sqrt(6 / np.prod(tensor.shape[1:]))
        elif name.endswith(("weight", "running_var")):
            numbers = 0.5 + unit(name, count)
        else:
            numbers = 0.1 * sym(name, count)
        return torch.tensor(numbers.astype(np.float32)).reshape(tensor.shape)

    return {name: value(name, tensor) for name, tensor in network.state_dict().items()}


def in_pytorch(name, state, x, pairs, dtype, layout):
    """Returns the losses of all pairs, and the gradient of the last matrix for the first."""
    network = getattr(torchvision.models, name)(weights=None)
    network.load_state_dict(state)
    network = network.to(dtype=dtype, memory_format=layout).train()
    logits = network(x.to(dtype=dtype, memory_format=layout))
    losses = [torch.nn.functional.cross_entropy(logits, pair) for pair in pairs]
    losses[0].backward(inputs=[network.fc.weight])
    return [loss.item() for loss in losses], network.fc.weight.grad.double()


def ours(name, folder, x, pairs, options):
    losses, gradient = [], None
    for pair in pairs:
        save_file({"input": x, "labels": pair.int()}, folder / "input.safetensors")
        files = ["--weights", folder / "weights.safetensors", "--input", folder / "input.safetensors", "--output", folder / "output.safetensors"]
        subprocess.run(["target/release/examples/infer", "--net", name, *files, "--grad", *options], check=True, stdout=subprocess.DEVNULL)
        results = load_file(folder / "output.safetensors")
        losses.append(results["loss"].item())
        gradient = results["grad.fc.weight"].double() if gradient is None else gradient
    return losses, gradient


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", action="append", help="resnet50, resnet101 and resnet152 unless said otherwise")
    parser.add_argument("--pairs", type=int, default=8, help="pairs of labels")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    pairs = [torch.tensor([3, 40])] + [torch.randint(0, 1000, (2,), generator=generator) for _ in range(options.pairs - 1)]
    x = torch.tensor(sym("input", 2 * 3 * SIZE * SIZE).astype(np.float32)).reshape(2, 3, SIZE, SIZE)
    print("| network | way | loss off | gradient of `fc.weight` off |\n|---|---|---|---|")
    for name in options.net or ["resnet50", "resnet101", "resnet152"]:
        state = weights(getattr(torchvision.models, name)(weights=None))
        exact, exact_gradient = in_pytorch(name, state, x, pairs, torch.float64, torch.contiguous_format)

        def row(way, losses, gradient):
            off = [(loss - true) / true for loss, true in zip(losses, exact)]
            part = (gradient - exact_gradient).norm() / exact_gradient.norm()
            print(f"| {name} | {way} | {np.sqrt(np.mean(np.square(off))):.1e} | {part:.1e} |", flush=True)

        row("PyTorch, NCHW", *in_pytorch(name, state, x, pairs, torch.float32, torch.contiguous_format))
        row("PyTorch, channels last", *in_pytorch(name, state, x, pairs, torch.float32, torch.channels_last))
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            save_file({key: tensor for key, tensor in state.items() if tensor.dim()}, folder / "weights.safetensors")
            row("ours, strict", *ours(name, folder, x, pairs, ["--precision", "strict", "--threads", str(options.threads)]))
            row("ours, fast", *ours(name, folder, x, pairs, ["--threads", str(options.threads)]))


if __name__ == "__main__":
    main()
