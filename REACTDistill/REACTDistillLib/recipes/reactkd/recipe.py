"""The recipe of REACT-KD: how a case is prepared, trained on, graded and evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...calibration import softmax
from ...distill import ramp_up, taught_by
from ...judgedgrades import judged_grades
from ...metrics import classification_scores
from .. import Batch, Judgment, Networks, PredictOptions, Preparation, Readout, Stage, Update
from .curriculum import Curriculum
from .exam import get_ready
from .grading import TASK, grade
from .inputs import check_rules
from .losses import Nodes, focal_loss, graph_terms, region_nodes, total_loss
from .networks import GradeStudent
from .samples import changed_at_random, student_sample, training_sample
from .teachers import TeacherOutput, Teachers

if TYPE_CHECKING:
    from ...case import Case
    from ...finding import Finding
    from ...loadedstudent import Student
    from ...memory import Memory
    from ...progress import ProgressCallback


class ReactKD:
    """REACT-KD (arXiv 2508.02104): differentiation grade of HCC from CT.

    With an empty ``Preparation.training`` the student is trained alone, from labels: the reference that distillation
    has to beat. Otherwise a first stage trains the teachers and a second one the student (``Curriculum``).
    """

    name = "reactkd"
    task = TASK

    def preparation(self, classes: Sequence[str], **settings: Any) -> Preparation:
        """Defaults: the grid 64x224x224 of the paper's teacher, 256x280x280 mm; R1 window, z-score in the liver.

        ``settings["network"]`` holds what differs from "contrast" pooling and the defaults of ``GradeStudent``.
        ValueError for settings that cannot be.
        """
        defaults: dict[str, Any] = {
            "grid_shape_kji": (64, 224, 224),
            "grid_spacing_kji_mm": (4.0, 1.25, 1.25),
            "intensity": {"ct": {"kind": "window_zscore", "low": -160.0, "high": 240.0, "statistics": "liver"}},
            "regions": {"required": ["liver"], "optional": ["tumor"]},
            "sequences": {"required": ["ct"], "optional": []},
        }
        if len(classes) < 2:
            raise ValueError(f"a student that grades needs at least 2 classes, the cohort has {list(classes)}.")
        chosen = {**defaults, "network": {}, **settings}
        preparation = Preparation(classes=tuple(classes), **chosen)
        curriculum = _curriculum(preparation)
        if curriculum and len(curriculum.class_weights) not in (0, len(classes)):
            raise ValueError(
                f'"class_weights" has {len(curriculum.class_weights)} numbers for the {len(classes)} classes '
                f"{', '.join(classes)}; give one for each, in this order."
            )
        check_rules({**preparation.intensity, **(curriculum.privileged if curriculum else {})})
        for kind, names in (
            ("sequence", preparation.sequences["required"]),
            ("region", preparation.regions["required"]),
        ):
            if not names:
                raise ValueError(f"a student that grades needs a required {kind}, the settings have none.")
        sizes = {"classes": len(classes), "sequences": len(preparation.sequence_names)}
        network = {**sizes, "pooling": "contrast", **preparation.network}
        for name, size in sizes.items():
            if network[name] != size:
                raise ValueError(f'"network" has {network[name]} {name}, but there are {size}; leave "{name}" out.')
        return replace(preparation, network=network)

    def build_network(self, config: Mapping[str, Any]) -> GradeStudent:
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        return GradeStudent(**arguments)

    def networks(self, preparation: Preparation) -> dict[str, torch.nn.Module]:
        """The student, and with a curriculum "teachers"."""
        student = self.build_network(preparation.network)
        _check_grid("student", preparation.grid_shape_kji, student.stride_kji)
        curriculum = _curriculum(preparation)
        if curriculum is None:
            return {"student": student}
        if curriculum.needs_equal_width and student.cbam.channels != curriculum.teacher.attention_channels:
            raise ValueError(
                f"The student's attention has {student.cbam.channels} channels and the teachers' "
                f"{curriculum.teacher.attention_channels}; both need the same number, because they share it or compare "
                "what it gives."
            )
        if curriculum.teacher.pooling == "contrast":
            _check_grid("teachers", preparation.grid_shape_kji, curriculum.teacher.stride_kji)
        teachers = Teachers(len(preparation.classes), len(curriculum.privileged), curriculum.teacher)
        return {"student": student, "teachers": teachers}

    def prepare(self, case: Case, preparation: Preparation) -> Batch:
        """Tensors of one case as ``samples.student_sample`` or, with a curriculum, ``samples.training_sample`` say."""
        curriculum, stride = _curriculum(preparation), self.build_network(preparation.network).stride_kji
        if curriculum is None:
            return student_sample(case, preparation, stride)
        return training_sample(case, preparation, stride, curriculum)

    def augment(self, sample: Batch, generator: torch.Generator, preparation: Preparation) -> Batch:
        """A randomly changed copy, as ``samples.changed_at_random`` says."""
        stride = [n // m for n, m in zip(sample["image"].shape[1:], sample["pools"].shape[1:], strict=True)]
        return changed_at_random(sample, generator, stride, _curriculum(preparation))

    def stages(self, preparation: Preparation) -> Sequence[Stage]:
        """The teachers, then the student; or the student alone."""
        curriculum = _curriculum(preparation)
        if curriculum is None:
            return [Stage("student", [Update("student", _student_parameters, _supervised_loss)])]
        share = curriculum.teacher_share
        loss = partial(_teacher_loss, curriculum)
        teach = Update("teachers", _teacher_parameters, loss, rate=curriculum.teacher_rate)
        learn = Update("student", partial(_taught_parameters, curriculum), partial(_student_loss, curriculum))
        student = Stage(
            name="student",
            updates=[learn],
            share=1 - share,
            begin=partial(_hand_over, curriculum),
            unlabeled=curriculum.distills,
            taught=_say if curriculum.distills else None,
        )
        return [Stage("teachers", [teach], share, "teachers"), student]

    @torch.inference_mode()
    def read(self, network: torch.nn.Module, samples: Iterable[Batch]) -> Readout:
        """What a student says of the required sequences, or the structure-function teacher of all."""
        logits, features, labels = [], [], []
        for sample in samples:
            one = {name: tensor[None] for name, tensor in sample.items()}
            said, pooled = _said(network, one)
            logits.append(said[0].double().cpu().numpy())
            features.append(pooled[0].float().cpu().numpy())
            labels.append(int(sample["label"]))
        return Readout(np.array(logits), np.array(features), np.array(labels))

    def evaluate(
        self, network: torch.nn.Module, samples: Iterable[Batch], *, temperature: float = 1.0
    ) -> dict[str, float]:
        """Macro one-vs-rest AUC, accuracy and macro F1 on labeled samples; "score" is the AUC."""
        readout = self.read(network, (sample for sample in samples if int(sample["label"]) >= 0))
        scores = classification_scores(softmax(readout.logits, temperature), readout.labels)
        return {"score": scores["macro_auc"], **scores}

    @torch.inference_mode()
    def judge(
        self,
        network: torch.nn.Module,
        preparation: Preparation,
        validation: Sequence[Batch],
        held_out: Sequence[Batch],
    ) -> Judgment:
        return judged_grades(self, network, preparation, validation, held_out)

    @torch.inference_mode()
    def evidence(self, network: torch.nn.Module, sample: Batch) -> torch.Tensor:
        """Share of each voxel of the feature grid in each logit of a student, (K, d, h, w), of one sample."""
        if not isinstance(network, GradeStudent):
            raise ValueError(f"A {type(network).__name__} has no evidence per voxel; a GradeStudent has.")
        shown = (sample["present"] & sample["required"])[None]
        features = network.features(sample["image"][None], shown)[0]
        return network.evidence(features[0], sample["pools"])

    def predict(
        self, student: Student, case: Case, options: PredictOptions, *, progress: ProgressCallback, memory: Memory
    ) -> Finding:
        """The grade of the case, as ``grading.grade`` says."""
        return grade(
            student,
            case,
            progress=progress,
            shown_class=options.shown_class,
            heat_map_mm=options.heat_map_mm,
            memory=memory,
        )

    def get_ready(self, student: Student, case: Case, *, progress: ProgressCallback, memory: Memory) -> None:
        get_ready(student, case, progress=progress, memory=memory)


def _curriculum(preparation: Preparation) -> Curriculum | None:
    return Curriculum.from_json(preparation.training) if preparation.training else None


def _check_grid(whose: str, shape_kji: Sequence[int], stride_kji: Sequence[int]) -> None:
    """Flips and cells of features fit masks only where the feature grid ends where the grid does."""
    if any(size % stride for size, stride in zip(shape_kji, stride_kji, strict=True)):
        raise ValueError(
            f'"grid_shape_kji" {list(shape_kji)} must hold multiples of the stride of the {whose}, {list(stride_kji)}.'
        )


def _said(network: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (B, K) and pooled features (B, F) of a student or of the structure-function teacher."""
    if isinstance(network, Teachers):
        taught = network(batch["exam"], batch["exam_present"], batch["dosed"][:, :1], batch["teacher_pools"])
        return taught.structure_function, taught.pooled
    output = network(batch["image"], batch["pools"], batch["present"] & batch["required"])
    return output.logits, output.pooled


