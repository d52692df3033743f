"""Labelled time series: five small sets of the UCR and UEA archives as they were published, a set of speech, and drawn
signals with many classes.

Files are in the archives' own ``.ts`` format. As users of such data expect:

* A missing value (``?`` or ``NaN``) is put on the line between its neighbours; points that are missing in every channel
  at the end of a series are cut off, since the archives fill up shorter series in that way.
* A series of more than ``LONGEST`` points is resampled to that many, each the mean over its share of the series.
* Shorter series of a set are filled up with zeros at their end; ``Series.lengths`` says where they end, and no network
  sees the points after that.
* Every channel is standardised by mean and standard deviation of all its points in the training split.
"""

import lzma
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...extraction.samples import Series
from ...store import paths
from ...store.file_digests import of_data
from ...store.schema import refuse_unknown
from . import train_test
from .builtin.drawing import generator

LONGEST = 64  # points of a series

FOLDERS = {
    "acsf1": "ACSF1",  # power that ten kinds of appliances draw
    "osu_leaf": "OSULeaf",  # outlines of leaves, six species
    "arrow_head": "ArrowHead",  # outlines of arrowheads, three forms
    "gun_point": "GunPoint",  # where a hand is while it points, or draws a gun
    "italy_power_demand": "ItalyPowerDemand",  # a day's demand, in summer or in winter
    "japanese_vowels": "JapaneseVowels",  # speech: twelve cepstrum coefficients of nine speakers' vowels
}
SIGNALS = "signals"
NAMES = (SIGNALS, *FOLDERS)
SPEECH = "japanese_vowels"


def content(name: str) -> dict[str, str | None]:
    """What is in a data set's folder; nothing for the one that is drawn."""
    return {} if name == SIGNALS else of_data(paths.time_series() / FOLDERS[name])


@lru_cache(maxsize=16)
def load(name: str, split: str) -> Series:
    """One split of a data set, the train and test parts as their authors chose them.

    Raises
    ------
    ValueError
        If the name or the split is unknown, or a file does not follow the format.
    """
    train_test.check(name, NAMES, split)
    series, labels, classes = _source(name, split)
    channels = np.concatenate(series if split == "train" else _source(name, "train")[0], axis=1)  # (channels, points)
    mean, deviation = channels.mean(1, keepdims=True), channels.std(1, keepdims=True)
    scaled = [(one - mean) / np.where(deviation > 0, deviation, 1) for one in series]
    values = np.zeros((len(series), len(mean), max(one.shape[1] for one in scaled)), np.float32)
    for row, one in zip(values, scaled, strict=True):
        row[:, : one.shape[1]] = one
    lengths = np.array([one.shape[1] for one in scaled], np.int64)
    return Series(name, split, values, lengths, labels, classes)


def _source(name: str, split: str) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]:
    """Series (channels, points) of at most ``LONGEST`` points, labels and classes."""
    if name == SIGNALS:
        return signals(split)
    folder = FOLDERS[name]
    series, labels, classes = read(paths.time_series() / folder / f"{folder}_{split.upper()}.ts.xz")
    return [resample(one, LONGEST) for one in series], labels, classes


def resample(series: np.ndarray, longest: int) -> np.ndarray:
    """A series (channels, points) as ``longest`` means over equal shares of it, if it has more points than that."""
    n = series.shape[1]
    if n <= longest:
        return series
    area = np.concatenate([np.zeros((len(series), 1)), series.cumsum(1)], axis=1)  # (channels, n + 1)
    edges = np.linspace(0, n, longest + 1)
    return np.stack([np.diff(np.interp(edges, np.arange(n + 1), channel)) for channel in area]) * (longest / n)


# The archives' format -------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]:
    """A file ``.ts`` or ``.ts.xz``: series of shape (channels, points), labels (int64), and the classes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line does not follow the format: the message names file and line.
    """
    with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    classes, begun, series, labels = (), False, [], []
    for number, line in enumerate(lines, 1):
        try:
            if not line or line.startswith("#"):
                continue
            if begun:
                *channels, label = line.split(":")
                refuse_unknown("class", label, classes)
                series.append(_series(channels))
                labels.append(classes.index(label))
                if len(series[-1]) != len(series[0]):
                    raise ValueError(f"{len(series[-1])} channels; allowed is {len(series[0])}, as in the first series")
            elif line.lower() == "@data":
                begun = True
                if not classes:
                    raise ValueError("no line '@classLabel true ...' before @data; allowed are files with classes")
            elif line.lower().startswith("@classlabel true"):
                classes = tuple(line.split()[2:])
            elif line.lower() == "@timestamps true":
                raise ValueError("series with time stamps; allowed are values at equal distances")
        except ValueError as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from None
    if not series:
        raise ValueError(f"{path.name} holds no series; allowed is one or more below a line @data")
    return series, np.array(labels, np.int64), classes


