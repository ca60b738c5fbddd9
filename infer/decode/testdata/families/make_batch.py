#!/usr/bin/python3
"""Makes batch/: graphs of this folder that take any number of pictures, and one that takes two. make_batch.py, with python3-onnx, in
this folder, after make.py.

Each does with every picture of a batch, one after the other (Scan), what the graph that it is made of does with its one: so what is to be
seen in a picture is in that one's NAME.json, whatever else the batch holds.
"""
import os

import onnx
from onnx import helper as h, numpy_helper
import numpy as np

INNER = "one/"


def shape_of(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def batched(name, family, batch="batch", out=None):
    single = onnx.load(name + ".onnx")
    g = single.graph
    body, body_inputs, body_outputs, inputs, outputs = [], [], [], [], []
    zero = numpy_helper.from_array(np.array([0], np.int64), INNER + "axis")
    for value in g.input:
        kind, shape = value.type.tensor_type.elem_type, shape_of(value)
        inputs.append(h.make_tensor_value_info(value.name, kind, [batch] + shape[1:]))
        body_inputs.append(h.make_tensor_value_info(INNER + value.name + "/slice", kind, shape[1:]))
        body.append(h.make_node("Unsqueeze", [INNER + value.name + "/slice", INNER + "axis"], [INNER + value.name]))
    for node in g.node:
        inner = onnx.NodeProto()
        inner.CopyFrom(node)
        inner.name = INNER + node.name
        inner.input[:] = [INNER + n for n in node.input]
        inner.output[:] = [INNER + n for n in node.output]
        body.append(inner)
    for value in g.output:
        kind, shape = value.type.tensor_type.elem_type, shape_of(value)
        outputs.append(h.make_tensor_value_info(value.name, kind, [batch] + shape[1:]))
        body_outputs.append(h.make_tensor_value_info(INNER + value.name + "/slice", kind, shape[1:]))
        body.append(h.make_node("Squeeze", [INNER + value.name, INNER + "axis"], [INNER + value.name + "/slice"]))
    constants = [zero]
    for c in g.initializer:
        inner = onnx.TensorProto()
        inner.CopyFrom(c)
        inner.name = INNER + c.name
        constants.append(inner)
    scan = h.make_node("Scan", [v.name for v in inputs], [v.name for v in outputs], name="each", num_scan_inputs=len(inputs),
                       body=h.make_graph(body, "one", body_inputs, body_outputs, constants))
    model = h.make_model(h.make_graph([scan], name, inputs, outputs), opset_imports=single.opset_import, producer_name="vedette test")
    model.ir_version = single.ir_version
    h.set_model_props(model, dict({p.key: p.value for p in single.metadata_props}, family=family))
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join("batch", (out or name) + ".onnx"))


os.makedirs("batch", exist_ok=True)
for name, family in {
    "yolov5": "yolov5", "yolov8": "yolov8", "yolov8_float16": "yolov8", "yolov8_uint8_nhwc": "yolov8", "yolov10": "yolov10",
    "centernet": "centernet", "yolox_raw": "yolox", "yolox_decoded": "yolox", "rtdetr": "rtdetr", "dfine": "dfine", "rfdetr": "rfdetr",
    "ssd": "ssd", "nanodet": "nanodet", "nanodet_grids": "nanodet", "fastestdet": "fastestdet",
}.items():
    batched(name, family)
batched("yolov8", "yolov8", batch=2, out="two")
