"""What PyTorch makes of the same features: the head of SqueezeNet 1.1 and of ResNet-18 to layer3, trained alone.

    python benches/peers/transfer.py DATA [--size 224] [--seeds 3]

DATA has `weights/` and `transfer/flowers/`. Networks are written out here, so that only torch, safetensors and Pillow are
needed. Preparation, optimiser, schedule and epochs are those of the example `transfer --mode head`.
"""
import argparse
import math
import time
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def images(folder, size, prepare):
    """Tensors and labels of `folder/CLASS/*.jpg`, classes in the order of their names."""
    batch, labels = [], []
    for label, name in enumerate(sorted(p.name for p in folder.iterdir() if p.is_dir())):
        for path in sorted((folder / name).glob("*.jpg")):
            batch.append(prepare(Image.open(path).convert("RGB"), size))
            labels.append(label)
    return torch.stack(batch), torch.tensor(labels)


def imagenet(image, size):
    side = math.ceil(size * 256 / 224)
    scale = side / min(image.size)
    image = image.resize([int(scale * s) for s in image.size], Image.BILINEAR)
    left, top = [(s - size) // 2 for s in image.size]
    pixels = numpy.asarray(image.crop((left, top, left + size, top + size)), dtype="float32") / 255
    return torch.from_numpy((pixels - numpy.float32(MEAN)) / numpy.float32(DEVIATION)).permute(2, 0, 1)


def caffe(image, size):
    pixels = numpy.asarray(image.resize((size, size), Image.BILINEAR), dtype="float32")[:, :, ::-1]
    return torch.from_numpy(pixels - numpy.float32([104, 117, 123])).permute(2, 0, 1)


def squeezenet(w, x):
    def conv(name, x, **settings):
        return F.relu(F.conv2d(x, w[name + ".weight"], w[name + ".bias"], **settings))

    def fire(number, x):
        x = conv(f"fire{number}.squeeze", x)
        return torch.cat([conv(f"fire{number}.expand1x1", x), conv(f"fire{number}.expand3x3", x, padding=1)], 1)

    def pool(x):
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    x = pool(conv("conv1", x, stride=2))
    x = pool(fire(3, fire(2, x)))
    x = pool(fire(5, fire(4, x)))
    return fire(9, fire(8, fire(7, fire(6, x))))


def resnet18_to_layer3(w, x):
    def conv(name, x, stride=1):
        weight = w[name + ".weight"]
        return F.conv2d(x, weight, w[name + ".bias"], stride=stride, padding=weight.shape[-1] // 2)

    x = F.max_pool2d(F.relu(conv("conv1", x, 2)), 3, 2, 1)
    for layer in (1, 2, 3):
        for block in (0, 1):
            name, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            shortcut = conv(name + ".downsample.0", x, stride) if f"{name}.downsample.0.weight" in w else x
            x = F.relu(conv(name + ".conv2", F.relu(conv(name + ".conv1", x, stride))) + shortcut)
    return x.mean((2, 3))


def features(network, weights, x):
    with torch.no_grad():
        return torch.cat([network(weights, part) for part in x.split(50)])


def train(head, train, val, seed, epochs=40, batch=32, rate=1e-3):
    torch.manual_seed(seed)
    model = head()
    optimiser = torch.optim.Adam(model.parameters(), rate)
    steps = math.ceil(len(train[1]) / batch)

    def factor(step):
        time = step / steps
        return time if time < 1 else (1 + math.cos(math.pi * (time - 1) / (epochs - 1))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    for _ in range(epochs):
        for rows in torch.randperm(len(train[1])).split(batch):
            optimiser.zero_grad()
            F.cross_entropy(model(train[0][rows]), train[1][rows]).backward()
            optimiser.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        return (model(val[0]).argmax(1) == val[1]).float().mean().item()


class SqueezeNetHead(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(512, 5, 1)
        torch.nn.init.normal_(self.conv.weight, std=0.01)
        torch.nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        return F.relu(self.conv(F.dropout(x, 0.5, self.training))).mean((2, 3))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    flowers, weights = arguments.data / "transfer/flowers", arguments.data / "weights"
    trunk = lambda: torch.nn.Linear(256, 5)
    cases = [
        ("ResNet-18 to layer3", "resnet18-imagenet-to-layer3-bnfolded", imagenet, resnet18_to_layer3, trunk, 3e-2),
        ("SqueezeNet 1.1", "squeezenet1_1-imagenet", caffe, squeezenet, SqueezeNetHead, 1e-3),
    ]
    for name, file, prepare, network, head, rate in cases:
        started = time.time()
        w = load_file(weights / f"{file}.safetensors")
        parts = []
        for part in ("train", "val"):
            x, labels = images(flowers / part, arguments.size, prepare)
            parts.append((features(network, w, x), labels))
        shown = [f"{100 * train(head, *parts, seed, rate=rate):.1f}" for seed in range(arguments.seeds)]
        print(f"{name}, {arguments.size} px: {', '.join(shown)} % ({time.time() - started:.0f} s)", flush=True)


main()
