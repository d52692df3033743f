"""Results that took long, kept on disk: written whole or not at all, and valid only for the spec that made them.

An artefact is one safetensors file: arrays and numbers, and in its header a record, which is all else (names, texts,
where something comes from: what JSON can say). The header also carries the spec (what was asked for, by which code) and
a checksum of both, so that a file that is torn, damaged or made from another spec is never taken for the result.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as _serialise

from . import cold_notebooks, paths, trace
from .file_digests import Register

if TYPE_CHECKING:
    import pandas as pd

Arrays = dict[str, Any]  # arrays, and the values of the record


def cached(path: Path, spec: dict, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays at ``path`` if they were made from ``spec``; otherwise compute them and store them there."""
    arrays = load(path, spec)
    if arrays is None:
        arrays = compute()
        save(path, arrays, spec)
    return arrays


def load(path: Path, spec: dict) -> Arrays | None:
    """The arrays at ``path``, or None where there is no file, a torn one, or one that another spec made."""
    try:
        with safe_open(plain_file(path), framework="numpy") as file:
            if (file.metadata() or {}).get("spec") != _canonical(spec):
                return None
            arrays = _read(file)
    except (FileNotFoundError, SafetensorError):
        return None
    if arrays is not None:
        trace.note("artefact", paths.relative(path))
    return arrays


def plain_file(path: Path) -> Path:
    """``path`` itself, if it is a file or does not exist.

    Raises
    ------
    OSError
        If it is anything else; reading a pipe, for example, could wait forever.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{paths.relative(path)} is a folder or no plain file: remove it, and it is made again")
    return path


def damaged(files: Iterable[Path]) -> list[Path]:
    """Those of ``files`` that are missing, torn or damaged; a file is read only if its size or time has changed."""
    bad, whole = [], Register("whole")
    before = dict(whole)
    for file in files:
        try:
            if not file.is_file():  # a pipe would be waited for
                raise FileNotFoundError(file)
            status = os.stat(file)
            key, state = paths.relative(file), [status.st_size, status.st_mtime_ns]
            if whole.get(key) != state:
                with safe_open(file, framework="numpy") as opened:
                    if _read(opened) is None:
                        raise ValueError("the content is not what was saved")
                whole[key] = state
        except (OSError, ValueError, SafetensorError):
            bad.append(file)
    if whole != before:
        whole.save()
    return bad


def save(path: Path, arrays: Arrays, spec: dict) -> None:
    """Write ``arrays`` with their ``spec`` to ``path``, whole or not at all.

    Raises
    ------
    TypeError
        If a value is neither an array or a number nor what JSON can say.
    """
    numeric = (np.ndarray, np.generic, int, float)
    tensors = {key: np.asarray(a, order="C") for key, a in arrays.items() if isinstance(a, numeric)}
    others = {key: value for key, value in arrays.items() if key not in tensors}
    record = {"record": json.dumps(others)} if others else {}
    header = {"spec": _canonical(spec), "sha256": _checksum(tensors, **record), **record}
    write(path, _serialise(tensors, metadata=header))
    trace.note("artefact", paths.relative(path))


def write(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all: to a temporary name beside it first, then in one step to its own.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written; what was there before is untouched.
    """
    path = Path(path)
    content = content.encode() if isinstance(content, str) else content
    # Not the process's number: processes of two machines that share the folder may have the same one.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):  # a file where its folder should be
            temporary.unlink()
        raise OSError(
            error.errno, f"cannot write {paths.relative(path)} ({len(content) / 1e6:.1f} MB): {error.strerror}"
        ) from None


def check_folder(folder: Path) -> None:
    """Whether files can be kept in a folder, asked before there are any: an ``OSError`` if not."""
    write(folder / ".writable", b"")
    (folder / ".writable").unlink(missing_ok=True)  # another process may have asked the same


def write_table(path: Path, table: "pd.DataFrame") -> "pd.DataFrame":
    """Write a results table, the same bytes on every system, and return it (cold: see `cold_notebooks`)."""
    text = table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    if cold_notebooks.is_shown(path):
        cold_notebooks.keep(path, text)
    else:
        write(path, text)
    return table


def table(path: Path, compute: Callable[[], "pd.DataFrame"]) -> "pd.DataFrame":
    """A results table, computed and written; only read where its profile has not run (`cold_notebooks`)."""
    return read_table(path, path.parent.parent.name) if cold_notebooks.is_shown(path) else write_table(path, compute())


def read_table(path: Path, profile: str) -> "pd.DataFrame":
    """A table that `write_table` wrote; if it is missing or cannot be read, the error says so and what makes it."""
    import pandas as pd  # takes half a second to import, and what only looks at artefacts does not need it

    found = cold_notebooks.source(path)
    if isinstance(found, Path):
        plain_file(found)
    try:
        return pd.read_csv(found)
    except FileNotFoundError:
        raise cold_notebooks.missing(f"{paths.relative(path)} is missing", profile) from None
    except (ValueError, OSError) as error:  # empty, torn, not UTF-8
        why = str(error).strip().splitlines()[0]
        raise ValueError(f"{paths.relative(path)} cannot be read ({why}): run `make all PROFILE={profile}`") from None


def digest(spec: dict | list) -> str:
    """A short name for a spec, for use inside the specs of what is made from it."""
    return hashlib.sha256(_canonical(spec).encode()).hexdigest()[:16]


def _canonical(spec: dict) -> str:
    return json.dumps(spec, sort_keys=True)


def _read(file: safe_open) -> Arrays | None:
    """Arrays and record of an open file, None where they are not those that were saved."""
    header, tensors = file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}
    record = header.get("record", "")
    return tensors | json.loads(record or "{}") if header.get("sha256") == _checksum(tensors, record) else None


def _checksum(arrays: dict[str, np.ndarray], record: str = "") -> str:
    hasher = hashlib.sha256(record.encode())
    for key in sorted(arrays):
        hasher.update(f"{key} {arrays[key].dtype} {arrays[key].shape}".encode())
        hasher.update(arrays[key].tobytes())
    return hasher.hexdigest()
