"""Every option of a build, declared once: the command line and the Python API are made from it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.efficientnet.scaling import ALPHA, BETA, GAMMA, scale_spec
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec, find_spec
from edgekit.networks.schemes import IO_TYPES
from edgekit.system.field_types import wrong_fields
from edgekit.training.recipe_files import NAMES, read_recipe

RANGE_METHODS = ("balanced", "mse", "percentile", "minmax", "moving-average", "entropy", "auto")
QUANTIZE = ("ranges", "ptq", "qat", "auto")
#: Other files that a build can write beside fp32 and the int8 one.
SCHEMES = ("fp16", "w8-dynamic", "w8a16-static")
#: Who makes the int8 files of OpenVINO: only the network's own integers, or beside them NNCF's
#: with its fast bias correction, or with its full one.
QUANTIZERS = ("ours", "nncf", "nncf-full")
#: What tells the mean errors that biases take out.
BIAS_SOURCES = ("photos", "statistics")
HEADS = ("classifier", "none")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
#: Whose tensor names and padding a weights file has.
SOURCES = ("auto", "edgekit", "keras", "timm", "timm-tf", "torchvision", "lukemelas", "tf1")
#: Fields that hold several values: the command line's name is the singular.
REPEATED = ("recipes", "targets", "schemes", "tensor_ranges", "devices")
#: How the command line calls what names photos.
PHOTOS = "FOLDER|LIST|SHARDS"
#: What decides only what a build does with the trained network.
BUILD_ONLY = (
    *("head", "targets", "ranges", "tensor_ranges", "quantize", "bias_from", "qat_epochs"),
    *("qat_rate", "qat_scale_rate", "qat_label_share", "qat_frozen", "distill_only", "quantizer"),
    *("keep_float", "max_drop", "schemes", "dynamic_batch", "io", "compile", "compile_timeout"),
    *("devices", "device_limit", "benchmark_binary", "dry_run"),
)


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

    data: str | None = _option(
        None,
        "Photos: a folder of class folders, a list of paths, or WebDataset shards: "
        "train-{000..146}.tar, pipe:COMMAND. [built-in shapes]",
        PHOTOS,
    )
    val: str | None = _option(
        None, "Validation photos, likewise. [a fifth of --data, split by name]", PHOTOS
    )
    calibration: str | None = _option(
        None, "Calibration photos, likewise. [from the training photos]", PHOTOS
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
    recipes: tuple[str, ...] = _option(
        (),
        f"How to train: {', '.join(NAMES)}, or a file; may be repeated, for training and for "
        "training in 8 bits. [finetune with --weights, scratch without; qat]",
        "NAME|FILE",
    )
    epochs: int | None = _option(
        None, "Passes over the training photos; 0 trains nothing. [by the recipe]"
    )
    batch_size: int | None = _option(
        None, "Photos per training step, of all processes together. [by the recipe]"
    )
    optimizer: str | None = _option(None, "adamw, sgd or rmsprop. [by the recipe]")
    learning_rate: float | None = _option(
        None, "At its peak. [by the recipe, scaled with the batch]"
    )
    schedule: str | None = _option(
        None, "Decay of the learning rate: cosine, exponential or constant. [by the recipe]"
    )
    warmup_epochs: float | None = _option(
        None, "Linear rise of the learning rate. [by the recipe; a tenth of the epochs, at most 1]"
    )
    weight_decay: float | None = _option(None, "On kernels only. [by the recipe; 1e-5]")
    label_smoothing: float | None = _option(
        None, "Share of the target spread over all classes. [by the recipe; 0.1]"
    )
    ema_decay: float | None = _option(
        None, "Of the averaged weights that are kept; 0 for none. [by the recipe; 0.9999]"
    )
    min_crop_area: float | None = _option(
        None, "Smallest share of a photo in a random crop. [by the recipe; 0.3, 0.7 for shapes]"
    )
    flip: bool | None = _option(None, "Mirror training photos at random. [by the recipe; yes]")
    policy: str | None = _option(
        None, "Augmentation: none, rand (RandAugment) or auto (AutoAugment v0). [by the recipe]"
    )
    policy_layers: int | None = _option(None, "Operations per photo of RandAugment. [2]")
    policy_magnitude: float | None = _option(None, "Of RandAugment, from 0 to 30. [9]")
    mixup: float | None = _option(None, "Alpha of blended photos; 0 for none. [by the recipe]")
    cutmix: float | None = _option(None, "Alpha of pasted rectangles; 0 for none. [by the recipe]")
    erasing: float | None = _option(None, "Share of photos with an erased rectangle. [0]")
    dropout: float | None = _option(None, "Before the classifier. [the variant's]")
    drop_connect: bool | None = _option(
        None, "Drop residual branches at random. [by the recipe; from 50 epochs on]"
    )
    freeze_norm: bool | None = _option(
        None, "Keep the statistics of batch normalizations. [by the recipe]"
    )
    stages: int | None = _option(
        None, "Of progressive learning, in which size and augmentation grow; 1 for none. [1]"
    )
    first_size: float | None = _option(
        None, "Side from which the input grows, over the full one. [by the recipe]"
    )
    first_magnitude: float | None = _option(None, "Of RandAugment in the first stage. [5]")
    first_dropout: float | None = _option(
        None, "In the first stage, to grow to --dropout. [constant]"
    )

    unlabelled: str | None = _option(
        None, "Photos without classes, likewise, for the recipe noisy-student.", PHOTOS
    )
    student_teacher: str | None = _option(None, "The teacher's recipe. [finetune]")
    student_iterations: int | None = _option(
        None, "Students, each the teacher of the next. [by the recipe]"
    )
    student_confidence: float | None = _option(
        None, "Least probability of a pseudo-label. [by the recipe]"
    )
    student_balance: bool | None = _option(
        None, "As many pseudo-labelled photos of each class. [by the recipe]"
    )
    student_soft: bool | None = _option(
        None, "Learn the teacher's probabilities, not its answer alone. [by the recipe]"
    )
    student_labelled_repeats: int | None = _option(
        None, "How often an epoch shows each labelled photo. [by the recipe]"
    )
    student_start: str | None = _option(
        None, "What a student starts from: weights or teacher. [by the recipe]"
    )

    precision: str = _option(
        "auto", "Of training: fp32, bf16, fp16 (GPU), or what the processor is fastest in."
    )
    torch_compile: bool = _option(False, "Compile the network for training, where torch can.")
    micro_batch: int | None = _option(
        None, "Photos at once; a step adds up as many as it takes. [all; what fits on a GPU]"
    )
    recompute: bool = _option(
        False, "Keep less for the gradient and compute it again: larger inputs, slower steps."
    )
    sync_norm: bool = _option(False, "Normalize over the batches of all processes (GPUs).")
    workers: int | None = _option(None, "Threads that decode photos. [by the cores]")
    cache_photos: float = _option(0.0, "Keep decoded training photos, up to so many GiB of memory.")
    save_minutes: float = _option(10.0, "Save within an epoch so often; 0 for after epochs only.")
    torch_device: str = _option("auto", "Where torch computes: auto, cpu, cuda, mps.")

    targets: tuple[str, ...] = _option(
        ("tflite",), "What to build for; may be repeated: {targets}.", "NAME"
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
        None, "Passes over the photos with --quantize qat. [by the recipe qat]"
    )
    qat_rate: float | None = _option(
        None, "Its learning rate at its peak, in integer steps. [by the recipe qat]"
    )
    qat_scale_rate: float | None = _option(None, "Learning rate of its ranges. [by the recipe qat]")
    qat_label_share: float | None = _option(
        None, "Labels' share of its loss, beside the float network's. [by the recipe qat]"
    )
    qat_frozen: float | None = _option(
        None, "Share of its steps, at the end, in which ranges stand still. [by the recipe qat]"
    )
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
        0, "Keep so many of the costliest tensors in float (w8a8-mixed), where the target takes it."
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
        for name in ("benchmark_binary", "out"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(value))
        # As text: a path would change the command of a shard.
        for name in ("data", "val", "calibration", "unlabelled", "weights"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, str(value))
        for name in REPEATED:
            given = getattr(self, name)
            # The same one twice is one; their order is the user's.
            several = tuple(dict.fromkeys((given,) if isinstance(given, str) else given))
            object.__setattr__(self, name, several)
        for name, words, value in wrong_fields(self):
            shown = name if name == "model" else f"--{option_name(name)}"
            raise UsageError(f"{shown} must be {words}", cause=f"it is {value!r}")
        for item in dataclasses.fields(self):
            if hasattr(value := getattr(self, item.name), "item"):  # a number of numpy's, for JSON
                object.__setattr__(self, item.name, value.item())
        kinds = [read_recipe(name).kind for name in self.recipes]
        if "qat" in kinds and self.quantize == "ptq":
            object.__setattr__(self, "quantize", "qat")
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
            ("--precision", self.precision, PRECISIONS),
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
            "--micro-batch must be at least 1": self.micro_batch is None or self.micro_batch >= 1,
            "--workers must be at least 1": self.workers is None or self.workers >= 1,
            "--cache-photos must not be negative": 0 <= self.cache_photos < float("inf"),
            "--save-minutes must not be negative": 0 <= self.save_minutes < float("inf"),
            "--distill-only and the options of qat need --quantize qat": self.quantize == "qat"
            or not (self.distill_only or self._given("qat_")),
            "--recipe noisy-student and --unlabelled need each other": ("noisy-student" in kinds)
            == (self.unlabelled is not None),
            "the options of students need --recipe noisy-student": "noisy-student" in kinds
            or not self._given("student_"),
            "--recompute and --torch-compile exclude each other": not self.recompute
            or not self.torch_compile,
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

    def _given(self, prefix: str) -> bool:
        """Whether any option whose name begins so was given."""
        return any(v is not None for name, v in vars(self).items() if name.startswith(prefix))

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
