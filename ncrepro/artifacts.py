"""Results that took long, kept on disk: written whole or not at all, and valid only for the spec that made them.

An artefact is one safetensors file. Its header carries the spec (what was asked for, by which code) and a checksum of
its arrays, so that a file that is torn, damaged or made from another spec is never taken for the result.
"""

import ast
import hashlib
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as _serialise

from . import paths

Arrays = dict[str, np.ndarray]


def cached(path: Path, spec: dict, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays at ``path`` if they were made from ``spec``; otherwise compute them and store them there."""
    arrays = load(path, spec)
    if arrays is None:
        arrays = compute()
        save(path, arrays, spec)
    return arrays


def load(path: Path, spec: dict) -> Arrays | None:
    """The arrays at ``path``, or None where there is no file, a torn one, or one that another spec made."""
    if path.exists() and not path.is_file():
        raise OSError(f"{paths.relative(path)} is a folder or no plain file, where results are kept: remove it, and they are made again")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("spec") != _canonical(spec):
                return None
            arrays = {key: file.get_tensor(key) for key in file.keys()}
    except (FileNotFoundError, SafetensorError):
        return None
    return arrays if header.get("sha256") == _checksum(arrays) else None


def save(path: Path, arrays: Arrays, spec: dict) -> None:
    """Write ``arrays`` with their ``spec`` to ``path``, whole or not at all."""
    arrays = {key: np.asarray(value, order="C") for key, value in arrays.items()}
    header = {"spec": _canonical(spec), "sha256": _checksum(arrays)}
    write(path, _serialise(arrays, metadata=header))


def write(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all: to a temporary name beside it first, then in one step to its own.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written; what was there before is untouched.
    """
    path = Path(path)
    content = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write {path.name} ({len(content) / 1e6:.1f} MB): {error.strerror}") from None


def write_table(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Write a results table, the same bytes on every system for the same numbers, and return it."""
    write(path, table.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    return table


def read_table(path: Path, profile: str, notebook: str = "the notebook that writes it") -> pd.DataFrame:
    """A table that `write_table` wrote; if it is missing, the error says what makes it."""
    if not path.exists():
        raise FileNotFoundError(f"{paths.relative(path)} is missing: run `make all PROFILE={profile}`, or {notebook}")
    return pd.read_csv(path)


def digest(spec: dict) -> str:
    """A short name for a spec, for use inside the specs of what is made from it."""
    return hashlib.sha256(_canonical(spec).encode()).hexdigest()[:16]


@cache
def fingerprint(*modules: str) -> str:
    """A digest of the code of some of this package's modules or subpackages: comments and docstrings do not count."""
    package = Path(__file__).parent
    hasher = hashlib.sha256()
    for module in modules:
        found = sorted((package / module).rglob("*.py")) or [package / f"{module}.py"]
        for path in found:
            hasher.update(ast.dump(_without_docstrings(ast.parse(path.read_text()))).encode())
    return hasher.hexdigest()[:16]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


def _canonical(spec: dict) -> str:
    return json.dumps(spec, sort_keys=True)


def _checksum(arrays: Arrays) -> str:
    hasher = hashlib.sha256()
    for key in sorted(arrays):
        hasher.update(f"{key} {arrays[key].dtype} {arrays[key].shape}".encode())
        hasher.update(arrays[key].tobytes())
    return hasher.hexdigest()
