from __future__ import annotations

import hashlib
import json
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from REACTDistillLib import student as student_module
from REACTDistillLib.card import Card, StudentFileError
from REACTDistillLib.student import load_student, read_card, save_student, tensors_sha256
from student_samples import draft, network, student_path, tiny_recipe

__all__ = ["student_path", "tiny_recipe"]  # fixtures
Edit = Callable[[dict[str, Any], dict[str, Any]], None]


def refusal(path: Path) -> str:
    with pytest.raises(StudentFileError) as caught:
        load_student(path)
    sentence = str(caught.value)
    assert sentence.startswith(f'"{path.name}"')
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "expected" in sentence or "update" in sentence
    return sentence


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def put(path: Path, header: dict[str, Any], tensors: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)


def forged(path: Path, edit: Edit) -> None:
    """Change the tensor table and the card, and make the checksum of the card right again."""
    header, tensors = parts(path)
    card = json.loads(header["__metadata__"]["card"])
    del card["card_sha256"]
    edit(header, card)
    text = json.dumps(card, sort_keys=True, separators=(",", ":"))
    card["card_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    header["__metadata__"] = {"card": json.dumps(card)}
    put(path, header, tensors)


# What is refused: the file.


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.safetensors")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.safetensors")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.safetensors").touch()
    assert "is empty" in refusal(tmp_path / "empty.safetensors")


