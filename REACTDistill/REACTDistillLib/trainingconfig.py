"""What the user may choose of a training run, checked before anything is computed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .card import shown
from .errors import check_names

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainingConfig:
    """What the user may choose of a run; written to ``config.json`` of the run folder.

    ``licence`` of the student stands in its card; without one, Apache-2.0 for a student of synthetic patients and "not
    stated" for any other. ``fold`` is held out: it gives the scores of the card and is seen by nothing else. A share of
    the patients of the other folds, drawn by ``seed``, is the validation part, which picks the best weights and the
    temperature; the rest trains. ``batch_size`` counts all processes together. ``labeled_draws`` is the share of the
    cases with a label in what is drawn where cases without one take part too; each of them comes at least as often as
    one without. ``precision`` "auto" is bfloat16 on CUDA and float32 elsewhere. ``weights`` gives a .safetensors file
    of an earlier run for a network by name; stages that train such a network are left out. ``checkpoint_steps`` 0 saves
    at the end of each epoch only. ``loader_threads`` prepare batches ahead; None is none on a CPU, where they would
    take the cores of the network, and 8 for any other device. Raises ValueError for a value that cannot be.
    """

    recipe: str = "reactkd"
    name: str = "Grade student"
    version: str = "0.1.0"
    licence: str = ""
    epochs: int = 30
    steps_per_epoch: int = 0  # 0: as many as the cases fill
    batch_size: int = 8
    labeled_draws: float = 0.5
    learning_rate: float = 2e-3  # peak; cosine to zero over the stage
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    precision: str = "auto"
    fold: int = 0
    validation_share: float = 0.25
    seed: int = 0
    device: str = "cpu"
    checkpoint_steps: int = 0
    loader_threads: int | None = None
    weights: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)  # replace defaults of the recipe's preparation

    def __post_init__(self) -> None:
        for name, least in {
            "epochs": 1,
            "batch_size": 1,
            "fold": 0,
            "seed": 0,
            "checkpoint_steps": 0,
            "steps_per_epoch": 0,
        }.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; a run needs at least {least}.")
        for name in ("learning_rate", "weight_decay", "clip_norm"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)}; a run needs a finite number.")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay is {self.weight_decay}; a run needs 0 or more.")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; a run needs a number above 0.")
        for name in ("validation_share", "labeled_draws"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1.")
        if self.precision not in PRECISIONS:
            raise ValueError(f'precision is "{self.precision}"; choose one of {", ".join(PRECISIONS)}.')
        if self.loader_threads is not None and self.loader_threads < 0:
            raise ValueError(f"loader_threads is {self.loader_threads}; use 0 or more, or leave it out.")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, as they stand in ``config.json``."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content


def read_config(path: Path) -> dict[str, Any]:
    """The fields of TrainingConfig in a JSON file, their kinds checked; ValueError names the file and the field."""
    if not path.is_file():
        raise ValueError(f'There is no configuration file "{path}".')
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors put a mark in front
    except ValueError as error:  # not UTF-8, or not JSON
        raise ValueError(f'"{path.name}" is not JSON: {error}.') from error
    if not isinstance(content, dict):
        raise ValueError(f'"{path.name}" must hold one JSON object with fields of TrainingConfig.')
    defaults = TrainingConfig().to_json()
    check_names(path.name, content, defaults)
    for name, value in content.items():
        if not _is_like(value, defaults[name], name):
            raise ValueError(f'"{path.name}": "{name}" is {shown(value)}, expected like {shown(defaults[name])}.')
    return content


def _is_like(value: Any, default: Any, name: str) -> bool:
    if name == "loader_threads":
        return value is None or type(value) is int
    if name == "weights":
        return isinstance(value, dict) and all(isinstance(path, str) for path in value.values())
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)
