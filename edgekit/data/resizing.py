"""What programs without Pillow must know of it to make the same pixels."""

from __future__ import annotations

import PIL


def resizes_columns_first() -> bool:
    """Whether the installed Pillow resizes the columns of a tall photo before its rows.

    Both passes round to bytes, so that their order shows in the pixels. Since version 13 the
    columns are first where the height loses more than twice as many pixels as the width, as with a
    phone's 720 x 1280 (github.com/python-pillow/Pillow/pull/9549).
    """
    return int(PIL.__version__.split(".")[0]) >= 13
