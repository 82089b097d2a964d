"""The cohort of real lower-grade gliomas: who is in it, what is missing in it, and where brain and tumor are."""

import csv
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from REACTDistillLib.cohort import Cohort

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
from make_glioma_cohort import brain_mask, declared_grid, make_glioma_cohort, read_grades, slices_by_patient

WITHOUT_T1CE = ["DU_8165", "FG_7634", "FG_A60K", "HT_7877", "HT_8105", "HT_A616"]
WITHOUT_T1 = ["FG_A60K", "HT_7877", "HT_8105", "HT_A616"]


@pytest.fixture(scope="module")
def source(shared_data) -> Path:
    return shared_data("brain_lgg_grade")


@pytest.fixture(scope="module")
def cohort(source, tmp_path_factory) -> Cohort:
    return make_glioma_cohort(source, tmp_path_factory.mktemp("glioma") / "cohort")[0]


def without(cohort: Cohort, sequence: str) -> list[str]:
    return sorted(entry.id.removeprefix("TCGA_") for entry in cohort.entries if sequence not in entry.sequences)


class TestRealCohort:
    def test_it_has_81_patients_39_of_grade_two_and_42_of_grade_three(self, cohort):
        assert len({entry.patient for entry in cohort.entries}) == len(cohort.entries) == 81
        assert Counter(entry.label for entry in cohort.entries) == {"II": 39, "III": 42}
        assert cohort.classes == ("II", "III")
        assert not cohort.synthetic

    def test_each_of_three_folds_has_13_patients_of_grade_two_and_14_of_grade_three(self, cohort):
        counts = Counter((entry.fold, entry.label) for entry in cohort.entries)
        assert counts == {(fold, label): n for fold in range(3) for label, n in (("II", 13), ("III", 14))}

    def test_sequences_that_the_source_fills_with_flair_are_missing(self, cohort):
        assert without(cohort, "t1") == WITHOUT_T1
        assert without(cohort, "t1ce") == WITHOUT_T1CE
        assert without(cohort, "flair") == []

    def test_one_patient_holds_the_voxels_of_the_source(self, cohort):
        # By hand from the TIFF files and data.csv: slices of 1257, 1539 and 1216 tumor pixels, grade code 2.
        case = next(entry for entry in cohort.entries if entry.id == "TCGA_CS_4942").load()
        assert case.label == "III"
        assert sorted(case.sequences) == ["flair", "t1", "t1ce"]
        assert case.regions["tumor"].array_kji.sum(axis=(1, 2)).tolist() == [1257, 1539, 1216]
        assert [case.sequences[name].array_kji.max() for name in ("t1", "flair", "t1ce")] == [255, 233, 169]
        assert case.sequences["flair"].grid.spacing_ijk_mm.tolist() == [1, 1, 6]

    def test_patients_with_two_slices_keep_two(self, cohort):
        sizes = Counter(entry.load().regions["tumor"].grid.shape_kji for entry in cohort.entries[:10])
        assert sizes == {(3, 256, 256): 7, (2, 256, 256): 3}

    def test_the_brain_holds_the_whole_tumor_and_is_a_quarter_to_most_of_the_slice(self, cohort):
        for entry in cohort.entries[::4]:
            regions = entry.load().regions
            brain, tumor = regions["brain"].array_kji, regions["tumor"].array_kji
            assert tumor.any()
            assert not (tumor & ~brain).any()
            assert 0.2 < brain.mean() < 0.85

    def test_a_folder_with_files_is_left_as_it_is(self, source, cohort):
        with pytest.raises(ValueError, match="already exists and is not empty"):
            make_glioma_cohort(source, cohort.folder)

    def test_patients_without_a_grade_are_left_out_and_counted(self, source, tmp_path):
        poorer = tmp_path / "source"
        poorer.mkdir()
        shutil.copy(source / "tumour_slices_tif.tar.xz", poorer)
        rows = list(csv.reader((source / "data.csv").open(newline="")))
        keep = [row for row in rows if row[0].startswith(("Patient", "TCGA_CS_"))]
        keep[1][9] = ""
        with (poorer / "data.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows(keep)
        made, ungraded = make_glioma_cohort(poorer, tmp_path / "cohort")
        assert (len(made.entries), ungraded) == (13, 68)

    def test_nothing_stays_when_the_archive_is_missing(self, source, tmp_path):
        poorer = tmp_path / "source"
        poorer.mkdir()
        shutil.copy(source / "data.csv", poorer)
        with pytest.raises(ValueError, match="there is no archive"):
            make_glioma_cohort(poorer, tmp_path / "cohort")
        assert [path.name for path in tmp_path.iterdir()] == ["source"]


class TestParts:
    def test_the_largest_bright_component_is_the_brain_with_its_holes(self):
        flair = np.zeros((64, 64), np.uint8)
        flair[10:50, 10:50] = 100
        flair[25:35, 25:35] = 0  # a ventricle
        flair[56:60, 56:60] = 200  # apart from the head
        brain = brain_mask(flair)
        assert brain[30, 30]
        assert brain[12, 12]
        assert not brain[58, 58]
        assert 40**2 <= brain.sum() <= 42**2  # smoothing moves the edge by a voxel at most

    def test_rows_run_to_posterior_columns_to_left_and_slices_up_around_the_origin(self):
        grid = declared_grid((3, 5, 7))
        assert grid.to_ras((0, 0, 0)).tolist() == [3, 2, -6]
        assert grid.to_ras((6, 4, 2)).tolist() == [-3, -2, 6]

    def test_slices_are_in_the_order_of_their_numbers(self, tmp_path):
        for number in (9, 10, 2):
            (tmp_path / f"TCGA_XX_0001_20000101_{number}.tif").touch()
            (tmp_path / f"TCGA_XX_0001_20000101_{number}_mask.tif").touch()
        (paths,) = slices_by_patient(tmp_path).values()
        assert [path.stem[-2:] for path in paths] == ["_2", "_9", "10"]

    def test_an_unknown_grade_code_is_refused(self, tmp_path):
        (tmp_path / "data.csv").write_text("Patient,neoplasm_histologic_grade\nA,1.0\nB,\nC,4.0\n")
        with pytest.raises(ValueError, match='grade code "4"; known are'):
            read_grades(tmp_path / "data.csv")
