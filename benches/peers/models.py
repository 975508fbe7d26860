#!/usr/bin/env python3
"""Times whole networks: steps of training and inference in PyTorch, and inference in ONNX Runtime, OpenVINO and ncnn, in turns with
the example `bench_models`.

Each library is timed in all its ways and its best one counts.
"""

import argparse
import contextlib
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from conv import MALLOC, ROOT

# Network, mode, batch.
TABLE = [
    ("lenet5", "train", 64),
    ("resnet20", "train", 128),
    ("alexnet", "train", 32),
    ("googlenet", "train", 16),
    ("resnet18", "train", 16),
    ("resnet50", "train", 16),
    ("vgg16", "train", 8),
    ("vgg16", "infer", 1),
    ("vgg16", "infer", 8),
    ("resnet18", "infer", 1),
    ("resnet18", "infer", 16),
    ("resnet50", "infer", 1),
    ("resnet50", "infer", 16),
    ("googlenet", "infer", 1),
    ("googlenet", "infer", 16),
    ("alexnet", "infer", 1),
    ("alexnet", "infer", 16),
    ("lenet5", "infer", 1),
    ("resnet20", "infer", 1),
    ("resnet20", "infer", 128),
    ("mobilenet_v2", "train", 16),
    ("mobilenet_v2", "infer", 1),
    ("mobilenet_v2", "infer", 16),
]
SAMPLES = {"lenet5": (1, 32), "resnet20": (3, 32)}
# Measurements of a row, ours and all of theirs in turns; then ours and the best of theirs, because a shared machine changes
# within seconds.
ROUNDS = 3
DUELS = 6


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", help="only this network")
    parser.add_argument("--mode", choices=["train", "infer"], help="only this mode")
    parser.add_argument("--batch", type=int, help="only this batch size")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=6.0, help="of measuring for each number")
    parser.add_argument("--compile", action="store_true", help="PyTorch also compiled, which takes minutes for each row")
    parser.add_argument("--bench", default=ROOT / "target/release/examples/bench_models", help="the built example")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the rows")
    return parser.parse_args()


