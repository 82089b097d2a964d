"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Write ``content`` as the file ``path``; the file that was there stays until the new one is on the disk.

    Raises ValueError with one sentence when the file cannot be written (disk full, no rights).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise ValueError(f'"{path.name}" cannot be written: {error.strerror}.') from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path | str) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder`` that takes its place at the end; after an error nothing of it stays.

    ``folder`` must be absent or empty by then, which the caller has checked; OSError otherwise.
    """
    folder = Path(folder).resolve()  # so that "." has a name and a parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)  # ``mkdtemp`` makes it private
        if folder.exists():
            folder.rmdir()  # Windows renames onto nothing, not even onto an empty folder
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
