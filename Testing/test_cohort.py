"""Cohort: what is read, what is refused and why, how folds are dealt."""

import copy
import json

import numpy as np
import pytest
from REACTDistillLib.cohort import Cohort, assign_folds, file_sha256
from REACTDistillLib.files import write_volume
from REACTDistillLib.volume import Grid, Volume

GRID = Grid.centered((0.0, 0.0, 0.0), shape_kji=(2, 3, 4), spacing_kji_mm=(3.0, 2.0, 1.0))
CT = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def case_json(folder, name, fold, label, patient=None):
    (folder / name).mkdir()
    write_volume(Volume(CT, GRID), folder / name / "ct.nrrd")
    write_volume(Volume(CT > 11, GRID), folder / name / "liver.nrrd")
    paths = [f"{name}/ct.nrrd", f"{name}/liver.nrrd"]
    return {
        "id": name,
        "patient": patient or name,
        "fold": fold,
        "label": label,
        "sequences": {"ct": paths[0]},
        "regions": {"liver": paths[1]},
        "clinical": {"AFP_norm": 0.5, "centre": "north"},
        "sha256": {path: file_sha256(folder / path) for path in paths},
    }


@pytest.fixture
def data(tmp_path):
    cases = [
        case_json(tmp_path, "a", 0, "well"),
        case_json(tmp_path, "b", 1, "poor", patient="p2"),
        case_json(tmp_path, "c", 1, None, patient="p2"),
    ]
    return {"name": "three", "synthetic": False, "classes": ["well", "poor"], "cases": cases}


def written(folder, data):
    path = folder / "cohort.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


class TestReading:
    def test_a_case_comes_back_with_images_masks_items_and_label(self, tmp_path, data):
        case = Cohort.read(written(tmp_path, data)).entries[0].load()
        assert np.array_equal(case.sequences["ct"].array_kji, CT)
        assert case.regions["liver"].is_mask
        assert np.array_equal(case.regions["liver"].array_kji, CT > 11)
        assert (case.identifier, case.label, dict(case.clinical)) == ("a", "well", {"AFP_norm": 0.5, "centre": "north"})

    def test_a_cohort_that_a_windows_editor_saved_is_read(self, tmp_path, data):
        path = written(tmp_path, data)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # the mark of UTF-8
        assert Cohort.read(path).to_json() == data

    def test_write_and_read_give_the_same_cohort(self, tmp_path, data):
        cohort = Cohort.read(written(tmp_path, data))
        again = Cohort.read(cohort.write(tmp_path / "again.json"))
        assert again.to_json() == data
        assert again.sha256 == cohort.sha256
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "again.json", "b", "c", "cohort.json"]

    def test_the_hash_forgets_layout_and_minds_content(self, tmp_path, data):
        before = Cohort.read(written(tmp_path, data)).sha256
        turned = {key: data[key] for key in reversed(data)}
        assert Cohort.read(written(tmp_path, turned)).sha256 == before
        data["cases"][0]["fold"] = 2
        assert Cohort.read(written(tmp_path, data)).sha256 != before

    def test_split_keeps_the_fold_for_validation(self, tmp_path, data):
        training, validation = Cohort.read(written(tmp_path, data)).split(1)
        assert [entry.id for entry in training] == ["a"]
        assert [entry.id for entry in validation] == ["b", "c"]

    def test_a_fold_that_is_not_there_is_refused(self, tmp_path, data):
        with pytest.raises(ValueError, match=r'cohort "three" has no fold 4; it has \[0, 1\]\.'):
            Cohort.read(written(tmp_path, data)).split(4)

    def test_a_cohort_cannot_be_written_away_from_its_cases(self, tmp_path, data):
        cohort = Cohort.read(written(tmp_path, data))
        (tmp_path / "elsewhere").mkdir()
        with pytest.raises(ValueError, match="must lie in"):
            cohort.write(tmp_path / "elsewhere" / "cohort.json")


def put(*keys, value):
    def change(data):
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


def drop(*keys):
    def change(data):
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return change


