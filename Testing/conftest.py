"""Fixtures that all tests share."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of a file or folder of the real test data; an archive is unpacked once; absent data skip the test."""
    unpacked: dict[str, Path] = {}

    def find(name: str) -> Path:
        archive = SHARED_DATA / f"{name}.tar.xz"
        if (SHARED_DATA / name).exists():
            return SHARED_DATA / name
        if not archive.exists():
            pytest.skip(f"real test data {name} are not beside this repository (../shared/data)")
        if name not in unpacked:
            unpacked[name] = tmp_path_factory.mktemp("shared")
            with tarfile.open(archive) as packed:
                packed.extractall(unpacked[name], filter="data")
        return unpacked[name]

    return find


@pytest.fixture
def empty_scene() -> Iterator[None]:
    """A real MRML scene without nodes, before and after."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    from REACTDistillScene.headless import bootHeadless

    bootHeadless()
    import slicer

    slicer.mrmlScene.Clear(0)
    yield
    slicer.mrmlScene.Clear(0)
