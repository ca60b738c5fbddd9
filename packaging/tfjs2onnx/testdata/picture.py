#!/usr/bin/python3
"""A photograph as OpenCV resizes it to 512x512 RGB float32 0..255: NAME OUT.

NAME is messi5 or vtest100 (frame 100) of Debian's opencv-doc, or astronaut or coffee of its python3-skimage.
Leaves with status 77 where the machine lacks the file.
"""
import os
import sys

import cv2
import numpy as np

OPENCV = "/usr/share/doc/opencv-doc/examples/data/"


def present(path):
    if not os.path.exists(path):
        print("there is no " + path, file=sys.stderr)
        sys.exit(77)
    return path


def picture(name):
    if name == "messi5":
        return cv2.imread(present(OPENCV + "messi5.jpg"))
    if name == "vtest100":
        video = cv2.VideoCapture(present(OPENCV + "vtest.avi"))
        for _ in range(101):
            ok, frame = video.read()
            assert ok, "the video ends before frame 100"
        return frame
    import importlib.util

    folder = os.path.dirname(importlib.util.find_spec("skimage").origin)
    return cv2.imread(present(os.path.join(folder, "data", name + ".png")))


bgr = cv2.resize(picture(sys.argv[1]), (512, 512))
cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.float32).tofile(sys.argv[2])
