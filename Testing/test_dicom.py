from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_samples import TILTED, ct_slice, enhanced_mr, rtstruct, save, save_series
from REACTDistillLib.dicom import list_series, read_dicom
from REACTDistillLib.files import read_volume

PIXELS = np.arange(6, dtype=np.int16).reshape(2, 3)
SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"


def axial_slices(heights_mm, **tags):
    """Slices at these heights; every pixel of a slice holds the index of the slice, times 10, plus the pixel number."""
    return [ct_slice(PIXELS + 10 * k, (-30, -20, height), **tags) for k, height in enumerate(heights_mm)]


def test_slices_are_ordered_by_position_and_placed_in_ras(tmp_path):
    folder = save_series(tmp_path / "ct", axial_slices([8, 0, 4], InstanceNumber=7))
    volume = read_volume(folder)
    assert volume.array_kji.shape == (3, 2, 3)
    assert volume.array_kji[:, 0, 0].tolist() == [10 - 1024, 20 - 1024, 0 - 1024]
    # i = 2 is 2 columns of 0.25 mm to the left, j = 1 one row of 0.5 mm to posterior, k = 1 one slice of 4 mm up.
    assert volume.grid.to_ras([2, 1, 1]).tolist() == [29.5, 19.5, 4]
    assert volume.array_kji.dtype == np.float32


def test_each_slice_has_its_own_rescale(tmp_path):
    slices = axial_slices([0, 4])
    slices[1].RescaleSlope, slices[1].RescaleIntercept = 2.5, 3
    volume = read_volume(save_series(tmp_path / "ct", slices))
    assert volume.array_kji[0, 1, 2] == 5 - 1024
    assert volume.array_kji[1, 1, 2] == 15 * 2.5 + 3


def test_one_file_is_one_slice_with_its_own_thickness(tmp_path):
    path = save(ct_slice(PIXELS, (0, 0, 0), SpacingBetweenSlices=3), tmp_path / "slice.dcm")
    assert read_volume(path).grid.spacing_ijk_mm.tolist() == [0.25, 0.5, 3]
    path = save(ct_slice(PIXELS, (0, 0, 0)), tmp_path / "slice.dcm")
    assert read_volume(path).grid.spacing_ijk_mm.tolist() == [0.25, 0.5, 4]
    path = save(ct_slice(PIXELS, (0, 0, 0), SliceThickness=None), tmp_path / "slice.dcm")
    with pytest.raises(ValueError, match="single slice and does not say how thick"):
        read_volume(path)


def test_gantry_tilt_is_kept_exactly_and_said(tmp_path, caplog):
    positions = [(-30.0, -20.0, 5.0 * k) for k in range(3)]
    slices = [ct_slice(PIXELS, position, ImageOrientationPatient=list(TILTED)) for position in positions]
    with caplog.at_level(logging.WARNING):
        volume = read_volume(save_series(tmp_path / "ct", slices))
    for k, (left, posterior, superior) in enumerate(positions):
        assert volume.grid.to_ras([0, 0, k]) == pytest.approx([-left, -posterior, superior])
        # Two columns of 0.25 mm along the row, one row of 0.5 mm along (0, 0.8, -0.6) in LPS.
        assert volume.grid.to_ras([2, 1, k]) == pytest.approx([-left - 0.5, -posterior - 0.4, superior - 0.3])
    # The slice normal is (0, 0.6, 0.8), the table moves along (0, 0, 1): cos 0.8 is 36.9 degrees.
    assert "Gantry tilt of 36.9 degrees corrected" in caplog.text
    assert "Doe" not in caplog.text


def test_slightly_uneven_spacing_is_taken_as_even_and_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        volume = read_volume(save_series(tmp_path / "ct", axial_slices([0, 3.27, 6.54, 9.83, 13.08])))
    assert volume.grid.spacing_ijk_mm[2] == pytest.approx(3.27)
    assert "Slice spacing of 3.25 to 3.29 mm taken as an even 3.27 mm." in caplog.text


REFUSED_HEIGHTS = {
    "one missing": ([0, 4, 12, 16], r"lacks 1 slice, the first between S = 4.00 mm and S = 12.00 mm"),
    "three missing": ([0, 4, 16, 20, 28], r"lacks 3 slices, the first between S = 4.00 mm and S = 16.00 mm"),
    "one of three missing": ([0, 4, 12], "lacks 1 slice"),
    "variable": ([0, 4, 9, 13], r"variable slice spacing \(4.00 to 5.00 mm\)"),
    "doubled": ([0, 4, 4, 8], r"more than one slice at S = 4.00 mm"),
    "drifting": ([0, *np.cumsum([4.19] * 9 + [4.0] * 20 + [3.81] * 9)], "drift from even spacing"),
}


@pytest.mark.parametrize("case", REFUSED_HEIGHTS)
def test_slices_that_make_no_even_grid_are_refused_with_the_place(tmp_path, case):
    heights, words = REFUSED_HEIGHTS[case]
    folder = save_series(tmp_path / "ct", axial_slices(heights))
    with pytest.raises(ValueError, match=words):
        read_volume(folder)


