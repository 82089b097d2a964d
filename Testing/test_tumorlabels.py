"""Label maps of each convention and nested masks, there and back."""

from __future__ import annotations

import numpy as np
import pytest
from REACTDistillLib.files import read_image
from REACTDistillLib.tumorlabels import CONVENTIONS, labels_of_masks, masks_of_labels, nested_masks


def row(*values):
    return np.array(values).reshape(1, 1, -1)


def flags(mask):
    return mask.ravel().astype(int).tolist()


@pytest.mark.parametrize(
    ("convention", "labels", "tumor", "core", "enhancing"),
    [
        ("brats2020", (0, 1, 2, 4), [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]),
        ("brats2023", (0, 1, 2, 3), [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]),
        ("brats2015", (0, 1, 2, 3, 4), [0, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1]),
    ],
)
def test_each_convention_by_its_name(convention, labels, tumor, core, enhancing) -> None:
    masks = masks_of_labels(row(*labels), convention)
    assert {name: flags(mask) for name, mask in masks.items()} == {"WT": tumor, "TC": core, "ET": enhancing}
    again = labels_of_masks(masks, convention)
    assert again.dtype == np.uint8
    expected = [1 if convention == "brats2015" and value == 3 else value for value in labels]
    assert again.ravel().tolist() == expected  # three masks cannot tell necrosis from tumor that does not enhance


def test_a_value_of_another_convention_is_refused() -> None:
    with pytest.raises(ValueError, match='value 4, but "brats2023" has only 0, 1, 2, 3'):
        masks_of_labels(row(0, 1, 4), "brats2023")
    with pytest.raises(ValueError, match='value 3, but "brats2020" has only 0, 1, 2, 4'):
        masks_of_labels(row(0, 3), "brats2020")
    with pytest.raises(ValueError, match=r'no label convention "brats"; this version knows: brats2015, brats2020'):
        masks_of_labels(row(0), "brats")


def test_masks_that_are_not_nested_or_not_all_there_make_no_label_map() -> None:
    masks = {"WT": row(1, 0) > 0, "TC": row(1, 1) > 0, "ET": row(0, 0) > 0}
    with pytest.raises(ValueError, match="TC has 1 voxels outside WT"):
        labels_of_masks(masks)
    with pytest.raises(ValueError, match="needs the masks WT, TC, ET, got WT"):
        labels_of_masks({"WT": masks["WT"]})


def test_nesting_cuts_the_inner_regions_and_leaves_the_outer_one() -> None:
    masks = {"ET": row(1, 1, 1, 0) > 0, "TC": row(0, 1, 1, 1) > 0, "WT": row(0, 0, 1, 1) > 0}
    nested = nested_masks(masks)
    assert {name: flags(mask) for name, mask in nested.items()} == {
        "ET": [0, 0, 1, 0],
        "TC": [0, 0, 1, 1],
        "WT": [0, 0, 1, 1],
    }
    assert list(nested) == ["ET", "TC", "WT"]
    alone = nested_masks({"ET": masks["ET"], "WT": masks["WT"], "other": masks["ET"]})
    assert [flags(alone["ET"]), flags(alone["other"])] == [[0, 0, 1, 0], [1, 1, 1, 0]]


@pytest.mark.parametrize(
    ("file", "convention", "counts"),
    [
        ("brain_tcga_fg6692/atlas_space/fusion/simple.nii.gz", "brats2020", {1: 2477, 2: 20862, 4: 6840}),
        ("brain_brats2013/brats_2013_pat0005_1/OTMultiClass.nii.gz", "brats2015", None),
    ],
)
def test_real_label_maps_keep_their_volumes(shared_data, file, convention, counts) -> None:
    labels = read_image(shared_data(file)).array
    masks = masks_of_labels(labels, convention)
    assert (masks["ET"] & ~masks["TC"]).sum() == (masks["TC"] & ~masks["WT"]).sum() == 0
    assert np.array_equal(masks["WT"], labels > 0)
    if counts:
        assert masks["ET"].sum() == counts[4]
        assert masks["TC"].sum() == counts[1] + counts[4]
    again = labels_of_masks(masks, convention)
    wanted = np.where(labels == 3, 1, labels) if convention == "brats2015" else labels
    assert np.array_equal(again, wanted)
    assert set(CONVENTIONS) == {"brats2015", "brats2020", "brats2023"}
