"""Keras' own networks, as narrow and shallow as `narrow` makes ours, or of their full size."""

from __future__ import annotations

from typing import Any

from narrow import narrow

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


def keras_network(name: str, *, full: bool = False, **options: Any) -> Any:
    """Keras' network with random weights; a narrow one is made by what its full ones are made by.

    Args:
        name: of the variant, ours.
        full: in its full width and depth.
        **options: of Keras' function.
    """
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
    return SPECS[name] if full else narrow(name)
