#!/usr/bin/python3
"""Times OpenCV's chain on what BenchmarkRun does, on one thread: convert, resize, border, blobFromImage."""
import sys
import time

import cv2
import numpy as np

cv2.setNumThreads(1)
frame = np.random.randint(0, 255, (720, 1280, 2), np.uint8)


def chain(size, letterbox):
    rgb = cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_YUYV)
    if not letterbox:
        return cv2.dnn.blobFromImage(cv2.resize(rgb, (size, size)), 1 / 255.0)
    h = size * 9 // 16
    top = (size - h) // 2
    small = cv2.resize(rgb, (size, h))
    whole = cv2.copyMakeBorder(small, top, size - h - top, 0, 0, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    return cv2.dnn.blobFromImage(whole, 1 / 255.0)


def report(name, run, times=60):
    for _ in range(5):
        run()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    print("%-28s median %.2f ms, least %.2f ms" % (name, np.median(taken) * 1e3, min(taken) * 1e3))


for size, letterbox in (416, True), (512, False), (640, True):
    report("yuyv/%d-%s-nchw" % (size, "letterbox" if letterbox else "stretch"), lambda: chain(size, letterbox))
if len(sys.argv) > 1:
    data = np.fromfile(sys.argv[1], np.uint8)
    report("decode", lambda: cv2.imdecode(data, cv2.IMREAD_COLOR))
    report("decode at 1/2", lambda: cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_2))
