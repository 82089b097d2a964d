"""The student file: one .safetensors file whose header carries the card; checked before anything is built from it."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .atomic import write_file
from .card import Card, StudentFileError, canonical_json, parsed_json, shown
from .device import resolve_device
from .loadedstudent import Student
from .recipes import recipe_named

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

SUFFIX = ".safetensors"
_LENGTH_BYTES = 8  # the file begins with the length of its header, little-endian
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors format
_DTYPES = {"torch.float32": "F32", "torch.int64": "I64"}  # weights, and the counters and indices that some layers keep
_CARD_SHA256 = "card_sha256"  # stands beside the fields of the card, in the file only

_Row = tuple[str, str, list[int], bytes]  # name, dtype, shape, little-endian bytes
_Table = Mapping[str, Mapping[str, Any]]  # {"shape", "dtype"} by tensor name, as in the card


def read_card(path: Path | str) -> Card:
    """The card of a student file, without its tensors and without torch: for lists of students.

    Raises StudentFileError, as ``load_student`` does, for all that can be seen without reading the tensors.
    """
    path = Path(path)
    with _opened(path) as stream:
        return _card_in(stream, path.name)


def checked_student(path: Path | str) -> tuple[Card, bytes]:
    """Card and bytes of a student file after every check that needs no network; works without torch.

    File, header, card, tensor table and checksum, in this order. Raises StudentFileError for the first thing that is
    wrong, ModuleNotFoundError without the package safetensors.
    """
    path = Path(path)
    with _opened(path) as stream:
        content = stream.read()
    card = _card_in(io.BytesIO(content), path.name)
    rows = _rows(content, path.name)
    _check_table(_table(rows), card.tensors, path.name, "the card")
    if _sha256(rows) != card.tensors_sha256:
        raise StudentFileError(
            f'"{path.name}": the tensors have SHA-256 {_sha256(rows)[:12]}..., expected {card.tensors_sha256[:12]}... '
            "by the card: the file is damaged or was changed, get it again."
        )
    return card, content


def load_student(path: Path | str, *, device: str = "cpu") -> Student:
    """The student in a file, checked and ready on ``device`` (see ``resolve_device``).

    The file passes ``checked_student`` before a network is built. Raises StudentFileError for the first thing that is
    wrong: one sentence that names the file, what was found, what was expected. Nothing in the file is ever executed.
    """
    path = Path(path)
    card, content = checked_student(path)
    device = resolve_device(device)
    network = _built_network(card, path.name)
    _check_table(card.tensors, _network_table(network), path.name, f'the network "{card.network["name"]}"')
    return Student(card, _with_weights(network, content).eval().to(device), device, path)


def save_student(path: Path | str, network: Module, card: Card) -> Card:
    """Write ``network`` with ``card`` as a student file; returns the card as written, tensors and checksum filled in.

    Weights become float32 on the CPU. The file appears complete or not at all, and equal input makes equal bytes.
    Raises StudentFileError when the card is invalid, a weight is not finite or the file cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    if path.suffix != SUFFIX:
        raise StudentFileError(f'a student file ends in "{SUFFIX}", got "{path.name}".')
    tensors = {name: _plain(name, tensor) for name, tensor in network.state_dict().items()}
    rows = [_row(name, tensor) for name, tensor in tensors.items()]
    card = replace(card, tensors=_table(rows), tensors_sha256=_sha256(rows))
    card = Card.from_json(card.to_json(), path.name)
    text = canonical_json({**card.to_json(), _CARD_SHA256: card.sha256})
    # One metadata entry only: safetensors writes several in random order.
    content = save(tensors, {"card": text})
    try:
        write_file(path, content)
    except ValueError as error:
        raise StudentFileError(str(error)) from error
    return card


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over all tensors sorted by name: name, dtype and shape as a line of JSON, then little-endian bytes."""
    return _sha256([_row(name, tensor) for name, tensor in tensors.items()])


# The file as bytes: no torch is needed to read and check it.


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if not path.exists():
        raise StudentFileError(f'"{path.name}" does not exist, expected a student file.')
    if not path.is_file():
        raise StudentFileError(f'"{path.name}" is a folder or device, expected a student file ("{SUFFIX}").')
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise StudentFileError(f'"{path.name}" cannot be read: {error.strerror}.') from error


def _card_in(stream: BinaryIO, source: str) -> Card:
    """The card in the header of a student file, checked; the stream stands at the beginning of the file."""
    metadata = _header(stream, source).get("__metadata__")
    text = metadata.get("card") if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise StudentFileError(f'"{source}" has no card in its header, expected a student file made by this software.')
    content = parsed_json(text, source, "card")
    found = content.pop(_CARD_SHA256, None)
    card = Card.from_json(content, source)
    if found != card.sha256:
        raise StudentFileError(
            f'"{source}": card field "{_CARD_SHA256}" is {shown(found, most=16)}, expected {card.sha256[:12]}...: '
            "the card is damaged or was changed, get the file again."
        )
    return card


def _header(stream: BinaryIO, source: str) -> dict[str, Any]:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    beginning = stream.read(_LENGTH_BYTES + 1)
    if not beginning:
        raise StudentFileError(f'"{source}" is empty, expected a student file.')
    length = int.from_bytes(beginning[:_LENGTH_BYTES], "little")
    room = min(size - _LENGTH_BYTES, _LARGEST_HEADER)
    if beginning[_LENGTH_BYTES:] != b"{" or length > room:
        raise StudentFileError(_foreign(beginning, length, room, source))
    stream.seek(_LENGTH_BYTES)
    return parsed_json(stream.read(length), source, "header")


def _foreign(beginning: bytes, length: int, room: int, source: str) -> str:
    """What to say of a file that does not begin as safetensors do."""
    if re.match(rb"PK\x03\x04|\x80[\x01-\x05]", beginning):
        return (
            f'"{source}" is a PyTorch checkpoint or another pickle or zip file, expected safetensors: '
            "such files can run code, so nothing in it was opened or executed."
        )
    if beginning[_LENGTH_BYTES:] == b"{":
        return (
            f'"{source}" claims a header of {length} bytes, expected at most {room}: the file is cut short or damaged.'
        )
    return f'"{source}" does not begin with a safetensors header, expected a student file: nothing in it was executed.'


def _rows(content: bytes, source: str) -> list[_Row]:
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(content)
    except SafetensorError as error:
        raise StudentFileError(
            f'"{source}": the tensor table does not fit the {len(content)} bytes of the file, '
            "expected one that covers them all: the file is cut short or damaged."
        ) from error
    return [(name, entry["dtype"], entry["shape"], entry["data"]) for name, entry in entries]


def _table(rows: Iterable[_Row]) -> dict[str, dict[str, Any]]:
    return {name: {"shape": shape, "dtype": dtype} for name, dtype, shape, _ in rows}


def _sha256(rows: Iterable[_Row]) -> str:
    digest = hashlib.sha256()
    for name, dtype, shape, values in sorted(rows, key=lambda row: row[0]):
        digest.update(json.dumps([name, dtype, shape]).encode() + b"\n")
        digest.update(values)
    return digest.hexdigest()


def _check_table(found: _Table, expected: _Table, source: str, authority: str) -> None:
    """Names, shapes and dtypes must be those that ``authority`` expects."""
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise StudentFileError(
                f'"{source}": tensor {shown(name)} is {_described(found.get(name))}, '
                f"expected {_described(expected.get(name))} by {authority}."
            )


def _described(entry: Mapping[str, Any] | None) -> str:
    return "absent" if entry is None else f"{shown(entry['dtype'])[1:-1]} of shape {shown(entry['shape'])}"


# Tensors and networks.


def _plain(name: str, tensor: Tensor) -> Tensor:
    """A contiguous copy on the CPU, all floats as float32."""
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()
        if not bool(tensor.isfinite().all()):
            raise StudentFileError(f'tensor "{name}" holds NaN or infinity, expected finite weights: train again.')
    return tensor.contiguous().clone()


def _row(name: str, tensor: Tensor) -> _Row:
    dtype = _DTYPES.get(str(tensor.dtype))
    if dtype is None:
        raise StudentFileError(f'tensor "{name}" is {tensor.dtype}, expected one of {", ".join(_DTYPES)}.')
    values = tensor.detach().cpu().contiguous().numpy()
    return name, dtype, list(tensor.shape), values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _network_table(network: Module) -> dict[str, dict[str, Any]]:
    return {
        name: {"shape": list(tensor.shape), "dtype": _DTYPES.get(str(tensor.dtype), str(tensor.dtype))}
        for name, tensor in network.state_dict().items()
    }


def _built_network(card: Card, source: str) -> Module:
    import torch

    try:
        recipe = recipe_named(card.recipe)
    except ValueError as error:
        raise StudentFileError(f'"{source}": {error}') from error
    config = card.network["config"]
    try:
        with torch.random.fork_rng(devices=[]):  # the first weights are random: loading must not change a running draw
            return recipe.build_network(config)
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise StudentFileError(
            f'"{source}": recipe "{card.recipe}" builds no network from card field "network.config" {shown(config)}, '
            f"expected one that it knows ({reason})."
        ) from error


def _with_weights(network: Module, content: bytes) -> Module:
    from safetensors.torch import load

    network.load_state_dict(load(content), strict=True)
    return network
