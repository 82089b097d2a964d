from __future__ import annotations

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_samples import ct_slice, rtstruct, save, save_series
from REACTDistillLib.files import read_volume, write_volume
from REACTDistillLib.masks import read_masks, read_region
from REACTDistillLib.volume import Volume

# Slices of 4 rows and 5 columns; spacing 2 mm (columns), 3 mm (rows), 4 mm (slices); first voxel at RAS (10, 20, 30).
IJK_TO_RAS = np.array([[-2.0, 0, 0, 10], [0, -3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])
LABELS = np.zeros((3, 4, 5), dtype=np.float32)
LABELS[0, 1:3, 1:4] = 1  # 6 voxels
LABELS[1, 0, 0] = 2
LABELS[2, 3, :2] = 7


def label_map(path, array=LABELS):
    write_volume(Volume.from_array(array, IJK_TO_RAS), path)
    return path


def counts(masks):
    return {name: int(mask.array_kji.sum()) for name, mask in masks.items()}


@pytest.mark.parametrize("name", ["labels.nrrd", "labels.nii.gz", "labels.mha"])
def test_a_label_map_gives_one_mask_per_value(tmp_path, name):
    masks = read_masks(label_map(tmp_path / name), names={1: "liver", 7: "tumor", 9: "absent"})
    assert counts(masks) == {"liver": 6, "label_2": 1, "tumor": 2}
    assert masks["liver"].array_kji.dtype == np.bool_
    assert np.array_equal(masks["liver"].array_kji, LABELS == 1)
    assert masks["tumor"].grid.to_ras([1, 3, 2]) == pytest.approx([8, 11, 38], abs=1e-5)


def test_values_given_one_name_are_one_region(tmp_path):
    masks = read_masks(label_map(tmp_path / "labels.nrrd"), names={1: "liver", 2: "tumor", 7: "tumor"})
    assert counts(masks) == {"liver": 6, "tumor": 3}


def slicer_segmentation(path, layers, fields):
    """A .seg.nrrd as 3D Slicer writes it, byte by byte; ``layers`` are uint8 arrays (3, 4, 5)."""
    several = len(layers) > 1
    lines = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{len(layers)} ' if several else ''}5 4 3",
        f"space directions: {'none ' if several else ''}(2,0,0) (0,3,0) (0,0,4)",
        f"kinds: {'list ' if several else ''}domain domain domain",
        "encoding: raw",
        "space origin: (-10,-20,30)",
        *(f"{key}:={value}" for key, value in fields.items()),
    ]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + np.stack(layers, axis=-1).astype(np.uint8).tobytes())
    return path


def test_overlapping_segments_of_slicer_come_by_name_from_their_layers(tmp_path):
    lower = LABELS.astype(np.uint8)
    upper = np.zeros_like(lower)
    upper[:2] = 1
    fields = {
        "Segment0_Name": "Leber",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "1",
        "Segment1_Name": "Herd a",
        "Segment1_LabelValue": "2",
        "Segment1_Layer": "0",
        "Segment2_Name": "Herd b",
        "Segment2_LabelValue": "7",
        "Segment2_Layer": "0",
    }
    masks = read_masks(slicer_segmentation(tmp_path / "a.seg.nrrd", [lower, upper], fields))
    assert counts(masks) == {"Leber": 40, "Herd a": 1, "Herd b": 2, "label_1": 6}
    assert (masks["Leber"].array_kji & masks["Herd a"].array_kji).sum() == 1
    assert np.array_equal(masks["Leber"].grid.ijk_to_ras, IJK_TO_RAS)


def test_segments_of_one_layer_are_named_by_the_file(tmp_path):
    fields = {"Segment0_Name": "tumor", "Segment0_LabelValue": "7", "Segment1_Name": "liver"}
    masks = read_masks(slicer_segmentation(tmp_path / "a.seg.nrrd", [LABELS], fields))
    assert counts(masks) == {"tumor": 2, "label_1": 6, "liver": 1}


