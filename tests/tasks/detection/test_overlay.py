"""Boxes are drawn where they are, in the colour of their class."""

import numpy as np
import pytest

from edgekit.tasks.detection.overlay import box_colors, draw_boxes

GREY = np.full((100, 200, 3), 128, np.uint8)
NAMES = ("cat", "dog")


def test_a_box_is_a_frame_in_its_class_s_colour():
    found = draw_boxes(GREY, np.array([[40, 20, 90, 120]]), [1], NAMES)
    color = box_colors(2)[1].tolist()
    for y, x in ((40, 70), (90, 70), (65, 20), (65, 120), (90, 120)):
        assert found[y, x].tolist() == color
    assert (found[44:87, 24:117] == 128).all()  # inside, the photo
    assert (found[:20] == 128).all()
    assert (GREY == 128).all()


def test_the_name_is_above_the_box_or_in_it_at_the_top():
    above = draw_boxes(GREY, np.array([[40, 20, 90, 120]]), [0], NAMES)
    assert (above[28:40] != 128).any()
    assert (above[46:87, 24:117] == 128).all()
    within = draw_boxes(GREY, np.array([[0, 20, 90, 120]]), [0], NAMES)
    assert (within[3:12, 24:117] != 128).any()


def test_a_score_makes_the_name_longer_and_a_class_without_a_name_has_its_number():
    def painted(**extra):
        classes = extra.pop("classes", [0])
        return (
            draw_boxes(GREY, np.array([[40, 20, 90, 180]]), classes, NAMES, **extra) != 128
        ).sum()

    assert painted(scores=[0.9]) > painted()
    assert painted(classes=[7]) != painted()


def test_the_best_box_is_on_top():
    corners = np.array([[40, 20, 90, 120], [40, 20, 90, 120]])
    found = draw_boxes(GREY, corners, [1, 0], NAMES, [0.9, 0.8])
    assert found[90, 70].tolist() == box_colors(2)[1].tolist()


def test_boxes_beyond_the_photo_are_cut():
    found = draw_boxes(GREY, np.array([[-50.0, -50, 500, 500]]), np.array([0.0]), NAMES)
    assert found[99, 100].tolist() == box_colors(1)[0].tolist()
    assert found.shape == GREY.shape


@pytest.mark.parametrize("scores", [None, []])
def test_without_a_box_the_photo_stays_as_it_is(scores):
    assert np.array_equal(draw_boxes(GREY, np.zeros((0, 4)), [], NAMES, scores), GREY)


def test_no_class_is_black_and_all_differ():
    colors = box_colors(90)
    assert len({tuple(color) for color in colors.tolist()}) == 90
    assert colors.any(axis=1).all()
