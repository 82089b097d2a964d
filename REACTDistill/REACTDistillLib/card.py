"""The card of a student: what it needs and what it was shown to do, checked field by field."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

CARD_SCHEMA = 1
TASKS = ("grade",)
LARGEST_AXIS = 1024  # voxels along one axis of a grid; a card that asks for more would exhaust the memory


class StudentFileError(ValueError):
    """A student file or its card cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Card:
    """What a student needs and what it was shown to do; plain JSON values throughout.

    ``recipe`` and ``network`` ({"name", "config"}) say how the network is built; ``sequences`` and ``regions``
    ({"required": [...], "optional": [...]}) what a case must and may hold; ``grid`` ({"shape_kji", "spacing_kji_mm"})
    and ``intensity`` (one rule per sequence) how it is prepared. ``metrics`` are numbers by metric name for each subset
    of sequences, ``training`` tells of the cohort. ``calibration`` may give the "temperature" that logits are divided
    by, and where it was fitted. ``tensors`` ({"shape", "dtype"} by name) and ``tensors_sha256`` are
    filled in when a student file is written. A Card made directly is a draft; ``from_json`` is what checks it.
    """

    name: str
    version: str
    recipe: str
    task: str
    network: Mapping[str, Any]
    sequences: Mapping[str, Any]
    regions: Mapping[str, Any]
    grid: Mapping[str, Any]
    intensity: Mapping[str, Any]
    classes: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, float]]
    training: Mapping[str, Any]
    licence: str
    intended_use: str
    limitations: str
    calibration: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Any] = field(default_factory=dict)
    tensors_sha256: str = ""
    schema: int = CARD_SCHEMA

    @property
    def grid_shape_kji(self) -> tuple[int, int, int]:
        """Number of voxels along K, J, I of the grid that the network sees."""
        k, j, i = self.grid["shape_kji"]
        return (k, j, i)

    @property
    def grid_spacing_kji_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centers along K, J, I of that grid, in mm."""
        k, j, i = self.grid["spacing_kji_mm"]
        return (float(k), float(j), float(i))

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax; 1 when the student was not calibrated."""
        return float(self.calibration.get("temperature", 1.0))

    @property
    def is_synthetic(self) -> bool:
        """True when the student was trained on phantoms only."""
        return bool(self.training["synthetic"])

    @property
    def sha256(self) -> str:
        """Checksum of the whole card, 64 hex digits; it covers ``tensors_sha256``, so it identifies the student."""
        return hashlib.sha256(canonical_json(self.to_json()).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The card as a new dictionary of JSON values; StudentFileError when a value has no form in JSON.

        An empty calibration is left out: cards that were written before there was one keep their checksum.
        """
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        if not content["calibration"]:
            del content["calibration"]
        try:
            copy: dict[str, Any] = json.loads(json.dumps(content))
        except TypeError as error:
            raise StudentFileError(f'the card of "{self.name}" cannot be written as JSON: {error}.') from error
        return copy

    @classmethod
    def from_json(cls, content: Mapping[str, Any], source: str) -> Card:
        """The card in ``content``, every field checked.

        ``source`` names the file in the sentence of the StudentFileError raised for the first field that is missing,
        unknown at this schema, of a later schema or not what it should be.
        """
        if not _is_object(content):
            raise StudentFileError(f'"{source}": the card is {shown(content)}, expected an object.')
        _check_schema(content, source)
        _check_known(content, source)
        for path, (expected, holds) in _RULES.items():
            found = _look_up(content, path)
            if found is _MISSING and path in _OPTIONAL:
                continue
            if found is _MISSING or not holds(found):
                raise _refusal(source, path, found, expected)
        _check_sequences_agree(content, source)
        return cls(**{**content, "classes": tuple(content["classes"])})


def canonical_json(content: Mapping[str, Any]) -> str:
    """The one text of JSON values that a checksum is taken over: sorted keys, no spaces, ASCII only, no NaN."""
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise StudentFileError("the card holds NaN or infinity, expected numbers that JSON knows.") from error


def parsed_json(text: str | bytes, source: str, part: str) -> dict[str, Any]:
    """The JSON object in ``text``, in strict JSON: each key once, no NaN."""
    try:
        content = json.loads(text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise StudentFileError(
            f'"{source}": the {part} is not valid JSON, expected a student file: the file is damaged.'
        ) from error
    if not isinstance(content, dict):
        raise StudentFileError(f'"{source}": the {part} is {shown(content)}, expected an object.')
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not JSON")
    return number


def shown(value: object, *, most: int = 60) -> str:
    """``value`` on one line and short enough for a sentence."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= most else text[: most - 3] + "..."


# Whether a value from JSON is what it should be. True and false are ints to Python, hence type() and not isinstance().


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != "" and value.isprintable()


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # false for NaN and for ints beyond float


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_count(n) and 0 < n <= LARGEST_AXIS for n in value)


def _is_spacing(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_number(mm) and mm > 0 for mm in value)


