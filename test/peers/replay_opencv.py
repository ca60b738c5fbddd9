#!/usr/bin/python3
"""The usual script over a video: OpenCV reads it and runs YOLOX. A line of JSON for each frame.

usage: replay_opencv.py MODEL VIDEO
"""
import json
import sys

import cv2
from yolox import detections, grid, letterbox


def main():
    model, video = sys.argv[1:]
    net = cv2.dnn.readNetFromONNX(model)
    cells, strides = grid()
    capture = cv2.VideoCapture(video)
    while True:
        more, frame = capture.read()
        if not more:
            break
        blob, scale = letterbox(frame)
        net.setInput(blob)
        print(json.dumps({"detections": detections(net.forward()[0], cells, strides, scale)}))


main()
