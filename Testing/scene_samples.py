"""Hand-made cases and findings for the tests of the scene."""

import numpy as np
from REACTDistillLib.finding import Finding, Provenance
from REACTDistillLib.graph import RegionGraph
from REACTDistillLib.volume import Grid, Volume

PROVENANCE = Provenance("hand-made", "1.2", "ab" * 32, "0.1", "cpu", 1.25, "Tests only.", "Knows nothing at all.")


def regionGraph(names, kinds, centersRas, importance):
    """Graph whose node similarity falls with the distance of the centers."""
    centers = np.asarray(centersRas, dtype=np.float64)
    distances = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
    return RegionGraph(
        tuple(names),
        tuple(kinds),
        centers,
        np.full(len(names), 12.5),
        np.ones((len(names), 2), np.float32),
        np.exp(-distances / 100.0).astype(np.float32),
        np.asarray(importance, dtype=np.float32),
    )


def finding(attention: Volume | None, graph: RegionGraph | None, *, grid: Grid | None = None) -> Finding:
    """A finding of an image on ``grid``, by default that of the heat map."""
    probabilities = {"well": 0.125, "moderate": 0.75, "poor": 0.125}
    grid = grid or (Grid((6, 7, 8), np.eye(4)) if attention is None else attention.grid)
    warnings = ("The liver is cut off.",)
    return Finding("case", "hcc-grade", probabilities, grid, "moderate", attention, graph, PROVENANCE, warnings)


def fourNodes(center=(0.0, 0.0, 0.0)) -> RegionGraph:
    """A tumor at ``center``, its shell there too, a sector 40 mm to the right and the parenchyma 30 mm behind."""
    offsets = np.array([(0, 0, 0), (0, 0, 0), (40, 0, 0), (0, -30, 0)], dtype=np.float64)
    kinds = ("tumor", "shell", "sector", "parenchyma")
    names = ("Tumor 1", "Shell 1", "Sector 1", "Parenchyma")
    return regionGraph(names, kinds, offsets + center, (0.5, 0.25, -0.25, 0.0))


def hotVoxel(grid: Grid, ijk) -> Volume:
    """Heat map of zeros with a one at one voxel."""
    array = np.zeros(grid.shape_kji, dtype=np.float32)
    array[ijk[::-1]] = 1.0
    return Volume(array, grid)
