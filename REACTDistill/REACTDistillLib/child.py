"""Command line as a child of an application: own process group, announced, and over when the application is."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence

from .progress import write_event

_ORPHANED = 3


def main(arguments: Sequence[str]) -> int:
    """Run the command line with ``arguments``; returns its exit code.

    The first line on stdout is {"event": "started", "pid": ...}: killing that process group ends every process that
    this one starts. Stdin must be a pipe that the parent keeps open: at its end this process stops.
    """
    if os.name == "posix" and os.getsid(0) != os.getpid():
        os.setsid()
    write_event("started", pid=os.getpid())
    threading.Thread(target=_stop_at_end_of_stdin, daemon=True).start()
    from .__main__ import main as run_command_line

    return int(run_command_line(list(arguments)) or 0)


def _stop_at_end_of_stdin() -> None:
    # os.read, not sys.stdin: a thread that holds the lock of sys.stdin makes the interpreter crash when it ends.
    while os.read(0, 4096):
        pass
    os._exit(_ORPHANED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
