from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from REACTDistillLib import student as student_module
from REACTDistillLib.card import Card, StudentFileError
from REACTDistillLib.device import resolve_device
from REACTDistillLib.student import load_student, read_card, save_student, tensors_sha256
from student_samples import draft, network, student_path, tiny_recipe

__all__ = ["student_path", "tiny_recipe"]  # fixtures
BACKEND_ROOT = Path(student_module.__file__).parents[1]


def test_a_student_comes_back_from_its_file_bit_for_bit_in_eval_mode(tmp_path: Path) -> None:
    original = network()
    card = save_student(tmp_path / "tiny.safetensors", original, draft())
    student = load_student(tmp_path / "tiny.safetensors")
    assert student.card == card == read_card(tmp_path / "tiny.safetensors")
    assert (student.device, student.path) == ("cpu", tmp_path / "tiny.safetensors")
    assert not any(module.training for module in student.network.modules())
    loaded = student.network.state_dict()
    assert loaded.keys() == original.state_dict().keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in original.state_dict().items())


def test_the_card_of_the_file_tells_its_tensors(student_path: Path) -> None:
    card = read_card(student_path)
    assert card.tensors["0.weight"] == {"shape": [2, 1, 1, 1, 1], "dtype": "F32"}
    assert card.tensors["1.num_batches_tracked"] == {"shape": [], "dtype": "I64"}
    assert card.tensors_sha256 == tensors_sha256(network().state_dict())


def test_the_checksum_of_tensors_is_that_of_their_lines_and_little_endian_bytes() -> None:
    tensors = {"b": torch.tensor([1.0, -2.0]), "a": torch.tensor(3)}
    by_hand = b'["a", "I64", []]\n\x03\0\0\0\0\0\0\0' + b'["b", "F32", [2]]\n\0\0\x80\x3f\0\0\0\xc0'
    assert tensors_sha256(tensors) == hashlib.sha256(by_hand).hexdigest()


def test_equal_input_makes_equal_bytes(student_path: Path, tmp_path: Path) -> None:
    save_student(tmp_path / "again.safetensors", network(), draft())
    assert (tmp_path / "again.safetensors").read_bytes() == student_path.read_bytes()


def test_weights_of_any_float_become_float32(tmp_path: Path) -> None:
    save_student(tmp_path / "tiny.safetensors", network().double(), draft())
    assert read_card(tmp_path / "tiny.safetensors").tensors["0.weight"]["dtype"] == "F32"
    assert torch.equal(load_student(tmp_path / "tiny.safetensors").network[0].weight, network()[0].weight)


def test_a_transposed_weight_is_saved_in_the_order_of_its_indices(tmp_path: Path) -> None:
    linear = torch.nn.Linear(2, 2, bias=False)
    linear.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).T
    save_student(tmp_path / "linear.safetensors", linear, draft())
    saved = safetensors.torch.load_file(tmp_path / "linear.safetensors")["weight"]
    assert saved.tolist() == [[1.0, 3.0], [2.0, 4.0]]


def test_loading_leaves_the_random_numbers_of_a_running_training_alone(student_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    load_student(student_path)
    assert torch.equal(torch.rand(3), expected)


def test_the_card_is_read_without_torch(student_path: Path) -> None:
    code = "import sys; from REACTDistillLib.student import read_card; print(read_card(sys.argv[1]).name)\n"
    code += "assert 'torch' not in sys.modules"
    output = subprocess.run(
        [sys.executable, "-c", code, str(student_path)], check=True, capture_output=True, text=True, cwd=BACKEND_ROOT
    )
    assert output.stdout == "Tiny\n"


# Saving.


@pytest.mark.parametrize(
    ("card", "phrase"),
    [
        (draft(classes=()), 'card field "classes" is [], expected'),
        (draft(metrics={"ct": {"auc": float("nan")}}), 'card field "metrics" is {"ct": {"auc": NaN}}, expected'),
    ],
)
def test_an_invalid_card_is_not_written(tmp_path: Path, card: Card, phrase: str) -> None:
    with pytest.raises(StudentFileError) as caught:
        save_student(tmp_path / "tiny.safetensors", network(), card)
    assert phrase in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    broken = network()
    broken[0].bias.data[1] = float("nan")
    with pytest.raises(StudentFileError, match=r'^tensor "0.bias" holds NaN or infinity, .*\.$'):
        save_student(tmp_path / "tiny.safetensors", broken, draft())
    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudentFileError, match=r'^a student file ends in ".safetensors", got "tiny.pt"\.$'):
        save_student(tmp_path / "tiny.pt", network(), draft())


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(
    student_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = student_path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StudentFileError, match=r'^"tiny.safetensors" cannot be written: No space left on device\.$'):
        save_student(student_path, network(), draft(version="2"))
    assert student_path.read_bytes() == before
    assert list(student_path.parent.iterdir()) == [student_path]


def test_saving_into_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StudentFileError, match=r'^"tiny.safetensors" cannot be written: No such file or directory\.$'):
        save_student(tmp_path / "none" / "tiny.safetensors", network(), draft())


# Devices.


@pytest.mark.parametrize(
    ("cuda_count", "has_mps", "device"), [(2, False, "cuda"), (0, True, "mps"), (0, False, "cpu"), (1, True, "cuda")]
)
def test_auto_takes_the_best_device_there_is(
    monkeypatch: pytest.MonkeyPatch, cuda_count: int, has_mps: bool, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda_count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    assert resolve_device("auto") == device
    assert resolve_device(device) == device
    assert resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", "gpu", "", "cpu ", "cuda:-1", "cpu\n"])
def test_a_device_that_is_absent_or_unknown_is_never_replaced(
    monkeypatch: pytest.MonkeyPatch, student_path: Path, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1 if device == "cuda:1" else 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for ask in (resolve_device, lambda device: load_student(student_path, device=device)):
        with pytest.raises(ValueError, match=r"^device .*\.$") as caught:
            ask(device)
        assert "\n" not in str(caught.value)
