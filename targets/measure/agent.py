"""The program that measures a .tflite model on a device: one file, sent there by edgekit.

It needs Python 3.9, numpy and a TFLite runtime, and nothing of edgekit. It has two sides, so that a
runtime may crash or hang and be a message: ``agent.py REQUEST.json`` goes through the steps of a
request and starts ``agent.py`` for each, which alone loads the runtime.
`edgekit.targets.measure.isolated` uses that second side on this host,
`edgekit.targets.measure.device` the whole.

All that is said is a line of JSON on stdout. What libraries print there goes to stderr.

A step, the line on stdin of the second side (with its pixels behind it, unless it names a file):
    model: path of the .tflite file.
    shape: [n, height, width, 3] of the pixels, which are uint8.
    pixels, first: a file of pixels, and which photo in it is the first; null for stdin.
    outputs: how many of the first outputs are an answer, one behind the other; 1 by default.
    table: 256 rows of 3 numbers, what the input is given for a byte in a channel; null for itself.
    library, options: of the delegate; library is null without one.
    plain: true for the runtime's own kernels, without XNNPACK.
    threads: of the kernels.
    repeat, seconds: how many runs follow on the first photo after one on each, and for how long.

Its answers: ``{"phase": ..., "done": runs}`` before each thing that native code may die in,
``{"photo": index, "output": base64}`` for each photo, then one ``{"result": ...}`` or
``{"error": kind, "cause": text}``.

A request has ``steps``, ``timeout_s`` of silence that a step may take, and ``sys``, where the
kernel's sensors are. Every line of its answers has the ``step`` that it is about; a result also has
the ``sensors``. A line on stdin every few seconds keeps it running: where they cease, nobody
listens, and it removes the folder that it lies in, and ends.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import functools
import glob
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

RUNTIMES = ("ai_edge_litert", "tflite_runtime", "tensorflow.lite.python")
GONE_S = 30.0  # without a sign of life from edgekit
TELL_S = 0.2  # between two signs of progress
SENSE_S = 1.0  # between two looks at the sensors
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, linux/prctl.h
CPU_ZONES = ("cpu", "soc", "x86_pkg", "tsens", "big", "little")
THROTTLED_FILE = "devices/platform/soc/soc:firmware/get_throttled"  # of the Raspberry Pi


class ChildError(Exception):
    """What is wrong, for the other side to put into words: its kind and its cause."""


def main() -> None:
    """Answers one request."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if path != here]  # its neighbours are not for import
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(**message: Any) -> None:
        with lock:
            answers.write(json.dumps(message) + "\n")
            answers.flush()

    if len(sys.argv) > 1:
        go_through(sys.argv[1], here, say)
        return
    with contextlib.suppress(Exception):  # no Linux
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    try:
        answer(json.loads(sys.stdin.buffer.readline()), say)
    except ChildError as error:
        kind, cause = error.args
        say(error=kind, cause=cause)
    except Exception as error:
        say(error="run", cause=str(error) or type(error).__name__)


# The side that loads the runtime.


def answer(request: dict[str, Any], say: Callable[..., None]) -> None:
    """Runs the model on every photo, then again on the first, and says what came of it.

    The result: in seconds ``delegate`` and ``load``, and ``runs`` with one of each run;
    ``runtime``, name and version; ``memory`` and ``base_memory``, the largest resident set in
    bytes after the last run and before the model was loaded, or null.
    """

    def enter(phase: str, done: int = 0) -> None:
        say(phase=phase, done=done)

    enter("while loading the runtime")
    runtime = load_runtime()
    import numpy as np

    base_memory = peak_memory()
    began = time.perf_counter()
    delegates = []
    if request["library"]:
        enter("while loading the delegate")
        delegates = [load_delegate(runtime, request["library"], request["options"])]
    loaded = time.perf_counter()
    enter("while loading the model")
    interpreter = load_model(runtime, request, delegates)
    ready = time.perf_counter()
    image, ends = interpreter.get_input_details()[0], interpreter.get_output_details()
    table = None if request["table"] is None else np.array(request["table"], image["dtype"])

    def run(photo: Any) -> float:
        fed = photo if table is None else table[photo, np.arange(3)]
        interpreter.set_tensor(image["index"], np.ascontiguousarray(fed[None]))
        start = time.perf_counter()
        interpreter.invoke()
        return time.perf_counter() - start

    runs, first, count = [], None, request.get("outputs", 1)
    for index, photo in enumerate(photos(request)):
        enter(f"in run {index + 1}" if index else "in the first run", index)
        runs.append(run(photo))
        first = photo if first is None else first
        output = b"".join(interpreter.get_tensor(end["index"]).tobytes() for end in ends[:count])
        say(photo=index, output=base64.b64encode(output).decode("ascii"))
    end = time.perf_counter() + (request.get("seconds") or float("inf"))
    for index in range(len(runs), len(runs) + request["repeat"]):
        if time.perf_counter() > end:
            break
        enter(f"in run {index + 1}", index)
        runs.append(run(first))
    # Said before the delegate is closed at the end of this function: that may hang, too.
    say(
        result={
            "delegate": loaded - began,
            "load": ready - loaded,
            "runs": runs,
            "runtime": describe(runtime),
            "memory": peak_memory(),
            "base_memory": base_memory,
        }
    )


