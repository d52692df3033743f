"""What the trainings of a profile say of each claim: the verdicts of `make noise`, one training alone and together."""

import pandas as pd

from ..ranking.verdicts import Verdict
from ..store import artifacts, paths
from ..store.trace import is_there
from . import profiles

COLUMNS = ["repetition", "figure", "claim", "if_false", "if_true"]
ERRORS = ["if_false", "if_true"]


def measured_verdicts(profile: str) -> pd.DataFrame:
    """What each measured training of a profile, if any, says by itself: `COLUMNS`; repetition 0 is the profile."""
    base, _ = profiles.repetition_of(profile)
    path = paths.noise(base) / "verdicts.csv"
    return artifacts.read_table(path, base) if is_there(path) else pd.DataFrame(columns=COLUMNS)


def other_verdicts(profile: str, figure: str, claim: str) -> list[Verdict]:
    """What the measured trainings but this one say of a claim; of a claim in other words they say nothing."""
    _, own = profiles.repetition_of(profile)
    variables = {"name": figure, "words": claim, "own": own}
    rows = measured_verdicts(profile).query(
        "figure == @name and claim == @words and repetition != @own", local_dict=variables
    )
    return [Verdict(*pair) for pair in rows[ERRORS].to_numpy().tolist()]


def single_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """The verdict of each training by itself: figures x repetitions, of a table like `measured_verdicts`."""
    return _words(_wide(table))


def verdicts_without_each(table: pd.DataFrame) -> pd.DataFrame:
    """The verdict of all trainings but one: figures x the repetition left out.

    Two columns have all trainings but one in common, as two runs with other seeds have that read the same study.
    """
    wide = _wide(table)
    n = wide.columns.levels[1].size
    means = [(wide[error].sum(axis=1).to_numpy()[:, None] - wide[error]) / (n - 1) for error in ERRORS]
    return _words(pd.concat(means, keys=ERRORS, axis=1).clip(0.0, 1.0))


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    return table.pivot(index="figure", columns="repetition", values=ERRORS).dropna()


def _words(wide: pd.DataFrame) -> pd.DataFrame:
    of_runs = {r: zip(*(wide[error, r] for error in ERRORS), strict=True) for r in wide.columns.unique(1)}
    return pd.DataFrame({r: [Verdict(*pair).word for pair in pairs] for r, pairs in of_runs.items()}, wide.index)
