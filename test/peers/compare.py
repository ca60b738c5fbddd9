#!/usr/bin/python3
"""Runs Vedette and the usual OpenCV script over the same video and model, in turn, each into its own mosquitto.

usage: compare.py VEDETTE MODEL VIDEO [ROUNDS]

Frames/s are those of the messages that a subscriber got, from the first to the last; CPU time is that of all processes of
each side, decoding of the video included, the broker's not. VEDETTE_ONNXRUNTIME has to name the library.
"""
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import cv2
import paho.mqtt.client as mqtt

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = """
device: bench
cameras:
  - name: video
    rate: 0
    source:
      command:
        argv: [ffmpeg, -loglevel, error, -i, {video}, -f, rawvideo, -pix_fmt, yuyv422, "-"]
        format: yuyv
        size: {width}x{height}
        rate: 10
        lossless: true
infer: {{model: {model}, workers: {workers}, threads: {threads}}}
mqtt: {{brokers: ["tcp://127.0.0.1:{port}"]}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    """mosquitto on a free port, and a subscriber that notes when messages come."""

    def __init__(self, topic):
        self.port = free_port()
        self.process = subprocess.Popen(["mosquitto", "-p", str(self.port)], stderr=subprocess.DEVNULL)
        self.times, self.with_person = [], 0
        self.client = mqtt.Client()
        self.client.on_message = self.note
        for _ in range(100):
            try:
                self.client.connect("127.0.0.1", self.port)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        self.client.subscribe(topic)
        self.client.loop_start()

    def note(self, _client, _data, message):
        self.times.append(time.monotonic())
        found = json.loads(message.payload)["detections"]
        self.with_person += any(d["class_id"] == 0 for d in found)

    def close(self):
        self.client.loop_stop()
        self.process.terminate()
        self.process.wait()


def measure(topic, argv):
    """Runs what argv(port) gives until it ends, and says what a subscriber saw and what it cost."""
    broker = Broker(topic)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv(broker.port), check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    broker.close()
    frames = len(broker.times)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "frames": frames,
        "fps": (frames - 1) / (broker.times[-1] - broker.times[0]),
        "cpu_ms": cpu / frames * 1000,
        "persons": broker.with_person / frames,
    }


def main():
    vedette, model, video = (os.path.abspath(path) for path in sys.argv[1:4])
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    capture = cv2.VideoCapture(video)
    width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))

    def service(workers, threads):
        def argv(port):
            config = os.path.join(scratch, f"{port}.yaml")
            values = {"video": video, "width": width, "height": height, "model": model, "port": port}
            with open(config, "w", encoding="utf-8") as file:
                file.write(CONFIG.format(workers=workers, threads=threads, **values))
            return [vedette, "run", "--config", config]

        return lambda: measure("vedette/bench/video/detections", argv)

    def script():
        return measure("peer", lambda port: [sys.executable, f"{HERE}/opencv_dnn.py", model, video, str(port), "peer"])

    cores = os.cpu_count()
    sides = {
        f"vedette, 1 worker x {cores} threads": service(1, cores),
        f"vedette, {cores} workers x 1 thread": service(cores, 1),
        "opencv_dnn.py": script,
    }
    with tempfile.TemporaryDirectory() as scratch:
        found = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                found[name].append(side())
    for name, results in found.items():
        middle = {key: round(statistics.median(r[key] for r in results), 3) for key in results[0]}
        print(json.dumps({"side": name, "rounds": rounds, **middle}))


main()
