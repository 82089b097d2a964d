"""Training in several processes: who takes part, what they average, how one failure ends all.

The processes are those of torchrun. What one process alone cannot do (a file, a case) is done ``together``: its
sentence reaches all of them. A process that dies without a word is seen by torchrun, which ends the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from .device import resolve_device
from .errors import sentence_of
from .progress import Cancelled

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

Result = TypeVar("Result")
Drawn = TypeVar("Drawn")
# The others wait while the first process prepares the cases that choose and score.
_LONGEST_WAIT = timedelta(days=1)
_SENTENCE_BYTES = 1024


class StoppedByAnother(ValueError):
    """Another process failed first; it tells why."""


@dataclass(frozen=True)
class Processes:
    """The processes of one run, seen from the one with number ``rank`` of ``count``, computing on ``device``."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """True in the one process that writes and speaks."""
        return self.rank == 0

    def part(self, batch: Sequence[Drawn]) -> Sequence[Drawn]:
        """This process's equal part of a batch of all processes; ValueError when it cannot be cut equally."""
        if len(batch) % self.count:
            raise ValueError(f"A batch of {len(batch)} cannot be cut into {self.count} equal parts, one per process.")
        size = len(batch) // self.count
        return batch[self.rank * size : (self.rank + 1) * size]

    def together(self, work: Callable[[], Result]) -> Result:
        """What ``work`` returns here, as soon as it succeeded in all processes.

        When it failed anywhere, the first process that failed raises its error and all others StoppedByAnother.
        """
        if self.count == 1:
            return work()
        result: Result | None = None
        problem: Exception | None = None
        try:
            result = work()
        except (ValueError, OSError, MemoryError, ModuleNotFoundError, Cancelled) as error:
            problem = error
        sentences = self._gathered("" if problem is None else sentence_of(problem) or type(problem).__name__)
        failed = [rank for rank, sentence in enumerate(sentences) if sentence]
        if failed and problem is not None and failed[0] == self.rank:
            raise problem
        if failed:
            raise StoppedByAnother(sentences[failed[0]]) from problem
        return result  # type: ignore[return-value]  # a Result, which may be None

    def _gathered(self, sentence: str) -> list[str]:
        """The sentence of each process, by rank; as bytes, because gathering objects would pickle them."""
        import torch

        content = list(sentence.encode()[:_SENTENCE_BYTES])
        padded = content + [0] * (_SENTENCE_BYTES - len(content))
        own = torch.tensor(padded, dtype=torch.uint8, device=self.device)
        all_of_them = [torch.empty_like(own) for _ in range(self.count)]
        torch.distributed.all_gather(all_of_them, own)
        return [bytes(one.tolist()).rstrip(b"\0").decode(errors="ignore") for one in all_of_them]

    def first(self, work: Callable[[], object]) -> None:
        """Let the first process alone do ``work``; when it fails there, all stop."""
        self.together(lambda: work() if self.is_first else None)

    def from_first(self, value: float) -> float:
        """The number that the first process holds."""
        if self.count == 1:
            return value
        import torch

        number = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(number, 0)
        return float(number)

    def average(self, parameters: Iterable[Parameter], terms: Tensor) -> Tensor:
        """Average the gradients over all processes in place; return the averages of ``terms`` (T,).

        One flat buffer, one exchange: unlike DistributedDataParallel it works for any number of networks and updates,
        and never crosses the exchanges of a batch norm. A parameter that no process used keeps no gradient, so that
        its optimizer leaves it alone as in one process. Losses must be means over samples.
        """
        if self.count == 1:
            return terms
        import torch

        chosen = list(parameters)
        used = torch.tensor([one.grad is not None for one in chosen], dtype=torch.float32, device=terms.device)
        parts = [torch.zeros_like(one) if one.grad is None else one.grad for one in chosen]
        flat = torch.cat([terms.float(), used, *(part.reshape(-1) for part in parts)])
        torch.distributed.all_reduce(flat)
        flat /= self.count
        averages, used, values = flat.split([len(terms), len(chosen), flat.numel() - len(terms) - len(chosen)])
        for one, anywhere, part in zip(chosen, used.tolist(), values.split([p.numel() for p in parts]), strict=True):
            if anywhere:
                one.grad = part.view(one.shape) if one.grad is None else one.grad.copy_(part.view(one.shape))
        return averages


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun started, joined while the context lasts; one process when it did not start any.

    Each process computes on its own CUDA device when ``device`` is "cuda". Within another such context it is the same
    group again. Raises ValueError when the processes cannot reach each other, and as ``resolve_device``.
    """
    import torch

    with met_alike():
        device = resolve_device(device)

    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if device == "cuda" and count > 1:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    processes = Processes(rank, count, device)
    if count == 1 or torch.distributed.is_initialized():
        yield processes
        return
    # An optimizer imports this at its first step. Imported after the group was made, it holds the group beyond its
    # end, and a thread of the group that still lets go of a tensor while Python exits aborts the process.
    import torch._dynamo

    try:
        torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_LONGEST_WAIT)
    except (RuntimeError, torch.distributed.DistError) as error:
        raise ValueError(f"Process {rank} of {count} cannot reach the others: {error}") from error
    try:
        yield processes
    finally:
        torch.distributed.destroy_process_group()


@contextmanager
def met_alike() -> Iterator[None]:
    """For what every process meets alike (a setting, a loss that is NaN): only the first one tells of the error."""
    try:
        yield
    except ValueError as error:
        if os.environ.get("RANK", "0") == "0":
            raise
        raise StoppedByAnother(str(error)) from error