def test_a_file_without_permission_is_refused(student_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(StudentFileError, match=r'^"tiny.safetensors" cannot be read: Permission denied\.$'):
        load_student(student_path)


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_renamed_pickle_is_refused_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    marker, path = tmp_path / "marker", tmp_path / "student.safetensors"
    path.write_bytes(pickle.dumps(Malicious(marker), protocol=protocol))
    assert "executed" in refusal(path)
    with pytest.raises(StudentFileError):
        read_card(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())  # noqa: S301 - shows that this pickle would have run
    assert marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_renamed_checkpoint_of_pytorch_is_refused_and_does_not_run(tmp_path: Path, zipped: bool) -> None:
    marker, path = tmp_path / "marker", tmp_path / "student.safetensors"
    torch.save({"weights": Malicious(marker)}, path, _use_new_zipfile_serialization=zipped)
    assert "is a PyTorch checkpoint or another pickle or zip file, expected safetensors" in refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_are_refused(tmp_path: Path, seed: int) -> None:
    (tmp_path / "noise.safetensors").write_bytes(random.Random(seed).randbytes(1024))
    refusal(tmp_path / "noise.safetensors")


@pytest.mark.parametrize("length", [2**60, 2**64 - 1, 10**6])
def test_a_header_longer_than_the_file_is_refused(student_path: Path, length: int) -> None:
    student_path.write_bytes(struct.pack("<Q", length) + student_path.read_bytes()[8:])
    assert f"claims a header of {length} bytes, expected at most " in refusal(student_path)


def test_a_file_cut_short_anywhere_is_refused(student_path: Path) -> None:
    content = student_path.read_bytes()
    for size in [*range(1, 40), len(content) // 2, len(content) - 100, len(content) - 1]:
        student_path.write_bytes(content[:size])
        refusal(student_path)


def test_bytes_after_the_last_tensor_are_refused(student_path: Path) -> None:
    student_path.write_bytes(student_path.read_bytes() + b"\0")
    assert "the tensor table does not fit" in refusal(student_path)


def test_a_header_nested_without_end_is_refused(student_path: Path) -> None:
    student_path.write_bytes(struct.pack("<Q", 200_000) + b'{"a":' * 40_000)
    assert "the header is not valid JSON" in refusal(student_path)


# What is refused: the card.


def test_a_plain_safetensors_file_has_no_card(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(2)}, path)
    assert "has no card" in refusal(path)
    safetensors.torch.save_file({"w": torch.zeros(2)}, path, {"format": "pt"})
    assert "has no card" in refusal(path)


@pytest.mark.parametrize("card", ["no json", "[]", '{"schema": 1, "schema": 1}', "null", '"text"'])
def test_a_card_that_is_no_object_is_refused(tmp_path: Path, card: str) -> None:
    path = tmp_path / "odd.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(2)}, path, {"card": card})
    assert "the card is " in refusal(path)


def test_a_card_without_a_field_is_refused(student_path: Path) -> None:
    forged(student_path, lambda _, card: card.pop("licence"))
    assert refusal(student_path) == '"tiny.safetensors": card field "licence" is missing, expected one line of text.'


def test_a_card_of_a_later_schema_is_refused(student_path: Path) -> None:
    forged(student_path, lambda _, card: card.update(schema=2))
    assert "was written for card schema 2, this version reads 1: update the extension." in refusal(student_path)


def test_a_changed_word_of_the_card_is_refused_even_when_the_card_stays_valid(student_path: Path) -> None:
    content = student_path.read_bytes()
    assert content.count(b"Knows nothing.") == 1
    student_path.write_bytes(content.replace(b"Knows nothing.", b"Knows a thing."))
    assert 'card field "card_sha256" is ' in refusal(student_path)
    with pytest.raises(StudentFileError, match="card_sha256"):
        read_card(student_path)


# What is refused: the tensors, before any network is built.


def retyped(header: dict[str, Any], _: dict[str, Any]) -> None:
    header["1.num_batches_tracked"]["dtype"] = "F64"


def reshaped(header: dict[str, Any], _: dict[str, Any]) -> None:
    header["0.weight"]["shape"] = [1, 2, 1, 1, 1]


def renamed(header: dict[str, Any], _: dict[str, Any]) -> None:
    header["0.other"] = header.pop("0.weight")


def missing(_: dict[str, Any], card: dict[str, Any]) -> None:
    card["tensors"]["2.weight"] = {"shape": [1], "dtype": "F32"}


def extra(_: dict[str, Any], card: dict[str, Any]) -> None:
    del card["tensors"]["0.bias"]


@pytest.mark.parametrize(
    ("edit", "phrase"),
    [
        (retyped, 'tensor "1.num_batches_tracked" is F64 of shape [], expected I64 of shape [] by the card.'),
        (reshaped, '"0.weight" is F32 of shape [1, 2, 1, 1, 1], expected F32 of shape [2, 1, 1, 1, 1] by the card.'),
        (renamed, 'tensor "0.other" is F32 of shape [2, 1, 1, 1, 1], expected absent by the card.'),
        (missing, 'tensor "2.weight" is absent, expected F32 of shape [1] by the card.'),
        (extra, 'tensor "0.bias" is F32 of shape [2], expected absent by the card.'),
    ],
)
def test_tensors_other_than_those_of_the_card_are_refused(
    student_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Edit, phrase: str
) -> None:
    monkeypatch.setattr(student_module, "recipe_named", lambda name: pytest.fail("a network was asked for"))
    forged(student_path, edit)
    assert phrase in refusal(student_path)


def test_a_flipped_bit_in_a_tensor_is_refused(student_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student_module, "recipe_named", lambda name: pytest.fail("a network was asked for"))
    content = bytearray(student_path.read_bytes())
    content[-1] ^= 1
    student_path.write_bytes(content)
    assert "the tensors have SHA-256" in refusal(student_path)


ORIGINAL: list[tuple[bytes, Card]] = []


@settings(max_examples=300, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_no_single_changed_byte_passes_unseen(
    tmp_path_factory: pytest.TempPathFactory, position: float, mask: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    if not ORIGINAL:
        card = save_student(path, network(), draft())
        ORIGINAL.append((path.read_bytes(), card))
    content, card = bytearray(ORIGINAL[0][0]), ORIGINAL[0][1]
    content[int(position * len(content))] ^= mask
    path.write_bytes(content)
    try:
        student = load_student(path)
    except StudentFileError:
        refusal(path)
    else:  # white space inside the header may change without changing what it says
        assert student.card == card
        assert tensors_sha256(student.network.state_dict()) == card.tensors_sha256


# What is refused: the network.


def test_an_unknown_recipe_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "new.safetensors"
    save_student(path, network(), draft(recipe="future"))
    with pytest.raises(StudentFileError) as caught:
        load_student(path)
    assert str(caught.value) == '"new.safetensors": There is no recipe "future"; this version knows: tiny.'


def test_a_network_other_than_the_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.safetensors"
    save_student(path, network(), draft(network={"name": "tiny", "config": {"width": 3}}))
    assert refusal(path) == (
        '"wide.safetensors": tensor "0.bias" is F32 of shape [2], expected F32 of shape [3] by the network "tiny".'
    )


@pytest.mark.parametrize("config", [{}, {"width": "a"}, {"width": -1}, {"width": 10**30}], ids=range(4))
def test_a_config_that_the_recipe_cannot_build_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    path = tmp_path / "odd.safetensors"
    save_student(path, network(), draft(network={"name": "tiny", "config": config}))
    assert 'recipe "tiny" builds no network from card field "network.config" {' in refusal(path)