def test_a_folder_gives_one_region_per_file_and_per_folder_of_slices(tmp_path):
    label_map(tmp_path / "liver.nii.gz", (LABELS == 1) * np.float32(1))
    label_map(tmp_path / "vessels.nrrd", (LABELS == 2) * np.float32(3))
    tumor = [ct_slice((np.eye(4, 5) * 255).astype(np.int16), (0, 0, 4 * k), RescaleIntercept=0) for k in range(3)]
    save_series(tmp_path / "tumor", tumor)
    (tmp_path / "notes.txt").write_text("made by hand")
    masks = read_masks(tmp_path)
    assert counts(masks) == {"liver": 6, "tumor": 12, "vessels": 1}
    assert counts(read_masks(tmp_path / "tumor")) == {"tumor": 12}


def test_a_file_of_several_values_in_a_folder_of_masks_is_refused(tmp_path):
    label_map(tmp_path / "liver.nrrd")
    with pytest.raises(ValueError, match="has 3 label values"):
        read_masks(tmp_path)


REFUSED = {
    "fractions": (LABELS * 0.5, "values that are not whole numbers"),
    "negative": (-LABELS, "values that are not whole numbers"),
    "not finite": (np.where(LABELS > 0, np.nan, 0), "values that are not whole numbers"),
    "empty": (LABELS * 0, "marks no region"),
    "an image": (np.arange(2400).reshape(3, 20, 40), "it is an image, not a label map"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_label_map_is_refused(tmp_path, case):
    array, words = REFUSED[case]
    path = label_map(tmp_path / "labels.nrrd", array)
    with pytest.raises(ValueError, match=words):
        read_masks(path)


def test_sentences_for_paths_without_masks(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_masks(tmp_path / "absent")
    with pytest.raises(ValueError, match="marks no region"):
        read_masks(tmp_path)
    (tmp_path / "words").write_text("no mask")
    with pytest.raises(ValueError, match="formats read"):
        read_masks(tmp_path / "words")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, 2), np.uint8), isVector=True), str(tmp_path / "v.nrrd"))
    with pytest.raises(ValueError, match="2 values per voxel and is no Slicer segmentation"):
        read_masks(tmp_path / "v.nrrd")


def dicom_seg(path, pixels, kind=highdicom.seg.SegmentationTypeValues.BINARY):
    """A DICOM SEG of ``pixels`` (3, 4, 5, segments) on three CT slices, 4 mm apart; segments "Liver", "Tumor"."""
    sources = [ct_slice(np.zeros((4, 5), np.int16), (-10, -20, 4 * k)) for k in range(3)]
    for source in sources:
        source.SeriesInstanceUID = "1.2.3"
    code = highdicom.sr.CodedConcept("10200004", "SCT", "Liver")
    segments = [
        highdicom.seg.SegmentDescription(
            number, label, code, code, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL, tracking_uid=highdicom.UID(),
            tracking_id=label,
        )
        for number, label in enumerate(["Liver", "Tumor"][: pixels.shape[3]], 1)
    ]  # fmt: skip
    segmentation = highdicom.seg.Segmentation(
        sources, pixels, kind, segments, highdicom.UID(), 1, highdicom.UID(), 1, "a", "b", "1", "1"
    )
    segmentation.save_as(path)
    return path


def test_segments_of_a_dicom_seg_may_overlap_and_share_the_grid_of_their_image(tmp_path):
    pixels = np.zeros((3, 4, 5, 2), dtype=np.uint8)
    pixels[:, 1:3, 1:4, 0] = 1
    pixels[2, 2, 3, 1] = 1
    masks = read_masks(dicom_seg(tmp_path / "seg.dcm", pixels), names={2: "lesion"})
    assert counts(masks) == {"Liver": 18, "lesion": 1}
    assert masks["Liver"].grid.same_as(masks["lesion"].grid)
    # Column 3 of 0.25 mm, row 2 of 0.5 mm, slice 2 of 4 mm, first pixel at RAS (10, 20, 0).
    k, j, i = np.argwhere(masks["lesion"].array_kji)[0]
    assert masks["lesion"].grid.to_ras([i, j, k]) == pytest.approx([9.25, 19, 8])


def test_a_fractional_dicom_seg_is_cut_at_a_half(tmp_path):
    pixels = np.zeros((3, 4, 5, 1), dtype=np.float32)
    pixels[:, 0, :3, 0] = [0.4, 0.6, 1.0]
    path = dicom_seg(tmp_path / "seg.dcm", pixels, highdicom.seg.SegmentationTypeValues.FRACTIONAL)
    mask = read_masks(path)["Liver"].array_kji
    assert mask[:, 0].tolist() == [[False, True, True, False, False]] * 3


