"""The device that a network computes on."""

from __future__ import annotations

import re

from .card import shown


def resolve_device(device: str) -> str:
    """The device to compute on: "auto" becomes "cuda", else "mps", else "cpu"; any other is given back as it is.

    Raises ValueError when the device asked for is unknown or absent; it is never replaced by another.
    """
    import torch

    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device) is None:
        raise ValueError(f'device must be "auto", "cpu", "cuda", "cuda:<number>" or "mps", got {shown(device)}.')
    has_mps, cuda_count = torch.backends.mps.is_available(), torch.cuda.device_count()
    if device == "auto":
        return "cuda" if cuda_count else "mps" if has_mps else "cpu"
    if device == "mps" and not has_mps:
        raise ValueError('device "mps" is not available on this computer: choose "auto" or "cpu".')
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= cuda_count:
        raise ValueError(
            f'device "{device}" is not available, PyTorch finds {cuda_count} CUDA devices: choose "auto" or "cpu".'
        )
    return device
