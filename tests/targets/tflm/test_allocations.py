import pytest

from edgekit.errors import EdgekitError
from edgekit.targets.tflm.allocations import Allocations, parse_allocations

#: Of tflite-micro 0.dev20261023182759 for a small B0 of the tests.
PRINTED = """\
[RecordingMicroAllocator] Arena allocation total 135760 bytes
[RecordingMicroAllocator] Arena allocation head 82944 bytes
[RecordingMicroAllocator] Arena allocation tail 52816 bytes
[RecordingMicroAllocator] 'TfLiteEvalTensor data' used 5592 bytes with alignment overhead \
(requested 5592 bytes for 233 allocations)
[RecordingMicroAllocator] 'Persistent TfLiteTensor data' used 128 bytes with alignment overhead \
(requested 128 bytes for 2 tensors)
[RecordingMicroAllocator] 'Persistent buffer data' used 35992 bytes with alignment overhead \
(requested 35396 bytes for 231 allocations)
"""


def test_what_the_interpreter_printed_is_read():
    found = parse_allocations("INFO: something before\n" + PRINTED)
    assert found == Allocations(arena=135760, persistent=52816, shared=82944)
    assert found.arena == found.persistent + found.shared
    assert found.to_memory(243136) == {
        "arena": 135760,
        "persistent": 52816,
        "non-persistent": 82944,
        "model": 243136,
    }


@pytest.mark.parametrize("text", ["", PRINTED.replace("tail", "end")])
def test_what_is_not_there_is_said(text):
    with pytest.raises(EdgekitError, match="did not say"):
        parse_allocations(text)
