"""Sample data: what is shipped is what is registered, and a damaged file is told in words."""

from __future__ import annotations

import hashlib
import importlib
import logging
import shutil
import struct
import sys
import types
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from REACTDistillLib.brain import brain_case
from REACTDistillLib.files import read_volume
from REACTDistillLib.masks import read_masks
from REACTDistillLib.phantom import phantom_case

FOLDER = Path(__file__).resolve().parent.parent / "REACTDistill" / "Resources" / "SampleData"
CT_FILE, REGIONS_FILE = "REACTDistillPhantomCT.nrrd", "REACTDistillPhantomRegions.seg.nrrd"
BRAIN_FILES = [f"REACTDistillBrain{name}.nrrd" for name in ("T1", "T1ce", "T2", "FLAIR")]


@pytest.fixture
def sampledata(empty_scene, monkeypatch):
    """The module under test in a scene, where nothing is translated."""
    if "slicer.i18n" not in sys.modules:
        monkeypatch.setitem(sys.modules, "slicer.i18n", types.SimpleNamespace(tr=str))
    return importlib.import_module("REACTDistillScene.sampledata")


class SampleDataSource:
    def __init__(self, sampleName=None, uris=(), fileNames=(), nodeNames=(), checksums=(), **others):
        self.sampleName, self.others = sampleName, others
        self.files = list(zip(uris, fileNames, nodeNames, checksums, strict=True))


@pytest.fixture
def application(monkeypatch, tmp_path):
    """The module Sample Data of the application as far as it is used, with a cache folder and real nodes."""
    import slicer

    byCategory: dict[str, list[SampleDataSource]] = {}

    class SampleDataLogic:
        @staticmethod
        def sampleDataSourcesByCategory(category):
            return byCategory.get(category, [])

        @staticmethod
        def registerCustomSampleDataSource(category="Custom", **description):
            byCategory.setdefault(category, []).append(SampleDataSource(**description))

        def downloadFromSource(self, source):
            nodes = [self.load(*file) for file in source.files]
            return [node for node in nodes if node is not None]

        @staticmethod
        def load(uri, fileName, nodeName, checksum):
            path = tmp_path / fileName
            shutil.copyfile(urllib.request.url2pathname(urllib.parse.urlparse(uri).path), path)
            if f"SHA256:{sha256(path)}" != checksum:
                path.unlink()
                return None
            kind = "Segmentation" if ".seg." in fileName else "ScalarVolume"
            node = slicer.mrmlScene.AddNewNodeByClass(f"vtkMRML{kind}Node", nodeName)
            storage = node.CreateDefaultStorageNode()
            storage.SetFileName(str(path))
            node.CreateDefaultDisplayNodes()
            return node if storage.ReadData(node) else None

    module = types.SimpleNamespace(SampleDataLogic=SampleDataLogic, SampleDataSource=SampleDataSource)
    monkeypatch.setitem(sys.modules, "SampleData", module)
    return byCategory


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_checksums_are_those_of_the_shipped_files(sampledata) -> None:
    assert [file.name for file in sampledata.PHANTOM_FILES] == [CT_FILE, REGIONS_FILE]
    assert [file.sha256 for file in sampledata.PHANTOM_FILES] == [
        sha256(FOLDER / CT_FILE),
        sha256(FOLDER / REGIONS_FILE),
    ]


def test_the_checksums_of_the_brain_are_those_of_the_shipped_files(sampledata) -> None:
    assert [file.name for file in sampledata.BRAIN_FILES] == BRAIN_FILES
    assert [file.sha256 for file in sampledata.BRAIN_FILES] == [sha256(FOLDER / name) for name in BRAIN_FILES]


def test_the_shipped_files_are_small_and_say_to_which_module_they_belong() -> None:
    files = list(FOLDER.iterdir())
    assert sum(path.stat().st_size for path in files if ".nrrd" in path.name) < 1_500_000
    assert all(path.name.startswith("REACTDistill") for path in files)


def test_the_shipped_phantom_is_the_one_that_its_command_makes() -> None:
    case = phantom_case(100_001, shape_kji=(48, 96, 96))
    ct, regions = read_volume(FOLDER / CT_FILE), read_masks(FOLDER / REGIONS_FILE)
    np.testing.assert_allclose(ct.grid.ijk_to_ras, case.sequences["ct"].grid.ijk_to_ras, atol=1e-6)
    difference = np.abs(ct.array_kji - case.sequences["ct"].array_kji)
    assert difference.max() <= 0.51  # whole HU; a half may be rounded either way where the processor differs
    assert sorted(regions) == ["liver", "tumor"]
    for name, mask in regions.items():
        assert mask.array_kji.sum() == case.regions[name].array_kji.sum() > 0


@pytest.mark.parametrize(("name", "file"), list(zip(("t1", "t1ce", "t2", "flair"), BRAIN_FILES, strict=True)))
def test_the_shipped_brain_is_the_one_that_its_command_makes(name: str, file: str) -> None:
    made, shipped = brain_case(100_002, shape_kji=(96, 96, 96)).sequences[name], read_volume(FOLDER / file)
    np.testing.assert_allclose(shipped.grid.ijk_to_ras, made.grid.ijk_to_ras, atol=1e-6)
    assert np.abs(shipped.array_kji - made.array_kji).max() <= 0.51  # whole numbers


