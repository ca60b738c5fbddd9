#!/usr/bin/python3
"""Runs `vedette replay` and two scripts that people write instead over the same video and model, in turn.

usage: replay.py VEDETTE MODEL VIDEO [ROUNDS]

MODEL is YOLOX nano. The scripts are replay_opencv.py (OpenCV reads the video and runs the network) and replay_node.mjs (ffmpeg reads
it, onnxruntime-node runs the network), which is left out where NODE_PATH leads to no onnxruntime-node. Each writes a line of JSON for
each frame. Frames/s are over the whole process, its start and the loading of the model included. VEDETTE_ONNXRUNTIME has to name
the library.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def measure(argv, out):
    began = time.monotonic()
    with open(out, "wb") as file:
        subprocess.run(argv, check=True, stdout=file, stderr=subprocess.DEVNULL)
    took = time.monotonic() - began
    with open(out, "rb") as file:
        text = file.read()
    frames = text.count(b"\n")
    persons = sum(1 for line in text.splitlines() if any(d["class_id"] == 0 for d in json.loads(line)["detections"]))
    return {"frames": frames, "fps": frames / took, "persons": persons / frames}, text


def main():
    vedette, model, video = (os.path.abspath(path) for path in sys.argv[1:4])
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3

    def replay(workers):
        return [vedette, "replay", "--model", model, "--workers", str(workers), "--threads", "1", video]

    sides = {
        "vedette replay, 1 worker": replay(1),
        "vedette replay, 2 workers": replay(2),
        "replay_opencv.py": [sys.executable, f"{HERE}/replay_opencv.py", model, video],
    }
    node = ["node", f"{HERE}/replay_node.mjs"]
    if subprocess.run(node, stderr=subprocess.DEVNULL, check=False).returncode == 0:
        sides["replay_node.mjs"] = [*node, model, video]
    found, texts = {name: [] for name in sides}, {}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(rounds):
            for name, argv in sides.items():
                result, text = measure(argv, os.path.join(scratch, "out"))
                found[name].append(result)
                texts.setdefault(name, text)
                if texts[name] != text:
                    print(f"{name}: not the same bytes as in the first round", file=sys.stderr)
    if texts["vedette replay, 1 worker"] != texts["vedette replay, 2 workers"]:
        sys.exit("vedette: two workers give other bytes than one")
    for name, results in found.items():
        middle = {key: round(statistics.median(r[key] for r in results), 3) for key in results[0]}
        print(json.dumps({"side": name, "rounds": rounds, **middle}))


main()
