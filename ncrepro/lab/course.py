"""What the course's notebooks lean on: checked answers, keys of quizzes, and the tables that all readers share."""

import os
from typing import Any

import numpy as np
import pandas as pd

from .. import ranking
from ..store import artifacts, paths

STRICT = "NCREPRO_STRICT"  # set for tests: a check that is not passed raises
PROFILE = "demo"  # whose committed tables the course works on: the same numbers for everybody in the room


class NotYet(AssertionError):
    """An answer that is not there, or not right; raised in strict mode only."""


def check(exercise: str, answer: Any, right: Any, hint: str) -> None:
    """Say whether an answer is right and, if it is not, what may help; never stops a notebook unless `STRICT` is set.

    Parameters
    ----------
    exercise : str
        Its number, for the message.
    answer
        The student's. ``...`` and None are blanks.
    right
        What the package computes at this moment: a number, an array, a table, a word, or a set of words. Numbers have
        to agree to rounding, tables by their labels, words whatever their case.
    hint : str
        A sentence that helps without giving the answer.

    Raises
    ------
    NotYet
        In strict mode, if the answer is blank or not right.
    """
    why = _why_not(answer, right)
    print(f"{exercise}: not yet: {why}. {hint}" if why else f"{exercise}: right")
    if why and os.environ.get(STRICT):
        raise NotYet(f"{exercise}: {why}")


def key(**options: bool) -> str:
    """The one option of a quiz's question whose statement is true, each computed: ``key(a=..., b=..., c=...)``.

    Raises
    ------
    ValueError
        If not exactly one is true: then the question has no answer, or several.
    """
    true = [name for name, holds in options.items() if holds]
    if len(true) != 1:
        raise ValueError(f"a question has one right answer, but here these are true: {', '.join(true) or 'none'}")
    return true[0]


def accuracies(pool: str) -> pd.DataFrame:
    """Accuracy after fine-tuning, models x targets, in per cent (mean over seeds): the committed table of a pool."""
    return runs(pool).groupby(["model", "target"])["accuracy"].mean().unstack("target")


def runs(pool: str) -> pd.DataFrame:
    """Every fine-tuning of a pool: (model, target, seed, accuracy, standard_error)."""
    return _committed(pool, "accuracies")


def terms(pool: str, metric: str, target: str) -> pd.DataFrame:
    """The terms of a metric for one target, models x terms, as its function returns them."""
    table = _committed(pool, "scores").query("metric == @metric and target == @target and term != 'total'")
    return table.pivot(index="model", columns="term", values="score")


def scores(pool: str, metric: str) -> pd.DataFrame:
    """What a metric says of a pool, models x targets: its totals over the pool, higher is better."""
    table = _committed(pool, "scores").query("metric == @metric")
    return ranking.totals(table).pivot(index="model", columns="target", values="score")


def _committed(pool: str, table: str) -> pd.DataFrame:
    return artifacts.read_table(paths.reference(PROFILE, pool) / f"{table}.csv", PROFILE)


def _why_not(answer: Any, right: Any) -> str:
    """Why an answer is not right, in a few words; empty if it is."""
    if any(part is None or part is ... for part in (answer if isinstance(answer, (list, tuple)) else [answer])):
        return "there is no answer here"
    if isinstance(right, str):
        same = isinstance(answer, str) and answer.strip().lower() == right.lower()
        return "" if same else f"{answer!r} is not right"
    if isinstance(right, set):
        if not isinstance(answer, (set, list, tuple)):
            return "the answer is a set of names, as in {'a', 'b'}"
        missing, extra = len(set(right) - set(answer)), len(set(answer) - set(right))
        return f"{missing} too few and {extra} too many" if missing or extra else ""
    if isinstance(right, (pd.Series, pd.DataFrame)) and isinstance(answer, type(right)):
        if [set(axis) for axis in answer.axes] != [set(axis) for axis in right.axes]:
            return "the rows or columns are not those that are wanted"
        answer = answer.reindex(**dict(zip(("index", "columns"), right.axes, strict=False)))
    try:
        given, expected = np.asarray(answer, dtype=float), np.asarray(right, dtype=float)
    except (TypeError, ValueError):
        return f"the answer should hold numbers, not {type(answer).__name__}"
    if given.shape != expected.shape:
        return f"the shape is {given.shape}, wanted is {expected.shape}"
    return "" if np.allclose(given, expected, rtol=1e-6, atol=1e-9) else "the value differs"
