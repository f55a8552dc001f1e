"""With a stand-in for the tool that runs LiteRT, and with what the tool was seen to print."""

from __future__ import annotations

import platform
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from benchmark_model_stand_in import NEW, OLD, install
from prerequisites import needs
from ssh_server import SSHD, serve
from tiny_tflite import SIZE, TinyModel, float_io

from edgekit.converters.tflite import file as tflite_file
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import EdgekitError, MissingToolError, UsageError
from edgekit.runtimes.litert import feed_table
from edgekit.targets.devices.address import parse_url
from edgekit.targets.devices.hosts import LocalHost, Ran
from edgekit.targets.devices.ssh import SSHHost
from edgekit.targets.measure.benchmark_model import run as benchmark_model
from edgekit.targets.measure.benchmark_model import sensors as benchmark_sensors
from edgekit.targets.measure.benchmark_model.output import failure, parse_latency, signal_name
from edgekit.targets.measure.benchmark_model.run import Benchmark, check_binary

LOGCAT = "".join(
    f"11-24 18:00:00.123  4000  4000 I tflite  : {line.removeprefix('INFO: ')}\n"
    for line in NEW.splitlines()
)


def test_parses_a_build_without_percentiles():
    assert parse_latency(OLD, "xnnpack") == {
        "load": 16.242,
        "first": 360.262,
        "median": None,
        "p5": None,
        "p95": None,
        "mean": 249.684,
        "n": 50,
        "memory_bytes": None,
        "delegate_applied": True,
    }


@pytest.mark.parametrize("text", [NEW, NEW.replace("\n", "\r\n"), LOGCAT, LOGCAT + NEW])
def test_parses_a_build_with_percentiles(text):
    assert parse_latency(text, "gpu") == {
        "load": 5664.363,
        "first": 328.14,
        "median": 307.968,
        "p5": 306.372,
        "p95": 315.711,
        "mean": 295.034,
        "n": 50,
        "memory_bytes": 78118912,
        "delegate_applied": True,
    }


@pytest.mark.parametrize("line", ["count=3 curr=70(all same)", "count=1 curr=70"])
def test_runs_of_one_length_need_no_percentiles(line):
    text = f"{line}\nInference timings in us: Init: 1, First inference: 2, Warmup (avg): nan, "
    parsed = parse_latency(text + "Inference (avg): 70\n", "none")
    assert [parsed[name] for name in ("p5", "median", "p95", "mean")] == [0.07] * 4
    assert parsed["delegate_applied"] is None


@pytest.mark.parametrize(
    "text", ["", NEW[:300], NEW[: NEW.index("Inference (avg)") + 15], OLD[:90]]
)
def test_output_that_breaks_off_has_no_timings(text):
    with pytest.raises(EdgekitError, match="printed no timings"):
        parse_latency(text, "none")


def test_a_delegate_that_takes_nothing():
    text = NEW.replace(
        "Explicitly applied GPU delegate, and the model graph will be completely executed by",
        "Though GPU delegate is explicitly applied, the model graph will not be executed by",
    )
    assert parse_latency(text, "gpu")["delegate_applied"] is False


def fail(code, text="", delegate="none"):
    return failure(
        Ran(code, text), model="/m.tflite", delegate=delegate, timeout_s=9, doing="on photo 7"
    )


