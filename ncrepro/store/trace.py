"""What a run really reads, writes and computes with: one line for each fact, from all processes of the run.

Files are seen where Python opens and renames them, so nobody has to remember to report them. Artefacts and the code
behind them are reported by the store itself.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import paths

FILE = "NCREPRO_TRACE"  # the environment variable that names the file the facts go to

OURS = ("ncrepro", "bench")  # this repository's packages

_watched: list[set[str]] = []  # what is noted while a part of a run is watched
_noted: set[str] = set()


def start() -> None:
    """Watch the files of this process and of those that it starts, if its run is to be traced."""
    if FILE in os.environ:
        folders = (paths.root() / "data", paths.root() / "figures", paths.profiles())
        kept = tuple(f"{folder.resolve()}{os.sep}" for folder in folders)
        remade = f"{(paths.root() / 'data' / 'cache').resolve()}{os.sep}"

        def see(kind: str, path) -> None:
            path = os.path.abspath(os.fsdecode(path))
            if path.startswith(kept) and not path.startswith(remade) and not path.endswith(".tmp"):
                note(kind, os.path.relpath(path, paths.root().resolve()))

        def on_event(event: str, arguments: tuple) -> None:
            if event == "open" and isinstance(arguments[0], (str, bytes)):
                see("write" if (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR) else "read", arguments[0])
            elif event == "os.rename":
                see("write", arguments[1])
            elif event == "import" and arguments[0].partition(".")[0] in OURS:
                note("module", arguments[0])

        sys.addaudithook(on_event)


def is_on() -> bool:
    """Are the files of this process watched?"""
    return FILE in os.environ


def note(kind: str, fact) -> None:
    """Add a fact.

    ``read``, ``write`` or ``artefact`` and a path below the root; ``there``, a path and whether it exists; ``module``
    and the name of one of ours that is imported; or ``code`` and what was asked of `fingerprint`.
    """
    line = json.dumps([kind, fact])
    for watched in _watched:
        watched.add(line)
    if (path := os.environ.get(FILE)) and line not in _noted:
        _noted.add(line)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, f"{line}\n".encode())  # in one call, so that lines of several processes do not mix
        finally:
            os.close(file)


def is_there(path: Path) -> bool:
    """Does a file or folder exist? Whoever asks depends on the answer."""
    there = path.exists()
    note("there", [paths.relative(path), there])
    return there


@contextmanager
def watching() -> Iterator[set[str]]:
    """The facts that are noted in this process in the meantime."""
    watched: set[str] = set()
    _watched.append(watched)
    try:
        yield watched
    finally:
        _watched.remove(watched)
