"""The optimizer steps of one training stage."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .checkpoint import optimizer_tensors, restore_optimizer, under_prefix, with_prefix
from .parallel import Processes, met_alike
from .recipes import Batch, Networks, Stage, Update
from .trainingconfig import TrainingConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Parameter

_ADAM_EPS = 1e-6
_WARM_UP_SHARE, _FIRST_RATE, _LAST_RATE = 0.15, 1 / 25, 1e-6  # of the steps; of the peak


@dataclass(frozen=True)
class _Descent:
    update: Update
    parameters: Sequence[Parameter]
    optimizer: torch.optim.Optimizer
    steps: int


class StageUpdates:
    """All updates of a stage: each with an AdamW of its own and a rate that depends on the step alone.

    ``steps`` is the number of batches of the whole stage. Losses are read one step late, so that a GPU need not wait
    for the CPU; ``losses`` and ``tensors`` first read what is left.
    """

    def __init__(
        self, stage: Stage, networks: Networks, config: TrainingConfig, processes: Processes, steps: int
    ) -> None:
        import torch

        self._stage, self._networks, self._config, self._processes = stage, networks, config, processes
        self._steps = steps
        self._trainable = [one for network in networks.values() for one in network.parameters() if one.requires_grad]
        self._descents: list[_Descent] = []
        for update in stage.updates:
            parameters = list(update.parameters(networks))
            # Some gradients are 0 but for rounding (the bias of keys in attention); a larger eps keeps Adam from making
            # steps of full size out of that, which would differ between one process and several.
            optimizer = torch.optim.AdamW(
                parameters, config.learning_rate, weight_decay=config.weight_decay, eps=_ADAM_EPS
            )
            self._descents.append(_Descent(update, parameters, optimizer, math.ceil(steps / update.every)))
        self._unread: deque[tuple[str, list[str], Tensor]] = deque()
        self._sums: dict[str, list[float]] = {}

    def enter_training(self) -> None:
        """Put the networks that the stage trains into train mode and all others, teachers above all, into eval mode.

        A network trains when the stage names it, or when it has parameters that an update trains and the named network
        does not share.
        """
        own = {id(one) for one in self._networks[self._stage.network].parameters()}
        others = {id(one) for descent in self._descents for one in descent.parameters} - own
        for name, network in self._networks.items():
            trains = name == self._stage.network or any(id(one) in others for one in network.parameters())
            network.train(trains)

    def leave_training(self) -> None:
        """Let all parameters be trainable that were so before the stage."""
        for one in self._trainable:
            one.requires_grad_(True)

    def run(self, batch: Batch, done: int, place: str) -> None:
        """Do every update that is due on this batch, ``done`` batches of the stage after its beginning.

        ``place`` names the step in the ValueError for a loss or gradient that is no number.
        """
        import torch

        batch = {**batch, "progress": torch.tensor(done / self._steps)}  # on the CPU: reading it must not wait
        for descent in self._descents:
            if done % descent.update.every == 0:
                self._descend(descent, batch, done // descent.update.every, place)
        self._read(leave=len(self._descents))

    def losses(self) -> dict[str, float]:
        """The mean of each loss term since the last call of ``forget`` or the sums restored."""
        self._read()
        return {name: total / count for name, (total, count) in self._sums.items()}

    def forget(self) -> None:
        """Begin the means anew."""
        self._sums = {}

    def sums(self) -> dict[str, list[float]]:
        """Sum and count of each loss term so far, for a checkpoint within an epoch."""
        self._read()
        return self._sums

    def tensors(self) -> dict[str, Tensor]:
        """The states of all optimizers; ValueError when a step before was no number."""
        self._read()
        states: dict[str, Tensor] = {}
        for descent in self._descents:
            states |= with_prefix(descent.update.name, optimizer_tensors(descent.optimizer))
        return states

    def restore(self, tensors: Mapping[str, Tensor], sums: Mapping[str, list[float]]) -> None:
        """Go on from what ``tensors`` and ``sums`` gave."""
        for descent in self._descents:
            restore_optimizer(descent.optimizer, under_prefix(descent.update.name, tensors))
        self._sums = {name: list(pair) for name, pair in sums.items()}

    def _descend(self, descent: _Descent, batch: Batch, step: int, place: str) -> None:
        import torch

        self._freeze_all_but(descent.parameters)
        device = batch["image"].device.type
        precision = self._config.precision
        # bfloat16 has the range of float32, so gradients need no scaling.
        reduced = precision == "bfloat16" or (precision == "auto" and device == "cuda")
        with torch.autocast(device, torch.bfloat16, enabled=reduced):
            terms = descent.update.loss(self._networks, batch)
        values = torch.stack([term.float() for term in terms.values()])
        descent.optimizer.zero_grad(set_to_none=True)
        values.sum().backward()
        values = self._processes.average(descent.parameters, values.detach())
        norm = torch.nn.utils.clip_grad_norm_(descent.parameters, self._config.clip_norm)
        for group in descent.optimizer.param_groups:
            group["lr"] = self._config.learning_rate * descent.update.rate * rate_at(step, descent.steps)
        descent.optimizer.step()
        self._unread.append((place, [*terms, _NORM], torch.cat([values, norm.detach()[None]])))

    def _freeze_all_but(self, parameters: Sequence[Parameter]) -> None:
        for one in self._trainable:
            one.requires_grad_(False)
        for one in parameters:
            one.requires_grad_(True)

    def _read(self, leave: int = 0) -> None:
        while len(self._unread) > leave:
            place, names, values = self._unread.popleft()
            for name, value in zip(names, values.tolist(), strict=True):
                if not math.isfinite(value):
                    with met_alike():
                        raise ValueError(
                            f"The {_called(name)} is {value} at {place}; lower the learning rate or look at the data. "
                            "Checkpoints saved before are intact."
                        )
                if name != _NORM:
                    total, count = self._sums.get(name, (0.0, 0))
                    self._sums[name] = [total + value, count + 1]


_NORM = "norm of the gradient"


def _called(name: str) -> str:
    return name if name == _NORM else f'loss term "{name}"'


def rate_at(step: int, steps: int) -> float:
    """The learning rate of a step as a share of the peak: a cosine up over the first 15 % of the steps, then down.

    A function of the step alone, so that a resumed run needs no schedule of its own.
    """
    warm_up = _WARM_UP_SHARE * steps - 1
    if step < warm_up:
        return _cosine(_FIRST_RATE, 1.0, step / warm_up)
    return _cosine(1.0, _LAST_RATE, (step - warm_up) / max(1.0, steps - 1 - warm_up) if warm_up > 0 else step / steps)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
