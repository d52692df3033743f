"""How far the numbers of two runs lie apart, and how far they may: limits that repetitions with other seeds have set.

Two runs are compared number by number. A difference counts in units of its usual size between two repetitions (``scale``),
as log(1 + difference / scale), so that one wild number does not stand for many. Of every column these are looked at one by
one, all together, and averaged over the rows that share a key (a model, a target, a metric) or two: labels shuffled for one
target or the wrong sign of one metric move such an average, however small the single differences are. And it is asked how
much nearer the runs would be if two models (targets, ...) were exchanged. A run is judged by one number, its largest
``excess``: by how many standard deviations between repetitions any of these lies above its mean. The limit is what the
largest excess of one more honest run stays below with probability 1 - `FALSE_ALARMS`, by leaving out every run in turn;
since it is the largest of all, nothing else corrects for their number. What no repetition moved must not move at all.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from .. import artifacts

FALSE_ALARMS = 0.05  # share of honest runs with other seeds that may fail
UNITS = ("metric", "term", "score", "statistic")  # columns that say what is measured: numbers share a unit only within these
ONE, ALL, EXCHANGED = "each number", "all numbers", "exchanged"
MOST_SWAPPED = 64  # values of a key; every two of them are compared
# Two numbers that differ by rounding only: the last of the ten printed digits, or what is left of an exact zero.
RELATIVE, ABSOLUTE = 1.001e-9, 1e-12
# What the spread of a mean of k numbers over repetitions is drawn towards, a + b / sqrt(k), and as if by how many more pairs of
# runs: few pairs say little, those of the same run are not independent, and rows that are averaged move together (``a``).
PRIOR_SPREAD, PRIOR_SPREAD_OF_GAINS, PRIOR_PAIRS = (0.07, 0.18), (0.03, 0.25), 10
PRIOR_NUMBERS = 10  # as if so many more numbers of a unit had moved as those of the other units do


@dataclass(frozen=True)
class Channel:
    """One thing that is compared between runs: a column, or which rows there are."""

    name: str
    values: np.ndarray  # (runs, rows); NaN where a run has no such row or number
    rows: pd.DataFrame  # keys of the rows, as text
    text: list[str] | None = None  # what the values stand for, where they are not numbers
    slices: dict[str, np.ndarray] = field(default_factory=dict)  # keys by which rows are averaged -> group of each row
    swaps: dict[str, list[np.ndarray]] = field(default_factory=dict)  # keys whose values may be mixed up -> their rows

    def differences(self, one: int, other: int) -> np.ndarray:
        """Absolute differences between two runs, (rows,); of text 0 or 1."""
        a, b = self.values[one], self.values[other]
        with np.errstate(invalid="ignore"):  # infinite twice
            apart = np.where(a == b, 0.0, np.abs(a - b))
        if self.text is not None:
            return np.where(np.isnan(apart), np.nan, apart > 0)
        return np.where(apart <= ABSOLUTE + RELATIVE * np.fmax(np.abs(a), np.abs(b)), 0.0, apart)

    @cached_property
    def units(self) -> tuple[np.ndarray, list[str]]:
        """The unit of each row, as a position in the list of units; text has only one, which is a change."""
        names = [self.rows[column] for column in UNITS if column in self.rows and self.text is None]
        codes, units = pd.factorize(names[0].str.cat(names[1:], sep=" ") if names else pd.Series("", index=self.rows.index))
        return codes, list(units)


# From tables to channels ----------------------------------------------------------------------------------------------


def numbers(column: pd.Series) -> pd.Series | None:
    """The numbers of a column of text, NaN where it is empty; None if it holds anything else."""
    made = pd.to_numeric(column.where(column != ""), errors="coerce")
    return None if (made.isna() & (column != "") & (column != "nan")).any() else made.astype(float)


def keys_of(table: pd.DataFrame) -> list[str]:
    """The columns that tell rows apart: text first, then whole numbers, each only if it tells more rows apart."""
    of_numbers = {name: numbers(table[name]) for name in table}
    text = [name for name, found in of_numbers.items() if found is None]
    whole = [name for name, found in of_numbers.items() if found is not None and found.notna().all() and (found % 1 == 0).all()]
    keys, groups = [], 1
    for name in (*text, *whole):
        more = len(table.drop_duplicates([*keys, name]))
        if more > groups and groups < len(table):
            keys, groups = [*keys, name], more
    return keys


def channels(runs: list[pd.DataFrame]) -> list[Channel]:
    """What can be compared between the same table of several runs, all cells text; the first run says what its columns are."""
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
    found = [Channel("rows", present, named, ["absent", "present"], slices)]
    for key in keys:
        levels = pd.unique(rows[key])
        has = np.array([np.isin(levels, table[key].unique()) for table in runs], float)
        found.append(Channel(f"values of {key}", has, pd.DataFrame({"value": levels}), ["absent", "present"]))
    for name in runs[0].columns.drop(keys):
        if numbers(runs[0][name]) is None:
            codes, text = pd.factorize(np.concatenate([table[name].to_numpy(object) for table in runs]))
            parts = np.split(codes.astype(float), np.cumsum([len(table) for table in runs])[:-1])
            found.append(Channel(name, _placed(parts, at), named, list(text), slices))
        else:
            values = _placed([numbers(table[name]).to_numpy() for table in runs], at)
            empty = np.where(present > 0, np.isnan(values), np.nan)
            found.append(Channel(name, values, named, slices=slices, swaps=swaps))
            found.append(Channel(f"{name}, empty", empty, named, ["a number", "empty"], slices))
    return found


def _placed(parts: list[np.ndarray], at: list[np.ndarray]) -> np.ndarray:
    return np.array([np.where(places >= 0, np.append(part, np.nan)[places], np.nan) for part, places in zip(parts, at, strict=True)])


def _groups(rows: pd.DataFrame, keys) -> np.ndarray:
    """Which rows agree in some keys: a number for each row, from 0 on."""
    found = np.zeros(len(rows), int)
    for key in keys:
        codes, values = pd.factorize(rows[key])
        found = pd.factorize(found * len(values) + codes)[0]
    return found


def _slices(rows: pd.DataFrame, keys: list[str]) -> dict[str, np.ndarray]:
    """Groups of rows that share one key or two, where that is neither all of them nor each alone."""
    groups = {" and ".join(chosen): _groups(rows, chosen) for chosen in [*combinations(keys, 1), *combinations(keys, 2)]}
    return {by: group for by, group in groups.items() if 1 < group.max(initial=0) + 1 < len(rows)}


def _swaps(rows: pd.DataFrame, keys: list[str]) -> dict[str, list[np.ndarray]]:
    """Keys whose values may be mixed up, everywhere or for one value of another key: positions of rows, (values, all else)."""
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
class Limits:
    """What is usual between two repetitions; a channel that is not in it never moved."""

    scales: dict[tuple[str, str], dict[str, float]]  # table and channel -> unit -> usual difference
    usual: dict[tuple[str, str], dict[str, tuple[float, float]]]  # table and channel -> by -> mean and spread of the statistic
    largest_excess: float = np.inf

    def scale(self, table: str, channel: Channel) -> np.ndarray:
        """The usual difference of each row; of a unit that never moved, that of the channel's largest."""
        of_unit, (codes, units) = self.scales[table, channel.name], channel.units
        return np.array([of_unit.get(unit) or max(of_unit.values()) for unit in units])[codes]


