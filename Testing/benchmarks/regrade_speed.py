"""A new grade after an edit, against one forward pass of the student, in one run with a warm memory.

The student is the default one at 64x224x224, the case the public liver CT in ../shared/data (119x512x512) or, without
it, a synthetic patient of the same size. Each edit is another mask, as it comes from the segment editor. "forward" is
the network alone on a ready image. All jobs run in turn, so that all see the same machine; figures are medians.
``--memory`` measures the peak memory of one grade of a CT of 512x512x600 instead, against the size of that CT.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from grade_speed import RECIPE, alternate, as_student
from REACTDistillLib.case import Case
from REACTDistillLib.files import read_volume
from REACTDistillLib.loadedstudent import Student
from REACTDistillLib.masks import read_region
from REACTDistillLib.memory import Memory
from REACTDistillLib.phantom import GRADES, phantom_case
from REACTDistillLib.predict import predict
from REACTDistillLib.volume import Volume

REAL_CT = Path(__file__).resolve().parents[3] / "shared" / "data" / "liver_ct_3dircadb17"
BRUSH_KJI = (2, 5, 5)  # voxels on either side of the middle of the brush


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help="measure the peak memory instead")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    preparation = RECIPE.preparation(GRADES)
    student = as_student(preparation, RECIPE.build_network(preparation.network).eval())
    if options.memory:
        peak_memory(student)
    else:
        speed(student, real_case() or synthetic_case((119, 512, 512)), options.runs)


def speed(student: Student, case: Case, runs: int) -> None:
    ct, liver, tumor = case.sequences["ct"], case.regions["liver"], case.regions["tumor"]
    print(f"CT {ct.grid.shape_kji} (K, J, I), {torch.get_num_threads()} threads, torch {torch.__version__}")
    image = torch.randn(1, 1, *student.card.grid_shape_kji)
    pools = torch.rand(1, 3, *(n // s for n, s in zip(image.shape[2:], student.network.stride_kji, strict=True)))
    tumors, livers = strokes(tumor, runs + 1, inside=liver), strokes(liver, runs + 1, inside=liver)
    classes = cycle(student.card.classes)
    # Each kind of edit has a memory of its own: between two edits of the tumor nobody edits the liver.
    memories = {name: Memory() for name in ("tumor", "liver", "class")}
    jobs: dict[str, Callable[[], object]] = {
        "forward": lambda: student.network(image, pools),
        "tumor edited": lambda: regrade(student, case, memories["tumor"], tumor=next(tumors)),
        "liver edited": lambda: regrade(student, case, memories["liver"], liver=next(livers)),
        "another class shown": lambda: predict(case, student, memory=memories["class"], shown_class=next(classes)),
        "whole grade, cold": lambda: predict(case, student),
    }
    with torch.inference_mode():
        seconds = alternate(jobs, runs)
    base = statistics.median(seconds["forward"])
    print(f"{'':24}{'median s':>10}{'min':>9}{'max':>9}{'ratio':>9}")
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"{name:24}{middle:10.3f}{min(times):9.3f}{max(times):9.3f}{middle / base:8.2f}x")


def regrade(student: Student, case: Case, memory: Memory, **changed: Volume) -> object:
    return predict(Case(case.sequences, {**case.regions, **changed}), student, memory=memory)


def strokes(mask: Volume, count: int, *, inside: Volume) -> Iterator[Volume]:
    """The mask, each time with another stroke of a brush within another mask; made beforehand."""
    rng = np.random.default_rng(0)
    edited = []
    for middle in rng.choice(np.argwhere(mask.array_kji), size=count):
        brush = tuple(slice(max(0, n - r), n + r + 1) for n, r in zip(middle, BRUSH_KJI, strict=True))
        array = mask.array_kji.copy()
        array[brush] = ~array[brush] & inside.array_kji[brush]
        edited.append(Volume(array, mask.grid))
    return iter(edited)


def real_case() -> Case | None:
    """The public CT with its liver and both tumors, or None where it is not beside this repository."""
    archives = [REAL_CT / f"{name}.tar.xz" for name in ("ct_dicom", "masks_dicom")]
    if not all(archive.exists() for archive in archives):
        return None
    with tempfile.TemporaryDirectory() as folder:
        for archive in archives:
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        masks = next(Path(folder).rglob("MASKS_DICOM"))
        ct = read_volume(next(Path(folder).rglob("PATIENT_DICOM")))
        liver, first, second = (read_region(str(masks / name)) for name in ("liver", "livertumor1", "livertumor2"))
    return Case({"ct": ct}, {"liver": liver, "tumor": Volume(first.array_kji | second.array_kji, first.grid)})


def synthetic_case(shape_kji: tuple[int, int, int]) -> Case:
    phantom = phantom_case(0, shape_kji=shape_kji)
    return Case({"ct": phantom.sequences["ct"]}, phantom.regions)


def peak_memory(student: Student) -> None:
    """How far one grade of a large CT lifts the memory of this process, the CT included."""
    small = synthetic_case((60, 128, 128))
    predict(small, student)  # so that what torch itself needs is not counted
    shape_kji = (600, 512, 512)
    case = Case(
        {name: enlarged(volume, shape_kji) for name, volume in small.sequences.items()},
        {name: enlarged(volume, shape_kji) for name, volume in small.regions.items()},
    )
    size_bytes = case.sequences["ct"].array_kji.nbytes
    before = peak_bytes()
    predict(case, student)
    print(f"CT {shape_kji} (K, J, I): {size_bytes / 2**30:.2f} GiB; grading it needs up to")
    print(f"{max(0, peak_bytes() - before) / 2**30:.2f} GiB more than loading it and its masks")
    print(f"{peak_bytes() / size_bytes:.2f} times the CT in all, with Python, torch and the CT itself")


def enlarged(volume: Volume, shape_kji: tuple[int, int, int]) -> Volume:
    """The same patient with more and smaller voxels, made without large arrays in between."""
    old_shape_kji = volume.grid.shape_kji
    array = np.empty(shape_kji, dtype=volume.array_kji.dtype)
    k, j, i = (np.arange(new) * old // new for new, old in zip(shape_kji, old_shape_kji, strict=True))
    for out, plane in zip(array, k, strict=True):
        out[...] = volume.array_kji[plane][np.ix_(j, i)]
    matrix = volume.grid.ijk_to_ras.copy()
    matrix[:3, :3] *= np.array(old_shape_kji[::-1]) / np.array(shape_kji[::-1])
    return Volume.from_array(array, matrix)


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
