"""Subsets of the sequences of a case: all of them, one of each size, one at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import torch
from torch import Tensor

SAMPLINGS = ("sizes", "subsets")


def all_subsets(sequences: int) -> Tensor:
    """The 2^M - 1 non-empty subsets of M sequences, (2^M - 1, M) bool: by size, then in the order of the sequences."""
    chosen = [
        [number in members for number in range(sequences)]
        for size in range(1, sequences + 1)
        for members in combinations(range(sequences), size)
    ]
    return torch.tensor(chosen, dtype=torch.bool)


def subsets_of(present: Tensor) -> Tensor:
    """The non-empty subsets of the sequences that a case has: ``present`` (M,) -> (K, M) bool."""
    everything = all_subsets(len(present)).to(present.device)
    return everything[~(everything & ~present).any(dim=1)]


def random_subset(present: Tensor, generator: torch.Generator, sampling: str) -> Tensor:
    """A random non-empty subset (M,) of what is ``present`` (M,).

    ``sampling`` "sizes": each size is as likely as any other, then the members (as ShaSpec); "subsets": each subset is
    as likely as any other.
    """
    if sampling == "subsets":
        subsets = subsets_of(present)
        return subsets[int(torch.randint(len(subsets), (), generator=generator))]
    size = 1 + int(torch.randint(int(present.sum()), (), generator=generator))
    return _random_of_size(present, size, generator)


def random_levels(present: Tensor, generator: torch.Generator) -> Tensor:
    """One random subset of each level n = 1..M-1, (M - 1, M) bool, drawn independently.

    A row is empty where a case has no more than n sequences: there is no richer set that could teach it.
    """
    count = int(present.sum())
    rows = [
        _random_of_size(present, n, generator) if n < count else torch.zeros_like(present)
        for n in range(1, len(present))
    ]
    return torch.stack(rows) if rows else present.new_zeros((0, len(present)))


def levels_of(present: Tensor) -> Iterator[Sequence[Tensor]]:
    """For each level n = 1..M-1 all subsets of n of the M sequences, each for B cases: ``present`` (B, M) -> (B, M).

    A subset that a case does not have is empty for it.
    """
    everything = all_subsets(present.shape[1]).to(present.device)
    sizes = everything.sum(dim=1)
    for n in range(1, present.shape[1]):
        poorer = present.sum(dim=1, keepdim=True) > n  # (B, 1)
        rows = everything[sizes == n]
        yield [row & poorer & ~(row & ~present).any(dim=1, keepdim=True) for row in rows]


def _random_of_size(present: Tensor, size: int, generator: torch.Generator) -> Tensor:
    draws = torch.where(present, torch.rand(present.shape, generator=generator), -1.0)
    chosen = torch.zeros_like(present)
    chosen[draws.topk(size).indices] = True
    return chosen
