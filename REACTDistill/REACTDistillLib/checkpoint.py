"""Checkpoint: all that a run needs to go on, in one safetensors file that is complete or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .atomic import write_file

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

_STATE = "state"  # the one entry of the header: safetensors writes several in random order

Tensors = Mapping[str, "Tensor"]


def save_tensors(path: Path, tensors: Tensors, state: Mapping[str, Any] | None = None) -> None:
    """Write named tensors and a state of JSON values as one safetensors file, complete or not at all.

    The file that was there stays until the new one is on the disk. Raises ValueError with one sentence when it cannot
    be written (disk full, no rights).
    """
    from safetensors.torch import save

    # Copies, because networks may share tensors and safetensors refuses those.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header = None if state is None else {_STATE: json.dumps(state, allow_nan=False)}
    content = save(plain, header)
    try:
        write_file(path, content)
    except ValueError as error:
        raise ValueError(f"{str(error).removesuffix('.')}; what was saved before is still there.") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors on the CPU by name, and the state that was saved with them (empty when there is none).

    Raises ValueError with one sentence for a file that is absent, cannot be read or is no safetensors file; nothing in
    it is ever executed.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError(f'There is no file "{path.name}" in "{path.parent}".')
    try:
        with safe_open(path, framework="pt") as content:
            metadata = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (it is no mapping)
        state = json.loads(metadata.get(_STATE, "{}"))
    except (SafetensorError, ValueError) as error:
        raise ValueError(f'"{path.name}" is damaged or no safetensors file; use another one.') from error
    except OSError as error:
        raise ValueError(f'"{path.name}" cannot be read: {error.strerror or error}.') from error
    return tensors, state


def with_prefix(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    """The tensors under names that begin with ``prefix`` and a slash."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under_prefix(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix`` and a slash, by the rest of their names."""
    start = f"{prefix}/"
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def load_weights(network: Module, tensors: Tensors, source: str) -> None:
    """Copy weights and statistics into a network; ValueError names ``source`` and the first tensor that does not fit.

    Tensors of the network keep their place and memory format.
    """
    own = network.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        found, expected = (tuple(table[name].shape) if name in table else "absent" for table in (tensors, own))
        if found != expected:
            raise ValueError(f'"{source}" does not fit: its tensor "{name}" is {found}, the network needs {expected}.')
    network.load_state_dict(dict(tensors))


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as tensors by ``<number of the parameter>/<name>``; its settings are no state."""
    return {
        f"{index}/{name}": value
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: Optimizer, tensors: Tensors) -> None:
    """Give an optimizer the state of ``optimizer_tensors``, in the memory format of its parameters.

    An optimizer with another layout than its parameters computes in another order, which shows in the last bit.
    """
    import torch

    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for key, value in tensors.items():
        index, _, name = key.partition("/")
        parameter = parameters[int(index)]
        like = torch.empty_like(value if name == "step" else parameter)  # the counter stays on the CPU
        optimizer.state[parameter][name] = like.copy_(value)