def ours(options, net, mode, batch, steps):
    """Returns the row of the example."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        names = {"resnet20": "cifar_resnet20"}
        command = [options.bench, "--net", names.get(net, net), "--mode", mode, "--batch", batch]
        command += ["--threads", options.threads, "--json", file.name]
        command += ["--steps", steps] if steps else []
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
        return json.loads(pathlib.Path(file.name).read_text())


def torch_model(torch, net):
    import torchvision

    if net == "lenet5":
        nn = torch.nn
        return nn.Sequential(
            *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        )
    if net == "resnet20":
        return cifar_resnet(torch, 20)
    if net == "googlenet":
        return torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False)
    return getattr(torchvision.models, net)(weights=None)


def cifar_resnet(torch, depth):
    """A residual network of He et al. 2015, with zero-padded shortcuts."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.stride, self.added = stride, outputs - inputs

        def forward(self, x):
            y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
            if self.added:
                x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
            return functional.relu(y + x)

    blocks, inputs = [], 16
    for outputs in (16, 32, 64):
        for index in range((depth - 2) // 6):
            blocks.append(Block(inputs, outputs, 2 if index == 0 and outputs > 16 else 1))
            inputs = outputs
    stem = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def sample(net, batch):
    channels, size = SAMPLES.get(net, (3, 224))
    return batch, channels, size, size


def torch_ways(torch, net, mode, batch, compiled, only=None):
    """Returns a step in each memory format, by name, and one compiled; or in only one of them."""
    ways = {}
    formats = [("NCHW", torch.contiguous_format), ("channels last", torch.channels_last)]
    for name, memory_format in formats + ([("compiled", torch.contiguous_format)] if compiled else []):
        if only not in (None, name):
            continue
        model = torch_model(torch, net).to(memory_format=memory_format)
        model = torch.compile(model) if name == "compiled" else model
        x = torch.rand(*sample(net, batch)).to(memory_format=memory_format)
        if mode == "infer":
            model.eval()

            def step(model=model, x=x):
                with torch.inference_mode():
                    model(x)
        else:
            model.train()
            optimizer = torch.optim.SGD(model.parameters(), lr=1e-9, momentum=0.9, weight_decay=1e-4, fused=True)
            labels = torch.arange(batch) % 10

            def step(model=model, x=x, optimizer=optimizer, labels=labels):
                optimizer.zero_grad(set_to_none=True)
                torch.nn.functional.cross_entropy(model(x), labels).backward()
                optimizer.step()

        ways[f"PyTorch {torch.__version__}, {name}"] = step
    return ways


def other_ways(torch, net, batch, threads):
    """Returns a step of inference in ONNX Runtime and OpenVINO, where they are installed."""
    import numpy

    ways = {}
    model = torch_model(torch, net).eval()
    x = torch.rand(*sample(net, batch))
    data = numpy.ascontiguousarray(x.numpy())
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "model.onnx"
        try:
            import onnxruntime

            torch.onnx.export(model, (x,), str(file), dynamo=False, input_names=["input"])
            settings = onnxruntime.SessionOptions()
            settings.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
            ways[f"ONNX Runtime {onnxruntime.__version__}"] = lambda: session.run(None, {"input": data})
        except ImportError:
            pass
        try:
            import openvino

            core = openvino.Core()
            hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
            compiled = core.compile_model(str(file), "CPU", hints)
            request = compiled.create_infer_request()
            ways[f"OpenVINO {openvino.__version__.split('-')[0]}"] = lambda: request.infer([data])
        except (ImportError, RuntimeError):
            pass
        # Runs image by image.
        if batch == 1:
            try:
                ways |= ncnn_ways(torch, model, x, folder, threads)
            except ImportError:
                pass
    return ways


def ncnn_ways(torch, model, x, folder, threads):
    """Returns a step of inference in ncnn, converted by pnnx; none where its results differ."""
    import ncnn
    import numpy
    import pnnx

    file = pathlib.Path(folder) / "ncnn_model.pt"
    # What it writes for PyTorch, and then reads, names the parts of a `Sequential` by numbers; ncnn's files are there by then.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SyntaxError):
        pnnx.export(model, str(file), (x,), fp16=False)
    net = ncnn.Net()
    net.opt.num_threads = threads
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    files = [file.with_suffix(suffix) for suffix in (".ncnn.param", ".ncnn.bin")]
    if not all(map(pathlib.Path.exists, files)) or net.load_param(str(files[0])) or net.load_model(str(files[1])):
        return {}
    if list(net.input_names()) != ["in0"] or list(net.output_names()) != ["out0"]:
        return {}
    # A copy by ncnn: a `Mat` of an array does not keep the array alive.
    picture = ncnn.Mat(x[0].numpy()).clone()

    def step():
        extractor = net.create_extractor()
        extractor.input("in0", picture)
        return extractor.extract("out0")

    with torch.inference_mode():
        expected = model(x).numpy().ravel()
    status, answer = step()
    answer = numpy.array(answer).ravel()
    same = status == 0 and answer.shape == expected.shape and numpy.allclose(answer, expected, rtol=0.01, atol=0.01)
    return {f"ncnn {ncnn.__version__}": step} if same else {}


def milliseconds(step, seconds):
    """Returns the median and the best time of a step."""
    step()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    return 1e3 * statistics.median(times), 1e3 * min(times)


def side_by_side(options, torch, net, mode, batch):
    ways = torch_ways(torch, net, mode, batch, options.compile)
    if mode == "infer":
        ways |= other_ways(torch, net, batch, options.threads)
    seconds = options.seconds / ROUNDS
    steps = max(3, int(1e3 * seconds / ours(options, net, mode, batch, 1)["ms"]))

    def turn(names):
        row = ours(options, net, mode, batch, steps)
        return row, {way: milliseconds(ways[way], seconds) for way in names}

    rounds = [turn(ways) for _ in range(ROUNDS)]
    peers = {way: statistics.median(theirs[way][0] for _, theirs in rounds) for way in ways}
    peer = min(peers, key=peers.get)
    turns = rounds + [turn([peer]) for _ in range(DUELS)]
    best = {way: min(theirs[way][1] for _, theirs in turns if way in theirs) for way in ways}
    row = sorted((row for row, _ in turns), key=lambda row: row["ms"])[len(turns) // 2]
    row["ms_best"] = min(row["ms_best"] for row, _ in turns)
    ratio = statistics.median(theirs[peer][0] / row["ms"] for row, theirs in turns)
    peer_ms = statistics.median(theirs[peer][0] for _, theirs in turns)
    theirs = {"peers_ms": peers, "peers_ms_best": best, "peer": peer, "peer_ms": peer_ms}
    return row | {"net": net} | theirs | {"ratio": ratio, "ratio_best": min(best.values()) / row["ms_best"]}


def main():
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MALLOC)
    options = arguments()
    import torch

    torch.set_num_threads(options.threads)
    chosen = {"net": options.net, "mode": options.mode, "batch": options.batch}
    rows = []
    print("| network | mode | batch | ours, ms | best other, ms | which | ratio | ratio of the best steps |")
    print("|---|---|---|---|---|---|---|---|")
    for net, mode, batch in TABLE:
        if any(chosen[key] not in (None, value) for key, value in {"net": net, "mode": mode, "batch": batch}.items()):
            continue
        row = side_by_side(options, torch, net, mode, batch)
        numbers = f"{row['ms']:.2f} | {row['peer_ms']:.2f} | {row['peer']} | {row['ratio']:.2f} | {row['ratio_best']:.2f}"
        print(f"| {net} | {mode} | {batch} | {numbers} |", flush=True)
        rows.append(row)
    if options.json:
        options.json.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    main()