def test_the_loaded_brain_is_marked_as_synthetic_and_its_sequences_are_guessed_right(sampledata, application) -> None:
    from REACTDistillScene.sequenceguess import guessAmong

    nodes = sampledata.loadBrainPhantom()
    assert [node.GetAttribute("REACTDistill.Synthetic") for node in nodes] == ["1"] * 4
    guessed = {name: node for name, (node, _guess) in guessAmong(nodes).items()}
    assert guessed == dict(zip(("t1", "t1ce", "t2", "flair"), nodes, strict=True))


def test_the_shipped_regions_have_names_and_codes_of_the_terminology(sampledata, application) -> None:
    segmentation = sampledata.loadPhantom()[1].GetSegmentation()
    found = {segmentation.GetSegment(i).GetName(): segmentation.GetSegment(i) for i in segmentation.GetSegmentIDs()}
    assert list(found) == ["liver", "tumor"]
    for name, code in (("liver", "SCT^10200004^Liver"), ("tumor", "SCT^4147007^Mass")):
        assert code in found[name].GetTerminology()
        assert not found[name].GetNameAutoGenerated()


def test_three_samples_are_offered_once_however_often_they_are_registered(sampledata, application) -> None:
    for _repeat in range(2):
        sampledata.registerSampleData()
    assert [source.sampleName for source in application["REACTDistill"]] == [
        "Liver phantom",
        "Brain phantom",
        "Liver CT (public)",
    ]


def test_the_phantom_is_registered_by_addresses_of_files_that_exist(sampledata, application) -> None:
    sampledata.registerSampleData()
    phantom, brain, public = application["REACTDistill"]
    for uri, fileName, _nodeName, checksum in (*phantom.files, *brain.files):
        path = Path(urllib.request.url2pathname(urllib.parse.urlparse(uri).path))
        assert path == FOLDER / fileName
        assert checksum == f"SHA256:{sha256(path)}"
    for source in (phantom, brain, public):
        assert Path(source.others["thumbnailFileName"]).is_file()


def test_the_public_ct_has_the_checksum_that_is_part_of_its_address(sampledata) -> None:
    ct = sampledata.PUBLIC_FILES[0]
    assert ct.address.endswith(f"/SHA256/{ct.sha256}")
    for file in sampledata.PUBLIC_FILES:
        assert file.address.startswith("https://")
        assert len(file.sha256) == 64
        assert set(file.sha256) <= set("0123456789abcdef")


def test_the_loaded_phantom_is_marked_as_synthetic_and_fits_together(sampledata, application) -> None:
    ctVolume, segmentation = sampledata.loadPhantom()
    assert ctVolume.GetName() == "Phantom CT (synthetic)"
    assert segmentation.GetName() == "Phantom regions (synthetic)"
    assert [node.GetAttribute("REACTDistill.Synthetic") for node in (ctVolume, segmentation)] == ["1", "1"]
    assert ctVolume.GetImageData().GetDimensions() == (96, 96, 48)
    assert ctVolume.GetImageData().GetScalarTypeAsString() == "short"
    display = ctVolume.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-160.0, 240.0)
    reference = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    assert reference is ctVolume


def test_a_click_on_the_sample_loads_and_marks_it(sampledata, application) -> None:
    import slicer

    sampledata.registerSampleData()
    phantom = application["REACTDistill"][0]
    phantom.others["customDownloader"](phantom)
    assert slicer.mrmlScene.GetFirstNodeByName("Phantom CT (synthetic)").GetAttribute("REACTDistill.Synthetic") == "1"


def test_a_click_on_the_brain_loads_and_marks_it(sampledata, application) -> None:
    import slicer

    sampledata.registerSampleData()
    brain = application["REACTDistill"][1]
    brain.others["customDownloader"](brain)
    assert slicer.mrmlScene.GetFirstNodeByName("Brain FLAIR (synthetic)").GetAttribute("REACTDistill.Synthetic") == "1"
    assert slicer.mrmlScene.GetFirstNodeByName("Phantom CT (synthetic)") is None


def test_a_damaged_file_is_told_in_one_sentence_and_not_as_an_index_error(sampledata, application, monkeypatch) -> None:
    import slicer

    wrong = tuple(file._replace(sha256="0" * 64) for file in sampledata.PHANTOM_FILES)
    for files in (wrong, (sampledata.PHANTOM_FILES[0], wrong[1])):
        monkeypatch.setattr(sampledata, "PHANTOM_FILES", files)
        with pytest.raises(ValueError, match="The phantom could not be loaded"):
            sampledata.loadPhantom()
        assert slicer.mrmlScene.GetFirstNodeByName("Phantom CT (synthetic)") is None
    shown: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", shown.append)
    sampledata.registerSampleData()
    phantom = application["REACTDistill"][0]
    phantom.others["customDownloader"](phantom)
    assert shown == ["The phantom could not be loaded (see the log): install the extension again."]


def test_without_the_module_sample_data_nothing_is_offered_and_a_line_says_so(sampledata, monkeypatch, caplog) -> None:
    monkeypatch.setitem(sys.modules, "SampleData", None)
    with caplog.at_level(logging.INFO):
        sampledata.registerSampleData()
    assert "no samples are offered" in caplog.text


def test_an_error_inside_the_module_sample_data_is_not_hidden(sampledata, monkeypatch, tmp_path) -> None:
    (tmp_path / "SampleData.py").write_text("import surely_not_there\n")
    monkeypatch.delitem(sys.modules, "SampleData", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="surely_not_there"):
        sampledata.registerSampleData()


@pytest.mark.parametrize("name", ["REACTDistillPhantom.png", "REACTDistillBrain.png", "REACTDistillPublicCT.png"])
def test_pictures_of_samples_are_png_of_260_by_280(name: str) -> None:
    header = (FOLDER / name).read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (260, 280)
