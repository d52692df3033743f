"""Does a claim hold? Three words by one rule, from probabilities, never from a comparison of two noisy numbers."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t

SURE = 0.95  # the one threshold
HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told here"

RULE = f"""\
A claim is made of statements, each of which says that one number is above another. How often a statement is true is
counted in draws of what could have been otherwise: other models, other test images, another training
(`ncrepro.ranking.resampling`). A statement **{HOLDS}** if it is true in {SURE:.0%} of the draws or more, **{FAILS}**
if it is true in {1 - SURE:.0%} or fewer; else it **{OPEN}**. A claim that *all* of k statements are true {HOLDS} if
every one does; it {FAILS} if one of them is true in no more than {1 - SURE:.0%} / k of the draws, since one of many is
easily false by luck. A claim that *at least one* of k statements is true {HOLDS} if one of them is false in no more
than {1 - SURE:.0%} / k of the draws; it {FAILS} if every one is true in {1 - SURE:.0%} or fewer. A claim about fewer
than five models, or about one network that was trained once, {OPEN}. Where nothing is drawn, in printed numbers and
in constructed examples, a claim {HOLDS} or {FAILS}.

Where a profile was trained again with other seeds (`make noise`), a verdict rests on all trainings, and this run is one
of them: a probability is the mean of what the trainings give, each counted alone. If this run alone would give another
verdict, that one is shown beside it. Where a profile was not repeated (`photos`), its verdicts rest on one training;
its draws cover other models, images and fine-tunings, but no other pre-training."""


@dataclass(frozen=True)
class Verdict:
    """What can be said of a claim; the word follows from two error probabilities, so no other verdict can be built.

    Parameters
    ----------
    if_false, if_true : float
        How likely such draws are if the claim is false, and if it is true; between them lies what `SURE` leaves open.
    """

    if_false: float
    if_true: float

    def __post_init__(self) -> None:
        for value in (self.if_false, self.if_true):
            if not isinstance(value, float) or not 0 <= value <= 1:
                raise ValueError(
                    f"a verdict rests on probabilities, 0.0 to 1.0, not on {value!r}; use likely, exact, every or some"
                )
        if self.if_false + self.if_true < 1 - 1e-9:
            raise ValueError(
                f"{self.if_false:g} and {self.if_true:g} would say that a claim is true and false; they add up to 1 "
                "or more"
            )

    @property
    def word(self) -> str:
        """One of the three words."""
        limit = 1 - SURE + 1e-12
        return HOLDS if self.if_false <= limit else FAILS if self.if_true <= limit else OPEN

    def __str__(self) -> str:
        return self.word

    def __bool__(self) -> bool:
        raise TypeError("a verdict is one of three words, neither true nor false; read its word")


UNKNOWN = Verdict(1.0, 1.0)  # nothing is known: one training, too few models


def likely(probability: float) -> Verdict:
    """Of a statement that is true with this probability; NaN: not known."""
    return UNKNOWN if np.isnan(probability) else Verdict(float(1 - probability), float(probability))


def exact(true: bool, because: str) -> Verdict:
    """Of a statement without noise; ``because`` says why nothing could have been otherwise."""
    if not because:
        raise ValueError("because is empty; say why nothing could have been otherwise, for instance 'printed numbers'")
    return Verdict(float(not true), float(bool(true)))


def every(*parts: Verdict) -> Verdict:
    """That all parts hold: as sure as the least sure part; false if one part fails by more than the luck of many
    tests.
    """
    _some_parts(parts)
    return Verdict(max(part.if_false for part in parts), min(1.0, len(parts) * min(part.if_true for part in parts)))


def some(*parts: Verdict) -> Verdict:
    """That at least one part holds: the mirror image of `every`."""
    _some_parts(parts)
    return Verdict(min(1.0, len(parts) * min(part.if_false for part in parts)), max(part.if_true for part in parts))


def over(*trainings: Verdict) -> Verdict:
    """Of one claim, from several trainings that are as likely as each other: the means of their probabilities.

    >>> over(likely(0.97), likely(0.99), likely(0.92)).word
    'holds'
    """
    _some_parts(trainings)
    return Verdict(
        float(np.mean([training.if_false for training in trainings])),
        float(np.mean([training.if_true for training in trainings])),
    )


def _some_parts(parts) -> None:
    if not parts:
        raise ValueError("no statements; a claim needs at least one")


# Statements -----------------------------------------------------------------------------------------------------------


def probability(draws, above=0.0) -> float:
    """How often ``draws`` lie above a number, or above other draws of the same pools; equal values count half.

    Half a draw is added to both sides, so that no finite number of draws makes anything certain. NaN if any draw is.
    """
    difference = np.asarray(draws, dtype=float) - np.asarray(above, dtype=float)
    if difference.ndim != 1 or len(difference) < 100:
        raise ValueError(f"draws have shape {difference.shape}; a probability is counted in at least 100 of them")
    if np.isnan(difference).any():
        return np.nan
    true = np.sum(difference > 0) + 0.5 * np.sum(difference == 0)
    return float((true + 0.5) / (len(difference) + 1))


def above(draws, other=0.0) -> Verdict:
    """That a number lies above another, by their draws."""
    return likely(probability(draws, other))


def positive(difference, error, freedom: float = np.inf) -> list[Verdict]:
    """That differences with estimated standard errors are above 0, by Student's distribution; one verdict for each.

    An error of NaN, or of 0 but for rounding, is one that nobody has measured.
    """
    differences, errors = np.broadcast_arrays(np.asarray(difference, dtype=float), np.asarray(error, dtype=float))
    pairs = zip(differences.ravel(), errors.ravel(), strict=True)
    return [likely(float(t.cdf(d / e, freedom))) if e > 1e-9 and np.isfinite(d) else UNKNOWN for d, e in pairs]


def best(draws: pd.DataFrame) -> pd.Series:
    """How often each column is the highest: those that are equally high share the draw, one without values never is."""
    top = draws.eq(draws.max(axis=1), axis=0)
    return top.div(top.sum(axis=1), axis=0).mean()
