"""A real worker with tasks made for tests: python scripted_worker.py [IDLE_SECONDS]."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "REACTDistill"))

from REACTDistillLib import tasks, worker


def echo(request, warm, progress):
    print("a line of a package that likes to talk")
    for done in range(3):
        progress("echo", done, 2)
    return {"value": request["value"], "folder": request["folder"]}


def steps(request, warm, progress):
    for done in range(1000):
        progress("steps", done, 1000)
        time.sleep(0.02)
    return {}


def hang(request, warm, progress):
    progress("hang", 0, 1)
    time.sleep(600)


def spawn(request, warm, progress):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(request["value"]).write_text(str(child.pid))
    progress("spawn", 0, 1)
    time.sleep(600)


def abort(request, warm, progress):
    for number in range(100):
        print("line", number, file=sys.stderr)
    sys.stderr.flush()
    os.abort()


def refuse(request, warm, progress):
    raise ValueError("The liver lies outside\nthe CT.")


def hold(request, warm, progress):
    """Number of volumes that had to be read from files."""
    read = []
    original = tasks.volume_from_file
    tasks.volume_from_file = lambda *arguments: read.append(1) or original(*arguments)
    try:
        volumes = warm.volumes(request["holder"], request["sequences"], Path(request["folder"]))
    finally:
        tasks.volume_from_file = original
    return {"read": len(read), "sums": {name: float(one.array_kji.sum()) for name, one in volumes.items()}}


def freeze(request, warm, progress):
    """No heartbeat either, as in a process that the system has stopped."""
    import signal

    os.kill(os.getpid(), signal.SIGSTOP)


tasks.TASKS.update(
    {f.__name__: f for f in (echo, steps, hang, spawn, abort, refuse, hold, freeze)}  # type: ignore[attr-defined]
)

if __name__ == "__main__":
    worker.main(idle_seconds=float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
