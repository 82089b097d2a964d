"""Stand-in for the application's file manager: what ``slicer.util.load...`` and ``save...`` need."""

from __future__ import annotations

from pathlib import Path

import slicer

_TYPES = (
    ("SceneFile", (".mrb", ".mrml")),
    ("SegmentationFile", (".seg.nrrd",)),
    ("VolumeFile", (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")),
    ("ModelFile", (".vtp", ".vtk", ".stl", ".ply", ".obj")),
    ("TransformFile", (".h5", ".tfm")),
    ("TableFile", (".csv", ".tsv")),
)
_NODES = {
    "SegmentationFile": "vtkMRMLSegmentationNode",
    "ModelFile": "vtkMRMLModelNode",
    "TransformFile": "vtkMRMLLinearTransformNode",
    "TableFile": "vtkMRMLTableNode",
}
_LABEL_MAP, _CENTERED, _SINGLE_FILE = 1, 2, 4


class FileManager:
    def fileType(self, path):
        return next((kind for kind, endings in _TYPES if str(path).lower().endswith(endings)), "NoFile")

    def loadNodes(self, kind, properties, loaded, messages=None):
        path = Path(properties["fileName"])
        if not path.exists() or kind == "NoFile":
            return False
        name = properties.get("name") or path.name.split(".")[0]
        if kind == "SceneFile":
            return bool(slicer.mrmlScene.ReadFromMRB(str(path), properties.get("clear", True)))
        node = _volume(path, name, properties) if kind == "VolumeFile" else _stored(kind, path, name)
        if node is None:
            return False
        loaded.AddItem(node)
        return True

    def saveNodes(self, kind, properties, messages=None):
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return bool(slicer.mrmlScene.WriteToMRB(path))
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(path)
        return bool(node.GetStorageNode().WriteData(node))

    def fileWriterFileType(self, node, *_):
        return "NodeFile"


def _volume(path, name, properties):
    chosen = {"labelmap": _LABEL_MAP, "center": _CENTERED, "singleFile": _SINGLE_FILE}
    options = sum(option for key, option in chosen.items() if properties.get(key))
    return slicer.modules.volumes.logic().AddArchetypeVolume(str(path), name, options)


def _stored(kind, path, name):
    if kind == "SegmentationFile" and not path.name.lower().endswith(".seg.nrrd"):
        return _segmentation(path, name)
    node = slicer.mrmlScene.AddNewNodeByClass(_NODES[kind], name)
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(path))
    if not node.GetStorageNode().ReadData(node):
        slicer.mrmlScene.RemoveNode(node)
        return None
    node.CreateDefaultDisplayNodes()
    return node


def _segmentation(path, name):
    """A label map as segmentation: one segment per value, ID and name "Segment_<value>"."""
    labels = _volume(path, name, {"labelmap": True})
    if labels is None:
        return None
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, node)
    display, storage = labels.GetDisplayNode(), labels.GetStorageNode()
    for owned in (labels, display, storage):
        if owned is not None:
            slicer.mrmlScene.RemoveNode(owned)
    _nameByValue(node.GetSegmentation())
    node.CreateDefaultDisplayNodes()
    return node


def _nameByValue(segmentation):
    for identifier in list(segmentation.GetSegmentIDs()):
        segment = segmentation.GetSegment(identifier)
        name = f"Segment_{segment.GetLabelValue()}"
        segment.SetName(name)
        if identifier != name:
            segmentation.AddSegment(segment, name)
            segmentation.RemoveSegment(identifier)