@pytest.mark.parametrize(
    ("code", "text", "delegate", "kind", "words"),
    [
        (139, "Segmentation fault", "gpu", EdgekitError, "killed by SIGSEGV on photo 7"),
        (-11, "", "none", EdgekitError, "killed by SIGSEGV on photo 7"),
        (134, "FATAL: too small", "none", EdgekitError, "too small"),
        (137, "Killed", "none", EdgekitError, "free some memory"),
        (None, "INFO: STARTING!", "none", EdgekitError, "hung on photo 7 and was stopped after 9"),
        (127, "sh: ./b: No such file or directory", "none", MissingToolError, "android_aarch64"),
        (126, "sh: ./b: Permission denied", "none", MissingToolError, "Permission denied"),
        (1, 'CANNOT LINK EXECUTABLE "./b": library', "none", MissingToolError, "statically"),
        (1, "ERROR: Failed to load model /m", "none", EdgekitError, "cannot load /m.tflite"),
        (1, "E tflite  : ERROR: Bad thing.", "none", EdgekitError, "cause: Bad thing."),
        (1, "", "none", EdgekitError, "it said nothing"),
        (
            1,
            "ERROR: TfLiteGpuDelegate Init: no CL\nERROR: Failed to apply GPU delegate.",
            "gpu",
            EdgekitError,
            "cannot use the delegate 'gpu' on photo 7\n"
            "cause: TfLiteGpuDelegate Init: no CL; Failed to apply GPU delegate.",
        ),
        (0, "WARN: Unconsumed cmdline flags: --use_gpu=true", "gpu", EdgekitError, "Unconsumed"),
    ],
)
def test_failures(code, text, delegate, kind, words):
    error = fail(code, text, delegate)
    assert type(error) is kind
    assert words in str(error)


def test_no_failure():
    assert fail(0, NEW, "gpu") is None
    assert [signal_name(code) for code in (0, 1, 128, 255, -9)] == [None] * 4 + ["SIGKILL"]


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "there"
    path.mkdir()
    return path


def bench(tmp_path, folder, *, data=None, tool=None, generation="new", host=None):
    model = tmp_path / "a 'model': x,y.tflite"
    model.write_bytes(data or TinyModel().pack())
    binary = tool or install(tmp_path, generation)
    read = tflite_file.read(model)
    return Benchmark(host or LocalHost(), str(binary), str(model), str(folder), read), model


def script(tmp_path, body):
    path = tmp_path / "tool"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def in_process(model, photos, table, kernels="BUILTIN"):
    interpreter = Interpreter(str(model), experimental_op_resolver_type=OpResolverType[kernels])
    interpreter.allocate_tensors()
    image, scores = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = []
    for photo in photos:
        fed = photo if table is None else table[photo, np.arange(3)]
        interpreter.set_tensor(image["index"], fed[None].astype(image["dtype"]))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(scores["index"]).ravel())
    return answers


@pytest.mark.parametrize("generation", ["new", "old"])
def test_latency(tmp_path, folder, generation):
    benchmark, _ = bench(tmp_path, folder, generation=generation)
    figures = benchmark.latency(1, "xnnpack", 20, 5, 60)
    assert figures["n"] == 20
    assert figures["delegate_applied"] is True
    assert min(figures["load"], figures["first"], figures["mean"]) > 0
    assert figures["text"].count("STARTING!") == 1
    if generation == "new":
        assert figures["p5"] <= figures["median"] <= figures["p95"]
        assert figures["memory_bytes"] == 93.5 * 2**20
    else:
        assert figures["memory_bytes"] is None


def test_scores_are_those_of_litert(tmp_path, folder, photos, monkeypatch):
    monkeypatch.setattr(benchmark_model, "CHUNK", 2 * SIZE * SIZE * 3)  # two photos
    benchmark, model = bench(tmp_path, folder)
    seen = []
    found = dict(benchmark.scores(photos, None, lambda *done: seen.append(done), already=2))
    assert seen == [(3, 5), (4, 5), (5, 5)]
    assert list(found) == [2, 3, 4]
    for index, expected in zip(found, in_process(model, photos[2:], None), strict=True):
        assert found[index].dtype == np.uint8
        np.testing.assert_array_equal(found[index], expected)


def check_floats(benchmark, model, photos):
    table = feed_table(
        benchmark.model.tensors[benchmark.model.inputs[0]],
        model,
        Preprocessing(SIZE, (120, 110, 100), (60, 61, 62), ("a",) * 5),
    )
    plain = benchmark.scores(photos, table, lambda done, total: None, delegate="none")
    expected = in_process(model, photos, table, "BUILTIN_WITHOUT_DEFAULT_DELEGATES")
    for (_, found), answer in zip(plain, expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, answer)


