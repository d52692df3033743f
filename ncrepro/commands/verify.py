"""``make verify``: are this machine's tables those of the reference, byte for byte or as near as other seeds would be?

If this machine computes the same as the machine of the reference (its `step_digests` say so), every byte must be the
same. Otherwise the repetitions of `tolerances` say how far numbers may move. New words are refused in both cases.
"""

import csv
import io
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from ..lab import profiles
from ..store import paths, pinned_arithmetic
from . import tolerances
from .tolerances import Channel, Finding, Limits

# What is not compared, by how the name of the table begins; nothing else is left out.
EXEMPT = {"seconds_": "processor time and memory differ from run to run"}
# What is not compared with the reference but with a bound: the largest absolute value, and why.
BOUNDED = {("metrics/equations.csv", "difference"): (1e-8, "what rounding leaves between two ways to the same number")}
FIXED = ("published", "metrics")  # folders of tables that rest on no training: the same numbers on every platform

NO_LIMITS = Limits({}, {})  # nothing may move
SHOWN = 3  # lines of one kind; others are counted


def verify(profile: str) -> int:
    """Compare every committed table of a profile with this machine's and say what differs.

    Parameters
    ----------
    profile : str
        A repetition, ``demo+2``, is compared with the reference of ``demo``.

    Returns
    -------
    int
        0 if every table is byte for byte the reference's, or, where these bytes cannot be expected, no further from it
        than repetitions with other seeds are.
    """
    name, repetition = profiles.repetition_of(profile)
    theirs, mine = tables_in(paths.reference(name)), tables_in(paths.results(profile))
    if not theirs:
        raise FileNotFoundError(f"there is no committed reference for profile {name!r}")
    if not mine:
        raise FileNotFoundError(
            f"{paths.relative(paths.results(profile))} holds no tables: run `make all PROFILE={profile}` first"
        )
    missing = [f"{table}: is missing here; `make all` writes it" for table in sorted(theirs.keys() - mine)]
    new = [f"{table}: has no reference; `make reference` makes it one" for table in sorted(mine.keys() - theirs)]
    problems = _few(missing, "tables that are missing here") + _few(new, "tables of no reference")
    pairs, cells = {}, 0
    for table in sorted(theirs.keys() & mine):
        try:
            pairs[table] = _both(table, theirs, mine)
            cells += _count(pairs[table][0])
        except (ValueError, OSError) as error:
            problems.append(f"{table}: {error}")
    changed = {table: pair for table, pair in pairs.items() if theirs[table].read_bytes() != mine[table].read_bytes()}
    problems += new_words(changed, pairs)
    print(f"{cells} numbers in {len(theirs)} tables are compared with data/reference/{name}")
    for begin, why in EXEMPT.items():
        print(f"exempt: {len(list(paths.results(profile).rglob(f'{begin}*.csv')))} tables {begin}*: {why}")
    print("\n".join(problems), end="\n" if problems else "")
    if not problems and not changed:
        print(f"exact: all {len(theirs)} tables are byte for byte those of the reference")
        return 0
    if not changed:
        print(f"failed: {len(pairs)} of {len(theirs)} tables are those of the reference; see above for the others")
        return 1
    why = "a repetition has other seeds" if repetition else pinned_arithmetic.why_not_exact()
    if why is None:
        print("\n".join(f"{table}: {first_difference(*pair)}" for table, pair in changed.items()))
        why = _why_others()
    reached, sentence = _statistical(name, changed)
    if why is None:
        reached = False
        why = (
            "this machine computes as that of the reference did, so code, data or tables were changed: "
            f"`make all PROFILE={profile}` makes edited tables again"
        )
    print(f"{'statistical' if reached and not problems else 'failed'}: {sentence}; not exact: {why}")
    return 0 if reached and not problems else 1


def _why_others() -> str | None:
    """Why other bytes are right on a machine where the same ones were expected; None if they are not."""
    from . import step_digests  # loads torch

    print("the same bytes are expected here; computing the digests that tell (half a minute)", flush=True)
    others = step_digests.differing_names()
    if not others:
        return None
    names = f"{others[0]}{', ...' if len(others) > 1 else ''}"
    cpu = pinned_arithmetic.cpu()
    return f"{len(others)} digests ({names}) differ on this CPU ({cpu}), or with the present code"


# Reading --------------------------------------------------------------------------------------------------------------


