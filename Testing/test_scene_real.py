"""The real liver CT with its masks as nodes."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
from node_cases import caseFromNodes
from REACTDistillLib.files import read_volume
from REACTDistillLib.geometry import mask_box
from REACTDistillLib.volume import Volume
from REACTDistillScene.headless import bootHeadless
from REACTDistillScene.segments import segmentationFromMasks
from REACTDistillScene.volumes import nodeFromVolume


def test_a_real_ct_and_its_masks_become_the_same_case_as_from_files(shared_data):
    bootHeadless()
    slicer.mrmlScene.Clear(0)
    ct = read_volume(shared_data("liver_ct_3dircadb17/ct_dicom") / "PATIENT_DICOM")
    folder = shared_data("liver_ct_3dircadb17/masks_dicom") / "MASKS_DICOM"
    masks = {}
    for name, file_name in (("Liver", "liver"), ("Tumor 1", "livertumor1"), ("Tumor 2", "livertumor2")):
        image = read_volume(folder / file_name)
        masks[name] = Volume(image.array_kji > 0, image.grid)
    node = nodeFromVolume(ct, "CT")
    case = caseFromNodes(node, segmentationFromMasks(masks, node), "Liver", ["Tumor 2", "Tumor 1"])
    slicer.mrmlScene.Clear(0)

    assert case.sequences["ct"].grid.same_as(ct.grid)
    assert np.array_equal(case.sequences["ct"].array_kji, ct.array_kji)
    both = masks["Tumor 1"].array_kji | masks["Tumor 2"].array_kji
    for region, array in ((case.regions["liver"], masks["Liver"].array_kji), (case.regions["tumor"], both)):
        expected = Volume(array, ct.grid).cropped(mask_box(array))
        assert region.grid.same_as(expected.grid)
        assert np.array_equal(region.array_kji, expected.array_kji)
    # From the description of the data: the liver has 1.86 l, the tumors 85.6 ml and 78.6 ml.
    assert case.regions["liver"].array_kji.sum() * ct.grid.voxel_ml == pytest.approx(1860, abs=5)
    assert case.regions["tumor"].array_kji.sum() * ct.grid.voxel_ml == pytest.approx(85.6 + 78.6, abs=0.2)
