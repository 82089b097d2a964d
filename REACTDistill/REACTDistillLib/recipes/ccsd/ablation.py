"""The ablations of CCSD, on synthetic patients and on a cohort of gliomas."""

from __future__ import annotations

from typing import Any

from ...evidence import EvidencePlan, Variant
from ...trainingconfig import TrainingConfig
from .curriculum import BRAIN_TARGETS, SMALL_NETWORK, SMALL_SETTINGS

BASELINE = "modality dropout"
_SCORES = ("dice", "aurc", "dice_1", "dice_2", "dice_3", "dice_4")
_MR = {"kind": "brain_zscore", "clip_percentile": 99.9}
_GLIOMA_SEQUENCES = ["t1", "t1ce", "flair"]

PHANTOM_SETTINGS: dict[str, Any] = {
    **SMALL_SETTINGS,
    "network": SMALL_NETWORK,
    "training": {"targets": dict(BRAIN_TARGETS)},
}
# Three slices 6 mm apart and one mask: nothing is to be learned across slices.
GLIOMA_SETTINGS: dict[str, Any] = {
    "grid_shape_kji": [3, 64, 64],
    "grid_spacing_kji_mm": [6.0, 3.0, 3.0],
    "sequences": {"required": [], "optional": _GLIOMA_SEQUENCES},
    "intensity": dict.fromkeys(_GLIOMA_SEQUENCES, _MR),
    "network": {
        "channels": [8, 16, 32],
        "kernel": [1, 3, 3],
        "stem_stride": [1, 2, 2],
        "level_stride": [1, 2, 2],
    },
    "training": {"targets": {"WT": "tumor"}},
}
VARIANTS = (
    Variant(BASELINE, {"method": "modality_dropout"}),
    Variant("ShaSpec-style", {"method": "shaspec"}),
    # What distillation needs, without it: so that its gain is not that of one more loss.
    Variant("+ full set", {"hmsd": 0.0, "dmcd": 0.0}),
    Variant("+ HMSD", {"dmcd": 0.0}),
    Variant("+ DMCD", {"hmsd": 0.0}),
    Variant("both"),
)


def phantom_plan(folds: int, seeds: int) -> EvidencePlan:
    """The ablations on synthetic patients with four sequences, three regions and 15 subsets."""
    return _plan(PHANTOM_SETTINGS, _SCORES, folds, seeds)


def glioma_plan(folds: int, seeds: int) -> EvidencePlan:
    """The ablations on slices of lower-grade gliomas with T1, T1ce and FLAIR, one mask and 7 subsets."""
    return _plan(GLIOMA_SETTINGS, _SCORES[:-1], folds, seeds)


def _plan(settings: dict[str, Any], scores: tuple[str, ...], folds: int, seeds: int) -> EvidencePlan:
    config = TrainingConfig(
        recipe="ccsd",
        name="Segment student",
        epochs=4,
        steps_per_epoch=90,
        batch_size=4,
        learning_rate=3e-3,
        settings=settings,
    )
    folds_used, seeds_used = tuple(range(folds)), tuple(range(seeds))
    return EvidencePlan(config, VARIANTS, folds_used, seeds_used, scores=scores, baseline=BASELINE)


PLANS = {"phantoms": phantom_plan, "glioma": glioma_plan}
