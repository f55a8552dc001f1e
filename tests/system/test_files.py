"""Files appear whole or not at all."""

import pytest

from edgekit.system.files import write_bytes, write_json


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "f.json"
    path.write_text("old")
    write_json(path, {"ä": [1, 2]})
    assert path.read_text(encoding="utf-8") == '{\n  "ä": [\n    1,\n    2\n  ]\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def fail(source, destination):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
