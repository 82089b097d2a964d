"""The ablations of REACT-KD, on synthetic patients and on a cohort of gliomas."""

from __future__ import annotations

from typing import Any

from ...evidence import ALL, ALONE, EvidencePlan, Variant
from ...trainingconfig import TrainingConfig
from .curriculum import SMALL_TEACHER

_RATIO = {"kind": "organ_ratio"}
_CT = {"kind": "window_zscore", "low": -160.0, "high": 240.0, "statistics": "liver"}
_MR = {"kind": "zscore"}
_LIGHT = {"channels": [12, 24], "strides": [1], "attention_channels": SMALL_TEACHER["attention_channels"]}
_NETWORK = {**_LIGHT, "classes": 3, "stem_stride": [2, 2, 2], "pooling": "contrast"}
# The table of gliomas was made with the plain means of the regions and normalized teachers.
_GLIOMA_NETWORK = {**_LIGHT, "classes": 2, "stem_stride": [1, 2, 2], "pooling": "regions"}
_NO_TEACHING = {"alpha": 0.0, "graph_weight": 0.0, "share_attention": False}

PHANTOM_SETTINGS: dict[str, Any] = {
    "grid_shape_kji": [32, 32, 32],
    "grid_spacing_kji_mm": [6.0, 7.0, 7.0],
    "network": _NETWORK,
    "training": {
        "privileged": {"pet_fdg": _RATIO, "pet_acetate": _RATIO},
        "teacher": SMALL_TEACHER,
        "teacher_share": 0.167,  # 2 of 12 epochs
        "teacher_rate": 1.0,
        "alpha": 0.9,
        "structure_function": 0.9,
        "graph_weight": 0.3,
        "modality_dropout": 0.98,
        "doses": [5e4, 1e3, 5e2],
    },
}
GLIOMA_SETTINGS: dict[str, Any] = {
    "grid_shape_kji": [3, 64, 64],
    "grid_spacing_kji_mm": [6.0, 3.0, 3.0],
    "intensity": {"flair": _MR},
    "network": _GLIOMA_NETWORK,
    "regions": {"required": ["brain"], "optional": ["tumor"]},
    "sequences": {"required": ["flair"], "optional": []},
    "training": {
        "privileged": {"t1": _MR, "t1ce": _MR},
        "teacher": {**SMALL_TEACHER, "normalize": True, "patch_kji": [1, 2, 2], "window_kji": [2, 4, 4]},
        "teacher_share": 0.45,
        "graph_weight": 0.3,
        "doses": [20.0, 10.0, 5.0],
        "dose_model": "rician",
    },
}
_CT_AND_PET = {
    "sequences": {"required": ["ct"], "optional": ["pet_fdg", "pet_acetate"]},
    "intensity": {"ct": _CT, "pet_fdg": _RATIO, "pet_acetate": _RATIO},
    "network": {**_NETWORK, "sequences": 3},
}
_ALL_MR = {
    "sequences": {"required": ["flair"], "optional": ["t1", "t1ce"]},
    "intensity": {"flair": _MR, "t1": _MR, "t1ce": _MR},
    "network": {**_GLIOMA_NETWORK, "sequences": 3},
}


def phantom_plan(folds: int, seeds: int) -> EvidencePlan:
    """The ablations on synthetic patients who all have PET; the cohort may hold more exams that have no grade.

    So it is in a hospital: many exams, few of them followed by histology. Each case is drawn about as often as any
    other: with half of the draws labeled, 84 cases would come again and again.
    """
    config = TrainingConfig(
        epochs=12,
        steps_per_epoch=200,
        batch_size=4,
        labeled_draws=0.1,
        learning_rate=3e-3,
        settings=PHANTOM_SETTINGS,
    )
    return EvidencePlan(config, _variants(_CT_AND_PET), tuple(range(folds)), tuple(range(seeds)))


def glioma_plan(folds: int, seeds: int) -> EvidencePlan:
    """The ablations on gliomas of grade II and III: the student sees FLAIR, the teachers T1 and T1ce as well."""
    config = TrainingConfig(epochs=9, steps_per_epoch=20, learning_rate=3e-3, settings=GLIOMA_SETTINGS)
    return EvidencePlan(config, _variants(_ALL_MR), tuple(range(folds)), tuple(range(seeds)))


PLANS = {"phantoms": phantom_plan, "glioma": glioma_plan}


def _variants(all_sequences: dict[str, Any]) -> tuple[Variant, ...]:
    """Everything together first, because it trains the teachers; then the student alone, and each term by itself."""
    logits = {name: value for name, value in _NO_TEACHING.items() if name != "alpha"}
    graph = {name: value for name, value in _NO_TEACHING.items() if name != "graph_weight"}
    return (
        Variant(ALL, {}, all_sequences),
        Variant("all but modality dropout"),
        Variant(ALONE, _NO_TEACHING, uses_unlabeled=False),
        Variant("+ logits (SF)", {**logits, "structure_function": 1.0}),
        Variant("+ logits (SF + dose)", logits),
        Variant("+ node/edge", {**graph, "graph": {"gw": 0.0}}),
        Variant("+ GW", {**graph, "graph": {"node": 0.0, "edge": 0.0}}),
        Variant("+ modality dropout", _NO_TEACHING, all_sequences, uses_unlabeled=False),
    )
