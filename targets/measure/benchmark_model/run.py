"""Runs a .tflite classifier with TensorFlow Lite's `benchmark_model` on a host without Python.

The tool's flags are those of `tensorflow/lite/tools/benchmark/README.md`, `benchmark_model.cc` and
`benchmark_tflite_model.cc`. The tool itself could not be tried here: what is tested is a stand-in
that takes these flags, prints these lines and runs the model in LiteRT.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.converters.tflite.file import Tensor, TFLiteModel
from edgekit.data.images import Pixels
from edgekit.errors import EdgekitError, UsageError, did_you_mean
from edgekit.system.paths import StrPath
from edgekit.targets.devices.hosts import Host, Ran
from edgekit.targets.measure.benchmark_model.output import (
    DELEGATES,
    failure,
    parse_latency,
    unstarted,
)
from edgekit.targets.measure.raw import answer_outputs

CHUNK = 4 * 2**20  # bytes of photos that go to the host at a time
TIMEOUT_S = 60.0
# The peak is the kernel's high-water mark, which the tool reads once more at the end: a look at it
# now and then loses nothing, and the thread that looks hardly disturbs what is timed.
CHECK_MS = 1000
# The name of an input is what the flags say, whatever the model calls it; this one, and a relative
# path, have none of the characters that separate the parts of a flag.
INPUT = "image"

# Runs the tool (the arguments after the first three) on one photo after another. It needs nothing
# but a POSIX shell and toybox.
SCRIPT = """\
size=$1 expected=$2 photos=$3
shift 3
: > outputs.bin || exit 1
i=0
while [ $i -lt $photos ]; do
  if ! dd if=photos.bin of=photo.bin bs=$size skip=$i count=1 2> said.txt; then
    cat said.txt >&2
    exit 1
  fi
  rm -f output.bin
  "$@" > said.txt 2>&1 < /dev/null
  code=$?
  bytes=0
  if [ -f output.bin ]; then bytes=$(($(wc -c < output.bin))); fi
  if [ $code -ne 0 ] || [ $bytes -ne $expected ]; then
    tail -n 60 said.txt >&2
    echo "failed $i $code $bytes"
    exit 0
  fi
  if [ $i -eq 0 ]; then cat said.txt >&2; fi
  cat output.bin >> outputs.bin || exit 1
  i=$((i + 1))
  echo "done $i"
