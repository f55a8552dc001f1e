"""Tasks of a tool that behaves well or badly, for `edgekit.targets.toolchains.work`."""

import os
import sys
import time


class RefusedError(Exception):
    """The tool does not take the model."""


def double(arguments, arrays, progress):
    """Answers, and shows how far it is."""
    values = arrays["values"]
    for done in range(3):
        progress(done, 3)
        time.sleep(arguments.get("pause", 0))
    print("a line of the tool")
    return {"sum": float(values.sum()), "python": sys.executable, "cwd": os.getcwd()}, {
        "doubled": 2 * values,
        "turned": values.T,
    }


def chatter(arguments, arrays, progress):
    """Fills any pipe, in an encoding of its own."""
    for _ in range(20_000):
        sys.stdout.buffer.write(b"warning: \xff tensor has a long name, and there are many\n")
    sys.stdout.flush()
    os.write(2, b"the last word\n")
    return {}, {}


def crash(arguments, arrays, progress):
    """Dies as native code does."""
    sys.stderr.write("Check failed: rank == 4\n")
    sys.stderr.flush()
    os.abort()


def leave(arguments, arrays, progress):
    """Ends the process."""
    print("license not found")
    sys.stdout.flush()
    os._exit(7)


def hang(arguments, arrays, progress):
    """Does not end, and neither does what it starts."""
    import subprocess

    print("pass 3 of 9", flush=True)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(arguments["pids"], "w", encoding="utf-8") as stream:
        stream.write(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def refuse(arguments, arrays, progress):
    """Does not take the model."""
    raise RefusedError("operator CONV_3D is not supported")


def fail(arguments, arrays, progress):
    """Has a fault."""
    raise KeyError("scale")


TASKS = {task.__name__: task for task in (double, chatter, crash, leave, hang, refuse, fail)}
