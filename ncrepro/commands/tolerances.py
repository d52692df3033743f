"""How far the numbers of two runs lie apart, and how far they may: limits that repetitions with other seeds have set.

A difference counts in units of its usual size between two repetitions (``scale``), as log(1 + difference / scale), so
that one wild number does not stand for many. Three families of statistics look at every column:

- single numbers: the one that moved most;
- averages: over all rows, and over the rows that share a key (a model, a target, a metric) or two. Labels shuffled for
  one target move such an average, however small the single differences are;
- exchanges: how much nearer the two runs would be if two models (targets, ...) were exchanged, or a sign turned.

The ``excess`` of a statistic is the number of standard deviations between repetitions by which it is above its mean.
The bound of a family is a number above the largest excess that one more honest run would have. To find it, each run is
left out in turn. Each family may refuse a third of `FALSE_ALARMS` of the honest runs; as only the largest excess
counts, no other correction is needed. A column that no repetition moved is judged like a column of the same name in
another table, if that moved. Otherwise a column of words is judged like the columns of its table that hold all of its
words. This rate does not include a name that moves for the first time; `leave_one_out` says how often that happened.

These fail, however large the noise is:

- a column whose name no repetition moved in any table;
- rows that come or go where no repetition added or lost any;
- a number that is `LEAP` ranges of its column outside that range;
- a column (or one metric's part of it) that repetitions kept on one side of zero, by more than they differ, and that is
  now as far on the other side;
- a column that holds no number any more.

What cannot be seen: a mistake that moves the tables no further than other seeds do. Two models that score alike may be
exchanged for one target, and the sign of numbers that scatter around zero may be turned.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ..store import artifacts

FALSE_ALARMS = 0.05  # share of honest runs with other seeds that may fail
LEAP = 10  # how many ranges a number may lie outside the range that its column took over rows and repetitions
UNITS = ("metric", "term", "score", "statistic")  # columns that say what is measured: only within these units are alike
ONE, ALL, EXCHANGED = "each number", "all numbers", "exchanged"
FAMILIES = SINGLE, AVERAGE, EXCHANGE = "single numbers", "averages", "exchanges"
# Why something fails whatever the noise.
UNMOVED, OUTSIDE = "it must not move", "far outside the range of repetitions"
TURNED, LOST = "on the other side of zero", "no number is left"
EMPTY = ", empty"  # end of the name of the channel that says which cells of a column are empty
ROWS = ("rows", "values of ")  # names of the channels that say which rows there are
MOST_SWAPPED = 64  # values of a key; every two of them are compared
# Two numbers that differ by rounding only: the last of the ten printed digits, or what is left of an exact zero.
RELATIVE, ABSOLUTE = 1.001e-9, 1e-12
# The spread of a mean of k numbers over repetitions is drawn towards a + b / sqrt(k), with the weight of `PRIOR_PAIRS`
# pairs of runs: few pairs say little, those of one run depend on each other, and averaged rows move together (``a``).
PRIOR_SPREAD, PRIOR_PAIRS = (0.02, 0.3), 10
# The spread of the logarithm of a family's largest excess is drawn towards the first number, with the weight of so many
# runs as the second says: six runs rarely show how heavy its tail is. So heavy-tailed noise stays within `FALSE_ALARMS`
# too (tests/test_verify.py).
PRIOR_LOG_SPREAD = (0.5, 5)
# Weight, in numbers, with which a unit is drawn towards the other units. A unit of fewer rows has no range and no side
# of its own, however often it was measured: some numbers are 1 in every run but one.
PRIOR_NUMBERS = 10


@dataclass(frozen=True)
class Channel:
    """One thing that is compared between runs: a column, or which rows there are."""

    name: str
    values: np.ndarray  # (runs, rows); NaN where a run has no such row or number
    rows: pd.DataFrame  # keys of the rows, as text
    text: list[str] | None = None  # what the values stand for, where they are not numbers
    slices: dict[str, np.ndarray] = field(default_factory=dict)  # keys by which rows are averaged -> group of each row
    swaps: dict[str, list[np.ndarray]] = field(default_factory=dict)  # keys whose values may be mixed up -> their rows
    alike: tuple[str, ...] = ()  # of words: the other columns of the table that hold all of these

    def differences(self, one: int, other: int) -> np.ndarray:
        """Absolute differences between two runs, (rows,); of text 0 or 1."""
        a, b = self.values[one], self.values[other]
        with np.errstate(invalid="ignore"):  # infinite twice
            apart = np.where(a == b, 0.0, np.abs(a - b))
        if self.text is not None:
            return np.where(np.isnan(apart), np.nan, apart > 0)
        rounding = ABSOLUTE + RELATIVE * np.fmax(np.abs(a), np.abs(b))  # infinite where a number is
        return np.where((apart <= rounding) & np.isfinite(apart), 0.0, apart)

    @cached_property
    def units(self) -> tuple[np.ndarray, list[str]]:
        """The unit of each row, as a position in the list of units; text has only one, which is a change."""
        names = [self.rows[column] for column in UNITS if column in self.rows and self.text is None]
        joined = names[0].str.cat(names[1:], sep=" ") if names else pd.Series("", index=self.rows.index)
        codes, units = pd.factorize(joined)
        return codes, list(units)


# From tables to channels ----------------------------------------------------------------------------------------------


def numbers(column: pd.Series) -> pd.Series | None:
    """The numbers of a column of text, NaN where it is empty; None if it holds anything else."""
    cells = column.to_numpy(object)
    first = next((cell for cell in cells if cell), "0")
    if first != "nan" and np.isnan(pd.to_numeric(first, errors="coerce")):
        return None  # at the first cell, as in most columns of words
    made = pd.to_numeric(cells, errors="coerce").astype(float)
    return pd.Series(made, column.index, name=column.name) if set(cells[np.isnan(made)]) <= {"", "nan"} else None


def keys_of(table: pd.DataFrame) -> list[str]:
    """The columns that tell rows apart: text first, then whole numbers, each only if it tells more rows apart."""
    of_numbers = {name: numbers(table[name]) for name in table}
    text = [name for name, found in of_numbers.items() if found is None]
    whole = [name for name, found in of_numbers.items() if found is not None and (found % 1 == 0).all()]
    keys, groups = [], 1
    for name in (*text, *whole):
        more = len(table.drop_duplicates([*keys, name]))
        if more > groups and groups < len(table):
            keys, groups = [*keys, name], more
    return keys


def channels(runs: list[pd.DataFrame]) -> list[Channel]:
    """What can be compared between the same table of several runs, all cells text; the first names the columns."""
    keys = keys_of(runs[0])
    indices = []
    for table in runs:
        place = table.groupby(keys, sort=False).cumcount() if keys else pd.Series(range(len(table)))
        indices.append(pd.MultiIndex.from_frame(table[keys].assign(**{"": place.astype(int)})))
    union = indices[0]
    for index in indices[1:]:
        union = union.append(index.difference(union, sort=False))
    at = [index.get_indexer(union) for index in indices]  # -1: this run has no such row
    rows = union.to_frame(index=False)[keys]
    named = rows if keys and not rows.duplicated().any() else rows.assign(row=union.get_level_values(-1).astype(str))
    slices, swaps = _slices(rows, keys), _swaps(rows, keys)
    present = np.array([places >= 0 for places in at], float)
    found = [Channel(ROWS[0], present, named, ["absent", "present"], slices)]
    for key in keys:
        levels = pd.unique(rows[key])
        has = np.array([np.isin(levels, table[key].unique()) for table in runs], float)
        found.append(Channel(f"{ROWS[1]}{key}", has, pd.DataFrame({"value": levels}), ["absent", "present"]))
    others = runs[0].columns.drop(keys)
    words = {name: set().union(*(table[name] for table in runs)) for name in others if numbers(runs[0][name]) is None}
    for name in others:
        if name in words:
            codes, text = pd.factorize(np.concatenate([table[name].to_numpy(object) for table in runs]))
            parts = np.split(codes.astype(float), np.cumsum([len(table) for table in runs])[:-1])
            alike = tuple(other for other in words if other != name and words[other] >= words[name])
            found.append(Channel(name, _placed(parts, at), named, list(text), slices, alike=alike))
        else:
            values = _placed([numbers(table[name]).to_numpy() for table in runs], at)
            empty = np.where(present > 0, np.isnan(values), np.nan)
            found.append(Channel(name, values, named, slices=slices, swaps=swaps))
            found.append(Channel(f"{name}{EMPTY}", empty, named, ["a number", "empty"], slices))
    return found


def _placed(parts: list[np.ndarray], at: list[np.ndarray]) -> np.ndarray:
    """The numbers of each run's rows, in the order of the rows of all runs; NaN, put at the end, where it has none."""
    return np.array([np.append(part, np.nan)[places] for part, places in zip(parts, at, strict=True)])