def photos(request: dict[str, Any]) -> Any:
    """Yields the photos, uint8 [height, width, 3], each read when its turn comes."""
    import numpy as np

    count, *shape = request["shape"]
    size = shape[0] * shape[1] * shape[2]
    path = request.get("pixels")
    with open(path, "rb") if path else contextlib.nullcontext(sys.stdin.buffer) as source:
        if path:
            source.seek(request.get("first", 0) * size)
        for _ in range(count):
            yield np.frombuffer(source.read(size), np.uint8).reshape(shape)


def peak_memory() -> int | None:
    """The largest resident set so far, in bytes; None where the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            found = re.search(r"^VmHWM:\s*(\d+) kB", status.read(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def load_runtime() -> Any:
    """Returns the interpreter module of the first TFLite runtime that imports."""
    causes = []
    for name in RUNTIMES:
        try:
            return importlib.import_module(name + ".interpreter")
        except ImportError as error:
            causes.append(str(error))
    raise ChildError("runtime", "; ".join(causes))


def load_delegate(runtime: Any, library: str, options: dict[str, str]) -> Any:
    """Loads a delegate from a shared library, and tells a missing library from a missing device."""
    try:
        loaded = ctypes.CDLL(library)
    except OSError as error:
        raise ChildError("library", str(error)) from error
    try:
        loaded.tflite_plugin_create_delegate, loaded.tflite_plugin_destroy_delegate  # noqa: B018
    except AttributeError as error:
        raise ChildError("entry", str(error)) from error
    try:
        return runtime.load_delegate(library, options)
    except ValueError as error:
        raise ChildError("device", str(error)) from error


def load_model(runtime: Any, request: dict[str, Any], delegates: list[Any]) -> Any:
    """Returns an interpreter whose tensors are allocated."""
    arguments: dict[str, Any] = {"experimental_delegates": delegates} if delegates else {}
    if request["plain"]:
        kernels = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        arguments["experimental_op_resolver_type"] = kernels
    try:
        interpreter = runtime.Interpreter(
            model_path=request["model"], num_threads=request["threads"], **arguments
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ChildError("model", str(error)) from error
    return interpreter


def describe(runtime: Any) -> str:
    """Returns the runtime's name and version, such as "ai_edge_litert 2.1.0"."""
    name: str = runtime.__name__.split(".")[0]
    return f"{name} {getattr(sys.modules[name], '__version__', '')}".strip()


# The side that goes through the steps.


def go_through(path: str, here: str, say: Callable[..., None]) -> None:
    """Does the steps of a request one after the other; one that fails does not stop the next."""
    with open(path, encoding="utf-8") as file:
        request = json.load(file)
    running: list[Any] = []
    heard = [time.monotonic()]
    threading.Thread(target=wait_for_silence, args=(here, running, heard), daemon=True).start()
    try:
        do_all(request, running, say)
    except OSError:  # what we say reaches nobody
        leave(here, running)
    over = time.monotonic()
    while heard[0] < over:  # somebody is there to remove the folder, or we do it
        time.sleep(0.02)


def do_all(request: dict[str, Any], running: list[Any], say: Callable[..., None]) -> None:
    """Does the steps; ``running`` holds the process that does one."""
    for number, step in enumerate(request["steps"]):
        tell = functools.partial(say, step=number)
        sensors = Sensors(request.get("sys") or "/sys")
        if step.get("cool"):
            cool_down(sensors, step["cool"], functools.partial(tell, phase="while it cools"))
        with sensors:
            last = do(step, request["timeout_s"], running, tell)
        tell(sensors=sensors.seen(), **last)


