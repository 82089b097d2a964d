"""The recipe of REACT-KD: how a CT case is prepared, trained on, graded and evaluated."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ... import __version__
from ...attention import class_evidence, class_margin, heat_map, region_importance
from ...finding import Finding, Provenance
from ...geometry import resample
from ...graph import RegionGraph, cosine_similarity, node_features
from ...metrics import classification_scores
from ...regions import LiverRegions, liver_regions
from ...volume import Grid, Volume
from .. import Batch, Networks, Preparation, Stage, Update, preparation_of
from .inputs import flip_together, pool_masks, student_grid, student_image
from .losses import focal_loss
from .networks import GradeStudent

if TYPE_CHECKING:
    from ...case import Case
    from ...progress import ProgressCallback
    from ...student import Student

# A liver that the image holds only in part is graded with a warning, below this share it is refused.
_LEAST_LIVER_INSIDE = 0.25
_MOST_TUMOR = 0.8
_LIVER_ML = (300.0, 5000.0)


class ReactKD:
    """REACT-KD (arXiv 2508.02104): differentiation grade of HCC from CT."""

    name = "reactkd"
    task = "grade"

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
        liver = regions.liver
        sample = _tensors(case, regions, liver, student_grid(liver, preparation, stride), stride, preparation)
        if case.label is not None:
            sample["label"] = torch.tensor(preparation.classes.index(case.label))
        return sample

    def augment(self, batch: Batch) -> Batch:
        """Left-right and front-back flips, a change of contrast, noise, and now and then no tumor mask; per case."""
        image, pools = batch["image"].clone(), batch["pools"].clone()
        for index in range(image.shape[0]):
            for axis in (2, 3):
                if torch.rand(()) < 0.5:
                    image[index], pools[index] = flip_together(image[index], pools[index], axis)
            inside = image[index] != 0
            changed = image[index] * (0.9 + 0.2 * torch.rand(())) + 0.05 * torch.randn(()) * inside
            image[index] = changed + 0.1 * torch.rand(()) * torch.randn_like(changed) * inside
            if torch.rand(()) < 0.1:
                pools[index, 1:] = 0
        return {**batch, "image": image, "pools": pools}

    def stages(self) -> Sequence[Stage]:
        """One supervised stage: the student alone, the reference that distillation has to beat."""
        return [Stage("supervised", [Update("student", _student_parameters, _supervised_loss)])]

    def evaluate(self, network: torch.nn.Module, samples: Iterable[Batch]) -> dict[str, float]:
        """Macro one-vs-rest AUC, accuracy and macro F1 on labelled samples; "score" is the AUC."""
        probabilities, labels = [], []
        for sample in samples:
            output = network(sample["image"][None], sample["pools"][None])
            probabilities.append(output.logits.softmax(dim=1)[0].tolist())
            labels.append(int(sample["label"]))
        scores = classification_scores(np.array(probabilities), np.array(labels))
        return {"score": scores["macro_auc"], **scores}

    def predict(self, student: Student, case: Case, progress: ProgressCallback) -> Finding:
        """Grade one case: probabilities, heat map on the grid of the CT, region graph."""
        started = time.perf_counter()
        preparation = preparation_of(student.card)
        ct = case.sequences["ct"]
        progress("regions", 0, 3)
        regions = liver_regions(case.regions["liver"], case.regions.get("tumor"), ct.grid)
        warnings = _warnings(regions, case)
        progress("prepare", 1, 3)
        liver, stride = regions.liver, _network_of(student).stride_kji
        grid = student_grid(liver, preparation, stride)
        sample = _tensors(case, regions, liver, grid, stride, preparation)
        progress("student", 2, 3)
        reading = read_sample(student, sample)
        graph, margin = region_graph(reading, regions, grid.strided(stride))
        attention = paint(heat_map(margin).numpy(), grid.strided(stride), liver, ct.grid)
        progress("student", 3, 3)
        return Finding(
            case_identifier=case.identifier,
            task=self.task,
            probabilities=dict(zip(student.card.classes, reading["probabilities"].tolist(), strict=True)),
            attention=attention,
            graph=graph,
            provenance=_provenance(student, time.perf_counter() - started),
            warnings=tuple(warnings),
        )


def _tensors(
    case: Case,
    regions: LiverRegions,
    liver: Volume,
    grid: Grid,
    stride_kji: Sequence[int],
    preparation: Preparation,
) -> Batch:
    image = student_image(case.sequences["ct"], liver, grid, preparation.intensity["ct"])
    pools = pool_masks(regions, grid.strided(stride_kji))
    return {"image": torch.from_numpy(image)[None], "pools": torch.from_numpy(pools)}


@torch.inference_mode()
def read_sample(student: Student, sample: Batch) -> dict[str, torch.Tensor]:
    """One forward pass: ``probabilities`` (K,), ``features`` (C, d, h, w), ``evidence`` (K, d, h, w), on the CPU."""
    network = _network_of(student)
    image, pools = (sample[name][None].to(student.device) for name in ("image", "pools"))
    output = network(image, pools)
    evidence = class_evidence(output.features[0], network.pools_used(pools)[0], network.head.weight)
    probabilities = output.logits[0].double().softmax(dim=0)
    return {"probabilities": probabilities.cpu(), "features": output.features[0].cpu(), "evidence": evidence.cpu()}


def _network_of(student: Student) -> GradeStudent:
    if not isinstance(student.network, GradeStudent):
        raise ValueError(f'"{student.card.name}" holds a {type(student.network).__name__}, expected a GradeStudent.')
    if student.network.head.out_features != len(student.card.classes):
        raise ValueError(
            f'"{student.card.name}" has {student.network.head.out_features} outputs for {len(student.card.classes)} '
            "classes; the card does not belong to this network."
        )
    return student.network


def region_graph(
    reading: Mapping[str, torch.Tensor], regions: LiverRegions, grid: Grid
) -> tuple[RegionGraph, torch.Tensor]:
    """Graph of the regions (R10-R12) with their importance for the predicted class, and the class margin (d, h, w).

    Regions that lie wholly outside the feature grid (a liver longer than the grid) are not part of the graph.
    """
    masks = torch.from_numpy(regions.soft_masks(regions.members, grid))  # (N, d, h, w)
    seen = [index for index, mask in enumerate(masks) if float(mask.sum()) > 0]
    nodes = node_features(reading["features"], masks[seen])
    margin = class_margin(reading["evidence"], int(reading["probabilities"].argmax()))
    graph = RegionGraph(
        names=tuple(regions.names[index] for index in seen),
        kinds=tuple(regions.kinds[index] for index in seen),
        centroids_ras=regions.centroids_ras[seen],
        volumes_ml=regions.volumes_ml[seen],
        features=nodes.numpy(),
        similarity=cosine_similarity(nodes).numpy(),
        importance=region_importance(margin, masks[seen]).numpy(),
    )
    return graph, margin


def paint(heat: NDArray[np.float32], feature_grid: Grid, liver: Volume, source: Grid) -> Volume:
    """The heat map (d, h, w) on the grid of the source image, linear between feature voxels, 0 outside the liver."""
    near = resample(Volume(heat, feature_grid), liver.grid).array_kji * liver.array_kji
    whole = np.zeros(source.shape_kji, dtype=np.float32)
    lower = np.rint(source.to_ijk(liver.grid.ijk_to_ras[:3, 3])).astype(int)[::-1]
    whole[tuple(slice(low, low + size) for low, size in zip(lower, near.shape, strict=True))] = near
    return Volume(whole, source)


def _warnings(regions: LiverRegions, case: Case) -> list[str]:
    warnings = []
    if "tumor" not in case.regions:
        warnings.append("No tumor mask was given: the grade rests on the liver as a whole and is less certain.")
    if regions.inside_image < _LEAST_LIVER_INSIDE:
        raise ValueError(
            f"Only {regions.inside_image:.0%} of the liver mask lies inside the CT; at least "
            f"{_LEAST_LIVER_INSIDE:.0%} is needed. Check that both belong to the same scan."
        )
    if regions.inside_image < 0.95:
        warnings.append(f"Only {regions.inside_image:.0%} of the liver mask lies inside the CT.")
    tumor_share = float(regions.union_of("tumor").mean())
    if tumor_share > _MOST_TUMOR:
        warnings.append(
            f"The tumor mask covers {tumor_share:.0%} of the liver; check that the masks are the right ones."
        )
    liver_ml = len(regions.voxels_ijk) * regions.grid.voxel_ml
    if not _LIVER_ML[0] <= liver_ml <= _LIVER_ML[1]:
        warnings.append(f"The liver measures {liver_ml:.0f} ml; check that the mask is a whole liver and nothing else.")
    return warnings


def _provenance(student: Student, seconds: float) -> Provenance:
    card = student.card
    return Provenance(
        student=card.name,
        student_version=card.version,
        tensors_sha256=card.tensors_sha256,
        software_version=__version__,
        device=str(student.device),
        seconds=round(seconds, 3),
        intended_use=card.intended_use,
        limitations=card.limitations,
    )


def _student_parameters(networks: Networks) -> Iterable[torch.nn.Parameter]:
    return networks["student"].parameters()


def _supervised_loss(networks: Networks, batch: Batch) -> dict[str, torch.Tensor]:
    output = networks["student"](batch["image"], batch["pools"])
    return {"focal": focal_loss(output.logits, batch["label"])}


RECIPE = ReactKD()
