"""The page of a report: complete, self-contained and with every notice."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from evaluation_samples import write_cohort, write_student
from REACTDistillLib.evaluate import evaluate
from REACTDistillLib.evaluation import EvaluationConfig
from REACTDistillLib.readings import Conditions
from REACTDistillLib.report import check_report_folder, page, write_report

CONFIG = EvaluationConfig(fold="all", conditions=Conditions(deletion_cases=2), samples=20, command="reactdistill <x>")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    cohort = write_cohort(folder / "cohort")
    write_student(folder / "tiny.safetensors", cohort, name="Tiny <b> & co")
    return evaluate(folder / "tiny.safetensors", cohort, folder / "report", CONFIG), folder / "report"


class Balanced(HTMLParser):
    """Counts open elements; void ones have no end."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.sources = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_holds_its_figures(made):
    text = (made[1] / "report.html").read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert parser.tags.count("img") == len(list(made[1].glob("*.png"))) == 6
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in parser.sources)
    assert not re.search(r"https?:|<script|<link|@import|url\(", text)


def test_the_page_says_what_must_stand_beside_the_numbers(made):
    evaluation, folder = made
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "not a medical device" in text
    assert "synthetic patients" in text
    assert "(synthetic)</h1>" in text
    assert "Untrained: knows nothing." in text
    assert "was trained on this cohort" in text
    assert evaluation.card.sha256 in text
    assert evaluation.cohort.sha256 in text
    assert "a student file was judged, not a run" in text


def test_words_from_outside_are_text_and_never_markup(made):
    text = (made[1] / "report.html").read_text(encoding="utf-8")
    assert "Tiny &lt;b&gt; &amp; co" in text
    assert "reactdistill &lt;x&gt;" in text
    assert "<b>" not in text


def test_no_file_of_the_report_holds_a_path_of_this_machine(made):
    for path in made[1].iterdir():
        assert str(made[1].parent).encode() not in path.read_bytes()


def test_equal_numbers_make_equal_files(made, tmp_path):
    write_report(made[0], tmp_path / "again")
    for path in made[1].iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_report_of_patients_is_not_marked_synthetic(made):
    evaluation = made[0]
    training = {**evaluation.card.training, "synthetic": False}
    real = replace(
        evaluation, cohort=replace(evaluation.cohort, synthetic=False), card=replace(evaluation.card, training=training)
    )
    assert "synthetic" not in page(real, {}).lower().replace("phantoms", "")
    assert evaluation.is_synthetic
    assert not real.is_synthetic


def test_a_report_never_lands_among_other_files(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(ValueError, match="not an empty folder"):
        check_report_folder(tmp_path)
    with pytest.raises(ValueError, match="not an empty folder"):
        check_report_folder(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="no right to write"):
        check_report_folder(tmp_path / "a.txt" / "report")


def test_nothing_is_left_when_the_disk_is_full(made, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("REACTDistillLib.report.draw_figures", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(made[0], tmp_path / "report")
    assert list(tmp_path.iterdir()) == []
