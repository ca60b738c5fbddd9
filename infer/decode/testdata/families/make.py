#!/usr/bin/python3
"""Makes this folder: for each family a small ONNX graph with its inputs and outputs, and NAME.json with what is to be seen
in it. make.py, with python3-onnx and python3-numpy, in this folder.

A graph gives the same numbers for every picture but for one box, which it moves by the mean of each of the input's
channels: so channel order, normalisation, layout and padding have a part in what comes out. The expected boxes are computed
here, in float64, by the reference for each family below, which shares nothing with the Go code.
"""
import json

import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper

FRAME = 100, 60  # width, height of the picture: one colour
COLOUR = 200, 90, 30  # R, G, B
WEIGHTS = np.array([0.7, -0.4, 1.1])  # of the input's channels in the probe
THRESHOLD = 0.3
rng = np.random.default_rng(7)
KINDS = {"float32": (T.FLOAT, np.float32), "float16": (T.FLOAT16, np.float16), "uint8": (T.UINT8, np.uint8)}


# ---- what a picture becomes: the families' own ways

def canvas(width, height, fit, order="rgb", mean=(0, 0, 0), deviation=(1, 1, 1)):
    """The input as [height, width, 3] float64, and the box of the picture in it."""
    colour = np.array(COLOUR if order == "rgb" else COLOUR[::-1], float)
    if fit == "stretch":
        at = (0, 0, width, height)
    else:
        r = min(width / FRAME[0], height / FRAME[1])
        w, hh = round(FRAME[0] * r), round(FRAME[1] * r)
        x, y = ((width - w) // 2, (height - hh) // 2) if fit == "letterbox" else (0, 0)
        at = (x, y, w, hh)
    out = np.full((height, width, 3), 114.0)
    out[at[1]:at[1] + at[3], at[0]:at[0] + at[2]] = colour
    return (out - np.array(mean)) / np.array(deviation), at


def probe(g, picture):
    return float(picture.mean((0, 1)) @ WEIGHTS) * g.factor


def to_frame(boxes, at):
    """x1 y1 x2 y2 in input pixels -> 0..1 of the frame, clipped."""
    x, y, w, hh = at
    return np.clip((boxes - [x, y, x, y]) / [w, hh, w, hh], 0, 1)


# ---- references: what a family's numbers mean

def corners(c):
    c = np.asarray(c, float)
    return np.concatenate([c[:, :2] - c[:, 2:4] / 2, c[:, :2] + c[:, 2:4] / 2], 1)


def iou(a, b):
    w = np.clip(np.minimum(a[2], b[:, 2]) - np.maximum(a[0], b[:, 0]), 0, None)
    hh = np.clip(np.minimum(a[3], b[:, 3]) - np.maximum(a[1], b[:, 1]), 0, None)
    area = lambda q: (q[..., 2] - q[..., 0]) * (q[..., 3] - q[..., 1])
    return w * hh / (area(a) + area(b) - w * hh)


def nms(boxes, scores, classes, threshold):
    order, keep = np.argsort(-scores, kind="stable"), []
    while len(order):
        i, order = order[0], order[1:]
        keep.append(i)
        order = order[~((iou(boxes[i], boxes[order]) > threshold) & (classes[order] == classes[i]))]
    return keep


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def grid(width, height, strides, offset=0.0):
    cells = []
    for s in strides:
        ys, xs = np.mgrid[0:-(-height // s), 0:-(-width // s)]
        cells.append(np.stack([xs.ravel() + offset, ys.ravel() + offset, np.full(xs.size, s)], 1))
    return np.concatenate(cells)


# ---- graphs

class Graph:
    def __init__(self, name, width, height, layout="nchw", kind="float32", free=(), input_name="images", factor=1.0):
        self.name, self.layout, self.kind, self.factor = name, layout, kind, factor
        self.nodes, self.constants, self.outputs, self.inputs = [], [], [], []
        shape = [1, 3, height, width] if layout == "nchw" else [1, height, width, 3]
        names = ["batch", "c", "height", "width"] if layout == "nchw" else ["batch", "height", "width", "c"]
        shape = [n if n in free else d for n, d in zip(names, shape)]
        self.batch = "batch" if "batch" in free else 1
        self.inputs.append(h.make_tensor_value_info(input_name, KINDS[kind][0], shape))
        self.op("Cast", [input_name], "as_float", to=T.FLOAT)
        self.op("ReduceMean", ["as_float"], "means", axes=[0, 2, 3] if layout == "nchw" else [0, 1, 2], keepdims=0)
        self.op("Mul", ["means", self.constant("weights", WEIGHTS.astype(np.float32))], "weighted")
        self.op("ReduceSum", ["weighted"], "sum", keepdims=0)
        self.op("Mul", ["sum", self.constant("factor", np.array(factor, np.float32))], "probe")

    def op(self, kind, inputs, output, name=None, **attributes):
        self.nodes.append(h.make_node(kind, inputs, [output], name=name or kind + "_" + output, **attributes))
        return output

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def rows(self, name, count, values, at, moved=None, background=0.0):
        """[1, count, columns]: values in the rows `at`, background elsewhere; moved = (row of values, column)."""
        values = np.asarray(values, np.float32)
        updates = self.constant(name + "_values", values)
        if moved:
            mask = np.zeros_like(values)
            mask[moved] = 1
            shift = self.op("Mul", ["probe", self.constant(name + "_mask", mask)], name + "_shift")
            updates = self.op("Add", [updates, shift], name + "_updates")
        shape = self.constant(name + "_shape", np.array([1, count, values.shape[1]], np.int64))
        back = self.op("ConstantOfShape", [shape], name + "_back",
                       value=h.make_tensor("v", T.FLOAT, [1], [background]))
        where = self.constant(name + "_at", np.array([[0, i] for i in at], np.int64))
        return self.op("ScatterND", [back, where, updates], name + "_rows")

    def output(self, name, tensor, shape, kind="float32", node=None):
        to = {"int64": T.INT64}.get(kind) or KINDS[kind][0]
        self.op("Cast", [tensor], name, name=node, to=to)
        self.outputs.append(h.make_tensor_value_info(name, to, [self.batch] + list(shape)))

    def write(self, family, expected, metadata=None, manifest=None):
        graph = h.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.constants)
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], producer_name="vedette test")
        model.ir_version = 8
        if metadata:
            h.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        with open(self.name + ".onnx", "wb") as f:
            f.write(model.SerializeToString())
        boxes, scores, classes = expected
        order = np.argsort(-scores, kind="stable")
        assert 0 < boxes[order[0]][0] < boxes[order[0]][2] < 1, "%s: the box that the probe moves is cut: %s" % (self.name, boxes[order[0]])
        golden = {
            "family": family, "frame": FRAME, "colour": COLOUR, "threshold": THRESHOLD,
            "detections": [{"class": int(classes[i]), "score": round(float(scores[i]), 6),
                            "box": [round(float(v), 6) for v in boxes[i]]} for i in order
                           if boxes[i][2] > boxes[i][0] and boxes[i][3] > boxes[i][1]],
        }
        if manifest:
            with open(self.name + ".onnx.yaml", "w") as f:
                f.write(manifest)
        with open(self.name + ".json", "w") as f:
            f.write(json.dumps(golden).replace('{"class"', '\n {"class"') + "\n")