CHANGES = {
    "different sizes": lambda one: one.update(ct_slice(np.zeros((4, 3)), (-30, -20, 4))),
    "different directions": lambda one: setattr(one, "ImageOrientationPatient", [1, 0, 0, 0, 0, -1]),
    "different pixel spacing": lambda one: setattr(one, "PixelSpacing", [0.6, 0.25]),
    "shifted sideways": lambda one: setattr(one, "ImagePositionPatient", [-30, -15, 4]),
    "does not say where it lies": lambda one: delattr(one, "ImagePositionPatient"),
    "color picture": lambda one: setattr(one, "SamplesPerPixel", 3),
    "its pixels cannot be decoded": lambda one: setattr(one, "PixelData", one.PixelData[:-4]),
}


@pytest.mark.parametrize("words", CHANGES)
def test_one_slice_unlike_the_others_is_refused(tmp_path, words):
    slices = axial_slices([0, 4, 8])
    CHANGES[words](slices[1])
    folder = save_series(tmp_path / "ct", slices)
    with pytest.raises(ValueError, match=words) as caught:
        read_volume(folder)
    assert "\n" not in str(caught.value)
    assert "Doe" not in str(caught.value)


def test_directions_that_are_not_at_right_angles_are_refused(tmp_path):
    path = save(ct_slice(PIXELS, (0, 0, 0), ImageOrientationPatient=[1, 0, 0, 0.1, 0.995, 0]), tmp_path / "slice")
    with pytest.raises(ValueError, match="not at right angles"):
        read_volume(path)


def test_several_series_are_listed_and_one_is_chosen_by_its_uid(tmp_path):
    save_series(tmp_path / "a", axial_slices([0, 4], SeriesDescription="arterial"), uid="1.2.3")
    save_series(tmp_path / "b", axial_slices([0, 5, 10], SeriesDescription="portal"), uid="1.2.4")
    with pytest.raises(ValueError, match="holds 2 series") as caught:
        read_dicom(tmp_path)
    assert "1.2.3 (CT arterial, 2 slices); 1.2.4 (CT portal, 3 slices)" in str(caught.value)
    assert read_volume(tmp_path, series="1.2.4").array_kji.shape == (3, 2, 3)
    with pytest.raises(ValueError, match=r'holds no series "1\.2\.5"; it holds: 1\.2\.3'):
        read_dicom(tmp_path, "1.2.5")
    found = {series.uid: series for series in list_series(tmp_path)}
    assert set(found) == {"1.2.3", "1.2.4"}
    portal = found["1.2.4"]
    assert (portal.modality, portal.description, portal.slices, portal.rows, portal.columns) == (
        "CT", "portal", 3, 2, 3
    )  # fmt: skip
    assert portal.spacing_mm == (0.5, 0.25)