def test_float_scores_are_those_of_litert(tmp_path, folder, photos):
    check_floats(*bench(tmp_path, folder, data=float_io().pack()), photos[:2])


@needs("sshd", SSHD is not None)
def test_over_ssh(tmp_path, photos, monkeypatch):
    with serve(tmp_path / "sshd") as server:
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        with SSHHost(parse_url(server.url)) as host, host.folder() as there:
            benchmark, model = bench(tmp_path, there, data=float_io().pack(), host=host)
            check_floats(benchmark, model, photos[:2])
            assert benchmark.latency(1, "none", 3, 5, 60)["n"] == 3
            benchmark_sensors.Sensors(host, there).sample()


def test_a_delegate_that_the_device_lacks(tmp_path, folder, photos):
    benchmark, _ = bench(tmp_path, folder)
    with pytest.raises(EdgekitError, match="GPU acceleration is unsupported"):
        benchmark.latency(1, "gpu", 1, 1, 60)
    with pytest.raises(EdgekitError, match="GPU acceleration is unsupported"):
        list(benchmark.scores(photos, None, lambda *_: None, delegate="gpu"))
    with pytest.raises(UsageError, match="no delegate 'hexagon'"):
        benchmark.latency(1, "hexagon", 1, 1, 60)


def test_a_model_that_cannot_be_loaded(tmp_path, folder):
    benchmark, model = bench(tmp_path, folder)
    model.unlink()
    with pytest.raises(EdgekitError, match=r"(?s)cannot load .*Could not open"):
        benchmark.latency(1, "none", 1, 1, 60)


def test_a_build_that_writes_no_outputs(tmp_path, folder, photos):
    benchmark, _ = bench(tmp_path, folder, generation="ancient")
    with pytest.raises(EdgekitError, match="wrote no outputs on photo 0"):
        list(benchmark.scores(photos, None, lambda *_: None))


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("kill -SEGV $$", EdgekitError, "killed by SIGSEGV on photo 1"),
        (
            "echo ERROR: no memory >&2; exit 1",
            EdgekitError,
            "exit code 1 on photo 1\ncause: no mem",
        ),
        ("echo x > output.bin", EdgekitError, "another size on photo 1\ncause: 2 bytes, not 5"),
        ("exec sleep 60", EdgekitError, "hung on photo 1"),
        ("exec ./nothing-here", MissingToolError, "cannot be started"),
    ],
)
def test_a_photo_that_fails_is_named(tmp_path, folder, photos, body, kind, words):
    good = "if [ ! -f once ]; then : > once; printf 12345 > output.bin; exit; fi\n"
    benchmark, _ = bench(tmp_path, folder, tool=script(tmp_path, good + body))
    with pytest.raises(kind) as caught:
        list(benchmark.scores(photos, None, lambda *_: None, timeout_s=1.5))
    assert words in str(caught.value)


def test_a_tool_that_crashes_hangs_or_cannot_start(tmp_path, folder):
    benchmark, _ = bench(tmp_path, folder, tool=script(tmp_path, "kill -SEGV $$"))
    with pytest.raises(EdgekitError, match="killed by SIGSEGV"):
        benchmark.latency(1, "none", 1, 1, 60)
    benchmark, _ = bench(tmp_path, folder, tool=script(tmp_path, "echo STARTING; exec sleep 60"))
    with pytest.raises(EdgekitError, match=r"hung .* 0.5 s"):
        benchmark.latency(1, "none", 1, 1, 0.5)
    benchmark, _ = bench(tmp_path, folder, tool=tmp_path / "missing")
    with pytest.raises(MissingToolError, match="android_aarch64"):
        benchmark.latency(1, "none", 1, 1, 60)


