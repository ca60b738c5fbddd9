#!/usr/bin/python3
"""Answers what OpenCV makes of a frame.

Reads a JSON list of cases from standard input. Each names a photograph, a frame's format and size, and what becomes of
it; frame and answer are written to the case's files, the answer as RGB bytes, row by row."""
import functools
import json
import sys

import cv2
import numpy as np

RAW = {
    "yuyv": cv2.COLOR_YUV2RGB_YUYV, "uyvy": cv2.COLOR_YUV2RGB_UYVY, "nv12": cv2.COLOR_YUV2RGB_NV12,
    "nv21": cv2.COLOR_YUV2RGB_NV21, "i420": cv2.COLOR_YUV2RGB_I420, "yv12": cv2.COLOR_YUV2RGB_YV12,
    "grey": cv2.COLOR_GRAY2RGB, "bgr24": cv2.COLOR_BGR2RGB,
}
TURN = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def yuv(bgr):
    """BT.601, limited range, full resolution."""
    b, g, r = (bgr[..., i].astype(np.float64) for i in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    planes = 16 + y * 219 / 255, 128 + (b - y) / 1.772 * 224 / 255, 128 + (r - y) / 1.402 * 224 / 255
    return [np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in planes]


@functools.cache
def load(photograph, width, height):
    bgr = cv2.resize(cv2.imread(photograph), (width, height), interpolation=cv2.INTER_AREA)
    return bgr, yuv(bgr)


def frame(bgr, planes, pixel):
    """The frame, as the array that cvtColor takes."""
    h, w = bgr.shape[:2]
    y, u, v = planes
    if pixel in ("yuyv", "uyvy"):
        out = np.empty((h, w, 2), np.uint8)
        luma = 0 if pixel == "yuyv" else 1
        out[..., luma] = y
        out[:, 0::2, 1 - luma] = u[:, 0::2]
        out[:, 1::2, 1 - luma] = v[:, 0::2]
        return out
    if pixel in ("nv12", "nv21", "i420", "yv12"):
        u, v = u[0::2, 0::2], v[0::2, 0::2]
        first, second = (u, v) if pixel in ("nv12", "i420") else (v, u)
        chroma = np.stack([first, second], -1) if pixel.startswith("nv") else np.stack([first, second])
        return np.concatenate([y.reshape(-1), chroma.reshape(-1)]).reshape(h * 3 // 2, w)
    if pixel == "grey":
        return y
    if pixel == "rgb24":
        return np.ascontiguousarray(bgr[..., ::-1])
    return bgr


def answer(case):
    bgr, planes = load(case["photograph"], case["width"], case["height"])
    if case["pixel"] == "mjpeg":
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
        flag = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}[case["divisor"]]
        rgb = cv2.imdecode(data, flag)[..., ::-1]
    else:
        data = frame(bgr, planes, case["pixel"])
        rgb = cv2.cvtColor(data, RAW[case["pixel"]]) if case["pixel"] in RAW else data
    with open(case["frame"], "wb") as f:
        f.write(data.tobytes())
    if case["rotate"]:
        rgb = cv2.rotate(rgb, TURN[case["rotate"]])
    x0, y0, x1, y1 = (v // case["divisor"] for v in case["region"])
    left, top, right, bottom = case["target"]
    out = cv2.resize(rgb[y0:y1, x0:x1], (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    size = case["size"]
    out = cv2.copyMakeBorder(out, top, size - bottom, left, size - right, cv2.BORDER_CONSTANT, value=(114,) * 3)
    with open(case["answer"], "wb") as f:
        f.write(out.tobytes())


for c in json.load(sys.stdin):
    answer(c)
