# This layer has ONNX Runtime with CUDA and TensorRT. It is loaded at run time: nothing here is compiled with CUDA.
PACKAGECONFIG:append:tegra = " runtime"
