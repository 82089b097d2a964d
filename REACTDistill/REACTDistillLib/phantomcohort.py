"""Cohorts of analytic patients on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .atomic import new_folder
from .brain import BRAIN_LABEL, brain_case, brain_identifier
from .case import Case
from .cohort import Cohort, assign_folds, write_case
from .phantom import GRADES, phantom_case
from .phantoms.seed import phantom_identifier
from .progress import ProgressCallback, silent


@dataclass(frozen=True)
class PhantomKind:
    """One kind of analytic patients: the classes of a cohort, and the name and the case of a seed.

    Patients of the seeds 0, 1, 2 ... have the classes in turn. ``name`` is what a cohort of them is called.
    """

    name: str
    classes: tuple[str, ...]
    identifier: Callable[[int], str]
    case: Callable[..., Case]


PHANTOM_KINDS = {
    "liver": PhantomKind("phantoms", GRADES, phantom_identifier, phantom_case),
    "brain": PhantomKind("brain phantoms", (BRAIN_LABEL,), brain_identifier, brain_case),
}


def write_phantom_cohort(
    folder: Path | str,
    *,
    count: int,
    kind: str = "liver",
    seed: int = 0,
    folds: int = 5,
    unlabeled: int = 0,
    shape_kji: Sequence[int] = (48, 48, 48),
    progress: ProgressCallback = silent,
) -> Cohort:
    """Write ``count`` phantoms of the seeds from ``seed`` on, with ``cohort.json``, into a new ``folder``; return it.

    ``kind`` is "liver" (grades balanced to within one case) or "brain" (all of class "glioma"). ``unlabeled`` more
    livers follow, without a grade and in a fold of their own that comes last: exams without histology, which only a
    teacher can make use of. Uncompressed NRRD, because it is written and read several times faster. The folder appears
    complete or not at all; one that already holds files raises ValueError, as do fewer than ``folds``, an unknown kind
    and brains without a label.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f'"{folder}" already exists and is not empty; name a new folder for the phantoms.')
    if count < folds:
        raise ValueError(f"A cohort of {folds} folds needs at least {folds} phantoms, got {count}.")
    if unlabeled < 0 or min(shape_kji) < 1:
        sizes = f"{unlabeled} and {tuple(shape_kji)}"
        raise ValueError(f"there must be 0 or more phantoms without a label, of 1 voxel or more each way, got {sizes}.")
    drawn = _checked_kind(kind, unlabeled)
    fold_of = _folds(drawn, count, folds, seed) + [folds] * unlabeled
    whole = len(fold_of)
    with new_folder(folder) as temporary:
        entries = []
        for index, fold in enumerate(fold_of):
            case = drawn.case(seed + index, shape_kji=shape_kji)
            entries.append(write_case(case if index < count else replace(case, label=None), fold, temporary))
            progress("phantoms", index + 1, whole)
        name = f"{drawn.name} {seed} to {seed + whole - 1}"
        Cohort(name, True, drawn.classes, tuple(entries), temporary).write(temporary / "cohort.json")
    return Cohort.read(folder / "cohort.json")


def _checked_kind(kind: str, unlabeled: int) -> PhantomKind:
    if kind not in PHANTOM_KINDS:
        raise ValueError(f'there is no phantom of the kind "{kind}"; there are {list(PHANTOM_KINDS)}.')
    if unlabeled and kind == "brain":
        raise ValueError(f"brain phantoms have no grade to leave out; ask for 0 without a label, not {unlabeled}.")
    return PHANTOM_KINDS[kind]


def _folds(drawn: PhantomKind, count: int, folds: int, seed: int) -> list[int]:
    labels = [drawn.classes[(seed + index) % len(drawn.classes)] for index in range(count)]
    return assign_folds([drawn.identifier(seed + index) for index in range(count)], labels, folds=folds, seed=seed)