def test_files_that_are_no_images_are_passed_over(tmp_path):
    folder = save_series(tmp_path / "ct", axial_slices([0, 4]))
    (folder / "notes.txt").write_text("not DICOM")
    (folder / "empty").touch()
    save(rtstruct({"liver": []}), folder / "contours")
    save(ct_slice(PIXELS, (0, 0, 0), SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", Modality="SEG"), folder / "seg")
    assert read_volume(folder).array_kji.shape == (2, 2, 3)


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    save(rtstruct({"liver": []}), tmp_path / "contours")
    with pytest.raises(ValueError, match=r"only DICOM objects of other kinds \(RTSTRUCT\)"):
        read_volume(tmp_path)


def test_a_slice_stored_twice_counts_once(tmp_path):
    folder = save_series(tmp_path / "ct", axial_slices([0, 4]))
    (folder / "copy").write_bytes((folder / "0001").read_bytes())
    assert read_volume(folder).array_kji.shape == (2, 2, 3)


def test_frames_of_one_file_are_ordered_by_position_and_scaled_each(tmp_path):
    frames = np.stack([PIXELS, PIXELS + 10, PIXELS + 20])
    path = save(enhanced_mr(frames, [(-30, -20, 6), (-30, -20, 0), (-30, -20, 3)], [1, 2, 4]), tmp_path / "enhanced")
    volume = read_volume(path)
    assert volume.array_kji[:, 0, 0].tolist() == [20, 80, 0]
    assert volume.grid.to_ras([2, 1, 2]).tolist() == [29.5, 19.5, 6]


@pytest.mark.parametrize("packed", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_compressed_slices_equal_the_uncompressed_one(packed):
    plain = read_volume(SAMPLES / "MR_small.dcm")
    assert np.array_equal(read_volume(SAMPLES / packed).array_kji, plain.array_kji)


def test_lossless_jpeg_is_decoded_through_itk(tmp_path):
    pixels = (np.random.default_rng(0).integers(-1000, 1000, (16, 16))).astype(np.int16)
    plain = save(ct_slice(pixels, (-3, -2, 4)), tmp_path / "plain")
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "packed.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    image = sitk.Cast(sitk.ReadImage(str(plain)), sitk.sitkInt16)
    image.SetMetaData("0020|0032", "-3\\-2\\4")
    image.SetMetaData("0008|0060", "CT")
    writer.Execute(image)
    syntax = pydicom.dcmread(tmp_path / "packed.dcm").file_meta.TransferSyntaxUID
    assert syntax == pydicom.uid.JPEGLosslessSV1
    assert np.array_equal(read_volume(tmp_path / "packed.dcm").array_kji[0], pixels - 1024.0)


def test_a_compression_that_nothing_decodes_is_named(tmp_path):
    dataset = ct_slice(PIXELS, (0, 0, 0))
    dataset.PixelData = pydicom.encaps.encapsulate([b"no picture"])
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.HTJ2KLossless
    dataset["PixelData"].VR = "OB"
    path = save(dataset, tmp_path / "packed")
    with pytest.raises(ValueError, match=r"cannot be decoded here \(High-Throughput JPEG 2000"):
        read_volume(path)


REAL_SERIES = {
    "liver_ct_3dircadb17/ct_dicom": (119, 512, 512),
    "liver_ct_crlm1004/dicom": (41, 512, 512),
    "tricky/oblique_brain_tumour_t1post_dicom": (24, 320, 260),
}


@pytest.mark.parametrize("name", REAL_SERIES)
def test_real_series_agree_with_the_series_reader_of_itk(shared_data, name):
    folder = shared_data(name)
    volume = read_volume(folder)
    slices = next(path.parent for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".txt")
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(slices)))
    assert volume.array_kji.shape == REAL_SERIES[name]
    assert np.array_equal(volume.array_kji, sitk.GetArrayFromImage(image))
    for index in ([0, 0, 0], [9, 0, 0], [0, 7, 0], [0, 0, 5]):
        left, posterior, superior = image.TransformIndexToPhysicalPoint(index)
        assert volume.grid.to_ras(index) == pytest.approx([-left, -posterior, superior], abs=1e-3)


def test_the_irregular_pet_keeps_the_scale_of_each_slice(shared_data):
    folder = shared_data("petct_sts/sts001_wholebody_fdg_pet_dicom") / "FDG_PET" / "image"
    volume = read_volume(folder)
    assert volume.array_kji.shape == (267, 128, 128)
    headers = sorted((pydicom.dcmread(path) for path in folder.iterdir()), key=lambda one: one.ImagePositionPatient[2])
    assert len({one.RescaleSlope for one in headers}) > 100
    for k in (0, 100, 266):
        stored = np.frombuffer(headers[k].PixelData, "<i2").reshape(128, 128)
        assert volume.array_kji[k] == pytest.approx(stored * float(headers[k].RescaleSlope), rel=1e-6)
        assert volume.grid.to_ras([0, 0, k])[2] == pytest.approx(headers[k].ImagePositionPatient[2], abs=0.1)


def test_tilted_slices_lie_where_their_files_say(shared_data):
    folder = shared_data("tricky/siemens_gantry_tilt_4slice_dicom")
    volume = read_volume(folder)
    headers = [pydicom.dcmread(path) for path in folder.rglob("*") if path.is_file()]
    for one in headers:
        left, posterior, superior = one.ImagePositionPatient
        k = volume.grid.to_ijk([-left, -posterior, superior])[2]
        assert k == pytest.approx(round(k), abs=1e-6)
        assert np.array_equal(volume.array_kji[round(k)], one.pixel_array - 1024.0)


def test_exam_with_two_sequences_asks_for_one(shared_data):
    folder = shared_data("liver_mr_cmbcrc_scan001/dicom_t2_adc")
    with pytest.raises(ValueError, match=r"ADC, 36 slices.*AX T2, 33 slices"):
        read_volume(folder)
    uid = next(series.uid for series in list_series(folder) if series.description == "AX T2")
    volume = read_volume(folder, series=uid)
    assert volume.array_kji.shape == (33, 512, 584)
    assert volume.grid.spacing_ijk_mm == pytest.approx([0.6836, 0.6836, 8], abs=1e-5)


def test_single_slice_exams_take_the_slice_thickness(shared_data):
    folder = shared_data("hcc_tables/single_slice_dicom")
    assert read_volume(folder / "HCC_002_1-01.dcm").grid.spacing_ijk_mm == pytest.approx([0.78125, 0.78125, 10])
    with pytest.raises(ValueError, match="holds 4 series"):
        read_volume(folder)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of each odd value that it meets
@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_file_gives_a_volume_or_one_sentence_that_names_it(tmp_path, seed):
    source = save(enhanced_mr(np.stack([PIXELS, PIXELS]), [(0, 0, 0), (0, 0, 3)], [1, 2]), tmp_path / "whole")
    random = np.random.default_rng(seed)
    content = bytearray(source.read_bytes())
    for place in random.integers(132, len(content), 4):
        content[place] = random.integers(256)
    path = tmp_path / "damaged"
    path.write_bytes(content[: random.integers(200, 2 * len(content))])
    sentence = refusal(path)
    assert sentence is None or (str(path) in sentence and "\n" not in sentence)


def refusal(path):
    """The sentence with which ``path`` is refused, or None."""
    try:
        read_volume(path)
    except ValueError as error:
        return str(error)
    return None