def scattered(count, n):
    return sorted(rng.choice(count, n, replace=False).tolist())


def objects(n, width, height, classes):
    """Boxes by centre and size, some of which overlap, with a class and a score each."""
    centre = rng.uniform(0.2, 0.8, (n, 2)) * [width, height]
    size = rng.uniform(0.1, 0.4, (n, 2)) * [width, height]
    kind, score = rng.integers(0, classes, n), rng.uniform(0.05, 0.95, n)
    centre[0], size[0], score[0] = [0.5 * width, 0.5 * height], [0.2 * width, 0.2 * height], 0.98  # the probe moves it
    for i in range(1, n, 2):  # every other one nearly again, of the same class or of another
        centre[i] = centre[i - 1] + rng.uniform(-0.02, 0.02, 2) * [width, height]
        size[i] = size[i - 1] * rng.uniform(0.9, 1.1, 2)
        if i % 4 == 1:
            kind[i] = kind[i - 1]
    return np.concatenate([centre, size], 1), kind, score


def spread(kind, score, classes, low=0.01):
    out = np.full((len(kind), classes), low)
    out[np.arange(len(kind)), kind] = score
    return out


COCO80 = 80
NAMES = {"names": str({i: "thing %d" % i for i in range(3)}), "task": "detect", "stride": "32",
         "author": "Ultralytics", "description": "Ultralytics model of a test"}


