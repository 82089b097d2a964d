from __future__ import annotations

import gzip
import itertools
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from nifti_samples import nifti_bytes, parsed_nifti
from REACTDistillLib import files
from REACTDistillLib.files import read_volume, write_volume
from REACTDistillLib.volume import Volume

OBLIQUE = np.array([[-0.6, 0.0, 2.4, 11.5], [0.0, -0.7, 0.0, -7.25], [-0.8, 0.0, -1.8, 300.125], [0, 0, 0, 1]])
SHEARED = np.array([[1.0, 0.0, 0.0, 5.0], [0.0, 1.0, 0.5, 6.0], [0.0, 0.0, 2.0, 7.0], [0, 0, 0, 1]])
NUMBERS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_nrrd_keeps_voxels_and_grid_to_the_last_bit(tmp_path):
    volume = Volume.from_array(NUMBERS / 7, OBLIQUE)
    write_volume(volume, tmp_path / "image.nrrd")
    read = read_volume(tmp_path / "image.nrrd")
    assert read.grid.same_as(volume.grid)
    assert np.array_equal(read.array_kji, volume.array_kji)


coordinates = st.floats(-500, 500, allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-3.2, 3.2)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 12)] * 3),
    shear=st.floats(-0.5, 0.5),
    flip=st.sampled_from([-1, 1]),
    origin=st.tuples(coordinates, coordinates, coordinates),
)
def test_any_grid_comes_back_from_nrrd_and_metaimage_to_the_last_bit(
    tmp_path_factory, angles, spacing, shear, flip, origin
):
    (ca, sa), (cb, sb), (cc, sc) = ((np.cos(a), np.sin(a)) for a in angles)
    rotation = np.array([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cb, -sb], [0, sb, cb]])
    rotation = rotation @ np.array([[cc, 0, sc], [0, 1, 0], [-sc, 0, cc]])
    matrix = np.eye(4)
    matrix[:3, :3] = rotation @ np.array([[flip, 0, 0], [0, 1, shear], [0, 0, 1]]) * spacing
    matrix[:3, 3] = origin
    volume = Volume.from_array(NUMBERS, matrix)
    folder = tmp_path_factory.mktemp("round_trip")
    for name in ("image.nrrd", "image.mha"):
        write_volume(volume, folder / name)
        assert read_volume(folder / name).grid.same_as(volume.grid)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_nifti_keeps_voxels_and_the_grid_to_a_ten_thousandth_of_a_millimeter(tmp_path, name):
    volume = Volume.from_array(NUMBERS, OBLIQUE)
    write_volume(volume, tmp_path / name)
    read = read_volume(tmp_path / name)
    assert np.array_equal(read.array_kji, NUMBERS)
    assert np.allclose(read.grid.ijk_to_ras, OBLIQUE, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["mask.nrrd", "mask.nii.gz", "mask.mha"])
def test_a_mask_is_written_as_bytes_of_0_and_1(tmp_path, name):
    write_volume(Volume.from_array(NUMBERS > 20, np.eye(4)), tmp_path / name)
    image = sitk.ReadImage(str(tmp_path / name))
    assert image.GetPixelID() == sitk.sitkUInt8
    assert np.array_equal(sitk.GetArrayFromImage(image), NUMBERS > 20)


def nrrd_bytes(space: str, x: int, y: int) -> bytes:
    text = f"""NRRD0004
type: float
dimension: 3
space: {space}
sizes: 4 3 2
space directions: ({x * 2},0,0) (0,{y * 3},0) (0,0,5)
kinds: domain domain domain
endian: little
encoding: raw
space origin: ({x * 10},{y * 20},30)

"""
    return text.encode() + NUMBERS.tobytes()


@pytest.mark.parametrize(
    ("space", "x", "y"), [("right-anterior-superior", 1, 1), ("left-posterior-superior", -1, -1), ("LAS", -1, 1)]
)
def test_the_space_of_an_nrrd_decides_what_is_right_and_anterior(tmp_path, space, x, y):
    (tmp_path / "image.nrrd").write_bytes(nrrd_bytes(space, x, y))
    volume = read_volume(tmp_path / "image.nrrd")
    # Voxel i = 3, j = 1, k = 1 is number 1 * 12 + 1 * 4 + 3 = 19 and lies 3 * 2, 1 * 3, 1 * 5 mm from the origin.
    assert volume.array_kji[1, 1, 3] == 19
    assert volume.grid.to_ras([3, 1, 1]).tolist() == [16, 23, 35]


