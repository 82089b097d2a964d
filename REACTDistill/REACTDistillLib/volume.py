"""Volume and Grid: voxels that always know where in the patient they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Two readers of one file differ in the last bits of a matrix; rounding makes their grids, so all results, equal.
_MATRIX_DECIMALS = 9
# DICOM and ITK count towards left and posterior, this project towards right and anterior. It is its own inverse.
_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def lps_to_ras(points: ArrayLike) -> NDArray[np.float64]:
    """RAS mm of points in LPS mm, shape (..., 3); also the way back."""
    return np.asarray(points, dtype=np.float64) @ _LPS_RAS[:3, :3]


def _checked_matrix(ijk_to_ras: ArrayLike) -> NDArray[np.float64]:
    matrix = np.array(ijk_to_ras, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise ValueError(f"ijk_to_ras must be a 4x4 matrix, got shape {matrix.shape}.")
    if not np.isfinite(matrix).all() or not np.array_equal(matrix[3], (0, 0, 0, 1)):
        raise ValueError(f"ijk_to_ras must be finite with last row 0 0 0 1, got {matrix.tolist()}.")
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise ValueError(f"ijk_to_ras has no volume (a voxel axis is zero or two are parallel): {matrix.tolist()}.")
    matrix = np.round(matrix, _MATRIX_DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
    matrix.setflags(write=False)
    return matrix


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels are: their number along (K, J, I) and the 4x4 matrix from voxel index (i, j, k, 1) to RAS mm."""

    shape_kji: tuple[int, int, int]
    ijk_to_ras: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape_kji)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"a grid needs three sizes of at least 1 (slices, rows, columns), got {self.shape_kji}.")
        object.__setattr__(self, "shape_kji", shape)
        object.__setattr__(self, "ijk_to_ras", _checked_matrix(self.ijk_to_ras))

    @classmethod
    def centered(
        cls, center_ras: Sequence[float], *, shape_kji: Sequence[int], spacing_kji_mm: Sequence[float]
    ) -> Grid:
        """Grid whose axes are R, A and S (I, J, K) and whose middle lies at ``center_ras`` (mm)."""
        spacing_ijk = np.array(spacing_kji_mm[::-1], dtype=np.float64)
        matrix = np.eye(4)
        matrix[:3, :3] = np.diag(spacing_ijk)
        matrix[:3, 3] = np.asarray(center_ras) - spacing_ijk * (np.array(shape_kji[::-1]) - 1) / 2
        return cls(tuple(shape_kji), matrix)  # type: ignore[arg-type]

    @classmethod
    def from_lps(cls, shape_kji: Sequence[int], ijk_to_lps: ArrayLike) -> Grid:
        """Grid of a 4x4 matrix to LPS mm, the patient axes of DICOM and ITK."""
        return cls(tuple(shape_kji), _LPS_RAS @ np.asarray(ijk_to_lps, dtype=np.float64))  # type: ignore[arg-type]

    @property
    def ijk_to_lps(self) -> NDArray[np.float64]:
        """The matrix from voxel index (i, j, k, 1) to LPS mm, the patient axes of DICOM and ITK."""
        return _LPS_RAS @ self.ijk_to_ras

    @property
    def spacing_ijk_mm(self) -> NDArray[np.float64]:
        """Distance between voxel centres along I, J, K in mm, shape (3,)."""
        return np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3]))) / 1000.0

    @property
    def center_ras(self) -> NDArray[np.float64]:
        """Middle of the grid in RAS mm, shape (3,)."""
        return self.to_ras((np.array(self.shape_kji[::-1]) - 1) / 2)

    def to_ras(self, ijk: ArrayLike) -> NDArray[np.float64]:
        """RAS mm of voxel indices; ``ijk`` has shape (..., 3) in I, J, K order and may be fractional."""
        return np.asarray(ijk, dtype=np.float64) @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]

    def to_ijk(self, ras: ArrayLike) -> NDArray[np.float64]:
        """Fractional voxel indices (I, J, K) of RAS points in mm; ``ras`` has shape (..., 3)."""
        return (np.asarray(ras, dtype=np.float64) - self.ijk_to_ras[:3, 3]) @ np.linalg.inv(self.ijk_to_ras[:3, :3]).T

    def holds(self, points_ras: ArrayLike) -> NDArray[np.bool_]:
        """Which world points (..., 3) lie in a voxel, shape (...): up to half a voxel beyond the outermost centres."""
        ijk = self.to_ijk(points_ras)
        return np.asarray(((ijk >= -0.5) & (ijk < np.array(self.shape_kji[::-1]) - 0.5)).all(axis=-1))

    def corners_ras(self) -> NDArray[np.float64]:
        """The eight outer corners of the voxel box in RAS mm, shape (8, 3)."""
        ends = [(-0.5, n - 0.5) for n in self.shape_kji[::-1]]
        return self.to_ras(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(8, 3))

    def cropped(self, box: Box) -> Grid:
        """The part of this grid inside ``box``."""
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] = self.to_ras(box.lower_kji[::-1])
        return Grid(box.shape_kji, matrix)

    def strided(self, stride_kji: Sequence[int]) -> Grid:
        """Every n-th voxel: the grid of a feature map whose convolutions have odd kernels and this total stride."""
        matrix = self.ijk_to_ras.copy()
        matrix[:3, :3] *= np.array(stride_kji[::-1])
        shape = tuple(-(-n // s) for n, s in zip(self.shape_kji, stride_kji, strict=True))
        return Grid(shape, matrix)  # type: ignore[arg-type]

    def same_as(self, other: Grid) -> bool:
        """True when both grids have the same shape and the same place, to the last bit."""
        return self.shape_kji == other.shape_kji and bool(np.array_equal(self.ijk_to_ras, other.ijk_to_ras))


@dataclass(frozen=True)
class Box:
    """Half-open range of voxels, ``lower_kji`` inside, ``upper_kji`` just outside."""

    lower_kji: tuple[int, int, int]
    upper_kji: tuple[int, int, int]

    @property
    def shape_kji(self) -> tuple[int, int, int]:
        return tuple(u - l for l, u in self._pairs())  # type: ignore[return-value]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of a (K, J, I) array that takes out the box."""
        return tuple(slice(l, u) for l, u in self._pairs())  # type: ignore[return-value]

    def grown(self, margin_kji: Sequence[int], shape_kji: Sequence[int]) -> Box:
        """The box with ``margin_kji`` voxels added on each side, cut off at an array of ``shape_kji``."""
        lower = tuple(max(0, l - m) for l, m in zip(self.lower_kji, margin_kji, strict=True))
        upper = tuple(min(n, u + m) for u, m, n in zip(self.upper_kji, margin_kji, shape_kji, strict=True))
        return Box(lower, upper)  # type: ignore[arg-type]

    def _pairs(self) -> Iterator[tuple[int, int]]:
        return zip(self.lower_kji, self.upper_kji, strict=True)


@dataclass(frozen=True, eq=False)
class Volume:
    """One image or one mask.

    ``array_kji`` has axes (K, J, I): slices, rows, columns. Images are float32; an array of bool stays bool and is a
    mask; any other type becomes float32. The array has no orientation of its own: only ``grid`` says where it is.
    """

    array_kji: NDArray[np.float32] | NDArray[np.bool_]
    grid: Grid

    def __post_init__(self) -> None:
        array = np.asarray(self.array_kji)
        if array.dtype != np.bool_:
            if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
                raise ValueError(f"voxels must be real numbers, got {array.dtype}.")
            array = array.astype(np.float32, copy=False)
        if array.shape != self.grid.shape_kji:
            raise ValueError(
                f"array of shape {array.shape} does not fit a grid of shape {self.grid.shape_kji} (K, J, I)."
            )
        object.__setattr__(self, "array_kji", array)

    @classmethod
    def from_array(cls, array_kji: ArrayLike, ijk_to_ras: ArrayLike) -> Volume:
        """Volume of a (K, J, I) array and its 4x4 matrix to RAS mm."""
        array = np.asarray(array_kji)
        if array.ndim != 3:
            raise ValueError(f"a volume has three axes (slices, rows, columns), got an array of shape {array.shape}.")
        return cls(array, Grid(array.shape, np.asarray(ijk_to_ras)))

    @property
    def is_mask(self) -> bool:
        return self.array_kji.dtype == np.bool_

    def cropped(self, box: Box) -> Volume:
        """The part inside ``box``; shares memory with this volume."""
        return Volume(self.array_kji[box.slices], self.grid.cropped(box))
