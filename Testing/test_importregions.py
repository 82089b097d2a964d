"""Importing regions: label maps of the scene, files through the worker's task, and the menu that offers them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("PySide6", reason="the stand-in host needs PySide6-Essentials")
pytest.importorskip("slicer", reason="the stand-in host needs slicer-core")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.append(str(Path(__file__).parent / "host"))

from hostpanel import host, mainWindow
from REACTDistillLib.files import write_volume
from REACTDistillLib.tasks import TASKS, Warm
from REACTDistillLib.volume import Volume

__all__ = ["host", "mainWindow"]  # fixtures

OBLIQUE = np.array([[0.0, -2.0, 0.0, 5.0], [1.2, 0.0, 0.9, -3.0], [-0.4, 0.0, 2.7, 7.0], [0, 0, 0, 1]])
TURNED = np.array([[0.0, -1.0, 0.0, 30.0], [1.0, 0.0, 0.0, -20.0], [0.0, 0.0, 1.0, 10.0], [0, 0, 0, 1]])
SHAPE_KJI = (6, 7, 8)
LIVER, TUMOR = (slice(1, 5), slice(1, 6), slice(1, 7)), (slice(2, 4), slice(2, 4), slice(2, 5))


@pytest.fixture
def scene(host: Any, empty_scene: None) -> Iterator[Any]:
    import hosterrors
    import slicer

    hosterrors.clear()
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(0)
    host.processEvents()
    assert hosterrors.problems() == []


def labels(liver: int = 1, tumor: int = 2) -> Any:
    array = np.zeros(SHAPE_KJI, dtype=np.int16)
    array[LIVER] = liver
    array[TUMOR] = tumor
    return array


def placed(node: Any, ijkToRas: Any, transform: Any) -> Any:
    """Give a volume node its own matrix and its parent transform."""
    import slicer

    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.asarray(ijkToRas)))
    node.SetAndObserveTransformNodeID(None if transform is None else transform.GetID())
    return node


def ctNode(ijkToRas: Any = OBLIQUE, transform: Any = None) -> Any:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    array = np.random.default_rng(0).integers(-100, 200, SHAPE_KJI).astype(np.int16)
    slicer.util.updateVolumeFromArray(node, array)
    return placed(node, ijkToRas, transform)


def labelNode(
    array: Any, ijkToRas: Any = OBLIQUE, transform: Any = None, kind: str = "vtkMRMLLabelMapVolumeNode"
) -> Any:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass(kind, "Labels")
    slicer.util.updateVolumeFromArray(node, array)
    return placed(node, ijkToRas, transform)


def transformNode(matrix: Any) -> Any:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix)))
    return node


def worldPoints(segmentation: Any, segmentId: str) -> Any:
    """Sorted RAS of all voxels of a segment."""
    from REACTDistillScene.segmentmasks import maskFromSegment

    mask = maskFromSegment(segmentation, segmentId)
    return ordered(mask.grid.to_ras(np.argwhere(mask.array_kji)[:, ::-1]))


def pointsOf(part: tuple[slice, ...], ijkToWorld: Any) -> Any:
    array = np.zeros(SHAPE_KJI, dtype=bool)
    array[part] = True
    return ordered(Volume.from_array(array, ijkToWorld).grid.to_ras(np.argwhere(array)[:, ::-1]))


def ordered(ras: Any) -> Any:
    rounded = np.round(ras, 4) + 0.0
    return rounded[np.lexsort(rounded.T)]


def names(segmentation: Any) -> list[str]:
    segments = segmentation.GetSegmentation()
    return [segments.GetNthSegment(number).GetName() for number in range(segments.GetNumberOfSegments())]


def allSteps(steps: Any) -> Any:
    from REACTDistillLib.steps import result_of

    return result_of(steps)


def imported(path: Path, ct: Any, folder: Path) -> Any:
    """The segmentation that a file becomes, through the task that the worker runs."""
    from REACTDistillScene.importregions import importWork

    made: list[Any] = []
    work = importWork(path, ct, made.append)
    request = allSteps(work.prepare(folder, frozenset()))
    answer = TASKS[request["task"]]({**request, "folder": str(folder)}, Warm(), lambda *_: None)
    allSteps(work.finish(answer, folder))
    return made[0]


class TestLabelmapNode:
    @pytest.mark.parametrize("ctMatrix", [None, TURNED], ids=["CT in place", "CT moved"])
    @pytest.mark.parametrize("labelMatrix", [None, TURNED @ TURNED], ids=["labels in place", "labels moved"])
    def test_labels_stay_where_they_lie_in_the_world_whatever_the_transforms(
        self, scene: Any, ctMatrix: Any, labelMatrix: Any
    ) -> None:
        from REACTDistillScene.importregions import segmentationFromLabelmapNode

        toWorld = np.eye(4) if labelMatrix is None else labelMatrix
        ctToWorld = np.eye(4) if ctMatrix is None else ctMatrix
        ct = ctNode(np.linalg.inv(ctToWorld) @ toWorld @ OBLIQUE, None if ctMatrix is None else transformNode(ctMatrix))
        node = labelNode(labels(), OBLIQUE, None if labelMatrix is None else transformNode(labelMatrix))
        segmentation = segmentationFromLabelmapNode(node, ct)
        assert segmentation.GetTransformNodeID() == ct.GetTransformNodeID()
        assert np.allclose(worldPoints(segmentation, "label 2"), pointsOf(TUMOR, toWorld @ OBLIQUE), atol=1e-3)
        center = pointsOf(TUMOR, toWorld @ OBLIQUE).mean(axis=0)
        assert np.allclose(segmentation.GetSegmentCenterRAS("label 2"), center, atol=1.8)  # up to half a voxel off

    def test_the_color_table_names_the_segments_and_its_numbers_are_no_names(self, scene: Any) -> None:
        from REACTDistillScene.importregions import segmentationFromLabelmapNode

        node = labelNode(labels(3, 5) + np.int16(7) * (labels() == 0))
        colors = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "Names")
        colors.SetTypeToUser()
        colors.SetNumberOfColors(9)
        for value, name in ((3, "Liver"), (5, "livertumor1"), (7, "7")):
            colors.SetColor(value, name, 1.0, 0.0, 0.0, 1.0)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
        segmentation = segmentationFromLabelmapNode(node, ctNode())
        assert names(segmentation) == ["Liver", "livertumor1", "label 7"]
        tumor = segmentation.GetSegmentation().GetSegment("livertumor1")
        assert np.round(np.array(tumor.GetColor()) * 255).tolist() == [144, 238, 144]

    def test_the_parts_of_a_label_in_many_steps_make_one_mask(self, scene: Any, monkeypatch: Any) -> None:
        from REACTDistillScene import labelmaps

        monkeypatch.setattr(labelmaps, "_VOXELS_PER_STEP", 1)
        steps = labelmaps.masksInSteps(labelNode(labels(4, 9), np.eye(4)))
        count = sum(1 for _ in iter(lambda: next(steps, "end"), "end"))
        masks = allSteps(labelmaps.masksInSteps(labelNode(labels(4, 9), np.eye(4))))
        assert count > len(SHAPE_KJI)
        assert {value: int(mask.array_kji.sum()) for value, mask in masks.items()} == {4: 4 * 5 * 6 - 12, 9: 12}
        assert masks[9].array_kji.shape == (2, 2, 3)
        assert masks[9].grid.to_ras((0, 0, 0)).tolist() == [2.0, 2.0, 2.0]

    def test_it_lies_beside_the_ct_and_other_segmentations_stay(self, scene: Any) -> None:
        import slicer
        from REACTDistillScene.importregions import segmentationFromLabelmapNode

        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        ct, own = ctNode(), scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
        own.GetSegmentation().AddEmptySegment("a", "liver")
        study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(ct), study)
        segmentation = segmentationFromLabelmapNode(labelNode(labels()), ct)
        assert segmentation is not own
        assert names(own) == ["liver"]
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(segmentation)) == study

    @pytest.mark.parametrize(
        ("array", "sentence"),
        [
            (labels() - 1, "no label map"),
            (labels() + np.float32(0.5), "not whole numbers"),
            (np.zeros(SHAPE_KJI, np.int16), "No region is marked"),
        ],
        ids=["negative", "fractions", "empty"],
    )
    def test_what_is_no_label_map_is_refused_and_leaves_nothing(self, scene: Any, array: Any, sentence: str) -> None:
        from REACTDistillScene.importregions import segmentationFromLabelmapNode

        node, ct = labelNode(array), ctNode()
        with pytest.raises(ValueError, match=sentence):
            segmentationFromLabelmapNode(node, ct)
        assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
        assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationDisplayNode") == 0

    def test_labels_that_lie_elsewhere_than_the_ct_are_refused(self, scene: Any) -> None:
        from REACTDistillScene.importregions import segmentationFromLabelmapNode

        far = OBLIQUE.copy()
        far[2, 3] += 500.0
        node, ct = labelNode(labels(), far), ctNode()
        with pytest.raises(ValueError, match="outside the CT"):
            segmentationFromLabelmapNode(node, ct)
        assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0

    def test_the_work_needs_no_worker(self, scene: Any, tmp_path: Path) -> None:
        from REACTDistillScene.importregions import importWork

        made: list[Any] = []
        work = importWork(labelNode(labels()), ctNode(), made.append)
        assert allSteps(work.prepare(tmp_path, frozenset())) is None
        assert names(made[0]) == ["label 1", "label 2"]


class TestFile:
    @pytest.mark.parametrize("matrix", [None, TURNED], ids=["CT in place", "CT moved"])
    def test_a_label_map_follows_the_ct_it_was_drawn_on(self, scene: Any, tmp_path: Path, matrix: Any) -> None:
        write_volume(Volume.from_array(labels().astype(np.float32), OBLIQUE), tmp_path / "labels.nii.gz")
        ct = ctNode(OBLIQUE, None if matrix is None else transformNode(matrix))
        segmentation = imported(tmp_path / "labels.nii.gz", ct, tmp_path)
        toWorld = np.eye(4) if matrix is None else matrix
        assert names(segmentation) == ["label_1", "label_2"]
        assert segmentation.GetTransformNodeID() == ct.GetTransformNodeID()
        assert np.allclose(worldPoints(segmentation, "label_2"), pointsOf(TUMOR, toWorld @ OBLIQUE), atol=1e-3)
        assert segmentation.GetNodeReferenceID("referenceImageGeometryRef") == ct.GetID()

    def test_a_slicer_segmentation_keeps_its_names_and_kinds(self, scene: Any, tmp_path: Path) -> None:
        from REACTDistillScene.segmentchoice import chosenLiver, chosenTumors, segmentsOf

        image = sitk.GetImageFromArray(labels())
        for number, (name, value) in enumerate((("Leber (liver)", 1), ("HCC", 2))):
            image.SetMetaData(f"Segment{number}_Name", name)
            image.SetMetaData(f"Segment{number}_LabelValue", str(value))
            image.SetMetaData(f"Segment{number}_Layer", "0")
        sitk.WriteImage(image, str(tmp_path / "regions.seg.nrrd"))
        segmentation = imported(tmp_path / "regions.seg.nrrd", ctNode(np.diag([-1.0, -1.0, 1.0, 1.0])), tmp_path)
        assert names(segmentation) == ["Leber (liver)", "HCC"]
        assert chosenLiver(segmentsOf(segmentation), "") == "Leber (liver)"
        assert chosenTumors(segmentsOf(segmentation), "") == ["HCC"]
        mass = np.round(np.array(segmentation.GetSegmentation().GetSegment("HCC").GetColor()) * 255)
        assert mass.tolist() == [144, 238, 144]

    def test_a_real_dicom_segmentation_and_the_same_as_a_file_of_labels(
        self, scene: Any, tmp_path: Path, shared_data: Callable[[str], Path]
    ) -> None:
        from REACTDistillLib.files import read_volume
        from REACTDistillScene.volumes import nodeFromVolume

        folder = shared_data("liver_ct_dcmqi_3slice")
        (tmp_path / "ct").mkdir()
        for name in ("01.dcm", "02.dcm", "03.dcm"):
            (tmp_path / "ct" / name).symlink_to(folder / name)
        ct = nodeFromVolume(read_volume(tmp_path / "ct"), "CT", transformNode=transformNode(TURNED))
        ct = placed(ct, read_volume(tmp_path / "ct").grid.ijk_to_ras, ct.GetParentTransformNode())
        dicom, plain = (imported(folder / name, ct, tmp_path) for name in ("liver.dcm", "liver_seg.nrrd"))
        points = [worldPoints(node, node.GetSegmentation().GetNthSegmentID(0)) for node in (dicom, plain)]
        assert len(points[0]) > 1000
        assert np.allclose(points[0], points[1], atol=1e-2)
        assert names(dicom)[0].lower().startswith("liver")

    def test_an_import_that_is_stopped_leaves_nothing(self, scene: Any, tmp_path: Path) -> None:
        from REACTDistillScene.importregions import importWork

        write_volume(Volume.from_array(labels().astype(np.float32), OBLIQUE), tmp_path / "labels.nii.gz")
        work = importWork(tmp_path / "labels.nii.gz", ctNode(), lambda node: pytest.fail("it was stopped"))
        request = allSteps(work.prepare(tmp_path, frozenset()))
        answer = TASKS["masks"]({**request, "folder": str(tmp_path)}, Warm(), lambda *_: None)
        steps = work.finish(answer, tmp_path)
        next(steps)
        steps.close()
        assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
        assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationDisplayNode") == 0

    def test_the_scene_hears_of_a_segmentation_that_is_complete(self, scene: Any) -> None:
        from REACTDistillScene.importregions import segmentationFromLabelmapInSteps

        node, ct = labelNode(labels()), ctNode()
        seen = []
        for _ in segmentationFromLabelmapInSteps(node, ct):
            seen.append(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"))
        assert set(seen) == {0}
        assert names(scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")) == ["label 1", "label 2"]

    def test_a_ct_that_went_away_meanwhile_is_said(self, scene: Any, tmp_path: Path) -> None:
        from REACTDistillScene.importregions import importWork

        ct = ctNode()
        work = importWork(tmp_path, ct, lambda node: None)
        scene.RemoveNode(ct)
        with pytest.raises(ValueError, match="no CT that the regions could belong to"):
            allSteps(work.finish({"regions": []}, tmp_path))
        with pytest.raises(ValueError, match="no CT"):
            importWork(tmp_path, None, lambda node: None)

    def test_a_ct_under_a_warp_is_refused_before_anything_is_read(self, scene: Any, tmp_path: Path) -> None:
        from REACTDistillScene.importregions import importWork

        warp = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
        with pytest.raises(ValueError, match="non-linear"):
            importWork(tmp_path, ctNode(OBLIQUE, warp), lambda node: None)


class TestMenu:
    @pytest.fixture
    def sources(self) -> list[Any]:
        return []

    @pytest.fixture
    def menu(self, scene: Any, host: Any, sources: list[Any]) -> Iterator[Any]:
        import qt
        from REACTDistillScene.importmenu import ImportMenu

        button = qt.QPushButton()
        answers = {"file": "/data/regions.nii.gz", "folder": ""}
        menu = ImportMenu(
            button,
            sources.append,
            isHidden=lambda node: node.GetName() == "PET",
            askFile=lambda: answers["file"],
            askFolder=lambda: answers["folder"],
        )
        yield menu
        button.deleteLater()
        host.processEvents()

    def texts(self, menu: Any) -> list[str]:
        menu.menu.aboutToShow.emit()
        return [action.text for action in menu.menu.actions() if not action.isSeparator()]

    def test_it_offers_files_label_maps_and_what_looks_like_one(self, menu: Any, scene: Any) -> None:
        scalar = "vtkMRMLScalarVolumeNode"
        ctNode()
        labelNode(labels()).SetName("A & B")
        labelNode(labels().astype(np.float32), kind=scalar).SetName("Whole numbers")
        labelNode(labels() * np.float32(0.3), kind=scalar).SetName("Heat")
        labelNode(labels(), kind=scalar).SetName("PET")
        expected = ["From file...", "From DICOM folder...", "A && B", "Whole numbers"]
        assert sorted(self.texts(menu)) == sorted(expected)
        scene.RemoveNode(scene.GetFirstNodeByName("A & B"))
        assert sorted(self.texts(menu)) == sorted({*expected} - {"A && B"})

    def test_a_choice_is_handed_on_and_a_closed_dialog_is_none(self, menu: Any, scene: Any, sources: list[Any]) -> None:
        node = labelNode(labels())
        self.texts(menu)
        for action in [action for action in menu.menu.actions() if not action.isSeparator()]:
            action.trigger()
        assert sources == [Path("/data/regions.nii.gz"), node]

    def test_a_label_map_that_is_gone_at_the_click_is_no_choice(
        self, menu: Any, scene: Any, sources: list[Any]
    ) -> None:
        node = labelNode(labels())
        self.texts(menu)
        scene.RemoveNode(node)
        menu.menu.actions()[-1].trigger()
        assert sources == []


@pytest.mark.usefixtures("empty_scene")
def test_names_tell_liver_and_tumor_and_what_is_neither() -> None:
    from REACTDistillScene.segmentchoice import chosenLiver, kindOfName

    kinds = {
        "liver": "liver",
        "Liver segmentation": "liver",
        "liver_vessels": "",
        "Liver segment 4": "",
        "livertumor1": "tumor",
        "Liver tumour": "tumor",
        "Mass 2": "tumor",
        "masseter": "",
        "spleen": "",
    }
    assert {name: kindOfName(name) for name in kinds} == kinds
    assert chosenLiver({"a": "liver, portal phase", "b": "Liver"}, "") == "b"
