"""Writes the reference results of Pillow that the tests compare with: source.ppm and resized.bin.

    python make.py IMAGE

IMAGE is any photograph; the files in this folder were made from `cat_chelsea.jpg`.
"""
import sys
from pathlib import Path
from PIL import Image

here = Path(__file__).parent
source = Image.open(sys.argv[1]).convert("RGB").resize((24, 16), Image.Resampling.BOX)
source.save(here / "source.ppm")

# Rows and columns, as in the test.
sizes = [(11, 17), (5, 9), (7, 24), (16, 13), (20, 30), (40, 9)]
with open(here / "resized.bin", "wb") as out:
    for filter in Image.Resampling.BILINEAR, Image.Resampling.BICUBIC:
        for height, width in sizes:
            out.write(source.resize((width, height), filter).tobytes())
