"""Writes torchvision's networks as ONNX files by both of PyTorch's exporters, with what PyTorch computes.

    pip install torch torchvision onnx onnxscript safetensors
    python tests/python/torchvision_onnx.py FOLDER
    OCELLI_ONNX=FOLDER cargo test --workspace --test networks -- --nocapture

Weights and running statistics are random; images are small, but for networks that want one size.
"""

import sys
from pathlib import Path

import torch
import torchvision
from safetensors.torch import save_file

NAMES = ["resnet18", "mobilenet_v2", "efficientnet_b0", "densenet121", "googlenet", "squeezenet1_1", "vgg11_bn"]


def network(name):
    settings = {"init_weights": True, "aux_logits": False} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(weights=None, **settings).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.05)
            module.running_var.uniform_(0.8, 1.2)
    return model


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for name in NAMES:
        model, size = network(name), 224 if name == "vgg11_bn" else 64
        x = torch.randn(2, 3, size, size)
        with torch.no_grad():
            y = model(x).contiguous()
        save_file({"x": x, "y": y}, folder / f"{name}.safetensors")
        batch = torch.export.Dim("batch")
        torch.onnx.export(
            model, (x,), folder / f"{name}-export.onnx", dynamo=True, external_data=False, dynamic_shapes=({0: batch},)
        )
        torch.onnx.export(
            model,
            (x,),
            folder / f"{name}-script.onnx",
            dynamo=False,
            input_names=["input"],
            output_names=["scores"],
            dynamic_axes={"input": {0: "batch"}, "scores": {0: "batch"}},
        )
        print(name, flush=True)


main(Path(sys.argv[1]))
