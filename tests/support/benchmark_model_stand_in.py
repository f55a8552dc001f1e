"""A TEST FIXTURE in the place of TensorFlow Lite's `benchmark_model`.

It takes the flags of the tool that edgekit gives, prints the tool's lines as they are documented,
and runs the model in LiteRT. It is no measurement of the tool itself.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

# Put together from outputs that users published. Around TensorFlow 2.4: bare lines, no percentiles.
OLD = """\
STARTING!
Loaded model /data/local/tmp/yolov5s_fp32_640.tflite
Explicitly applied XNNPACK delegate, and the model graph will be partially executed by the delegate w/ 22 delegate kernels.
Initialized session in 16.242ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150
count=2 first=360262 curr=248910 min=248910 max=360262 avg=304586 std=55676

count=50 first=249042 curr=250889 min=247067 max=254474 avg=249684 std=1442

Inference timings in us: Init: 16242, First inference: 360262, Warmup (avg): 304586, Inference (avg): 249684
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE
Peak memory footprint (MB): init=4.92969 overall=138.809
"""  # noqa: E501
# The same for newer builds: prefixes, percentiles, the peak.
NEW = """\
INFO: STARTING!
INFO: Created TensorFlow Lite delegate for GPU.
VERBOSE: Replacing 49 out of 49 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1
INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.
INFO: Initialized session in 5664.36ms.
INFO: count=2 first=328140 curr=309932 min=309932 max=328140 avg=319036 std=9104 p5=309932 median=328140 p95=328140

INFO: count=50 first=307215 curr=309783 min=305938 max=333030 avg=2.95034e+05 std=4411 p5=306372 median=307968 p95=315711

INFO: Inference timings in us: Init: 5664363, First inference: 328140, Warmup (avg): 319036, Inference (avg): 2.95034e+05
INFO: Memory footprint delta from the start of the tool (MB): init=54.2852 overall=73.4102
INFO: Overall peak memory footprint (MB) via periodic monitoring: 74.5
"""  # noqa: E501


def install(folder: Path, generation: str = "new") -> Path:
    """Writes an executable that runs this file as a generation of the tool.

    Args:
        folder: where it goes.
        generation: "new" prints percentiles, "old" none, "ancient" writes no outputs either.
    """
    path = folder / f"benchmark_model-{generation}"
    script = Path(__file__).resolve()
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{script}' {generation} \"$@\"\n")
    path.chmod(0o755)
    return path


def main(generation: str, arguments: list[str]) -> int:
    """Runs the tool."""
    info = "INFO: " if generation == "new" else ""
    error = "ERROR: " if generation == "new" else ""

    def say(text: str) -> None:
        print(info + text, flush=True)

    def fail(text: str) -> int:
        for line in (text, "Benchmarking failed."):
            print(error + line, file=sys.stderr, flush=True)
        return 1

    flags = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
    say("STARTING!")
    say("Log parameter values verbosely: [0]")
    say(f"Graph: [{flags['graph']}]")
    if not Path(flags["graph"]).is_file():
        print(f"{error}Could not open '{flags['graph']}'.", file=sys.stderr)
        return fail(f"Failed to load model {flags['graph']}")
    say(f"Loaded model {flags['graph']}")
    began = time.perf_counter()
    try:
        interpreter = load(flags)
    except (RuntimeError, ValueError) as problem:
        print(f"{error}{problem}", file=sys.stderr)
        return fail("Failed to initialize the interpreter")
    if flags.get("use_xnnpack") == "true":
        say("Created TensorFlow Lite XNNPACK delegate for CPU.")
        say(
            "Explicitly applied XNNPACK delegate, and the model graph will be partially executed "
            "by the delegate w/ 1 delegate kernels."
        )
    if flags.get("use_gpu") == "true":
        print("WARN: GPU acceleration is unsupported on this platform.", flush=True)
    init = (time.perf_counter() - began) * 1e6
    say(f"Initialized session in {init / 1e3:g}ms.")
    try:
        values = read_input(flags, interpreter.get_input_details()[0])
    except ValueError as problem:
        print(f"FATAL: {problem}", file=sys.stderr, flush=True)
        return 134  # it aborts
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    warm = repeat(interpreter, int(flags["warmup_runs"]), 150)
    say(stats(warm, generation) + "\n")
    runs = repeat(interpreter, int(flags["num_runs"]), float(flags.get("max_secs", 150)))
    say(stats(runs, generation) + "\n")
    first, mean = (warm[0], sum(warm) / len(warm)) if warm else (0, 0)
    say(
        f"Inference timings in us: Init: {init:.0f}, First inference: {first}, "
        f"Warmup (avg): {mean:g}, Inference (avg): {sum(runs) / len(runs):g}"
    )
    say("Memory footprint delta from the start of the tool (MB): init=3.5 overall=7.25")
    if generation == "new" and flags.get("report_peak_memory_footprint") == "true":
        say("Overall peak memory footprint (MB) via periodic monitoring: 93.5")
    if generation != "ancient" and "output_filepath" in flags:
        outputs = [interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()]
        Path(flags["output_filepath"]).write_bytes(b"".join(o.tobytes() for o in outputs))
    return 0


def load(flags: dict):
    """Returns an interpreter whose tensors are allocated."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = flags.get("use_xnnpack") == "false"
    kernels = "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if plain else "BUILTIN"
    interpreter = Interpreter(
        model_path=flags["graph"],
        num_threads=int(flags["num_threads"]),
        experimental_op_resolver_type=OpResolverType[kernels],
    )
    interpreter.allocate_tensors()
    return interpreter


def read_input(flags: dict, image: dict):
    """Returns what the value file says, or random values."""
    import numpy as np

    size = int(np.prod(image["shape"])) * np.dtype(image["dtype"]).itemsize
    if "input_layer_value_files" not in flags:
        data = np.random.default_rng().integers(0, 100, size, np.uint8).tobytes()
    else:
        name, path = flags["input_layer_value_files"].split(":")
        shape = [int(number) for number in flags["input_layer_shape"].split(",")]
        assert name == flags["input_layer"]
        assert shape == list(image["shape"])
        data = Path(path).read_bytes()
    if len(data) != size:
        raise ValueError(f"The size of {path} is {len(data)} bytes. It should be {size} bytes.")
    return np.frombuffer(data, image["dtype"]).reshape(image["shape"])


def repeat(interpreter, runs: int, seconds: float) -> list[int]:
    """Returns the microseconds of each run."""
    times, began = [], time.perf_counter()
    while len(times) < runs and time.perf_counter() - began <= seconds:
        start = time.perf_counter()
        interpreter.invoke()
        times.append(round((time.perf_counter() - start) * 1e6))
    return times


def stats(times: list[int], generation: str) -> str:
    """Prints as `tsl::Stat` does."""
    if not times:
        return "count=0"
    said = f"count={len(times)} "
    if min(times) == max(times):
        said += f"curr={times[-1]}" + ("(all same)" if len(times) > 1 else "")
    else:
        mean = sum(times) / len(times)
        deviation = (sum(t * t for t in times) / len(times) - mean**2) ** 0.5
        said += f"first={times[0]} curr={times[-1]} min={min(times)} max={max(times)} "
        said += f"avg={mean:g} std={deviation:.0f}"
    if generation == "new":
        ranked = sorted(times)
        at = [ranked[int(len(times) * part / 100)] for part in (5, 50, 95)]
        said += f" p5={at[0]} median={at[1]} p95={at[2]}"
    return said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
