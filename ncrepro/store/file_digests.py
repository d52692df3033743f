"""Digests of what files and folders hold; their times do not count."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import paths, trace, yaml12


def digest(path: Path) -> str | None:
    """A digest of a file's content, or of all files below a folder and their names; None where there is neither.

    For YAML, its meaning counts, not how it is written.
    """
    try:
        if path.is_dir():
            return _of_folder(path)
        if not path.is_file():  # a pipe or a device would be read for ever
            return None
        if path.suffix == ".yaml":
            text = json.dumps(yaml12.parse(path.read_text(encoding="utf-8")), sort_keys=True, default=str)
            return hashlib.sha256(text.encode()).hexdigest()[:16]
        return of_file(path)[:16]
    except (OSError, ValueError, TypeError):  # the last: YAML whose keys cannot be sorted
        return None


def of_data(folder: Path) -> dict[str, str | None]:
    """What a spec says of a folder of a reader's data, if something is made from it; the run that asks depends on the
    folder.
    """
    trace.note("read", paths.relative(folder))
    looked_at = {} if _looked_at is None else _looked_at
    if folder not in looked_at:
        looked_at[folder] = digest(folder)
        if looked_at[folder] is None and folder.exists():  # without a digest, other data would pass for these
            raise OSError(
                f"{paths.relative(folder)} holds what cannot be read, or changed meanwhile: look at its files"
            )
    return {"folder": looked_at[folder]}


_looked_at: dict[Path, str | None] | None = None


@contextmanager
def one_look() -> Iterator[None]:
    """Within it, `of_data` looks at each folder once: a step has many jobs, and a folder of photographs many files."""
    global _looked_at
    before = _looked_at
    _looked_at = {} if before is None else before
    try:
        yield
    finally:
        _looked_at = before


def of_file(path: Path, algorithm: str = "sha256") -> str:
    """The whole digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _of_folder(folder: Path) -> str:
    """The files are read only if the name, size or time of one of them is not as it was last time."""
    files = sorted(_files(str(folder)))
    listed = hashlib.sha256()
    for names, size, time in files:
        listed.update(f"{os.sep.join(names)} {size} {time}\n".encode())
    register, state = Register("folders"), listed.hexdigest()
    if register.get(str(folder)) is None or register[str(folder)][0] != state:
        held = hashlib.sha256()
        for names, _, _ in files:
            held.update(f"{os.sep.join(names)} {of_file(folder.joinpath(*names))[:16]}\n".encode())
        register[str(folder)] = [state, held.hexdigest()[:16]]
        register.save()
    return register[str(folder)][1]


def _files(folder: str) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """(the names on the way to it, size, time) of every file below a folder."""
    for place, names in walk(folder):
        way = () if place == folder else tuple(os.path.relpath(place, folder).split(os.sep))
        for name in names:
            try:
                status = os.stat(os.path.join(place, name))
            except OSError:  # a link to nothing, links in a circle
                continue
            if stat.S_ISREG(status.st_mode):
                yield (*way, name), status.st_size, status.st_mtime_ns


def walk(folder: str, skipped: Callable[[str], bool] = lambda name: False) -> Iterator[tuple[str, list[str]]]:
    """Every folder from ``folder`` down, and the names in it that are no folders; ``skipped`` names are ignored.

    Links are followed, but no folder is read twice, and no folder that contains ``folder`` is read. This works at any
    depth, while `os.walk` of Python 3.11 fails at the limit of recursion.

    Raises
    ------
    OSError
        If a folder cannot be read: it is not an empty one.
    """
    above = Path(folder).resolve()
    seen = {_identity(place) for place in (above, *above.parents)}
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        inside, names = [], []
        try:
            with os.scandir(place) as listed:
                for entry in sorted(listed, key=lambda entry: entry.name):
                    if not skipped(entry.name):
                        (inside if _is_folder(entry) else names).append(entry.name)
            yield place, names
            new = {path: _identity(path) for path in (os.path.join(place, name) for name in inside)}
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise OSError(f"{folder} holds folders in folders so deep that no path reaches them") from None
            raise
        waiting += reversed([path for path, found in new.items() if not (found in seen or seen.add(found))])


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


class Register(dict):
    """What was found out about large files last time: they are read again only if their size or time has changed."""

    def __init__(self, name: str):
        self.path = paths.cache("") / f"{name}.json"
        try:
            known = json.loads(self.path.read_text(encoding="utf-8")).items() if self.path.is_file() else ()
        except (OSError, ValueError, AttributeError, RecursionError):  # none yet, or damaged
            known = ()
        super().__init__((name, found) for name, found in known if isinstance(found, list) and len(found) == 2)

    def save(self) -> None:
        """Write the register; where that cannot be, the files are read again the next time."""
        from . import artifacts

        with suppress(OSError):
            artifacts.write(self.path, json.dumps(self))
