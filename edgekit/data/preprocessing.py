"""The one record of how a photo becomes the network's input."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgekit.data.boxes.anchors import Anchors
from edgekit.data.images import to_rgb
from edgekit.data.normalization import Normalization
from edgekit.data.placement import FITS, Placement, place
from edgekit.errors import UsageError

RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
LAYOUTS = ("NHWC", "NCHW")
#: Of records that name none, as all did while there was one.
DEFAULT_TASK = "classification"
#: Of records that name none, likewise.
DEFAULT_FIT = "crop"
#: By type of an input that takes the bytes of a photo: what is taken from each of them.
BYTE_MEANS = {"uint8": 0.0, "int8": 128.0}


@dataclass(frozen=True)
class Preprocessing:
    """Crop, size, scaling and label names; every stage uses it and the manifest stores it.

    Attributes:
        resolution: height and width of the input, in pixels.
        mean: per channel (R, G, B), in pixel units 0 to 255.
        std: per channel (R, G, B), in pixel units 0 to 255.
        labels: the class names; the position is the class index.
        crop_fraction: side of the centre square over the photo's shorter side.
        interpolation: 'bicubic' or 'bilinear', both with PIL's anti-aliasing.
        layout: the axis order of a batch: 'NHWC' or 'NCHW'.
        color: the channel order; 'RGB' is the only one.
        dtype: of the input: 'float32', or 'uint8' or 'int8' where it takes a photo's bytes.
        task: what the outputs mean; the name of a package of `edgekit.tasks`.
        fit: how a photo becomes square; one of `edgekit.data.placement.FITS`.
        margin_color: of what a padded photo leaves of the input, RGB; None for the mean. The
            record of an input of bytes has it, since its mean is none of colours.
        anchors: what the outputs of a detector are relative to; None of all other networks.

    Raises:
        UsageError: a value that no photo can be prepared with.
    """

    resolution: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    labels: tuple[str, ...]
    crop_fraction: float = 0.875
    interpolation: str = "bicubic"
    layout: str = "NHWC"
    color: str = "RGB"
    dtype: str = "float32"
    task: str = DEFAULT_TASK
    fit: str = DEFAULT_FIT
    margin_color: tuple[int, int, int] | None = None
    anchors: Anchors | None = None

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise UsageError(f"this preprocessing cannot be used: {problem}")

    def pixels(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """Crops, pads or stretches the photo as `fit` says, and resizes it once.

        The centre square starts and ends between pixels, as in the released code
        (``_decode_and_center_crop``, tensorflow/tpu): a crop of the network's own size is
        then a copy, and not a blur by half a pixel. A margin has the mean colour.

        Args:
            image: of any size and mode; what `edgekit.data.images.decode_image` gives.

        Returns:
            uint8 [resolution, resolution, 3], RGB.
        """
        rgb = to_rgb(image)
        return self.place(rgb.size).image(rgb, RESAMPLING[self.interpolation], self.margin)

    def place(self, size: tuple[int, int]) -> Placement:
        """Where a photo of this width and height is within the input, and back."""
        return place(size, self.resolution, self.fit, self.crop_fraction)

    @property
    def margin(self) -> tuple[int, int, int]:
        """The colour of what a padded photo leaves of the input, RGB: by default the mean."""
        if self.margin_color is not None:
            return self.margin_color
        red, green, blue = (min(255, max(0, round(value))) for value in self.mean)
        return red, green, blue

    def normalize(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Returns (pixels - mean) / std.

        Args:
            pixels: uint8 or float [..., 3], in 0 to 255.

        Returns:
            float32 [..., 3].
        """
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return (pixels.astype(np.float32) - mean) / std

    def feed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Returns what an input with this record is given.

        Args:
            pixels: uint8 [height, width, 3], RGB; what `pixels` gives.

        Returns:
            A batch of one in ``layout`` and ``dtype``.
        """
        values: npt.NDArray[Any] = self.normalize(pixels)
        if self.dtype in BYTE_MEANS:
            limits = np.iinfo(self.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max).astype(self.dtype)
        return np.ascontiguousarray(values.transpose(2, 0, 1) if self.layout == "NCHW" else values)[
            np.newaxis
        ]

    def of_input(self, dtype: str, layout: str = "NHWC") -> Preprocessing:
        """Returns the record of a file whose input has this type and layout.

        One that takes bytes normalises them itself: its own mean is 0 (128 for int8) and its std 1.
        """
        margin = self.margin if self.fit == "pad" else self.margin_color
        record = dataclasses.replace(self, dtype=dtype, layout=layout, margin_color=margin)
        if dtype not in BYTE_MEANS:
            return record
        return dataclasses.replace(record, mean=(BYTE_MEANS[dtype],) * 3, std=(1.0,) * 3)

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON values; `from_dict` gives back an equal record."""
        record = dataclasses.asdict(self)
        if self.task == DEFAULT_TASK:
            del record["task"]
        if self.fit == DEFAULT_FIT:
            del record["fit"]
        if self.margin_color is None:
            del record["margin_color"]
        if self.anchors is None:
            del record["anchors"]
        else:
            record["anchors"] = self.anchors.to_dict()
        return {key: list(v) if isinstance(v, tuple) else v for key, v in record.items()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Preprocessing:
        """Reads what `to_dict` wrote.

        Raises:
            UsageError: a field is missing, unknown, or of a value that cannot be used.
        """
        if not isinstance(record, Mapping):
            raise UsageError("this preprocessing cannot be used: it is not a table of fields")
        fields = dataclasses.fields(cls)
        unknown = sorted(set(record) - {field.name for field in fields})
        missing = [
            field.name
            for field in fields
            if field.default is dataclasses.MISSING and field.name not in record
        ]
        if unknown or missing:
            what, names = ("unknown", unknown) if unknown else ("missing", missing)
            raise UsageError(
                f"this preprocessing cannot be used: {what} field {', '.join(map(str, names))}"
            )
        values: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in record.items()
        }
        if values.get("anchors") is not None:
            try:
                values["anchors"] = Anchors.from_dict(values["anchors"])
            except (KeyError, TypeError, ValueError) as error:
                raise UsageError(
                    "this preprocessing cannot be used: its anchors cannot be read",
                    cause=f"{type(error).__name__}: {error}",
                ) from error
        return cls(**values)


