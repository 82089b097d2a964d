"""The card of a student: what it needs and what it was shown to do, checked field by field."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .cardrules import CLOSED_SECTIONS, OPTIONAL, RULES, is_object

CARD_SCHEMA = 1


class StudentFileError(ValueError):
    """A student file or its card cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Card:
    """What a student needs and what it was shown to do; plain JSON values throughout.

    ``recipe`` and ``network`` ({"name", "config"}) say how the network is built; ``sequences`` and ``regions``
    ({"required": [...], "optional": [...]}) what a case must and may hold; ``grid`` ({"shape_kji", "spacing_kji_mm"})
    and ``intensity`` (one rule per sequence) how it is prepared. ``metrics`` are numbers by metric name for each subset
    of sequences, ``training`` tells of the cohort. ``calibration`` may give the "temperature" that logits are divided
    by, and where it was fitted. ``memory`` may say what one run takes at its peak beside images and
    program, in bytes: "whole_bytes" at once and "tiled_bytes" in tiles, at most, for an image of "image_shape_kji" and
    "image_spacing_kji_mm" with that many "sequences". ``tensors`` ({"shape", "dtype"} by name) and ``tensors_sha256``
    are filled in when a student file is written. A Card made directly is a draft; ``from_json`` is what checks it.
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
    memory: Mapping[str, Any] = field(default_factory=dict)
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

        Empty optional fields are left out: cards that were written before these existed keep their checksum.
        """
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        content = {name: value for name, value in content.items() if value or name not in OPTIONAL}
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
        if not is_object(content):
            raise StudentFileError(f'"{source}": the card is {shown(content)}, expected an object.')
        _check_schema(content, source)
        _check_known(content, source)
        for path, (expected, holds) in RULES.items():
            found = _look_up(content, path)
            if found is _MISSING and path in OPTIONAL:
                continue
            if found is _MISSING or not holds(found):
                raise _refusal(source, path, found, expected)
        _check_sequences_agree(content, source)
        _check_classes(content, source)
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
    sections = {section: content[section] for section in CLOSED_SECTIONS if is_object(content.get(section))}
    for section, entries in {"": content, **sections}.items():
        known = [key for home, _, key in (path.rpartition(".") for path in RULES) if home == section]
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
    if not sequences:
        raise _refusal(source, "sequences", content["sequences"], "at least one sequence, required or optional")
    if sorted(content["intensity"]) != sequences:
        raise _refusal(source, "intensity", sorted(content["intensity"]), f"one rule for each of {shown(sequences)}")


def _check_classes(content: Mapping[str, Any], source: str) -> None:
    """A grade is a choice between classes; a segmentation may have one region."""
    if content["task"] == "grade" and len(content["classes"]) < 2:
        raise _refusal(source, "classes", content["classes"], "at least two classes to choose from")
