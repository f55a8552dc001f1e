"""Runs pip in a process that ends when edgekit has ended; it knows nothing of edgekit.

``python -I pip_child.py PARENT RUNNER ARGUMENT…``: PARENT is edgekit's process, RUNNER the file of
pip's folder that runs it in another Python.
"""

import os
import runpy
import sys
import threading
import time


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")
