#!/usr/bin/python3
"""A picture, or a frame of a video, as OpenCV resizes it to 512x512 RGB float32 0..255: IN OUT [FRAME]."""
import sys

import cv2
import numpy as np

if len(sys.argv) > 3:
    capture = cv2.VideoCapture(sys.argv[1])
    for _ in range(int(sys.argv[3]) + 1):
        ok, picture = capture.read()
        assert ok, "the video ends before this frame"
else:
    picture = cv2.imread(sys.argv[1])
    assert picture is not None, "not a picture"
cv2.cvtColor(cv2.resize(picture, (512, 512)), cv2.COLOR_BGR2RGB).astype(np.float32).tofile(sys.argv[2])
