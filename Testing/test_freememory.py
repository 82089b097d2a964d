"""The memory that is free against the memory that a case needs."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from REACTDistillLib.freememory import (
    available_bytes,
    check_memory,
    check_segmentation,
    free_bytes_of,
)
from REACTDistillLib.volume import Grid, Volume
from REACTDistillScene.interpreter import workerLaunch

# 1000 x 500 x 500 voxels without any memory behind them: 1 GB as float32
LARGE = Volume(np.broadcast_to(np.float32(0), (1000, 500, 500)), Grid((1000, 500, 500), np.eye(4)))


def test_a_case_that_needs_more_than_is_free_is_refused_with_both_numbers() -> None:
    # 0.6 GB for torch and 1.5 times the volume of 1 GB, beside the volume itself
    with pytest.raises(ValueError, match=r"about 2\.1 GB of memory and 2\.0 GB are free; close"):
        check_memory([LARGE], free_bytes=2_000_000_000)
    check_memory([LARGE], free_bytes=2_200_000_000)


def test_the_system_tells_a_number_that_can_be_true() -> None:
    free = available_bytes()
    if free is None:
        pytest.skip("this system does not tell how much memory is free")
    assert 10**7 < free < 10**14


def test_where_the_system_does_not_tell_nothing_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("REACTDistillLib.freememory.available_bytes", lambda: None)
    check_memory([LARGE])


def test_a_segmentation_that_needs_more_than_is_free_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"about 2\.0 GB of memory and 1\.5 GB are free; close"):
        check_segmentation(2_000_000_000, free_bytes=1_500_000_000)
    check_segmentation(2_000_000_000, free_bytes=2_000_000_000)
    check_segmentation(2_000_000_000, free_bytes=None)
    assert free_bytes_of("mps") is None
    assert (free_bytes_of("cpu") is None) == (available_bytes() is None)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps memory that the worker was told to keep")
def test_what_a_worker_keeps_for_the_next_run_goes_back_when_it_is_idle() -> None:
    program = """
import numpy as np
from REACTDistillLib.freememory import give_memory_back
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
arrays = [np.ones(250_000) for _ in range(100)]  # 200 MB
del arrays
kept = resident() - before
give_memory_back()
print(kept, resident() - before)
"""
    environment = {**os.environ, **workerLaunch()[1]}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    kept, left = map(int, told.stdout.split())
    assert kept > 150e6
    assert left < 50e6
