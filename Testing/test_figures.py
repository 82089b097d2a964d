"""Figures are drawn from numbers, without a display, and say what their axes are."""

import struct

import numpy as np
import pytest
from REACTDistillLib import figures
from REACTDistillLib.calibration import reliability
from REACTDistillLib.decision import decision_curve
from REACTDistillLib.deletion import FRACTIONS, ORDERS

RNG = np.random.default_rng(0)
LABELS = np.arange(12) % 3
PROBABILITIES = RNG.dirichlet(np.ones(3), size=12)
CLASSES = ("well", "moderate", "poor")
LINES = [
    {"stage": "teacher", "epoch": 1, "losses": {"focal": 0.9}, "score": 0.5, "best": True},
    {"stage": "student", "epoch": 1, "losses": {"focal": 0.8, "kd": 0.3}, "score": 0.4, "best": False},
]


def corner(x):
    return np.array([0.0, x, 1.0]), np.array([0.0, 1 - x, 1.0]), 0.5


DRAWINGS = {
    "roc": (figures.draw_roc, ({name: corner(0.1 * n) for n, name in enumerate(CLASSES)},)),
    "decision": (
        figures.draw_decision,
        ({name: decision_curve(PROBABILITIES[:, k], k == LABELS) for k, name in enumerate(CLASSES)},),
    ),
    "reliability": (
        figures.draw_reliability,
        ({"before": reliability(PROBABILITIES, LABELS), "after": reliability(PROBABILITIES, LABELS, 5)},),
    ),
    "confusion": (figures.draw_confusion, (np.array([[3, 1, 0], [0, 2, 1], [0, 0, 4]]), CLASSES)),
    "conditions": (figures.draw_conditions, ({"as measured": (0.8, 0.7, 0.9), "dose 500": (0.6, 0.4, 0.7)},)),
    "deletion": (figures.draw_deletion, ({name: RNG.random((4, len(FRACTIONS))) for name in ORDERS},)),
    "deletion of one case": (figures.draw_deletion, ({name: RNG.random((1, len(FRACTIONS))) for name in ORDERS},)),
    "tsne": (figures.draw_tsne, (RNG.random((12, 2)), LABELS, CLASSES)),
    "training": (figures.draw_training, (LINES,)),
    "training without a best": (figures.draw_training, (LINES[1:],)),
}


@pytest.fixture
def texts(monkeypatch):
    """All that is written into the figures drawn in a test."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    written = []
    original = Figure.savefig

    def savefig(figure, *arguments, **named):
        written.extend(text.get_text() for text in figure.findobj(Text))
        return original(figure, *arguments, **named)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return written


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_a_png_of_a_size_for_a_page_with_its_note(name, tmp_path, texts):
    draw, arguments = DRAWINGS[name]
    path = draw(*arguments, tmp_path / "one.png", "Made for a test.")
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    assert 450 <= width <= 1500
    assert 200 <= height <= 900
    assert "Made for a test." in texts


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("roc", {"sensitivity", "1 − specificity", "moderate, AUC 0.500"}),
        ("decision", {"net benefit per case", "threshold probability", "treat all", "treat none", "student"}),
        ("reliability", {"accuracy", "confidence (highest probability)", "cases"}),
        ("confusion", {"true class", "predicted class", "well", "3"}),
        ("conditions", {"macro AUC, one against the rest", "dose 500"}),
        ("deletion", {"taken out of the evidence volume (%)", "probability of the predicted class", *ORDERS}),
        ("training", {"training loss terms", "validation score", "epoch (all stages)", "focal", "kd"}),
    ],
)
def test_axes_and_curves_are_named(name, words, tmp_path, texts):
    draw, arguments = DRAWINGS[name]
    draw(*arguments, tmp_path / "one.png", "")
    assert words <= set(texts)


def test_a_long_note_is_wrapped_to_the_width_of_the_figure(tmp_path, texts):
    draw, arguments = DRAWINGS["confusion"]
    draw(*arguments, tmp_path / "one.png", "word " * 40)
    note = next(text for text in texts if text.startswith("word word"))
    assert max(map(len, note.splitlines())) <= 3.6 * 19


def test_drawing_does_not_change_how_the_caller_draws(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw, arguments = DRAWINGS["roc"]
    draw(*arguments, tmp_path / "one.png", "")
    assert dict(matplotlib.rcParams) == before