def _groups(rows: pd.DataFrame, keys) -> np.ndarray:
    """Which rows agree in some keys: a number for each row, from 0 on."""
    return rows.groupby(list(keys), sort=False).ngroup().to_numpy() if keys else np.zeros(len(rows), int)


def _slices(rows: pd.DataFrame, keys: list[str]) -> dict[str, np.ndarray]:
    """Groups of rows that share one key or two, where that is neither all of them nor each alone."""
    chosen = [*combinations(keys, 1), *combinations(keys, 2)]
    groups = {" and ".join(some): _groups(rows, some) for some in chosen}
    return {by: group for by, group in groups.items() if 1 < group.max(initial=0) + 1 < len(rows)}


def _swaps(rows: pd.DataFrame, keys: list[str]) -> dict[str, list[np.ndarray]]:
    """Keys whose values may be mixed up, everywhere or for one value of another key: rows, (values, all else)."""
    found = {}
    for key in [key for key in keys if key not in UNITS]:
        others = [name for name in keys if name != key]
        place = pd.Series(_groups(rows, keys)).groupby(_groups(rows, keys)).cumcount()
        value, rest = _groups(rows, [key]), _groups(rows.assign(**{"": place}), [*others, ""])
        if value.max(initial=0) + 1 > MOST_SWAPPED:
            continue
        at = np.full((value.max() + 1, rest.max() + 1), -1)
        at[value, rest] = np.arange(len(rows))
        for other in (None, *others):
            of_other = _groups(rows, [other] if other else [])
            parts = []
            for i in range(of_other.max() + 1):
                part = at[:, np.unique(rest[of_other == i])]
                part = part[(part >= 0).any(axis=1)]
                part = part[:, (part >= 0).all(axis=0)]
                if len(part) > 1 and part.size:
                    parts.append(part)
            if parts:
                found[f"{EXCHANGED} {key}" + (f" of one {other}" if other else "")] = parts
    return found


