from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from REACTDistillLib import card as card_module
from REACTDistillLib.card import Card, StudentFileError, canonical_json, parsed_json
from REACTDistillLib.cardrules import CLOSED_SECTIONS, OPTIONAL, RULES

SHA256 = "0123456789abcdef" * 4
MISSING = object()


def content() -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "Demo grade student",
        "version": "0.1.0",
        "recipe": "reactkd",
        "task": "grade",
        "network": {"name": "student", "config": {"classes": 3}},
        "sequences": {"required": ["ct"], "optional": ["pet_fdg"]},
        "regions": {"required": ["liver"], "optional": ["tumor"]},
        "grid": {"shape_kji": [64, 224, 224], "spacing_kji_mm": [4, 1.25, 1.25]},
        "intensity": {
            "ct": {"kind": "window_zscore", "low": -160, "high": 240, "statistics": "liver"},
            "pet_fdg": {"kind": "percentile_zscore", "low": 1, "high": 99},
        },
        "classes": ["G1", "G2", "G3"],
        "metrics": {"ct": {"macro_auc": 0.75}, "ct+pet_fdg": {"macro_auc": 0.875}},
        "training": {
            "cohort": "phantoms",
            "cohort_sha256": SHA256,
            "cases": 200,
            "synthetic": True,
            "software_version": "0.1.0",
            "seed": 0,
            "epochs": 30,
        },
        "licence": "Apache-2.0",
        "intended_use": "Demonstration.",
        "limitations": "Knows phantoms only; not for clinical use.",
        "tensors": {"weight": {"shape": [2, 3], "dtype": "F32"}, "steps": {"shape": [], "dtype": "I64"}},
        "tensors_sha256": SHA256,
    }


def changed(path: str, value: object) -> dict[str, Any]:
    result = copy.deepcopy(content())
    *sections, key = path.split("/")
    place = result
    for section in sections:
        place = place[section]
    if value is MISSING:
        del place[key]
    else:
        place[key] = value
    return result


def refusal(broken: Any) -> str:
    with pytest.raises(StudentFileError) as caught:
        Card.from_json(broken, "some.safetensors")
    sentence = str(caught.value)
    assert sentence.startswith('"some.safetensors"')
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 400
    return sentence


def test_a_card_survives_json_and_gives_its_grid_in_kji_order() -> None:
    card = Card.from_json(content(), "some.safetensors")
    assert card.to_json() == content()
    assert Card.from_json(card.to_json(), "again") == card
    assert card.grid_shape_kji == (64, 224, 224)
    assert card.grid_spacing_kji_mm == (4.0, 1.25, 1.25)
    assert card.classes == ("G1", "G2", "G3")
    assert card.is_synthetic


def test_to_json_gives_a_copy_that_does_not_reach_back_into_the_card() -> None:
    card = Card.from_json(content(), "some.safetensors")
    card.to_json()["grid"]["shape_kji"][0] = 1
    assert card.grid_shape_kji == (64, 224, 224)


def test_each_field_of_a_card_has_a_rule() -> None:
    top = {path for path in RULES if "." not in path}
    assert top == {field.name for field in fields(Card)}
    assert set(CLOSED_SECTIONS) <= top


@pytest.mark.parametrize("path", [path for path in RULES if path not in ("schema", *OPTIONAL)])
def test_a_missing_field_is_named(path: str) -> None:
    sentence = refusal(changed(path.replace(".", "/"), MISSING))
    assert f'card field "{path}" is missing, expected ' in sentence


@pytest.mark.parametrize("path", list(RULES))
@pytest.mark.parametrize("wrong", [None, -1, [[]], float("nan")], ids=repr)
def test_a_field_of_the_wrong_kind_is_named_with_what_was_found(path: str, wrong: object) -> None:
    sentence = refusal(changed(path.replace(".", "/"), wrong))
    assert f'"{path}" is ' in sentence
    assert ", expected " in sentence


@pytest.mark.parametrize(
    ("path", "value", "phrase"),
    [
        ("schema", MISSING, 'card field "schema" is missing, expected 1.'),
        ("schema", 0, 'card field "schema" is 0, expected 1.'),
        ("schema", True, 'card field "schema" is true, expected 1.'),
        ("classes", [], 'card field "classes" is [], expected a list of at least one name, all different.'),
        ("classes", ["G1", "G1"], 'card field "classes" is ["G1", "G1"], expected a list of at least one name, all'),
        ("classes", ["G1"], 'card field "classes" is ["G1"], expected at least two classes to choose from.'),
        ("task", "paint", 'card field "task" is "paint", expected "grade" or "segment".'),
        ("name", "two\nlines", 'card field "name" is "two\\nlines", expected one line of text.'),
        ("name", " ", "expected one line of text."),
        ("grid/spacing_kji_mm", [4, 0, 1.25], "is [4, 0, 1.25], expected three numbers above 0 in mm."),
        ("grid/spacing_kji_mm", [4, 1.25], "is [4, 1.25], expected three numbers above 0 in mm."),
        ("grid/shape_kji", [64, 224, True], "expected three whole numbers from 1 to 1024."),
        ("grid/shape_kji", [64, 224, 1025], "expected three whole numbers from 1 to 1024."),
        ("intensity/ct", {"kind": "window_zscore", "low": 240, "high": -160}, "low below high."),
        ("intensity/ct", {"kind": "window_zscore", "low": "a", "high": 1}, "low below high."),
        ("intensity/ct", {"low": 0, "high": 1}, 'card field "intensity" is '),
        ("intensity/pet_fdg", MISSING, 'is ["ct"], expected one rule for each of ["ct", "pet_fdg"].'),
        ("sequences", {"required": [], "optional": []}, "expected at least one sequence, required or optional."),
        ("sequences/optional", ["ct"], 'card field "sequences.optional" is ["ct"], expected no name that is required'),
        ("metrics/ct", {"macro_auc": float("inf")}, 'card field "metrics" is '),
        ("metrics/ct", {"macro_auc": 10**400}, 'card field "metrics" is '),
        ("training/cohort_sha256", "abc", 'is "abc", expected 64 hex digits of a SHA-256.'),
        ("training/synthetic", 1, 'card field "training.synthetic" is 1, expected true or false.'),
        ("tensors", {}, 'card field "tensors" is {}, expected'),
        ("tensors/weight", {"shape": [-1], "dtype": "F32"}, 'card field "tensors" is '),
        ("tensors_sha256", SHA256.upper(), "expected 64 hex digits of a SHA-256."),
    ],
)
def test_the_sentence_says_what_was_found_and_what_was_expected(path: str, value: object, phrase: str) -> None:
    assert phrase in refusal(changed(path, value))