def _is_intensity_rule(value: Any) -> bool:
    if not _are_scalars(value) or not _is_text(value.get("kind")):
        return False
    low, high = value.get("low", -math.inf), value.get("high", math.inf)
    return not isinstance(low, str) and not isinstance(high, str) and bool(low < high)


def _are_metrics(value: Any) -> bool:
    return _is_object(value) and all(_is_object(row) and all(map(_is_number, row.values())) for row in value.values())


def _are_scalars(value: Any) -> bool:
    return _is_object(value) and all(isinstance(x, bool) or _is_text(x) or _is_number(x) for x in value.values())


def _is_tensor_entry(value: Any) -> bool:
    if not _is_object(value) or set(value) != {"shape", "dtype"} or not _is_text(value["dtype"]):
        return False
    return isinstance(value["shape"], list) and all(map(_is_count, value["shape"]))


def _is_calibration(value: Any) -> bool:
    return _are_scalars(value) and _is_number(value.get("temperature")) and value["temperature"] > 0


_Rule = tuple[str, Callable[[Any], bool]]
_TEXT: _Rule = ("one line of text", _is_text)
_OBJECT: _Rule = ("an object", _is_object)
_NAMES: _Rule = ("a list of different names", _are_names)
_SHA256: _Rule = ("64 hex digits of a SHA-256", _is_sha256)

# Each field: what is expected, and whether a value is that. A section stands before its own fields.
_RULES: dict[str, _Rule] = {
    "name": _TEXT,
    "version": _TEXT,
    "recipe": _TEXT,
    "task": (" or ".join(f'"{task}"' for task in TASKS), lambda task: task in TASKS),
    "network": _OBJECT,
    "network.name": _TEXT,
    "network.config": _OBJECT,
    "sequences": _OBJECT,
    "sequences.required": ("a list of at least one name", lambda names: _are_names(names) and len(names) > 0),
    "sequences.optional": _NAMES,
    "regions": _OBJECT,
    "regions.required": _NAMES,
    "regions.optional": _NAMES,
    "grid": _OBJECT,
    "grid.shape_kji": (f"three whole numbers from 1 to {LARGEST_AXIS}", _is_shape),
    "grid.spacing_kji_mm": ("three numbers above 0 in mm", _is_spacing),
    "intensity": (
        'for each sequence an object of "kind", texts and numbers, low below high',
        lambda rules: _is_object(rules) and all(map(_is_intensity_rule, rules.values())),
    ),
    "classes": ("a list of at least two different names", lambda names: _are_names(names) and len(names) > 1),
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
    "tensors": (
        'for each tensor an object of "shape" and "dtype"',
        lambda rows: _is_object(rows) and len(rows) > 0 and all(map(_is_tensor_entry, rows.values())),
    ),
    "tensors_sha256": _SHA256,
    "schema": ("a whole number", lambda value: type(value) is int),
}
_OPTIONAL = ("calibration",)
_CLOSED_SECTIONS = ("network", "sequences", "regions", "grid")  # training may tell more than it must
_MISSING = object()


def _look_up(content: Mapping[str, Any], path: str) -> Any:
    section, _, key = path.rpartition(".")
    return (content[section] if section else content).get(key, _MISSING)


def _refusal(source: str, path: str, found: object, expected: str) -> StudentFileError:
    state = "is missing" if found is _MISSING else f"is {shown(found)}"
    return StudentFileError(f'"{source}": card field "{path}" {state}, expected {expected}.')


def _check_schema(content: Mapping[str, Any], source: str) -> None:
    found = content.get("schema", _MISSING)
    if type(found) is int and found > CARD_SCHEMA:
        raise StudentFileError(
            f'"{source}" was written for card schema {found}, this version reads {CARD_SCHEMA}: update the extension.'
        )
    if type(found) is not int or found != CARD_SCHEMA:
        raise _refusal(source, "schema", found, str(CARD_SCHEMA))


def _check_known(content: Mapping[str, Any], source: str) -> None:
    """A misspelled field must not pass as an absent one."""
    sections = {section: content[section] for section in _CLOSED_SECTIONS if _is_object(content.get(section))}
    for section, entries in {"": content, **sections}.items():
        known = [key for home, _, key in (path.rpartition(".") for path in _RULES) if home == section]
        for key in entries:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                advice = f'expected "{near[0]}"' if near else f"expected only {', '.join(known)}"
                where = f' of "{section}"' if section else ""
                raise StudentFileError(f'"{source}": card field {shown(key)}{where} is unknown, {advice}.')


def _check_sequences_agree(content: Mapping[str, Any], source: str) -> None:
    for section in ("sequences", "regions"):
        both = sorted(set(content[section]["required"]) & set(content[section]["optional"]))
        if both:
            raise _refusal(source, f"{section}.optional", both, "no name that is required too")
    sequences = sorted(content["sequences"]["required"] + content["sequences"]["optional"])
    if sorted(content["intensity"]) != sequences:
        raise _refusal(source, "intensity", sorted(content["intensity"]), f"one rule for each of {shown(sequences)}")