def do(
    step: dict[str, Any], timeout_s: float, running: list[Any], say: Callable[..., None]
) -> dict[str, Any]:
    """Does a step in a process of its own, and returns what it said last."""
    process: Any = subprocess.Popen(  # noqa: S603 - a list, no shell
        [sys.executable, os.path.abspath(__file__)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    running[:] = [process]
    said: list[bytes] = []
    saying = threading.Thread(target=keep_end, args=(process.stderr, said), daemon=True)
    saying.start()
    silence = [time.monotonic()]
    hung = threading.Event()

    def watch() -> None:
        while process.poll() is None:
            if time.monotonic() - silence[0] > timeout_s:
                hung.set()
                process.kill()
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()
    phase, told = "while it started", 0.0
    last: dict[str, Any] | None = None
    with contextlib.suppress(OSError):  # it is dead: it has no answer, either
        process.stdin.write(json.dumps(step).encode() + b"\n")
        process.stdin.close()
    for line in process.stdout:
        silence[0] = time.monotonic()
        message = json.loads(line)
        if "result" in message or "error" in message:
            last = message
            break
        phase = message.get("phase", phase)
        if "output" in message or silence[0] - told > TELL_S:
            told = silence[0]
            say(**message)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    process.kill()
    code = process.wait()
    saying.join(1)
    if last is not None:
        return last
    words = b"".join(said).decode("utf-8", "replace").strip().split("\n")[-1]
    if hung.is_set():
        return {"error": "hung", "phase": phase, "cause": words}
    return {"error": "died", "phase": phase, "code": code, "cause": words}


def keep_end(stream: Any, said: list[bytes]) -> None:
    """Reads a stream to its end, and keeps the last of it."""
    for line in stream:
        said[:] = [*said[-20:], line]


def wait_for_silence(here: str, running: list[Any], heard: list[float]) -> None:
    """Ends all when edgekit is gone: its lines cease, or stdin ends.

    ``heard`` holds when it was last heard of.
    """

    def listen() -> None:
        while os.read(0, 4096):  # unbuffered: a thread that waits in a buffer breaks the end
            heard[0] = time.monotonic()
        heard[0] = float("-inf")

    threading.Thread(target=listen, daemon=True).start()
    while time.monotonic() - heard[0] < GONE_S:
        time.sleep(0.2)
    leave(here, running)


def leave(here: str, running: list[Any]) -> None:
    """Ends everything, and removes the folder of edgekit that this file lies in."""
    for process in running:
        process.kill()
    if os.path.basename(here).startswith("edgekit-"):
        shutil.rmtree(here, ignore_errors=True)
    os._exit(1)


def cool_down(sensors: Sensors, cool: dict[str, float], tell: Callable[[], None]) -> None:
    """Waits until the processor is as cool as asked for, or for as long as that may take."""
    end = time.monotonic() + cool["seconds"]
    while time.monotonic() < end:
        temperature = sensors.look()["temperature_c"]
        if temperature is not None and temperature <= cool["below_c"]:
            return
        tell()
        time.sleep(min(SENSE_S, max(end - time.monotonic(), 0)))


class Sensors:
    """Temperature, clock and governor: before, while and after the body of ``with`` runs.

    Args:
        root: where sysfs is.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._samples: list[dict[str, Any]] = []
        self._over = threading.Event()
        self._tool = shutil.which("vcgencmd") or "/opt/vc/bin/vcgencmd"

    def __enter__(self) -> Sensors:
        self._samples.append(self.look())
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._samples.append(self.look())

    def _keep_looking(self) -> None:
        while not self._over.wait(SENSE_S):
            self._samples.append(self.look())

    def seen(self) -> dict[str, Any]:
        """The samples: ``before``, ``during`` (one a second) and ``after``."""
        before, *during, after = self._samples
        return {"before": before, "during": during, "after": after}

    def look(self) -> dict[str, Any]:
        """One sample; null for what the device does not say."""
        clocks = [self._number(path) for path in self._all("cpufreq/scaling_cur_freq")]
        limits = [self._number(path) for path in self._all("cpufreq/scaling_max_freq")]
        highest = [self._number(path) for path in self._all("cpufreq/cpuinfo_max_freq")]
        governors = [self._text(path) for path in self._all("cpufreq/scaling_governor")]
        return {
            "temperature_c": self._temperature(),
            "clock_mhz": largest(clocks, 1e-3),
            "limit_mhz": largest(limits, 1e-3),
            "max_clock_mhz": largest(highest, 1e-3),
            "governor": governors[0] if governors else None,
            "throttled": self._throttled(),
        }

    def _all(self, name: str) -> list[str]:
        return sorted(glob.glob(f"{self._root}/devices/system/cpu/cpu[0-9]*/{name}"))

    def _temperature(self) -> float | None:
        """Of the hottest zone of a processor; of all where none is called so."""
        zones = {}
        for zone in glob.glob(f"{self._root}/class/thermal/thermal_zone*"):
            value = self._number(f"{zone}/temp")
            if value is not None and -40e3 < value < 200e3:
                zones[zone] = value
        of_cpu = {z for z in zones if any(w in self._text(f"{z}/type").lower() for w in CPU_ZONES)}
        return largest([zones[zone] for zone in of_cpu or zones], 1e-3)

    def _throttled(self) -> int | None:
        """The bits of the Raspberry Pi's firmware."""
        text = self._text(f"{self._root}/{THROTTLED_FILE}")
        if not text and os.path.exists(self._tool):
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                line = [self._tool, "get_throttled"]
                text = subprocess.run(  # noqa: S603 - a list, no shell
                    line, stdout=subprocess.PIPE, timeout=5, check=False
                ).stdout.decode("ascii", "replace")
        found = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]+)", text.strip())
        return int(found[1], 16) if found else None

    def _text(self, path: str) -> str:
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                return file.read(256).strip()
        except OSError:
            return ""

    def _number(self, path: str) -> float | None:
        try:
            return float(self._text(path))
        except ValueError:
            return None


def largest(values: list[Any], unit: float) -> float | None:
    """The largest of the values that are there, in another unit."""
    known = [value for value in values if value is not None]
    return round(max(known) * unit, 1) if known else None


if __name__ == "__main__":
    main()
