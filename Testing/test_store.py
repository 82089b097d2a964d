"""The store of students: what is listed, what may be added and removed, and what damage is seen."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from REACTDistillLib import shipped
from REACTDistillLib.store import StudentEntry, StudentStore
from store_samples import DEMO, Make, damaged, make, store

MODULE = Path(__file__).resolve().parents[1] / "REACTDistill"
__all__ = ["make", "store"]  # fixtures


def refusal(function: Callable[[], object]) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the tests look at the sentence
        function()
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def added(store: StudentStore) -> list[StudentEntry]:
    return [entry for entry in store.entries() if not entry.is_shipped]


def files(store: StudentStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


# Listing


def test_a_new_store_lists_the_shipped_students_and_makes_no_folder(store: StudentStore) -> None:
    assert [entry.path for entry in store.entries()] == shipped.shipped_students()
    assert all(entry.is_shipped and not entry.problem and len(entry.key) == 64 for entry in store.entries())
    assert not store.folder.exists()


def test_the_demo_student_of_a_task_is_a_shipped_one(store: StudentStore) -> None:
    assert store.demo("grade") in store.entries()
    assert "segment" in refusal(lambda: store.demo("segment"))


def test_shipped_students_come_first_then_names_and_versions_then_what_cannot_be_read(
    store: StudentStore, make: Make
) -> None:
    store.folder.mkdir(parents=True)
    for number, (name, version) in enumerate((("beta", "2"), ("Alpha", "1"), ("beta", "1"))):
        shutil.copy(make(weight=number, name=name, version=version), store.folder / f"{number}.safetensors")
    (store.folder / "a.safetensors").write_bytes(b"")
    (store.folder / "notes.txt").touch()
    titles = [entry.title for entry in store.entries()]
    assert titles == [DEMO, "Alpha 1", "beta 1", "beta 2", "a.safetensors"]
    assert store.entries()[-1].problem == '"a.safetensors" is empty, expected a student file.'
    assert store.entries()[-1].key == ""


def test_a_file_that_changed_is_read_again_and_an_unchanged_one_is_not(store: StudentStore, make: Make) -> None:
    entry = store.add(make())
    assert store.entries()[-1] is entry
    shutil.copy(make(weight=2, name="Another"), entry.path)
    os.utime(entry.path, ns=(1, 1))
    assert store.entries()[-1].title == "Another 2"


def test_a_file_replaced_by_one_of_the_same_age_and_size_is_read_again(store: StudentStore, make: Make) -> None:
    entry = store.add(make(weight=1.0))
    facts, other = entry.path.stat(), make("other.safetensors", weight=2.0)
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    os.replace(other, entry.path)
    assert (entry.path.stat().st_size, entry.path.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    assert [one.key for one in added(store)] != [entry.key]


def test_files_that_begin_with_a_dot_are_not_listed(store: StudentStore, make: Make) -> None:
    store.add(make())
    (store.folder / "._my.safetensors").write_bytes(b"shadow")
    assert len(added(store)) == 1


def test_a_folder_that_cannot_be_read_is_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "Students").write_text("a file", encoding="utf-8")
    store = StudentStore(tmp_path / "Students")
    (entry,) = added(store)
    assert entry.problem == f'The folder "{tmp_path / "Students"}" of added students cannot be read: Not a directory.'
    assert "cannot be removed" in refusal(lambda: store.remove(entry))


def test_students_are_listed_without_torch_and_without_safetensors(store: StudentStore, make: Make) -> None:
    store.add(make())
    code = (
        "import sys; sys.modules.update(torch=None, safetensors=None)\n"
        "from REACTDistillLib.store import StudentStore\n"
        f"store = StudentStore({str(store.folder)!r})\n"
        "print([entry.title for entry in store.entries()])\n"
        "try:\n    store.verify(store.entries()[-1])\n"
        "except ValueError as error:\n    print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=MODULE)
    listed, sentence = result.stdout.splitlines()
    assert listed == f"['{DEMO}', 'Segment demo student 0.1.0', 'Mine 2']"
    assert sentence == (
        f'"{added(store)[0].path.name}" cannot be checked without the Python package "safetensors": '
        "install that package first."
    )


# Adding


def test_an_added_student_is_a_copy_that_outlives_the_original(store: StudentStore, make: Make) -> None:
    path = make()
    content = path.read_bytes()
    entry = store.add(path)
    path.unlink()
    assert entry.path.read_bytes() == content
    assert (entry.title, entry.is_shipped, entry.problem) == ("Mine 2", False, "")
    assert StudentStore(store.folder).find(entry.key) == entry
    assert files(store) == [f"my_{entry.key[:12]}.safetensors"]


def test_two_files_of_one_name_both_survive(store: StudentStore, make: Make) -> None:
    first, second = store.add(make(weight=1)), store.add(make(weight=2))
    assert first.key != second.key
    assert len(files(store)) == 2
    assert [store.find(first.key), store.find(second.key)] == [first, second]


def test_a_student_that_is_here_already_is_refused(store: StudentStore, make: Make) -> None:
    store.add(make())
    sentence = refusal(lambda: store.add(make("copy.safetensors")))
    assert sentence == '"copy.safetensors" is here already: its student "Mine 2" was added before, choose it.'
    assert len(files(store)) == 1
    demo = store.demo("grade")
    assert refusal(lambda: store.add(demo.path)) == (
        f'"grade_demo.safetensors" is here already: its student "{DEMO}" ships with the extension, choose it.'
    )


def test_a_copy_taken_from_another_store_keeps_its_name(store: StudentStore, make: Make, tmp_path: Path) -> None:
    elsewhere = StudentStore(tmp_path / "elsewhere").add(make())
    assert store.add(elsewhere.path).path.name == elsewhere.path.name


def test_a_damaged_student_is_refused_and_leaves_nothing(store: StudentStore, make: Make) -> None:
    path = damaged(make())
    assert "the file is damaged or was changed, get it again" in refusal(lambda: store.add(path))
    assert not store.folder.exists()


def test_a_sound_file_replaces_the_same_student_that_was_damaged(store: StudentStore, make: Make) -> None:
    entry = store.add(make())
    damaged(entry.path)
    assert "damaged" in refusal(lambda: store.verify(store.entries()[-1]))
    again = store.add(make("again.safetensors"))
    assert again.path == entry.path
    store.verify(again)
    assert len(files(store)) == 1


def test_what_is_no_student_is_refused(store: StudentStore, tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no student at all", encoding="utf-8")
    assert "does not begin with a safetensors header" in refusal(lambda: store.add(tmp_path / "text.safetensors"))
    assert "does not exist" in refusal(lambda: store.add(tmp_path / "none.safetensors"))
    assert "is a folder" in refusal(lambda: store.add(tmp_path))


def test_a_tensor_table_that_is_not_that_of_the_card_is_refused(store: StudentStore, make: Make) -> None:
    path = make()
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    card = json.loads(header["__metadata__"]["card"])
    del card["card_sha256"]
    card["tensors"]["weight"]["shape"] = [2, 1]
    text = json.dumps(card, sort_keys=True, separators=(",", ":"))
    header["__metadata__"] = {"card": json.dumps({**card, "card_sha256": hashlib.sha256(text.encode()).hexdigest()})}
    changed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(changed)) + changed + content[8 + length :])
    assert refusal(lambda: store.add(path)) == (
        '"my.safetensors": tensor "weight" is F32 of shape [1, 2], expected F32 of shape [2, 1] by the card.'
    )


def test_a_student_of_an_unknown_recipe_is_refused(store: StudentStore, make: Make) -> None:
    sentence = refusal(lambda: store.add(make(recipe="future")))
    assert sentence.startswith('"my.safetensors" needs the recipe "future", this version knows ')


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom folders can be closed to")
def test_a_folder_without_write_permission_is_told_in_a_sentence(store: StudentStore, make: Make) -> None:
    store.make_folder()
    store.folder.chmod(0o500)
    try:
        assert "cannot be written: Permission denied." in refusal(lambda: store.add(make()))
    finally:
        store.folder.chmod(0o700)


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = StudentStore(tmp_path / "file" / "Students")
    assert "cannot be made: Not a directory." in refusal(lambda: store.add(make()))


def test_a_copy_that_fails_half_way_leaves_nothing(
    store: StudentStore, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = make()
    monkeypatch.setattr(os, "fsync", full)
    assert "cannot be written: No space left on device." in refusal(lambda: store.add(path))
    assert files(store) == []


# Removing and checking


def test_an_added_student_can_be_removed_also_when_its_file_is_gone(store: StudentStore, make: Make) -> None:
    first, second = store.add(make(weight=1)), store.add(make(weight=2))
    second.path.unlink()
    store.remove(first)
    store.remove(second)
    assert files(store) == []
    assert store.find(first.key) is None


def test_a_shipped_student_is_never_removed(store: StudentStore) -> None:
    demo = store.demo("grade")
    assert refusal(lambda: store.remove(demo)) == (
        f'"{DEMO}" was not added by a user and cannot be removed; only added students can.'
    )
    assert demo.path.exists()


def test_nothing_outside_the_folder_is_removed(store: StudentStore, make: Make) -> None:
    path = make()
    assert "cannot be removed" in refusal(lambda: store.remove(StudentEntry(path, None, "", is_shipped=False)))
    assert path.exists()


def test_the_shipped_students_are_intact(store: StudentStore) -> None:
    for entry in store.entries():
        store.verify(entry)


def test_a_file_that_holds_another_student_than_listed_is_told(store: StudentStore, make: Make) -> None:
    entry = store.add(make())
    shutil.copy(make(weight=2, name="Another"), entry.path)
    assert 'holds the student "Another 2" now, expected "Mine 2"' in refusal(lambda: store.verify(entry))


@pytest.mark.parametrize("key", ["", "0" * 64, "nonsense"])
def test_an_unknown_key_finds_nothing(store: StudentStore, key: str) -> None:
    store.make_folder()
    (store.folder / "broken.safetensors").write_bytes(b"")
    assert store.find(key) is None
