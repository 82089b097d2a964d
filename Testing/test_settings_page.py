"""The page on cohorts and configurations names every field there is, and no default that is another."""

import json
import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import REACTDistillLib
from REACTDistillLib.cohort import _CASE_KEYS, _COHORT_KEYS
from REACTDistillLib.preparation import Preparation
from REACTDistillLib.recipes import recipe_named
from REACTDistillLib.recipes.ccsd.curriculum import Curriculum as CcsdCurriculum
from REACTDistillLib.recipes.reactkd.curriculum import Curriculum
from REACTDistillLib.recipes.reactkd.inputs import _RULES
from REACTDistillLib.recipes.reactkd.losses import GraphWeights
from REACTDistillLib.recipes.reactkd.teachers import TeacherConfig
from REACTDistillLib.trainingconfig import TrainingConfig

PAGE = (Path(REACTDistillLib.__file__).parent / "recipes" / "README.md").read_text()


def parts():
    """The page by heading."""
    pieces = re.split(r"^## (.*)$", PAGE, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def named(text):
    return set(re.findall(r"`(\w+)`", text))


def table(text):
    """Default by field, where each of them has one; JSON values."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) < 3 or not cells[0].startswith("`"):
            continue
        names = re.findall(r"`(\w+)`", cells[0])
        try:
            values = json.loads(f"[{cells[1]}]")
        except ValueError:
            continue  # words
        if len(values) == len(names):
            found.update(zip(names, values, strict=True))
    return found


def defaults(kind):
    return {
        one.name: one.default if one.default is not MISSING else one.default_factory()
        for one in fields(kind)
        if one.default is not MISSING or one.default_factory is not MISSING
    }


@pytest.mark.parametrize(
    ("heading", "kind"),
    [("Fields of a configuration", TrainingConfig), ("reactkd", Curriculum), ("ccsd", CcsdCurriculum)],
)
def test_every_field_stands_there_with_its_default(heading, kind):
    text = parts()[heading]
    assert {one.name for one in fields(kind)} <= named(text)
    told, true = table(text), defaults(kind)
    compared = {name: value for name, value in told.items() if name in true and type(true[name]) is not dict}
    assert len(compared) > 10
    for name, value in compared.items():
        if isinstance(value, dict):
            continue  # of a dataclass of its own
        assert value == (list(true[name]) if isinstance(true[name], tuple) else true[name]), name


def test_fields_within_fields_stand_there():
    reactkd = named(parts()["reactkd"])
    for kind in (TeacherConfig, GraphWeights):
        assert {one.name for one in fields(kind)} <= reactkd
    student = recipe_named("reactkd").build_network
    assert {"stem_stride", "channels", "strides", "pooling", "attention_channels"} <= reactkd
    assert student({"classes": 2, "stem_stride": [2, 4, 4], "channels": [16, 32, 64], "strides": [1, 2]})
    assert {"channels", "kernel", "stem_stride", "level_stride"} <= named(parts()["ccsd"])
    common = named(parts()["Settings of every recipe"])
    assert {one.name for one in fields(Preparation)} - {"classes"} <= common
    assert set(_RULES) <= common


def test_fields_of_a_cohort_stand_there():
    assert {*_COHORT_KEYS, *_CASE_KEYS} <= named(parts()["A cohort of your own"])