REFERENCE = Volume.from_array(np.zeros((3, 10, 10)), np.diag([-1.0, -1, 2, 1]))  # LPS = (i, j, 2 k) mm


def square(low, high, z):
    return [(low, low, z), (high, low, z), (high, high, z), (low, high, z)]


def test_a_contour_within_another_is_a_hole(tmp_path):
    path = save(rtstruct({"liver": [square(0.5, 7.5, 2), square(2.5, 4.5, 2)]}), tmp_path / "contours")
    mask = read_masks(path, reference=REFERENCE)["liver"]
    # Voxel centers 1 to 7 in both directions are inside, 3 and 4 are in the hole: 49 - 4.
    assert mask.array_kji[1].sum() == mask.array_kji.sum() == 45
    assert mask.array_kji[1, 2, 2]
    assert not mask.array_kji[1, 3, 4]
    assert mask.grid.same_as(REFERENCE.grid)


def test_contours_reach_the_voxels_of_an_oblique_reference(tmp_path):
    turned = np.array([[0.0, 0, 2, 5], [-1, 0, 0, 6], [0, -1, 0, 7], [0, 0, 0, 1]])
    reference = Volume.from_array(np.zeros((3, 10, 10)), turned)
    corners_ijk = np.array([[1.5, 2.5, 1], [4.5, 2.5, 1], [4.5, 8.5, 1], [1.5, 8.5, 1]])  # 3 columns, 6 rows
    points = (reference.grid.to_ras(corners_ijk) * (-1, -1, 1)).tolist()
    mask = read_masks(save(rtstruct({"a": [points]}), tmp_path / "contours"), reference=reference)["a"].array_kji
    expected = np.zeros((3, 10, 10), dtype=bool)
    expected[1, 3:9, 2:5] = True
    assert np.array_equal(mask, expected)


REFUSED_CONTOURS = {
    "between two slices": ([square(1, 5, 3)], "lies 1.00 slices off|lies 0.50 slices off"),
    "across the slices": ([[(1, 1, 0), (5, 1, 2), (5, 5, 4), (1, 5, 2)]], "slices off the slices of the image"),
    "every second slice": ([square(1, 5, 0), square(1, 5, 4)], "drawn on every 2. slice"),
    "outside the image": ([square(1, 5, 20)], "no closed contour inside the image"),
    "two points": ([[(1, 1, 0), (2, 2, 0)]], "closed contour of 6 numbers"),
}


@pytest.mark.parametrize("case", REFUSED_CONTOURS)
def test_contours_that_do_not_fit_the_image_are_refused(tmp_path, case):
    contours, words = REFUSED_CONTOURS[case]
    path = save(rtstruct({"liver": contours}), tmp_path / "contours")
    with pytest.raises(ValueError, match=words):
        read_masks(path, reference=REFERENCE)


def test_contours_need_the_image_on_which_they_were_drawn(tmp_path):
    path = save(rtstruct({"liver": [square(1, 5, 0)]}), tmp_path / "contours")
    with pytest.raises(ValueError, match="give the image on which they were drawn"):
        read_masks(path)


def test_open_lines_and_points_mark_no_region(tmp_path):
    path = save(rtstruct({"line": [square(1, 5, 0)]}, kind="OPEN_PLANAR"), tmp_path / "contours")
    with pytest.raises(ValueError, match="no closed contour"):
        read_masks(path, reference=REFERENCE)


def test_a_region_is_chosen_by_name_or_value_or_taken_whole(tmp_path):
    fields = {"Segment0_Name": "Tumor", "Segment0_LabelValue": "7", "Segment1_Name": "Liver"}
    path = slicer_segmentation(tmp_path / "a.seg.nrrd", [LABELS], fields)
    assert read_region(str(path)).array_kji.sum() == 9
    assert read_region(f"{path}:tumor").array_kji.sum() == 2
    assert read_region(f"{path}:1").array_kji.sum() == 6
    assert read_region(f"{path}:TUMOR, liver").array_kji.sum() == 3
    assert read_region(f"{path}:tumor").array_kji.dtype == np.bool_
    with pytest.raises(ValueError, match=r'no region "spleen"; it has: label_1 \(1\), Liver \(2\), Tumor \(7\)'):
        read_region(f"{path}:spleen")
    with pytest.raises(ValueError, match="names no region after the colon"):
        read_region(f"{path}:")
    with pytest.raises(ValueError, match="does not exist"):
        read_region(r"C:\absent.nrrd")


