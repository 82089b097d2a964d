"""Batches of training samples whose order and augmentation depend on seed, stage, epoch and place in it only.

Not on what ran before, nor on how many processes share the work: so a resumed run sees what the whole run saw.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from .parallel import Processes
from .recipes import Batch, Stage
from .trainingconfig import TrainingConfig

if TYPE_CHECKING:
    from concurrent.futures import Future

    import torch

    from .deploy import Trained

_Chosen = Generator[list[Batch], None, None]
_Drawn = tuple[int, int]  # place in the epoch, number of the sample
_BATCHES_AHEAD = 3
_MOST_THREADS = 8


def check_batch_size(config: TrainingConfig, samples: int, processes: Processes) -> None:
    """Raise ValueError when the batches of so many samples cannot be cut into equal parts."""
    processes.part(range(min(config.batch_size, samples)))


class Batches:
    """The batches of this process for one stage, of prepared samples without batch axis.

    Samples without a label (-1) take part only where the stage can learn from them; those with a label are then
    ``labeled_draws`` of what is drawn, so that few labels do not drown among many exams.
    """

    def __init__(self, trained: Trained, samples: Sequence[Batch], processes: Processes, stage: Stage) -> None:
        config = trained.config
        self._trained, self._seed, self._processes, self._stage = trained, config.seed, processes, stage.name
        self._samples = [one for one in samples if stage.unlabeled or int(one["label"]) >= 0]
        self._size = min(config.batch_size, len(self._samples))
        self._drawable = _balanced([int(one["label"]) >= 0 for one in self._samples], config.labeled_draws)
        self._steps = config.steps_per_epoch or len(self._samples) // self._size
        self._threads = config.loader_threads
        if self._threads is None:
            self._threads = 0 if processes.device == "cpu" else _MOST_THREADS

    def __len__(self) -> int:
        """Steps per epoch; what does not fill a batch is left out, other samples in each epoch."""
        return self._steps

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from ``first_step`` on, augmented, on the device of the process."""
        drawn = list(enumerate(self._order(epoch)))
        steps = [drawn[step * self._size : (step + 1) * self._size] for step in range(first_step, len(self))]
        chosen = [self._processes.part(step) for step in steps]
        place = (self._seed, self._stage, epoch)
        with closing(self._ahead(chosen, place) if self._threads else self._in_turn(chosen, place)) as batches:
            for samples in batches:
                yield self._collated(samples)

    def _order(self, epoch: int) -> list[int]:
        """All samples in a random order, again and again until the steps of an epoch are filled."""
        import torch

        generator = _generator(self._seed, self._stage, epoch)
        order: list[int] = []
        while len(order) < self._steps * self._size:
            shuffled = torch.randperm(len(self._drawable), generator=generator).tolist()
            order += [self._drawable[index] for index in shuffled]
        return order

    def _in_turn(self, chosen: Sequence[Sequence[_Drawn]], place: tuple[int, str, int]) -> _Chosen:
        for step in chosen:
            yield [self._augmented(one, place) for one in step]

    def _ahead(self, chosen: Sequence[Sequence[_Drawn]], place: tuple[int, str, int]) -> _Chosen:
        """The same, made in threads while the network computes."""
        waiting: deque[list[Future[Batch]]] = deque()
        pool = ThreadPoolExecutor(self._threads)
        try:
            for step in chosen:
                waiting.append([pool.submit(self._augmented, one, place) for one in step])
                if len(waiting) > _BATCHES_AHEAD:
                    yield [sample.result() for sample in waiting.popleft()]
            while waiting:
                yield [sample.result() for sample in waiting.popleft()]
        finally:
            pool.shutdown(cancel_futures=True)

    def _augmented(self, drawn: _Drawn, place: tuple[int, str, int]) -> Batch:
        position, index = drawn
        generator = _generator(*place, position)
        return self._trained.recipe.augment(self._samples[index], generator, self._trained.preparation)

    def _collated(self, samples: Sequence[Batch]) -> Batch:
        import torch

        device = self._processes.device
        batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
        if device.startswith("cuda"):  # pinned memory travels while the network computes
            return {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in batch.items()}
        return {name: tensor.to(device) for name, tensor in batch.items()}


def _balanced(labeled: Sequence[bool], share: float) -> list[int]:
    """The number of each sample, those with a label as often as it takes to be ``share`` of all, at least once."""
    known = [index for index, one in enumerate(labeled) if one]
    unknown = [index for index, one in enumerate(labeled) if not one]
    times = share / (1 - share) * len(unknown) / max(1, len(known))
    return known * max(1, round(times)) + unknown


def _generator(*place: int | str) -> torch.Generator:
    import torch

    digest = hashlib.sha256("/".join(map(str, place)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))  # the generator uses 32 bits
