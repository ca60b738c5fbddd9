#!/usr/bin/python3
"""Decodes YOLOX with OpenCV and NumPy alone, as a reference: yolox_reference.py MODEL VIDEO FOLDER FRAME...

For each frame it writes FOLDER/FRAME.in.f32 (the input tensor) and FOLDER/FRAME.out.f32 (OpenCV's output tensor), or with
FRAMES=1 in the environment only the frame itself, FOLDER/FRAME.bgr, and prints a JSON line: frame, scale (input pixels for a pixel of the frame), width, height, detections above 0.35 after
non-maximum suppression at 0.45 within each class: class, score, box in 0..1 of the frame.
"""
import json
import os
import sys

import cv2
import numpy as np

model, video, folder = sys.argv[1:4]
SIZE, SCORE, IOU = 416, 0.35, 0.45
net = cv2.dnn.readNetFromONNX(model)
grid, stride = [], []
for s in (8, 16, 32):
    ys, xs = np.mgrid[0:SIZE // s, 0:SIZE // s]
    grid.append(np.stack([xs, ys], -1).reshape(-1, 2))
    stride.append(np.full((grid[-1].shape[0], 1), s))
grid, stride = np.concatenate(grid), np.concatenate(stride)

capture = cv2.VideoCapture(video)
wanted, number = {int(f) for f in sys.argv[4:]}, -1
while number < max(wanted):
    ok, frame = capture.read()
    assert ok, "the video ends before frame %d" % max(wanted)
    number += 1
    if number not in wanted:
        continue
    height, width = frame.shape[:2]
    scale = min(SIZE / height, SIZE / width)
    small = cv2.resize(frame, (int(width * scale), int(height * scale)))
    padded = np.full((SIZE, SIZE, 3), 114, np.uint8)
    padded[:small.shape[0], :small.shape[1]] = small
    blob = np.ascontiguousarray(padded.transpose(2, 0, 1)[None].astype(np.float32))
    tensors = not os.environ.get("FRAMES")
    if tensors:
        blob.tofile("%s/%d.in.f32" % (folder, number))
    else:
        frame.tofile("%s/%d.bgr" % (folder, number))
    net.setInput(blob)
    rows = net.forward()[0].copy()
    if tensors:
        rows.tofile("%s/%d.out.f32" % (folder, number))

    centre = (rows[:, :2] + grid) * stride
    size = np.exp(rows[:, 2:4]) * stride
    scores = rows[:, 4:5] * rows[:, 5:]
    classes, best = scores.argmax(1), scores.max(1)
    boxes = np.concatenate([centre - size / 2, size], 1)
    found = []
    for c in np.unique(classes[best >= SCORE]):
        chosen = np.flatnonzero((classes == c) & (best >= SCORE))
        keep = cv2.dnn.NMSBoxes(boxes[chosen].tolist(), best[chosen].tolist(), SCORE, IOU)
        for i in chosen[np.array(keep, int).flatten()]:
            x, y, w, h = boxes[i] / scale
            corners = np.clip([x / width, y / height, (x + w) / width, (y + h) / height], 0, 1)
            found.append({"class": int(c), "score": float(best[i]), "box": [float(v) for v in corners]})
    found.sort(key=lambda d: -d["score"])
    print(json.dumps({"frame": number, "scale": scale, "width": width, "height": height, "detections": found}))
