"""What an object in memory does, as a digest: all that it holds, and the code of its classes where that may change,
with the values that this code rests on.

A ``repr`` does not do for this: ``Lambda()`` says nothing of the function, and a network nothing of its own attributes.
"""

import functools
import hashlib
import inspect
import io
import pickle
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
PICKLING = {"__getstate__", "__reduce__", "__reduce_ex__"}


def of(thing: Any) -> str | None:
    """A digest that two objects share only if they do the same; None where that cannot be told, as for a lambda."""
    content = io.BytesIO()
    try:
        _Pickler(content).dump(thing)
    except Exception:  # what an object raises on being pickled can be anything
        return None
    return hashlib.sha256(content.getvalue()).hexdigest()


class _Pickler(pickle.Pickler):
    """Writes tensors as digests, and functions and classes that are no library's with all that their code rests on."""

    def __init__(self, file: io.BytesIO):
        super().__init__(file)
        self.numbers: dict[int, int] = {}  # of functions and classes, which may refer to themselves

    def reducer_override(self, thing: Any):
        if isinstance(thing, Tensor):
            values = thing.detach().cpu().contiguous().flatten()
            return str, (f"{values.dtype} {tuple(thing.shape)} {_digest(values.view(torch.uint8).numpy())}",)
        if isinstance(thing, types.MethodType):  # pickle would keep its name only
            return tuple, ((thing.__func__, thing.__self__),)
        if not isinstance(thing, (type, types.FunctionType)):
            _check_pickled_whole(thing)
            return NotImplemented
        if (file := _file(thing)) is None:
            if isinstance(thing, type):
                _check_unpatched(thing)
            return NotImplemented
        name = f"{thing.__module__}.{thing.__qualname__}"
        if id(thing) in self.numbers:
            return str, (f"{name} {self.numbers[id(thing)]}",)
        self.numbers[id(thing)] = len(self.numbers)
        rest = _of_class(thing) if isinstance(thing, type) else _of_function(thing)
        return str, (f"{name} {_digest(file.read_bytes())}", rest)


def _check_pickled_whole(thing: Any) -> None:
    """A class that says itself what is pickled of it may leave things out; so does a decorated function."""
    for kind in type(thing).__mro__:
        if not PICKLING.isdisjoint(vars(kind)) and kind is not object and _file(kind):
            raise pickle.PicklingError("a class with a way of its own to be pickled")
    if "__wrapped__" in getattr(thing, "__dict__", ()):
        raise pickle.PicklingError("a decorated function that is known by its name only")


def _check_unpatched(kind: type) -> None:
    """A library's class is known by its name only as long as all its methods are a library's, too."""
    for value in (value for base in kind.__mro__ for value in vars(base).values()):
        function = inspect.unwrap(getattr(value, "__func__", value))
        if isinstance(function, types.FunctionType):
            file, typed = function.__code__.co_filename, function.__globals__.get("__name__") == "__main__"
            if typed or not (file.startswith("<") or _is_library(Path(file))):  # <string>: made of a dataclass's fields
                raise pickle.PicklingError("a library's class with a method that is no library's")


def _of_function(function: types.FunctionType) -> tuple:
    """Values that a function computes with: its defaults, what it encloses, and the globals that it names."""
    enclosed = [cell.cell_contents for cell in function.__closure__ or ()]
    named = dict(_named(_names(function.__code__), function.__globals__, "", set()))
    return function.__defaults__, function.__kwdefaults__, enclosed, named


def _names(code: types.CodeType) -> list[str]:
    inner = [_names(part) for part in code.co_consts if isinstance(part, types.CodeType)]
    return sorted({*code.co_names, *(name for names in inner for name in names)})


def _named(names: list[str], space: dict[str, Any], above: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Globals of those names; for a module among them that is no library's, the values in it that have one of the
    names.
    """
    for name in names:
        value = space.get(name)
        if not isinstance(value, types.ModuleType):
            if name in space:
                yield above + name, value
        elif id(value) not in seen and (_file_of(value) or _is_namespace(value)):
            seen.add(id(value))  # modules may name each other
            yield from _named(names, vars(value), f"{above}{name}.", seen)


def _of_class(kind: type) -> tuple:
    """What a class is made of: those that it builds on, its methods, and the values that it keeps for its objects."""
    held = {}
    for name, value in vars(kind).items():
        if isinstance(value, property):
            value = value.fget, value.fset, value.fdel
        elif isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        elif isinstance(value, functools.cached_property):
            value = value.func
        if isinstance(value, types.FunctionType):
            if not inspect.unwrap(value).__code__.co_filename.startswith("<"):  # else made of a dataclass's fields
                held[name] = value
        elif name == "__call__" or not (
            name.startswith("__") or name == "_abc_impl" or inspect.isdatadescriptor(value)
        ):
            held[name] = value
    return kind.__bases__, held


def _file(thing: type | types.FunctionType) -> Path | None:
    """The file of a function or class that is no library's: a library changes with its version only."""
    file, written = _file_of(sys.modules[thing.__module__]), thing.__qualname__
    if isinstance(thing, types.FunctionType) and (file or "<" in written):
        file, written = Path(thing.__code__.co_filename), thing.__code__.co_qualname  # its own, under any decorator
        if _is_library(file):
            return file  # a decorator of a library's: what it encloses says what it does
    if "<" in written:
        raise pickle.PicklingError("a lambda or local function: its code may rest on anything around it")
    return file


def _file_of(module: types.ModuleType) -> Path | None:
    """The file of a module that is no library's."""
    if getattr(module, "__file__", None) is None:
        if module.__name__ in sys.builtin_module_names or _is_namespace(module):
            return None
        raise pickle.PicklingError("typed into a session: its code is in no file")
    file = Path(module.__file__)
    return None if _is_library(file) else file


def _is_namespace(module: types.ModuleType) -> bool:
    return hasattr(module, "__path__") and getattr(module, "__file__", None) is None


@functools.cache
def _is_library(file: Path) -> bool:
    return any(file.resolve().is_relative_to(Path(place).resolve()) for place in LIBRARIES)


def _digest(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()