@dataclass(frozen=True)
class Finding:
    """What moved most in one channel: by how many spreads its statistic exceeds the mean, in which rows, how far each."""

    table: str
    channel: Channel
    by: str
    excess: float
    rows: np.ndarray  # positions in the channel
    apart: np.ndarray  # how far every row of the channel moved, in units of what is usual


def fit(tables: dict[str, list[Channel]], runs: list[int]) -> Limits:
    """Limits from all pairs of some runs, but for ``largest_excess``."""
    limits, pairs = Limits({}, {}), list(combinations(runs, 2))
    for table, channel in ((table, channel) for table, of_table in tables.items() for channel in of_table):
        apart = np.array([channel.differences(*pair) for pair in pairs])  # (pairs, rows)
        if not np.nansum(apart):
            continue
        limits.scales[table, channel.name] = _scales(channel, apart, runs)
        scale = limits.scale(table, channel)
        found = [statistics(channel, scale, *pair) for pair in pairs]
        limits.usual[table, channel.name] = {by: _usual(by, [each[by] for each in found if by in each]) for by in found[0]}
    return limits


def _scales(channel: Channel, apart: np.ndarray, runs: list[int]) -> dict[str, float]:
    """The mean difference of each unit, drawn towards the one that it would have if all units moved alike for their size."""
    codes, units = channel.units
    known, size = ~np.isnan(apart), np.abs(channel.values[runs])
    means = np.array([[apart[:, codes == i][known[:, codes == i]].mean() if known[:, codes == i].any() else np.nan,
                       np.nanmean(size[:, codes == i]) if not np.isnan(size[:, codes == i]).all() else np.nan,
                       known[:, codes == i].sum()] for i in range(len(units))])  # fmt: skip
    moved, sizes, n = means.T
    alike = sizes * np.nanmedian(moved[moved > 0] / sizes[moved > 0]) if channel.text is None else moved
    drawn = (n * np.nan_to_num(moved) + PRIOR_NUMBERS * alike) / (n + PRIOR_NUMBERS)
    return {unit: float(value) for unit, value in zip(units, drawn, strict=True) if not np.isnan(value)}


