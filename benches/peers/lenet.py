#!/usr/bin/env python3
"""Times LeNet-5 (modern) end to end: a training step at batch 64 in PyTorch and inference at batch 1 in ONNX Runtime, beside
the medians of `cargo bench --bench lenet`, which is run just before.

Each library is timed in all its ways and its best one counts.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess

from conv import ROOT, median

CLASSES = 10


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=1.0, help="of measuring for each number")
    parser.add_argument("--no-compile", action="store_true", help="leaves out torch.compile, which needs a C++ compiler")
    return parser.parse_args()


def ours():
    """Returns milliseconds by bench id, such as `lenet_train/modern/b64/avx2/t2`."""
    command = ["cargo", "bench", "--quiet", "--bench", "lenet", "--", "--quiet", "modern"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    results = {}
    for path in (ROOT / "target/criterion").glob("lenet_*/modern_*/new/benchmark.json"):
        benchmark = json.loads(path.read_text())
        estimates = json.loads(path.with_name("estimates.json").read_text())
        results[benchmark["full_id"]] = estimates["median"]["point_estimate"] / 1e6
    return results


def torch_model(torch):
    nn = torch.nn
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES)),
    )


def torch_step(torch, memory_format, compiled):
    """Returns a step of training (forward, loss, backward, SGD with momentum) as a function without arguments."""
    model = torch_model(torch).to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9, momentum=0.9, fused=True)
    x = torch.rand(64, 1, 32, 32).to(memory_format=memory_format)
    labels = torch.arange(64) % CLASSES

    def loss_and_gradients():
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        return loss

    forward_and_backward = torch.compile(loss_and_gradients) if compiled else loss_and_gradients

    def step():
        optimizer.zero_grad(set_to_none=True)
        forward_and_backward()
        optimizer.step()

    return step


def train_in_torch(options):
    import torch

    results = {}
    formats = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}
    compilations = [False] if options.no_compile else [False, True]
    for threads, name, compiled in itertools.product({1, options.threads}, formats, compilations):
        torch.set_num_threads(threads)
        way = f"{name}{', compiled' if compiled else ''}, {threads} threads"
        try:
            results[way] = median(torch_step(torch, formats[name], compiled), options.seconds)
        except Exception as error:
            print(f"{way}: {type(error).__name__}: {str(error).splitlines()[0]}")
    return f"PyTorch {torch.__version__}", results


def onnx_model():
    """Returns the network with untrained weights."""
    import numpy
    from onnx import TensorProto, helper, numpy_helper

    random = numpy.random.default_rng(0)
    weights, nodes = [], []

    def parameter(name, *shape):
        weights.append(numpy_helper.from_array(random.normal(0, 0.1, shape).astype(numpy.float32), name))
        return name

    def node(operator, x, *parameters, **attributes):
        y = f"{operator}{len(nodes)}"
        nodes.append(helper.make_node(operator, [x, *parameters], [y], **attributes))
        return y

    def convolution(x, name, inputs, outputs):
        w, b = parameter(f"{name}.weight", outputs, inputs, 5, 5), parameter(f"{name}.bias", outputs)
        return node("Relu", node("Conv", x, w, b, kernel_shape=[5, 5]))

    def pool(x):
        return node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])

    x = pool(convolution("input", "c1", 1, 6))
    x = pool(convolution(x, "c3", 6, 16))
    x = node("Flatten", convolution(x, "c5", 16, 120))
    x = node("Relu", node("Gemm", x, parameter("f6.weight", 120, 84), parameter("f6.bias", 84)))
    y = node("Gemm", x, parameter("output.weight", 84, CLASSES), parameter("output.bias", CLASSES))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "lenet5",
        [value("input", TensorProto.FLOAT, [1, 1, 32, 32])],
        [value(y, TensorProto.FLOAT, [1, CLASSES])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def infer_in_onnx_runtime(options):
    import numpy
    import onnxruntime

    model = onnx_model().SerializeToString()
    x = {"input": numpy.random.default_rng(1).random((1, 1, 32, 32), dtype=numpy.float32)}
    results = {}
    for threads in sorted({1, options.threads}):
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        results[f"{threads} threads"] = median(lambda: session.run(None, x), options.seconds)
    return f"ONNX Runtime {onnxruntime.__version__}", results


def main():
    options = arguments()
    mine = ours()
    for group, (peer, theirs) in {
        "lenet_train/modern/b64": train_in_torch(options),
        "lenet_infer/modern/b1": infer_in_onnx_runtime(options),
    }.items():
        print(f"\n### {group}\n\n| what | ms |\n|---|---|")
        here = {name: ms for name, ms in mine.items() if name.startswith(f"{group}/")}
        for name, ms in [*sorted(here.items()), *((f"{peer}, {way}", ms) for way, ms in theirs.items())]:
            print(f"| {name} | {ms:.4f} |")
        print(f"\nbest to best: {min(theirs.values()) / min(here.values()):.2f} times as fast as {peer}")


if __name__ == "__main__":
    main()
