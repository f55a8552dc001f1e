from __future__ import annotations

import pytest
from map_files import graph_of, preprocessing
from prerequisites import NEEDS

from edgekit.targets.npus.classes import resized_classes
from edgekit.targets.qnn import rules as qnn
from edgekit.targets.rknn import rules as rknn


@pytest.mark.parametrize(
    ("network", "output", "refused"),
    [
        ("unet", "logits", False),
        ("unet", "classes", False),
        ("aspp", "classes", False),
        ("aspp", "classes-fused", True),
    ],
)
def test_a_resize_of_classes_is_refused_as_the_compilers_do(tmp_path, network, output, refused):
    """Each was given to both compilers, which took all but the last one."""
    pytest.importorskip("onnx", reason=NEEDS["onnx"].reason)
    from edgekit.converters.onnx import file as onnx_file
    from edgekit.converters.onnx.package import package_onnx

    path = tmp_path / "m.onnx"
    record = preprocessing(network)
    made = package_onnx(graph_of(network, output), preprocessing=record, scheme="w8a8-static")
    path.write_bytes(made)
    model = onnx_file.read(path)
    found = list(resized_classes(model))
    assert [f.rule for f in found] == ["resized-classes"] * refused
    for rules in (qnn, rknn):
        said = [f for f in rules.findings(model) if f.rule == "resized-classes"]
        assert said == found
        assert all("--output classes" in f.fix for f in said)
