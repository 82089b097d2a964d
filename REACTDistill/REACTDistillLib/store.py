"""The students of a user: those that ship with the extension, and files added to a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import shipped
from .atomic import write_file
from .card import Card, StudentFileError
from .recipes import recipe_names
from .student import SUFFIX, checked_student, read_card

_SHOWN_DIGITS = 12  # of a checksum, in file names


@dataclass(frozen=True)
class StudentEntry:
    """A student file of a store; without ``card`` it cannot be used, and ``problem`` is the sentence that says why."""

    path: Path
    card: Card | None
    problem: str
    is_shipped: bool

    @property
    def key(self) -> str:
        """SHA-256 of the tensors as the card has it, 64 hex digits; "" for a file that cannot be read."""
        return "" if self.card is None else self.card.tensors_sha256

    @property
    def title(self) -> str:
        """Name and version of the student, or the name of a file that cannot be read."""
        return self.path.name if self.card is None else f"{self.card.name} {self.card.version}"


class StudentStore:
    """The shipped students and those in ``folder``, which is made when the first one is added.

    Listing needs neither torch nor safetensors: it reads the headers only, each again only after its file changed.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._known: dict[Path, tuple[tuple[int, ...], StudentEntry]] = {}  # with the state of the file

    def entries(self) -> list[StudentEntry]:
        """All students: shipped before added, by name and version; what cannot be read stands at the end."""
        entries = [self._entry(path, is_shipped=True) for path in shipped.shipped_students()] + self._added()
        return sorted(entries, key=lambda one: (one.card is None, not one.is_shipped, one.title.lower(), one.path.name))

    def demo(self, task: str) -> StudentEntry:
        """The shipped demo student of a task ("grade"); ValueError when this copy of the software has none."""
        return self._entry(shipped.demo_student(task), is_shipped=True)

    def find(self, key: str) -> StudentEntry | None:
        """The student whose tensors have the SHA-256 ``key``; None when it is not here."""
        return next((entry for entry in self.entries() if entry.card is not None and entry.key == key), None)

    def add(self, path: Path | str) -> StudentEntry:
        """Copy a student file into the folder, under a name of its own, and return its entry.

        Everything that ``load_student`` checks before it builds a network is checked first. A student that was added
        before and is damaged now is replaced. Raises ValueError with one sentence when the file is unsound, its student
        is here already, the package safetensors is missing or the folder cannot be written.
        """
        path = Path(path)
        card, content = _checked(path)
        present = self.find(card.tensors_sha256)
        if present is not None and (present.is_shipped or _is_sound(present)):
            origin = "ships with the extension" if present.is_shipped else "was added before"
            raise ValueError(f'"{path.name}" is here already: its student "{present.title}" {origin}, choose it.')
        target = self._place(path.stem, card) if present is None else present.path
        self.make_folder()
        write_file(target, content)
        return self._entry(target, is_shipped=False)

    def remove(self, entry: StudentEntry) -> None:
        """Delete the file of an added student; ValueError when it ships with the extension or cannot be deleted."""
        if entry.is_shipped or entry.path.parent != self.folder:
            raise ValueError(f'"{entry.title}" was not added by a user and cannot be removed; only added students can.')
        try:
            entry.path.unlink(missing_ok=True)
        except OSError as error:
            raise ValueError(f'"{entry.path.name}" cannot be removed: {error.strerror}.') from error

    def verify(self, entry: StudentEntry) -> None:
        """Read the whole file and check its tensors against its card; ValueError with one sentence when it is unsound.

        Also when the file holds another student than at the time it was listed.
        """
        card, _ = _checked(entry.path)
        if card.tensors_sha256 != entry.key:
            raise ValueError(
                f'"{entry.path.name}" holds the student "{card.name} {card.version}" now, expected "{entry.title}": '
                "look at the list again."
            )

    def make_folder(self) -> None:
        """Make the folder of added students, unless it is there; ValueError when that is not possible."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f'The folder "{self.folder}" for added students cannot be made: {error.strerror}.'
            ) from error

    def _added(self) -> list[StudentEntry]:
        try:
            found = sorted(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            sentence = f'The folder "{self.folder}" of added students cannot be read: {error.strerror}.'
            return [StudentEntry(self.folder, None, sentence, is_shipped=False)]
        # A leading dot: a copy in progress, or the shadow of a file that macOS leaves on foreign disks.
        files = [path for path in found if path.suffix == SUFFIX and not path.name.startswith(".")]
        return [self._entry(path, is_shipped=False) for path in files]

    def _entry(self, path: Path, *, is_shipped: bool) -> StudentEntry:
        state = file_state(path)
        known_state, known = self._known.get(path, (None, None))
        if known is None or known_state != state:
            known = _read_entry(path, is_shipped=is_shipped)
            self._known[path] = (state, known)
        return known

    def _place(self, stem: str, card: Card) -> Path:
        """With the checksum in the name, so that two files of one name both survive."""
        digits = card.tensors_sha256[:_SHOWN_DIGITS]
        return self.folder / f"{stem.removesuffix(f'_{digits}')}_{digits}{SUFFIX}"


def file_state(path: Path) -> tuple[int, ...]:
    """Numbers that change when a file is written or replaced, also by one of the same age and size; () without one."""
    try:
        facts = path.stat()
    except OSError:
        return ()
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_size


def _read_entry(path: Path, *, is_shipped: bool) -> StudentEntry:
    try:
        return StudentEntry(path, read_card(path), "", is_shipped)
    except StudentFileError as error:
        return StudentEntry(path, None, str(error), is_shipped)


def _is_sound(entry: StudentEntry) -> bool:
    try:
        _checked(entry.path)
    except StudentFileError:
        return False
    return True


def _checked(path: Path) -> tuple[Card, bytes]:
    """Card and bytes of a student file after every check that needs no network."""
    try:
        card, content = checked_student(path)
    except ModuleNotFoundError as error:
        raise ValueError(
            f'"{path.name}" cannot be checked without the Python package "{error.name}": install that package first.'
        ) from error
    if card.recipe not in recipe_names():
        raise StudentFileError(
            f'"{path.name}" needs the recipe "{card.recipe}", this version knows {", ".join(recipe_names())}: '
            "update the extension."
        )
    return card, content
