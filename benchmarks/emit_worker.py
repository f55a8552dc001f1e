"""Writes one Graph with one library; a process of benchmarks/emit.py.

usage: emit_worker.py LIBRARY GRAPH OUT

The last line of stdout is JSON: ``seconds``, ``import_seconds``, ``peak_mb``. Exit code 3: the
library is not installed.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Writes a Graph into a file.
Write = Callable[[Any, Path], None]


def edgekit() -> Write:
    """Edgekit's own writer."""
    from edgekit.converters.tflite.file import schema
    from edgekit.converters.tflite.write import write_tflite

    schema()

    def emit(graph: Any, out: Path) -> None:
        write_tflite(graph, out, io="int8" if graph.quant else "float32")

    return emit


def tensorflow() -> Write:
    """TensorFlow's converter."""
    from tensorflow_converter import convert, import_tensorflow

    import_tensorflow()

    def emit(graph: Any, out: Path) -> None:
        out.write_bytes(convert(graph, io="int8" if graph.quant else "float32"))

    return emit


def litert_torch() -> Write:
    """litert-torch on the same network in torch; int8 by its own post-training quantization."""
    import litert_torch
    import torch
    from litert_torch.quantize import pt2e_quantizer, quant_config
    from torchao.quantization.pt2e import quantize_pt2e

    from edgekit.networks.torch_network import Network

    def emit(graph: Any, out: Path) -> None:
        network = Network(graph).eval()
        sample = (torch.zeros(1, 3, *graph.shapes[graph.input][:2]),)
        if not graph.quant:
            litert_torch.convert(network, sample).export(str(out))
            return
        quantizer = pt2e_quantizer.PT2EQuantizer().set_global(
            pt2e_quantizer.get_symmetric_quantization_config(is_per_channel=True)
        )
        exported = torch.export.export(network, sample).module()
        prepared = quantize_pt2e.prepare_pt2e(exported, quantizer)
        prepared(*sample)
        quantized = quantize_pt2e.convert_pt2e(prepared, fold_quantize=False)
        config = quant_config.QuantConfig(pt2e_quantizer=quantizer)
        litert_torch.convert(quantized, sample, quant_config=config).export(str(out))

    return emit


LIBRARIES = {"edgekit": edgekit, "tensorflow": tensorflow, "litert-torch": litert_torch}


def forget_peak() -> bool:
    """Begins a new measurement of the largest memory; only Linux can."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def read_peak(*, since_forgotten: bool) -> int:
    """Most bytes of memory that this process had."""
    if since_forgotten:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> int:
    library, source, out = sys.argv[1:]
    began = time.perf_counter()
    try:
        write = LIBRARIES[library]()
    except ImportError as error:
        print(f"not installed ({error})", file=sys.stderr)
        return 3
    imported = time.perf_counter()
    from edgekit.networks.graph import Graph

    graph = Graph.load(source)
    forgotten = forget_peak()
    started = time.perf_counter()
    write(graph, Path(out))
    ended = time.perf_counter()
    figures = {
        "seconds": round(ended - started, 4),
        "import_seconds": round(imported - began, 4),
        "peak_mb": round(read_peak(since_forgotten=forgotten) / 1e6, 1),
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