def tables_in(folder: Path) -> dict[str, Path]:
    """Every table below a folder that is compared, by its name there."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.csv")) if not _exempt(path)}


def _exempt(path: Path) -> bool:
    return path.name.startswith(tuple(EXEMPT))


def _both(table: str, theirs: dict[str, Path], mine: dict[str, Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    reference, here = read(theirs[table]), read(mine[table])
    if list(reference) != list(here):
        lost, new = [repr(c) for c in reference if c not in here], [repr(c) for c in here if c not in reference]
        parts = [f"{what} {', '.join(names)}" for what, names in (("lacks", lost), ("has in addition", new)) if names]
        raise ValueError(
            f"its columns are not the reference's: it {' and '.join(parts) or 'has them in another order'}"
        )
    for column in reference:
        if tolerances.numbers(reference[column]) is not None and tolerances.numbers(here[column]) is None:
            word = next(cell for cell in here[column] if tolerances.numbers(pd.Series([cell])) is None)
            raise ValueError(f"{column} holds {word!r} where the reference has numbers")
    return reference, here


def read(path: Path) -> pd.DataFrame:
    """A table as text, cell by cell.

    Raises
    ------
    ValueError
        If it is no plain file, empty, cut off, not UTF-8, or its lines have not all the same number of cells.
    """
    if not path.is_file():  # a pipe or a device would be read for ever
        raise ValueError(f"{paths.relative(path)} is no plain file; remove it, and `make all` writes the table")
    raw = path.read_bytes()
    if not raw.strip():
        raise ValueError(f"{paths.relative(path)} is empty")
    try:
        lines = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise ValueError(f"{paths.relative(path)} is not UTF-8: byte {error.start} cannot be read") from None
    except csv.Error as error:
        raise ValueError(f"{paths.relative(path)} is torn or no CSV: {error}") from None
    header, rows = lines[0], lines[1:]
    for i, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(f"{paths.relative(path)} is torn: row {i} has {len(row)} cells, its header {len(header)}")
    if not raw.endswith(b"\n"):
        raise ValueError(f"{paths.relative(path)} is torn: its last line has no end")
    if len(set(header)) < len(header):
        raise ValueError(f"{paths.relative(path)} names a column twice")
    return pd.DataFrame(rows, columns=header, dtype=object)


def _count(table: pd.DataFrame) -> int:
    """How many numbers a table holds."""
    columns = (tolerances.numbers(table[name]) for name in table)
    return sum(int(column.notna().sum()) for column in columns if column is not None)


def new_words(changed: Iterable[str], pairs: dict[str, tuple[pd.DataFrame, pd.DataFrame]]) -> list[str]:
    """One line for each column that holds a word which no column of its kind holds in the reference: another training
    may choose another model or metric, but only one that there is. Columns are of one kind if they share a word.
    """
    known = {
        table: {name: _words(reference[name]) for name in reference if tolerances.numbers(reference[name]) is None}
        for table, (reference, _) in pairs.items()
    }
    everywhere = [words - {""} for of_table in known.values() for words in of_table.values()]
    lines = []
    for table in changed:
        found = []
        for column, own in known[table].items():
            of_kind = own.union(*(words for words in everywhere if words & own))
            if new := sorted(_words(pairs[table][1][column]) - of_kind):
                more = f" and {len(new) - 1} more" if len(new) > 1 else ""
                what = f"the word {new[0]!r}{more}" if new[0] else f"an empty cell{more}"
                found.append(f"{table}: {column} holds {what}, which the reference has nowhere in such columns")
        lines += _few(found, f"such lines of {table}")
    return lines


def _words(column: pd.Series) -> set[str]:
    """The words of a column, numbers aside; an empty one for an empty cell."""
    cells = column.unique()
    words = pd.Series(sorted({word.strip(",:;()%") for cell in cells for word in cell.split()} - {""}), dtype=object)
    return set(words[pd.to_numeric(words, errors="coerce").isna()]) | ({""} if "" in cells else set())


def _few(lines: list[str], of_what: str) -> list[str]:
    """The first of some lines, and how many more there are."""
    more = len(lines) - SHOWN
    return lines if more <= 0 else [*lines[:SHOWN], f"and {more} more {of_what}"]


def rests_on_training(table: str) -> bool:
    """Whether a table rests on training."""
    return table.split("/")[0] not in FIXED


# Exact ----------------------------------------------------------------------------------------------------------------


def first_difference(reference: pd.DataFrame, mine: pd.DataFrame) -> str:
    """Where two tables of the same columns begin to differ, and in how many cells they do."""
    pairs = list(zip_longest(reference.itertuples(index=False), mine.itertuples(index=False)))
    apart = [(row, column, one, other) for row, cells in enumerate(pairs, 1) if None not in cells
             for column, one, other in zip(reference, *cells, strict=True) if one != other]  # fmt: skip
    sizes = f"it has {len(mine)} rows, the reference {len(reference)}; " if len(mine) != len(reference) else ""
    if not apart:
        same = "the same cells in other bytes (ends of lines, quotes, or a mark at the beginning)"
        return sizes.removesuffix("; ") or same
    row, column, one, other = apart[0]
    return f"{sizes}{len(apart)} cells differ, the first is {column} in row {row}: {_line(other)}, was {_line(one)}"


# Statistical ----------------------------------------------------------------------------------------------------------


def _statistical(profile: str, changed: dict[str, tuple[pd.DataFrame, pd.DataFrame]]) -> tuple[bool, str]:
    """Print what differs more than repetitions do; returns whether there is nothing, and one sentence."""
    limits = tolerances.load(paths.noise(profile))
    if limits is None:
        return False, (
            f"only the same bytes count: no repetitions of {profile!r} were measured; `make noise PROFILE="
            f"{profile}` measures them, and on Linux on x86_64 the versions in requirements.txt give the same bytes"
        )
    lines, failing, largest = [], 0, 0.0
    for table, pair in changed.items():
        found = sorted(largest_moves(table, *pair, limits), key=limits.times, reverse=True)
        apart = [describe(finding) for finding in found if limits.times(finding) > 1]
        lines += _few(apart, f"such lines of {table}")
        lines += _few(unjudged_columns(table, *pair, limits), f"such lines of {table}")
        failing += bool(apart)
        largest = max([largest, *map(limits.times, found)])
    print("\n".join(lines), end="\n" if lines else "")
    return not failing, (
        f"of {len(changed)} tables that differ, {failing} lie further apart than repetitions with other seeds "
        f"(furthest: {largest:.2f} times the limit, which {tolerances.FALSE_ALARMS:.0%} of honest runs exceed)"
    )


def largest_moves(table: str, reference: pd.DataFrame, mine: pd.DataFrame, limits: Limits) -> list[Finding]:
    """What moved most in each column of two tables, measured by the bounds of the limits."""
    found = []
    for channel in tolerances.channels([reference, mine]):
        if (table, channel.name) in BOUNDED:
            (bound, _), sizes = BOUNDED[table, channel.name], np.abs(channel.values[1])
            if len(outside := np.flatnonzero(~(sizes <= bound))):
                found.append(Finding(table, channel, f"more than {bound:g}", np.inf, outside, sizes))
        elif of_channel := tolerances.compare(table, channel, limits if rests_on_training(table) else NO_LIMITS):
            found.append(max(of_channel, key=limits.times))
    return found


def unjudged_columns(table: str, reference: pd.DataFrame, mine: pd.DataFrame, limits: Limits) -> list[str]:
    """One line for each column that moved where no repetition has a number: how many, and of what."""
    lines = []
    for channel in tolerances.channels([reference, mine]):
        moved = (channel.differences(0, 1) > 0) & limits.unmeasured(table, channel)
        if rests_on_training(table) and moved.any():
            codes, units = channel.units
            names = ", ".join(units[code] for code in np.unique(codes[moved]))
            lines.append(
                f"{table}: {channel.name} moved in {moved.sum()} rows of {names}, which is not judged: no repetition "
                "has measured them; `make noise` does"
            )
    return lines


def describe(finding: Finding) -> str:
    """One line: the table, its column, the row, and the number that moved most."""
    channel, rows = finding.channel, finding.rows
    worst = rows[np.nanargmax(finding.apart[rows])]
    here, was = (_shown(channel, run, worst) for run in (1, 0))
    key = ", ".join(channel.rows.iloc[worst])
    moved = "moved" if finding.by == tolerances.ONE else f"{len(rows)} of {len(channel.rows)} moved"
    why = finding.by
    if np.isfinite(finding.excess):
        why = f"by {finding.by}, {finding.excess:.1f} spreads above the mean of repetitions"
    return f"{finding.table}: {channel.name} {moved}, most at {key}: {here}, was {was} ({why})"


def _shown(channel: Channel, run: int, row: int) -> str:
    value = channel.values[run, row]
    if np.isnan(value):
        return "nothing"
    return _line(channel.text[int(value)]) if channel.text is not None else f"{value:.6g}"


def _line(cell: str) -> str:
    return " ".join(cell.split()) or "nothing"
