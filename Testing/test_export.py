"""A student leaves as ONNX and as MONAI Bundle: the same numbers in the runtimes of others, the card with them."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from REACTDistillLib.__main__ import main
from REACTDistillLib.card import Card
from REACTDistillLib.casefiles import case_from_files
from REACTDistillLib.export import export_bundle, export_onnx
from REACTDistillLib.files import write_volume
from REACTDistillLib.finding import NOT_A_MEDICAL_DEVICE, Finding
from REACTDistillLib.loadedstudent import Student
from REACTDistillLib.phantom import phantom_case
from REACTDistillLib.predict import predict
from REACTDistillLib.recipes import preparation_of, recipe_named
from REACTDistillLib.shipped import demo_student
from REACTDistillLib.student import load_student

# What the schema of MONAI requires (meta_schema_20240725.json).
REQUIRED_OF_METADATA = {
    *("schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"),
    *("task", "description", "authors", "copyright", "network_data_format"),
}
REQUIRED_OF_TENSORS = {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"}


@pytest.fixture(scope="module")
def student():
    return load_student(demo_student("grade"))


@pytest.fixture(scope="module")
def phantom():
    return phantom_case(3, shape_kji=(40, 44, 48))


@pytest.fixture(scope="module")
def prepared(student, phantom):
    """Two different samples: a phantom as prepared, and a paler one that is graded without its tumor."""
    sample = recipe_named("reactkd").prepare(phantom, preparation_of(student.card))
    without_tumor = sample["pools"] * torch.tensor([1.0, 0.0, 0.0])[:, None, None, None]
    return torch.stack([sample["image"], 0.5 * sample["image"]]), torch.stack([sample["pools"], without_tumor])


@pytest.fixture(scope="module")
def expected(student, prepared):
    with torch.inference_mode():
        return student.network(*prepared)


# ONNX.


@pytest.fixture(scope="module")
def onnx_path(student, tmp_path_factory):
    pytest.importorskip("onnx", reason="onnx is not installed")
    return export_onnx(student, tmp_path_factory.mktemp("onnx") / "new" / "grade.onnx")


@pytest.fixture(scope="module")
def session(onnx_path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    return runtime.InferenceSession(str(onnx_path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 2)], ids=["one case", "two cases"])
def test_onnx_gives_the_numbers_of_the_student_for_any_batch(session, prepared, expected, rows):
    image, pools = (tensor[rows].numpy() for tensor in prepared)
    found = session.run(["logits", "features", "pooled", "attention"], {"image": image, "pools": pools})
    probabilities = torch.from_numpy(found[0]).softmax(dim=1).numpy()
    assert abs(probabilities - expected.logits[rows].softmax(dim=1).numpy()).max() < 1e-4
    # Group normalization divides by small deviations, which enlarges the rounding of two runtimes.
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want[rows].numpy(), atol=1e-3, rtol=1e-3)


def test_the_two_samples_are_graded_differently(expected):
    assert abs(expected.logits[0] - expected.logits[1]).max() > 0.1


def test_the_onnx_file_carries_the_card_and_the_notice(session, student):
    properties = session.get_modelmeta().custom_metadata_map
    assert Card.from_json(json.loads(properties["card"]), "grade.onnx").sha256 == student.card.sha256
    assert properties["notice"] == NOT_A_MEDICAL_DEVICE


def test_the_onnx_file_is_alone_in_its_folder_and_names_no_place_of_this_computer(onnx_path):
    assert [path.name for path in onnx_path.parent.iterdir()] == ["grade.onnx"]
    content = onnx_path.read_bytes()
    for place in (str(onnx_path.parent), sys.prefix, "site-packages", "REACTDistill/REACTDistillLib"):
        assert place.encode() not in content


def test_exporting_twice_gives_the_same_bytes_and_leaves_the_student_as_it_was(student, onnx_path, tmp_path):
    assert export_onnx(student, tmp_path / "again.onnx").read_bytes() == onnx_path.read_bytes()
    assert not student.network.training


def test_without_the_package_onnx_the_sentence_says_how_to_get_it(student, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r'"onnx" is missing; run pip install "\.\[export\]"'):
        export_onnx(student, tmp_path / "grade.onnx")
    assert list(tmp_path.iterdir()) == []


def test_another_suffix_and_another_network_are_refused(student, tmp_path):
    with pytest.raises(ValueError, match=r'"grade\.pt"'):
        export_onnx(student, tmp_path / "grade.pt")
    other = Student(student.card, torch.nn.Linear(2, 2), "cpu", student.path)
    with pytest.raises(ValueError, match="holds a Linear"):
        export_onnx(other, tmp_path / "grade.onnx")
    with pytest.raises(ValueError, match="holds a Linear"):
        export_bundle(other, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


# MONAI Bundle.


@pytest.fixture(scope="module")
def bundle(student, tmp_path_factory):
    return export_bundle(student, tmp_path_factory.mktemp("bundle") / "grade")


@pytest.fixture
def parser(bundle):
    monai_bundle = pytest.importorskip("monai.bundle", reason="monai is not installed")
    parser = monai_bundle.ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser.read_meta(str(bundle / "configs" / "metadata.json"))
    parser["bundle_root"] = str(bundle)
    return parser


def test_the_bundle_holds_four_files_and_no_pickle(bundle):
    found = sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())
    assert found == ["configs/inference.json", "configs/metadata.json", "docs/README.md", "models/model.safetensors"]


def test_the_network_that_monai_builds_gives_bit_identical_logits(parser, bundle, prepared, expected):
    from safetensors.torch import load_file

    network = parser.get_parsed_content("network_def")
    network.load_state_dict(load_file(bundle / "models" / "model.safetensors"), strict=True)
    with torch.inference_mode():
        logits = network.eval()(*prepared).logits
        assert torch.equal(parser.get_parsed_content("network")(*prepared).logits, logits)
    assert torch.equal(logits, expected.logits)


def test_running_the_bundle_grades_files_as_predict_does_to_the_last_bit(
    bundle, student, phantom, tmp_path, monkeypatch
):
    monai_bundle = pytest.importorskip("monai.bundle", reason="monai is not installed")
    files = {name: str(tmp_path / f"{name}.nii.gz") for name in ("ct", "liver", "tumor")}
    for name, volume in {"ct": phantom.sequences["ct"], **phantom.regions}.items():
        write_volume(volume, files[name])
    monkeypatch.chdir(bundle)
    monai_bundle.run(config_file="configs/inference.json", output_dir=str(tmp_path / "result"), **files)
    case = case_from_files(files["ct"], [files["liver"]], [files["tumor"]])
    assert Finding.load(tmp_path / "result").probabilities == predict(case, student).probabilities


def test_the_metadata_have_what_monai_asks_for(parser, student):
    from monai.bundle.properties import MetaProperties

    for name, rule in MetaProperties.items():
        assert parser.get(rule["id"]), name
    metadata = parser["_meta_"]
    assert metadata.keys() >= REQUIRED_OF_METADATA
    for entries in metadata["network_data_format"].values():
        assert all(entry.keys() >= REQUIRED_OF_TENSORS for entry in entries.values())
    assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [48, 64, 64]
    assert metadata["network_data_format"]["inputs"]["pools"]["spatial_shape"] == [24, 32, 32]
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == dict(
        zip("012", student.card.classes, strict=True)
    )
    assert NOT_A_MEDICAL_DEVICE in metadata["intended_use"]
    assert student.card.limitations in metadata["intended_use"]
    assert Card.from_json(json.loads(metadata["card"]), "metadata.json").sha256 == student.card.sha256


def test_the_described_shapes_are_those_of_the_tensors(parser, prepared, expected):
    described = parser["_meta_"]["network_data_format"]
    tensors = dict(zip(("image", "pools"), prepared, strict=True))
    outputs = {"pred": expected.logits, **expected._asdict()}
    del outputs["logits"]
    for entries, found in ((described["inputs"], tensors), (described["outputs"], outputs)):
        assert entries.keys() == found.keys()
        for name, entry in entries.items():
            assert [entry["num_channels"], *entry["spatial_shape"]] == list(found[name].shape[1:]), name
            assert len(entry["channel_def"]) == entry["num_channels"]


def test_the_weights_of_the_bundle_are_a_student_file_with_the_same_card(bundle, student):
    assert load_student(bundle / "models" / "model.safetensors").card.sha256 == student.card.sha256


@pytest.mark.parametrize("name", ["$print(1)", "%other.json", "$@device"])
def test_a_card_cannot_bring_instructions_into_the_configs(student, tmp_path, name):
    card = replace(student.card, classes=(name, "moderate", "poor"))
    with pytest.raises(ValueError, match="cannot be exported as one"):
        export_bundle(replace(student, card=card), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_texts_of_the_card_are_never_executed_by_monai(student, tmp_path):
    monai_bundle = pytest.importorskip("monai.bundle", reason="monai is not installed")
    text = "$__import__('pathlib').Path('executed').touch()"
    card = replace(student.card, intended_use=text, limitations=text, licence=text)
    folder = export_bundle(replace(student, card=card), tmp_path / "bundle")
    parser = monai_bundle.ConfigParser()
    parser.read_meta(str(folder / "configs" / "metadata.json"))
    assert text in parser.get_parsed_content("_meta_")["intended_use"]
    assert not (tmp_path / "executed").exists()


def test_a_folder_with_files_and_a_file_are_refused_and_left_as_they_are(student, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ValueError, match="name a new folder"):
            export_bundle(student, place)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled_and_a_failure_leaves_nothing(student, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    export_bundle(student, tmp_path / "empty")
    assert (tmp_path / "empty" / "configs" / "metadata.json").exists()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("REACTDistillLib.export.save_student", no_space)
    with pytest.raises(OSError, match="No space"):
        export_bundle(student, tmp_path / "failed")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_the_command_line_exports_both(tmp_path, capsys):
    pytest.importorskip("onnx", reason="onnx is not installed")
    source = str(demo_student("grade"))
    assert main(["export", source, "--onnx", str(tmp_path / "grade.onnx")]) == 0
    assert main(["export", source, "--bundle", str(tmp_path / "bundle")]) == 0
    assert NOT_A_MEDICAL_DEVICE in capsys.readouterr().out
    assert main(["export", source, "--bundle", str(tmp_path / "bundle")]) == 2
    assert "name a new folder" in capsys.readouterr().err


def test_a_student_of_several_sequences_is_exported_with_what_is_present(student, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    torch.manual_seed(0)
    sequences = {"required": ["ct"], "optional": ["pet_fdg"]}
    config = {**student.card.network["config"], "sequences": 2}
    network = recipe_named("reactkd").build_network(config).eval()
    card = replace(student.card, sequences=sequences, network={"name": "student", "config": config})
    path = export_onnx(replace(student, card=card, network=network), tmp_path / "two.onnx")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image, pools = torch.randn(2, 2, 48, 64, 64), torch.rand(2, 3, 24, 32, 32)
    present = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    with torch.inference_mode():
        expected = network(image, pools, present > 0).logits.numpy()
    found = session.run(["logits"], {"image": image.numpy(), "pools": pools.numpy(), "present": present.numpy()})[0]
    assert abs(found - expected).max() < 1e-4
    assert abs(found[0] - found[1]).max() > 1e-3
