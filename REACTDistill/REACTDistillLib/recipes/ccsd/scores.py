"""Dice of prepared samples for every subset of their sequences: what training picks its best weights by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...subsets.samples import Truth
from ...subsets.scores import summary_scores
from .. import Batch
from .networks import CompositionalNet
from .subsets import all_subsets


class SubsetDice(NamedTuple):
    """The subsets (K, M) of one case, and their Dice (K, R) per region, NaN where there is no truth."""

    subsets: Tensor
    dice: Tensor


@torch.inference_mode()
def subset_dice(network: CompositionalNet, sample: Batch) -> SubsetDice:
    """Dice of a prepared sample for each subset that it wants scored; encoders run once. On the CPU.

    Two empty masks agree (1), an empty and another do not (0). Only voxels of the brain count.
    """
    encoded, truth = network.encode(sample["image"][None], sample["present"][None]), Truth.of(sample)
    rows = [truth.dice(network.decode(encoded, subset[None])[0]) for subset in sample["scored"]]
    return SubsetDice(sample["scored"].cpu(), torch.tensor(rows))


def mean_scores(cases: Iterable[SubsetDice]) -> dict[str, float]:
    """Scores over all subsets, regions and cases: "dice", "aurc", and "dice_1" ... for that many sequences.

    "score" is the mean Dice. As ``subsets.scores.summary_scores`` means them; a score that nothing was measured for is
    left out, and "score" is NaN then. Raises ValueError without a case.
    """
    found = list(cases)
    if not found:
        raise ValueError("There is no case to score; the validation part needs at least one with a truth.")
    sequences, regions = found[0].subsets.shape[1], found[0].dice.shape[1]
    everything = all_subsets(sequences)
    place = {tuple(row): index for index, row in enumerate(everything.tolist())}
    values = np.full((len(found), len(everything), regions), math.nan)
    for number, one in enumerate(found):
        values[number, [place[tuple(row)] for row in one.subsets.tolist()]] = one.dice.numpy()
    names = [tuple(str(m) for m in row.nonzero().flatten().tolist()) for row in everything]
    scores = summary_scores(values, names, [f"region {number}" for number in range(regions)])
    wanted = ["dice", "aurc", *(f"dice_{n}" for n in range(1, sequences + 1))]
    kept = {name: scores[name] for name in wanted if not math.isnan(scores[name])}
    return {"score": scores["dice"], **kept}
