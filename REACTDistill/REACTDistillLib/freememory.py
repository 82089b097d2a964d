"""How much memory a computer has left, whether a case fits into it, and how unused memory goes back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from pathlib import Path

from .volume import Volume

# Measured: the peak of a grade is below this many times the float32 volumes (Testing/benchmarks/regrade_speed.py
# --memory); torch and the student take the rest, whatever the size of the case.
_TIMES_THE_VOLUMES = 2.5
_BASE_BYTES = 600_000_000
_GIGABYTE = 1e9


def check_memory(volumes: Iterable[Volume], *, free_bytes: int | None = None) -> None:
    """Raise ValueError when the free memory will not do for a grade of ``volumes``, which are in memory already.

    ``free_bytes`` is asked of the system when left out; where that cannot be told, nothing is refused.
    """
    free = available_bytes() if free_bytes is None else free_bytes
    needed = _BASE_BYTES + (_TIMES_THE_VOLUMES - 1) * sum(4.0 * volume.array_kji.size for volume in volumes)
    if free is not None and free < needed:
        raise ValueError(
            f"Grading this case takes about {needed / _GIGABYTE:.1f} GB of memory and {free / _GIGABYTE:.1f} GB are "
            "free; close other programs, or crop the CT around the liver."
        )


def check_segmentation(needed_bytes: float, *, free_bytes: int | None) -> None:
    """Raise ValueError when ``free_bytes`` will not do for the ``needed_bytes`` of a segmentation; None: unknown."""
    if free_bytes is not None and free_bytes < needed_bytes:
        raise ValueError(
            f"Segmenting this case takes about {needed_bytes / _GIGABYTE:.1f} GB of memory and "
            f"{free_bytes / _GIGABYTE:.1f} GB are free; close other programs, or crop the images around the brain."
        )


def give_memory_back() -> None:
    """Hand memory that this process keeps for later, but does not use, back to the GPU and to the system."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc, which keeps what the worker is told to keep
        if trim is not None:
            trim(0)


def free_bytes_of(device: str) -> int | None:
    """Memory that is free on ``device`` ("cpu", "cuda", "cuda:1", "mps"); None where the system does not tell.

    What torch keeps of a GPU without using it counts as free.
    """
    if not device.startswith("cuda"):
        return available_bytes() if device == "cpu" else None
    import torch

    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


def available_bytes() -> int | None:
    """Memory that a program can get without pushing others out; None where the system does not tell."""
    if sys.platform == "win32":
        return _available_on_windows()
    table = Path("/proc/meminfo")
    if not table.exists():  # macOS counts in a way that has no such number
        return None
    for line in table.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_ulong),
        ("load_percent", ctypes.c_ulong),
        *((name, ctypes.c_ulonglong) for name in ("total", "available", "page_total", "page_available")),
        *((name, ctypes.c_ulonglong) for name in ("virtual_total", "virtual_available", "extended_available")),
    )


def _available_on_windows() -> int | None:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    answered = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return int(status.available) if answered else None
