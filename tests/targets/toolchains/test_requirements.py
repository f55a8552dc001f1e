from __future__ import annotations

from edgekit.targets.toolchains.requirements import read_requirements

TEXT = f"""
# a comment
Some_Tool==1.5.0+cpu \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
other.name==2.0 ; python_version < "3.12" --hash=sha256:{"c" * 64}   # why
"""


def test_packages_versions_and_hashes_are_read(tmp_path):
    path = tmp_path / "tool.txt"
    path.write_text(TEXT, "utf-8")
    first, second = read_requirements(path)
    assert (first.name, first.version, len(first.hashes)) == ("some-tool", "1.5.0+cpu", 2)
    assert (second.name, second.hashes) == ("other-name", {"c" * 64})
    assert 'python_version < "3.12"' in second.line
    assert first.is_of("some_tool-1.5.0+cpu-py3-none-any.whl")
    assert not first.is_of("some_tool-1.5.0-py3-none-any.whl")
    assert not first.is_of("some_tool_extra-1.5.0+cpu-py3-none-any.whl")