def with_normalization(
    preprocessing: Preprocessing | None, given: Normalization | None
) -> Preprocessing | None:
    """Returns a record with the mean and the standard deviation that a user gives, if any."""
    if preprocessing is None or given is None:
        return preprocessing
    return dataclasses.replace(preprocessing, mean=given.mean, std=given.std)


def _problem(p: Preprocessing) -> str | None:
    """Says in words what is wrong with a record, if anything is."""
    if not isinstance(p.resolution, int) or isinstance(p.resolution, bool) or p.resolution < 1:
        return f"resolution {p.resolution!r} is not a positive whole number"
    for name, values in (("mean", p.mean), ("std", p.std)):
        if not isinstance(values, tuple) or len(values) != 3 or not all(map(_is_number, values)):
            return f"{name} {values!r} is not three numbers"
    if min(p.std) <= 0:
        return f"std {p.std!r} is not positive"
    if not isinstance(p.labels, tuple) or not all(isinstance(name, str) for name in p.labels):
        return "labels is not a list of names"
    if not _is_number(p.crop_fraction) or not 0 < p.crop_fraction <= 1:
        return f"crop_fraction {p.crop_fraction!r} is not above 0 and at most 1"
    choices = (
        ("interpolation", p.interpolation, tuple(RESAMPLING)),
        ("layout", p.layout, LAYOUTS),
        ("color", p.color, ("RGB",)),
        ("dtype", p.dtype, ("float32", *BYTE_MEANS)),
        ("fit", p.fit, FITS),
    )
    if p.margin_color is not None and not (
        isinstance(p.margin_color, tuple)
        and len(p.margin_color) == 3
        and all(isinstance(value, int) and 0 <= value <= 255 for value in p.margin_color)
    ):
        return f"margin_color {p.margin_color!r} is not three bytes"
    if not isinstance(p.task, str):
        return f"task {p.task!r} is not a name"
    for name, value, known in choices:
        if value not in known:
            return f"{name} {value!r} is not one of {', '.join(known)}"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
