"""Writes the reference results that the tests compare with, of Pillow (resized.bin) and of torchvision (operations.bin).

    python make.py IMAGE

IMAGE is any photograph; the files in this folder were made from `cat_chelsea.jpg`, with Pillow and torchvision's `v2`.
"""
import math
import sys
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

here = Path(__file__).parent
source = Image.open(sys.argv[1]).convert("RGB").resize((24, 16), Image.Resampling.BOX)
source.save(here / "source.ppm")

# Rows and columns, as in the test of `resize.rs`.
sizes = [(11, 17), (5, 9), (7, 24), (16, 13), (20, 30), (40, 9)]
with open(here / "resized.bin", "wb") as out:
    for filter in Image.Resampling.BILINEAR, Image.Resampling.BICUBIC:
        for height, width in sizes:
            out.write(source.resize((width, height), filter).tobytes())

x = F.pil_to_tensor(source)
bilinear = {"interpolation": InterpolationMode.BILINEAR}


def affine(angle=0.0, translate=(0, 0), scale=1.0, shear=(0.0, 0.0), **more):
    return F.affine(x, angle, list(translate), scale, list(shear), **bilinear, **more)


# In the order of the test of `operation.rs`.
operations = [
    F.horizontal_flip(x),
    F.vertical_flip(x),
    affine(angle=30.0),
    affine(translate=(3, -2)),
    affine(scale=1.3),
    affine(shear=(20.0, 0.0)),
    affine(shear=(0.0, -15.0)),
    affine(angle=-40.0, translate=(2, 1), scale=0.8, shear=(10.0, 5.0)),
    affine(angle=30.0, fill=[200.0, 30.0, 90.0]),
    affine(shear=(math.degrees(math.atan(0.27)), 0.0), center=[0, 0]),
    affine(shear=(0.0, math.degrees(math.atan(-0.27))), center=[0, 0]),
    F.perspective(x, [[0, 0], [23, 0], [23, 15], [0, 15]], [[3, 2], [21, 1], [19, 12], [4, 14]], **bilinear),
    F.adjust_brightness(x, 0.4),
    F.adjust_brightness(x, 1.7),
    F.adjust_contrast(x, 0.4),
    F.adjust_contrast(x, 1.7),
    F.adjust_saturation(x, 0.3),
    F.adjust_saturation(x, 1.8),
    F.adjust_hue(x, 0.2),
    F.adjust_hue(x, -0.35),
    F.rgb_to_grayscale(x, num_output_channels=3),
    F.invert(x),
    F.adjust_gamma(x, 0.5),
    F.adjust_gamma(x, 2.2),
    F.posterize(x, 3),
    F.solarize(x, 110),
    F.equalize(x),
    F.autocontrast(x),
    F.adjust_sharpness(x, 0.2),
    F.adjust_sharpness(x, 2.5),
    F.gaussian_blur(x, [5, 5], [1.1, 1.1]),
    F.erase(x, 4, 7, 6, 9, torch.tensor([10, 200, 30], dtype=torch.uint8)[:, None, None]),
]
with open(here / "operations.bin", "wb") as out:
    for image in operations:
        out.write(image.permute(1, 2, 0).contiguous().numpy().tobytes())
