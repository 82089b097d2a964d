"""Make a Cohort of the public lower-grade glioma slices: T1, FLAIR, T1 with contrast, brain, tumor, grade II or III.

``--source`` is the folder with ``data.csv`` and ``tumour_slices_tif.tar.xz`` (TCGA-LGG, CC BY-NC-SA 4.0). The source
says neither spacing nor position: 1 mm in plane and 6 mm between slices are declared, the slices of a patient lie one
over the other in their order, rows run to posterior and columns to left.
"""

from __future__ import annotations

import argparse
import csv
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from REACTDistillLib.atomic import new_folder
from REACTDistillLib.case import Case
from REACTDistillLib.cohort import Cohort, assign_folds, write_case
from REACTDistillLib.volume import Grid, Volume

CLASSES = ("II", "III")
GRADE_OF_CODE = {"1": "II", "2": "III"}
CHANNELS = ("t1", "flair", "t1ce")  # of the RGB image
IN_PLANE_MM, SLICE_DISTANCE_MM = 1.0, 6.0  # declared: the source has none
SMOOTHING_VOXELS, CLOSING_VOXELS = 1.0, 4
SHARE_OF_OTSU = 0.6  # Otsu's threshold parts bright from gray tissue too; the darkest of the head is above 0.6 of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder with data.csv and tumour_slices_tif.tar.xz")
    parser.add_argument("--out", type=Path, required=True, help="new folder of the cohort")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the deal into folds")
    arguments = parser.parse_args()
    cohort, ungraded = make_glioma_cohort(arguments.source, arguments.out, folds=arguments.folds, seed=arguments.seed)
    print(f"{len(cohort.entries)} patients in {arguments.out / 'cohort.json'}, {ungraded} left out without a grade")
    for fold in cohort.folds:
        grades = Counter(str(entry.label) for entry in cohort.entries if entry.fold == fold)
        print(f"fold {fold}: " + ", ".join(f"grade {name} {grades[name]}" for name in cohort.classes))
    for name in CHANNELS:
        print(f"without {name}: {sum(name not in entry.sequences for entry in cohort.entries)}")


def make_glioma_cohort(source: Path | str, folder: Path | str, *, folds: int = 3, seed: int = 0) -> tuple[Cohort, int]:
    """The Cohort in its new ``folder``, which appears complete or not at all, and how many patients have no grade.

    Raises ValueError when ``folder`` holds files already, or a file of ``source`` is missing or not as expected.
    """
    source, folder = Path(source), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f'"{folder}" already exists and is not empty; name a new folder for the cohort.')
    grades = read_grades(source / "data.csv")
    with new_folder(folder) as temporary, unpacked(source / "tumour_slices_tif.tar.xz") as slices:
        patients = slices_by_patient(slices)
        graded = [patient for patient in patients if patient in grades]
        fold_of = assign_folds(graded, [grades[patient] for patient in graded], folds=folds, seed=seed)
        entries = [
            write_case(glioma_case(patient, patients[patient], grades[patient]), fold, temporary)
            for patient, fold in zip(graded, fold_of, strict=True)
        ]
        name = "lower-grade glioma (TCGA-LGG slices)"
        Cohort(name, False, CLASSES, tuple(entries), temporary).write(temporary / "cohort.json")
    return Cohort.read(folder / "cohort.json"), len(patients) - len(graded)


def read_grades(table: Path) -> dict[str, str]:
    """Grade by patient code, of the patients that have one."""
    if not table.is_file():
        raise ValueError(f'there is no patient table "{table}".')
    with table.open(newline="", encoding="utf-8") as stream:
        codes = {row["Patient"]: row["neoplasm_histologic_grade"] for row in csv.DictReader(stream)}
    known = {patient: code.removesuffix(".0") for patient, code in codes.items() if code}
    unknown = sorted(set(known.values()) - set(GRADE_OF_CODE))
    if unknown:
        raise ValueError(f'"{table.name}" has the grade code "{unknown[0]}"; known are {list(GRADE_OF_CODE)}.')
    return {patient: GRADE_OF_CODE[code] for patient, code in known.items()}


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """A folder with what is in the archive, gone afterwards."""
    if not archive.is_file():
        raise ValueError(f'there is no archive "{archive}".')
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        yield Path(folder)