# From differences to limits -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One statistic of a channel: by how many spreads it exceeds its mean, in which rows, how far each moved."""

    table: str
    channel: Channel
    by: str
    excess: float  # infinite: fails whatever the noise, and ``by`` says why
    rows: np.ndarray  # positions in the channel
    apart: np.ndarray  # how far every row of the channel moved, in units of what is usual

    @property
    def family(self) -> str:
        """What the number is: a single one, an average, or an exchange of places."""
        return SINGLE if self.by == ONE else EXCHANGE if self.by.startswith(EXCHANGED) else AVERAGE


@dataclass(frozen=True)
class Limits:
    """What is usual between two repetitions; a channel that is not in it never moved."""

    # table, channel -> unit -> usual difference, range
    units: dict[tuple[str, str], dict[str, tuple[float, float, float]]]
    # table, channel -> by -> mean and spread of the statistic
    usual: dict[tuple[str, str], dict[str, tuple[float, float]]]
    bounds: dict[str, float] = field(default_factory=dict)  # family -> largest excess of an honest run

    def of_rows(self, table: str, channel: Channel) -> np.ndarray:
        """Usual difference (the largest for what never moved), lowest, highest value of each row's unit, (3, rows)."""
        of_unit, (codes, units) = self.units[table, channel.name], channel.units
        largest = max(scale for scale, _, _ in of_unit.values())
        found = [of_unit.get(unit, (0.0, -np.inf, np.inf)) for unit in units]
        return np.array([(scale or largest, low, high) for scale, low, high in found])[codes].T

    def unmeasured(self, table: str, channel: Channel) -> np.ndarray:
        """Rows of units that no repetition has a number for, as of a newer metric: how far they may move is unknown."""
        codes, units = channel.units
        known = self.units.get((table, channel.name), units)
        return np.array([unit not in known for unit in units], bool)[codes]

    def of_name(self, table: str, channel: Channel, reference: int) -> "Limits":
        """These limits, and limits for a channel that never moved. They are taken from columns of its name that moved
        in other tables: the mean over these tables, for single numbers and for all of them. Without such a column, a
        column of words takes them from columns of its table that are alike. The range is that of the run it is compared
        with. Empty cells are alike in all columns; if no cell of the column is empty in that run, none may be empty.
        """
        alike = [key for key in self.usual if key[1] == channel.name]
        alike = alike or [(table, name) for name in channel.alike if (table, name) in self.usual]
        if channel.name.endswith(EMPTY):
            if len(np.unique(channel.values[reference])) == 1:
                return self
            alike = alike or [key for key in self.usual if key[1].endswith(EMPTY)]
        if (table, channel.name) in self.usual or not alike or channel.name.startswith(ROWS):
            return self
        scale = np.mean([np.mean([of_unit[0] for of_unit in self.units[key].values()]) for key in alike])
        low, high = (f(channel.values[reference], initial=i) for f, i in ((np.nanmin, np.inf), (np.nanmax, -np.inf)))
        usual = {}
        for by in (ONE, ALL):
            means, spreads = np.array([self.usual[key][by] for key in alike]).T
            usual[by] = (float(means.mean()), float(np.sqrt((spreads**2).mean() + means.var())))
        key = {(table, channel.name): dict.fromkeys(channel.units[1], (float(scale), float(low), float(high)))}
        return replace(self, units=self.units | key, usual=self.usual | {(table, channel.name): usual})

    def times(self, finding: Finding) -> float:
        """A finding's excess in units of its family's bound; above 1 it fails."""
        return finding.excess / self.bounds.get(finding.family, 1.0)


