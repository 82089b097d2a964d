"""The recipe of CCSD: how a case is prepared, trained on, segmented and evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ...subsets.samples import sample_table
from ...subsets.scores import card_metrics
from .. import Batch, Judgment, Networks, PredictOptions, Preparation, Readout, Stage, Update
from .curriculum import Curriculum
from .networks import CompositionalNet
from .peakmemory import stated_memory
from .samples import changed_at_random, training_sample
from .scores import mean_scores, subset_dice
from .training import training_loss

if TYPE_CHECKING:
    from ...case import Case
    from ...finding import Finding
    from ...loadedstudent import Student
    from ...memory import Memory
    from ...progress import ProgressCallback
    from ...subsets.scores import Subset
    from ...volume import Volume

SEQUENCES = ("t1", "t1ce", "t2", "flair")
_INTENSITY = {"kind": "brain_zscore", "clip_percentile": 99.9}


class CCSD:
    """CCSD (arXiv 2511.14599): tumor regions of the brain from any non-empty subset of MR sequences.

    One network and no teacher: its answer for all sequences of a case teaches that for fewer (``Curriculum``). The
    paper's constants were not available; C1 to C7 are this project's formulation of its seven equations.
    """

    name = "ccsd"
    task = "segment"

    def preparation(self, classes: Sequence[str], **settings: Any) -> Preparation:
        """Defaults: tiles of 128 voxels of 1 mm, z-score in the brain, four sequences of which none is required.

        The classes are those of ``settings["training"]["targets"]``: ``classes``, the labels of patients, are no
        regions. ``settings["network"]`` holds what differs from the defaults of ``CompositionalNet``.
        """
        defaults: dict[str, Any] = {
            "grid_shape_kji": (128, 128, 128),
            "grid_spacing_kji_mm": (1.0, 1.0, 1.0),
            "sequences": {"required": [], "optional": list(SEQUENCES)},
            "regions": {"required": [], "optional": ["brain"]},
            "training": {},
        }
        chosen = {**defaults, **settings}
        names = [*chosen["sequences"]["required"], *chosen["sequences"]["optional"]]
        regions = tuple(Curriculum.from_json(chosen["training"]).targets)
        sizes = {"sequences": len(names), "regions": len(regions)}
        chosen["network"] = {**sizes, **chosen.get("network", {})}
        chosen.setdefault("intensity", {name: dict(_INTENSITY) for name in names})
        return Preparation(classes=regions, **chosen)

    def build_network(self, config: Mapping[str, Any]) -> CompositionalNet:
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        return CompositionalNet(**arguments)

    def networks(self, preparation: Preparation) -> dict[str, torch.nn.Module]:
        """The student; and "classifier", which tells sequences by their specific features, where that is trained."""
        student = self.build_network(preparation.network)
        networks: dict[str, torch.nn.Module] = {"student": student}
        if Curriculum.from_json(preparation.training).classification:
            networks["classifier"] = torch.nn.Linear(student.channels[-1], len(preparation.sequence_names))
        return networks

    def prepare(self, case: Case, preparation: Preparation) -> Batch:
        """Tensors of one case as ``samples.training_sample`` says."""
        stride = self.build_network(preparation.network).stride_kji
        return training_sample(case, preparation, stride, Curriculum.from_json(preparation.training))

    def augment(self, sample: Batch, generator: torch.Generator, preparation: Preparation) -> Batch:
        """A randomly changed copy, as ``samples.changed_at_random`` says."""
        curriculum = Curriculum.from_json(preparation.training)
        return changed_at_random(sample, generator, preparation.grid_shape_kji, curriculum)

    def stages(self, preparation: Preparation) -> Sequence[Stage]:
        """One stage: network and self-distillation together."""
        curriculum = Curriculum.from_json(preparation.training)
        return [Stage("student", [Update("student", _all_parameters, partial(training_loss, curriculum))])]

    def read(self, network: torch.nn.Module, samples: Iterable[Batch]) -> Readout:
        raise ValueError("A student that segments has no class logits to read; use its evaluation instead.")

    def evaluate(
        self, network: torch.nn.Module, samples: Iterable[Batch], *, temperature: float = 1.0
    ) -> dict[str, float]:
        """Mean Dice over all subsets and known regions ("score"), per number of sequences, and AURC.

        Names as ``scores.mean_scores`` gives them. ``temperature`` does not move the threshold of 0.5: nothing changes.
        """
        assert isinstance(network, CompositionalNet)
        return mean_scores(subset_dice(network, sample) for sample in samples)

    def judge(
        self, network: torch.nn.Module, preparation: Preparation, validation: Sequence[Batch], held_out: Sequence[Batch]
    ) -> Judgment:
        """Mean Dice of each subset and region on the held-out samples, and what a run takes of memory at most.

        Nothing is fitted on the validation samples.
        """
        assert isinstance(network, CompositionalNet)
        table = sample_table(network, held_out, preparation.sequence_names, preparation.classes)
        return Judgment(card_metrics(table), memory=stated_memory(preparation, network.stride_kji))

    def probabilities_by_subset(self, student: Student, case: Case) -> Iterator[tuple[Subset, dict[str, Volume]]]:
        """As ``everysubset.probabilities_by_subset`` says, for an evaluation over all subsets."""
        from .everysubset import probabilities_by_subset

        return probabilities_by_subset(student, case)

    def predict(
        self, student: Student, case: Case, options: PredictOptions, *, progress: ProgressCallback, memory: Memory
    ) -> Finding:
        """The segmentation of the case, as ``segmenting.segment`` says."""
        from .segmenting import segment

        return segment(
            student,
            case,
            progress=progress,
            reference=options.reference,
            with_probabilities=options.with_probabilities,
            memory=memory,
        )

    def get_ready(self, student: Student, case: Case, *, progress: ProgressCallback, memory: Memory) -> None:
        """As ``segmenting.get_ready`` says."""
        from .segmenting import get_ready

        get_ready(student, case, progress=progress, memory=memory)


def _all_parameters(networks: Networks) -> Iterable[torch.nn.Parameter]:
    return (parameter for network in networks.values() for parameter in network.parameters())


RECIPE = CCSD()