def f32(a):
    return np.asarray(a, np.float32).astype(float)


def yolov5(name, width, height, metadata=None, classes=COCO80, **graph):
    g = Graph(name, width, height, factor=10.0, **graph)
    n = 3 * len(grid(width, height, (8, 16, 32)))
    box, kind, score = objects(24, width, height, classes)
    objectness = np.sqrt(score)
    rows = f32(np.concatenate([box, objectness[:, None], spread(kind, score / objectness, classes)], 1))
    out = g.rows("rows", n, rows, scattered(n, len(rows)), moved=(0, 0))
    g.output("output0", out, [n, 5 + classes])
    picture, at = canvas(width, height, "letterbox", deviation=(255,) * 3)
    rows[0, 0] += probe(g, picture)
    s, c = rows[:, 4] * rows[:, 5:].max(1), rows[:, 5:].argmax(1)
    chosen = np.flatnonzero(s >= THRESHOLD)
    b = corners(rows[chosen])
    keep = nms(b, s[chosen], c[chosen], 0.45)
    g.write("yolov5", (to_frame(b[keep], at), s[chosen][keep], c[chosen][keep]), metadata)


def yolov8(name, width, height, metadata=None, classes=COCO80, free=(), kind="float32", **graph):
    g = Graph(name, width, height, kind=kind, free=free, factor=0.1 if kind == "uint8" else 10.0, **graph)
    n = len(grid(width, height, (8, 16, 32)))
    box, k, score = objects(24, width, height, classes)
    out_kind = "float16" if kind == "float16" else "float32"
    rows = np.concatenate([box, spread(k, score, classes)], 1).astype(KINDS[out_kind][1]).astype(float)
    out = g.rows("rows", n, rows, scattered(n, len(rows)), moved=(0, 0))
    out = g.op("Transpose", [out], "columns", perm=[0, 2, 1])
    g.output("output0", out, [4 + classes, "anchors" if "height" in free else n], out_kind)
    raw = kind == "uint8"
    picture, at = canvas(width, height, "letterbox", deviation=(1,) * 3 if raw else (255,) * 3)
    rows[0, 0] += probe(g, picture)
    s, c = rows[:, 4:].max(1), rows[:, 4:].argmax(1)
    chosen = np.flatnonzero(s >= THRESHOLD)
    b = corners(rows[chosen])
    keep = nms(b, s[chosen], c[chosen], 0.7)
    g.write("yolov8", (to_frame(b[keep], at), s[chosen][keep], c[chosen][keep]), metadata)


def rows6(name, family, width, height, count, fit, deviation, metadata=None, manifest=None, classes=COCO80, **graph):
    g = Graph(name, width, height, factor=10.0 / deviation ** 0.5 if deviation > 1 else 0.05, **graph)
    box, kind, score = objects(count, width, height, classes)
    rows = f32(np.concatenate([corners(box), score[:, None], kind[:, None]], 1))
    g.output("output0", g.rows("rows", count, rows, range(count), moved=(0, 2)), [count, 6])
    picture, at = canvas(width, height, fit, deviation=(deviation,) * 3)
    rows[0, 2] += probe(g, picture)
    chosen = rows[:, 4] >= THRESHOLD
    g.write(family, (to_frame(rows[chosen, :4], at), rows[chosen, 4], rows[chosen, 5]), metadata, manifest)


