from __future__ import annotations

import pytest
from prerequisites import NEEDS

from edgekit.errors import UsageError
from edgekit.runtimes.open import RUNTIMES, find_runtime, open_classifier


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=lambda runtime: runtime.name)
def test_all_that_a_row_names_exists(runtime):
    if runtime.extra:
        pytest.importorskip(runtime.package, reason=NEEDS[runtime.package].reason)
    used = (runtime.classifier, runtime.trace, runtime.about, runtime.describe)
    for reference in filter(None, (*used, runtime.load, runtime.unfed)):
        assert callable(runtime.use(reference))
    runtime.load_libraries()


def test_the_ending_chooses_whatever_its_case():
    assert find_runtime("a/b.ONNX").name == "onnx"
    with pytest.raises(UsageError, match="of no kind that can be run") as caught:
        open_classifier("model.tflit")
    assert "'.tflite'" in caught.value.hint


def test_a_runtime_that_is_missing_does_not_stop_what_loads_libraries(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    RUNTIMES[".onnx"].load_libraries()
