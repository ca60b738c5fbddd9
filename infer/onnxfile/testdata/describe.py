#!/usr/bin/python3
"""What ONNX reads in a model file that its checker accepts: FILE."""
import sys

import onnx
from onnx import helper, numpy_helper

model = onnx.load(sys.argv[1])
onnx.checker.check_model(model, full_check=True)
print(model.producer_name, model.producer_version, "ir", model.ir_version, [(o.domain, o.version) for o in model.opset_import])
print([(p.key, p.value) for p in model.metadata_props])
graph = model.graph
print(graph.name)
for value in [*graph.input, *graph.output]:
    kind = value.type.tensor_type
    print(value.name, kind.elem_type, [d.dim_param or d.dim_value for d in kind.shape.dim])
for tensor in graph.initializer:
    array = numpy_helper.to_array(tensor)
    print(tensor.name, array.dtype, array.shape, array.ravel().tolist())
for node in graph.node:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    print(node.op_type, node.name, list(node.input), list(node.output), attributes)
