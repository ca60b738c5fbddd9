#!/usr/bin/python3
"""Makes jpeg/: one small picture in every form of JPEG, by cjpeg (libjpeg-turbo-progs) and python3-pil."""
import pathlib
import subprocess
import tempfile

import numpy as np
from PIL import Image

W, H = 64, 48
x, y = np.meshgrid(np.arange(W), np.arange(H))
rgb = np.stack([60 + 2 * x, 40 + 3 * y, 128 + 60 * np.sin((x + y) / 9)], -1)
rgb = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
out = pathlib.Path(__file__).parent / "jpeg"
out.mkdir(exist_ok=True)
ppm = b"P6 %d %d 255\n" % (W, H) + rgb.tobytes()


def make(name, *argv, source=ppm):
    data = subprocess.run(argv, input=source, stdout=subprocess.PIPE, check=True).stdout
    (out / (name + ".jpg")).write_bytes(data)
    return data


for name, sample in {"444": "1x1", "422": "2x1", "420": "2x2", "440": "1x2", "411": "4x1"}.items():
    make(name, "cjpeg", "-quality", "90", "-sample", sample)
make("grey", "cjpeg", "-quality", "90", "-grayscale")
make("rgb", "cjpeg", "-quality", "90", "-rgb")
make("restart", "cjpeg", "-quality", "90", "-sample", "2x1", "-restart", "1")
make("progressive", "cjpeg", "-quality", "90", "-progressive")
make("optimised", "cjpeg", "-quality", "90", "-optimize")
make("arithmetic", "cjpeg", "-quality", "90", "-arithmetic")
with tempfile.NamedTemporaryFile("w", suffix=".txt") as scans:
    scans.write("0;\n1;\n2;\n")
    scans.flush()
    make("scans", "cjpeg", "-quality", "90", "-scans", scans.name)
Image.fromarray(rgb).convert("CMYK").save(out / "cmyk.jpg", quality=90)