def _series(channels: list[str]) -> np.ndarray:
    """One series (channels, points) without missing values."""
    if not channels:
        raise ValueError("no values; allowed is 'value,value,...:class', channels divided by ':'")
    rows = [[np.nan if value.strip() == "?" else float(value) for value in one.split(",")] for one in channels]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"channels of {sorted({len(row) for row in rows})} points; allowed is one length in a series")
    values = np.array(rows)
    known = np.isfinite(values)
    if not known.any(1).all():
        raise ValueError("a channel without any value; leave the series out")
    end = np.flatnonzero(known.any(0)).max() + 1
    values, known, at = values[:, :end], known[:, :end], np.arange(end)
    return np.stack([np.interp(at, at[k], row[k]) for row, k in zip(values, known, strict=True)])


# What is drawn --------------------------------------------------------------------------------------------------------

Draw = Callable[[np.random.Generator, int], np.ndarray]  # (random numbers, n) -> (n, LONGEST), without noise


class _Kind(NamedTuple):
    draw: Draw
    noise: float = 0.3  # standard deviation of what is added to each point


def signals(split: str) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]:
    """Waveforms, chirps, events and random processes: ten of each kind, in a seeded order, one channel."""
    n, rng = 10, generator(SIGNALS, split)
    shapes = [kind.draw(rng, n) for kind in KINDS.values()]  # (n, LONGEST) each
    shapes = [x / x.std(1, keepdims=True) + kind.noise * rng.standard_normal(x.shape)
              for x, kind in zip(shapes, KINDS.values(), strict=True)]  # fmt: skip
    labels = np.repeat(np.arange(len(KINDS)), n)
    order = rng.permutation(len(labels))
    return list(np.concatenate(shapes)[order][:, None]), labels[order], tuple(KINDS)


_TIME = (np.arange(LONGEST) + 0.5) / LONGEST  # 0..1


def _wave(shape: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> Draw:
    """``shape`` of a phase in turns, ``low`` to ``high`` turns in a series, from any phase."""
    return lambda rng, n: shape((rng.uniform(low, high, (n, 1)) * _TIME + rng.uniform(0, 1, (n, 1))) % 1)


def _chirp(first: float, last: float) -> Draw:
    """A sine whose frequency goes from ``first`` to ``last`` turns, with some play."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        begin, end = first * rng.uniform(0.8, 1.2, (n, 1)), last * rng.uniform(0.8, 1.2, (n, 1))
        return np.sin(2 * np.pi * (begin * _TIME + (end - begin) * _TIME**2 / 2 + rng.uniform(0, 1, (n, 1))))

    return draw


def _bumps(count: int) -> Draw:
    """So many bumps, each in its share of the series."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        centres = (np.arange(count) + rng.uniform(0.25, 0.75, (n, count))) / count
        return np.exp(-(((_TIME - centres[..., None]) / 0.05) ** 2)).sum(1)

    return draw


def _ringing(rng: np.random.Generator, n: int) -> np.ndarray:
    """Silence, then an oscillation that dies down."""
    since = _TIME - rng.uniform(0.1, 0.5, (n, 1))
    return np.where(since > 0, np.exp(-6 * since.clip(0)) * np.sin(2 * np.pi * rng.uniform(8, 12, (n, 1)) * since), 0)


def _beat(rng: np.random.Generator, n: int) -> np.ndarray:
    """A fast sine under a slow one."""
    return _wave(_WAVES["sine"], 1, 2)(rng, n) * _wave(_WAVES["sine"], 10, 14)(rng, n)


def _process(*weights: float, burn_in: int = 50) -> Draw:
    r"""An autoregressive process, :math:`x_t = \sum_i w_i x_{t-i} + \epsilon_t`."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        x = rng.standard_normal((burn_in + LONGEST, n))
        for t in range(len(weights), len(x)):
            for i, weight in enumerate(weights, 1):
                x[t] += weight * x[t - i]
        return x[burn_in:].T

    return draw


_WAVES = {  # functions of the phase, 0 to 1
    "sine": lambda phase: np.sin(2 * np.pi * phase),
    "square": lambda phase: np.sign(phase - 0.5),
    "triangle": lambda phase: np.abs(phase - 0.5),
    "sawtooth": lambda phase: phase - 0.5,
    "falling": lambda phase: 0.5 - phase,
}
KINDS = {
    **{f"slow {name}": _Kind(_wave(shape, 1.5, 3)) for name, shape in _WAVES.items()},
    **{f"fast {name}": _Kind(_wave(shape, 5, 8)) for name, shape in _WAVES.items()},
    "rising chirp": _Kind(_chirp(1, 14)),
    "falling chirp": _Kind(_chirp(14, 1)),
    "beat": _Kind(_beat),
    "ringing": _Kind(_ringing),
    "step": _Kind(lambda rng, n: np.sign(_TIME - rng.uniform(0.25, 0.75, (n, 1)))),
    **{f"{count} bump{'s' * (count > 1)}": _Kind(_bumps(count)) for count in (1, 2, 3)},
    "white noise": _Kind(_process(), 0),
    "AR(1) 0.7": _Kind(_process(0.7), 0),
    "AR(1) 0.97": _Kind(_process(0.97), 0),
    "AR(1) -0.7": _Kind(_process(-0.7), 0),
    "AR(2) slow": _Kind(_process(1.7, -0.9), 0),
    "AR(2) fast": _Kind(_process(0.3, -0.9), 0),
}
