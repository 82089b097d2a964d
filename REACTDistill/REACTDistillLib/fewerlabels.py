"""A cohort of which only some patients have a label."""

from __future__ import annotations

import random
from dataclasses import replace

from .cohort import Cohort, CohortEntry


def with_fewer_labels(cohort: Cohort, share: float, *, seed: int, kept_fold: int) -> Cohort:
    """The cohort with the labels of about ``share`` of the patients; ``kept_fold``, which judges, keeps all of its own.

    Each patient is drawn by itself from ``seed`` and the code of the patient, so neither order nor number of cases
    matter. Raises ValueError for a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of patients with a label must be above 0 and at most 1, got {share}.")

    def drawn(entry: CohortEntry) -> CohortEntry:
        kept = entry.fold == kept_fold or random.Random(f"{seed}/{entry.patient}").random() < share
        return entry if kept else replace(entry, label=None)

    return replace(cohort, entries=tuple(map(drawn, cohort.entries)))
