"""Which volume is which MRI sequence: a guess from DICOM tags and names, for the user to confirm."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import slicer

from .translation import tr as _

SEQUENCES = ("t1", "t1ce", "t2", "flair")
SEQUENCE_LABELS = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}

_TAGS = {
    "Modality": "0008,0060",
    "SeriesDescription": "0008,103e",
    "ContrastBolusAgent": "0018,0010",
    "RepetitionTime": "0018,0080",
    "EchoTime": "0018,0081",
    "InversionTime": "0018,0082",
}
_OTHER_MODALITIES = ("CT", "PT", "NM", "US", "CR", "DX", "SEG", "RTDOSE")
# Maps, subtractions and other weightings that have T1 or T2 in their names, or look like them by their times.
_NO_SEQUENCE = re.compile(
    r"adc|dwi|dti|diff|trace|swi|swan|t2 ?(?:\*|star)|perf|dsc|dce|asl|cbv|cbf|fmri|bold|scout|locali[sz]er|survey"
    r"|subtract|\bsub\b|mask|\bseg\b|label|\bmap\b|phase|\bmra?\b ?angio|\btof\b|mip|\bct\b|\bpet\b"
)
_FLAIR = re.compile(r"flair|\bfla\b|dark ?fluid|\btirm\b")
# Not within a word, where "pat1" would be a T1, but after the words that are often joined to it.
_START = r"(?:(?<![a-z])|(?<=3d)|(?<=2d)|(?<=ax)|(?<=sag)|(?<=cor)|(?<=tra))"
_T2 = re.compile(_START + r"t2(?!\d)")
_T1 = re.compile(_START + r"t1(?!\d)|mprage|mp ?rage|spgr|bravo|\btfl\b|vibe|\btfe\b")
_CONTRAST = re.compile(
    r"t1 ?wi? ?(?:ce|c|gd)\b|t1 ?(?:ce|c|gd|km)|\bce\b|\bgd\b|gad|post|contrast|enhanced|\+ ?c\b|\bkm\b|\bmdc\b"
)
_NO_CONTRAST = re.compile(r"\bpre\b|pre ?contrast|non? ?contrast|without|nativ|w/?o\b|non? ?enhanced|unenhanced")
_NO_AGENT = ("", "no", "none", "n", "0", "without", "no contrast")
_SURE, _LIKELY, _WEAK = 3, 2, 1


@dataclass(frozen=True)
class VolumeFacts:
    """What is known of a volume: its name, DICOM values by keyword ("" or absent where not known), voxel size."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    voxelMm3: float = 1.0


@dataclass(frozen=True)
class Guess:
    """A sequence, how sure that is (more is surer), and the words that say what it was told from."""

    sequence: str
    sureness: int
    reason: str


def guessedSequence(facts: VolumeFacts) -> Guess | None:
    """What one volume probably is; None when it is not an MRI sequence of the four, or nothing tells.

    Words come before times: a "T1 FLAIR" is a T1, and a FLAIR with contrast agent stays a FLAIR. A contrast agent in
    the tags or a word for it makes a T1 a T1ce.
    """
    if facts.tags.get("Modality", "").upper() in _OTHER_MODALITIES:
        return None
    sources = {_("by series description"): facts.tags.get("SeriesDescription", ""), _("by name"): facts.name}
    texts = {source: _plain(words) for source, words in sources.items()}
    everything = " ".join(texts.values())
    if _NO_SEQUENCE.search(everything):
        return None
    for source, text in texts.items():
        weighting = _weightingOfWords(text)
        if weighting:
            return _withContrast(weighting, everything, facts, source, _SURE)
    weighting = _weightingOfTimes(facts.tags)
    return _withContrast(weighting, everything, facts, _("by TR, TE and TI"), _WEAK) if weighting else None


