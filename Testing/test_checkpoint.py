"""Checkpoints: what goes in comes out to the bit; what cannot be written leaves what was there."""

import errno
import json
import os
import subprocess
import sys

import pytest
import torch
from REACTDistillLib.checkpoint import (
    load_tensors,
    load_weights,
    optimizer_tensors,
    restore_optimizer,
    save_tensors,
    under_prefix,
    with_prefix,
)
from REACTDistillLib.runfolder import RunFolder


def network():
    torch.manual_seed(3)
    one = torch.nn.Sequential(torch.nn.Conv3d(2, 3, 3), torch.nn.BatchNorm3d(3))
    one[0].weight.data = one[0].weight.data.contiguous(memory_format=torch.channels_last_3d)
    return one


def stepped(one, steps, optimizer=None):
    """The optimizer after some steps on inputs that depend on the step only."""
    optimizer = optimizer or torch.optim.AdamW(one.parameters(), 1e-2)
    for step in steps:
        values = torch.randn((2, 2, 5, 5, 5), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        (one(values) ** 3).mean().backward()
        optimizer.step()
    return optimizer


def test_tensors_and_state_come_back_to_the_bit(tmp_path):
    tensors = {
        "half": torch.tensor([0.1, -2.0], dtype=torch.bfloat16),
        "whole": torch.tensor(7),
        "bytes": torch.tensor([0, 255], dtype=torch.uint8),
        "turned": torch.arange(6.0).reshape(2, 3).T,
    }
    state = {"best": 0.1 + 0.2, "none": None, "sums": {"loss": [1e-17, 3]}}
    save_tensors(tmp_path / "a.safetensors", tensors, state)
    found, again = load_tensors(tmp_path / "a.safetensors")
    assert again == state
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in found)


def test_tensors_that_share_memory_are_kept_under_both_names(tmp_path):
    shared = torch.arange(3.0)
    save_tensors(tmp_path / "a.safetensors", {"one": shared, "other": shared})
    found, state = load_tensors(tmp_path / "a.safetensors")
    assert torch.equal(found["one"], shared)
    assert torch.equal(found["other"], shared)
    assert state == {}


def test_training_from_a_restored_state_goes_on_to_the_bit(tmp_path):
    whole = network()
    stepped(whole, range(8))
    first = network()
    optimizer = stepped(first, range(5))
    tensors = with_prefix("network", first.state_dict()) | with_prefix("optimizer", optimizer_tensors(optimizer))
    save_tensors(tmp_path / "a.safetensors", tensors)
    found, _ = load_tensors(tmp_path / "a.safetensors")
    second = network()
    load_weights(second, under_prefix("network", found), "a")
    fresh = torch.optim.AdamW(second.parameters(), 1e-2)
    restore_optimizer(fresh, under_prefix("optimizer", found))
    state = fresh.state[second[0].weight]
    assert state["exp_avg"].stride() == second[0].weight.stride()
    stepped(second, range(5, 8), fresh)
    assert all(torch.equal(one, second.state_dict()[name]) for name, one in whole.state_dict().items())


def test_the_same_content_makes_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_tensors(tmp_path / name, {"x": torch.ones(2), "y": torch.zeros(3)}, {"p": 1, "q": [2]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"0.weight": torch.zeros(3, 2, 3, 3, 3)}, 'tensor "0.bias" is absent, the network needs \\(3,\\)'),
        ({"0.weight": torch.zeros(1)}, r'tensor "0.bias" is absent'),
        ({**network().state_dict(), "0.bias": torch.zeros(4)}, r'tensor "0.bias" is \(4,\), the network needs \(3,\)'),
        ({**network().state_dict(), "extra": torch.zeros(4)}, r'tensor "extra" is \(4,\), the network needs absent'),
    ],
)
def test_weights_that_do_not_fit_are_one_sentence_and_change_nothing(tensors, words):
    one = network()
    with pytest.raises(ValueError, match=words):
        load_weights(one, tensors, "file")
    assert torch.equal(one[0].weight, network()[0].weight)


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\x80\x02}q\x00.", b"PK\x03\x04", b"\xff" * 100])
def test_a_damaged_file_is_one_sentence(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r'"a\.safetensors" is damaged or no safetensors file'):
        load_tensors(tmp_path / "a.safetensors")


def test_a_file_cut_short_and_an_absent_one_are_one_sentence(tmp_path):
    save_tensors(tmp_path / "a.safetensors", {"x": torch.ones(200)})
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-10])
    with pytest.raises(ValueError, match="is damaged"):
        load_tensors(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r'no file "b\.safetensors"'):
        load_tensors(tmp_path / "b.safetensors")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_last_checkpoint_and_no_rest(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": torch.ones(2)}, {"epoch": 1})
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(ValueError, match="No space left on device; what was saved before is still there"):
        save_tensors(path, {"x": torch.zeros(2)}, {"epoch": 2})
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]


_TOO_LARGE = """
import sys, resource, torch
from pathlib import Path
from REACTDistillLib.checkpoint import save_tensors
path = Path(sys.argv[1])
save_tensors(path, {"x": torch.ones(10)}, {"epoch": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    save_tensors(path, {"x": torch.ones(10_000)}, {"epoch": 2})
except ValueError as error:
    print(error)
"""


def test_a_real_limit_of_the_file_system_leaves_the_last_checkpoint(tmp_path):
    path = tmp_path / "a.safetensors"
    result = subprocess.run([sys.executable, "-c", _TOO_LARGE, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout.count("\n") == 1
    assert '"a.safetensors" cannot be written: File too large; what was saved before is still there.' in result.stdout
    assert load_tensors(path)[1] == {"epoch": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_log_is_cut_to_what_the_checkpoint_counts(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.start({"seed": 1})
    for epoch in (1, 2, 3):
        run.log({"epoch": epoch})
    with (run.path / "metrics.jsonl").open("ab") as stream:
        stream.write(b'{"epo')  # the process was killed here
    run.cut_log(2)
    assert [json.loads(line) for line in (run.path / "metrics.jsonl").open()] == [{"epoch": 1}, {"epoch": 2}]
    with pytest.raises(ValueError, match="has 2 lines and the checkpoint 5"):
        run.cut_log(5)


def test_what_a_killed_process_was_writing_is_removed_and_does_not_count(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / ".config.json.123.part").write_bytes(b"{")
    run = RunFolder(path)
    run.start({"seed": 1})
    (path / ".checkpoint.safetensors.123.part").write_bytes(b"half")
    run.resume({"seed": 1})
    assert [one.name for one in path.iterdir()] == ["config.json"]
    assert run.checkpoint() is None


def test_another_configuration_names_the_field(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.start({"seed": 1, "versions": {"torch": "1"}})
    run.resume({"seed": 1, "versions": {"torch": "2"}})
    with pytest.raises(ValueError, match="was started with seed 1 and cannot go on with 2"):
        run.resume({"seed": 2, "versions": {"torch": "1"}})
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is no JSON text any more"):
        run.resume({"seed": 1})
