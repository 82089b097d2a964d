"""The command line on files, made ones and real ones; the same numbers as through the scene."""

import json
import subprocess
import sys

import numpy as np
import pytest
from REACTDistillLib.__main__ import main
from REACTDistillLib.files import read_volume, write_volume
from REACTDistillLib.finding import Finding
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.volume import Volume


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient with a space")
    case = phantom_case(4, shape_kji=(40, 44, 48))
    write_volume(case.sequences["ct"], folder / "ct.nii.gz")
    write_volume(case.regions["liver"], folder / "liver.nrrd")
    write_volume(case.regions["tumor"], folder / "tumor.nii.gz")
    labels = case.regions["liver"].array_kji.astype(np.float32) + case.regions["tumor"].array_kji
    write_volume(Volume(labels, case.regions["liver"].grid), folder / "labels.nii.gz")
    return folder


def predict(folder, out, *more, ct="ct.nii.gz", liver="liver.nrrd", tumor="tumor.nii.gz"):
    arguments = ["predict", "--ct", str(folder / ct), "--out", str(out), *more]
    for name, value in (("--liver", liver), ("--tumor", tumor)):
        if value:
            arguments += [name, str(folder / value)]
    return main(arguments)


def test_a_case_is_graded_from_files(files, tmp_path, capsys):
    assert predict(files, tmp_path / "out") == 0
    finding = Finding.load(tmp_path / "out")
    printed = capsys.readouterr().out
    for name, probability in finding.probabilities.items():
        assert f"{name}  {probability:.4f}" in printed
    assert "not a medical device" in printed
    assert "phantoms only" in printed


def test_regions_of_a_label_map_are_taken_by_value_and_joined(files, tmp_path):
    predict(files, tmp_path / "apart")
    assert (
        predict(
            files,
            tmp_path / "joined",
            "--liver",
            str(files / "labels.nii.gz:2"),
            liver="labels.nii.gz:1",
            tumor="labels.nii.gz:2",
        )
        == 0
    )
    assert Finding.load(tmp_path / "joined").probabilities == Finding.load(tmp_path / "apart").probabilities


