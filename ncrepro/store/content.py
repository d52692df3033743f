"""Digests of what files and folders hold; their times do not count."""

import hashlib
import json
import os
from pathlib import Path

import yaml

from . import paths, trace


def digest(path: Path) -> str | None:
    """A digest of a file's content, or of all files below a folder and their names; None where there is neither.

    Of YAML counts what it says, not how it is written.
    """
    try:
        if path.is_dir():
            return _of_folder(path)
        if path.suffix == ".yaml":
            said = json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), sort_keys=True, default=str)
            return hashlib.sha256(said.encode()).hexdigest()[:16]
        return of_file(path)[:16]
    except (OSError, ValueError, yaml.YAMLError):
        return None


def of_data(folder: Path) -> dict[str, str | None]:
    """What stands of a folder of somebody's data in the spec of what is made from it; the run that asks depends on
    it.
    """
    trace.note("read", paths.relative(folder))
    return {"folder": digest(folder)}


def of_file(path: Path, algorithm: str = "sha256") -> str:
    """The whole digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _of_folder(folder: Path) -> str:
    """The files are read only if the name, size or time of one of them is not as it was last time."""
    files = sorted(Path(place) / name for place, _, names in os.walk(folder) for name in names)
    files = [file for file in files if file.is_file()]
    listed = hashlib.sha256()
    for file in files:
        status = file.stat()
        listed.update(f"{file.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\n".encode())
    register, state = Register("folders"), listed.hexdigest()
    if register.get(str(folder)) is None or register[str(folder)][0] != state:
        held = hashlib.sha256()
        for file in files:
            held.update(f"{file.relative_to(folder)} {of_file(file)[:16]}\n".encode())
        register[str(folder)] = [state, held.hexdigest()[:16]]
        register.save()
    return register[str(folder)][1]


class Register(dict):
    """What was found out about large files last time, so that they are read again only if their size or time
    changed.
    """

    def __init__(self, name: str):
        self.path = paths.cache("") / f"{name}.json"
        try:
            super().__init__(json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            super().__init__()

    def save(self) -> None:
        """Write the register."""
        from . import artifacts

        artifacts.write(self.path, json.dumps(self))
