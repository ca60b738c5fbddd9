#!/usr/bin/python3
"""The usual script: OpenCV reads a video and runs YOLOX, paho publishes. One JSON message for each frame.

usage: opencv_dnn.py MODEL VIDEO PORT TOPIC
"""
import json
import sys

import cv2
import paho.mqtt.client as mqtt
from yolox import detections, grid, letterbox


def main():
    model, video, port, topic = sys.argv[1:]
    net = cv2.dnn.readNetFromONNX(model)
    client = mqtt.Client()
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    cells, strides = grid()
    capture = cv2.VideoCapture(video)
    while True:
        more, frame = capture.read()
        if not more:
            break
        blob, scale = letterbox(frame)
        net.setInput(blob)
        found = detections(net.forward()[0], cells, strides, scale)
        client.publish(topic, json.dumps({"detections": found}))
    client.loop_stop()
    client.disconnect()


main()
