"""Classes are drawn over photos in Pascal VOC's colours."""

import numpy as np

from edgekit.tasks.segmentation.overlay import draw, draw_difference, edges

GREY = np.full((6, 6, 3), 100, np.uint8)


def corner():
    classes = np.zeros((6, 6), np.uint8)
    classes[:4, :4] = 1
    classes[5, 5] = 255
    return classes


def test_a_class_is_half_its_colour_and_its_edge_all_of_it():
    drawn = draw(GREY, corner())
    assert drawn[1, 1].tolist() == [114, 50, 50]  # (128, 0, 0) is the first class's
    assert drawn[3, 3].tolist() == [128, 0, 0]
    assert drawn[0, 5].tolist() == drawn[5, 5].tolist() == [100, 100, 100]
    assert (GREY == 100).all()


def test_other_colours_and_shares_are_taken():
    colors = np.array([[0, 0, 0], [0, 200, 0]], np.uint8)
    assert draw(GREY, corner(), colors=colors, share=0.25)[1, 1].tolist() == [75, 125, 75]


def test_a_difference_has_the_colour_of_the_second():
    other = corner()
    other[0, 0], other[0, 5] = 0, 2
    drawn = draw_difference(GREY, corner(), other)
    assert drawn[0, 0].tolist() == [255, 255, 255]
    assert drawn[0, 5].tolist() == [0, 128, 0]
    assert drawn[1, 1].tolist() == drawn[5, 5].tolist() == [50, 50, 50]


def test_an_edge_is_on_one_side():
    assert edges(corner())[:4, 3].all()
    assert not edges(corner())[:3, :3].any()
