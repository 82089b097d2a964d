"""A job over a real child process: states, events, cancel with the whole process tree, reasons of failure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from REACTDistillScene import interpreter, packages
from REACTDistillScene.job import Job, JobCallbacks, State, reasonOfEnd
from REACTDistillScene.transport import LineBuffer, PopenTransport

STARTED = "import json, os, sys, time\nprint(json.dumps({'event': 'started', 'pid': os.getpid()}), flush=True)\n"
WITH_OWN_GROUP = "import os\nos.setsid()\n" + STARTED


class Recorder:
    """A job with everything it reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.states: list[State] = []
        self.progress: list[tuple[str, int, int]] = []
        self.results: list[Path] = []
        self.errors: list[tuple[str, str]] = []
        self.transport = PopenTransport()
        self.job = Job(
            self.transport,
            JobCallbacks(self.states.append, self.onProgress, self.onResult, lambda *error: self.errors.append(error)),
        )

    def onProgress(self, stage: str, done: int, total: int) -> None:
        self.progress.append((stage, done, total))

    def onResult(self, folder: Path) -> None:
        self.results.append(folder)

    def start(self, script: str) -> None:
        self.folder.mkdir(exist_ok=True)
        self.job.start([sys.executable, "-u", "-c", script], dict(os.environ), self.folder)

    def wait(self, until) -> None:
        end = time.monotonic() + 20
        while not until():
            assert time.monotonic() < end, "the job did not get there in 20 s"
            self.transport.poll()
            time.sleep(0.01)

    def finish(self) -> None:
        self.wait(lambda: not self.job.isBusy)


@pytest.fixture
def recorder(tmp_path):
    made = Recorder(tmp_path / "run")
    yield made
    made.job.close()


def test_a_run_goes_from_starting_over_running_and_importing_to_idle_and_removes_its_folder(recorder) -> None:
    recorder.start(
        STARTED
        + "print(json.dumps({'event': 'progress', 'stage': 'student', 'done': 2, 'total': 3}))\n"
        + "print('a line that is no event')\n"
        + "print(json.dumps({'event': 'result', 'folder': '/somewhere/result'}))\n"
    )
    recorder.finish()
    assert recorder.states == [State.STARTING, State.RUNNING, State.IMPORTING, State.IDLE]
    assert recorder.progress == [("student", 2, 3)]
    assert recorder.results == [Path("/somewhere/result")]
    assert recorder.errors == []
    assert not recorder.folder.exists()


def test_the_sentence_of_the_child_is_the_error_and_the_log_is_its_detail(recorder) -> None:
    recorder.start(
        STARTED
        + "print(json.dumps({'event': 'error', 'message': 'The liver lies outside the CT.'}))\n"
        + "print('detail', file=sys.stderr)\nsys.exit(2)\n"
    )
    recorder.finish()
    assert recorder.job.state is State.FAILED
    assert recorder.errors == [("The liver lies outside the CT.", "detail")]
    assert not recorder.folder.exists()


def test_only_the_last_thirty_lines_of_the_log_are_kept(recorder) -> None:
    recorder.start(STARTED + "for n in range(100): print('line', n, file=sys.stderr)\nsys.exit(1)\n")
    recorder.finish()
    lines = recorder.errors[0][1].splitlines()
    assert (len(lines), lines[0], lines[-1]) == (30, "line 70", "line 99")


def test_a_crash_without_words_is_one_sentence(recorder) -> None:
    recorder.start(STARTED + "os.abort()\n")
    recorder.finish()
    assert recorder.errors[0][0].startswith("The calculation ended unexpectedly (exit code -6)")


def test_a_result_with_a_bad_exit_code_is_not_imported(recorder) -> None:
    recorder.start(STARTED + "print(json.dumps({'event': 'result', 'folder': 'x'}), flush=True)\nsys.exit(1)\n")
    recorder.finish()
    assert recorder.results == []
    assert recorder.job.state is State.FAILED


def test_a_program_that_does_not_exist_is_one_sentence(recorder) -> None:
    recorder.folder.mkdir()
    recorder.job.start(["/no/such/python"], {}, recorder.folder)
    recorder.finish()
    assert recorder.errors == [
        ("Python could not be started for the calculation; check the installation of the application.", "")
    ]


def test_the_import_may_refuse_a_result_with_a_sentence(recorder, monkeypatch) -> None:
    def refuse(folder: Path) -> None:
        raise ValueError("The CT was removed.")

    monkeypatch.setattr(recorder, "onResult", refuse)
    recorder.job._callbacks = JobCallbacks(
        recorder.states.append, recorder.onProgress, refuse, lambda *error: recorder.errors.append(error)
    )
    recorder.start(STARTED + "print(json.dumps({'event': 'result', 'folder': 'x'}))\n")
    recorder.finish()
    assert recorder.states[-2:] == [State.IMPORTING, State.FAILED]
    assert recorder.errors == [("The CT was removed.", "")]