def slices_by_patient(folder: Path) -> dict[str, list[Path]]:
    """The image files of each patient in the order of their slice numbers; files are named ..._NUMBER.tif."""
    patients: dict[str, list[Path]] = {}
    images = [path for path in folder.rglob("*.tif") if not path.stem.endswith("_mask")]
    for path in sorted(images, key=lambda path: (path.parent.name, int(path.stem.rsplit("_", 1)[1]))):
        patients.setdefault("_".join(path.stem.split("_")[:3]), []).append(path)
    return patients


def glioma_case(patient: str, images: list[Path], grade: str) -> Case:
    """The case of one patient, its slices along K; a sequence that the source fills with FLAIR is left out."""
    slices_kjic = np.stack([read_slice(path) for path in images])
    if slices_kjic.ndim != 4 or slices_kjic.shape[3] != len(CHANNELS):
        raise ValueError(
            f'patient "{patient}" has slices of shape {slices_kjic.shape[1:]}; three channels are expected.'
        )
    masks = [path.with_name(f"{path.stem}_mask.tif") for path in images]
    tumor_kji = np.stack([read_slice(path) for path in masks]) > 127
    flair_kji = slices_kjic[..., CHANNELS.index("flair")]
    sequences = {name: slices_kjic[..., channel] for channel, name in enumerate(CHANNELS)}
    present = {
        name: array for name, array in sequences.items() if name == "flair" or not np.array_equal(array, flair_kji)
    }
    brain_kji = np.stack([brain_mask(flair_ji) for flair_ji in flair_kji])
    if (tumor_kji & ~brain_kji).any():
        outside = int((tumor_kji & ~brain_kji).sum())
        raise ValueError(
            f'patient "{patient}" has {outside} tumor voxels outside the brain found; check the threshold.'
        )
    grid = declared_grid(tumor_kji.shape)
    return Case(
        sequences={name: Volume(array, grid) for name, array in present.items()},
        regions={"brain": Volume(brain_kji, grid), "tumor": Volume(tumor_kji, grid)},
        label=grade,
        identifier=patient,
    )


def read_slice(path: Path) -> NDArray[np.uint8]:
    """Pixels of a TIFF, shape (J, I) or (J, I, channels)."""
    if not path.is_file():
        raise ValueError(f'the archive has no file "{path.name}".')
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def brain_mask(flair_ji: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Largest bright component of a slice without its holes, shape (J, I): skull and scalp too where they are seen."""
    smooth = sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(flair_ji.astype(np.float32)), SMOOTHING_VOXELS)
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(smooth)
    bright = sitk.Cast(smooth > SHARE_OF_OTSU * otsu.GetThreshold(), sitk.sitkUInt8)
    closed = sitk.BinaryMorphologicalClosing(bright, (CLOSING_VOXELS, CLOSING_VOXELS))
    largest = sitk.RelabelComponent(sitk.ConnectedComponent(closed)) == 1
    return sitk.GetArrayFromImage(sitk.BinaryFillhole(largest)) > 0


def declared_grid(shape_kji: tuple[int, ...]) -> Grid:
    """Axial grid around the origin: I to left, J to posterior, K to superior, spacing as declared."""
    spacing_ijk_mm = np.array([IN_PLANE_MM, IN_PLANE_MM, SLICE_DISTANCE_MM])
    ijk_to_lps = np.diag([*spacing_ijk_mm, 1.0])
    ijk_to_lps[:3, 3] = -spacing_ijk_mm * (np.array(shape_kji[::-1]) - 1) / 2
    return Grid.from_lps(shape_kji, ijk_to_lps)


if __name__ == "__main__":
    main()
