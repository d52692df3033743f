"""A notebook that is opened before its profile has run: it shows the committed tables, says so, and writes nothing."""

import sys
from io import StringIO
from pathlib import Path

from . import paths, trace

_answers: dict[Path, bool] = {}  # by folder of results: a session does not change from one to the other while it runs
_kept: dict[Path, str] = {}  # tables that this session has computed; they end with it


class Missing(FileNotFoundError):
    """A result that is not there, and the one command that makes it; in a notebook one line without a traceback."""

    def _render_traceback_(self) -> list[str]:  # asked for by IPython
        return [str(self)]


def missing(what: str, profile: str) -> Missing:
    """Say what is missing, and the command that makes it."""
    return Missing(f"{what}: run `make all PROFILE={profile}`")


def is_cold(profile: str) -> bool:
    """Are a profile's committed tables shown in place of its own?

    Only in a notebook that its reader runs, never under make; only if the profile has no table of its own, so that no
    result rests on both; and only if there are committed tables. The first answer of a session stays.
    """
    own = paths.results(profile)
    if own not in _answers:
        _answers[own] = _is_read() and not _has_tables(own) and _has_tables(paths.reference(profile))
        if _answers[own]:
            _tell(profile)
    return _answers[own]


def is_shown(table: Path) -> bool:
    """Is this a table of results whose profile is cold?"""
    return table.is_relative_to(paths.results("")) and is_cold(_parts(table)[0])


def keep(table: Path, text: str) -> None:
    """Keep a table of a cold profile for this session: `source` then gives it."""
    _kept[table] = text


def source(table: Path) -> Path | StringIO:
    """What a table is read from: itself or, where its profile is cold, what this session computed or is committed."""
    if not is_shown(table):
        return table
    profile, *rest = _parts(table)
    return StringIO(_kept[table]) if table in _kept else paths.reference(profile).joinpath(*rest)


def folder(results: Path) -> str:
    """The folder in which a reader finds the tables of a folder of results."""
    found = source(results / "any.csv")
    return paths.relative(found.parent if isinstance(found, Path) else results)


def _parts(table: Path) -> tuple[str, ...]:
    """``data/results/<profile>/<topic>/<table>.csv`` from the profile on."""
    return table.relative_to(paths.results("")).parts


def _has_tables(folder: Path) -> bool:
    return next(folder.rglob("*.csv"), None) is not None


def _is_read() -> bool:
    """Is this a reader's notebook? Not if make runs it, since make watches its notebooks; and not if this is a
    command.
    """
    return not trace.is_on() and "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None


def _tell(profile: str) -> None:
    from IPython.display import Markdown, display  # is there: see `_is_read`

    display(
        Markdown(
            f"> **Profile `{profile}` has not run here: what needs trained models comes from its committed tables.** "
            "Nothing is trained, and "
            f"nothing is written. `make all PROFILE={profile}` computes your own; then restart this notebook."
        )
    )
