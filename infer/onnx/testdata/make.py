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
model("float16", [h.make_node("Cast", ["x"], ["y"], to=T.FLOAT16)], [x], [v("y", T.FLOAT16, ["batch", 3])])
model("bytes", [h.make_node("Cast", ["x"], ["y"], to=T.FLOAT)],
      [v("x", T.UINT8, [1, 4])], [v("y", T.FLOAT, [1, 4])])
# An index out of bounds makes a run fail.
model("pick", [h.make_node("Gather", ["x", "i"], ["y"], axis=1)],
      [v("x", T.FLOAT, [1, 3]), v("i", T.INT64, [1])], [v("y", T.FLOAT, [1, 1])])
