"""Writes reference values of torchvision's networks, computed in float64, for tests/networks.rs.

    python tests/reference/networks.py > tests/reference/networks.json

Needs torch and torchvision. No weights are used: every number is a function of its name (tests/reference/names.rs), in
PyTorch's row-major order. A weight of two or more dimensions is sym(name) · √(6 / fan_in); a scale or a running variance is
0.5 + unit(name); everything else is 0.1 · sym(name). The input is sym("input"). A gradient is given as its norm and its inner
product with sym("probe." + name); errors of one whose norm is below the floor are judged against the floor.
"""

import json
import math

import numpy
import torch
import torchvision

NETWORKS = ["densenet121", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0"]
CLASSES, BATCH, SIZE = 10, 2, 64
LABELS = [3, 8]


def unit(name, shape):
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    count = math.prod(shape)
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z ^= z >> numpy.uint64(31)
    numbers = (z >> numpy.uint64(40)).astype(numpy.float32) / numpy.float32(2**24)
    return torch.from_numpy(numbers.reshape(tuple(shape)))


def sym(name, shape):
    return 2 * unit(name, shape) - 1


def value(name, shape):
    if len(shape) >= 2:
        return sym(name, shape) * numpy.float32(math.sqrt(6 / math.prod(shape[1:])))
    if name.endswith("bias") or name.endswith("running_mean"):
        return numpy.float32(0.1) * sym(name, shape)
    return 0.5 + unit(name, shape)


def made(name, dtype):
    network = getattr(torchvision.models, name)(weights=None, num_classes=CLASSES)
    state = {key: old if key.endswith("num_batches_tracked") else value(key, old.shape) for key, old in network.state_dict().items()}
    network.load_state_dict(state)
    for module in network.modules():
        if isinstance(module, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
            module.p = 0.0
    return network.to(dtype)


def step(name, dtype):
    network = made(name, dtype)
    x = sym("input", [BATCH, 3, SIZE, SIZE]).to(dtype).requires_grad_()
    with torch.no_grad():
        logits = network.eval()(x)
    loss = torch.nn.functional.cross_entropy(network.train()(x), torch.tensor(LABELS))
    loss.backward()
    return logits, loss, x.grad, {key: parameter.grad for key, parameter in network.named_parameters()}


def described(name, gradient):
    gradient = gradient.double()
    probe = (gradient * sym("probe." + name, gradient.shape).double()).sum()
    return {"norm": rounded(gradient.norm()), "probe": rounded(probe)}


def rounded(number):
    return float(f"{float(number.detach()):.9g}")


def error(got, expected, floor=0.0):
    return rounded((got.double() - expected).norm() / expected.norm().clamp_min(floor))


def case(name):
    logits, loss, of_input, of_parameters = step(name, torch.float64)
    _, _, input32, parameters32 = step(name, torch.float32)
    # Shifts that a normalisation behind them takes away have gradients of rounding errors alone.
    floor = rounded(1e-3 * torch.stack([gradient.norm() for gradient in of_parameters.values()]).median())
    worst = max(error(parameters32[key], gradient, floor) for key, gradient in of_parameters.items())
    return {
        "network": name,
        "classes": CLASSES,
        "batch": BATCH,
        "size": SIZE,
        "parameters": sum(gradient.numel() for gradient in of_parameters.values()),
        "labels": LABELS,
        "eval_logits": [[rounded(number) for number in row] for row in logits],
        "train_loss": rounded(loss),
        "grad_input": described("input", of_input),
        "gradient_floor": floor,
        "grad_parameters": {key: described(key, gradient) for key, gradient in of_parameters.items()},
        "torch_f32_relative_error": {"grad_parameters_worst": worst, "grad_input": error(input32, of_input)},
    }


print("[\n" + ",\n".join(json.dumps(case(name)) for name in NETWORKS) + "\n]")
