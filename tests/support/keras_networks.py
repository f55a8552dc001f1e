"""Keras' own networks, as narrow and shallow as `narrow` makes ours, or of their full size."""

from __future__ import annotations

from typing import Any

from narrow import narrow

from edgekit.networks.efficientnet.baselines import BASELINES
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import SPECS, ModelSpec


class _Keras:
    """Keras, imported where it is used: each process that collects the tests would load it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pytest looks for marks of its own
            raise AttributeError(name)
        import keras

        return getattr(keras, name)


keras = _Keras()

#: Ours, and what Keras calls them.
FULL = {
    "b0": "EfficientNetB0",
    "b3": "EfficientNetB3",
    "v2-b0": "EfficientNetV2B0",
    "v2-b3": "EfficientNetV2B3",
    "v2-s": "EfficientNetV2S",
}


#: Of others: Keras' function, its options, and our width.
BASELINE: dict[str, tuple[str, dict[str, Any], float]] = {
    "mobilenet-v1": ("MobileNet", {"alpha": 0.25}, 0.25),
    "mobilenet-v2": ("MobileNetV2", {"alpha": 0.5}, 0.5),
    "mobilenet-v3-large": ("MobileNetV3Large", {"alpha": 0.75}, 0.75),
    "mobilenet-v3-small": ("MobileNetV3Small", {}, 1.0),
    "mobilenet-v3-large-minimalistic": ("MobileNetV3Large", {"minimalistic": True}, 1.0),
    "mobilenet-v3-small-minimalistic": ("MobileNetV3Small", {"minimalistic": True}, 1.0),
}


def keras_network(name: str, *, full: bool = False, **options: Any) -> Any:
    """Keras' network with random weights; a narrow one is made by what its full ones are made by.

    Args:
        name: of the variant, ours.
        full: in its full width and depth.
        **options: of Keras' function.
    """
    if name in BASELINE:
        function, own, _ = BASELINE[name]
        return getattr(keras.applications, function)(weights=None, **own, **options)
    if full:
        return getattr(keras.applications, FULL[name])(weights=None, **options)
    from keras.src.applications import efficientnet, efficientnet_v2

    make, theirs = {
        "b0": (efficientnet.EfficientNet, "efficientnetb0"),
        "v2-b0": (efficientnet_v2.EfficientNetV2, "efficientnetv2-b0"),
    }[name]
    small = narrow(name)
    return make(small.width, small.depth, 64, name=theirs, weights=None, **options)


def our_spec(name: str, *, full: bool = False) -> ModelSpec:
    """The variant that it is."""
    if name in BASELINE:
        width = BASELINE[name][2]
        return BASELINES[name] if width == 1 else scale_spec(BASELINES[name], width=width)
    return SPECS[name] if full else narrow(name)
