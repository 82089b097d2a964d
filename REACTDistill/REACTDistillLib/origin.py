"""Which cases the weights of a network have seen: written beside them, and looked at before another run uses them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .cohort import CohortEntry

_SEEN = "seen"


def origin_of(entries: Iterable[CohortEntry], *earlier: Mapping[str, Any]) -> dict[str, Any]:
    """What is saved with weights that were trained or chosen on ``entries``, and come from ``earlier`` origins."""
    seen = {_fingerprint(entry) for entry in entries}
    return {_SEEN: sorted(seen.union(*(origin.get(_SEEN, ()) for origin in earlier)))}


def check_unseen(origin: Mapping[str, Any], held_out: Sequence[CohortEntry], file: str) -> None:
    """Raise ValueError when weights in ``file`` have seen a case that is held out; files of elsewhere tell nothing."""
    seen = set(origin.get(_SEEN, ()))
    known = [entry.id for entry in held_out if _fingerprint(entry) in seen]
    if known:
        raise ValueError(
            f'The weights in "{file}" have seen {len(known)} of the {len(held_out)} held-out cases, such as '
            f'"{known[0]}"; use weights of a run that holds out the same fold.'
        )


def _fingerprint(entry: CohortEntry) -> str:
    """Of the files of a case: the same in every cohort that has it, whatever it is called there."""
    return hashlib.sha256(" ".join(sorted(entry.sha256.values())).encode()).hexdigest()[:16]
