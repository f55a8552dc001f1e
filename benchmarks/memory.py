"""What it brings that edgekit lets the C library keep freed memory: a forward pass, both ways.

Each way is a process of its own, in turn, because the setting cannot be taken back.

    python benchmarks/memory.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys

CHILD = """
import sys, time, torch
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.torch_device import place
from edgekit.system.memory import keep_freed_memory
from edgekit.networks.torch_network import Network
from edgekit.networks.efficientnet.find import find_spec

if sys.argv[1] == "keep":
    keep_freed_memory()
network = place(Network(build_graph(find_spec("lite0"))), "cpu").eval()
photos = torch.zeros(32, 224, 224, 3).permute(0, 3, 1, 2)
with torch.inference_mode():
    network(photos)
    started = time.perf_counter()
    network(photos)
print(32 / (time.perf_counter() - started))
"""


def main() -> None:
    speeds: dict[str, list[float]] = {"give back": [], "keep": []}
    for _ in range(5):
        for way, found in speeds.items():
            command = [sys.executable, "-c", CHILD, way]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(float(done.stdout))
    medians = {way: statistics.median(found) for way, found in speeds.items()}
    for way, median in medians.items():
        print(f"{way:<10} {median:6.1f} photos/s (median of 5)")
    print(f"ratio      {medians['keep'] / medians['give back']:6.2f}")


if __name__ == "__main__":
    main()
