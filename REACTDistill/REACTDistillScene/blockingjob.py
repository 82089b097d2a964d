"""A work done while the caller waits, in a child process of its own: for the Python console, scripts and modules."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import slicer

from .interpreter import workerLaunch
from .job import Job, JobCallbacks, Work
from .transport import PopenTransport
from .workerclient import WorkerClient

_PAUSE_SECONDS = 0.005


def runBlocking(work: Work, *, progress: Callable[[str, int, int], None] | None = None) -> None:
    """Run ``work`` to its end; ``progress(stage, done, total)`` is called between steps and may raise to stop it.

    Raises ValueError with one sentence when the work fails. No process and no file is left behind in any case.
    """
    failures: list[str] = []
    client = WorkerClient(PopenTransport(), workerLaunch)
    callbacks = JobCallbacks(
        onState=lambda state: None,
        onProgress=progress or (lambda stage, done, total: None),
        onError=lambda message, details: failures.append(message),
    )
    job = Job(client, callbacks, holder="console", makeFolder=_newFolder)
    try:
        job.start(work)
        while job.isBusy:
            job.poll()
            if not job.hasSteps:
                time.sleep(_PAUSE_SECONDS)
    finally:
        job.close()
        client.close()
    if failures:
        raise ValueError(failures[0])


def _newFolder() -> Path:
    # Its name holds nothing of the patient, and no other user can read it.
    place = Path(slicer.app.temporaryPath)
    place.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="REACTDistill-", dir=place))