def test_pixels_of_another_size(tmp_path, folder):
    benchmark, _ = bench(tmp_path, folder)
    with pytest.raises(UsageError, match="takes uint8 pixels"):
        list(benchmark.scores(np.zeros((1, 9, 9, 3), np.uint8), None, lambda *_: None))


def elf(tmp_path, machine, bits=2, order=1):
    path = tmp_path / "program"
    number = struct.pack("<H", machine)
    path.write_bytes(b"\x7fELF" + bytes([bits, order, 1]) + bytes(9) + b"\2\0" + number + bytes(40))
    return path


@pytest.mark.parametrize(
    ("machine", "bits", "device"),
    [
        (183, 2, "aarch64"),
        (40, 1, "aarch64"),
        (40, 1, "armv7l"),
        (40, 1, "armv8l"),
        (62, 2, "x86_64"),
        (3, 1, "i686"),
        (94, 1, "xtensa"),
    ],
)
def test_binaries_that_fit(tmp_path, machine, bits, device):
    check_binary(elf(tmp_path, machine, bits), device)


@pytest.mark.parametrize(
    ("machine", "bits", "device", "words"),
    [
        (62, 2, "aarch64", r"for x86_64 \(64 bit\), and the device is aarch64"),
        (183, 2, "armv7l", r"for aarch64 \(64 bit\), and the device is armv7l"),
        (183, 2, "armv8l", "armv8l"),
        (62, 2, "i686", "i686"),
        (8, 1, "aarch64", "ELF machine 8"),
    ],
)
def test_binaries_for_another_processor(tmp_path, machine, bits, device, words):
    with pytest.raises(UsageError, match=words):
        check_binary(elf(tmp_path, machine, bits), device)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\nexit 0\n    ", b"MZ" + bytes(64)])
def test_no_binary(tmp_path, data):
    path = tmp_path / "program"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"(?s)no ELF file"):
        check_binary(path, "aarch64")
    with pytest.raises(UsageError, match="cannot read"):
        check_binary(tmp_path / "none", "aarch64")


def test_this_machines_own_binary():
    check_binary(Path(shutil.which("sh")).resolve(), platform.machine())


PHONE = """\
zone|soc|97
zone|cpu-0-0-usr|41200
zone|cpu-1-7-usr|52900
zone|gpuss-0-usr|71000
zone|battery|30000
zone|cpuss-2-usr|
zone|cpu-1-0-usr|-274000
cpu|1401600|1804800|1804800|schedutil
cpu|2150400|2841600|2419200|walt
IsStatusOverride: false
Thermal Status: 2
Cached temperatures:
"""


def test_sensors_of_a_phone():
    assert benchmark_sensors.parse(PHONE) == {
        "temperature_c": 52.9,
        "clock_mhz": 2150.4,
        "max_clock_mhz": 2841.6,
        "limit_mhz": 2419.2,
        "governor": "walt",
        "thermal_status": 2,
    }


def test_sensors_in_other_units():
    for value in ("45", "450", "45000"):
        assert benchmark_sensors.parse(f"zone|soc-thermal|{value}")["temperature_c"] == 45


@pytest.mark.parametrize("text", ["", "zone||\ncpu||||\n", "zone|cpu\ncpu|x|y|z|\nsh: denied"])
def test_sensors_that_are_missing(text):
    assert set(benchmark_sensors.parse(text).values()) == {None}


def test_the_sensors_script_on_files(tmp_path):
    files = {
        "class/thermal/thermal_zone0/type": "cpu thermal",
        "class/thermal/thermal_zone0/temp": "48100",
        "class/thermal/thermal_zone1/type": "battery",
        "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000",
        "devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand",
        "devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1500000",
    }
    for name, text in files.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    found = benchmark_sensors.Sensors(LocalHost(), str(tmp_path), str(tmp_path / "sys")).sample()
    assert found == {
        "temperature_c": 48.1,
        "clock_mhz": 600.0,
        "max_clock_mhz": 1500.0,
        "limit_mhz": None,
        "governor": "ondemand",
        "thermal_status": None,
    }
