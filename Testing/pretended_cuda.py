"""A CUDA device that is none: what is asked to be on it stays in the memory of the CPU and only says otherwise.

Tensors of both places in one operation, and a tensor of the device that becomes an array, are collected as ``mixed``:
on a real device they raise. A computer without one finds such mistakes by it, and no others: it tells nothing about
numbers, speed or memory.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_CPU, _CUDA = torch.device("cpu"), torch.device("cuda", 0)
_MAY_MIX = ("to", "copy_", "__setitem__", "__get__", "__set__")
_BYTES = 64 * 2**30


@contextmanager
def pretended_cuda() -> Iterator[list[str]]:
    """In this context and thread "cuda" is a device; give the list that mistakes are added to as they happen."""
    with pytest.MonkeyPatch.context() as patch:
        for name, answer in (
            ("device_count", 1),
            ("is_available", True),
            ("is_bf16_supported", True),
            ("current_device", 0),
            ("empty_cache", None),
            ("mem_get_info", (_BYTES, _BYTES)),
            ("memory_reserved", 0),
            ("memory_allocated", 0),
        ):
            patch.setattr(torch.cuda, name, lambda *anything, answer=answer, **more: answer)
        patch.setattr(torch.nn.Module, "to", _module_to(torch.nn.Module.to))
        mode = _Pretending()
        with mode:
            yield mode.mixed


class _Pretending(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.mixed: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        arguments, options = list(args), dict(kwargs or {})
        given = [one for one in tree_leaves((args, options)) if isinstance(one, torch.Tensor)]
        if func == torch.Tensor.device.__get__:
            return _CUDA if _is_there(arguments[0]) else _CPU
        if func == torch.Tensor.is_cuda.__get__:
            return _is_there(arguments[0])
        if func is torch.Tensor.pin_memory:
            return arguments[0]
        if func is torch.Tensor.cpu:
            return _put(arguments[0].clone(), False)
        self._check(func, given)
        asked = None
        if options.get("device") is not None:
            asked = _is_cuda(options["device"])
            options["device"] = "cpu"
        if func is torch.Tensor.to:
            return _moved(func, arguments, options, asked)
        answer = func(*arguments, **options)
        there = asked if asked is not None else any(_is_there(one) for one in given)
        for one in tree_leaves(answer):
            if isinstance(one, torch.Tensor) and not any(one is other for other in given):
                _put(one, there)
        return answer

    def _check(self, func: Any, given: list[torch.Tensor]) -> None:
        name = getattr(func, "__name__", str(func))
        if name in ("numpy", "__array__") and _is_there(given[0]):
            self.mixed.append(f"{name} of a tensor on the device, {_place()}")
        places = {_is_there(one) for one in given if one.dim() > 0}  # single numbers may be anywhere
        is_indexed = name == "__getitem__" and _is_there(given[0])  # indices may be on the CPU
        if len(places) > 1 and not is_indexed and name not in _MAY_MIX:
            self.mixed.append(f"{name} of {[(_is_there(one), tuple(one.shape)) for one in given]}, {_place()}")


def _moved(func: Any, arguments: list[Any], options: dict[str, Any], asked: bool | None) -> torch.Tensor:
    source, there = arguments[0], asked
    for index, one in enumerate(arguments[1:], start=1):
        if isinstance(one, (str, torch.device)):
            there, arguments[index] = _is_cuda(one), "cpu"
        elif isinstance(one, torch.Tensor):
            there = _is_there(one)
    there = _is_there(source) if there is None else there
    answer = func(*arguments, **options)
    if answer is source:
        return source if there == _is_there(source) else _put(source.clone(), there)
    return _put(answer, there)


def _module_to(original: Callable[..., torch.nn.Module]) -> Callable[..., torch.nn.Module]:
    def to(module: torch.nn.Module, *places: Any, **options: Any) -> torch.nn.Module:
        if not _is_cuda(options.get("device", places[0] if places else None)):
            return original(module, *places, **options)
        for tensor in [*module.parameters(), *module.buffers()]:
            _put(tensor, True)
        return module

    return to


def _is_cuda(device: Any) -> bool:
    return str(device).startswith("cuda")


def _is_there(tensor: torch.Tensor) -> bool:
    return getattr(tensor, "is_pretended_cuda", False)


def _put(tensor: torch.Tensor, there: bool) -> torch.Tensor:
    tensor.is_pretended_cuda = there  # type: ignore[attr-defined]
    return tensor


def _place() -> str:
    ours = [one for one in traceback.extract_stack() if "REACTDistillLib" in one.filename]
    return " < ".join(f"{one.filename.rpartition('/')[2]}:{one.lineno}" for one in reversed(ours[-3:]))