def test_a_card_of_a_later_schema_asks_for_an_update() -> None:
    later = {**content(), "schema": 2, "field_of_the_future": 1}
    assert refusal(later) == (
        '"some.safetensors" was written for card schema 2, this version reads 1: update the extension.'
    )


def test_a_misspelled_field_is_refused_with_the_right_spelling() -> None:
    assert 'card field "licnce" is unknown, expected "licence".' in refusal({**content(), "licnce": "MIT"})
    assert 'field "shape_ijk" of "grid" is unknown, expected "shape_kji".' in refusal(changed("grid/shape_ijk", [1]))
    assert 'card field "grid.shape_kji" is unknown' in refusal({**content(), "grid.shape_kji": [1, 1, 1]})


def test_a_card_that_is_no_object_is_refused() -> None:
    assert refusal([1]) == '"some.safetensors": the card is [1], expected an object.'


def test_a_card_with_a_value_unknown_to_json_is_refused_in_a_sentence() -> None:
    card = replace(Card.from_json(content(), "x"), metrics={"ct": {"auc": 1j}})
    with pytest.raises(StudentFileError, match="cannot be written as JSON") as caught:
        card.to_json()
    assert "\n" not in str(caught.value)


def test_nan_outside_the_checked_fields_is_refused_too() -> None:
    card = Card.from_json(changed("network/config/slope", float("nan")), "x")
    with pytest.raises(StudentFileError, match=r"^the card holds NaN or infinity, .*\.$"):
        _ = card.sha256


def test_the_checksum_of_a_card_follows_every_field_but_not_their_order() -> None:
    card = Card.from_json(content(), "x")
    assert Card.from_json(dict(reversed(content().items())), "x").sha256 == card.sha256
    assert replace(card, limitations="Knows phantoms only; not for clinical use!").sha256 != card.sha256
    assert canonical_json({"b": 1.5, "a": "é"}) == '{"a":"\\u00e9","b":1.5}'


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1e999}', "{", "[" * 100_000, b'{"a": "\xff"}'], ids=range(6)
)
def test_json_that_is_not_strict_is_refused(text: str | bytes) -> None:
    with pytest.raises(StudentFileError, match=r'^"x": the card is not valid JSON, .*\.$'):
        parsed_json(text, "x", "card")


def test_card_and_student_modules_import_without_torch_or_slicer() -> None:
    code = (
        "import sys, REACTDistillLib.card, REACTDistillLib.student;"
        "assert not {'torch', 'slicer', 'vtk', 'qt', 'monai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(card_module.__file__).parents[1])


def test_a_card_without_calibration_leaves_probabilities_as_they_are_and_keeps_its_checksum() -> None:
    card = Card.from_json(content(), "some.safetensors")
    assert card.temperature == 1.0
    assert "calibration" not in card.to_json()
    calibrated = {**content(), "calibration": {"temperature": 1.5, "fitted_on": "validation", "cases": 27}}
    assert Card.from_json(calibrated, "some.safetensors").temperature == 1.5
    assert Card.from_json(calibrated, "some.safetensors").sha256 != card.sha256


def test_a_temperature_that_divides_by_nothing_is_refused() -> None:
    assert 'card field "calibration" is' in refusal({**content(), "calibration": {"temperature": 0.0}})


MEMORY = {
    "image_shape_kji": [155, 240, 240],
    "image_spacing_kji_mm": [1.0, 1.0, 1.0],
    "sequences": 4,
    "whole_bytes": 2_700_000_000,
    "tiled_bytes": 1_000_000_000,
}


def test_a_card_may_say_what_a_run_takes_and_an_older_one_keeps_its_checksum() -> None:
    older = Card.from_json(content(), "some.safetensors")
    assert "memory" not in older.to_json()
    card = Card.from_json({**content(), "memory": MEMORY}, "some.safetensors")
    assert card.memory == MEMORY
    assert card.to_json()["memory"] == MEMORY
    assert card.sha256 != older.sha256


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {**MEMORY, "whole_bytes": 0},
        {**MEMORY, "tiled_bytes": 1.5e9},
        {**MEMORY, "sequences": True},
        {**MEMORY, "image_shape_kji": [155, 240]},
        {**MEMORY, "image_spacing_kji_mm": [1.0, 0.0, 1.0]},
        {**MEMORY, "gpu_bytes": 1},
        {name: value for name, value in MEMORY.items() if name != "tiled_bytes"},
    ],
    ids=range(8),
)
def test_a_memory_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    sentence = refusal({**content(), "memory": wrong})
    assert 'card field "memory" is' in sentence
    assert '"whole_bytes" and "tiled_bytes".' in sentence