def _student_parameters(networks: Networks) -> Iterable[torch.nn.Parameter]:
    return networks["student"].parameters()


def _taught_parameters(curriculum: Curriculum, networks: Networks) -> Iterable[torch.nn.Parameter]:
    """All of the student; its attention is the frozen teachers' when it is shared."""
    for name, parameter in networks["student"].named_parameters():
        if not (curriculum.share_attention and name.startswith("cbam.")):
            yield parameter


def _teacher_parameters(networks: Networks) -> Iterable[torch.nn.Parameter]:
    return (one for one in networks["teachers"].parameters() if one.requires_grad)


def _hand_over(curriculum: Curriculum, networks: Networks) -> None:
    """The student takes over the shared CBAM3D of the trained teachers."""
    student, teachers = networks["student"], networks["teachers"]
    if curriculum.share_attention and isinstance(student, GradeStudent) and isinstance(teachers, Teachers):
        student.cbam.load_state_dict(teachers.cbam.state_dict())


def _supervised_loss(networks: Networks, batch: Batch) -> dict[str, torch.Tensor]:
    output = networks["student"](batch["image"], batch["pools"], batch["present"])
    return {"focal": focal_loss(output.logits, batch["label"])}


def _teacher_loss(curriculum: Curriculum, networks: Networks, batch: Batch) -> dict[str, torch.Tensor]:
    """Both teachers learn the grade; the dose-aware one from a dose drawn anew for each case."""
    output = _taught(networks, batch)
    return {
        name: focal_loss(logits, batch["label"], weights=curriculum.class_weights)
        for name, logits in (("structure_function", output.structure_function), ("dose_aware", output.dose_aware))
    }


