"""What an object in memory does, as a digest: all that it holds, and the code of its classes where that may change.

A ``repr`` does not do for this: ``Lambda()`` says nothing of the function, and a network nothing of its own attributes.
"""

import hashlib
import io
import pickle
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def of(thing: Any) -> str | None:
    """A digest that two objects share only if they do the same; None where that cannot be told, as for a lambda."""
    content = io.BytesIO()
    try:
        _Pickler(content).dump(thing)
    except Exception:  # what an object raises on being pickled can be anything
        return None
    return hashlib.sha256(content.getvalue()).hexdigest()


class _Pickler(pickle.Pickler):
    """Writes tensors as digests, and beside a function or class the digest of the file that it is from."""

    def reducer_override(self, thing: Any):
        if isinstance(thing, Tensor):
            values = thing.detach().cpu().contiguous().flatten()
            return str, (f"{values.dtype} {tuple(thing.shape)} {_digest(values.view(torch.uint8).numpy())}",)
        if isinstance(thing, (type, types.FunctionType)) and (file := _file(thing)):
            return str, (f"{thing.__module__}.{thing.__qualname__} {_digest(file.read_bytes())}",)
        return NotImplemented


def _file(thing: type | types.FunctionType) -> Path | None:
    """The file of a function or class that is no library's: a library changes with its version only."""
    if "<" in thing.__qualname__:
        raise pickle.PicklingError("a lambda or local function: its code may rest on anything around it")
    module = sys.modules[thing.__module__]
    if getattr(module, "__file__", None) is None:
        if thing.__module__ in sys.builtin_module_names:
            return None
        raise pickle.PicklingError("typed into a session: its code is in no file")
    file = Path(module.__file__).resolve()
    return None if any(file.is_relative_to(Path(place).resolve()) for place in LIBRARIES) else file


def _digest(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()
