"""Which cases a student is judged on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from REACTDistillLib.cohort import Cohort, CohortEntry
from REACTDistillLib.heldout import ALL, Subject, part_of, subject_of
from student_samples import draft

FILE = Subject(Path("student.safetensors"))
RUN = Subject(Path("student.safetensors"), Path("run"), 1)


def entry(number, fold, label):
    return CohortEntry(f"c{number}", f"p{number}", fold, label, {"ct": "ct.nrrd"}, {}, {}, {})


COHORT = Cohort(
    "six",
    True,
    ("low", "high"),
    tuple(entry(n, n // 2, ("low", "high")[n % 2]) for n in range(6)),
    Path("folder"),
)


def card(cohort=COHORT, **training):
    return draft(training={**draft().training, "cohort_sha256": cohort.sha256, **training})


def ids(part):
    return [one.id for one in part.entries]


def test_a_run_is_judged_on_its_held_out_fold():
    part = part_of(COHORT, card(), RUN, None)
    assert (ids(part), part.held_out, part.warnings) == (["c2", "c3"], True, ())
    assert "fold 1" in part.name
    assert "held out" in part.name


def test_a_student_file_is_judged_on_the_fold_that_its_card_holds_out():
    assert ids(part_of(COHORT, card(fold=2), FILE, None)) == ["c4", "c5"]


@pytest.mark.parametrize(("subject", "fold", "count"), [(RUN, 0, 2), (RUN, ALL, 6), (FILE, None, 6)])
def test_cases_seen_in_training_are_marked_so(subject, fold, count):
    part = part_of(COHORT, card(), subject, fold)
    assert len(part.entries) == count
    assert not part.held_out
    assert "seen in training" in part.name
    assert "do not say how it does on cases it has not seen" in part.warnings[0]


def test_another_cohort_is_judged_whole_though_the_run_has_a_fold():
    part = part_of(COHORT, card(cohort_sha256="0" * 64), RUN, None)
    assert (len(part.entries), part.held_out, part.warnings) == (6, True, ())
    assert "another cohort" in part.name


def test_synthetic_patients_of_the_training_are_known_by_their_seeds():
    entries = tuple(replace(one, id=f"phantom_{n + 298:05d}") for n, one in enumerate(COHORT.entries))
    numbered = replace(COHORT, entries=entries)

    def trained_on(name):
        content = {**draft().training, "cohort_sha256": "0" * 64, "cohort": name, "synthetic": True}
        return draft(training=content)

    part = part_of(numbered, trained_on("phantoms 0 to 299"), FILE, None)
    assert not part.held_out
    assert '2 of 6 cases have identifiers that the student was trained on ("phantom_00298")' in part.warnings[0]
    assert part_of(numbered, trained_on("phantoms 0 to 297"), FILE, None).held_out
    real = replace(numbered, synthetic=False)  # a patient may be called as a phantom is
    assert part_of(real, trained_on("phantoms 0 to 299"), FILE, None).held_out


def test_cases_without_a_label_are_left_out_and_counted():
    cohort = replace(COHORT, entries=(*COHORT.entries, entry(6, 0, None)))
    part = part_of(cohort, card(COHORT), FILE, ALL)
    assert len(part.entries) == 6
    assert part.warnings == ("1 cases without a label were left out.",)


@pytest.mark.parametrize(
    ("cohort", "fold", "words"),
    [
        (COHORT, 7, "no fold 7"),
        (COHORT, "most", 'fold is "most"'),
        (replace(COHORT, classes=("low", "middle")), None, "knows the classes low, high; the cohort has low, middle"),
        (replace(COHORT, entries=COHORT.entries[:1]), ALL, 'No case of class "high" is among the 1 labeled'),
        (replace(COHORT, entries=()), None, 'No case of class "low" is among the 0 labeled'),
    ],
)
def test_what_cannot_be_judged_is_one_sentence(cohort, fold, words):
    with pytest.raises(ValueError, match=words):
        part_of(cohort, card(), FILE, fold)


def test_a_run_folder_gives_its_student_and_its_fold(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"fold": 2}))
    (tmp_path / "student.safetensors").write_bytes(b"x")
    assert subject_of(tmp_path) == Subject(tmp_path / "student.safetensors", tmp_path, 2)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "holds no config.json"),
        ("{", "is not JSON"),
        ("[]", 'names no held-out "fold"'),
        ('{"fold": true}', 'names no held-out "fold"'),
        ('{"fold": 0}', "let it finish first"),
    ],
)
def test_what_is_no_finished_run_is_one_sentence(tmp_path, config, words):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=words):
        subject_of(tmp_path)


def test_a_student_that_segments_is_judged_on_the_cases_with_a_truth_whatever_their_label():
    regions = ({"wt": "wt.nrrd"}, {"brain": "brain.nrrd"}, {"et": "et.nrrd", "wt": "wt.nrrd"})
    entries = tuple(replace(entry(n, n, None), regions=one) for n, one in enumerate(regions))
    cohort = replace(COHORT, classes=("glioma",), entries=entries)
    part = part_of(cohort, card(cohort_sha256="0" * 64), FILE, None, truths=("wt", "et"))
    assert ids(part) == ["c0", "c2"]
    assert part.name.startswith("all cases with a truth of")
    assert part.warnings == ("1 cases without a truth were left out.",)
    with pytest.raises(ValueError, match="the cases have: brain, et, wt"):
        part_of(cohort, card(), FILE, None, truths=("tc",))