CT_OF_A = ("cases", 0, "sequences", "ct")
REFUSALS = {
    "no name": (drop("name"), 'the cohort lacks "name".'),
    "cases are no list": (put("cases", value={}), 'the cohort has "cases" of {}'),
    "synthetic is a number": (put("synthetic", value=1), 'the cohort has "synthetic" of 1'),
    "unknown key": (put("clases", value=[]), 'the cohort has the unknown key "clases"'),
    "class twice": (put("classes", value=["well", "poor", "well"]), "the classes must be different names"),
    "case is text": (put("cases", 1, value="b"), "case 1 must be a JSON object, got str."),
    "no fold": (drop("cases", 0, "fold"), 'case "a" lacks "fold".'),
    "fold is true": (put("cases", 0, "fold", value=True), 'case "a" has "fold" of True'),
    "fold below 0": (put("cases", 0, "fold", value=-1), 'case "a" has fold -1; folds count from 0.'),
    "unknown label": (put("cases", 0, "label", value="bad"), 'case "a" has the unknown label "bad"'),
    "absolute path": (put(*CT_OF_A, value="/etc/ct.nrrd"), 'case "a" has the path "/etc/ct.nrrd"'),
    "parent path": (put(*CT_OF_A, value="a/../../ct.nrrd"), 'case "a" has the path "a/../../ct.nrrd"'),
    "drive": (put(*CT_OF_A, value="C:/ct.nrrd"), 'case "a" has the path "C:/ct.nrrd"'),
    "backslash": (put(*CT_OF_A, value="..\\ct.nrrd"), 'case "a" has the path "..\\ct.nrrd"'),
    "path is a number": (put(*CT_OF_A, value=3), 'case "a" has a file path of 3'),
    "no hash": (drop("cases", 0, "sha256", "a/ct.nrrd"), 'case "a" has no SHA-256 for its file "a/ct.nrrd".'),
    "clinical list": (put("cases", 0, "clinical", "AFP_norm", value=[1]), 'case "a" has the clinical item "AFP_norm"'),
    "clinical NaN": (put("cases", 0, "clinical", "x", value=float("nan")), 'case "a" has the clinical item "x" of nan'),
    "id twice": (put("cases", 2, "id", value="b"), 'the case id "b" appears twice.'),
    "patient in two folds": (put("cases", 2, "fold", value=0), 'patient "p2" is in folds 0 and 1; one is allowed.'),
}


class TestRefusals:
    @pytest.mark.parametrize("name", REFUSALS)
    def test_one_sentence_says_what_is_wrong(self, tmp_path, data, name):
        change, words = REFUSALS[name]
        data = copy.deepcopy(data)
        change(data)
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are compared below
            Cohort.read(written(tmp_path, data))
        message = str(caught.value)
        assert message.startswith(f'"cohort.json": {words}')
        assert message.endswith(".")
        assert "\n" not in message

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"PK\x03\x04"])
    def test_what_is_no_json_is_refused(self, tmp_path, content):
        (tmp_path / "cohort.json").write_bytes(content)
        with pytest.raises(ValueError, match="is not a cohort file"):
            Cohort.read(tmp_path / "cohort.json")

    def test_a_missing_cohort_file_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="there is no cohort file"):
            Cohort.read(tmp_path / "none.json")

    def test_a_changed_image_is_refused_when_it_is_loaded(self, tmp_path, data):
        entry = Cohort.read(written(tmp_path, data)).entries[0]
        write_volume(Volume(CT + 1, GRID), tmp_path / "a" / "ct.nrrd")
        with pytest.raises(ValueError, match=r'case "a": the file "a/ct.nrrd" has changed since the cohort was made\.'):
            entry.load()

    def test_a_missing_mask_is_refused_when_it_is_loaded(self, tmp_path, data):
        entry = Cohort.read(written(tmp_path, data)).entries[0]
        (tmp_path / "a" / "liver.nrrd").unlink()
        with pytest.raises(ValueError, match=r'case "a": there is no file "a/liver.nrrd" beside the cohort file\.'):
            entry.load()


class TestFolds:
    def test_each_label_is_dealt_out_evenly(self):
        labels = ["well"] * 10 + ["poor"] * 5
        folds = assign_folds([str(index) for index in range(15)], labels, folds=5)
        assert all(folds[:10].count(fold) == 2 and folds[10:].count(fold) == 1 for fold in range(5))

    def test_cases_of_one_patient_stay_together(self):
        patients = ["x", "y", "x", "z", "y", "w"]
        folds = assign_folds(patients, ["a", "a", "b", "b", "a", "a"], folds=2)
        assert folds[0] == folds[2]
        assert folds[1] == folds[4]

    def test_the_order_of_the_cases_does_not_matter_and_the_seed_does(self):
        patients, labels = [str(index) for index in range(30)], ["a", "b", "c"] * 10
        folds = assign_folds(patients, labels)
        assert assign_folds(patients[::-1], labels[::-1])[::-1] == folds
        assert assign_folds(patients, labels, seed=1) != folds

    def test_more_folds_than_patients_are_refused(self):
        with pytest.raises(ValueError, match="2 patients cannot be put into 5 folds; use 2 to 2 folds"):
            assign_folds(["x", "y", "x"], ["a", "a", "a"], folds=5)
