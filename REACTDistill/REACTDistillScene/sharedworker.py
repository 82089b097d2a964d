"""The one worker of the application, shared by its panels: started by the first that needs it, ended with the last."""

from __future__ import annotations

from .interpreter import workerLaunch
from .transport import QtTransport
from .workerclient import WorkerClient

_users: dict[WorkerClient, int] = {}


def acquireWorker() -> WorkerClient:
    """The worker of the application; nothing is started before the first request. ``releaseWorker`` gives it back."""
    client = next(iter(_users), None) or WorkerClient(QtTransport(), workerLaunch)
    _users[client] = _users.get(client, 0) + 1
    return client


def releaseWorker(client: WorkerClient) -> None:
    """Give the worker back; the last user ends the process."""
    _users[client] -= 1
    if _users[client] == 0:
        del _users[client]
        client.close()