def fit(tables: dict[str, list[Channel]], runs: list[int]) -> Limits:
    """Limits from all pairs of some runs, but for the bounds."""
    limits, pairs = Limits({}, {}), list(combinations(runs, 2))
    for table, channel in ((table, channel) for table, of_table in tables.items() for channel in of_table):
        apart = np.array([channel.differences(*pair) for pair in pairs])  # (pairs, rows)
        if not np.nansum(apart):
            continue
        limits.units[table, channel.name] = _units(channel, apart, runs)
        scale = limits.of_rows(table, channel)[0]
        found = [statistics(channel, scale, *pair) for pair in pairs]
        limits.usual[table, channel.name] = {
            by: _usual([each[by] for each in found if by in each]) for by in dict.fromkeys(chain(*found))
        }
    return limits


def _units(channel: Channel, apart: np.ndarray, runs: list[int]) -> dict[str, tuple[float, float, float]]:
    """Usual difference and range of each unit: mean and width, drawn towards what they would be if all units moved
    alike for their size; few numbers of a unit say little. A range is never narrowed.
    """
    (codes, units), kept = channel.units, {}
    for i, unit in enumerate(units):
        moved, values = apart[:, codes == i], channel.values[runs][:, codes == i]
        if not np.isnan(moved).all():
            kept[unit] = moved[~np.isnan(moved)], values[~np.isnan(values)]
    means, sizes, widths, counts = np.array(
        [(moved.mean(), np.abs(values).mean(), np.ptp(values), len(moved)) for moved, values in kept.values()]
    ).T

    def weighted_mean(found: np.ndarray) -> np.ndarray:
        alike = sizes * np.median(found[found > 0] / sizes[found > 0]) if (found > 0).any() else found
        return (counts * found + PRIOR_NUMBERS * alike) / (counts + PRIOR_NUMBERS)

    scales, wider = means, widths
    if channel.text is None:
        everything = np.concatenate([values for _, values in kept.values()])
        rows = np.array([np.sum(codes == units.index(unit)) for unit in kept])
        of_others = np.where(rows < PRIOR_NUMBERS, np.ptp(everything), 0.0)  # the range of a few rows is chance too
        scales, wider = weighted_mean(means), np.max([widths, weighted_mean(widths), of_others], axis=0)
    return {
        unit: (float(scale), float(values.min() - more), float(values.max() + more))
        for (unit, (_, values)), scale, more in zip(kept.items(), scales, (wider - widths) / 2, strict=True)
    }


def _usual(found: list[tuple[float, np.ndarray]]) -> tuple[float, float]:
    """Mean and spread of a statistic over pairs of runs."""
    values, size = np.array([value for value, _ in found]), np.median([len(rows) for _, rows in found])
    least, more = PRIOR_SPREAD
    squares = PRIOR_PAIRS * (least + more / np.sqrt(size)) ** 2 + ((values - values.mean()) ** 2).sum()
    return float(values.mean()), float(np.sqrt(squares / (PRIOR_PAIRS + len(values) - 1)))


