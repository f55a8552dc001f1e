"""Safetensors files that are whole or not there."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from edgekit.system.tensor_files import write_tensors


def test_arrays_come_back_whatever_their_order(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_tensors(tmp_path / "a.safetensors", {"a": array}, {"of": "a test"})
    np.testing.assert_array_equal(load_file(tmp_path / "a.safetensors")["a"], array)
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert file.metadata() == {"of": "a test"}


def test_others_may_read_it_as_any_file_of_this_user(tmp_path):
    (tmp_path / "other").touch()
    write_tensors(tmp_path / "a", {"a": np.zeros(2)}, {})
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path):
    write_tensors(tmp_path / "a", {"a": np.zeros(2)}, {})
    with pytest.raises(OSError, match="cannot write"):
        write_tensors(tmp_path / "a", {"a": np.array(["text"])}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    np.testing.assert_array_equal(load_file(tmp_path / "a")["a"], np.zeros(2))


def test_the_systems_error_keeps_its_number(tmp_path):
    """By which a full disk is known."""
    (tmp_path / "a.tmp").mkdir()
    with pytest.raises(IsADirectoryError):
        write_tensors(tmp_path / "a", {"a": np.zeros(2)}, {})
