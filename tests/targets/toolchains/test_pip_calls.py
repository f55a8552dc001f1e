"""What pip prints when it fails, in words."""

from __future__ import annotations

import pytest

from edgekit.errors import EdgekitError
from edgekit.targets.toolchains.pip_calls import PipFailure

STAMP = "2026-11-29T08:21:00,123 "
REFUSED = (
    "Could not fetch URL http://127.0.0.1:9/simple/attrs/: connection error: "
    "HTTPConnectionPool(host='127.0.0.1', port=9): Max retries exceeded with url: /simple/attrs/ "
    "(Caused by NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at "
    "0x7f58>: Failed to establish a new connection: [Errno 111] Connection refused')) - skipping"
)


@pytest.mark.parametrize(
    ("text", "details", "message", "cause"),
    [
        (
            "ERROR: No matching distribution found for attrs==26.1.0",
            STAMP + REFUSED,
            "the package index does not answer",
            "http://127.0.0.1:9: Failed to establish a new connection: [Errno 111] Connection "
            "refused",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on "
            "device",
            "",
            "the disk is full",
            "Could not install packages due to an OSError: [Errno 28] No space left on device",
        ),
        (
            "WARNING: something\nERROR: Invalid requirement\n",
            "",
            "pip cannot fetch attrs 26.1.0",
            "Invalid requirement",
        ),
        ("", "", "pip cannot fetch attrs 26.1.0", "it printed nothing"),
    ],
)
def test_a_failure_in_words(text, details, message, cause):
    error = PipFailure(text, details).error("attrs 26.1.0", "what has arrived is kept")
    assert isinstance(error, EdgekitError)
    assert message in error.message
    assert error.cause == cause
    assert "what has arrived is kept" in error.hint