def compare(table: str, channel: Channel, limits: Limits, one: int = 0, other: int = 1) -> list[Finding]:
    """What is to be said of the differences between two runs; nothing if nothing moved that the limits know of."""
    limits = limits.of_name(table, channel, one)
    channel = replace(channel, values=np.where(limits.unmeasured(table, channel), np.nan, channel.values))
    apart, values = channel.differences(one, other), channel.values[other]
    if channel.text is None and len(values) > 1 and np.isnan(values).all() and not np.isnan(channel.values[one]).all():
        return [Finding(table, channel, LOST, np.inf, np.arange(len(values)), np.ones(len(values)))]
    if not np.nansum(apart):
        return []
    if (table, channel.name) not in limits.usual:
        return [Finding(table, channel, UNMOVED, np.inf, np.flatnonzero(apart > 0), apart)]
    if np.isinf(apart).any():
        return [Finding(table, channel, OUTSIDE, np.inf, np.flatnonzero(np.isinf(apart)), apart)]
    (scale, low, high), usual = limits.of_rows(table, channel), limits.usual[table, channel.name]
    impossible = _impossible(values, channel.units[0], scale, low, high) if channel.text is None else {}
    return [Finding(table, channel, why, np.inf, rows, apart / scale) for why, rows in impossible.items()] + [
        Finding(table, channel, by, (value - usual[by][0]) / usual[by][1], rows, apart / scale)
        for by, (value, rows) in statistics(channel, scale, one, other).items() if by in usual
    ]  # fmt: skip


def _impossible(
    values: np.ndarray, unit: np.ndarray, scale: np.ndarray, low: np.ndarray, high: np.ndarray
) -> dict[str, np.ndarray]:
    """Rows that fail however large the noise is: reason -> rows."""
    with np.errstate(invalid="ignore"):  # infinite twice
        reach = LEAP * np.fmax(high - low, scale)
    outside = (values < low - reach) | (values > high + reach)
    side = np.where(low > scale, 1, np.where(high < -scale, -1, 0)) * (np.bincount(unit)[unit] >= PRIOR_NUMBERS)
    across = values * side < -scale
    kept = np.bincount(unit, ~across & ~np.isnan(values)) > 0  # units that kept a number elsewhere
    turned = across & ~kept[unit]
    return {why: np.flatnonzero(rows) for why, rows in ((OUTSIDE, outside), (TURNED, turned)) if rows.any()}


def statistics(channel: Channel, scale: np.ndarray, one: int, other: int) -> dict[str, tuple[float, np.ndarray]]:
    """What is said of the differences between two runs, by each number, all of them, slices, exchanges: value, rows."""
    surprise = np.log1p(channel.differences(one, other) / scale)
    groups = {ONE: np.arange(len(surprise)), ALL: np.zeros(len(surprise), int), **channel.slices}
    found = {by: _largest_mean(surprise, group) for by, group in groups.items()}
    if channel.text is None:
        turned = surprise - np.log1p(np.abs(channel.values[one] + channel.values[other]) / scale)
        found[f"{EXCHANGED} sign"] = _largest_mean(turned, groups[ALL])
        found[f"{EXCHANGED} sign of one unit"] = _largest_mean(turned, channel.units[0])
    for by, parts in channel.swaps.items():
        gains = [_gain(channel.values[one], channel.values[other], scale, places) for places in parts]
        found[by] = max(gains, key=lambda gain: gain[0])
    return {by: value for by, value in found.items() if value[0] > -np.inf}


