"""What the processes of one training share."""

import json
import subprocess
import sys
from pathlib import Path

import parallel_samples
import pytest
import torch
from REACTDistillLib.parallel import Processes, joined


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*torchrun, parallel_samples.__file__, str(folder)], check=True, timeout=120)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_gradients_and_terms_become_means_and_unused_parameters_stay_without(found):
    # (1, 2) and (3, 6); nothing and (8, 4); nothing at all. Terms (0, 5) and (1, 5).
    for one in found:
        assert one["averaged"] == {"gradients": [[2.0, 4.0], [4.0, 2.0], None], "terms": [0.5, 5.0]}


def test_a_failure_in_one_process_ends_all_and_one_tells_why(found):
    assert [one["none fails"] for one in found] == ["returned 0", "returned 1"]
    told = "Process 1 ran out of täpes."
    assert [one["second fails"] for one in found] == [f"stopped: {told}", f"raised: {told}"]
    told = "Process 0 ran out of täpes."
    assert [one["both fail"] for one in found] == [f"raised: {told}", f"stopped: {told}"]
    assert [one["alike"] for one in found] == ["speaks", "silent"]


def test_the_first_process_decides_to_the_last_bit_and_batches_are_cut_equally(found):
    assert [one["from first"] for one in found] == [0.1, 0.1]
    assert [one["part"] for one in found] == [[5, 6], [7, 8]]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc, which is not here")
def test_no_thread_of_the_group_outlives_it_because_python_may_abort_on_it_at_exit(found):
    for one in found:
        assert one["threads within"] > 0
        assert one["threads after"] == 0


def test_a_batch_that_cannot_be_cut_equally_is_refused():
    with pytest.raises(ValueError, match="batch of 3 cannot be cut into 2 equal parts"):
        Processes(0, 2).part([1, 2, 3])


def test_alone_everything_is_done_here(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as processes:
        assert (processes.rank, processes.count) == (0, 1)
        assert processes.together(lambda: 7) == 7
        assert processes.from_first(0.3) == 0.3
        assert list(processes.part([1, 2])) == [1, 2]
        one = torch.nn.Parameter(torch.zeros(1))
        assert processes.average([one], torch.tensor([4.0])).tolist() == [4.0]
        assert one.grad is None
