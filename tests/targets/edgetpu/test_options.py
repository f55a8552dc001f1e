from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from edgekit.targets.edgetpu.options import CompilerOptions


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({}, []),
        ({"min_runtime_version": 13}, ["--min_runtime_version", "13"]),
        ({"num_segments": 2}, ["--num_segments", "2"]),
        ({"search_delegate": True}, ["--search_delegate"]),
        (
            {"search_delegate": True, "search_step": 30},
            ["--search_delegate", "--delegate_search_step", "30"],
        ),
        ({"intermediate_tensors": ("a", "b c")}, ["--intermediate_tensors", "a,b c"]),
        ({"multiple_subgraphs": True}, ["--enable_multiple_subgraphs"]),
    ],
)
def test_flags(options, flags):
    line = CompilerOptions(**options).command(["m.tflite", "n.tflite"], "out")
    assert line[:6] == [
        "edgetpu_compiler", "--out_dir", "out", "--show_operations", "--timeout_sec", "180"
    ]  # fmt: skip
    assert line[6:] == [*flags, "m.tflite", "n.tflite"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_runtime_version": 9}, "9 is not in 10 to 14"),
        ({"min_runtime_version": 15}, "15 is not in 10 to 14"),
        ({"num_segments": 1}, "--num-segments 1"),
        ({"search_step": 2}, "needs --search-delegate"),
        ({"search_step": 0, "search_delegate": True}, "--search-step 0"),
        ({"timeout_s": 0}, "--timeout 0"),
        ({"intermediate_tensors": ("a", "")}, "--intermediate-tensors"),
        ({"compiler": ""}, "--compiler"),
    ],
)
def test_bad_flags(options, words):
    with pytest.raises(UsageError) as caught:
        CompilerOptions(**options)
    assert words in caught.value.message
