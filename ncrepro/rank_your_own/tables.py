"""Two columns of a table of texts, a row at a time: a file with a million columns takes no more memory than one row."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..store.schema import unknown
from .labels import from_csv

SUFFIXES = (".csv", ".jsonl", ".ndjson")
OTHER_SEPARATORS = ";\t|"  # that programs write in place of commas
SHOWN = 50  # names of columns in a message


def read(path: Path, text: str, label: str) -> tuple[list, list]:
    """Texts and labels of every row.

    Parameters
    ----------
    path : Path
        CSV with a header, or JSON lines, in UTF-8.
    text, label : str
        The two columns.

    Raises
    ------
    ValueError
        If there is no such file or column, it cannot be read as its suffix says, or a row has more fields than the
        header.
    """
    found = _rows(path, {"text": text, "label": label})
    return [row[0] for row in found], _labels(path, found)


def labels(path: Path, label: str) -> list:
    """The labels of samples whose features lie elsewhere, one in each row; errors as those of `read`."""
    return _labels(path, _rows(path, {"label": label}))


def _labels(path: Path, found: list[tuple]) -> list:
    column = [row[-1] for row in found]
    return from_csv(column) if path.suffix.lower() == ".csv" else column


def _rows(path: Path, named: dict[str, str]) -> list[tuple]:
    """The columns ``named`` (kind -> name) of every row."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} is no table of a known kind; allowed are {', '.join(SUFFIXES)}")
    rows = _csv if path.suffix.lower() == ".csv" else _json_lines
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return list(rows(file, named))
    except (csv.Error, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(
            f"{path} cannot be read as {path.suffix[1:]} ({error}): save it as UTF-8, one row or line per text"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def check_columns(columns, named: dict[str, str]) -> None:
    """Refuse columns (kind -> name) that are not there, or there twice."""
    columns = list(columns)
    for kind, name in named.items():
        if name not in columns:
            shown = [str(column)[:SHOWN] for column in columns[:SHOWN]]
            more = f" (and {len(columns) - SHOWN} more columns)" if len(columns) > SHOWN else ""
            raise ValueError(unknown(f"{kind} column", name, shown) + f"{more}; say which with {kind}=...")
        if columns.count(name) > 1:
            raise ValueError(f"{columns.count(name)} columns are called {name!r}; give each a name of its own")


def _csv(file, named: dict[str, str]) -> Iterator[tuple[str, ...]]:
    with _fields_of_any_length():
        rows = csv.reader(file, strict=True)
        header = next((row for row in rows if row), [])
        if len(header) == 1 and (found := [mark for mark in OTHER_SEPARATORS if mark in header[0]]):
            raise ValueError(f"its columns are separated by {found[0]!r}; save it with commas")
        check_columns(header, named)
        places = [header.index(name) for name in named.values()]
        for row in rows:
            if any(field.strip() for field in row[len(header) :]):
                raise ValueError(
                    f"line {rows.line_num} has {len(row)} fields, but the header names {len(header)} columns; put "
                    "texts with commas into double quotes, and give every column a name"
                )
            if row:
                yield tuple(row[i] if i < len(row) else "" for i in places)


@contextmanager
def _fields_of_any_length():
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _json_lines(file, named: dict[str, str]) -> Iterator[tuple]:
    lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
    for i, (number, line) in enumerate(lines):
        record = json.loads(line)
        if not isinstance(record, dict):
            raise ValueError(f"line {number} holds a {type(record).__name__}; allowed is one JSON object per line")
        if i == 0:
            check_columns(record, named)
        yield tuple(map(record.get, named.values()))
