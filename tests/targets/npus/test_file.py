from __future__ import annotations

import numpy as np
import pytest
from npu_files import RECORD, contents, network, write
from pooled import pixels

from edgekit.converters.onnx import file as onnx_file
from edgekit.data.preprocessing import Preprocessing
from edgekit.errors import UsageError
from edgekit.runtimes.onnx import OnnxRuntime
from edgekit.targets.files import Source
from edgekit.targets.npus.file import NCHW, Feed, nchw_forms


def test_the_form_is_the_file_of_normalised_reals_whatever_the_build_asks_for(tmp_path):
    source = Source(network("b0"), RECORD, "uint8", tuple, tuple, None, print)
    NCHW.write(source, tmp_path)
    assert (tmp_path / NCHW.file).read_bytes() == contents("b0")


def test_two_targets_share_it():
    assert nchw_forms() == nchw_forms()
    assert {*nchw_forms(), *nchw_forms()} == {NCHW}


@pytest.mark.parametrize("name", ["b0", "lite0"])
def test_it_answers_bit_for_bit_as_the_file_that_takes_bytes(tmp_path, name):
    photos = pixels(16)
    of_bytes = OnnxRuntime(write(tmp_path, name, io="uint8")).run(photos)
    assert np.array_equal(OnnxRuntime(write(tmp_path, name)).run(photos), of_bytes)


def test_a_worker_feeds_what_the_record_says(tmp_path):
    path = write(tmp_path, "b0")
    record = Preprocessing.from_dict(onnx_file.read(path).preprocessing)
    assert (record.layout, record.dtype) == ("NCHW", "float32")
    fed = Feed.of(path).arrays(pixels(3))
    # As the workers of the targets do it.
    made = ((fed["pixels"].astype(np.float32) - fed["mean"]) / fed["std"]).transpose(0, 3, 1, 2)
    assert np.array_equal(made, np.concatenate([record.feed(photo) for photo in pixels(3)]))


def test_a_file_that_takes_bytes_is_not_fed_reals(tmp_path):
    with pytest.raises(UsageError, match="does not take normalised reals"):
        Feed.of(write(tmp_path, "b0", io="uint8"))