def _usual(by: str, found: list[tuple[float, np.ndarray]]) -> tuple[float, float]:
    """Mean and spread of a statistic over pairs of runs."""
    values, size = np.array([value for value, _ in found]), np.median([len(rows) for _, rows in found])
    least, more = PRIOR_SPREAD_OF_GAINS if by.startswith(EXCHANGED) else PRIOR_SPREAD
    squares = PRIOR_PAIRS * (least + more / np.sqrt(size)) ** 2 + ((values - values.mean()) ** 2).sum()
    return float(values.mean()), float(np.sqrt(squares / (PRIOR_PAIRS + len(values) - 1)))


def compare(table: str, channel: Channel, limits: Limits, one: int = 0, other: int = 1) -> Finding | None:
    """What moved most between two runs; None if nothing moved."""
    apart = channel.differences(one, other)
    if not np.nansum(apart):
        return None
    if (table, channel.name) not in limits.usual:
        return Finding(table, channel, ONE, np.inf, np.flatnonzero(apart > 0), apart)
    scale, usual = limits.scale(table, channel), limits.usual[table, channel.name]
    found = [
        Finding(table, channel, by, (value - usual[by][0]) / usual[by][1], rows, apart / scale)
        for by, (value, rows) in statistics(channel, scale, one, other).items() if by in usual
    ]  # fmt: skip
    return max(found, key=lambda finding: finding.excess)


def excess(tables: dict[str, list[Channel]], limits: Limits, one: int, other: int) -> tuple[float, int]:
    """The largest excess of what may move between two runs, and how many channels moved that never did."""
    found = [compare(table, channel, limits, one, other) for table, of_table in tables.items() for channel in of_table]
    values = np.array([finding.excess for finding in found if finding])
    return values[np.isfinite(values)].max(initial=0.0), int(np.isinf(values).sum())


def statistics(channel: Channel, scale: np.ndarray, one: int, other: int) -> dict[str, tuple[float, np.ndarray]]:
    """What is said of the differences between two runs: by each number, all numbers, slices, exchanged keys; value and rows."""
    surprise = np.log1p(channel.differences(one, other) / scale)
    known = ~np.isnan(surprise)
    groups = {ONE: np.arange(len(surprise)), ALL: np.zeros(len(surprise), int), **channel.slices}
    found = {}
    for by, group in groups.items() if known.any() else ():
        sums, counts = np.bincount(group[known], surprise[known]), np.bincount(group[known])
        means = np.divide(sums, counts, out=np.full(len(sums), -np.inf), where=counts > 0)
        worst = int(means.argmax())
        found[by] = (float(means[worst]), np.flatnonzero((group == worst) & known))
    for by, parts in channel.swaps.items():
        gains = [_gain(channel.values[one], channel.values[other], scale, places) for places in parts]
        found[by] = max(gains, key=lambda gain: gain[0])
    return {by: value for by, value in found.items() if value[0] > -np.inf}


