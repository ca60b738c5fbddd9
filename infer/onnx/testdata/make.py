#!/usr/bin/python3
"""Makes the small models of this folder: make.py, with python3-onnx, in this folder."""
import onnx
from onnx import TensorProto as T, helper as h


def model(name, nodes, inputs, outputs, initializers=(), opset=13, ir=8, metadata=None):
    graph = h.make_graph(nodes, name, inputs, outputs, list(initializers))
    m = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], producer_name="vedette test")
    m.ir_version = ir
    if metadata:
        h.set_model_props(m, metadata)
    with open(name + ".onnx", "wb") as f:
        f.write(m.SerializeToString())


v = h.make_tensor_value_info
one = h.make_tensor("one", T.FLOAT, [], [1.0])
add = [h.make_node("Add", ["x", "one"], ["y"])]
x, y = v("x", T.FLOAT, ["batch", 3]), v("y", T.FLOAT, ["batch", 3])

model("free_batch", add, [x], [y], [one], metadata={"family": "plus-one", "names": '["a", "b"]'})
model("free_width", add, [v("x", T.FLOAT, [1, "width"])], [v("y", T.FLOAT, [1, "width"])], [one])
model("huge", add, [v("x", T.FLOAT, [1, 1 << 40, 1 << 40])], [v("y", T.FLOAT, [1, 1 << 40, 1 << 40])], [one])
model("large", add, [v("x", T.FLOAT, [1, 1 << 20])], [v("y", T.FLOAT, [1, 1 << 20])], [one])
model("opset99", add, [x], [y], [one], opset=99)
model("ir99", add, [x], [y], [one], ir=99)
model("unknown_op", [h.make_node("Nonsense", ["x"], ["y"])], [x], [y])
for name, kind in ("float16", T.FLOAT16), ("int64", T.INT64), ("int32", T.INT32), ("uint8", T.UINT8), ("bool", T.BOOL), \
        ("text", T.STRING):
    model(name, [h.make_node("Cast", ["x"], ["y"], to=kind)], [x], [v("y", kind, ["batch", 3])])
model("float16_in", [h.make_node("Cast", ["x"], ["y"], to=T.FLOAT)], [v("x", T.FLOAT16, ["batch", 3])], [y])
# What it makes of a free size is known by running it only: the output's last dimension is a name of its own.
model("free_size", [h.make_node("Reshape", ["x", "shape"], ["y"])], [v("x", T.FLOAT, ["batch", 3, "height", "width"])],
      [v("y", T.FLOAT, ["batch", 3, "cells"])], [h.make_tensor("shape", T.INT64, [3], [0, 0, -1])])
model("bytes", [h.make_node("Cast", ["x"], ["y"], to=T.FLOAT)],
      [v("x", T.UINT8, [1, 4])], [v("y", T.FLOAT, [1, 4])])
# An index out of bounds makes a run fail.
model("pick", [h.make_node("Gather", ["x", "i"], ["y"], axis=1)],
      [v("x", T.FLOAT, [1, 3]), v("i", T.INT64, [1])], [v("y", T.FLOAT, [1, 1])])
