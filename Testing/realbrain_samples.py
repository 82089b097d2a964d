"""Real brains for tests: their files by sequence, and both ways to a segmentation of them, files and nodes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk

MODULE = Path(__file__).resolve().parents[1] / "MissingModalitySeg" / "MissingModalitySeg.py"
SEQUENCES = ("t1", "t1ce", "t2", "flair")
LABELS = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
_READ = {}  # voxels and place by path
_BRATS_FILES = {"t1ce": "T1c_subtrMeanDivStd.nii.gz", "flair": "Flair_subtrMeanDivStd.nii.gz"}


@dataclass(frozen=True)
class RealBrain:
    """A folder of the real data and its files by sequence; ``brain`` is a file that is not 0 in the brain."""

    folder: str
    files: dict[str, str]
    brain: str = ""

    @property
    def subsets(self):
        """Every choice of at least one sequence."""
        names = [name for name in SEQUENCES if name in self.files]
        return [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]

    def paths(self, shared_data, names):
        """The files of some sequences, in the order of ``names``."""
        folder = shared_data(self.folder)
        return {name: folder / self.files[name] for name in names}


STRIPPED = RealBrain(
    "brain_tcga_fg6692/atlas_space/skullstripped",
    {"t1": "t1_bet.nii.gz", "t1ce": "t1c_bet.nii.gz", "t2": "t2_bet.nii.gz", "flair": "fla_bet.nii.gz"},
    brain="t1_bet.nii.gz",
)
BRATS_5 = RealBrain("brain_brats2013/brats_2013_pat0005_1", _BRATS_FILES, brain="brainmask.nii.gz")
BRATS_6 = RealBrain("brain_brats2013/brats_2013_pat0006_1", _BRATS_FILES, brain="brainmask.nii.gz")
NATIVE = RealBrain(
    "brain_tcga_fg6692/native_space",
    {"t1": "t1.nii.gz", "t1ce": "t1c.nii.gz", "t2": "t2.nii.gz", "flair": "fla.nii.gz"},
)


@dataclass(frozen=True, eq=False)
class FromFiles:
    """What the command wrote: the label map as an image of its own reader, and the text of the finding."""

    image: sitk.Image
    finding: dict

    @property
    def masks(self):
        """WT, TC and ET (K, J, I) of the values 1 (core), 2 (edema) and 3 (enhancing)."""
        labels = sitk.GetArrayViewFromImage(self.image)
        assert labels.max() <= 3
        return {"WT": labels > 0, "TC": (labels == 1) | (labels == 3), "ET": labels == 3}


def arguments(paths, out, *more):
    """The arguments of ``reactdistill`` for these files, by the shipped student."""
    given = [text for name, path in paths.items() for text in ("--sequence", f"{name}={path}")]
    return ["predict", *given, "--out", str(out), "--device", "cpu", *more]


def read_result(folder):
    """What the command wrote into ``folder``."""
    finding = json.loads((folder / "finding.json").read_text(encoding="utf-8"))
    return FromFiles(sitk.ReadImage(str(folder / "segmentation.nrrd")), finding)


def segmented_files(paths, out, *more):
    """Segment files by the command, in this process."""
    from REACTDistillLib.__main__ import main

    assert main(arguments(paths, out, *more)) == 0
    return read_result(out)


def loaded_nodes(paths):
    """Volume nodes of files, read by the reader of the scene and not by that of the backend, each file once."""
    import slicer
    import vtk

    nodes = {}
    for name, path in paths.items():
        if path not in _READ:
            node, matrix = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), name), vtk.vtkMatrix4x4()
            node.GetIJKToRASMatrix(matrix)
            _READ[path] = (node.GetImageData(), matrix)
            slicer.mrmlScene.RemoveNode(node)
        nodes[name] = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        nodes[name].SetAndObserveImageData(_READ[path][0])
        nodes[name].SetIJKToRASMatrix(_READ[path][1])
    return nodes


def segment_masks(nodes, reference):
    """The segments (K, J, I) by ID on the voxels of the node ``reference``."""
    import slicer

    ids = nodes.segmentation.GetSegmentation().GetSegmentIDs()
    return {one: slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, one, reference) > 0 for one in ids}


@contextmanager
def kept_worker():
    """One worker for every ``process`` of a module, in the place of a new one each time."""
    from REACTDistillScene import blockingjob
    from REACTDistillScene.interpreter import workerLaunch
    from REACTDistillScene.transport import PopenTransport
    from REACTDistillScene.workerclient import WorkerClient

    class KeptClient(WorkerClient):
        def close(self):
            """The next one goes on with it."""

    kept, started = KeptClient(PopenTransport(), workerLaunch), blockingjob.WorkerClient
    blockingjob.WorkerClient = lambda transport, launcher: kept
    try:
        yield kept
    finally:
        blockingjob.WorkerClient = started
        WorkerClient.close(kept)


def center_ras(mask_kji, image):
    """Center of mass in RAS mm of a mask on the voxels of an image."""
    ijk = np.argwhere(mask_kji).mean(axis=0)[::-1]
    left, posterior, superior = image.TransformContinuousIndexToPhysicalPoint(ijk.tolist())
    return np.array([-left, -posterior, superior])


def dice(one_kji, other_kji):
    """2 |A and B| / (|A| + |B|) of two masks that are not both empty."""
    return 2 * np.count_nonzero(one_kji & other_kji) / (np.count_nonzero(one_kji) + np.count_nonzero(other_kji))


def check_geometry(image, path):
    """An image has the voxels of the file at ``path``, in its place."""
    reference = sitk.ReadImage(str(path))
    assert image.GetSize() == reference.GetSize()
    for name in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert np.allclose(getattr(image, name)(), getattr(reference, name)(), rtol=0, atol=1e-5), name