def _gain(one: np.ndarray, other: np.ndarray, scale: np.ndarray, places: np.ndarray) -> tuple[float, np.ndarray]:
    """How much nearer two runs would be if the two best such of some values had been exchanged, and the rows of these."""
    a, b = one[places] / scale[places], other[places] / scale[places]  # (values, numbers of each)
    apart = np.log1p(np.abs(a[:, None] - b[None]))
    known = ~np.isnan(apart)
    counts = known.sum(axis=2)
    means = np.divide(np.where(known, apart, 0).sum(axis=2), counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    gain = (means.diagonal()[:, None] + means.diagonal() - means - means.T) / 2
    gain[np.isnan(gain) | np.eye(len(gain), dtype=bool)] = -np.inf
    pair = list(np.unravel_index(gain.argmax(), gain.shape))
    return float(gain.max()), places[pair].ravel()


# Leave one out --------------------------------------------------------------------------------------------------------


def leave_one_out(tables: dict[str, list[Channel]], n_runs: int) -> pd.DataFrame:
    """Every run as one that the limits do not know, compared with every other: (run, reference, excess, first).

    ``first``: how many channels moved that did not move between the others.
    """
    rows = []
    for run in range(n_runs):
        others = [other for other in range(n_runs) if other != run]
        limits = fit(tables, others)
        rows += [(run, other, *excess(tables, limits, other, run)) for other in others]
    return pd.DataFrame(rows, columns=["run", "reference", "excess", "first"])


def bound(left_out: pd.DataFrame) -> float:
    """What the excess of one more run stays below with probability 1 - `FALSE_ALARMS`: a prediction bound for its logarithm."""
    n, logs = left_out["run"].nunique(), np.log(left_out["excess"].clip(lower=1.0))
    quantile = stdtrit(n - 1, 1 - FALSE_ALARMS)  # of Student's t
    return float(np.exp(logs.mean() + quantile * logs.std(ddof=1) * np.sqrt(1 + 1 / n)))


def refused(left_out: pd.DataFrame) -> pd.Series:
    """Which comparisons of `leave_one_out` would fail by the `bound` that the runs beside the one left out give."""
    limits = {run: bound(left_out[(left_out["run"] != run) & (left_out["reference"] != run)]) for run in left_out["run"].unique()}
    return (left_out["excess"] > left_out["run"].map(limits)) | (left_out["first"] > 0)


# On disk --------------------------------------------------------------------------------------------------------------


def described(tables: dict[str, list[Channel]], runs: list[int], limits: Limits) -> pd.DataFrame:
    """How far the numbers of every column lie apart in two repetitions, unit by unit.

    Returns
    -------
    DataFrame (table, column, unit, n, mean, sd, median, q95, largest, scale)
        Of the ``n`` absolute differences, over all rows and pairs of runs; ``sd`` is their root mean square, ``scale`` what
        counts as usual: 0 for what never moved. Of text, and of rows that are there or not, a difference is 0 or 1.
    """
    rows = []
    for table, of_table in tables.items():
        for channel in of_table:
            apart = np.array([channel.differences(*pair) for pair in combinations(runs, 2)])
            codes, units = channel.units
            for i, unit in enumerate(units):
                of_unit = apart[:, codes == i][~np.isnan(apart[:, codes == i])]
                if len(of_unit):
                    quantiles = np.quantile(of_unit, (0.5, 0.95, 1.0))
                    scale = limits.scales.get((table, channel.name), {}).get(unit, 0.0)
                    rows.append((table, channel.name, unit, len(of_unit), of_unit.mean(), np.sqrt((of_unit**2).mean()), *quantiles, scale))
    return pd.DataFrame(rows, columns=["table", "column", "unit", "n", "mean", "sd", "median", "q95", "largest", "scale"])


def save(folder: Path, tables: dict[str, list[Channel]], runs: list[int], limits: Limits) -> None:
    """Write ``tolerances.csv``, the table of `described`, and ``limits.csv`` (table, column, by, usual, spread, limit)."""
    rows = [(*key, by, mean, spread, mean + limits.largest_excess * spread)
            for key, usual in limits.usual.items() for by, (mean, spread) in usual.items()]  # fmt: skip
    for name, table in (("tolerances", described(tables, runs, limits)),
                        ("limits", pd.DataFrame(rows, columns=["table", "column", "by", "usual", "spread", "limit"]))):  # fmt: skip
        artifacts.write(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def load(folder: Path) -> Limits | None:
    """The limits that `save` wrote; None if there are none."""
    if not (folder / "limits.csv").exists() or not (folder / "tolerances.csv").exists():
        return None
    scales, limits = (pd.read_csv(folder / f"{name}.csv", keep_default_na=False) for name in ("tolerances", "limits"))
    excess = ((limits["limit"] - limits["usual"]) / limits["spread"]).median() if len(limits) else np.inf
    made = Limits({}, {}, float(excess))
    for row in scales.itertuples():
        made.scales.setdefault((row.table, row.column), {})[row.unit] = row.scale
    for row in limits.itertuples():
        made.usual.setdefault((row.table, row.column), {})[row.by] = (row.usual, row.spread)
    return made
