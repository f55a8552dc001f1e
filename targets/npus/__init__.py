"""What targets with an NPU of ONNX have in common: the file that they take, what is mapped."""
