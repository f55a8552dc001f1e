"""How long `edgekit --help` takes: median, least and most of ten runs of the whole process.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    command = [str(Path(sys.executable).with_name("edgekit")), "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    print(
        f"edgekit --help: median {statistics.median(seconds):.3f} s, "
        f"least {min(seconds):.3f} s, most {max(seconds):.3f} s (limit 0.2 s)"
    )


if __name__ == "__main__":
    main()