@pytest.mark.skipif(os.name != "posix", reason="process groups are those of POSIX here")
def test_cancel_ends_the_child_and_the_processes_that_it_started(recorder, tmp_path) -> None:
    marker = tmp_path / "grandchild"
    recorder.start(
        WITH_OWN_GROUP
        + "import subprocess\n"
        + "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        + f"open({str(marker)!r}, 'w').write(str(child.pid))\n"
        + "time.sleep(60)\n"
    )
    recorder.wait(lambda: marker.exists() and marker.read_text() != "" and recorder.job.state is State.RUNNING)
    grandchild = int(marker.read_text())
    recorder.job.cancel()
    assert recorder.job.state is State.CANCELLING
    recorder.finish()
    assert recorder.job.state is State.IDLE
    assert recorder.errors == []
    assert not recorder.folder.exists()
    recorder.wait(lambda: not isAlive(grandchild))


def test_events_after_cancel_are_dropped(recorder) -> None:
    recorder.start(STARTED + "time.sleep(60)\n")
    recorder.wait(lambda: recorder.job.state is State.RUNNING)
    recorder.job.cancel()
    recorder.job.onOutput('{"event": "progress", "stage": "late", "done": 1, "total": 1}')
    assert recorder.progress == []


def test_a_second_start_during_a_run_is_refused(recorder) -> None:
    recorder.start(STARTED + "time.sleep(60)\n")
    with pytest.raises(ValueError, match="running already"):
        recorder.start(STARTED)


def test_a_failed_job_can_start_again(recorder) -> None:
    recorder.start("import sys; sys.exit(3)")
    recorder.finish()
    recorder.start(STARTED + "print(json.dumps({'event': 'result', 'folder': 'x'}))\n")
    recorder.finish()
    assert recorder.job.state is State.IDLE


def test_close_leaves_no_process_and_no_folder_and_reports_nothing(recorder) -> None:
    recorder.start(WITH_OWN_GROUP + "time.sleep(60)\n")
    recorder.wait(lambda: recorder.job.state is State.RUNNING)
    pid = recorder.job._processGroup
    recorder.job.close()
    assert not isAlive(pid)
    assert not recorder.folder.exists()
    assert recorder.states[-1] is State.RUNNING


def test_a_line_may_arrive_in_pieces_and_a_character_in_two() -> None:
    lines: list[str] = []
    buffer = LineBuffer(lines.append)
    for piece in (b"a", b"b\r\nl\xc3", b"\xa4sion\nrest"):
        buffer.feed(piece)
    assert lines == ["ab", "läsion"]
    buffer.flush()
    assert lines == ["ab", "läsion", "rest"]


@pytest.mark.parametrize(
    ("exitCode", "log", "words"),
    [
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", 'choose the device "cpu"'),
        (-9, "", "killed by the system"),
        (1, "ModuleNotFoundError: No module named 'torch'", 'The Python package "torch" is missing'),
    ],
)
def test_known_ends_are_told_in_words(exitCode: int, log: str, words: str) -> None:
    sentence = reasonOfEnd(exitCode, [log])
    assert words in sentence
    assert sentence.endswith(".")


def test_the_child_announces_itself_in_its_own_group_and_ends_when_stdin_ends(tmp_path) -> None:
    # A run of "predict" would be over too soon; this one waits for as long as its parent lives.
    script = (
        "import sys, time, types\n"
        "command = types.ModuleType('REACTDistillLib.__main__')\n"
        "command.main = lambda arguments: time.sleep(60)\n"
        "sys.modules['REACTDistillLib.__main__'] = command\n"
        "from REACTDistillLib.child import main\n"
        "main([])\n"
    )
    environment = interpreter.childEnvironment(sys.executable)
    child = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline().decode() == f'{{"event": "started", "pid": {child.pid}}}\n'
    assert os.getpgid(child.pid) == child.pid
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(10) == 3
    child.stdout.close()


def test_the_environment_of_another_python_holds_nothing_of_the_application(monkeypatch, tmp_path) -> None:
    other = tmp_path / "python"
    other.touch()
    monkeypatch.setenv(interpreter.OTHER_PYTHON_VARIABLE, str(other))
    monkeypatch.setenv("PYTHONHOME", "/application")
    monkeypatch.setenv("PYTHONPATH", "/application/lib")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/application/lib")
    monkeypatch.setenv("QT_PLUGIN_PATH", "/application/qt")
    assert interpreter.pythonExecutable() == str(other)
    environment = interpreter.childEnvironment(str(other))
    assert not {"PYTHONHOME", "LD_LIBRARY_PATH", "QT_PLUGIN_PATH"} & set(environment)
    assert environment["PYTHONPATH"] == str(Path(interpreter.__file__).resolve().parent.parent)
    assert environment["PYTHONIOENCODING"] == "utf-8"
    assert environment["PYTHONUNBUFFERED"] == "1"


def test_without_any_python_there_is_one_sentence(monkeypatch) -> None:
    monkeypatch.delenv(interpreter.OTHER_PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(interpreter.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ValueError, match="PythonSlicer is missing"):
        interpreter.pythonExecutable()


def test_a_half_installed_package_counts_as_missing(monkeypatch, tmp_path) -> None:
    (tmp_path / "halfinstalled").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(packages, "PACKAGES", (packages.Package("halfinstalled", "halfinstalled", "1 MB"),))
    assert [package.importName for package in packages.missingPackages()] == ["halfinstalled"]


def test_without_the_pytorch_extension_there_is_one_sentence() -> None:
    with pytest.raises(ValueError, match='install the extension "PyTorch" from the Extensions Manager'):
        packages.install([packages.Package("torch", "", "2 GB")])


def isAlive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed process whose parent has not asked for its exit code is gone for all that matters here.
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")
