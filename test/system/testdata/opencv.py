#!/usr/bin/python3
"""Compares what the worker made of frames with what OpenCV makes of the same bytes.

Reads a JSON list of {folder, format} from standard input, the format as capture.Format writes it; writes a list with the
largest difference of each, in grey levels, and how many different values the picture has."""
import json
import os
import sys

import cv2
import numpy as np

TO_RGB = {
    "yuyv": cv2.COLOR_YUV2RGB_YUYV, "uyvy": cv2.COLOR_YUV2RGB_UYVY, "nv12": cv2.COLOR_YUV2RGB_NV12,
    "nv21": cv2.COLOR_YUV2RGB_NV21, "i420": cv2.COLOR_YUV2RGB_I420, "yv12": cv2.COLOR_YUV2RGB_YV12,
    "grey": cv2.COLOR_GRAY2RGB, "bgr24": cv2.COLOR_BGR2RGB,
}


def picture(data, f):
    """The frame as cvtColor takes it, without what the driver pads lines with."""
    w, h, stride, pixel = f["width"], f["height"], f["stride"], f["pixel"]
    if pixel == "mjpeg":
        return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    if pixel in ("yuyv", "uyvy"):
        return data.reshape(h, stride)[:, :2 * w].reshape(h, w, 2)
    if pixel in ("rgb24", "bgr24"):
        return data.reshape(h, stride)[:, :3 * w].reshape(h, w, 3)
    if pixel == "grey":
        return data.reshape(h, stride)[:, :w]
    luma, chroma = data[:h * stride].reshape(h, stride)[:, :w], data[h * stride:]
    if pixel in ("nv12", "nv21"):
        chroma = chroma.reshape(h // 2, stride)[:, :w]
    else:
        chroma = chroma.reshape(h, stride // 2)[:, :w // 2]
    return np.concatenate([luma.reshape(-1), chroma.reshape(-1)]).reshape(h * 3 // 2, w)


def below_black(data, pixel):
    """Where luma is below 16, which limited range does not know and video has all the same. OpenCV takes it for 16
    before it adds the chroma, ours is what the formula gives: the two differ there by up to 19."""
    if pixel in ("yuyv", "uyvy"):
        return data[..., 0 if pixel == "yuyv" else 1] < 16
    return data[:data.shape[0] * 2 // 3] < 16


answers = []
for case in json.load(sys.stdin):
    f = case["format"]
    frame = np.fromfile(os.path.join(case["folder"], "frame"), np.uint8)
    ours = np.fromfile(os.path.join(case["folder"], "rgb"), np.uint8).reshape(f["height"], f["width"], 3)
    rgb = data = picture(frame, f)
    if f["pixel"] in TO_RGB:
        rgb = cv2.cvtColor(np.ascontiguousarray(data), TO_RGB[f["pixel"]])
    difference = np.abs(rgb.astype(int) - ours.astype(int))
    if f["pixel"] in ("yuyv", "uyvy", "nv12", "nv21", "i420", "yv12"):
        difference[below_black(data, f["pixel"])] = 0
    answers.append({"worst": int(difference.max()), "mean": float(difference.mean()), "values": int(len(np.unique(rgb)))})
json.dump(answers, sys.stdout)
