"""The segmenting module on the stand-in host, with an untrained student that is quick."""

from __future__ import annotations

from hostdriver import DrivenModule, fixturesOf, host, mainWindow

__all__ = ["host", "mainWindow"]
SEQUENCES = ("t1", "t1ce", "t2", "flair")


def subsetMetrics():
    """Dice that grows with each sequence; T1ce decides ET, FLAIR decides WT."""
    from REACTDistillLib.subsets.scores import all_subsets, subset_name

    rows = {}
    for subset in all_subsets(SEQUENCES):
        more = 0.02 * len(subset)
        rows[subset_name(subset)] = {
            "dice_WT": 0.55 + more + 0.2 * ("flair" in subset),
            "dice_TC": 0.45 + more + 0.1 * ("t1ce" in subset),
            "dice_ET": 0.25 + more + 0.4 * ("t1ce" in subset),
            "cases": 60,
        }
    return rows


def saveUntrainedSegmenter(path, *, name="Untrained segmenter", seed=0):
    """An untrained student on coarse voxels: every number it gives is real, and it is quick."""
    import torch
    from REACTDistillLib.recipes import recipe_named
    from REACTDistillLib.student import save_student
    from student_samples import draft

    recipe = recipe_named("ccsd")
    preparation = recipe.preparation(
        ("WT", "TC", "ET"),
        grid_shape_kji=(16, 16, 16),
        grid_spacing_kji_mm=(8.0, 8.0, 8.0),
        network={"channels": [4, 8]},
    )
    torch.manual_seed(seed)
    card = draft(
        name=name,
        version="0.1.0",
        recipe="ccsd",
        task="segment",
        network={"name": "CompositionalNet", "config": preparation.network},
        sequences=preparation.sequences,
        regions=preparation.regions,
        intensity=preparation.intensity,
        grid={"shape_kji": [16, 16, 16], "spacing_kji_mm": [8.0, 8.0, 8.0]},
        classes=preparation.classes,
        metrics=subsetMetrics(),
        limitations="Untrained <on purpose>: its answers mean nothing.",
    )
    save_student(path, recipe.build_network(preparation.network), card)


SEGMENTING = DrivenModule(
    name="MissingModalitySeg",
    saveStudent=saveUntrainedSegmenter,
    unbound=frozenset(
        {
            "knownVolumes",
            "student",
            "referenceSequence",
            "shownMap",
            "resultReference",
            "resultSegmentation",
            "resultTable",
            "resultWTProbability",
            "resultTCProbability",
            "resultETProbability",
        }
    ),
    inputParameter="t2Volume",
    resultParameter="resultSegmentation",
    apply="Segment the tumor.",
    emptyScene="No sequence is given; choose at least one of T1, T1ce, T2 and FLAIR.",
    inputRemoved="A sequence was removed while it was segmented, so the result was dropped.",
)
MODULE = SEGMENTING.file
student, panel, phantom = fixturesOf(SEGMENTING)
