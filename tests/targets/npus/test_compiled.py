from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.targets.base import NothingMappedError
from edgekit.targets.executions import ChipFigures
from edgekit.targets.npus.compiled import make_compiled
from edgekit.targets.npus.mapping import NPUMapping, Operator


def test_a_model_that_stays_on_the_cpu_is_not_compiled(tmp_path):
    mapping = NPUMapping("a compiler", (), (Operator("Gemm", "logits"),))
    with pytest.raises(NothingMappedError, match="stays on the CPU"):
        make_compiled(Path("m.onnx"), [], tmp_path / "log", mapping, {}, ChipFigures())