def test_a_colon_in_an_existing_path_splits_nothing(tmp_path):
    path = label_map(tmp_path / "scan 12:30.nrrd")
    assert read_region(str(path)).array_kji.sum() == 9
    assert read_region(f"{path}:7").array_kji.sum() == 2


def test_masks_on_different_grids_are_not_joined(tmp_path):
    label_map(tmp_path / "liver.nrrd", (LABELS == 1) * 1)
    write_volume(Volume.from_array(LABELS == 2, np.eye(4)), tmp_path / "tumor.nrrd")
    with pytest.raises(ValueError, match="on different grids"):
        read_region(str(tmp_path))
    assert read_region(f"{tmp_path}:tumor").array_kji.sum() == 1


def test_the_dicom_seg_of_a_real_liver_equals_its_label_map(shared_data):
    folder = shared_data("liver_ct_dcmqi_3slice")
    segment = read_masks(folder / "liver.dcm")["Liver"]
    label = read_masks(folder / "liver_seg.nrrd", names={1: "liver"})["liver"]
    assert np.array_equal(segment.array_kji, label.array_kji)
    assert np.allclose(segment.grid.ijk_to_ras, label.grid.ijk_to_ras, atol=1e-4)
    assert (
        segment.array_kji.sum() == (sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "liver_seg.nrrd"))) == 1).sum()
    )
    ct = read_volume(folder)
    assert 30 < np.median(ct.array_kji[segment.array_kji]) < 60  # HU of a liver without contrast


@pytest.mark.parametrize("sequence", ["CT", "PET", "MR_T1"])
def test_real_contours_fill_the_same_voxels_as_the_published_mask(shared_data, sequence):
    exam = shared_data("petct_sts/sts002_pet_ct_mr_dicom_rtstruct") / "STS_002" / sequence
    masks = read_masks(exam / "mask", reference=read_volume(exam / "image"))
    assert list(masks) == [f"GTV_Mass_{sequence}"]
    published = read_masks(shared_data(f"petct_sts/nifti/STS_002/{sequence}_mask.nii.gz"))["label_1"]
    drawn = masks[f"GTV_Mass_{sequence}"]
    assert np.allclose(drawn.grid.ijk_to_ras, published.grid.ijk_to_ras, atol=1e-4)
    assert np.array_equal(drawn.array_kji, published.array_kji)


def test_real_masks_of_one_folder_of_slices_per_region(shared_data):
    folder = shared_data("liver_ct_3dircadb17/masks_dicom") / "MASKS_DICOM"
    masks = read_masks(folder)
    milliliters = {name: float(mask.array_kji.sum() * mask.grid.voxel_ml) for name, mask in masks.items()}
    assert milliliters == pytest.approx({"liver": 1860.6, "livertumor1": 85.6, "livertumor2": 78.6}, abs=0.1)
    assert not (masks["livertumor1"].array_kji & ~masks["liver"].array_kji).any()
    both = read_region(f"{folder}:livertumor1,livertumor2")
    assert both.grid.same_as(read_volume(shared_data("liver_ct_3dircadb17/ct_dicom")).grid)
    assert both.array_kji.sum() * both.grid.voxel_ml == pytest.approx(85.6 + 78.6, abs=0.2)


def test_the_liver_of_a_many_organ_label_map(shared_data):
    path = shared_data("abdomen_lowres_totalseg/example_seg.nii.gz")
    assert read_region(f"{path}:5").array_kji.sum() == 38634
    assert counts(read_masks(path, names={5: "liver"}))["liver"] == 38634


def test_an_image_given_as_a_mask_is_refused(shared_data):
    with pytest.raises(ValueError, match="is no label map"):
        read_masks(shared_data("abdomen_lowres_totalseg/example_ct_sm.nii.gz"))
