"""What each field of a card must be."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from typing import Any

TASKS = ("grade", "segment")
LARGEST_AXIS = 1024  # voxels along one axis of a grid; a card that asks for more would exhaust the memory

# Whether a value from JSON is what it should be. True and false are ints to Python, hence type() and not isinstance().


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != "" and value.isprintable()


def is_number(value: Any) -> bool:
    """True for int and float that are finite; bool, NaN and ints beyond float are none."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def is_object(value: Any) -> bool:
    """True for what was an object in JSON."""
    return isinstance(value, dict)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_count(n) and 0 < n <= LARGEST_AXIS for n in value)


def _is_spacing(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(is_number(mm) and mm > 0 for mm in value)


def _is_intensity_rule(value: Any) -> bool:
    if not _are_scalars(value) or not _is_text(value.get("kind")):
        return False
    low, high = value.get("low", -math.inf), value.get("high", math.inf)
    return not isinstance(low, str) and not isinstance(high, str) and bool(low < high)


def _are_metrics(value: Any) -> bool:
    return is_object(value) and all(is_object(row) and all(map(is_number, row.values())) for row in value.values())


def _are_scalars(value: Any) -> bool:
    return is_object(value) and all(isinstance(x, bool) or _is_text(x) or is_number(x) for x in value.values())


def _is_tensor_entry(value: Any) -> bool:
    if not is_object(value) or set(value) != {"shape", "dtype"} or not _is_text(value["dtype"]):
        return False
    return isinstance(value["shape"], list) and all(map(_is_count, value["shape"]))


def _is_calibration(value: Any) -> bool:
    return _are_scalars(value) and is_number(value.get("temperature")) and value["temperature"] > 0


_MEMORY_NUMBERS = ("sequences", "whole_bytes", "tiled_bytes")


def _is_memory(value: Any) -> bool:
    if not is_object(value) or set(value) != {"image_shape_kji", "image_spacing_kji_mm", *_MEMORY_NUMBERS}:
        return False
    is_image = _is_shape(value["image_shape_kji"]) and _is_spacing(value["image_spacing_kji_mm"])
    return is_image and all(_is_count(value[name]) and value[name] > 0 for name in _MEMORY_NUMBERS)


_Rule = tuple[str, Callable[[Any], bool]]
_TEXT: _Rule = ("one line of text", _is_text)
_OBJECT: _Rule = ("an object", is_object)
_NAMES: _Rule = ("a list of different names", _are_names)
_SHA256: _Rule = ("64 hex digits of a SHA-256", _is_sha256)

# Each field: what is expected, and whether a value is that. A section stands before its own fields.
RULES: dict[str, _Rule] = {
    "name": _TEXT,
    "version": _TEXT,
    "recipe": _TEXT,
    "task": (" or ".join(f'"{task}"' for task in TASKS), lambda task: task in TASKS),
    "network": _OBJECT,
    "network.name": _TEXT,
    "network.config": _OBJECT,
    "sequences": _OBJECT,
    "sequences.required": _NAMES,
    "sequences.optional": _NAMES,
    "regions": _OBJECT,
    "regions.required": _NAMES,
    "regions.optional": _NAMES,
    "grid": _OBJECT,
    "grid.shape_kji": (f"three whole numbers from 1 to {LARGEST_AXIS}", _is_shape),
    "grid.spacing_kji_mm": ("three numbers above 0 in mm", _is_spacing),
    "intensity": (
        'for each sequence an object of "kind", texts and numbers, low below high',
        lambda rules: is_object(rules) and all(map(_is_intensity_rule, rules.values())),
    ),
    "classes": ("a list of at least one name, all different", lambda names: _are_names(names) and len(names) > 0),
    "metrics": ("for each subset of sequences an object of numbers", _are_metrics),
    "training": _OBJECT,
    "training.cohort": _TEXT,
    "training.cohort_sha256": _SHA256,
    "training.cases": ("a whole number from 0", _is_count),
    "training.synthetic": ("true or false", lambda value: isinstance(value, bool)),
    "training.software_version": _TEXT,
    "training.seed": ("a whole number from 0", _is_count),
    "licence": _TEXT,
    "intended_use": _TEXT,
    "limitations": _TEXT,
    "calibration": ('an object of "temperature" above 0, texts and numbers', _is_calibration),
    "memory": (
        'an object of "image_shape_kji", "image_spacing_kji_mm" and whole numbers above 0: "sequences", "whole_bytes" '
        'and "tiled_bytes"',
        _is_memory,
    ),
    "tensors": (
        'for each tensor an object of "shape" and "dtype"',
        lambda rows: is_object(rows) and len(rows) > 0 and all(map(_is_tensor_entry, rows.values())),
    ),
    "tensors_sha256": _SHA256,
    "schema": ("a whole number", lambda value: type(value) is int),
}
OPTIONAL = ("calibration", "memory")
CLOSED_SECTIONS = ("network", "sequences", "regions", "grid")  # training may tell more than it must
