"""Every option of a build, declared once: the command line and the Python API are made from it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError, did_you_mean
from edgekit.scaling import ALPHA, BETA, GAMMA, scale_spec
from edgekit.spec import SPECS, ModelSpec, find_spec

IO_TYPES = ("uint8", "int8", "float32")
RANGE_METHODS = ("balanced", "mse", "percentile", "minmax", "moving-average", "entropy", "auto")
QUANTIZE = ("ranges", "ptq", "qat", "auto")
#: Other files that a build can write beside fp32 and the int8 one.
SCHEMES = ("fp16", "w8-dynamic", "w8a16-static")
QAT_EPOCHS = 3
#: Who makes the int8 files of OpenVINO: only the network's own integers, or beside them NNCF's
#: with its fast bias correction, or with its full one.
QUANTIZERS = ("ours", "nncf", "nncf-full")
#: What tells the mean errors that biases take out.
BIAS_SOURCES = ("photos", "statistics")
HEADS = ("classifier", "none")
#: Whose tensor names and padding a weights file has.
SOURCES = ("auto", "edgekit", "keras", "timm", "timm-tf", "torchvision", "tf1")
#: Fields that hold several values: the command line's name is the singular.
REPEATED = ("targets", "schemes", "tensor_ranges", "devices")


def _option(default: Any, text: str, metavar: str | None = None) -> Any:
    """A field with what the command line says about it."""
    return field(default=default, metadata={"help": text, "metavar": metavar})


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What `edgekit.build` and ``edgekit build`` take; the metadata of each field describes it."""

    model: str = field(metadata={"help": "The variant: b0, lite0, v2-b0, es, …", "argument": True})
    phi: float | None = _option(
        None, "Compound scaling: depth by alpha^phi, width by beta^phi, resolution by gamma^phi."
    )
    width: float | None = _option(
        None, "Multiplier of the channel counts, on top of the variant's own."
    )
    depth: float | None = _option(None, "Multiplier of the block counts, likewise.")
    alpha: float = _option(ALPHA, "Base of the depth for --phi.")
    beta: float = _option(BETA, "Base of the width for --phi.")
    gamma: float = _option(GAMMA, "Base of the resolution for --phi.")
    head: str = _option(
        "classifier", "What the files end with: the classifier, or none: they give the embedding."
    )

    data: Path | None = _option(
        None, "Photos: a folder of class folders, or a list of paths. [built-in shapes]"
    )
    val: Path | None = _option(
        None, "Validation photos, likewise. [a fifth of --data, split by name]"
    )
    calibration: Path | None = _option(
        None, "Calibration photos: a folder or a list. [from the training photos]"
    )
    calibration_count: int = _option(256, "How many training photos calibrate.")
    resolution: int | None = _option(
        None, "Side of the input in pixels. [the variant's; 64 for the built-in shapes]"
    )
    crop: float | None = _option(
        None, "Share of the shorter side that the centre crop keeps. [the weights'; 1 for shapes]"
    )

    weights: str | None = _option(
        None,
        "Start from a file, from the published weights, or from random ones. "
        "[imagenet with --data, none without]",
        "FILE|imagenet|none",
    )
    weights_source: str = _option("auto", f"Whose file --weights is: {', '.join(SOURCES)}.")
    mirror: str | None = _option(
        None, "Folder or URL under which the published weights lie.", "URL|FOLDER"
    )
    epochs: int | None = _option(
        None, "Passes over the training photos; 0 trains nothing. [30, 5 with --weights]"
    )
    batch_size: int | None = _option(None, "Photos per training step. [32]")
    optimizer: str | None = _option(None, "adamw, sgd or rmsprop. [adamw]")
    learning_rate: float | None = _option(
        None, "At its peak. [by optimizer, batch size, and whether weights are given]"
    )
    schedule: str = _option("cosine", "Decay of the learning rate: cosine or exponential.")
    warmup_epochs: float | None = _option(
        None, "Linear rise of the learning rate. [a tenth of the epochs, at most 1]"
    )
    weight_decay: float = _option(1e-5, "On kernels only.")
    label_smoothing: float = _option(0.1, "Share of the target spread over all classes.")
    ema_decay: float = _option(0.9999, "Of the averaged weights that are kept; 0 for none.")
    min_crop_area: float | None = _option(
        None, "Smallest share of a photo in a random crop. [0.3, 0.7 for shapes]"
    )
    flip: bool = _option(True, "Mirror training photos at random.")
    torch_device: str = _option("auto", "Where torch computes: auto, cpu, cuda, mps.")

    targets: tuple[str, ...] = _option(
        ("tflite",), "What to build for; may be repeated: tflite, edgetpu, openvino, onnx.", "NAME"
    )
    ranges: str = _option("mse", f"Activation ranges: {', '.join(RANGE_METHODS)}.")
    tensor_ranges: tuple[str, ...] = _option(
        (), "Another method for one tensor; may be repeated.", "TENSOR=METHOD"
    )
    quantize: str = _option(
        "ptq",
        "ranges alone; ptq: and corrected biases; qat: and training in 8 bits; "
        "auto: one repair after the other, until --max-drop holds.",
    )
    bias_from: str = _option(
        "photos", "What corrects biases with ptq and qat: photos, or statistics of the weights."
    )
    qat_epochs: int | None = _option(
        None, f"Passes over the photos with --quantize qat. [{QAT_EPOCHS}]"
    )
    qat_rate: float = _option(0.02, "Its learning rate at its peak, in integer steps.")
    distill_only: bool = _option(
        False,
        "With qat: learn the float network's answers, no labels; from --calibration if given.",
    )
    quantizer: str = _option(
        "ours",
        "For OpenVINO: ours; nncf: and a second int8 file by NNCF, which --max-drop bounds too; "
        "nncf-full: with its full bias correction.",
    )
    keep_float: int = _option(
        0, "Keep so many of the costliest tensors in float (w8a8-mixed); not for the Edge TPU."
    )
    max_drop: float | None = _option(
        None,
        "Points of top-1 that int8 may lose; else the build ends with 5. [0.3 with auto]",
    )
    schemes: tuple[str, ...] = _option(
        (), f"Write this file too; may be repeated: {', '.join(SCHEMES)}.", "NAME"
    )
    dynamic_batch: bool = _option(False, "Let ONNX files take any number of photos at once.")
    io: str = _option("uint8", "Input and output of the int8 file: uint8, int8, float32.")
    compile: bool = _option(True, "Run the target's compiler where it has one.")
    compile_timeout: int = _option(180, "Seconds that a compiler may take.")

    devices: tuple[str, ...] = _option(
        (),
        "Measure the int8 file there too: ssh://[user@]host, adb://SERIAL; may be repeated.",
        "URL",
    )
    device_limit: int = _option(200, "So many validation photos are for devices, evenly spread.")
    benchmark_binary: Path | None = _option(
        None, "TensorFlow Lite's benchmark_model, for devices without Python.", "FILE"
    )

    out: Path | None = _option(None, "Folder of the run. [runs/MODEL-DATE]")
    seed: int = _option(0, "Of everything random.")
    threads: int | None = _option(None, "CPU threads. [all cores]")
    resume: bool = _option(True, "Reuse the finished stages of an earlier run.")
    overwrite: bool = _option(False, "Let --out replace a run of another model or data.")
    dry_run: bool = _option(False, "Show the stages and which are done, run nothing.")

    def __post_init__(self) -> None:
        for name in ("data", "val", "calibration", "benchmark_binary", "out"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, Path(value))
        for name in REPEATED:
            given = getattr(self, name)
            # The same one twice is one; their order is the user's.
            several = tuple(dict.fromkeys((given,) if isinstance(given, str) else given))
            object.__setattr__(self, name, several)
        if self.weights is not None:
            object.__setattr__(self, "weights", str(self.weights))
        for name, value, known in (
            ("--io", self.io, IO_TYPES),
            ("--ranges", self.ranges, RANGE_METHODS),
            *(
                ("--tensor-range", text.rpartition("=")[2], RANGE_METHODS)
                for text in self.tensor_ranges
            ),
            ("--quantize", self.quantize, QUANTIZE),
            ("--bias-from", self.bias_from, BIAS_SOURCES),
            ("--quantizer", self.quantizer, QUANTIZERS),
            *(("--scheme", scheme, SCHEMES) for scheme in self.schemes),
            ("--head", self.head, HEADS),
            ("--weights-source", self.weights_source, SOURCES),
        ):
            if value not in known:
                raise UsageError(f"{name} '{value}' is not known", hint=did_you_mean(value, known))
        checks = {
            "--calibration-count must be at least 10": self.calibration_count >= 10,
            "--resolution must be from 32 to 2048": self.resolution is None
            or 32 <= self.resolution <= 2048,
            "--crop must be above 0, up to 1": self.crop is None or 0 < self.crop <= 1,
            "--epochs must not be negative": self.epochs is None or self.epochs >= 0,
            "--max-drop must be from 0 to 100": self.max_drop is None or 0 <= self.max_drop <= 100,
            "--qat-epochs must be at least 1": self.qat_epochs is None or self.qat_epochs >= 1,
            "--tensor-range must be TENSOR=METHOD": all(
                text.partition("=")[0] and "=" in text for text in self.tensor_ranges
            ),
            "--qat-rate must be positive": 0 < self.qat_rate < float("inf"),
            "--qat-epochs and --distill-only need --quantize qat": self.quantize == "qat"
            or (self.qat_epochs is None and not self.distill_only),
            "--quantize qat needs --head classifier": self.quantize != "qat"
            or self.head == "classifier",
            "--keep-float must not be negative": self.keep_float >= 0,
            "--keep-float needs --bias-from photos": not self.keep_float
            or self.bias_from == "photos",
            "--keep-float needs --quantize ptq": not self.keep_float or self.quantize == "ptq",
            "--dynamic-batch needs --target onnx": not self.dynamic_batch or "onnx" in self.targets,
            "--quantizer nncf needs --target openvino": self.quantizer == "ours"
            or "openvino" in self.targets,
            "--threads must be at least 1": self.threads is None or self.threads >= 1,
            "--compile-timeout must be at least 1": self.compile_timeout >= 1,
            "--device-limit must be at least 1": self.device_limit >= 1,
            "--benchmark-binary needs --device": self.benchmark_binary is None
            or bool(self.devices),
            "--seed must not be negative": self.seed >= 0,
            "at least one --target is needed": bool(self.targets),
        }
        for text, holds in checks.items():
            if not holds:
                raise UsageError(text)

    @classmethod
    def make(cls, model: str, **options: Any) -> BuildOptions:
        """Makes options from keywords.

        Raises:
            UsageError: a keyword is unknown, or a value is out of range.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        for name in options:
            if name not in known:
                raise UsageError(f"unknown option '{name}'", hint=did_you_mean(name, known))
        return cls(model=model, **options)

    @cached_property
    def spec(self) -> ModelSpec:
        """The variant, scaled as asked.

        Raises:
            UsageError: no such variant, or it cannot be scaled like that.
        """
        return scale_spec(
            find_spec(self.model),
            phi=self.phi,
            width=self.width,
            depth=self.depth,
            alpha=self.alpha,
            beta=self.beta,
            gamma=self.gamma,
        )

    @property
    def budget(self) -> float | None:
        """Points of top-1 that int8 may lose; None for any."""
        return 0.3 if self.max_drop is None and self.quantize == "auto" else self.max_drop

    @property
    def start(self) -> str:
        """Where training starts from: ``none``, ``imagenet``, or the path of a file."""
        if self.weights is None:
            published = self.data is not None and self.spec.name in SPECS
            return "imagenet" if published else "none"
        word = self.weights.lower()
        return word if word in ("none", "imagenet") else self.weights


def option_name(field_name: str) -> str:
    """The command line's name of a field; one that may be repeated has a plural field."""
    if field_name in REPEATED:
        field_name = field_name.removesuffix("s")
    return field_name.replace("_", "-")
