"""Images a second that torchvision's `v2` decodes, crops, mirrors and normalises on one core, beside the example `loader_bench`.

    python loader.py photo.jpg
"""
import sys
import time

import torch
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

torch.set_num_threads(1)
encoded = torch.frombuffer(bytearray(open(sys.argv[1], "rb").read()), dtype=torch.uint8)
pipeline = v2.Compose([
    v2.RandomResizedCrop(224, antialias=True),
    v2.RandomHorizontalFlip(),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
])


def rate(work, seconds=2.0):
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        work()
        count += 1
    return count / (time.perf_counter() - started)


decode = lambda: decode_jpeg(encoded, ImageReadMode.RGB)
image = decode()
for _ in range(3):
    both = lambda: pipeline(decode())
    print(f"decoded {rate(decode):6.0f}  augmented {rate(lambda: pipeline(image)):6.0f}  both {rate(both):6.0f}")
