"""A cohort of which only some patients have a label."""

from pathlib import Path

import pytest
from REACTDistillLib.cohort import Cohort, CohortEntry
from REACTDistillLib.fewerlabels import with_fewer_labels


def cohort(count=600):
    entries = tuple(
        CohortEntry(f"case_{n}", f"patient_{n // 2}", n // 2 % 5, "AB"[n // 2 % 2], {}, {}, {}, {})
        for n in range(count)
    )
    return Cohort("made up", True, ("A", "B"), entries, Path())


def labeled(one):
    return {entry.id for entry in one.entries if entry.label is not None}


def test_a_share_of_the_patients_keeps_its_labels_and_the_fold_that_judges_all():
    after = with_fewer_labels(cohort(), 0.4, seed=0, kept_fold=4)
    judging = {entry.id for entry in after.entries if entry.fold == 4}
    assert judging <= labeled(after)
    assert len(labeled(after) - judging) / 480 == pytest.approx(0.4, abs=0.06)
    assert all(
        entry.label in (None, before.label) for entry, before in zip(after.entries, cohort().entries, strict=True)
    )


def test_all_cases_of_a_patient_are_treated_alike():
    kept = labeled(with_fewer_labels(cohort(), 0.5, seed=0, kept_fold=4))
    assert all((f"case_{n}" in kept) == (f"case_{n + 1}" in kept) for n in range(0, 600, 2))


def test_the_draw_belongs_to_seed_and_patient_and_not_to_the_order():
    before = cohort()
    backwards = Cohort("made up", True, ("A", "B"), before.entries[::-1], Path())
    kept = labeled(with_fewer_labels(before, 0.5, seed=1, kept_fold=4))
    assert labeled(with_fewer_labels(backwards, 0.5, seed=1, kept_fold=4)) == kept
    assert labeled(with_fewer_labels(before, 0.5, seed=2, kept_fold=4)) != kept


@pytest.mark.parametrize("share", [0.0, 1.5, -1.0])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(ValueError, match=f"got {share}"):
        with_fewer_labels(cohort(8), share, seed=0, kept_fold=0)
