"""A target that is a package of its own is named in its folder, the registry and pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from places import ROOT

from edgekit.targets import registry

#: By target: its name, and those of what it is. Another's is its name.
WORDS = {"edgetpu": r"edge[ _-]?tpu|coral", "ethosu": r"ethos|\bvela\b|\btosa\b"}
#: Files that may name one all the same, and why.
EXCEPTIONS = {
    "edgetpu": {
        "edgekit/networks/efficientnet/backbone.py": "variants are called EfficientNet-EdgeTPU",
        "edgekit/networks/efficientnet/find.py": "likewise",
        "edgekit/networks/efficientnet/spec.py": "likewise",
        "edgekit/networks/efficientnet/stages.py": "likewise",
        "converters/weights/tf1.py": "likewise",
        "edgekit/training/recipes/scratch-v1.toml": "likewise",
        "converters/classifier.py": "cites the repository google-coral/edgetpu",
        "converters/tflite/detections.py": "cites the library pycoral",
    },
    "ethosu": {
        "targets/executions.py": "an example in a docstring",
        "targets/toolchains/toolchain.py": "likewise",
    },
}
SOURCES = [
    path
    for room in ("edgekit", "converters", "calibration", "targets")
    for path in sorted((ROOT / room).rglob("*"))
    if path.suffix in (".py", ".j2", ".toml", ".css") and path.name != "registry.py"
]
PACKAGES = [name for name in registry.OWN if (ROOT / "targets" / name).is_dir()]


@pytest.mark.parametrize("target", PACKAGES)
def test_no_target_is_named_outside_its_folder(target: str) -> None:
    pattern = re.compile(WORDS.get(target, re.escape(target)), re.IGNORECASE)
    named = {path.relative_to(ROOT) for path in SOURCES if pattern.search(path.read_text("utf-8"))}
    outside = {path for path in named if not path.is_relative_to(Path("targets") / target)}
    assert {path.as_posix() for path in outside} == EXCEPTIONS.get(target, {}).keys()