def yolox(name, width, height, decoded, metadata=None, classes=COCO80, **graph):
    g = Graph(name, width, height, factor=0.05 if decoded else 0.005, **graph)
    cells = grid(width, height, (8, 16, 32))
    n = len(cells)
    rows = scattered(n - 1, 12)
    rows = sorted(set(rows) | {i + 1 for i in rows})
    kind = rng.integers(0, classes, len(rows))
    score = rng.uniform(0.1, 0.9, len(rows))
    score[0] = 0.95
    centre, size = rng.uniform(-0.3, 1.3, (len(rows), 2)), rng.uniform(-0.5, 1.2, (len(rows), 2))
    for i in range(1, len(rows)):  # the neighbour sees the same
        if rows[i] == rows[i - 1] + 1 and cells[rows[i], 1] == cells[rows[i - 1], 1]:
            centre[i], size[i], kind[i] = centre[i - 1] - [1, 0], size[i - 1], kind[i - 1]
    where = cells[rows]
    if decoded:
        centre = (centre + where[:, :2]) * where[:, 2:]
        size = np.exp(size) * where[:, 2:]
    objectness = np.sqrt(score)
    values = f32(np.concatenate([centre, size, objectness[:, None], spread(kind, score / objectness, classes)], 1))
    out = g.rows("rows", n, values, rows, moved=(0, 2))
    if decoded:  # the other rows' centres lie in their cells, as they do in a real one
        rest = np.zeros((1, n, 2), np.float32)
        rest[0] = (cells[:, :2] + 0.5) * cells[:, 2:]
        rest[0, rows] = 0
        out = g.op("Add", [out, g.op("Pad", [g.constant("centres", rest), g.constant("pads", np.array(
            [0, 0, 0, 0, 0, 3 + classes], np.int64))], "padded")], "all")
    g.output("output", out, [n, 5 + classes])
    picture, at = canvas(width, height, "top_left", order="bgr")
    values[0, 2] += probe(g, picture)
    if not decoded:
        values[:, :2] = (values[:, :2] + where[:, :2]) * where[:, 2:]
        values[:, 2:4] = np.exp(values[:, 2:4]) * where[:, 2:]
    s, c = values[:, 4] * values[:, 5:].max(1), values[:, 5:].argmax(1)
    chosen = np.flatnonzero(s >= THRESHOLD)
    b = corners(values[chosen])
    keep = nms(b, s[chosen], c[chosen], 0.45)
    g.write("yolox", (to_frame(b[keep], at), s[chosen][keep], c[chosen][keep]), metadata)


def detr(name, family, width, height, node=None, **graph):
    """RT-DETR and D-FINE: boxes come scaled to what orig_target_sizes says."""
    g = Graph(name, width, height, factor=-0.1, **graph)
    g.inputs.append(h.make_tensor_value_info("orig_target_sizes", T.INT64, [g.batch, 2]))
    n = 300
    box, kind, score = objects(n, 1, 1, COCO80)
    score *= 0.5
    b = f32(corners(box))
    rows = g.rows("boxes_of", n, b, range(n), moved=(0, 0))
    sizes = g.op("Cast", ["orig_target_sizes"], "sizes", to=T.FLOAT)
    sizes = g.op("Tile", [sizes, g.constant("twice", np.array([1, 2], np.int64))], "sizes4")
    sizes = g.op("Unsqueeze", [sizes, g.constant("axis1", np.array([1], np.int64))], "sizes14")
    g.output("labels", g.constant("kinds", kind[None].astype(np.float32)), [n], "int64")
    g.output("boxes", g.op("Mul", [rows, sizes], "scaled", name=node), [n, 4])
    g.output("scores", g.constant("marks", score[None].astype(np.float32)), [n])
    picture, at = canvas(width, height, "stretch", deviation=(255,) * 3)
    b[0, 0] += probe(g, picture)
    s, chosen = f32(score), f32(score) >= THRESHOLD
    g.write(family, (to_frame(b[chosen] * [width, height, width, height], at), s[chosen], kind[chosen]))


