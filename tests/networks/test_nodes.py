"""A walker refuses a node that it has no row for, with the reason where there is one."""

import pytest

from edgekit.errors import UsageError
from edgekit.networks.nodes import Add, Flatten, row_of


def test_a_node_without_a_row_is_refused_with_the_reason():
    node = Flatten(name="vector", inputs=("pool",))
    assert row_of({Flatten: "RESHAPE"}, node, "operator") == "RESHAPE"
    with pytest.raises(UsageError, match="no operator for the Flatten 'vector'") as caught:
        row_of({Add: "ADD"}, node, "operator", {Flatten: "maps stay maps"})
    assert caught.value.cause == "maps stay maps"
