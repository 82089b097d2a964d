"""Region graph as one model node: regions are balls and halos, similarities are tubes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk

from .colors import importanceShade, similarityShade
from .graphshapes import Shape, ball, polyDataOf, ring, rod
from .transforms import mapPoints

if TYPE_CHECKING:
    from REACTDistillLib.graph import RegionGraph

_SMALLEST_BALL_MM = 3.5
_LARGEST_BALL_MM = 10.0
_HALO_GAP_MM = 3.0
_HALO_TUBE_MM = 0.8
_THINNEST_EDGE_MM = 0.4
_THICKEST_EDGE_MM = 1.8
# Every pair has a similarity; all tubes at once hide what they should show. The table of the Finding has all of them.
_EDGES_PER_NODE = 3
_SHORTEST_EDGE_MM = 1.0

SHADE = "Shade"
REGION_NAMES = "RegionName"
REGION_CENTERS = "RegionCenter"
REGION_KINDS = "RegionKind"
REGION_IMPORTANCE = "RegionImportance"
_POINT_ARRAYS = {"Importance": "importance", "Similarity": "similarity", "Radius": "radiusMm", SHADE: "shade"}


def graphPolyData(graph: RegionGraph, worldToLocal: NDArray[np.floating]) -> Any:
    """vtkPolyData of a region graph in the RAS mm that ``worldToLocal`` (4x4) leads to.

    Each region is a ball at its centroid, as large as its importance is strong, red for the predicted class and blue
    against it. A peritumoral shell has the same center as its tumor, so it is drawn as a halo of three rings. Each
    region is joined to the three most similar ones, the wider and lighter the tube the more similar.

    Point arrays: Normals, Importance, Similarity (1 on regions), Radius (mm), Shade (place in the color table of
    ``colors.addGraphColors``, 0 to 1). Field arrays: RegionName, RegionKind,
    RegionCenter (local RAS mm), RegionImportance.
    """
    centers = mapPoints(worldToLocal, graph.centroids_ras)
    pieces = [*_regions(graph, centers), *_edges(graph, centers)]
    values = {name: [getattr(piece, field) for piece in pieces] for name, field in _POINT_ARRAYS.items()}
    polyData = polyDataOf([piece.shape for piece in pieces], values)
    polyData.GetPointData().SetActiveScalars(SHADE)
    _describe(polyData, graph, centers)
    return polyData


def addGraphModel(name: str, colorNode: Any) -> Any:
    """New model node for a ``graphPolyData``, visible in 3D and, where a slice cuts it, in slice views."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", name)
    display = slicer.vtkMRMLModelDisplayNode()
    display.SetVisibility2D(True)  # off by default
    display.SetSliceIntersectionThickness(3)
    display.SetActiveScalar(SHADE, vtk.vtkAssignAttribute.POINT_DATA)
    display.SetAndObserveColorNodeID(colorNode.GetID())
    display.SetScalarRangeFlag(slicer.vtkMRMLDisplayNode.UseManualScalarRange)
    display.SetScalarRange(0.0, 1.0)
    display.SetScalarVisibility(True)
    slicer.mrmlScene.AddNode(display)
    node.SetAndObserveDisplayNodeID(display.GetID())
    return node


def importanceShares(importance: NDArray[np.float32]) -> NDArray[np.float64]:
    """Importance (N,) as share of the strongest one, from -1 to 1; zeros stay zeros."""
    strongest = float(np.abs(importance).max(initial=0.0))
    return np.zeros(len(importance)) if strongest == 0 else importance.astype(np.float64) / strongest


def _radiiMm(graph: RegionGraph, centers: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.abs(importanceShares(graph.importance))
    radii = _SMALLEST_BALL_MM + (_LARGEST_BALL_MM - _SMALLEST_BALL_MM) * shares
    isShell = np.array([kind == "shell" for kind in graph.kinds])
    for shell in np.flatnonzero(isShell):
        distances = np.linalg.norm(centers - centers[shell], axis=1)
        inner = radii[~isShell & (distances < _LARGEST_BALL_MM)].max(initial=0.0)
        radii[shell] = max(radii[shell], inner + _HALO_GAP_MM)
    return radii


class _Piece(NamedTuple):
    """One shape and what its points carry."""

    shape: Shape
    shade: float
    importance: float
    similarity: float
    radiusMm: float


def _regions(graph: RegionGraph, centers: NDArray[np.float64]) -> list[_Piece]:
    shades = importanceShade(importanceShares(graph.importance))
    pieces = []
    for index, radius in enumerate(_radiiMm(graph, centers)):
        halo = [ring(centers[index], axis, radius, _HALO_TUBE_MM) for axis in range(3)]
        shapes = halo if graph.kinds[index] == "shell" else [ball(centers[index], radius)]
        importance = float(graph.importance[index])
        pieces += [_Piece(shape, float(shades[index]), importance, 1.0, radius) for shape in shapes]
    return pieces


def _edges(graph: RegionGraph, centers: NDArray[np.float64]) -> list[_Piece]:
    edges = [e for e in strongestEdges(graph) if np.linalg.norm(centers[e[0]] - centers[e[1]]) > _SHORTEST_EDGE_MM]
    similarity = np.array([edge[2] for edge in edges])
    spread = float(np.ptp(similarity)) if edges else 0.0
    shares = (similarity - similarity.min()) / spread if spread > 0 else np.ones(len(edges))
    shades = similarityShade(shares)
    ballRadii = np.where(np.array(graph.kinds) == "shell", 0.0, _radiiMm(graph, centers))
    pieces = []
    for index, (a, b, value) in enumerate(edges):
        ends = _outsideBalls(centers[[a, b]], ballRadii[[a, b]])
        radius = _THINNEST_EDGE_MM + (_THICKEST_EDGE_MM - _THINNEST_EDGE_MM) * float(shares[index])
        importance = float(graph.importance[[a, b]].mean())
        pieces.append(_Piece(rod(ends, radius), float(shades[index]), importance, value, radius))
    return pieces


def _outsideBalls(endsRas: NDArray[np.float64], radiiMm: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two ends moved onto the balls, so that a slice through a ball shows a clean ring; kept if the balls touch."""
    way = endsRas[1] - endsRas[0]
    length = float(np.linalg.norm(way))
    if length <= radiiMm.sum() + _SHORTEST_EDGE_MM:
        return endsRas
    return endsRas + np.stack([way * radiiMm[0], -way * radiiMm[1]]) / length


def strongestEdges(graph: RegionGraph) -> list[tuple[int, int, float]]:
    """The edges that are among the three most similar ones of either end."""
    others = graph.similarity.astype(np.float64) - 4.0 * np.eye(len(graph.names))  # never itself
    nearest = np.argsort(-others, axis=1, kind="stable")[:, :_EDGES_PER_NODE]
    return [(a, b, value) for a, b, value in graph.edges() if b in nearest[a] or a in nearest[b]]


def _addArray(data: Any, name: str, values: NDArray[Any]) -> None:
    array = numpy_to_vtk(np.ascontiguousarray(values), deep=True)
    array.SetName(name)
    data.AddArray(array)


def _describe(polyData: Any, graph: RegionGraph, centers: NDArray[np.float64]) -> None:
    for name, texts in ((REGION_NAMES, graph.names), (REGION_KINDS, graph.kinds)):
        array = vtk.vtkStringArray()
        array.SetName(name)
        for text in texts:
            array.InsertNextValue(text)
        polyData.GetFieldData().AddArray(array)
    _addArray(polyData.GetFieldData(), REGION_CENTERS, centers)
    _addArray(polyData.GetFieldData(), REGION_IMPORTANCE, graph.importance)
