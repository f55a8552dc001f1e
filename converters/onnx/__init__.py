"""ONNX: the writer, and the reader of finished files."""
