"""What a run of REACT-KD may choose: privileged sequences, teachers, doses, weights of the losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from ...card import shown
from ...cardrules import is_number
from ...distill import softened_divergence, squared_difference
from ...errors import check_names
from .losses import GraphWeights
from .teachers import TeacherConfig

if TYPE_CHECKING:
    from torch import Tensor

LOGITS_TERMS = ("kl", "mse")
DOSE_MODELS = ("line_integrals", "transmission", "rician")
# A small teacher for computers without a GPU: half the resolution of the grid, few channels, regions in its head; no
# norms, under which it graded synthetic patients worse.
SMALL_TEACHER = {
    "feature_size": 12,
    "depths": [1, 1, 1, 1],
    "heads": [2, 2, 4, 4],
    "window_kji": [4, 4, 4],
    "level": 2,
    "finest": 0,
    "attention_channels": 32,
    "pooling": "contrast",
    "normalize": False,
}


@dataclass(frozen=True)
class Curriculum:
    """Settings of distillation; ``from_json`` reads them from ``Preparation.training``.

    ``privileged``: intensity rule by name of each sequence that only the teachers see. ``alpha``, ``temperature``,
    ``graph_weight``: R19, R20; ``logits``: "kl" (R19) or "mse" (the published code, without temperature);
    ``focal_gamma``: exponent of the focal loss of the student; ``focal_weight``: its weight, None for what ``alpha``
    leaves; ``class_weights``: factor of each class in all focal losses, for classes of unlike size.
    ``structure_function``: weight of that teacher among the two, the dose-aware teacher has the rest. ``ramp``: share
    of the stage over which the distillation terms come in. ``modality_dropout``: probability to leave out each optional
    sequence of the student; the required ones always stay, as in use (design choice: with the 0.3 of the published code
    the required sequence alone is rare in training, and worse than without dropout). ``doses``: levels that the
    dose-aware teacher is trained with, of ``dose_model``; ``student_dose``: how often the student sees its main
    sequence at such a dose. ``most_nodes``: the smallest tumors beyond are no nodes. ``share_attention``: the student
    has the CBAM3D of the teachers, frozen. ``teacher_share``: part of the epochs that trains the teachers;
    ``teacher_rate``: their part of the learning rate.
    """

    privileged: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    graph: GraphWeights = field(default_factory=GraphWeights)
    alpha: float = 0.7
    temperature: float = 2.0
    logits: str = "kl"
    structure_function: float = 0.5
    focal_gamma: float = 2.0
    focal_weight: float | None = None
    class_weights: tuple[float, ...] = ()
    graph_weight: float = 1.0
    ramp: float = 0.2
    modality_dropout: float = 0.8
    doses: tuple[float, ...] = (1e6, 5e4, 1e4, 1e3, 5e2)
    dose_model: str = "line_integrals"
    student_dose: float = 0.0
    share_attention: bool = True
    most_nodes: int = 24
    teacher_share: float = 0.5
    teacher_rate: float = 0.3

    def __post_init__(self) -> None:
        shares = {
            name: getattr(self, name)
            for name in ("alpha", "structure_function", "ramp", "modality_dropout", "student_dose", "teacher_share")
        }
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise ValueError(f'"{name}" must be from 0 to 1, got {value}.')
        if not self.temperature > 0 or self.graph_weight < 0 or self.most_nodes < 2 or self.focal_gamma < 0:
            raise ValueError(
                '"temperature" must be above 0, "graph_weight" and "focal_gamma" 0 or above and "most_nodes" at least '
                f"2, got {self.temperature}, {self.graph_weight}, {self.focal_gamma} and {self.most_nodes}."
            )
        if self.focal_weight is not None and not (is_number(self.focal_weight) and self.focal_weight >= 0):
            raise ValueError(f'"focal_weight" must be null or 0 or above, got {shown(self.focal_weight)}.')
        factors = self.class_weights if isinstance(self.class_weights, tuple) else (None,)
        if not all(is_number(factor) and factor > 0 for factor in factors):
            raise ValueError(f'"class_weights" must be a list of numbers above 0, got {shown(self.class_weights)}.')
        if self.logits not in LOGITS_TERMS:
            raise ValueError(f'"logits" must be one of {", ".join(LOGITS_TERMS)}, got {shown(self.logits)}.')
        if not 0 < self.teacher_share < 1:
            raise ValueError(f'"teacher_share" must lie between 0 and 1, got {self.teacher_share}.')
        if type(self.share_attention) is not bool:
            raise ValueError(f'"share_attention" must be true or false, got {shown(self.share_attention)}.')
        if not self.teacher_rate > 0:
            raise ValueError(f'"teacher_rate" must be above 0, got {self.teacher_rate}.')
        if not isinstance(self.privileged, Mapping):
            raise ValueError(f'"privileged" must give a rule for each sequence by name, got {shown(self.privileged)}.')
        doses = self.doses if isinstance(self.doses, tuple) else ()
        if not doses or not all(is_number(dose) and dose > 0 for dose in doses):
            raise ValueError(f'"doses" must be a list of numbers above 0, got {shown(self.doses)}.')
        if self.dose_model not in DOSE_MODELS:
            raise ValueError(f'"dose_model" must be one of {", ".join(DOSE_MODELS)}, got "{self.dose_model}".')

    @property
    def distills_logits(self) -> bool:
        """True when a teacher's logits teach the student."""
        return self.alpha > 0

    @property
    def distills_graph(self) -> bool:
        """True when the teacher's region graph teaches the student."""
        return self.graph_weight > 0 and self.graph.node + self.graph.edge + self.graph.gw > 0

    @property
    def needs_equal_width(self) -> bool:
        """True when the student shares its attention, or its features are compared with those of a teacher."""
        graph = self.graph
        compared = graph.node + graph.edge > 0 or (graph.gw > 0 and graph.topology in ("fused", "surrogate"))
        return self.share_attention or (self.distills_graph and compared)

    @property
    def logits_term(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The term of student and teacher logits that ``logits`` and ``temperature`` choose."""
        if self.logits == "mse":
            return squared_difference
        return partial(softened_divergence, temperature=self.temperature)

    @property
    def distills(self) -> bool:
        """True when a teacher teaches the student, who then also learns from cases without a label."""
        return self.distills_logits or self.distills_graph

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Curriculum:
        """The settings in plain JSON values; ValueError names a field that is unknown or not what it should be.

        "teacher" may be "small", which is ``SMALL_TEACHER``.
        """
        values = dict(content)
        teacher = values.get("teacher", {})
        values["teacher"] = _part(TeacherConfig, SMALL_TEACHER if teacher == "small" else teacher, "teacher")
        values["graph"] = _part(GraphWeights, values.get("graph", {}), "graph")
        if values.get("dose_model") == "rician" and "doses" not in values:
            raise ValueError('"dose_model" "rician" needs "doses", the signal-to-noise ratios, such as [20, 10, 5].')
        built: Curriculum = _part(cls, values, "training")
        return built


def _part(kind: type[Any], content: Mapping[str, Any], where: str) -> Any:
    """A dataclass from JSON values; lists become tuples."""
    if not isinstance(content, Mapping):
        raise ValueError(f'"{where}" must be an object of settings, got {shown(content)}.')
    check_names(where, content, [one.name for one in fields(kind)])
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})
    except TypeError as error:
        raise ValueError(f'"{where}" holds a value of the wrong kind: {error}.') from error