def _student_loss(curriculum: Curriculum, networks: Networks, batch: Batch) -> dict[str, torch.Tensor]:
    """R20 with R19 of both teachers and R18; what the teachers say stands in the batch."""
    output = networks["student"](batch["image"], batch["pools"], batch["present"])
    focal = focal_loss(output.logits, batch["label"], curriculum.focal_gamma, curriculum.class_weights)
    ramp = ramp_up(float(batch["progress"]), curriculum.ramp)
    divergence, graph = None, {}
    if curriculum.distills_logits:
        weights = (curriculum.structure_function, 1 - curriculum.structure_function)
        teachers = (batch["taught_structure_function"], batch["taught_dose_aware"])
        divergence = taught_by(output.logits, teachers, weights, curriculum.logits_term)
    if curriculum.distills_graph:
        own = region_nodes(output.features, batch["nodes"])
        graph = graph_terms(own, Nodes(batch["taught_nodes"], batch["taught_mask"]), curriculum.graph)
    alpha, weight = curriculum.alpha * ramp, curriculum.graph_weight * ramp
    return total_loss(focal, divergence, graph, alpha, weight, curriculum.focal_weight)


def _say(networks: Networks, sample: Batch) -> Batch:
    """What both teachers say of one sample: logits (K,), those of the dose-aware one at each dose (L, K), nodes (N, A).

    Once per case and not at each step (design choice): regions and grade do not change by the flips and the contrast
    that the student is shown, and the teachers cost several times what the student does.
    """
    one = {name: tensor[None] for name, tensor in sample.items()}
    taught = _taught(networks, {**one, "dosed": one["dosed"][:, :1]})
    nodes = region_nodes(taught.features, one["teacher_nodes"])
    doses = sample["dosed"][:, None]  # (L, 1, D, H, W)
    teachers = networks["teachers"]
    assert isinstance(teachers, Teachers)
    return {
        "taught_structure_function": taught.structure_function[0],
        "taught_dose_aware": teachers.dose_aware(doses, one["teacher_pools"].expand(len(doses), -1, -1, -1, -1)),
        "taught_nodes": nodes.features[0],
        "taught_mask": nodes.mask[0],
    }


def _taught(networks: Networks, batch: Batch) -> TeacherOutput:
    output: TeacherOutput = networks["teachers"](
        batch["exam"], batch["exam_present"], batch["dosed"], batch["teacher_pools"]
    )
    return output


RECIPE = ReactKD()