def _largest_mean(values: np.ndarray, group: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest of the means of groups of rows, and the rows of that group."""
    known = ~np.isnan(values)
    sums, counts = (np.bincount(group[known], weights, minlength=1) for weights in (values[known], None))
    means = np.divide(sums, counts, out=np.full(len(sums), -np.inf), where=counts > 0)
    worst = int(means.argmax())
    return float(means[worst]), np.flatnonzero((group == worst) & known)


def _gain(one: np.ndarray, other: np.ndarray, scale: np.ndarray, places: np.ndarray) -> tuple[float, np.ndarray]:
    """How much nearer two runs would be if two of some values were exchanged: the best pair of values, and their
    rows.
    """
    a, b = one[places] / scale[places], other[places] / scale[places]  # (values, numbers of each)
    apart = np.log1p(np.abs(a[:, None] - b[None]))
    known = ~np.isnan(apart)
    counts = known.sum(axis=2)
    sums = np.where(known, apart, 0).sum(axis=2)
    means = np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    gain = (means.diagonal()[:, None] + means.diagonal() - means - means.T) / 2
    gain[np.isnan(gain) | np.eye(len(gain), dtype=bool)] = -np.inf
    pair = list(np.unravel_index(gain.argmax(), gain.shape))
    return float(gain.max()), places[pair].ravel()


# Leave one out --------------------------------------------------------------------------------------------------------


def leave_one_out(tables: dict[str, list[Channel]], n_runs: int) -> pd.DataFrame:
    """Every run as one that the limits do not know, compared with every other: (run, reference, families, impossible).

    Each family's column holds its largest excess. ``impossible``: how many findings would fail whatever the noise.
    """
    rows = []
    for run in range(n_runs):
        others = [other for other in range(n_runs) if other != run]
        limits = fit(tables, others)
        for other in others:
            found = []
            for table, of_table in tables.items():
                for channel in of_table:
                    found += compare(table, channel, limits, other, run)
            finite = [finding for finding in found if np.isfinite(finding.excess)]
            row = {"run": run, "reference": other}
            for family in FAMILIES:
                row[family] = max((f.excess for f in finite if f.family == family), default=0.0)
            rows.append(row | {"impossible": len(found) - len(finite)})
    return pd.DataFrame(rows)


def bounds(left_out: pd.DataFrame) -> dict[str, float]:
    """What each family's largest excess stays below in one more run: by Student's t, which predicts its logarithm."""
    runs, logs = left_out["run"].nunique(), np.log(left_out[list(FAMILIES)].clip(lower=1.0))
    spread, more = PRIOR_LOG_SPREAD
    free = more + runs - 1
    sd = np.sqrt((more * spread**2 + (runs - 1) * logs.var(ddof=1)) / free)
    return np.exp(logs.mean() + stdtrit(free, 1 - FALSE_ALARMS / len(FAMILIES)) * sd * np.sqrt(1 + 1 / runs)).to_dict()


def refused_comparisons(left_out: pd.DataFrame) -> pd.Series:
    """Which comparisons of `leave_one_out` would fail by the `bounds` that the runs beside the one left out give."""
    limits = {
        run: bounds(left_out[(left_out["run"] != run) & (left_out["reference"] != run)])
        for run in left_out["run"].unique()
    }
    over = left_out[list(FAMILIES)] > pd.DataFrame([limits[run] for run in left_out["run"]], index=left_out.index)
    return over.any(axis=1) | (left_out["impossible"] > 0)


# On disk --------------------------------------------------------------------------------------------------------------


def save(folder: Path, limits: Limits) -> None:
    """Write ``tolerances.csv`` (table, column, unit, scale, low, high), ``limits.csv`` (table, column, by, usual,
    spread), ``bounds.csv``.

    ``scale``: the usual difference between two repetitions; each is 0 or 1 of text, and of rows that come and go.
    """
    units, usual = ([(*key, name, *each) for key, of_key in found.items() for name, each in of_key.items()]
                    for found in (limits.units, limits.usual))  # fmt: skip
    tables = {
        "tolerances": pd.DataFrame(units, columns=["table", "column", "unit", "scale", "low", "high"]),
        "limits": pd.DataFrame(usual, columns=["table", "column", "by", "usual", "spread"]),
        "bounds": pd.DataFrame(limits.bounds.items(), columns=["family", "largest_excess"]),
    }
    for name, table in tables.items():
        artifacts.write(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def load(folder: Path) -> Limits | None:
    """The limits that `save` wrote; None if there are none."""
    files = [folder / f"{name}.csv" for name in ("tolerances", "limits", "bounds")]
    if not all(file.exists() for file in files):
        return None
    units, usual, of_family = (pd.read_csv(artifacts.plain_file(file), keep_default_na=False) for file in files)
    made = Limits({}, {}, dict(of_family.itertuples(index=False)))
    for table, into in ((units, made.units), (usual, made.usual)):
        for of_table, column, name, *values in table.itertuples(index=False):
            into.setdefault((of_table, column), {})[name] = tuple(values)
    return made