done
"""

_MACHINES = {  # e_machine: (32 or 64 bit, name)
    3: (32, "x86"),
    40: (32, "arm"),
    62: (64, "x86_64"),
    183: (64, "aarch64"),
    243: (64, "riscv64"),
}
_RUNS_ON = {  # by `uname -m`
    "aarch64": ("aarch64", "arm"),
    "arm64": ("aarch64", "arm"),
    "armv6l": ("arm",),
    "armv7l": ("arm",),
    "armv8l": ("arm",),
    "x86_64": ("x86_64", "x86"),
    "i686": ("x86",),
    "i586": ("x86",),
    "riscv64": ("riscv64",),
}


@dataclass(frozen=True)
class Benchmark:
    """A model and the tool, both already on a host.

    Attributes:
        host: where they are.
        binary_there: absolute path of the tool there; it may be executed.
        model_there: absolute path of the model there.
        folder: absolute path of a folder there that may be written to.
        model: what the model's file holds: one input [1, height, width, 3].
    """

    host: Host
    binary_there: str
    model_there: str
    folder: str
    model: TFLiteModel

    def latency(
        self, threads: int, delegate: str, runs: int, seconds: float, timeout_s: float
    ) -> dict[str, Any]:
        """Measures load, first and repeated runs on random input, in one process of the tool.

        Args:
            threads: of the kernels on the CPU.
            delegate: "none" for the runtime's own kernels, "xnnpack" or "gpu".
            runs: how many are measured, after some to warm up.
            seconds: at most this long; fewer runs are measured then, but always one.
            timeout_s: how many seconds the tool may take in all.

        Returns:
            What `parse_latency` returns, in ms and bytes, and ``text``: what the tool printed.

        Raises:
            UsageError: there is no such delegate.
            MissingToolError: the tool cannot be started.
            EdgekitError: it cannot use the delegate or load the model, crashed or hung.
        """
        flags = [
            f"--num_runs={runs}",
            "--min_secs=0",
            f"--max_secs={seconds:g}",
            "--warmup_runs=1",
            "--report_peak_memory_footprint=true",
            f"--memory_footprint_check_interval_ms={CHECK_MS}",
        ]
        command = self._command(threads, delegate) + flags
        try:
            ran = self.host.run(command, self.folder, timeout_s)
        except OSError as error:  # this machine starts it without a shell
            raise unstarted(str(error)) from error
        self._check(ran, delegate, timeout_s, "while its speed was measured")
        return parse_latency(ran.text, delegate) | {"text": ran.text}

    def scores(
        self,
        pixels: Pixels,
        table: npt.NDArray[Any] | None,
        progress: Callable[[int, int], None],
        already: int = 0,
        *,
        threads: int = 1,
        delegate: str = "xnnpack",
        timeout_s: float = TIMEOUT_S,
    ) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Classifies photos, each in a process of its own, as the tool repeats one input only.

        Args:
            pixels: uint8 [n, height, width, 3], RGB.
            table: of `edgekit.runtimes.litert.feed_table`: [256, 3], what the input is fed for a
                byte in a channel; None for the byte itself.
            progress: is called with the photos done and in all.
            already: how many of the first photos are left out.
            threads: of the kernels on the CPU.
            delegate: as for `latency`.
            timeout_s: how many seconds a photo may take.

        Yields:
            The index of a photo, and the model's answer for it: flat, in its own type; of several
            outputs that are rows one behind the other.

        Raises:
            UsageError: the pixels are not of the model's size, or there is no such delegate.
            MissingToolError: the tool cannot be started.
            EdgekitError: it failed on a photo, crashed, hung, or wrote no outputs.
        """
        image = self.model.tensors[self.model.inputs[0]]
        if pixels.dtype != np.uint8 or pixels.shape[1:] != image.shape[1:]:
            raise UsageError(
                f"the model takes uint8 pixels {list(image.shape[1:])}",
                cause=f"it was given {pixels.dtype} {list(pixels.shape[1:])}",
            )
        command = self._command(threads, delegate) + _one_photo(image)
        step = max(1, CHUNK // _nbytes(image))
        for start in range(already, len(pixels), step):
            chunk = pixels[start : start + step]
            fed = chunk if table is None else table[chunk, np.arange(3)]
            data = np.ascontiguousarray(fed, _dtype(image)).tobytes()
            run = _Chunk(start, len(chunk), len(pixels), progress)
            yield from enumerate(self._run_chunk(run, data, command, delegate, timeout_s), start)

    def _run_chunk(
        self, chunk: _Chunk, data: bytes, command: list[str], delegate: str, timeout_s: float
    ) -> Iterator[npt.NDArray[Any]]:
        """Gives the answer for each photo of a chunk."""
        outputs = [self.model.tensors[index] for index in self.model.outputs]
        size = sum(map(_nbytes, outputs))
        with tempfile.TemporaryDirectory() as here:
            file = Path(here, "photos.bin")
            file.write_bytes(data)
            self.host.put(file, f"{self.folder}/photos.bin")
            numbers = [len(data) // chunk.photos, size, chunk.photos]
            ran = self.host.follow(
                ["sh", "-c", SCRIPT, "sh", *map(str, numbers), *command],
                self.folder,
                timeout_s,
                chunk.hear,
                lambda: None,
            )
            self._check_chunk(chunk, ran, size, delegate, timeout_s)
            file = Path(here, "outputs.bin")
            found = self.host.get(f"{self.folder}/outputs.bin", file)
            written = file.read_bytes() if found else b""
        if len(written) != size * chunk.photos:
            raise EdgekitError(
                f"the outputs of photos {chunk.start} to {chunk.start + chunk.photos - 1} are not "
                f"as they were written on {self.host.name}",
                cause=f"{len(written)} bytes, not {size * chunk.photos}",
            )
        for photo in range(chunk.photos):
            answers = answer_outputs(self.model)
            first = written[photo * size :][: sum(map(_nbytes, answers))]
            alike = len({answer.dtype for answer in answers}) == 1
            yield np.frombuffer(first, _dtype(answers[0]) if alike else np.uint8)

    def _check_chunk(
        self, chunk: _Chunk, ran: Ran, size: int, delegate: str, timeout_s: float
    ) -> None:
        """Raises what went wrong in a chunk, if anything, with the photo's index."""
        doing = f"on photo {chunk.start + chunk.done}"
        if chunk.failed is None:
            self._check(ran, delegate, timeout_s, doing)
            if chunk.done != chunk.photos:
                raise EdgekitError(f"the script on {self.host.name} broke off {doing}")
            return
        code, found = chunk.failed
        self._check(Ran(code, ran.text), delegate, timeout_s, doing)
        if not found:
            raise EdgekitError(
                f"benchmark_model wrote no outputs {doing}",
                cause="a build before --output_filepath, or the folder is full",
                hint="take a newer build of the tool",
            )
        raise EdgekitError(
            f"benchmark_model wrote outputs of another size {doing}",
            cause=f"{found} bytes, not {size}",
        )

    def _check(self, ran: Ran, delegate: str, timeout_s: float, doing: str) -> None:
        """Raises why the tool failed, if it did."""
        error = failure(
            ran, model=self.model_there, delegate=delegate, timeout_s=timeout_s, doing=doing
        )
        if error:
            raise error

    def _command(self, threads: int, delegate: str) -> list[str]:
        """The tool, and what every run of it is told."""
        if delegate not in DELEGATES:
            raise UsageError(
                f"benchmark_model has no delegate '{delegate}'",
                hint=did_you_mean(delegate, DELEGATES),
            )
        use = {"none": "--use_xnnpack=false", "xnnpack": "--use_xnnpack=true"}
        return [
            self.binary_there,
            f"--graph={self.model_there}",
            f"--num_threads={threads}",
            use.get(delegate, f"--use_{delegate}=true"),
        ]


@dataclass
class _Chunk:
    """Photos that are run together, and what the script says of them.

    Attributes:
        start: index of the first.
        photos: how many they are.
        total: how many there are in all.
        progress: is called with the photos done and in all.
        done: how many of these are.
        failed: exit code and bytes of output for the first that is not; None as long as all are.
    """

    start: int
    photos: int
    total: int
    progress: Callable[[int, int], None]
    done: int = 0
    failed: tuple[int, int] | None = None

    def hear(self, line: str) -> None:
        """Takes a line of the script."""
        word, *numbers = line.split()[:4] or [""]
        if word == "done":
            self.done = int(numbers[0])
            self.progress(self.start + self.done, self.total)
        elif word == "failed":
            self.failed = int(numbers[1]), int(numbers[2])


def check_binary(path: StrPath, machine: str) -> None:
    """Checks that a program is one for a device's processor.

    Args:
        path: of the program on this machine.
        machine: what ``uname -m`` says on the device; for one that is not known here, any will do.

    Raises:
        UsageError: the file cannot be read, is no program, or is for another processor.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError as error:
        raise UsageError(f"cannot read {path}", cause=error.strerror) from error
    if len(header) < 20 or header[:4] != b"\x7fELF":
        raise UsageError(
            f"{path} is not a program for {machine}",
            cause="it is no ELF file",
            hint="give TensorFlow Lite's benchmark_model as built for the device",
        )
    bits = {1: 32, 2: 64}.get(header[4])
    order = ">" if header[5] == 2 else "<"
    (number,) = struct.unpack(order + "H", header[18:20])
    width, name = _MACHINES.get(number, (None, f"ELF machine {number}"))
    fits = order == "<" and bits == width and name in _RUNS_ON.get(machine, ())
    if machine in _RUNS_ON and not fits:
        raise UsageError(
            f"{path} is built for {name} ({bits} bit), and the device is {machine}",
            hint=f"give a benchmark_model for {machine}",
        )


def _one_photo(image: Tensor) -> list[str]:
    """What the tool is told to run once, on the bytes in photo.bin."""
    return [
        f"--input_layer={INPUT}",
        f"--input_layer_shape={','.join(map(str, image.shape))}",
        f"--input_layer_value_files={INPUT}:photo.bin",
        "--output_filepath=output.bin",
        "--num_runs=1",
        "--min_secs=0",
        "--warmup_runs=0",
        "--warmup_min_secs=0",
    ]


def _dtype(tensor: Tensor) -> np.dtype[Any]:
    return np.dtype(tensor.dtype).newbyteorder("<")


def _nbytes(tensor: Tensor) -> int:
    return int(np.prod(tensor.shape, dtype=np.int64)) * _dtype(tensor).itemsize
