"""A segmenting student judged on every subset: readings, numbers, report and command."""

import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import REACTDistillLib.subsets.readings as subsetreadings
from REACTDistillLib.__main__ import main
from REACTDistillLib.heldout import Subject
from REACTDistillLib.student import load_student
from REACTDistillLib.subsets.evaluate import evaluate_subsets, targets_of
from REACTDistillLib.subsets.evaluation import SubsetConfig
from REACTDistillLib.subsets.readings import ReadingConfig, masks_on_truths, read_subsets
from REACTDistillLib.subsets.scores import card_metrics
from REACTDistillLib.volume import Grid, Volume
from subset_samples import CASES, KnownAnswers, write_brains, write_segmenter

TARGETS = {"WT": "wt", "TC": "tc", "ET": "et"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmenting")
    cohort = write_brains(folder / "cohort")
    write_segmenter(folder / "tiny.safetensors", cohort, name="Tiny <b>")
    return folder, cohort


@pytest.fixture(scope="module")
def judged(files):
    folder, cohort = files
    config = SubsetConfig(fold="all", samples=20, overlays=1, command="reactdistill <x>")
    return evaluate_subsets(folder / "tiny.safetensors", cohort, folder / "report", config), folder / "report"


def test_known_answers_have_known_scores(files, monkeypatch):
    folder, cohort = files
    monkeypatch.setattr(subsetreadings, "recipe_named", lambda name: KnownAnswers())
    student = load_student(folder / "tiny.safetensors")
    seen = []
    readings = read_subsets(
        student, cohort.entries, ReadingConfig(TARGETS), progress=lambda stage, done, total: seen.append((done, total))
    )
    metrics = card_metrics(readings.table)
    assert metrics["t1+t1ce+t2+flair"] == {"dice_WT": 1.0, "dice_TC": 1.0, "dice_ET": 1.0, "cases": CASES}
    assert metrics["flair"]["dice_WT"] == 1.0
    assert metrics["t1"]["dice_WT"] == 0.0
    assert metrics["t1ce"]["dice_WT"] == pytest.approx(2 / 3, abs=0.01)  # 2 * n / 2 / (n / 2 + n)
    places = {subset: index for index, subset in enumerate(readings.table.subsets)}
    assert (readings.table.hd95_mm[:, places[("flair",)]] == 0).all()
    diagonal = np.linalg.norm(cohort.entries[0].load().regions["wt"].grid.spacing_ijk_mm * 20)
    assert readings.table.hd95_mm[0, places[("t1",)], 0] == pytest.approx(diagonal)
    assert seen[-1] == (CASES, CASES)
    assert len(readings.overlays) == 2
    assert set(readings.overlays[0].predicted) == set(places)
    assert readings.sequences == {"t1": 4, "t1ce": 4, "t2": 4, "flair": 4}


def test_probabilities_are_judged_on_the_voxels_of_the_truth_and_regions_stay_nested():
    coarse = Grid((1, 1, 4), np.diag([2.0, 1.0, 1.0, 1.0]))
    fine = Grid((1, 1, 7), np.eye(4))
    outer = Volume(np.float32([[[0.0, 1.0, 1.0, 0.0]]]), coarse)
    inner = Volume(np.float32([[[0.0, 0.0, 1.0, 1.0]]]), coarse)
    truth = Volume(np.zeros(fine.shape_kji, bool), fine)
    masks = masks_on_truths({"WT": outer, "TC": inner}, {"WT": truth, "TC": truth})
    assert masks["WT"].ravel().tolist() == [False, True, True, True, True, True, False]  # 0.5 counts
    assert masks["TC"].ravel().tolist() == [False, False, False, True, True, True, False]


def test_a_case_that_cannot_be_read_is_named(files):
    folder, cohort = files
    student = load_student(folder / "tiny.safetensors")
    with pytest.raises(ValueError, match=rf'case "{cohort.entries[0].id}" cannot be evaluated: it has none of'):
        read_subsets(student, cohort.entries, ReadingConfig({"WT": "nothing"}), progress=lambda *one: None)


def test_the_truth_of_a_class_is_as_chosen_or_as_trained_or_named_like_it(files, tmp_path):
    folder, _ = files
    card = load_student(folder / "tiny.safetensors").card
    (tmp_path / "config.json").write_text(json.dumps({"settings": {"training": {"targets": {"TC": "core"}}}}))
    subject = Subject(folder / "tiny.safetensors", tmp_path, 1)
    assert targets_of(card, subject, {"WT": "tumor"}) == {"WT": "tumor", "TC": "core", "ET": "et"}
    with pytest.raises(ValueError, match='no class "XY"; its classes are WT, TC, ET'):
        targets_of(card, subject, {"XY": "tumor"})


def test_the_folder_holds_numbers_figures_and_one_page(judged):
    evaluation, folder = judged
    assert {path.name for path in folder.iterdir()} == {
        "report.html",
        "scores.json",
        "cases.csv",
        "subsets.csv",
        "levels.png",
        "aurc.png",
        "subsets.png",
        "overlay_1.png",
    }
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["task"] == "segment"
    assert len(scores["subsets"]) == 15
    assert scores["summary"]["aurc"]["value"] == pytest.approx(evaluation.summary["aurc"][0], abs=1e-6)
    assert scores["cases"] == [entry.id for entry in evaluation.part.entries]
    with (folder / "cases.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == CASES * 15 * 3
    with (folder / "subsets.csv").open() as stream:
        means = list(csv.DictReader(stream))
    assert len(means) == 15 * 3
    assert all("Synthetic patients. Research software, not a" in row["notice"] for row in [*rows, *means])


class Balanced(HTMLParser):
    """Counts open elements; void ones have no end."""

    def __init__(self):
        super().__init__()
        self.open, self.sources = [], []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_says_what_must_stand_beside_the_numbers(judged):
    evaluation, folder = judged
    text = (folder / "report.html").read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert len(parser.sources) == len(list(folder.glob("*.png")))
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in parser.sources)
    assert not re.search(r"https?:|<script|<link|@import|url\(", text)
    for part in ("not a medical device", "synthetic patients", "(synthetic)</h1>", "Untrained: knows nothing."):
        assert part in text
    for part in ("Dice 1 and HD95 0 mm", "trapezoid", "was trained on this cohort", evaluation.card.sha256):
        assert part in text
    assert "Tiny &lt;b&gt;" in text
    assert "<b>" not in text
    for path in folder.iterdir():
        assert str(folder.parent).encode() not in path.read_bytes()


def test_the_command_judges_by_the_task_of_the_student_and_sets_others_beside_it(files, judged, capsys):
    folder, _ = files
    words = ["evaluate", "--student", str(folder / "tiny.safetensors"), "--cohort", str(folder / "cohort/cohort.json")]
    words += ["--fold", "all", "--samples", "10", "--overlays", "0"]
    assert main([*words, "--out", str(folder / "second"), "--beside", str(judged[1])]) == 0
    said = capsys.readouterr().out
    assert "aurc" in said
    assert "not a medical device" in said
    assert "Tiny &lt;b&gt; 1 (report)</td>" in (folder / "second/report.html").read_text()
    assert not list((folder / "second").glob("overlay*"))
    held_out = [*words[:5], "--samples", "10", "--out", str(folder / "third")]
    assert main([*held_out, "--beside", str(judged[1])]) == 2  # other cases: fold 1 only
    assert "is of other cases" in capsys.readouterr().err
    assert main([*held_out, "--doses", "10"]) == 2
    assert "--doses is for students that grade" in capsys.readouterr().err
    assert main([*held_out, "--truth", "WT=a", "--truth", "TC=b", "--truth", "ET=c"]) == 2
    assert "No case has one of the regions a, b, c to compare with; the cases have: brain, et, tc, wt." in (
        capsys.readouterr().err
    )
    assert not (folder / "third").exists()


def test_a_truth_that_names_no_region_is_refused_by_the_command(files, capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--student", "x", "--cohort", "y", "--out", "z", "--truth", "WT"])
    assert "write it as WT=tumor" in capsys.readouterr().err
