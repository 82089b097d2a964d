"""What a card says of the sequences given, and what it does not say."""

from dataclasses import replace

import pytest
from REACTDistillLib.card import Card
from REACTDistillLib.expectation import expectation, listed

METRICS = {
    "t1+flair": {"dice_WT": 0.85, "dice_ET": 0.71, "cases": 40},
    "t1+t1ce+flair": {"dice_WT": 0.86, "dice_ET": 0.83, "cases": 40},
    "t1+t2+flair": {"dice_WT": 0.88, "dice_ET": 0.72, "cases": 40},
    "t1+t1ce+t2+flair": {"dice_WT": 0.90, "dice_ET": 0.86, "cases": 40},
}


def card(metrics=METRICS, *, synthetic=False):
    return Card(
        name="Tiny",
        version="1",
        recipe="ccsd",
        task="segment",
        network={},
        sequences={"required": [], "optional": ["t1", "t1ce", "t2", "flair"]},
        regions={"required": [], "optional": ["brain"]},
        grid={},
        intensity={},
        classes=("WT", "ET"),
        metrics=metrics,
        training={"synthetic": synthetic},
        licence="",
        intended_use="",
        limitations="",
    )


def test_the_sequence_that_helps_most_and_by_how_much():
    said = expectation(card(), {"flair", "t1"})
    assert said.given == ("t1", "flair")
    assert said.dice == {"WT": 0.85, "ET": 0.71}
    assert said.full_dice == {"WT": 0.90, "ET": 0.86}
    assert said.gains["t1ce"] == pytest.approx({"WT": 0.01, "ET": 0.12})
    assert said.gains["t2"] == pytest.approx({"WT": 0.03, "ET": 0.01})
    assert said.helps_most == "t1ce"  # 0.065 on average, against 0.02
    assert said.sentence == (
        "With T1 and FLAIR alone a Dice of 0.85 for WT and 0.71 for ET is expected, as measured in 40 cases "
        "(all four: 0.90, 0.86); T1ce would help most (ET +0.12)."
    )


def test_all_sequences_lack_nothing():
    said = expectation(card(synthetic=True), {"flair", "t2", "t1ce", "t1"})
    assert said.gains == {}
    assert said.helps_most is None
    assert said.sentence == (
        "With T1, T1ce, T2 and FLAIR a Dice of 0.90 for WT and 0.86 for ET is expected, as measured in 40 synthetic "
        "cases."
    )


def test_no_number_is_made_up_for_a_subset_that_was_not_evaluated():
    said = expectation(card(), {"t2"})
    assert (said.dice, said.gains, said.helps_most) == ({}, {}, None)
    assert said.sentence == 'With T2 alone the Dice to expect is not known: the card of "Tiny" does not tell it.'
    assert not any(character.isdigit() for character in said.sentence.replace("T2", ""))


def test_a_gain_is_known_only_where_the_richer_subset_is():
    known = {name: row for name, row in METRICS.items() if name in ("t1+flair", "t1+t2+flair")}
    said = expectation(card(known), {"t1", "flair"})
    assert set(said.gains) == {"t2"}
    assert said.full_dice == {}
    assert said.sentence.endswith("as measured in 40 cases; T2 would help (WT +0.03).")


def test_a_sequence_that_does_not_help_is_not_praised():
    worse = {**METRICS, "t1+t1ce+flair": METRICS["t1+flair"], "t1+t2+flair": METRICS["t1+flair"]}
    said = expectation(card(worse), {"t1", "flair"})
    assert said.helps_most is None
    assert said.sentence.endswith("; no missing sequence was found to help.")


def test_sequences_that_the_student_does_not_take_are_left_out():
    assert expectation(card(), {"t1", "flair", "ct"}).given == ("t1", "flair")
    with pytest.raises(ValueError, match=r'one of "Tiny"; it takes t1, t1ce, t2, flair'):
        expectation(card(), {"ct"})


def test_a_card_of_another_region_has_its_own_words():
    one_region = replace(card({"t1": {"dice_WT": 0.5, "cases": 1}}), classes=("WT",))
    said = expectation(one_region, {"t1"})
    assert said.sentence == "With T1 alone a Dice of 0.50 for WT is expected, as measured in 1 case."
    assert said.to_json()["given"] == ["t1"]


def test_lists_read_as_in_a_sentence():
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
