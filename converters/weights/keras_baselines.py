"""Keras' names for ``keras.applications`` MobileNet, MobileNetV2 and MobileNetV3.

Source: keras, ``applications/mobilenet.py``, ``mobilenet_v2.py``, ``mobilenet_v3.py`` and
``resnet.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.converters.weights.file import WeightFile
from edgekit.converters.weights.naming import TENSORFLOW_SUFFIXES, Names
from edgekit.errors import UsageError

MOBILENET_V1 = Names(
    top={"stem": ("conv1", "conv1_bn"), "logits": ("conv_preds", "")},
    prefix="",
    blocks={
        "mbconv-e1": {
            "depthwise": ("conv_dw_{block1}", "conv_dw_{block1}_bn"),
            "project": ("conv_pw_{block1}", "conv_pw_{block1}_bn"),
        }
    },
    suffixes=TENSORFLOW_SUFFIXES,
    separator="/",
)
MOBILENET_V2 = Names(
    top={
        "stem": ("Conv1", "bn_Conv1"),
        "head": ("Conv_1", "Conv_1_bn"),
        "logits": ("predictions", ""),
    },
    prefix="",
    blocks={
        "mbconv": {
            role: (f"block_{{block}}_{role}", f"block_{{block}}_{role}_BN")
            for role in ("expand", "depthwise", "project")
        },
        "mbconv-e1": {
            role: (f"expanded_conv_{role}", f"expanded_conv_{role}_BN")
            for role in ("depthwise", "project")
        },
    },
    suffixes=TENSORFLOW_SUFFIXES,
    separator="/",
)
_ROLES = ("expand", "depthwise", "project")
_SE = {
    "se_reduce": ("squeeze_excite_conv", ""),
    "se_expand": ("squeeze_excite_conv_1", ""),
}
_V3_BLOCK = {role: (role, f"{role}_bn") for role in _ROLES} | _SE
MOBILENET_V3 = Names(
    top={
        "stem": ("conv", "conv_bn"),
        "head": ("conv_1", "conv_1_bn"),
        "hidden": ("conv_2", ""),
        "logits": ("logits", ""),
    },
    prefix="expanded_conv_",
    blocks={
        "mbconv": {
            role: (f"{{block}}_{conv}", f"{{block}}_{norm}")
            for role, (conv, norm) in _V3_BLOCK.items()
        },
        "mbconv-e1": _V3_BLOCK,
    },
    suffixes=TENSORFLOW_SUFFIXES,
    separator="/",
)
#: Networks by the name of their stem's convolution, with that of the normalization behind it.
NAMES: Mapping[tuple[str, str], Names] = {
    names.top["stem"]: names for names in (MOBILENET_V1, MOBILENET_V2, MOBILENET_V3)
}
SIGNS = tuple((f"{conv}/kernel", f"{norm}/gamma") for conv, norm in NAMES)
#: Keras' ResNets begin with it.
RESNET_STEM = "conv1_conv/kernel"
#: A layer that gives the logits, where it is a convolution.
LOGITS = ("conv_preds/kernel", "logits/kernel")
#: Of numbered layers: a dense one, and convolutions.
DENSE, CONVOLUTION = "dense/kernel", "conv2d"


def names_of(file: WeightFile) -> Names | None:
    """The names in a file of a baseline; None where it is of another network, or has none.

    Raises:
        UsageError: it is a ResNet.
    """
    if RESNET_STEM in file.shapes:
        raise UsageError(
            f"the weights in {file.path} are of Keras' ResNet, which is another network",
            cause="its stride is in the first 1x1 convolution of a block and its convolutions have "
            "biases (v1); resnet-50 has it in the 3x3 one (v1.5)",
            hint="weights of torchvision or timm",
        )
    found = (
        names for names, signs in zip(NAMES.values(), SIGNS, strict=True) if signs[0] in file.shapes
    )
    return next(found, None)


def view(file: WeightFile) -> WeightFile:
    """A file whose logits are a 1x1 convolution, with that as a dense layer."""
    name = next((name for name in LOGITS if name in file.shapes), None) or _last_convolution(file)
    shape = file.shapes.get(name or "", ())
    if name is None or len(shape) != 4 or shape[:2] != (1, 1):
        return file
    return file.reshaped(name, shape[2:])


def _last_convolution(file: WeightFile) -> str | None:
    """Of numbered layers without a dense one, the last convolution, if it has a bias."""
    count = sum(name.startswith(CONVOLUTION) and name.endswith("/kernel") for name in file.shapes)
    layer = f"{CONVOLUTION}_{count - 1}"
    is_last = DENSE not in file.shapes and f"{layer}/bias" in file.shapes
    return f"{layer}/kernel" if is_last else None