def test_an_earlier_result_is_replaced_only_when_that_is_asked_for(files, tmp_path, capsys):
    assert predict(files, tmp_path / "out") == 0
    before = (tmp_path / "out" / "finding.json").read_bytes()
    assert predict(files, tmp_path / "out", tumor=None) == 2
    assert "holds a result; name a new folder, or replace it by --overwrite" in capsys.readouterr().err
    assert (tmp_path / "out" / "finding.json").read_bytes() == before
    assert predict(files, tmp_path / "out", "--overwrite", tumor=None) == 0
    assert (tmp_path / "out" / "finding.json").read_bytes() != before


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--student", ""], "An empty name was given"),
        (["--probabilities"], "are for students that segment; this one grades"),
        (["--reference", "ct"], "are for students that segment; this one grades"),
    ],
)
def test_options_that_say_nothing_are_refused(files, tmp_path, capsys, more, sentence):
    assert predict(files, tmp_path / "out", *more) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_batch_without_any_answer_fails(tmp_path, capsys):
    (tmp_path / "cases" / "a").mkdir(parents=True)
    assert main(["batch", str(tmp_path / "cases"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert "0 cases answered, 1 not; written to" in said.out
    assert 'a: The folder of the case holds no "ct"' in said.out
    assert "phantoms only" in said.out
    assert "None of the 1 cases could be answered" in said.err


def test_an_infinite_voxel_is_one_sentence_without_a_warning(files, tmp_path, capsys, recwarn):
    ct = read_volume(files / "ct.nii.gz")
    pixels = ct.array_kji.copy()
    pixels[np.nonzero(read_volume(files / "liver.nrrd").array_kji)[0][0]] = np.inf
    write_volume(Volume(pixels, ct.grid), files / "infinite.nrrd")
    assert predict(files, tmp_path / "out", ct="infinite.nrrd") == 2
    assert "NaN" in capsys.readouterr().err
    assert [one for one in recwarn if issubclass(one.category, RuntimeWarning)] == []


def test_events_are_json_lines_and_the_last_names_the_folder(files, tmp_path, capsys):
    assert predict(files, tmp_path / "out", "--progress", "json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["event"] for event in events[:-1]} == {"progress"}
    assert all(0 <= event["done"] <= event["total"] for event in events[:-1])
    assert events[-1] == {"event": "result", "folder": str(tmp_path / "out")}


def assert_refused(capsys, words):
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("reactdistill: ")
    assert words in lines[0]


def test_no_liver_mask_is_one_sentence_and_status_two(files, tmp_path, capsys):
    assert predict(files, tmp_path / "out", liver=None, tumor=None) == 2
    assert_refused(capsys, 'needs the mask "liver"')
    assert not (tmp_path / "out").exists()


def test_an_error_is_an_event_when_events_are_asked_for(files, tmp_path, capsys):
    assert predict(files, tmp_path / "out", "--progress", "json", liver=None, tumor=None) == 2
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event["event"] == "error"
    assert "liver" in event["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ct": "missing.nii.gz"}, "missing.nii.gz"),
        ({"liver": "labels.nii.gz:7"}, "7"),
        ({"liver": "ct.nii.gz"}, "ct.nii.gz"),
    ],
)
def test_wrong_files_are_one_sentence(files, tmp_path, capsys, change, words):
    assert predict(files, tmp_path / "out", **change) == 2
    assert_refused(capsys, words)


def test_the_card_and_a_wrong_config_field(tmp_path, capsys):
    from REACTDistillLib.shipped import demo_student

    assert main(["card", str(demo_student("grade"))]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "grade"
    (tmp_path / "config.json").write_text('{"epoch": 3}')
    arguments = ["--cohort", "c.json", "--run", str(tmp_path / "run"), "--config", str(tmp_path / "config.json")]
    assert main(["train", "reactkd", *arguments]) == 2
    assert_refused(capsys, '"epoch"')
    (tmp_path / "config.json").write_text('{"epochs": "3"}')
    assert main(["train", "reactkd", *arguments]) == 2
    assert_refused(capsys, '"epochs" is "3", expected like 30')


# Real data: 3D-IRCADb patient 17, DICOM and masks.


@pytest.fixture(scope="module")
def ircadb(shared_data):
    ct = shared_data("liver_ct_3dircadb17/ct_dicom") / "PATIENT_DICOM"
    masks = shared_data("liver_ct_3dircadb17/masks_dicom") / "MASKS_DICOM"
    return str(ct), str(masks / "liver"), [str(masks / name) for name in ("livertumor1", "livertumor2")]


@pytest.fixture(scope="module")
def ircadb_finding(ircadb, tmp_path_factory):
    ct, liver, tumors = ircadb
    out = tmp_path_factory.mktemp("ircadb") / "out"
    arguments = ["predict", "--ct", ct, "--liver", liver, "--tumor", tumors[0], "--tumor", tumors[1], "--out", str(out)]
    assert main(arguments) == 0
    return Finding.load(out)


def test_a_real_ct_is_graded_from_dicom_with_the_heat_map_on_the_liver(ircadb, ircadb_finding):
    from REACTDistillLib.masks import read_region

    graph = ircadb_finding.graph
    assert graph.names[:4] == ("tumor_1", "tumor_2", "shell_1", "shell_2")
    assert graph.volumes_ml[:2].tolist() == pytest.approx([85.6, 78.6], abs=0.1)
    liver = read_region(ircadb[1])
    heat = ircadb_finding.whole_attention()
    assert heat.grid.shape_kji == (119, 512, 512)
    assert heat.array_kji.max() > 0.5
    assert (heat.array_kji[~liver.array_kji] == 0).all()


def test_the_nodes_of_real_tumors_lie_inside_them(ircadb, ircadb_finding):
    from REACTDistillLib.masks import read_region

    for path in ircadb[2]:
        mask = read_region(path)
        inside = []
        for centroid in ircadb_finding.graph.centroids_ras[:2]:
            i, j, k = np.rint(mask.grid.to_ijk(centroid)).astype(int)
            inside.append(bool(mask.array_kji[k, j, i]))
        assert sum(inside) == 1


def test_the_scene_gives_the_same_numbers_to_the_last_bit(ircadb, ircadb_finding):
    pytest.importorskip("slicer", reason="the slicer-core package is not installed")
    from REACTDistillLib.files import read_volume
    from REACTDistillLib.masks import read_region
    from REACTDistillLib.predict import predict
    from REACTDistillLib.shipped import demo_student
    from REACTDistillScene.headless import bootHeadless

    bootHeadless()
    import slicer
    from node_cases import caseFromNodes
    from REACTDistillScene.segments import segmentationFromMasks
    from REACTDistillScene.volumes import nodeFromVolume

    ct, liver, tumors = ircadb
    slicer.mrmlScene.Clear(0)
    volume = nodeFromVolume(read_volume(ct), "CT")
    masks = {"Tumor 2": read_region(tumors[1]), "Tumor 1": read_region(tumors[0]), "Liver": read_region(liver)}
    segmentation = segmentationFromMasks(masks, volume)
    case = caseFromNodes(volume, segmentation, "Liver", ["Tumor 2", "Tumor 1"])
    finding = predict(case, demo_student("grade"))
    slicer.mrmlScene.Clear(0)
    assert finding.probabilities == ircadb_finding.probabilities
    assert finding.graph.to_json() == ircadb_finding.graph.to_json()
    assert np.array_equal(finding.attention.array_kji, ircadb_finding.attention.array_kji)


def test_a_low_resolution_ct_is_graded_with_a_liver_label_only(shared_data, tmp_path):
    folder = shared_data("abdomen_lowres_totalseg")
    assert predict(folder, tmp_path / "out", ct="example_ct_sm.nii.gz", liver="example_seg.nii.gz:5", tumor=None) == 0
    finding = Finding.load(tmp_path / "out")
    assert "No tumor mask" in finding.warnings[0]
    assert finding.graph.kinds == ("sector",) * 4 + ("parenchyma",)


def test_three_slices_of_liver_are_graded_with_a_warning(shared_data, tmp_path):
    folder = shared_data("liver_ct_dcmqi_3slice")
    slices = tmp_path / "slices"
    slices.mkdir()
    for name in ("01.dcm", "02.dcm", "03.dcm"):
        (slices / name).write_bytes((folder / name).read_bytes())
    out = {}
    for mask in ("liver_seg.nrrd", "liver.dcm"):
        assert main(["predict", "--ct", str(slices), "--liver", str(folder / mask), "--out", str(tmp_path / mask)]) == 0
        out[mask] = Finding.load(tmp_path / mask)
    assert any("whole liver" in warning for warning in out["liver.dcm"].warnings)
    assert out["liver.dcm"].probabilities == pytest.approx(out["liver_seg.nrrd"].probabilities, abs=1e-4)


def test_a_ct_that_misses_the_liver_is_one_sentence(shared_data, ircadb, tmp_path, capsys):
    slice_file = shared_data("hcc_tables") / "single_slice_dicom" / "HCC_002_1-01.dcm"
    assert main(["predict", "--ct", str(slice_file), "--liver", ircadb[1], "--out", str(tmp_path / "out")]) == 2
    assert_refused(capsys, "outside the image")


@pytest.mark.parametrize("image", ["PET", "MR_T1"])
def test_a_pet_and_an_mr_given_as_ct_are_one_sentence(shared_data, tmp_path, capsys, image):
    folder = shared_data("petct_sts/nifti/STS_002")
    assert predict(folder, tmp_path / "o", ct=f"{image}_image.nii.gz", liver=f"{image}_mask.nii.gz", tumor=None) == 2
    assert_refused(capsys, "CT")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    from REACTDistillLib.shipped import demo_student

    command = [sys.executable, "-m", "REACTDistillLib", "card", str(demo_student("grade"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(60), said) == (141, b"")