def test_an_nrrd_without_patient_space_is_refused(tmp_path):
    (tmp_path / "image.nrrd").write_bytes(nrrd_bytes("3D-right-handed", 1, 1))
    with pytest.raises(ValueError, match="does not say how it lies in the patient"):
        read_volume(tmp_path / "image.nrrd")


SFORM = np.array([[-2.0, 0, 0, 90], [0, 0, -4, 80], [0, 3, 0, -70]])  # coronal: rows run to S, slices to P


def test_the_sform_gives_the_place_of_each_voxel(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(NUMBERS, sform=SFORM, spacing_ijk=(2, 3, 4)))
    volume = read_volume(tmp_path / "a.nii")
    assert volume.grid.to_ras([3, 2, 1]).tolist() == [84, 76, -64]
    assert volume.array_kji[1, 2, 3] == 23


def test_the_qform_alone_gives_the_place_of_each_voxel(tmp_path):
    # Quaternion (0, 0, 1, 0) turns by 180 degrees around the second axis: R and S change sign; qfac -1 turns S back.
    content = nifti_bytes(NUMBERS, quaternion_offset=(0, 1, 0, 5, 6, 7), spacing_ijk=(2, 3, 4), qfac=-1)
    (tmp_path / "a.nii").write_bytes(content)
    assert read_volume(tmp_path / "a.nii").grid.to_ras([3, 2, 1]).tolist() == [-1, 12, 11]


def test_byte_order_scale_and_header_extension_are_honored(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    extension = (32).to_bytes(4, "big") + (6).to_bytes(4, "big") + b"comment".ljust(24, b"\0")
    content = nifti_bytes(
        array, sform=SFORM, spacing_ijk=(2, 3, 4), order=">", extension=extension, slope_intercept=(0.5, -1024)
    )
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content))
    volume = read_volume(tmp_path / "a.nii.gz")
    assert volume.array_kji.dtype == np.float32
    assert np.array_equal(volume.array_kji, array * 0.5 - 1024)


def test_one_frame_of_four_dimensions_is_a_volume(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(NUMBERS, sform=SFORM, spacing_ijk=(2, 3, 4), dim=(4, 4, 3, 2, 1)))
    assert np.array_equal(read_volume(tmp_path / "a.nii").array_kji, NUMBERS)


def test_one_frame_of_four_dimensions_in_a_metaimage_is_a_volume(tmp_path):
    frame = sitk.GetImageFromArray(NUMBERS)
    frame.SetOrigin((1, 2, 3))
    sitk.WriteImage(sitk.JoinSeries([frame]), str(tmp_path / "a.mha"))
    volume = read_volume(tmp_path / "a.mha")
    assert volume.array_kji.shape == (2, 3, 4)
    assert volume.grid.to_ras([0, 0, 0]).tolist() == [-1, -2, 3]


def test_single_nan_voxels_are_kept(tmp_path):
    array = NUMBERS.copy()
    array[0, 0, 0] = np.nan
    (tmp_path / "a.nii").write_bytes(nifti_bytes(array, sform=SFORM, spacing_ijk=(2, 3, 4)))
    assert np.isnan(read_volume(tmp_path / "a.nii").array_kji).sum() == 1


PLAIN = {"sform": SFORM, "spacing_ijk": (2.0, 3.0, 4.0)}
SHEAR = np.array([[2.0, 1, 0, 0], [0, 3, 0, 0], [0, 0, 4, 0]])


def with_first_voxel_at(place):
    content = bytearray(nifti_bytes(NUMBERS, **PLAIN))
    struct.pack_into("<f", content, 108, place)
    return bytes(content)


