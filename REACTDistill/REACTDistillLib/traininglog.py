"""The log of a run, read for a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What stands beside the losses in a line of metrics.jsonl.
_NOT_A_LOSS = frozenset({"epoch", "step", "steps", "seconds", "learning_rate", "best"})


def training_lines(run: Path) -> list[dict[str, Any]]:
    """The epochs of a run: "stage", "epoch", "losses" by term, validation "score", "best"; ValueError when damaged."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        return []
    try:
        lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
        return [_epoch(line) for line in lines]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'"{run.name}" has a metrics.jsonl that holds no epochs; it is damaged.') from error


def _epoch(line: Mapping[str, Any]) -> dict[str, Any]:
    losses = {
        name: float(value) for name, value in line.items() if isinstance(value, int | float) and name not in _NOT_A_LOSS
    }
    score = float(line["validation"]["score"])
    return {"stage": line["stage"], "epoch": line["epoch"], "losses": losses, "score": score, "best": line["best"]}