def assignedSequences(volumes: Mapping[str, VolumeFacts]) -> dict[str, tuple[str, Guess]]:
    """Key of the volume and the guess by sequence, each volume once; a sequence that nothing fits is left out.

    Of several that fit, the surer one, then the one with the smaller voxels, then the first. A T1 that could not be
    told from a T1ce never fills both places.
    """
    candidates = [(key, guess) for key, facts in volumes.items() if (guess := guessedSequence(facts)) is not None]
    candidates.sort(key=lambda one: (-one[1].sureness, volumes[one[0]].voxelMm3))  # stable: the first stays first
    assigned: dict[str, tuple[str, Guess]] = {}
    for key, guess in candidates:
        assigned.setdefault(guess.sequence, (key, guess))
    return assigned


def factsOf(volumeNode: Any) -> VolumeFacts:
    """What the scene and, where there is one, the DICOM database of the application know of a volume node."""
    spacing = volumeNode.GetSpacing()
    return VolumeFacts(volumeNode.GetName() or "", _tagsOf(volumeNode), float(spacing[0] * spacing[1] * spacing[2]))


def guessAmong(volumeNodes: Iterable[Any]) -> dict[str, tuple[Any, Guess]]:
    """Like ``assignedSequences``, with nodes."""
    nodes = {node.GetID(): node for node in volumeNodes}
    assigned = assignedSequences({key: factsOf(node) for key, node in nodes.items()})
    return {sequence: (nodes[key], guess) for sequence, (key, guess) in assigned.items()}


def _plain(words: str) -> str:
    return re.sub(r"[_\-.,:;()\[\]]+", " ", words).casefold().strip()


def _weightingOfWords(text: str) -> str:
    isT1 = _T1.search(text) is not None
    if _FLAIR.search(text) and not isT1:
        return "flair"
    if isT1:
        return "t1"
    return "t2" if _T2.search(text) else ""


def _weightingOfTimes(tags: Mapping[str, str]) -> str:
    """From times in ms, as scanners of 1.5 and 3 T are set; "" where they do not tell."""
    repetition, echo, inversion = (_number(tags.get(f"{name}Time", "")) for name in ("Repetition", "Echo", "Inversion"))
    if echo <= 0 or repetition <= 0:
        return ""
    if inversion >= 1500 and echo >= 60:
        return "flair"
    if echo <= 30 and (repetition <= 1200 or 200 <= inversion <= 1300):
        return "t1"
    return "t2" if echo >= 60 and repetition >= 2000 and inversion <= 0 else ""


def _withContrast(weighting: str, text: str, facts: VolumeFacts, reason: str, sureness: int) -> Guess:
    if weighting != "t1":
        return Guess(weighting, sureness, reason)
    if _NO_CONTRAST.search(text):
        return Guess("t1", sureness, reason)
    if _CONTRAST.search(text):
        return Guess("t1ce", sureness, reason)
    agent = facts.tags.get("ContrastBolusAgent", "").strip()
    if agent.casefold() not in _NO_AGENT:
        return Guess("t1ce", min(sureness, _LIKELY), _("{reason} and contrast agent").format(reason=reason))
    return Guess("t1", sureness, reason)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # a tag that is not there or not filled in
        return 0.0


def _tagsOf(volumeNode: Any) -> dict[str, str]:
    uids = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    tags = {name: volumeNode.GetAttribute(f"DICOM.{name}") or "" for name in _TAGS}
    if uids and database is not None:
        tags = {name: database.instanceValue(uids[0], tag) or tags[name] for name, tag in _TAGS.items()}
    return {name: value for name, value in tags.items() if value}


def sequencesOf(volumesBySequence: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes that are given, in the order of the four sequences; ValueError for a name that is none of them."""
    for name in volumesBySequence:
        if name not in SEQUENCES:
            text = _('There is no sequence "{name}"; the names are {names}.')
            raise ValueError(text.format(name=name, names=", ".join(SEQUENCES)))
    return {name: volumesBySequence[name] for name in SEQUENCES if volumesBySequence.get(name) is not None}


def labelsOf(sequences: Sequence[str]) -> str:
    """The names of sequences as people write them, "T1ce, FLAIR"."""
    return ", ".join(SEQUENCE_LABELS.get(name, name) for name in sequences)
