"""The ablations of CCSD: what each row trains, and what they are held against."""

import pytest
from REACTDistillLib.evidence import _plan_json
from REACTDistillLib.recipes import recipe_named
from REACTDistillLib.recipes.ccsd.ablation import BASELINE, PLANS
from REACTDistillLib.recipes.ccsd.curriculum import Curriculum


def curricula(plan):
    shared = plan.config.settings["training"]
    return {one.name: Curriculum.from_json({**shared, **one.training}) for one in plan.variants}


@pytest.mark.parametrize("name", ["phantoms", "glioma"])
def test_each_row_adds_what_its_name_says_to_modality_dropout(name):
    rows = curricula(PLANS[name](3, 2))
    assert list(rows) == [BASELINE, "ShaSpec-style", "+ full set", "+ HMSD", "+ DMCD", "both"]
    assert {row: (one.full_set, one.hmsd > 0, one.dmcd > 0) for row, one in rows.items()} == {
        BASELINE: (False, False, False),
        "ShaSpec-style": (False, False, False),
        "+ full set": (True, False, False),
        "+ HMSD": (True, True, False),
        "+ DMCD": (True, False, True),
        "both": (True, True, True),
    }
    assert (rows["ShaSpec-style"].alignment, rows["ShaSpec-style"].classification) == (0.1, 0.02)
    assert not any(one.alignment or one.classification for row, one in rows.items() if row != "ShaSpec-style")


def test_the_plans_name_their_scores_baseline_folds_and_seeds():
    phantoms, glioma = PLANS["phantoms"](3, 2), PLANS["glioma"](2, 1)
    assert (phantoms.folds, phantoms.seeds, phantoms.baseline) == ((0, 1, 2), (0, 1), BASELINE)
    assert phantoms.scores == ("dice", "aurc", "dice_1", "dice_2", "dice_3", "dice_4")
    assert glioma.scores == ("dice", "aurc", "dice_1", "dice_2", "dice_3")
    assert _plan_json(phantoms)["scores"] == list(phantoms.scores)


@pytest.mark.parametrize(("name", "regions", "sequences"), [("phantoms", 3, 4), ("glioma", 1, 3)])
def test_the_networks_of_the_plans_fit_their_grids(name, regions, sequences):
    settings = PLANS[name](1, 1).config.settings
    recipe = recipe_named("ccsd")
    preparation = recipe.preparation(tuple(settings["training"]["targets"]), **settings)
    network = recipe.build_network(preparation.network)
    assert (len(preparation.classes), len(preparation.sequence_names)) == (regions, sequences)
    assert all(size % stride == 0 for size, stride in zip(preparation.grid_shape_kji, network.stride_kji, strict=True))
    assert set(preparation.intensity) == set(preparation.sequence_names)
