"""What the system says of the processor."""

from __future__ import annotations

import pytest

from edgekit.system.host import this_cpu


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512_vnni\n", "vnni"),
        ("flags\t\t: fpu avx2 avx_vnni\n", "vnni"),
        ("flags\t\t: fpu avx2 avx512f\n", "avx2"),
        ("flags\t\t: fpu sse4_1\n", "any"),
        ("Features\t: fp asimd asimddp\n", "any"),
    ],
)
def test_the_processor_is_one_of_those_that_files_are_for(tmp_path, text, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    assert this_cpu(cpuinfo) == expected
    assert this_cpu(tmp_path / "missing") == "any"
