"""Answers as `edgekit.bench.worker` does, for files that do what their names say; starts at once.

"crash" and "hang" in a name happen when the file is loaded, "late" makes it the second burst;
"refuse" is an error that the runtime reports.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

LOADED = {
    "runtime": "Stand-in 1",
    "scheme": "fp32",
    "load_ms": 2.0,
    "first_ms": 1.5,
    "memory_bytes": 1000,
    "size_bytes": 43,
    "not_a_classifier": None,
}
REFUSED = {"exit_code": 3, "cause": "it says so", "hint": "get it"}


def answer(name, turn):
    if turn == (2 if "late" in name else 0):
        if "crash" in name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in name:
            time.sleep(600)
        if "refuse" in name:
            return {"error": REFUSED | {"message": f"{name} needs more"}}
    return {"result": [1.0, 1.0] if turn else LOADED}


bursts = {}
for line in sys.stdin:
    request = json.loads(line)
    file = request["file"]
    bursts[file] = bursts.get(file, 0) + bool(request["seconds"])
    print(json.dumps(answer(Path(request["path"]).name, bursts[file])), flush=True)
