"""Data that somebody has to download: where it is looked for, and what is said when it is not there."""

import os
from pathlib import Path

from .. import paths


def place() -> Path:
    """The folder of downloaded data sets: ``NCREPRO_DATA`` if set, else ``data/local``."""
    return Path(os.environ.get("NCREPRO_DATA") or paths.root() / "data" / "local")


def require(path: str, data: str, url: str) -> Path:
    """The file or folder ``path`` below `place`.

    Raises
    ------
    FileNotFoundError
        If it is not there; the message says where to get ``data``.
    """
    found = place() / path
    if not found.exists():
        raise FileNotFoundError(
            f"{data}: {path} is not in {place()}; get it from {url} and unpack it there, "
            "or name the folder that it is in by the environment variable NCREPRO_DATA"
        )
    return found
