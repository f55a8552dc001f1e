"""Runs pip in a process that ends when edgekit has ended; it knows nothing of edgekit.

``python -I pip_child.py PARENT PIP ARGUMENT…``: PARENT is edgekit's process, PIP the program of
pip's folder that runs it in another Python, or ``-`` for the pip of this Python.
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
    program = sys.argv[2]
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    sys.argv = [program, *sys.argv[3:]]
    if program == "-":
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(program, run_name="__main__")
