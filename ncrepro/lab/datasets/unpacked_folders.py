"""Data that somebody has to download: what is said when it is not there."""

from pathlib import Path

from ...store import paths


def require(path: str, data: str, url: str) -> Path:
    """The file or folder ``path`` below `paths.downloads`.

    Raises
    ------
    FileNotFoundError
        If it is not there; the message says where to get ``data``.
    """
    found = paths.downloads() / path
    if not found.exists():
        raise FileNotFoundError(
            f"{data}: {path} is not in {paths.downloads()}; get it from {url} and unpack it there, "
            "or name the folder that it is in by the environment variable NCREPRO_DATA"
        )
    return found
