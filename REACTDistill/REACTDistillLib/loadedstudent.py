"""A student in memory: the network of a student file with its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .card import Card

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True, eq=False)
class Student:
    """A network ready for prediction (eval mode, on ``device``), with the card and the path of its file."""

    card: Card
    network: Module
    device: str
    path: Path
