"""Every option of a build, declared once: the command line and the Python API are made from it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError, did_you_mean
from edgekit.networks.efficientnet.hub.reference import HubReference, find_reference
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.options.fields import REPEATED, check_values, is_given, option_name
from edgekit.options.model import DataOptions, ModelOptions
from edgekit.options.quantization import FileOptions, QuantizationOptions
from edgekit.options.run import DeviceOptions, RunOptions
from edgekit.options.training import (
    AugmentationOptions,
    EngineOptions,
    StudentOptions,
    TrainingOptions,
)
from edgekit.system.field_types import wrong_fields
from edgekit.system.host import CPUS
from edgekit.training.recipe import refuse
from edgekit.training.recipe_files import read_recipe


def _names(*groups: type[Any]) -> tuple[str, ...]:
    return tuple(item.name for group in groups for item in dataclasses.fields(group))


#: Groups of options by what they are about, in the order of a network's way to a device.
GROUPS: dict[str, type[Any]] = {
    "Model": ModelOptions,
    "Data": DataOptions,
    "Training": TrainingOptions,
    "Augmentation": AugmentationOptions,
    "Photos without classes": StudentOptions,
    "Computing": EngineOptions,
    "Targets and quantization": QuantizationOptions,
    "Files": FileOptions,
    "Devices": DeviceOptions,
    "Run": RunOptions,
}
_GROUP = {name: title for title, group in GROUPS.items() for name in _names(group)}
#: The fields that a first look shows.
EVERYDAY = frozenset(
    item.name
    for group in GROUPS.values()
    for item in dataclasses.fields(group)
    if item.metadata.get("everyday")
)


def group_of(field_name: str) -> str | None:
    """The title of a field's group, a key of `GROUPS`; None where no group has such a field."""
    return _GROUP.get(field_name)


# No group is made alone: without the methods of a dataclass of their own, ten of them take a
# twentieth less of the program's start.
#: The groups whose values go together or not.
CHECKED = (DataOptions, EngineOptions, QuantizationOptions, DeviceOptions)
#: What decides only what a build does with the trained network.
BUILD_ONLY = ("head", *_names(QuantizationOptions, FileOptions, DeviceOptions), "dry_run")


@dataclass(frozen=True, kw_only=True)
class BuildOptions(  # the fields of the last group come first
    RunOptions,
    DeviceOptions,
    FileOptions,
    QuantizationOptions,
    EngineOptions,
    StudentOptions,
    AugmentationOptions,
    TrainingOptions,
    DataOptions,
    ModelOptions,
):
    """What `edgekit.build` and ``edgekit build`` take; the metadata of each field describes it."""

    def __post_init__(self) -> None:
        for name in ("benchmark_binary", "out"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(value))
        # As text: a path would change the command of a shard.
        for name in ("data", "photos", "val", "calibration", "unlabelled", "weights"):
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
        check_values(self)
        for group in CHECKED:
            group.check(self)
        student = "noisy-student" in kinds
        refuse(
            {
                "--recipe noisy-student and --unlabelled need each other": student
                == (self.unlabelled is not None),
                "the options of students need --recipe noisy-student": student
                or not is_given(self, "student_"),
                "--crop needs --fit crop, as all of a photo is shown otherwise": self.crop is None
                or (self.fit or self.spec.fit) == "crop",
                "--quantize qat needs --head classifier": self.quantize != "qat"
                or self.head == "classifier",
                "--dynamic-batch needs --target onnx": not self.dynamic_batch
                or "onnx" in self.targets,
                "--cpu needs --target onnx": self.cpu == CPUS[0] or "onnx" in self.targets,
            }
        )

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

    @property
    def start(self) -> str:
        """Where training starts from: ``none``, ``imagenet``, the path of a file, or a hub's."""
        if self.weights is None:
            published = self.data is not None and self.spec.backbone.name in SPECS
            return "imagenet" if published else "none"
        word = self.weights.lower()
        return word if word in ("none", "imagenet") else self.weights

    @property
    def hub_reference(self) -> HubReference | None:
        """The repository on a hub that training starts from, or None.

        Raises:
            UsageError: `start` is nearly the name of one.
        """
        return find_reference(self.start, self.spec)
