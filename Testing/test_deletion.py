"""Deletion curves of a student whose answer is known."""

import numpy as np
import pytest
import torch
from REACTDistillLib.deletion import FRACTIONS, LEAST, MOST, RANDOM, _growing, _on_input, area_under, deletion_curves

# Four voxels of evidence and, behind them, one outside: an answer that is the sum of what is left.
IMAGE = torch.tensor([4.0, 3.0, 2.0, 1.0, 7.0]).reshape(1, 1, 1, 5)
EVIDENCE = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0], [0.0] * 5]).reshape(2, 1, 1, 5)
SPACING = (1.0, 1.0, 1.0)


def share_of_the_sum(images):
    return np.array([float(image[..., :4].sum()) / 10 for image in images])


@pytest.fixture
def curves():
    rng = np.random.default_rng(0)
    return deletion_curves(share_of_the_sum, IMAGE, EVIDENCE, 0, SPACING, rng)


def test_the_answer_falls_by_what_is_taken_out_in_the_order_of_importance(curves):
    assert FRACTIONS == (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # of 4 voxels: 0, 0, 0, 0, 1, 2, 2, 3, 4
    assert curves[MOST].tolist() == pytest.approx([1, 1, 1, 1, 0.6, 0.3, 0.3, 0.1, 0])
    assert curves[LEAST].tolist() == pytest.approx([1, 1, 1, 1, 0.9, 0.7, 0.7, 0.4, 0])
    assert curves[RANDOM][[0, -1]].tolist() == pytest.approx([1, 0])


def test_importance_is_that_for_the_class_asked_for():
    other = deletion_curves(share_of_the_sum, IMAGE, EVIDENCE, 1, SPACING, np.random.default_rng(0))
    assert other[MOST].tolist() == pytest.approx([1, 1, 1, 1, 0.9, 0.7, 0.7, 0.4, 0])


def test_what_has_no_evidence_is_never_taken_out():
    seen = []
    deletion_curves(
        lambda images: np.array([seen.append(float(image[0, 0, 0, 4])) or 0.0 for image in images]),
        IMAGE,
        EVIDENCE,
        0,
        SPACING,
        np.random.default_rng(0),
    )
    assert set(seen) == {7.0}


def test_the_area_under_a_curve_by_hand(curves):
    # 0.1 * 1 + 0.1 * 0.8 + 0.2 * (0.45 + 0.3 + 0.2 + 0.05)
    assert area_under(curves[MOST]) == pytest.approx(0.38)
    assert area_under(np.ones(len(FRACTIONS))) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(8))
def test_a_random_place_grows_as_one_piece_in_mm(seed):
    inside = np.ones((3, 1, 3), dtype=bool)
    first, second, *_ = _growing(inside, (5.0, 1.0, 1.0), np.random.default_rng(seed))
    assert abs(int(first) - int(second)) == 1  # along I the next voxel is 1 mm away, along K 5 mm


def test_an_input_voxel_belongs_to_the_nearest_feature_voxel():
    cells = np.array([[[True, False, False]]])
    assert _on_input(cells, (1, 1, 9))[0, 0].tolist() == [True] * 2 + [False] * 7  # they sit on 0, 3 and 6
    assert _on_input(cells[..., ::-1], (1, 1, 9))[0, 0].tolist() == [False] * 5 + [True] * 4
