"""The worker as a process: its JSON lines, its tasks on real input, its end with the application."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from REACTDistillLib.exchange import volume_from_file, volume_to_file
from REACTDistillLib.finding import Finding
from REACTDistillLib.volume import Grid, Volume
from segmenting_samples import save_segmenting_student

MODULE = Path(__file__).resolve().parents[1] / "REACTDistill"


class Process:
    """A worker and what it said."""

    def __init__(self, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(MODULE), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *(arguments or ("-m", "REACTDistillLib", "worker"))],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.decode("utf-8"))

    @property
    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.lines]

    def send(self, **request) -> None:
        self.process.stdin.write((json.dumps(request) + "\n").encode())  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]

    def ask(self, number: int, **request) -> dict:
        self.send(request="run", id=number, **request)
        return self.wait_for(lambda event: event.get("id") == number and event["event"] in ("result", "error"))

    def wait_for(self, condition, seconds: float = 60.0) -> dict:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for event in self.events:
                if condition(event):
                    return event
            time.sleep(0.01)
        raise AssertionError(f"the worker said only {self.events[-3:]}")

    def close(self) -> int:
        self.process.stdin.close()  # type: ignore[union-attr]
        code = self.process.wait(10)
        self._reader.join()
        self.process.stdout.close()  # type: ignore[union-attr]
        return code


@pytest.fixture
def worker():
    made = Process()
    yield made
    if made.process.poll() is None:
        made.close()


def test_it_announces_itself_first_and_ends_when_stdin_ends(worker) -> None:
    started = worker.wait_for(lambda event: event["event"] == "started")
    assert started == {"event": "started", "pid": worker.process.pid}
    if os.name == "posix":
        assert os.getpgid(worker.process.pid) == worker.process.pid
    assert worker.close() == 3
    assert [event["event"] for event in worker.events] == ["started"]


def test_it_ends_in_the_middle_of_a_task_when_the_application_is_gone() -> None:
    worker = Process(str(Path(__file__).parent / "scripted_worker.py"))
    worker.send(request="run", id=1, task="hang")
    worker.wait_for(lambda event: event["event"] == "progress")
    assert worker.close() == 3


@pytest.mark.parametrize("line", ['{"request": "run", "id": 1', "[1, 2]", '{"request": "run"}', '{"id": 1}'])
def test_it_ends_at_a_line_that_is_no_request_instead_of_becoming_deaf(worker, line) -> None:
    worker.process.stdin.write(line.encode() + b"\n")
    worker.process.stdin.flush()
    try:
        assert worker.process.wait(10) == 4
    finally:
        worker.process.kill()
        worker.close()


def test_what_packages_print_does_not_get_between_the_events() -> None:
    worker = Process(str(Path(__file__).parent / "scripted_worker.py"))
    answer = worker.ask(7, task="echo", value="läsion", folder="x")
    assert answer["answer"]["value"] == "läsion"
    kinds = [event["event"] for event in worker.events]
    assert kinds == ["started", "accepted", "progress", "progress", "progress", "result"]
    worker.close()


def test_a_thousand_requests_at_once_are_answered_in_order() -> None:
    worker = Process(str(Path(__file__).parent / "scripted_worker.py"))
    for number in range(1000):
        worker.send(request="run", id=number, task="echo", value=number, folder="")
    worker.wait_for(lambda event: event["event"] == "result" and event["id"] == 999)
    answers = [event["answer"]["value"] for event in worker.events if event["event"] == "result"]
    assert answers == list(range(1000))
    worker.close()


def test_a_request_is_cancelled_between_two_steps() -> None:
    worker = Process(str(Path(__file__).parent / "scripted_worker.py"))
    worker.send(request="run", id=1, task="steps")
    worker.wait_for(lambda event: event["event"] == "progress")
    worker.send(request="cancel", id=1)
    worker.wait_for(lambda event: event["event"] == "cancelled" and event["id"] == 1, seconds=1.0)
    assert worker.ask(2, task="echo", value=1, folder="")["event"] == "result"
    worker.close()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="POSIX only")
def test_torch_is_not_imported_before_something_needs_it(worker) -> None:
    worker.wait_for(lambda event: event["event"] == "started")
    maps = Path(f"/proc/{worker.process.pid}/maps")
    if not maps.exists():
        pytest.skip("there is no /proc on this system")
    assert "libtorch" not in maps.read_text()


def test_region_masks_are_read_and_come_cropped(worker, tmp_path) -> None:
    import SimpleITK as sitk

    labels = np.zeros((4, 5, 6), dtype=np.uint8)
    labels[1:3, 2:4, 1:5] = 1
    labels[2, 3, 4] = 2
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(tmp_path / "labels.nrrd"))
    grid = {"shape_kji": [4, 5, 6], "ijk_to_ras": np.diag([-1.0, -1, 1, 1]).tolist()}
    answer = worker.ask(1, task="masks", path=str(tmp_path / "labels.nrrd"), grid=grid, folder=str(tmp_path))["answer"]
    masks = {one["name"]: volume_from_file(one["volume"], tmp_path) for one in answer["regions"]}
    assert {name: mask.array_kji.shape for name, mask in masks.items()} == {
        "label_1": (2, 2, 4),
        "label_2": (1, 1, 1),
    }
    assert int(masks["label_1"].array_kji.sum()) == 15
    assert masks["label_2"].grid.ijk_to_ras[:3, 3].tolist() == [-4.0, -3.0, 2.0]


def test_a_missing_file_is_one_sentence(worker, tmp_path) -> None:
    error = worker.ask(1, task="masks", path=str(tmp_path / "no.nrrd"), grid=None, folder=str(tmp_path))
    assert error["event"] == "error"
    assert error["message"] == "The chosen file does not exist."  # its path may hold the name of a patient


def test_a_case_is_graded_as_by_predict_and_stays_warm(worker, tmp_path) -> None:
    from REACTDistillLib.phantom import phantom_case
    from REACTDistillLib.predict import predict
    from REACTDistillLib.shipped import demo_student

    case = phantom_case(5)
    volumes = {"ct": case.sequences["ct"], **case.regions}
    sent = {name: {"token": name, "volume": volume_to_file(volume, tmp_path, name)} for name, volume in volumes.items()}
    request = {
        "task": "predict",
        "holder": "panel",
        "folder": str(tmp_path),
        "student": str(demo_student("grade")),
        "device": "cpu",
        "shown_class": None,
        "sequences": {"ct": sent["ct"]},
        "regions": {name: sent[name] for name in case.regions},
    }
    answer = worker.ask(1, **request)["answer"]
    finding = Finding.from_json(answer["finding"], volume_from_file(answer["attention"], tmp_path))
    expected = predict(case, demo_student("grade"), device="cpu")
    assert finding.probabilities == expected.probabilities
    assert np.array_equal(finding.attention.array_kji, expected.attention.array_kji)  # type: ignore[union-attr]
    for one in sent.values():
        one["volume"] = None  # the worker still has them
    other = next(name for name in finding.probabilities if name != finding.predicted_class)
    again = worker.ask(2, **{**request, "shown_class": other})["answer"]["finding"]
    assert (again["probabilities"], again["shown_class"]) == (expected.probabilities, other)


def test_a_grade_after_getting_ready_is_the_one_without(worker, tmp_path) -> None:
    from REACTDistillLib.phantom import phantom_case
    from REACTDistillLib.predict import predict
    from REACTDistillLib.shipped import demo_student

    case = phantom_case(5)
    volumes = {"ct": case.sequences["ct"], **case.regions}
    sent = {name: {"token": name, "volume": volume_to_file(volume, tmp_path, name)} for name, volume in volumes.items()}
    request = {
        "holder": "panel",
        "folder": str(tmp_path),
        "student": str(demo_student("grade")),
        "device": "cpu",
        "sequences": {"ct": sent["ct"]},
        "regions": {name: sent[name] for name in case.regions},
    }
    assert worker.ask(1, task="get_ready", **request)["answer"] == {}
    for one in sent.values():
        one["volume"] = None  # the worker has them now
    answer = worker.ask(2, task="predict", **request)["answer"]
    expected = predict(case, demo_student("grade"), device="cpu")
    assert Finding.from_json(answer["finding"], None).probabilities == expected.probabilities
    attention = volume_from_file(answer["attention"], tmp_path)
    assert np.array_equal(attention.array_kji, expected.attention.array_kji)  # type: ignore[union-attr]


def test_a_case_is_segmented_as_by_predict_with_masks_and_maps_in_files(worker, tmp_path) -> None:
    from REACTDistillLib.brain import brain_case
    from REACTDistillLib.case import Case
    from REACTDistillLib.predict import predict
    from REACTDistillLib.segmentation import Segmentation

    student = save_segmenting_student(tmp_path / "segmenter.safetensors")
    sequences = {name: brain_case(2).sequences[name] for name in ("flair", "t1ce")}
    sent = {name: {"token": name, "volume": volume_to_file(one, tmp_path, name)} for name, one in sequences.items()}
    request = {
        "task": "predict",
        "holder": "panel",
        "folder": str(tmp_path),
        "student": str(student),
        "device": "cpu",
        "shown_class": None,
        "reference": "flair",
        "with_probabilities": True,
        "sequences": sent,
        "regions": {},
    }
    answer = worker.ask(1, **request)["answer"]
    masks = {name: volume_from_file(one, tmp_path) for name, one in answer["masks"].items()}
    maps = {name: volume_from_file(one, tmp_path) for name, one in answer["probability_maps"].items()}
    said = Segmentation.from_json(answer["finding"]["segmentation"], masks, maps)
    finding = Finding.from_json(answer["finding"], answer["attention"], said)
    expected = predict(Case(sequences), student, device="cpu", with_probabilities=True).segmentation
    assert finding.segmentation.volumes_ml == expected.volumes_ml  # type: ignore[union-attr]
    for name in ("WT", "TC", "ET"):
        assert masks[name].is_mask
        assert np.array_equal(masks[name].array_kji, expected.masks[name].array_kji)
        assert np.array_equal(maps[name].array_kji, expected.probability_maps[name].array_kji)
    for one in sent.values():
        one["volume"] = None  # the worker still has them
    again = worker.ask(2, **{**request, "with_probabilities": False})["answer"]
    assert again["probability_maps"] is None
    assert again["finding"]["segmentation"]["volumes_ml"] == expected.volumes_ml


def test_volumes_that_the_worker_never_had_are_asked_for(worker, tmp_path) -> None:
    description = volume_to_file(
        Volume(np.ones((1, 1, 1), dtype=np.float32), Grid((1, 1, 1), np.eye(4))), tmp_path, "a"
    )
    worker.send(
        request="run",
        id=1,
        task="predict",
        holder="panel",
        folder=str(tmp_path),
        student="s",
        device="cpu",
        shown_class=None,
        sequences={"ct": {"token": "a", "volume": description}},
        regions={"liver": {"token": "b", "volume": None}},
    )
    missing = worker.wait_for(lambda event: event["event"] == "missing")
    assert missing["tokens"] == ["b"]
