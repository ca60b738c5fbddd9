#!/usr/bin/python3
"""OpenCV's non-maximum suppression, within each class or across them: reads a JSON list of cases from stdin, each with boxes
(x, y, width, height), scores, classes, iou and agnostic, and prints for each the indices that it keeps, best first."""
import json
import sys

import cv2
import numpy as np

out = []
for case in json.load(sys.stdin):
    boxes, scores, classes = case["boxes"], case["scores"], np.array(case["classes"])
    if case["agnostic"]:
        classes = np.zeros_like(classes)
    kept = []
    for c in np.unique(classes):
        chosen = np.flatnonzero(classes == c)
        keep = cv2.dnn.NMSBoxes([boxes[i] for i in chosen], [scores[i] for i in chosen], 0.0, case["iou"])
        kept += [int(chosen[i]) for i in np.array(keep, int).flatten()]
    out.append(sorted(kept, key=lambda i: (-scores[i], i)))
json.dump(out, sys.stdout)
