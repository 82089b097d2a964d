"""The grading module on the stand-in host, with an untrained student that is quick."""

from __future__ import annotations

from hostdriver import (
    DrivenModule,
    fixturesOf,
    host,
    layers,
    mainWindow,
    run,
    temporaryFiles,
    withAndWithoutMainWindow,
)

__all__ = ["host", "layers", "mainWindow", "run", "temporaryFiles", "withAndWithoutMainWindow"]


def saveUntrainedStudent(path, *, name="Untrained student", seed=0):
    """An untrained student on a coarse grid: every number it gives is real, and it is quick."""
    import torch
    from REACTDistillLib.recipes import recipe_named
    from REACTDistillLib.student import save_student
    from student_samples import draft

    recipe = recipe_named("reactkd")
    shape, spacing, classes = (32, 32, 32), (8.0, 8.0, 8.0), ("well", "moderate", "poor")
    preparation = recipe.preparation(classes, grid_shape_kji=shape, grid_spacing_kji_mm=spacing)
    torch.manual_seed(seed)
    card = draft(
        name=name,
        version="0.1.0",
        recipe="reactkd",
        network={"name": "GradeStudent", "config": preparation.network},
        grid={"shape_kji": list(shape), "spacing_kji_mm": list(spacing)},
        classes=classes,
        metrics={"ct": {"macro_auc": 0.5}},
        limitations="Untrained <on purpose>: its answers mean nothing.",
    )
    save_student(path, recipe.build_network(preparation.network), card)


GRADING = DrivenModule(
    name="REACTDistill",
    saveStudent=saveUntrainedStudent,
    unbound=frozenset(
        {
            "liverSegmentID",
            "tumorSegmentIDs",
            "student",
            "shownClass",
            "resultCT",
            "resultTable",
            "resultRegionTable",
            "resultAttention",
            "resultGraph",
        }
    ),
    inputParameter="ctVolume",
    resultParameter="resultTable",
    apply="Grade the tumor.",
    emptyScene="Choose a CT volume.",
    inputRemoved="The CT was removed while it was graded, so the result was dropped.",
)
MODULE = GRADING.file
student, panel, phantom = fixturesOf(GRADING)
