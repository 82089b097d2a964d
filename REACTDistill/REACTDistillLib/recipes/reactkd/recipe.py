"""The recipe of REACT-KD: how a CT case is prepared, trained on, graded and evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...metrics import classification_scores
from ...regions import liver_regions
from .. import Batch, Networks, Preparation, Readout, Stage, Update
from .grading import TASK, grade
from .inputs import flip_together, pool_masks, student_grid, student_image
from .losses import focal_loss
from .networks import GradeStudent

if TYPE_CHECKING:
    from ...case import Case
    from ...finding import Finding
    from ...memory import Memory
    from ...progress import ProgressCallback
    from ...student import Student


class ReactKD:
    """REACT-KD (arXiv 2508.02104): differentiation grade of HCC from CT."""

    name = "reactkd"
    task = TASK

    def preparation(self, classes: Sequence[str], **settings: Any) -> Preparation:
        """Defaults: the grid 64x224x224 of the paper's teacher, 256x280x280 mm; R1 window, z-score in the liver."""
        defaults: dict[str, Any] = {
            "grid_shape_kji": (64, 224, 224),
            "grid_spacing_kji_mm": (4.0, 1.25, 1.25),
            "intensity": {"ct": {"kind": "window_zscore", "low": -160.0, "high": 240.0, "statistics": "liver"}},
            "network": {"classes": len(classes)},
            "regions": {"required": ["liver"], "optional": ["tumor"]},
            "sequences": {"required": ["ct"], "optional": []},
        }
        return Preparation(classes=tuple(classes), **{**defaults, **settings})

    def build_network(self, config: Mapping[str, Any]) -> GradeStudent:
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        return GradeStudent(**arguments)

    def networks(self, preparation: Preparation) -> dict[str, torch.nn.Module]:
        return {"student": self.build_network(preparation.network)}

    def prepare(self, case: Case, preparation: Preparation) -> Batch:
        """Tensors of one case: ``image`` (1, D, H, W), ``pools`` (3, d, h, w), ``label`` () when the case has one."""
        regions = liver_regions(case.regions["liver"], case.regions.get("tumor"), case.sequences["ct"].grid)
        stride = self.build_network(preparation.network).stride_kji
        grid = student_grid(regions.liver, preparation, stride)
        image = student_image(case.sequences["ct"], regions.liver, grid, preparation.intensity["ct"])
        pools = pool_masks(regions, grid.strided(stride))
        sample = {"image": torch.from_numpy(image)[None], "pools": torch.from_numpy(pools)}
        if case.label is not None:
            sample["label"] = torch.tensor(preparation.classes.index(case.label))
        return sample

    def augment(self, sample: Batch, generator: torch.Generator) -> Batch:
        """Left-right and front-back flips, a change of contrast, noise, and now and then no tumor mask."""

        def uniform() -> float:
            return float(torch.rand((), generator=generator))

        image, pools = sample["image"], sample["pools"]
        for axis in (2, 3):
            if uniform() < 0.5:
                image, pools = flip_together(image, pools, axis)
        inside = image != 0
        shift = 0.05 * float(torch.randn((), generator=generator))
        noise = torch.randn(image.shape, generator=generator) * (0.1 * uniform())
        image = (image * (0.9 + 0.2 * uniform()) + shift + noise) * inside
        if uniform() < 0.1:
            pools = pools.clone()
            pools[1:] = 0
        return {**sample, "image": image, "pools": pools}

    def stages(self, preparation: Preparation) -> Sequence[Stage]:
        """One supervised stage: the student alone, the reference that distillation has to beat."""
        return [Stage("supervised", [Update("student", _student_parameters, _supervised_loss)])]

    @torch.inference_mode()
    def read(self, network: torch.nn.Module, samples: Iterable[Batch]) -> Readout:
        logits, features, labels = [], [], []
        for sample in samples:
            output = network(sample["image"][None], sample["pools"][None])
            logits.append(output.logits[0].double().cpu().numpy())
            features.append(output.pooled[0].float().cpu().numpy())
            labels.append(int(sample.get("label", -1)))
        return Readout(np.array(logits), np.array(features), np.array(labels))

    def evaluate(self, network: torch.nn.Module, samples: Iterable[Batch]) -> dict[str, float]:
        """Macro one-vs-rest AUC, accuracy and macro F1 on labelled samples; "score" is the AUC."""
        readout = self.read(network, samples)
        odds = np.exp(readout.logits - readout.logits.max(axis=1, keepdims=True))
        scores = classification_scores(odds / odds.sum(axis=1, keepdims=True), readout.labels)
        return {"score": scores["macro_auc"], **scores}

    def predict(
        self,
        student: Student,
        case: Case,
        *,
        progress: ProgressCallback,
        shown_class: str | None,
        heat_map_mm: float,
        memory: Memory,
    ) -> Finding:
        return grade(student, case, progress=progress, shown_class=shown_class, heat_map_mm=heat_map_mm, memory=memory)


def _student_parameters(networks: Networks) -> Iterable[torch.nn.Parameter]:
    return networks["student"].parameters()


def _supervised_loss(networks: Networks, batch: Batch) -> dict[str, torch.Tensor]:
    output = networks["student"](batch["image"], batch["pools"])
    return {"focal": focal_loss(output.logits, batch["label"])}


RECIPE = ReactKD()