REFUSED_NIFTI = {
    "sform of other size than the voxels": (
        nifti_bytes(NUMBERS, sform=SFORM * 2, spacing_ijk=(2, 3, 4)),
        "gives its position twice",
    ),
    "sheared sform beside a qform": (
        nifti_bytes(NUMBERS, sform=SHEAR, quaternion_offset=(0, 0, 0, 0, 0, 0), spacing_ijk=(2, 3, 4)),
        "gives its position twice",
    ),
    "sheared sform": (nifti_bytes(NUMBERS, sform=SHEAR, spacing_ijk=(2, 3, 4)), "sheared or parallel voxel axes"),
    "parallel axes": (nifti_bytes(NUMBERS, sform=SHEAR * 0, spacing_ijk=(2, 3, 4)), "sheared or parallel voxel axes"),
    "no orientation": (nifti_bytes(NUMBERS), "does not say how it lies in the patient"),
    "last voxel missing": (nifti_bytes(NUMBERS, **PLAIN)[:-4], "ends before its last voxel"),
    "header cut": (nifti_bytes(NUMBERS, **PLAIN)[:200], "is not a NIfTI image"),
    "empty file": (b"", "is not a NIfTI image"),
    "words": (b"This is not an image. " * 40, "is not a NIfTI image"),
    "first voxel nowhere": (with_first_voxel_at(float("nan")), "puts the first voxel at byte nan"),
    "first voxel far away": (with_first_voxel_at(1e30), "puts the first voxel at byte"),
    "size of zero": (nifti_bytes(NUMBERS, **PLAIN, dim=(3, 4, 0, 2)), "gives the sizes"),
    "nine dimensions": (nifti_bytes(NUMBERS, **PLAIN, dim=(9, 4, 3, 2)), "gives the sizes"),
    "two volumes": (nifti_bytes(NUMBERS, **PLAIN, dim=(4, 4, 3, 1, 2)), r"holds 2 volumes \(4-D\)"),
    "two values per voxel": (nifti_bytes(NUMBERS, **PLAIN, dim=(5, 4, 3, 1, 1, 2)), "has 2 values per voxel"),
    "a plane": (nifti_bytes(NUMBERS, **PLAIN, dim=(2, 4, 3)), "has 2 dimensions"),
    "only NaN": (nifti_bytes(NUMBERS * np.float32(np.nan), **PLAIN), "has no finite voxel"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["nii", "nii.gz"])
@pytest.mark.parametrize("case", REFUSED_NIFTI)
def test_a_nifti_that_would_be_read_wrongly_is_refused_with_one_sentence(tmp_path, case, packed):
    content, words = REFUSED_NIFTI[case]
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=words) as caught:
        read_volume(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_packed_nifti_that_ends_early_is_refused(tmp_path):
    packed = gzip.compress(nifti_bytes(np.random.default_rng(0).random((9, 9, 9), dtype=np.float32), **PLAIN))
    (tmp_path / "a.nii.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match="cannot be unpacked to its end"):
        read_volume(tmp_path / "a.nii.gz")


def test_a_nifti_packed_in_two_pieces_is_read(tmp_path):
    content = nifti_bytes(NUMBERS, **PLAIN)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").array_kji, NUMBERS)


def test_sentences_for_what_cannot_be_read(tmp_path):
    write_volume(Volume.from_array(NUMBERS, np.eye(4)), tmp_path / "whole.nrrd")
    write_volume(Volume.from_array(NUMBERS, np.eye(4)), tmp_path / "whole.mha")
    for suffix in ("nrrd", "mha"):
        (tmp_path / f"cut.{suffix}").write_bytes((tmp_path / f"whole.{suffix}").read_bytes()[:-8])
    color = sitk.GetImageFromArray(np.zeros((2, 3, 4, 3), np.uint8), isVector=True)
    sitk.WriteImage(color, str(tmp_path / "color.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray(NUMBERS * 1j), str(tmp_path / "complex.nrrd"))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "empty").mkdir()
    expected = {
        "absent.nrrd": "does not exist",
        "cut.nrrd": "damaged, incomplete",
        "cut.mha": "damaged, incomplete",
        "color.nrrd": "3 values per voxel",
        "complex.nrrd": "complex",
        "picture.png": r"formats read: NIfTI .* DICOM",
        "empty": "holds no DICOM file",
    }
    for name, words in expected.items():
        with pytest.raises(ValueError, match=words):
            read_volume(tmp_path / name)
    with pytest.raises(ValueError, match="is not DICOM, so it has no series"):
        read_volume(tmp_path / "whole.nrrd", series="1.2.3")


def test_sentences_for_what_cannot_be_written(tmp_path):
    volume = Volume.from_array(NUMBERS, SHEARED)
    for name, words in {
        "image.png": "must end in .nii.gz",
        "image.mhd": "must end in .nii.gz",
        "absent/image.nrrd": "folder .* does not exist",
        "image.nii.gz": "cannot hold sheared voxel axes",
    }.items():
        with pytest.raises(ValueError, match=words):
            write_volume(volume, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "image.nrrd"
    write_volume(Volume.from_array(NUMBERS, np.eye(4)), path)
    before = path.read_bytes()

    def full_disk(image, name, *options):
        Path(name).write_bytes(b"half")
        raise RuntimeError("no space left on device")

    monkeypatch.setattr(files.sitk, "WriteImage", full_disk)
    with pytest.raises(ValueError, match="is the disk full"):
        write_volume(Volume.from_array(NUMBERS * 2, np.eye(4)), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["image.nrrd"]


def test_reading_modules_import_without_the_slow_libraries():
    slow = ["torch", "monai", "pydicom", "highdicom", "skimage", "scipy"]
    code = f"import sys, REACTDistillLib.masks as m; sys.exit(str([x for x in {slow} if x in sys.modules] or ''))"
    package = Path(files.__file__).resolve().parents[1]
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(package)}, capture_output=True, text=True
    )
    assert run.stderr.strip() == ""


# Every file of the folder of awkward files: (shape K J I, spacing I J K in mm, RAS of the first voxel) or the words of
# the refusal. The numbers come from the headers: sform or quaternion of NIfTI, position tags of DICOM, x and y negated.
TRICKY = {
    "5D_small.nii": "has 3 values per voxel",
    "CT_pitch.nii.gz": ((58, 248, 175), (0.8125, 0.8125, 2.39705), (-69.0208, -134.3856, -13.5688)),
    "anatomical.nii": ((25, 41, 33), (2, 2, 2), (32, -40, -16)),
    "big.nii.gz": ((21, 64, 64), (4, 4, 6), (0, 0, 0)),
    "emri_small.dcm": "has 10 frames but does not say where each lies",
    "emri_small_big_endian.dcm": "has 10 frames but does not say where each lies",
    "example4d.nii.gz": r"holds 2 volumes \(4-D\)",
    "functional.nii": r"holds 20 volumes \(4-D\)",
    "ge_gantry_tilt_variable_spacing_dicom": r"variable slice spacing \(1.08 to 7.00 mm\)",
    "missing_slice_4slice_dicom": r"lacks 1 slice, the first between S = -51.14 mm and S = -49.58 mm",
    "not-nifti.nii": "is not a NIfTI image",
    "oblique_brain_tumour_t1post_dicom": ((24, 320, 260), (0.6875, 0.6875, 6.5), (83.3003, 115.8064, -61.4529)),
    "reoriented_anat_moved.nii": ((22, 26, 21), (4, 4, 4), (-35.2979, -47.9776, -27.5994)),
    "resampled_anat_moved.nii": ((3, 21, 17), (4, 4, 8), (32, -40, 0)),
    # Tilted by 14 degrees: steps of 5 mm along S, kept as they are.
    "siemens_gantry_tilt_4slice_dicom": ((4, 512, 512), (0.41797, 0.41797, 5), (106.791, 256.6189, -61.9519)),
    "test.mgz": "formats read: NIfTI",
    "with_extension.nii.gz": ((151, 191, 161), (1, 1, 1), (80, 80, 85)),
}


@pytest.mark.parametrize("name", TRICKY)
def test_every_awkward_file_gives_a_correct_volume_or_one_clear_sentence(shared_data, name):
    path, expected = shared_data(f"tricky/{name}"), TRICKY[name]
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected) as caught:
            read_volume(path)
        assert "\n" not in str(caught.value)
        return
    volume = read_volume(path)
    shape, spacing, corner = expected
    assert volume.array_kji.shape == shape
    assert volume.grid.spacing_ijk_mm == pytest.approx(spacing, abs=1e-4)
    assert volume.grid.to_ras([0, 0, 0]) == pytest.approx(corner, abs=1e-3)


def test_no_awkward_file_is_forgotten(shared_data):
    names = {entry.name.removesuffix(".tar.xz") for entry in shared_data("tricky").iterdir()}
    assert names == set(TRICKY)


@pytest.mark.parametrize("name", [n for n, e in TRICKY.items() if ".nii" in n and not isinstance(e, str)])
def test_awkward_nifti_files_agree_with_a_reading_of_their_bytes(shared_data, name):
    path = shared_data(f"tricky/{name}")
    content = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    voxels, sform = parsed_nifti(content)
    if name == "big.nii.gz":  # qform only: quaternion 0 0 1 0 turns R and S, qfac -1 turns S back
        sform = np.array([[-4.0, 0, 0, 0], [0, 4, 0, 0], [0, 0, 6, 0]])
    volume = read_volume(path)
    assert np.allclose(volume.array_kji, voxels, rtol=1e-6, atol=0, equal_nan=True)
    corners = np.array(list(itertools.product(*[(0, n - 1) for n in volume.array_kji.shape[::-1]])))
    assert np.allclose(volume.grid.to_ras(corners), corners @ sform[:, :3].T + sform[:, 3], atol=1e-3)
