"""What is made of the trained network: for which targets, in which schemes, into which files."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.networks.schemes import IO_TYPES
from edgekit.options.fields import check_known, is_given, option
from edgekit.system.host import CPUS
from edgekit.training.recipe import refuse

RANGE_METHODS = (
    *("importance", "balanced", "mse", "percentile"),
    *("minmax", "moving-average", "entropy", "auto"),
)
QUANTIZE = ("ranges", "ptq", "qat", "auto")
#: Other files that a build can write beside fp32 and the int8 one.
SCHEMES = ("fp16", "w8-dynamic", "w8a16-static")
#: The processor that builds.
AUTO = "auto"
#: Who makes the int8 files of OpenVINO: only the network's own integers, or beside them NNCF's
#: with its fast bias correction, or with its full one.
QUANTIZERS = ("ours", "nncf", "nncf-full")
#: What tells the mean errors that biases take out.
BIAS_SOURCES = ("photos", "statistics")


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class QuantizationOptions:
    """The targets, and how the network is quantized for them."""

    targets: tuple[str, ...] = option(
        ("tflite",), "What to build for; may be repeated: {targets}.", "NAME", everyday=True
    )
    target_options: tuple[str, ...] = option(
        (),
        "An option of a target, as of `edgekit compile`; may be repeated.",
        "TARGET.OPTION=VALUE",
    )
    simulator_limit: int = option(
        100, "So many validation photos are for chips' simulators, evenly spread.", least=1
    )
    ranges: str = option(
        "importance", f"Activation ranges: {', '.join(RANGE_METHODS)}.", known=RANGE_METHODS
    )
    tensor_ranges: tuple[str, ...] = option(
        (), "Another method for one tensor; may be repeated.", "TENSOR=METHOD"
    )
    quantize: str = option(
        "ptq",
        "ranges alone; ptq: and corrected biases; qat: and training in 8 bits; "
        "auto: one repair after the other, until --max-drop holds.",
        known=QUANTIZE,
        everyday=True,
    )
    bias_from: str = option(
        "photos",
        "What corrects biases with ptq and qat: photos, or statistics of the weights.",
        known=BIAS_SOURCES,
    )
    qat_epochs: int | None = option(
        None, "Passes over the photos with --quantize qat. [by the recipe qat]", least=1
    )
    qat_rate: float | None = option(
        None, "Its learning rate at its peak, in integer steps. [by the recipe qat]"
    )
    qat_scale_rate: float | None = option(None, "Learning rate of its ranges. [by the recipe qat]")
    qat_label_share: float | None = option(
        None, "Labels' share of its loss, beside the float network's. [by the recipe qat]"
    )
    qat_frozen: float | None = option(
        None, "Share of its steps, at the end, in which ranges stand still. [by the recipe qat]"
    )
    distill_only: bool = option(
        False,
        "With qat: learn the float network's answers, no labels; from --calibration if given.",
    )
    quantizer: str = option(
        "ours",
        "For OpenVINO: ours; nncf: and a second int8 file by NNCF, which --max-drop bounds too; "
        "nncf-full: with its full bias correction.",
        known=QUANTIZERS,
    )
    keep_float: int = option(
        0,
        "Keep so many of the costliest tensors in float (w8a8-mixed), where the target takes it.",
        least=0,
    )
    max_drop: float | None = option(
        None,
        "Points of accuracy that int8 may lose; else the build ends with 5. [0.3 with auto]",
        everyday=True,
    )
    schemes: tuple[str, ...] = option(
        (), f"Write this file too; may be repeated: {', '.join(SCHEMES)}.", "NAME", known=SCHEMES
    )

    def check(self) -> None:
        """Raises UsageError where a value cannot be used."""
        for text in self.tensor_ranges:
            check_known("--tensor-range", text.rpartition("=")[2], RANGE_METHODS)
        of_qat = self.distill_only or is_given(self, "qat_")
        refuse(
            {
                "--max-drop must be from 0 to 100": self.max_drop is None
                or 0 <= self.max_drop <= 100,
                "--tensor-range must be TENSOR=METHOD": all(
                    text.partition("=")[0] and "=" in text for text in self.tensor_ranges
                ),
                "--distill-only and the options of qat need --quantize qat": not of_qat
                or self.quantize == "qat",
                "--keep-float needs --bias-from photos": not self.keep_float
                or self.bias_from == "photos",
                "--keep-float needs --quantize ptq": not self.keep_float or self.quantize == "ptq",
                "--quantizer nncf needs --target openvino": self.quantizer == "ours"
                or "openvino" in self.targets,
                "at least one --target is needed": bool(self.targets),
            }
        )

    @property
    def budget(self) -> float | None:
        """Points of the metric that int8 may lose; None for any."""
        return 0.3 if self.max_drop is None and self.quantize == "auto" else self.max_drop


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class FileOptions:
    """The files, and what compiles them."""

    dynamic_batch: bool = option(False, "Let ONNX files take any number of photos at once.")
    cpu: str = option(
        CPUS[0],
        "Processor that the int8 ONNX file is for: any; avx2 or vnni: x86-64 without or with VNNI, "
        "faster there; auto: this one.",
        known=(*CPUS, AUTO),
    )
    io: str = option(
        "uint8", "Input and output of the int8 file: uint8, int8, float32.", known=IO_TYPES
    )
    output: str | None = option(
        None,
        "What files of a segmentation network end with: logits, logits-small, classes or "
        "classes-fused. [logits]",
        "NAME",
    )
    compile: bool = option(True, "Run the target's compiler where it has one.")
    compile_timeout: int | None = option(
        None, "Seconds that a compiler may take. [by the target; 180]", least=1
    )
