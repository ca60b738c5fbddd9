"""YOLOX nano before and after OpenCV's network: what people copy into their scripts."""
import cv2
import numpy as np

SIDE = 416  # of YOLOX nano's and tiny's square input
SCORE, OVERLAP = 0.4, 0.45


def grid():
    """Each output row's cell and stride, for strides 8, 16 and 32."""
    cells, strides = [], []
    for stride in (8, 16, 32):
        n = SIDE // stride
        y, x = np.mgrid[0:n, 0:n]
        cells.append(np.stack([x, y], -1).reshape(-1, 2))
        strides.append(np.full((n * n, 1), stride))
    return np.concatenate(cells), np.concatenate(strides)


def letterbox(frame):
    """The frame in the tensor's upper left corner, on grey, and by how much it was scaled."""
    height, width = frame.shape[:2]
    scale = min(SIDE / height, SIDE / width)
    small = cv2.resize(frame, (round(width * scale), round(height * scale)))
    padded = np.full((SIDE, SIDE, 3), 114, np.uint8)
    padded[: small.shape[0], : small.shape[1]] = small
    return padded.transpose(2, 0, 1)[None].astype(np.float32), scale


def detections(rows, cells, strides, scale):
    centre = (rows[:, :2] + cells) * strides
    size = np.exp(rows[:, 2:4]) * strides
    scores = rows[:, 4:5] * rows[:, 5:]
    best = scores.max(1)
    some = best > SCORE
    boxes = np.concatenate([centre - size / 2, size], 1)[some] / scale
    labels, best = scores.argmax(1)[some], best[some]
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), best.tolist(), SCORE, OVERLAP)
    return [
        {"class_id": int(labels[i]), "score": float(best[i]), "box": boxes[i].tolist()} for i in np.array(kept).flatten()
    ]
