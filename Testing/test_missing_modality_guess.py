"""Which volume is which sequence, told from names, DICOM tags and times."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from REACTDistillScene.sequenceguess import VolumeFacts, assignedSequences, guessedSequence, sequencesOf

NAMES = {
    "t1": [
        "BraTS_001_t1",
        "Ax T1 pre",
        "3DT1 MPRAGE",
        "SPGR without contrast",
        "5: T1 FLAIR SAG",
        "T1w unenhanced",
        "pat2 T1",
    ],
    "t1ce": [
        "BraTS_001_t1ce",
        "T1c_subtrMeanDivStd",
        "AX T1 POST",
        "t1 mprage +C",
        "T1 GD",
        "T1 SE KM",
        "T1w_postcontrast",
    ],
    "t2": ["BraTS_001_t2", "Ax T2 TSE", "t2w", "AXT2 FRFSE"],
    "flair": ["Flair_subtrMeanDivStd", "T2 FLAIR", "pat1_flair", "t2_tirm_tra_dark-fluid", "FLAIR post contrast"],
    None: ["ADC map", "T2* GRE", "ep2d_diff", "localizer", "perfusion T1 DCE", "T1 subtraction", "volume 7", "T1 mask"],
}


@pytest.mark.parametrize(("sequence", "name"), [(s, name) for s, names in NAMES.items() for name in names])
def test_a_name_tells_the_sequence(sequence, name) -> None:
    guess = guessedSequence(VolumeFacts(name))
    assert (None if guess is None else guess.sequence) == sequence


def test_a_contrast_agent_in_the_tags_makes_a_t1_a_t1ce_but_leaves_a_flair() -> None:
    tags = {"SeriesDescription": "AX T1 SE", "ContrastBolusAgent": "Gadovist 7 ml"}
    assert guessedSequence(VolumeFacts("4: AX T1 SE", tags)).sequence == "t1ce"
    assert guessedSequence(VolumeFacts("x", {**tags, "SeriesDescription": "AX FLAIR"})).sequence == "flair"
    assert guessedSequence(VolumeFacts("x", {**tags, "ContrastBolusAgent": "NONE"})).sequence == "t1"
    assert guessedSequence(VolumeFacts("x", {**tags, "SeriesDescription": "AX T1 pre"})).sequence == "t1"


@pytest.mark.parametrize(
    ("times", "sequence"),
    [
        (("9000", "120", "2500"), "flair"),
        (("500", "12", ""), "t1"),
        (("2300", "3", "900"), "t1"),  # MPRAGE
        (("4500", "100", ""), "t2"),
        (("3000", "30", ""), None),  # proton density
        (("", "12", ""), None),
        (("much", "12", ""), None),
    ],
)
def test_times_tell_the_sequence_where_words_do_not(times, sequence) -> None:
    tags = dict(zip(("RepetitionTime", "EchoTime", "InversionTime"), times, strict=True))
    guess = guessedSequence(VolumeFacts("301: axial", tags))
    assert (None if guess is None else guess.sequence) == sequence


def test_what_is_no_mri_is_none_of_the_four() -> None:
    assert guessedSequence(VolumeFacts("T1 planning", {"Modality": "CT"})) is None


def test_each_volume_gets_one_place_and_the_surer_then_the_finer_one_wins() -> None:
    volumes = {
        "a": VolumeFacts("axial", {"RepetitionTime": "500", "EchoTime": "12"}, voxelMm3=1.0),
        "b": VolumeFacts("T1 thick", voxelMm3=5.0),
        "c": VolumeFacts("T1 thin", voxelMm3=1.0),
        "d": VolumeFacts("FLAIR"),
    }
    assigned = assignedSequences(volumes)
    assert {name: key for name, (key, _guess) in assigned.items()} == {"t1": "c", "flair": "d"}
    assert assignedSequences(dict(reversed(volumes.items()))).keys() == assigned.keys()


def test_sequences_come_in_the_order_of_the_card_and_unknown_names_are_refused() -> None:
    assert list(sequencesOf({"flair": 1, "t2": None, "t1": 2})) == ["t1", "flair"]
    with pytest.raises(ValueError, match='There is no sequence "t1c"; the names are t1, t1ce, t2, flair'):
        sequencesOf({"t1c": 1})
