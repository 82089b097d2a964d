"""How large segments are, counted where they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from .segmentchoice import segmentsOf
from .translation import tr as _

_LABELMAP = "Binary labelmap"
_MOST = 400_000_000  # voxels that are looked at in less than a tenth of a second
_UNFELT = 80_000_000


def isEmpty(segmentationNode: Any, segmentId: str) -> bool:
    """True when no voxel is in the segment; one that is only a surface is not empty."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    layer = segment.GetRepresentation(_LABELMAP)
    if layer is None:
        return not _hasSurface(segmentationNode, segment)
    arrayKji = _layerArray(layer)
    value = segment.GetLabelValue()
    return arrayKji is None or not any((slice_ == value).any() for slice_ in arrayKji)


def segmentMl(segmentationNode: Any, segmentId: str) -> float | None:
    """Volume of a segment in ml, None while it has no voxels of its own, such as one that is only a surface.

    Parent transforms are left out: a rigid one changes no volume.
    """
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    layer = segment.GetRepresentation(_LABELMAP)
    arrayKji = None if layer is None else _layerArray(layer)
    if arrayKji is None:
        return None
    value = segment.GetLabelValue()
    # Slice by slice the comparison stays in the cache, which is twice as fast as all at once.
    count = sum(int(np.count_nonzero(slice_ == value)) for slice_ in arrayKji)
    matrix = vtk.vtkMatrix4x4()
    layer.GetImageToWorldMatrix(matrix)
    return count * abs(matrix.Determinant()) / 1000.0


def isQuickToCount(segmentationNode: Any, segmentIds: Sequence[str]) -> bool:
    """True when ``regionsText`` of these segments takes so little time that it is not felt between two strokes."""
    return _voxelsToCount(segmentationNode, segmentIds) <= _UNFELT


def regionsText(segmentationNode: Any, liverSegmentId: str, tumorSegmentIds: Sequence[str]) -> str:
    """Volumes of the chosen segments, such as "Liver 1480 ml, tumor 12.3 ml"; "" when none of them has voxels, and
    when they have so many that counting would be felt.

    Several tumors are added up, a voxel that lies in two of them counts twice. IDs of other segmentations are left out.
    """
    if _voxelsToCount(segmentationNode, (liverSegmentId, *tumorSegmentIds)) > _MOST:
        return ""
    known = segmentsOf(segmentationNode)
    livers = [segmentMl(segmentationNode, liverSegmentId)] if liverSegmentId in known else []
    tumors = [segmentMl(segmentationNode, segmentId) for segmentId in tumorSegmentIds if segmentId in known]
    return _sentence([ml for ml in livers if ml], [ml for ml in tumors if ml])


def _voxelsToCount(segmentationNode: Any, segmentIds: Sequence[str]) -> int:
    known = segmentsOf(segmentationNode)
    segments = [
        segmentationNode.GetSegmentation().GetSegment(segmentId) for segmentId in segmentIds if segmentId in known
    ]
    layers = [segment.GetRepresentation(_LABELMAP) for segment in segments]
    return sum(layer.GetNumberOfPoints() for layer in layers if layer is not None)


def _sentence(liversMl: list[float], tumorsMl: list[float]) -> str:
    liver, tumor = _mlText(sum(liversMl)), _mlText(sum(tumorsMl))
    if liversMl and not tumorsMl:
        return _("Liver {liver} ml").format(liver=liver)
    if not tumorsMl:
        return ""
    if not liversMl:
        return _("Tumor {tumor} ml").format(tumor=tumor)
    if len(tumorsMl) == 1:
        return _("Liver {liver} ml, tumor {tumor} ml").format(liver=liver, tumor=tumor)
    return _("Liver {liver} ml, {count} tumors {tumor} ml").format(liver=liver, count=len(tumorsMl), tumor=tumor)


def _mlText(ml: float) -> str:
    """Three digits are more than a drawn region is worth."""
    return f"{ml:.0f}" if ml >= 100 else f"{ml:.1f}" if ml >= 1 else f"{ml:.2f}"


def _layerArray(layer: Any) -> NDArray[np.generic] | None:
    """Label values (K, J, I) of a layer, which segments may share; None when nothing is stored."""
    scalars = layer.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        return None
    return vtk_to_numpy(scalars).reshape(layer.GetDimensions()[::-1])


def _hasSurface(segmentationNode: Any, segment: Any) -> bool:
    surface = segment.GetRepresentation(segmentationNode.GetSegmentation().GetSourceRepresentationName())
    return surface is not None and surface.GetNumberOfPoints() > 0
