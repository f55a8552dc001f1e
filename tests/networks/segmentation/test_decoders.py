"""Decoders of segmentation as data."""

import pytest

from edgekit.networks.segmentation.decoders import DeepLab


@pytest.mark.parametrize(
    ("decoder", "rates"),
    [
        (DeepLab(), (6, 12, 18)),
        (DeepLab(output_stride=8), (12, 24, 36)),
        (DeepLab(output_stride=8, rates=(2, 4, 6)), (2, 4, 6)),
    ],
)
def test_rates_grow_as_the_output_stride_shrinks_unless_they_are_given(decoder, rates):
    assert decoder.atrous_rates == rates