def logits(name, family, width, height, classes, boxes_name, logits_name, mean, deviation, **graph):
    g = Graph(name, width, height, factor=0.03, **graph)
    n = 300
    box, kind, score = objects(n, 1, 1, classes)
    second = rng.integers(0, classes, n)
    marks = np.full((n, classes), -6.0)
    marks[np.arange(n), second] = rng.uniform(-4, 1, n)
    marks[np.arange(n), kind] = np.log(score * 0.6 / (1 - score * 0.6))
    b, marks = f32(box), f32(marks)
    g.output(boxes_name, g.rows("boxes_of", n, b, range(n), moved=(0, 0)), [n, 4])
    # Half of it would do for a test: the file stays small.
    index = np.argwhere(marks > -6.0)
    flat = g.rows("marks", n * classes, marks[tuple(index.T)][:, None], (index[:, 0] * classes + index[:, 1]).tolist(),
                  background=-6.0)
    g.output(logits_name, g.op("Reshape", [flat, g.constant("shape", np.array([1, n, classes], np.int64))], "shaped"),
             [n, classes])
    picture, at = canvas(width, height, "stretch", mean=mean, deviation=deviation)
    b[0, 0] += probe(g, picture)
    p = sigmoid(marks).ravel()
    best = np.argsort(-p, kind="stable")[:300]
    best = best[p[best] >= THRESHOLD]
    boxes = corners(b[best // classes]) * [width, height, width, height]
    boxes = to_frame(boxes, at)
    good = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    g.write(family, (boxes[good], p[best][good], (best % classes)[good]))


def ssd(name, width, height, kind="uint8", manifest=None, **graph):
    g = Graph(name, width, height, layout="nhwc", kind=kind, input_name="image_tensor:0", factor=0.0005, **graph)
    n, found = 100, 40
    box, k, score = objects(n, 1, 1, 90)
    b = f32(corners(box)[:, [1, 0, 3, 2]])
    g.output("detection_boxes:0", g.rows("boxes_of", n, b, range(n), moved=(0, 3)), [n, 4])
    g.output("detection_classes:0", g.constant("kinds", (k[None] + 1).astype(np.float32)), [n])
    g.output("detection_scores:0", g.constant("marks", score[None].astype(np.float32)), [n])
    g.output("num_detections:0", g.constant("found", np.array([found], np.float32)), [])
    picture, at = canvas(width, height, "stretch")
    b[0, 3] += probe(g, picture)
    b, s = b[:found][:, [1, 0, 3, 2]], f32(score[:found])
    chosen = s >= THRESHOLD
    g.write("ssd", (to_frame(b[chosen] * [width, height, width, height], at), s[chosen], k[:found][chosen]), manifest=manifest)


def nanodet(name, width, height, strides, offset, how, classes=COCO80, **graph):
    g = Graph(name, width, height, input_name="data", **graph)
    cells = grid(width, height, strides, offset)
    n = len(cells)
    at_rows, first = [], 0
    for i, s in enumerate(strides):  # on every grid some, of which every other one's neighbour sees the same
        count = len(grid(width, height, (s,)))
        pairs = 10 // len(strides) + (i < 10 % len(strides))
        starts = scattered(count // 2 - 1, pairs)
        if i == 0:  # the first, which the probe moves, in the middle
            columns = width // s
            middle = (count // columns // 2 * columns + columns // 2) // 2
            starts = [middle] + [middle + 1 + k for k in scattered(count // 2 - 2 - middle, pairs - 1)]
        for start in starts:
            at_rows += [first + 2 * start, first + 2 * start + 1]
        first += count
    kind, score = rng.integers(0, classes, 20), rng.uniform(0.1, 0.95, 20)
    score[0] = 0.97
    kind[1::2] = kind[0::2]
    sides = np.round(rng.uniform(-3, 3, (20, 32)), 3)
    sides[1::2] = sides[0::2]
    marks = f32(spread(kind, score, classes))
    sides = f32(sides)
    order = np.argsort(at_rows, kind="stable")
    at_rows, marks, sides = np.array(at_rows)[order], marks[order], sides[order]
    if how == "one":
        out = g.rows("rows", n, np.concatenate([marks, sides], 1), at_rows.tolist(), moved=(0, classes))
        g.output("output", out, [n, classes + 32])
    elif how == "two":
        g.output("cls_pred", g.rows("marks", n, marks, at_rows.tolist()), [n, classes])
        g.output("dis_pred", g.rows("sides", n, sides, at_rows.tolist(), moved=(0, 0)), [n, 32])
    else:  # two for each grid, all scores first
        for what, values, columns in ("cls", marks, classes), ("dis", sides, 32):
            first = 0
            for s in strides:
                count = len(grid(width, height, (s,)))
                mine = (at_rows >= first) & (at_rows < first + count)
                if not mine.any():
                    raise SystemExit("no row on stride %d: choose another seed" % s)
                moved = (0, 0) if what == "dis" and mine[0] else None
                g.output("%s_pred_stride_%d" % (what, s), g.rows("%s_%d" % (what, s), count, values[mine],
                         (at_rows[mine] - first).tolist(), moved=moved), [count, columns])
                first += count
    picture, at = canvas(width, height, "stretch", order="bgr", mean=(103.53, 116.28, 123.675),
                         deviation=(57.375, 57.12, 58.395))
    sides = sides.copy()
    sides[0, 0] += probe(g, picture)
    e = np.exp(sides.reshape(-1, 4, 8))
    where = cells[at_rows]
    distance = (e / e.sum(2, keepdims=True)) @ np.arange(8.0) * where[:, 2:]
    point = where[:, :2] * where[:, 2:]
    b = np.concatenate([point - distance[:, :2], point + distance[:, 2:]], 1)
    s, c = marks.max(1), marks.argmax(1)
    chosen = np.flatnonzero(s >= THRESHOLD)
    keep = nms(b[chosen], s[chosen], c[chosen], 0.6)
    g.write("nanodet", (to_frame(b[chosen][keep], at), s[chosen][keep], c[chosen][keep]))


def fastestdet(name, width, height, classes=COCO80, **graph):
    g = Graph(name, width, height, input_name="input.1", factor=1.0, **graph)
    w, hh = width // 16, height // 16
    n = w * hh
    middle = hh // 2 * w + w // 2
    rows = [middle] + [middle + 1 + i for i in scattered(n - middle - 1, 15)]
    values = np.concatenate([rng.uniform(0.3, 1, (16, 1)), rng.uniform(-1, 1, (16, 2)), rng.uniform(-2.5, 0.5, (16, 2)),
                             spread(rng.integers(0, classes, 16), rng.uniform(0.2, 1, 16), classes)], 1)
    values[0, 0], values[0, 1:5], values[0, 5:] = 1, [0.5, 0.5, -1, -1], 0.01
    values[0, 12] = 0.99
    values = f32(values)
    out = g.rows("rows", n, values, rows, moved=(0, 3))
    out = g.op("Transpose", [out], "columns", perm=[0, 2, 1])
    out = g.op("Reshape", [out, g.constant("shape", np.array([1, 5 + classes, hh, w], np.int64))], "shaped")
    g.output("758", out, [5 + classes, hh, w])
    picture, at = canvas(width, height, "stretch", order="bgr", deviation=(255,) * 3)
    values[0, 3] += probe(g, picture)
    r = np.array(rows)
    s, c = values[:, 0] ** 0.6 * values[:, 5:].max(1) ** 0.4, values[:, 5:].argmax(1)
    centre = (np.stack([r % w, r // w], 1) + np.tanh(values[:, 1:3])) / [w, hh]
    b = corners(np.concatenate([centre, sigmoid(values[:, 3:5])], 1)) * [width, height, width, height]
    chosen = np.flatnonzero(s >= THRESHOLD)
    keep = nms(b[chosen], s[chosen], c[chosen], 0.45)
    g.write("fastestdet", (to_frame(b[chosen][keep], at), s[chosen][keep], c[chosen][keep]))


IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
yolov5("yolov5", 640, 640)
yolov8("yolov8", 640, 640, metadata=dict(NAMES, imgsz="[640, 640]"), classes=3)
yolov8("yolov8_float16", 640, 384, kind="float16")
yolov8("yolov8_uint8_nhwc", 320, 256, kind="uint8", layout="nhwc")
yolov8("yolov8_free", 640, 384, metadata=dict(NAMES, imgsz="[384, 640]"), classes=3, free=("batch", "height", "width"))
rows6("yolov10", "yolov10", 640, 640, 300, "letterbox", 255, classes=3, metadata=dict(NAMES, end2end="True"))
rows6("centernet", "centernet", 512, 512, 100, "stretch", 1, layout="nhwc", input_name="image")
rows6("centernet_nchw", "centernet", 512, 512, 100, "stretch", 1, manifest="family: centernet\n")
yolox("yolox_raw", 416, 416, False)
yolox("yolox_decoded", 224, 160, True)
detr("rtdetr", "rtdetr", 640, 640, free=("batch",))
detr("dfine", "dfine", 640, 640, node="/model/decoder/decoder/lqe_layers.2/Mul", free=("batch",))
logits("rtdetr_logits", "rtdetr", 640, 640, COCO80, "pred_boxes", "logits", (0,) * 3, (255,) * 3, input_name="pixel_values")
logits("rfdetr", "rfdetr", 560, 560, 91, "dets", "labels", *IMAGENET, input_name="input")
ssd("ssd", 300, 300)
ssd("ssd_free", 320, 240, free=("batch", "height", "width"), manifest="input: {size: 320x240}\n")
nanodet("nanodet_plus", 416, 416, (8, 16, 32, 64), 0.0, "one")
nanodet("nanodet", 320, 320, (8, 16, 32), 0.5, "two")
nanodet("nanodet_grids", 416, 320, (8, 16, 32), 0.5, "grids")
fastestdet("fastestdet", 352, 352)
