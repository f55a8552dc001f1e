"""Freed memory is kept, or given back."""

import subprocess
import sys

import pytest

from edgekit.system.memory import _find, keep_freed_memory, return_freed_memory

BLOCKS = """
from pathlib import Path
from edgekit.system.memory import keep_freed_memory, return_freed_memory

def resident():
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in x)
    return int(line.split()[1]) >> 10

keep_freed_memory()
before = resident()
blocks = [bytes(2000) for _ in range(100_000)]
full = resident() - before
del blocks[:-1]  # the last one stays, at the end of the heap
kept = resident() - before
return_freed_memory()
print(full, kept, resident() - before)
"""


def test_it_is_harmless_to_repeat():
    for call in (keep_freed_memory, return_freed_memory) * 2:
        call()


@pytest.mark.skipif(not _find("malloc_trim"), reason="needs glibc")
def test_what_is_kept_is_given_back():
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS], capture_output=True, text=True, check=True
    )
    full, kept, rest = map(int, done.stdout.split())
    assert full > 150
    assert kept > 150
    assert rest < 50
